"""Do these images fit the pretrained weights? Four faults that training would only hide.

range           hardly any of the values 0..255 are used, or neighbouring pixels have nothing to do
                with each other: masks, class numbers, one byte of 16-bit images
statistics      blank images, or the same image again and again
normalisation   another way of preparing the pixels fits what the batch norms have learnt much
                better than the one that would be used
channel order   the network recognises the images, and more surely with red and blue exchanged

The first two are read off the pixels. The other two ask the network, with its own classifier in
place, and are found only where the evidence separates: images unlike those of the pretraining, as
digits or micrographs are, fit no preparation and no order of channels well, and are left alone.

Normalisation is about the weights, yet it is measured on the user's images. Pale ones would fit
better with any preparation that adds contrast. So another preparation has to be better twice: for
the images as they are, and for the same images brought to the mean and standard deviation of
ImageNet's.

The order of channels cannot be told by such statistics: of pictures of the sea the average colour
is nearer to ImageNet's with red and blue exchanged. What tells is the largest logit, compared image
by image (Hendrycks et al. 2019, arXiv:1911.11132, Section 3, use it to tell known from unknown). On
false colours it errs with conviction, all images alike, which no test over images can notice. So it
counts only where the network recognises things: where most images, of many classes, keep their
class when the channels are exchanged.

How often this errs, and how the limits below were set, is in docs/results/transfer.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.errors import UserError, require
from fathom.features.fold import folded
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.transfer.similarity import channel_moments
from fathom.weights.sources import IMAGENET_MEAN, IMAGENET_STD

Kind = Literal["range", "statistics", "normalisation", "channel order"]

TRUST = "--trust-images"

# How pixels are commonly prepared: mean and standard deviation of pixel / 255. What is said of
# -1..1 holds for (pixel - 127) / 128 as well, which differs from it by less than a hundredth.
PREPARATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet's mean and standard deviation": (IMAGENET_MEAN, IMAGENET_STD),
    "pixels from -1 to 1": ((0.5,) * 3, (0.5,) * 3),
    "pixels from 0 to 1": ((0.0,) * 3, (1.0,) * 3),
    "pixels from 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
}

_TAIL = 0.001  # of the pixels at either end say nothing of the range
_NARROW = 32  # levels
_UNRELATED = 0.55  # correlation of neighbouring pixels
_DRAWN = 32  # pixels of a side, below which strokes are as thin as a pixel: 0.53 for digits of 8
_FLAT = 2.0  # levels of standard deviation
_COLOURLESS = 1.0  # levels between the channels of a pixel
_BETTER = 1.08  # times nearer to the batch norms
_NEAR = 0.7  # standard deviations from the batch norms
_SURE = 3.5  # t
_RECOGNISED = 0.55  # of the images
_CLASSES = 10

_SIZE = 128  # pixels of the views that the network is asked about, and the limits were set on
_FEW = 32  # images for the batch norms, which average over pixels too
_CHUNK = 16
_MOST = 9.0  # of a channel's squared distance


@dataclass(frozen=True)
class Fault:
    """What is wrong, by its name; how it shows, and what to do about it."""

    kind: Kind
    evidence: str
    remedy: str


@dataclass(frozen=True)
class Order:
    """The network on the images as they are, and with red and blue exchanged.

    same: the share of images whose class stays; classes: of how many classes these are; t: the mean
    by which the largest logit is larger as they are, over its standard error.
    """

    same: float
    classes: int
    t: float

    @property
    def exchanged(self) -> bool:
        """Whether red and blue are in each other's place beyond reasonable doubt."""
        return self.same >= _RECOGNISED and self.classes >= _CLASSES and self.t <= -_SURE


@dataclass(frozen=True)
class Fit:
    """What was measured on a sample of the images, and the faults found.

    low, high: the levels (0..255) between which all but the outermost thousandths of the pixels
    lie; blank: images of nearly one colour; related: the correlation of neighbouring pixels in the
    median image of the others, 1 where there are none; distinct: images that differ from each
    other; gray: whether all are without colour; misfit: for the preparation in use ("in use") and
    for each other one that was tried, how far the images are from what the batch norms have learnt
    (`misfit`), empty where nothing was measured; order: None where nothing was measured; notes:
    what was not measured, and why.
    """

    images: int
    low: int
    high: int
    related: float
    blank: int
    distinct: int
    gray: bool
    misfit: dict[str, float]
    order: Order | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def refuse(self) -> None:
        """Raise UserError naming every fault, where there is one."""
        if self.faults:
            found = "; ".join(f"{f.kind}: {f.evidence}; {f.remedy}" for f in self.faults)
            raise UserError(
                f"the images do not fit the weights. {found}. Or go on regardless with {TRUST}"
            )


def check_fit(model: ImageClassifier, views: Tensor, *, preprocess: Preprocess) -> Fit:
    """A pretrained network and (N, C, S, S) uint8 views of the user's images -> whether they fit.

    The network has its own classifier and is in evaluation mode; preprocess is how the views would
    be normalised for it. 128 views of all classes are a good sample. The network's answers are
    measured on views of at most 128 pixels, on its own device, and only where the pixels are sound.

    Raises UserError for views that the network cannot take. What does not fit is not raised but
    returned: see `Fit.refuse`.
    """
    require(not model.training, "the network is in training mode; call eval() first")
    require(
        views.ndim == 4 and len(views) > 0 and views.dtype == torch.uint8,
        f"views of shape {tuple(views.shape)}, {views.dtype}; they must be (N, C, S, S) uint8",
    )
    model.check(views)
    found = _pixels(views)
    if found.faults:
        return replace(found, notes=("the network was not asked: the pixels are not sound",))
    if model.in_channels != 3:
        note = "normalisation and channel order are measured for weights of 3 channels only"
        return replace(found, notes=(note,))
    views = _smaller(views, max(_SIZE, model.min_size)).to(next(model.parameters()).device)
    return _ask(model, views, preprocess, found)


def _ask(model: nn.Module, views: Tensor, preprocess: Preprocess, found: Fit) -> Fit:
    """What the network says of sound images, besides what their pixels say."""
    notes: list[str] = []
    faults: list[Fault] = []
    misfits: dict[str, float] = {}
    order = None
    if _batch_norms(model):
        misfits = _misfits(model, views, preprocess)
        faults += _normalisation(model, views, preprocess, misfits)
    else:
        notes.append("normalisation was not measured: the network has no batch norms")
    if found.gray:
        notes.append("the images are gray: shown as three equal channels, which have no order")
    else:
        order = _order(model, views, preprocess)
        faults += _exchanged(order, found.images)
    return replace(found, misfit=misfits, order=order, faults=tuple(faults), notes=tuple(notes))


def misfit(model: nn.Module, images: Tensor) -> float:
    """(N, C, S, S) normalised images -> how far they are from what the batch norms have learnt.

    Per channel, the distance between the mean and standard deviation of what comes in, and the
    running ones, in units of the running standard deviation: the Wasserstein distance of two normal
    distributions (Dowson and Landau 1982, Journal of Multivariate Analysis 12, 450-455), its
    square at most 9, for dead channels. The root mean square over the channels of a norm; the
    geometric mean over norms. 0 is a perfect fit. The model is in evaluation mode and has a batch
    norm that is used.
    """
    squares: list[Tensor] = []

    def hear(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        assert norm.running_mean is not None, "found by _batch_norms"
        assert norm.running_var is not None
        variance, mean = channel_moments(inputs[0])
        scale = (norm.running_var + norm.eps).sqrt()
        shift, spread = (mean - norm.running_mean) / scale, variance.sqrt() / scale - 1
        squares.append((shift**2 + spread**2).clamp(max=_MOST).mean())

    handles = [norm.register_forward_pre_hook(hear) for norm in _batch_norms(model)]
    try:
        with torch.inference_mode():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return float(torch.stack(squares).cpu().double().log().mean().div(2).exp())


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """Those with running statistics."""
    norms = (module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    return [norm for norm in norms if norm.running_mean is not None]


def _pixels(views: Tensor) -> Fit:
    """What the pixels alone say."""
    counts = torch.bincount(views.flatten(), minlength=256).cpu().double()
    shares = counts.cumsum(0) / views.numel()
    flat = views.float().std((2, 3)).amax(1) < _FLAT
    found = Fit(
        images=len(views),
        low=int((shares <= _TAIL).sum()),
        high=int((shares < 1 - _TAIL).sum()),
        related=1.0 if flat.all() else _related(views[~flat]),
        blank=int(flat.sum()),
        distinct=len({view.cpu().numpy().tobytes() for view in views}),
        gray=float((views.amax(1) - views.amin(1)).float().mean()) < _COLOURLESS,
        misfit={},
        order=None,
        faults=(),
        notes=(),
    )
    fault = _range(found, views.shape[-1]) or _statistics(found)
    return found if fault is None else replace(found, faults=(fault,))


def _related(views: Tensor) -> float:
    """(N, C, S, S) -> the correlation of horizontal and vertical neighbours in the median image."""
    gray = views.float().mean(1)
    gray = gray - gray.mean((1, 2), keepdim=True)
    across = F.cosine_similarity(gray[:, :, 1:].flatten(1), gray[:, :, :-1].flatten(1))
    down = F.cosine_similarity(gray[:, 1:].flatten(1), gray[:, :-1].flatten(1))
    return float((across + down).median()) / 2


def _range(found: Fit, side: int) -> Fault | None:
    if found.high - found.low < _NARROW:
        return Fault(
            "range",
            f"they use only the values {found.low} to {found.high} of 0..255, as masks, class "
            "numbers, fractions cut to whole numbers and the high byte of 16-bit images do, or "
            "pictures almost black or white",
            "spread what they show over 0..255 when storing them as 8 bits",
        )
    if side >= _DRAWN and found.related < _UNRELATED:
        return Fault(
            "range",
            f"neighbouring pixels are hardly related (correlation {found.related:.2f}), as in "
            "noise and in the low byte of 16-bit images",
            "store 16-bit images scaled to 0..255, not cut to their low byte",
        )
    return None


def _statistics(found: Fit) -> Fault | None:
    if found.blank > found.images // 2:
        return Fault(
            "statistics",
            f"{found.blank} of {found.images} images are blank, nearly one colour all over",
            "see how they were read and stored",
        )
    if found.images > 1 and found.distinct <= max(1, found.images // 10):
        different = "is" if found.distinct == 1 else "are"
        return Fault(
            "statistics",
            f"of {found.images} images only {found.distinct} {different} different",
            "see how they were copied, and remove the copies",
        )
    return None


def _smaller(views: Tensor, size: int) -> Tensor:
    """Views of at most this size, uint8 as before."""
    if views.shape[2] <= size:
        return views
    shrunk = F.interpolate(
        views.float(), (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return shrunk.round_().clamp_(0, 255).to(torch.uint8)


def _misfits(model: nn.Module, views: Tensor, preprocess: Preprocess) -> dict[str, float]:
    """The misfit of some of the views for every preparation."""
    some = views[:: -(-len(views) // _FEW)]
    ways = {"in use": preprocess}
    for name, (mean, std) in PREPARATIONS.items():
        ways[name] = replace(preprocess, mean=mean, std=std)
    return {name: misfit(model, way.normalise(some)) for name, way in ways.items()}


def _normalisation(
    model: nn.Module, views: Tensor, preprocess: Preprocess, found: dict[str, float]
) -> Iterator[Fault]:
    """The fault where another preparation fits much better, also of images like ImageNet's."""
    better = _much_better(found)
    if better is None or better != _much_better(_misfits(model, _like_imagenet(views), preprocess)):
        return
    mean, std = (", ".join(f"{value:.3g}" for value in way) for way in PREPARATIONS[better])
    yield Fault(
        "normalisation",
        f"with {better} the images are {found[better]:.2f} standard deviations from what the "
        f"weights' batch norms expect, and {found['in use']:.2f} with the mean and standard "
        "deviation that would be used",
        f"put a config.json in timm's form beside the weights, with mean [{mean}] and std [{std}], "
        "or see whether the images were normalised before they were stored",
    )


def _much_better(found: dict[str, float]) -> str | None:
    """The preparation that fits much better than the one in use, and well."""
    best = min(found, key=lambda name: found[name])
    return best if found["in use"] >= _BETTER * found[best] and found[best] <= _NEAR else None


def _like_imagenet(views: Tensor) -> Tensor:
    """The same views with each channel's mean and standard deviation those of ImageNet."""
    images = views.float() / 255
    std, mean = torch.std_mean(images, (0, 2, 3), keepdim=True)
    target = torch.tensor([IMAGENET_MEAN, IMAGENET_STD], device=views.device)[..., None, None]
    images = (images - mean) / std.clamp_min(1 / 255) * target[1] + target[0]
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8)


def _order(model: nn.Module, views: Tensor, preprocess: Preprocess) -> Order:
    """Both orders of channels, image by image."""
    network = folded(model).to(views.device).to(memory_format=torch.channels_last)
    (logits, classes), (others, exchanged) = (
        _largest(network, images, preprocess) for images in (views, views.flip(1))
    )
    gain = (logits - others).double()
    same = classes == exchanged
    t = 0.0
    if len(gain) > 1:
        error = gain.std() / len(gain) ** 0.5
        t = float(gain.mean() / error.clamp_min(1e-9))
    return Order(float(same.double().mean()), len(set(classes[same].tolist())), t)


def _largest(model: nn.Module, views: Tensor, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """(N,) largest logits and their classes, on the CPU: Apple's GPUs have no float64."""
    parts = []
    with torch.inference_mode():
        for first in range(0, len(views), _CHUNK):
            images = preprocess.normalise(views[first : first + _CHUNK])
            parts.append(model(images).float().max(1))
    return torch.cat([p.values for p in parts]).cpu(), torch.cat([p.indices for p in parts]).cpu()


def _exchanged(order: Order, images: int) -> Iterator[Fault]:
    if order.exchanged:
        yield Fault(
            "channel order",
            f"the weights recognise {order.same:.0%} of {images} images in either order, and more "
            f"surely with red and blue exchanged (t = {-order.t:.1f})",
            "the images were stored, or the weights trained, as BGR: store the images in the order "
            "of the weights",
        )
