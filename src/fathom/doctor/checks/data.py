"""Data: what the network is fed, in which order, and what stands in both splits."""

from __future__ import annotations

from fathom.doctor.checks import labels, splits
from fathom.doctor.checks.outcome import TRIAL, in_recipe, last_exam
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed
from fathom.transfer.fits import PREPARATIONS

_LARGE = 10.0  # root mean square of what the first layer is given
_SMALL = 0.02
_FITS = "docs/results/transfer.md"
_BETTER = 1.08  # as in transfer.fits
_SURE = 3.5
_CLUMPS = 8.0  # images that behave as one draw
_FIRST = 256  # labels, below which nothing is said of their order
_BLANK = 0.02
_MOVING = 0.05
_RARE = 5.0  # times fewer images than the largest class
_HALF = 0.5
_JUDGED = 10  # validation images of rare classes
_NORMALISE = (
    "mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # of your own images\n"
    "images = (images.float() / 255 - mean) / std  # by channel"
)


def input_range(seen: Observed) -> Finding | None:
    """Measure: root mean square of what the first layer with weights is given; of pretrained
    weights, whether they want another range, by the distance from their batch norms.
    Threshold: above 10 or below 0.02, where normalised images have about 1, and images in [0, 255]
    or divided by 255 twice about 100 and 0.002. Source: LeCun et al. 1998, "Efficient BackProp",
    Section 4.3 (inputs of mean 0 and variance 1); the limits by the trial's first half.
    """
    inputs, raw = seen.inputs, "pixels from 0 to 255"
    size = inputs.entering
    far = size > _LARGE or 0 < size < _SMALL
    if inputs.ways:
        far = raw in (inputs.better, inputs.fed_as if inputs.better else "")
    if not inputs.images or not far:
        return None
    limit, above = (_LARGE, True) if size > 1 else (_SMALL, False)
    wanted = f" The weights' batch norms want {inputs.better}." if inputs.better else ""
    return Finding(
        "input-range",
        f"The images lie between {inputs.low:.4g} and {inputs.high:.4g}, and the first layer is "
        f"given values of about {size:.3g} where about 1 is usual.{wanted}",
        (Evidence("root mean square of what the first layer is given", size, limit, above=above,
                  source=f"LeCun et al. 1998; {TRIAL}"),),
        _as_wanted(inputs.better) if inputs.better else Remedy(
            "Scale the images to [0, 1], then subtract their mean and divide by their standard "
            "deviation, in training and in evaluation alike.",
            code=_NORMALISE,
        ),
        since=1,
    )  # fmt: skip


def _as_wanted(better: str) -> Remedy:
    """Prepare the images in one of the usual ways."""
    mean, std = PREPARATIONS[better]
    return Remedy(
        f"Prepare the images as the weights expect: {better}, in training and in evaluation alike.",
        code=f"mean, std = {[*mean]}, {[round(s, 5) for s in std]}\n"
        "images = (images.float() / 255 - mean) / std  # by channel, of pixels from 0 to 255",
    )


def input_statistics(seen: Observed) -> Finding | None:
    """Measure: distance of the images, as they are prepared, from what the batch norms of
    pretrained weights have learnt, over that of the best other common preparation.
    Threshold: 1.08, and the best within 0.7 standard deviations, for the images as they are and
    with ImageNet's mean and deviation. Source: `transfer.fits`, set in docs/results/transfer.md.
    """
    inputs = seen.inputs
    if not inputs.better or input_range(seen) is not None:
        return None
    now, best = inputs.ways["in use"], inputs.ways[inputs.better]
    return Finding(
        "input-statistics",
        f"The pretrained weights fit {inputs.better} better ({best:.2f} standard deviations from "
        f"what their batch norms expect) than {inputs.fed_as}, as they are fed ({now:.2f}).",
        (Evidence("times further from the batch norms than the best way", now / best, _BETTER,
                  above=True, source=_FITS),),
        _as_wanted(inputs.better),
        since=1,
    )  # fmt: skip


def channel_order(seen: Observed) -> Finding | None:
    """Measure: t value by which a pretrained network with its own classifier knows the images more
    surely with red and blue exchanged, where it names most of them alike in both orders.
    Threshold: 3.5. Source: `transfer.fits`, set in docs/results/transfer.md.
    """
    if seen.inputs.exchanged < _SURE:
        return None
    return Finding(
        "channel-order",
        "The pretrained weights know the images more surely with red and blue exchanged "
        f"(t = {seen.inputs.exchanged:.1f}).",
        (Evidence("t value of being surer with red and blue exchanged", seen.inputs.exchanged,
                  _SURE, above=True, source=_FITS),),
        Remedy(
            "Give the channels in the order of the weights, which is RGB for nearly all.",
            code="image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)",
        ),
        since=1,
    )  # fmt: skip


def blank_images(seen: Observed) -> Finding | None:
    """Measure: share of training images, not augmented, whose standard deviation is at most a
    hundredth of that of all. Threshold: 2 %, and 3 images. Source: the trial's first half.
    """
    found = seen.sharing
    if found.blank <= _BLANK or found.blank * found.plain < 3:
        return None
    return Finding(
        "blank-images",
        f"{found.blank:.0%} of {found.plain:,} training images are of one colour all over.",
        (Evidence("share of blank training images", found.blank, _BLANK, above=True,
                  source=TRIAL),),
        Remedy(
            "See how these images were read, cut and stored; leave them out or read them anew.",
            code="blank = [i for i, (image, _) in enumerate(dataset) if image.std() < 1e-3]",
        ),
    )  # fmt: skip


def not_shuffled(seen: Observed) -> Finding | None:
    """Measure: how many images behave as one draw of a label (`feed.clumps`), of the first 2,048.
    Threshold: 8 of the 32 of a window; images that are shown up to four times in a batch come to 4.
    Source: 1 by definition of independent draws; the limit by the trial's first half.
    """
    order = seen.order
    if order.labels < _FIRST or order.clumps <= _CLUMPS:
        return None
    return Finding(
        "not-shuffled",
        f"Labels come in runs: {order.clumps:.0f} images in a row tell no more of the classes than "
        "one image would if they were shuffled.",
        (Evidence("images that behave as one draw", order.clumps, _CLUMPS, above=True,
                  source=TRIAL),),
        Remedy(
            "Shuffle the training images anew in every epoch.",
            code="loader = DataLoader(dataset, batch_size, shuffle=True)",
        ),
        since=order.labels // max(1, seen.task.batch_size or 32),
    )  # fmt: skip


def same_worker_streams(seen: Observed) -> Finding | None:
    """Measure: whether two fresh workers give the same images for the same places, while each gives
    others when it is asked again. Threshold: all of 8 images. Source: by definition.
    """
    if not seen.sharing.same_streams:
        return None
    return Finding(
        "same-worker-streams",
        "Two fresh workers of the training loader draw the same augmentations: images repeat each "
        "other's, and every epoch repeats the first.",
        (Evidence("share of augmented images that two workers made alike", 1.0, _HALF, above=True,
                  source="definition"),),
        Remedy(
            "Let each worker draw from a generator of its own, seeded in worker_init_fn.",
            code="def seed(worker):\n"
            "    info = torch.utils.data.get_worker_info()\n"
            "    info.dataset.rng = random.Random(info.seed)\n"
            "loader = DataLoader(dataset, num_workers=4, worker_init_fn=seed)",
        ),
    )  # fmt: skip


def augmented_validation(seen: Observed) -> Finding | None:
    """Measure: share of validation images that differ when they are read twice.
    Threshold: 5 %. Source: none may, by definition of evaluation; a twentieth for broken reading.
    """
    moving = seen.sharing.moving
    if moving <= _MOVING:
        return None
    return Finding(
        "augmented-validation",
        f"{moving:.0%} of the validation images come out differently when they are read again: "
        "they are augmented, or read at random.",
        (Evidence("share of validation images that differ when read twice", moving, _MOVING,
                  above=True, source="definition"),),
        Remedy(
            "Give the validation images a transform without anything random: resize, centre crop, "
            "normalise.",
            code="val.transform = transforms.Compose(\n"
            "    [transforms.Resize(256), transforms.CenterCrop(224), to_tensor, normalise]\n)",
        ),
    )  # fmt: skip


def collapse_to_majority(seen: Observed) -> Finding | None:
    """Measure: recall of the rare classes, those with at most a fifth of the largest one's images,
    over that of the others, in validation. Threshold: half, with 10 images of rare classes.
    Source: the trial's first half.
    """
    exam, counts = last_exam(seen, "val") or last_exam(seen, "test"), seen.task.counts
    if exam is None or exam.matrix is None or len(counts) != len(exam.matrix):
        return None
    rare = [k for k, count in enumerate(counts) if 0 < count * _RARE <= max(counts)]
    others = [k for k, count in enumerate(counts) if count * _RARE > max(counts)]
    judged = sum(sum(exam.matrix[k]) for k in rare)
    rest = sum(sum(exam.matrix[k]) for k in others)
    if judged < _JUDGED or not rest:
        return None
    low = sum(exam.matrix[k][k] for k in rare) / judged
    high = sum(exam.matrix[k][k] for k in others) / rest
    if high < 2 / len(counts) or low >= _HALF * high:
        return None
    least, most = min(counts[k] for k in rare), max(counts)
    train = last_exam(seen, "train")
    return Finding(
        "collapse-to-majority",
        f"Of validation images of the {len(rare)} rare classes (of {least} training images or "
        f"more, where the largest class has about {most:,}) {low:.0%} are named right, and "
        f"{high:.0%} of the others.",
        (Evidence("recall of rare classes over that of the others", low / high, _HALF,
                  above=False, source=TRIAL),
         Evidence("images of the largest class over those of the smallest", most / least, _RARE,
                  above=True, source=TRIAL)),
        Remedy(
            "Draw every class equally often, and get more images of the rare ones.",
            in_recipe(seen, "sampling", "balanced"),
            "weights = [1 / counts[target] for target in targets]\n"
            "sampler = WeightedRandomSampler(weights, len(weights))\n"
            "loader = DataLoader(dataset, batch_size, sampler=sampler)",
        ),
        where=tuple(f"class {k}" for k in rare),
        rejected=() if train is None else (
            Rejected("underfitting", f"{train.top1:.0%} of the training images are named right"),),
    )  # fmt: skip


CHECKS: dict[str, Check] = {
    "input-range": input_range,
    "input-statistics": input_statistics,
    "channel-order": channel_order,
    "blank-images": blank_images,
    **splits.CHECKS,
    "not-shuffled": not_shuffled,
    "same-worker-streams": same_worker_streams,
    "augmented-validation": augmented_validation,
    "collapse-to-majority": collapse_to_majority,
    **labels.CHECKS,
}
