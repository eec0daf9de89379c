"""Augmentation: what each change does to pixels and labels, and what is left of it in evaluation.

Labels are kept by construction where a function takes images alone; mixup and CutMix take both.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from fathom.data.augment import augment_batch
from fathom.data.batches import Batch, TrainingBatches, evaluation_batches
from fathom.data.catalog import ImageList
from fathom.data.crops import RESNET_SCALES, cut_views, random_scale_view, ten_crops
from fathom.data.load import Dataset, Split
from fathom.data.mixing import area, blend, cutmix, draw_box, draw_lam, mixup, soft
from fathom.data.photometric import colour_jitter, cutout
from fathom.data.settings import AugmentSettings, NoCrop, PadCrop, ResizedCrop
from fathom.data.sources import Arrays
from fathom.data.views import random_resized_view
from fathom.ledger.claim import Claim, Judgement
from fathom.ledger.evidence import seeded
from fathom.ledger.recorded import by_experiment
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, derive_seed, generator

_SCALES = {"low": 256, "high": 480, "crop": 224}
_MIXUP = {"alpha": 0.2, "example_label": [0.7, 0.3]}
_TTA = {"scales": [224, 256, 384, 480, 640], "views": 50}
_AS_THEY_ARE = Preprocess(32, 32, 3, (0.0,) * 3, (1 / 255,) * 3)


def _pictures(count: int, size: int = 32) -> Tensor:
    """(count, 3, size, size) uint8 of seeded noise."""
    rng = generator("claims", "pictures")
    return torch.randint(1, 256, (count, 3, size, size), dtype=torch.uint8, generator=rng)


def _flip() -> Judgement:
    """Each of 400 pictures is itself or its columns in reverse order, with probability 1/2."""
    views = _pictures(400)
    settings = AugmentSettings(NoCrop(), flip=True)
    images = augment_batch(views, settings, _AS_THEY_ARE, generator("claims", "flip"))
    plain = _AS_THEY_ARE.normalise(views)
    mirror = plain[..., torch.arange(31, -1, -1)]
    same = (images == plain).flatten(1).all(1)
    mirrored = (images == mirror).flatten(1).all(1)
    found = {
        "pictures": len(views),
        "mirrored": int(mirrored.sum()),
        "as they were": int(same.sum()),
    }
    return Judgement(
        "demonstrated"
        if bool((same ^ mirrored).all()) and 150 < found["mirrored"] < 250
        else "not-reproduced",
        found,
        "Every picture is as it was or has its columns in reverse order, about half of them each; "
        "targets are not touched. Whether the class survives depends on the data: a mirrored cat "
        "is a cat, a mirrored b is a d.",
        "fathom.data.augment.augment_batch",
    )


def _scale_crop() -> Judgement:
    """2,000 draws for a picture of 400 x 300 pixels, and the pixels of one of them."""
    rng = random.Random(0)
    views = [random_scale_view(300, 400, rng=rng) for _ in range(2000)]
    scales = [view.scale for view in views]
    sizes = {(v.box[2] - v.box[0], v.box[3] - v.box[1]) for v in views}
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    shape = cut_views(pixels, views[:1]).shape[1:]
    mean = sum(scales) / len(scales)
    found = {
        "low": min(scales),
        "high": max(scales),
        "crop": [*shape[1:]],
        "mean scale": mean,
        "different places": len({v.box[:2] for v in views}),
    }
    holds = (min(scales), max(scales)) == (_SCALES["low"], _SCALES["high"]) and sizes == {
        (224, 224)
    }
    return Judgement(
        "demonstrated" if holds and abs(mean - 368) < 8 else "not-reproduced",
        found,
        "The short side is drawn anew for every picture, all lengths from 256 to 480 alike, and a "
        "square of 224 is cut out anywhere: the same object comes at nearly twice the size and "
        "in any corner. These are ResNet's limits; VGG, which ResNet follows, has 256 to 512.",
        "fathom.data.crops.random_scale_view; He et al. 2015, arXiv:1512.03385, Section 3.4; "
        "Simonyan and Zisserman 2014, arXiv:1409.1556, Section 3.1",
    )


def _color_jitter() -> Judgement:
    """200 copies of one picture, each strength alone at 0.4: how many different results, and how
    far the mean, the spread and the colourfulness of a picture range, as factors."""
    images = (_pictures(1).float() / 255).expand(200, -1, -1, -1) * 0.5 + 0.25

    def spread(images: Tensor) -> Tensor:
        return images.mean(1).flatten(1).std(1)

    def colourfulness(images: Tensor) -> Tensor:
        return (images.amax(1) - images.amin(1)).flatten(1).mean(1)

    measures = {
        "brightness": lambda x: x.flatten(1).mean(1),
        "contrast": spread,
        "saturation": colourfulness,
    }
    found: dict[str, object] = {}
    holds = True
    for kind, measure in measures.items():
        strengths = {name: 0.4 if name == kind else 0.0 for name in measures}
        jittered = colour_jitter(images, **strengths, rng=generator("claims", kind))
        ratio = measure(jittered) / measure(images)
        found[kind] = [round(float(ratio.min()), 3), round(float(ratio.max()), 3)]
        different = len(torch.unique(jittered.flatten(1), dim=0))
        holds &= different == 200 and float(ratio.min()) < 0.7 and float(ratio.max()) > 1.2
    return Judgement(
        "demonstrated" if holds else "not-reproduced",
        found,
        "With a strength of 0.4 each copy of one picture gets its own factor from 0.6 to 1.4: its "
        "mean, its spread or its colourfulness changes by about that much, less where values are "
        "cut off at black or white. Shapes stay where they are, and targets are not touched.",
        "fathom.data.photometric.colour_jitter, with torchvision's definitions",
    )


def _cutout() -> Judgement:
    """2,000 images of ones, 32 x 32 pixels, and a square of 16: the zeros of each."""
    holed = cutout(torch.ones(2000, 3, 32, 32), size=16, rng=generator("claims", "cutout"))
    hole = (holed == 0).all(1)
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    pixels = hole.flatten(1).sum(1)
    rectangles = torch.equal(pixels, rows * columns)
    found = {
        "smallest hole": int(pixels.min()),
        "largest hole": int(pixels.max()),
        "share of the area, mean": float(pixels.double().mean() / 1024),
        "share of whole squares": float((pixels == 256).double().mean()),
        "all rectangles": rectangles,
    }
    places = len(torch.unique(hole.flatten(1), dim=0))
    return Judgement(
        "demonstrated"
        if rectangles and int(pixels.max()) == 256 and int(pixels.min()) > 0 and places > 500
        else "not-reproduced",
        found,
        "Each image loses one rectangle at a place of its own, and targets are not touched. In the "
        "paper it is a square of fixed size whose centre may be any pixel, so that many holes are "
        "cut off at the border; zero is the mean colour, as images are normalised before.",
        "fathom.data.photometric.cutout; DeVries and Taylor 2017, arXiv:1708.04552, Section 3",
    )


def _mixup() -> Judgement:
    """A blend of 70 % and 30 %, pixels and labels, then 4,000 draws of lam at alpha 0.2; the larger
    share is max(lam, 1 - lam)."""
    images, partners = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), torch.tensor([1, 0])
    label = blend(soft(torch.tensor([0, 1]), 2), partners, 0.7)[0]
    pixels = blend(images, partners, 0.7)[0]
    rng = generator("claims", "mixup")
    lams = torch.tensor([draw_lam(0.2, rng) for _ in range(4000)])
    _, rows = mixup(_pictures(7).float(), torch.arange(7), num_classes=7, alpha=0.2, rng=rng)
    larger, sums = torch.maximum(lams, 1 - lams), rows.sum(1)
    found = {
        "example_label": [round(v, 6) for v in label.tolist()],
        "pixel of 1 and 0": round(float(pixels.mean()), 6),
        "targets sum to": [round(float(v), 6) for v in (sums.min(), sums.max())],
        "mean lam": float(lams.mean()),
        "share of the larger image, mean": float(larger.mean()),
        "blends with more than 90 % of one": float((larger > 0.9).float().mean()),
    }
    gaps = ((label - torch.tensor([0.7, 0.3])).abs(), (pixels - 0.7).abs(), (sums - 1).abs())
    return Judgement(
        "demonstrated" if max(float(g.max()) for g in gaps) < 1e-6 else "not-reproduced",
        found,
        "Pixels and labels are averaged with the same lam, so that a blend of 70 to 30 has the "
        "label [0.7, 0.3]. Beta(0.2, 0.2) piles up at its ends: most blends are nearly one of the "
        "two images, and 70 to 30 is rarer than it seems.",
        "fathom.data.mixing; Zhang et al. 2017, arXiv:1710.09412, Section 2 (alpha 0.1 to 0.4 on "
        "ImageNet, Section 3.1)",
    )


def _cutmix() -> Judgement:
    """1,000 batches of two images, all zeros and all ones, so that the mean of an image is the
    share that was pasted: its largest distance from the label's weight, and what boxes lose at the
    border and to whole pixels."""
    images = torch.stack([torch.zeros(1, 20, 30), torch.ones(1, 20, 30)])
    gaps, lost = [], []
    for number in range(1000):
        rng, again = generator("cutmix", number), generator("cutmix", number)
        mixed, rows = cutmix(images, torch.arange(2), num_classes=2, alpha=1.0, rng=rng)
        gaps.append(float((mixed.mean((1, 2, 3)) - rows[:, 1]).abs().max()))
        lam = draw_lam(1.0, again)
        lost.append(1 - lam - area(draw_box(20, 30, lam, again)) / 600)
    found = {
        "batches": len(gaps),
        "largest gap between label and area": max(gaps),
        "share of the image that 1 - lam promises too much, mean": sum(lost) / len(lost),
        "the same, largest": max(lost),
    }
    return Judgement(
        "demonstrated" if max(gaps) < 1e-6 and max(lost) > 0.1 else "not-reproduced",
        found,
        "The weight of the second label is the share of the pixels that were really pasted: the "
        "box lies around any pixel and is cut off at the border, so that the lam that was drawn "
        "would promise too much.",
        "fathom.data.mixing.cutmix; Yun et al. 2019, arXiv:1905.04899, Section 3.1 and its code",
    )


def _dataset(views: Tensor) -> Dataset:
    """Pictures in memory as a dataset of one training split."""
    keys = tuple(map(str, range(len(views))))
    arrays = Arrays(views.permute(0, 2, 3, 1).numpy())
    split = Split(ImageList(arrays, keys, tuple(i % 2 for i in range(len(views)))), views)
    classes = ("even", "odd")
    return Dataset("noise", classes, {"train": split}, {}, "train", _AS_THEY_ARE, (), (), "")


def _by_position(batches: Iterable[Batch]) -> Tensor:
    """All images of an epoch in the order of the dataset."""
    images, places = zip(*((batch.images, batch.positions) for batch in batches), strict=True)
    return torch.cat(images)[torch.cat(places).argsort()]


def _changed(one: Tensor, other: Tensor) -> int:
    """How many pictures of a batch differ from those of another."""
    return int((one != other).flatten(1).any(1).sum())


def _train_random_test_fixed() -> Judgement:
    """Two epochs and two evaluations of 64 pictures through the loader of training; and the random
    crops of one file, whose seeds are named by run, epoch and image, whichever worker decodes."""
    dataset, runtime = _dataset(_pictures(64)), Runtime(torch.device("cpu"), "float32", 1)
    augment = AugmentSettings(PadCrop(4, "reflect"), flip=True)
    split, view = dataset.splits["train"], dataset.preprocess
    loader = TrainingBatches(dataset, augment, batch_size=16, seed=1, runtime=runtime, workers=0)
    steps, repeated = (list(islice(loader.start(0), 8)) for _ in range(2))
    first, second, again = (_by_position(s) for s in (steps[:4], steps[4:], repeated[:4]))
    seen, seen_again = (
        _by_position(evaluation_batches(split, view, batch_size=16, runtime=runtime, workers=0))
        for _ in range(2)
    )
    crops = {_crop_of(epoch, position) for epoch in range(8) for position in range(8)}
    found = {
        "pictures": 64,
        "changed from one epoch to the next": _changed(first, second),
        "changed when the run is repeated": _changed(first, again),
        "changed from one evaluation to the next": _changed(seen, seen_again),
        "different crops of one file in 8 epochs at 8 places": len(crops),
    }
    random_in_training = _changed(first, second) > 48 and len(crops) == 64
    fixed = not _changed(seen, seen_again) and not _changed(first, again)
    return Judgement(
        "demonstrated" if random_in_training and fixed else "not-reproduced",
        found,
        "Pictures look different in the next epoch (but for 1 in 162, which draws the same shift "
        "and flip again), and none in the next evaluation. Every draw is seeded by the run and the "
        "place in it, never by the worker, so that workers cannot repeat each other and their "
        "number changes nothing.",
        "fathom.data.batches.TrainingBatches and evaluation_batches",
    )


def _crop_of(epoch: int, position: int) -> bytes:
    """One file as the loader crops it for a place in the data in an epoch."""
    pixels = _pictures(1)[0].permute(1, 2, 0).numpy()
    rng = random.Random(derive_seed(1, "crop", epoch, position))
    view = random_resized_view(pixels, 32, "bilinear", crop=ResizedCrop(0.2), rng=rng)
    return view.numpy().tobytes()


def _fifty_views() -> Judgement:
    """The views of a picture of 400 x 300 pixels and of a square one, each a box, a scale and a
    flip; then a small network on the first, one pass a view, averaged."""
    views = ten_crops(300, 400, scales=RESNET_SCALES)
    square = ten_crops(400, 400, scales=RESNET_SCALES)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    images = cut_views(pixels, views).float() / 255
    with seeded(), torch.no_grad():
        network = nn.Sequential(
            nn.Conv2d(3, 8, 7, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        each = torch.stack([network(image[None]).softmax(1)[0] for image in images])
    found = {
        "scales": sorted({view.scale for view in views}),
        "views": len(views),
        "forward passes": len(each),
        "different views, 400 x 300": len(set(views)),
        "different views, square": len(set(square)),
        "averaged probabilities sum to": round(float(each.mean(0).sum()), 6),
    }
    return Judgement(
        "demonstrated"
        if found["views"] == _TTA["views"] and found["scales"] == _TTA["scales"]
        else "not-reproduced",
        found,
        "5 scales, 5 places and 2 flips make 50 passes, but at scale 224 a crop of 224 has hardly "
        "room, so that some views are the same. ResNet's paper uses these scales in another way: "
        "its comparisons take ten crops at one scale, its best results the whole picture, run "
        "through the network at each of the five.",
        "fathom.data.crops.ten_crops; He et al. 2015, arXiv:1512.03385, Section 3.4; Krizhevsky "
        "et al. 2012, Section 4.1",
    )


CLAIMS = (
    Claim(
        "augment.flip",
        "behaviour",
        "A horizontal flip mirrors left and right, and the label stays",
        {},
        _flip,
    ),
    Claim(
        "augment.scale_crop",
        "behaviour",
        "ResNet's scale jitter: the short side becomes a random length from 256 to 480, then a "
        "random square of 224 is cut out",
        _SCALES,
        _scale_crop,
    ),
    Claim(
        "augment.color_jitter",
        "behaviour",
        "Brightness, contrast and saturation change at random, and the label stays",
        {},
        _color_jitter,
    ),
    Claim(
        "augment.cutout",
        "behaviour",
        "A random rectangle becomes zero, and the label stays",
        {},
        _cutout,
    ),
    Claim(
        "augment.mixup",
        "behaviour",
        "Two images and their labels are averaged with one lam from Beta(0.2, 0.2); 70 % of one "
        "and 30 % of the other has the label [0.7, 0.3]",
        _MIXUP,
        _mixup,
    ),
    Claim(
        "augment.cutmix",
        "behaviour",
        "A patch of one image replaces that of another, and labels weigh as the areas that are "
        "seen, after the patch is cut off at the border",
        {},
        _cutmix,
    ),
    Claim(
        "augment.train_random_test_fixed",
        "behaviour",
        "Augmentation is random in training, different in every epoch and worker, and absent or "
        "fixed in evaluation",
        {},
        _train_random_test_fixed,
    ),
    Claim(
        "augment.label_preserving",
        "experiment",
        "Upside down a 6 is a 9, while a picture from above keeps its class: whether a change "
        "keeps labels can be measured on the data at hand",
        {},
        by_experiment(
            "augment.label_preserving",
            "label-keeping",
            "Fathom's own",
            "It will show how networks judge flipped and shifted test images of digits.",
        ),
    ),
    Claim(
        "tta.fifty_views",
        "behaviour",
        "In a test 5 scales, 4 corners and the centre, and flips make 50 passes for one image, "
        "which are averaged",
        _TTA,
        _fifty_views,
    ),
    Claim(
        "tta.gain",
        "experiment",
        "Averaging many crops at many scales gains about 1 point over one centre crop",
        {"points": 1.0},
        by_experiment(
            "tta.gain", "tta-gain", "Fathom's own", "It will show one crop, ten and fifty views."
        ),
    ),
)
