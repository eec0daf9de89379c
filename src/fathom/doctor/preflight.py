"""The pre-flight: what would spoil a run, found within about a minute, before hours are spent.

Every test is a small function of what a recipe loads: it measures one thing, holds it against a
threshold, and says what to do. The data come first, then the network on a few of their images. The
run itself is not begun, and nothing is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.costs.memory import memory
from fathom.data.batches import Batch
from fathom.doctor.line import untouched
from fathom.doctor.preflight_data import (
    blank_images,
    class_counts,
    duplicates,
    fit_of_weights,
    labels_of_images,
    sample,
)
from fathom.doctor.preflight_result import Result
from fathom.doctor.structure import BatchNorm, read_structure
from fathom.evaluate import autocast
from fathom.features.backbone import Backbone
from fathom.models.base import ImageClassifier
from fathom.runtime import available_memory, configured, derive_seed
from fathom.training.choices import SGD, CrossEntropy
from fathom.training.loss import training_loss
from fathom.training.optim import build_optimizer
from fathom.training.recipe import Recipe
from fathom.training.setup import Setup

_IMAGES = 32  # of a batch that the network is tried on
_LEARNT = 16  # images to be learnt by heart
_STEPS, _SECONDS = 300, 25.0  # within which
_RATE = 1e-3
_TIMED = 3  # steps
_EXCESS = 10.0  # nats above ln K
_SHIFT, _STRETCH = 1.0, 3.0  # of normalised inputs
_SAME = 1e-3  # of the largest logit


@dataclass(frozen=True)
class Ground:
    """What a recipe loads, its first batch, and the seconds that loading a batch takes."""

    setup: Setup
    batch: Batch
    load_seconds: float

    @classmethod
    def of(cls, recipe: Recipe) -> Ground:
        """Load everything. Raises UserError for what cannot be used."""
        setup = Setup.of(recipe)
        stream = setup.batches.start(0)
        batch = next(stream)
        began = time.monotonic()
        for _ in range(_TIMED):
            next(stream)
        seconds = (time.monotonic() - began) / _TIMED
        return cls(setup, batch, seconds)

    @property
    def some(self) -> tuple[Tensor, Tensor]:
        """Images and targets of the first batch, a few."""
        return self.batch.images[:_IMAGES], self.batch.targets[:_IMAGES]


def preflight(recipe: Recipe) -> Iterator[Result]:
    """One result after the other.

    Raises UserError for a recipe, data or weights that cannot be used.
    """
    ground = Ground.of(recipe)
    setup = ground.setup
    with configured(setup.runtime), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "preflight"))
        views, _ = sample(setup.dataset)
        yield class_counts(setup)
        yield duplicates(setup.dataset)
        yield blank_images(views)
        yield inputs(ground)
        if recipe.model.weights is not None:
            network = Backbone(recipe.model.name, recipe.model.weights).build()
            network = network.to(setup.runtime.device)
            yield fit_of_weights(views, network)
            yield labels_of_images(setup, network)
        yield in_optimizer(setup)
        yield modes(ground)
        yield start_of_loss(ground)
        yield from learning(ground)
        yield length(ground)
        yield room(setup)


def inputs(ground: Ground) -> Result:
    """Measure: mean and deviation of each channel of a training batch, as the network is fed.

    Threshold: a mean within 1 of 0, a deviation between 1/3 and 3; ours, wide enough for any
    augmentation. Pretrained weights are asked in another test what they expect.
    """
    images = ground.batch.images.float()
    std, mean = (t.tolist() for t in torch.std_mean(images, (0, 2, 3)))
    low, high = images.min().item(), images.max().item()
    fine = all(abs(m) <= _SHIFT for m in mean) and all(1 / _STRETCH <= s <= _STRETCH for s in std)
    pretrained = ground.setup.recipe.model.weights is not None
    shown = ", ".join(f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, std, strict=True))
    return Result(
        "inputs are normalised",
        None if pretrained and not fine else fine,
        f"mean ± deviation by channel {shown}; from {low:.2f} to {high:.2f}",
        f"means within {_SHIFT:g} of 0, deviations from 1/{_STRETCH:g} to {_STRETCH:g}",
        "see what augmentation does to the pixels: fathom augment show",
    )


def in_optimizer(setup: Setup) -> Result:
    """Measure: trainable parameters that the recipe's optimizer lacks. Threshold: none may be."""
    recipe, model = setup.recipe, setup.model
    optimizer = build_optimizer(
        model, recipe.optimizer, layer_decay=recipe.layer_decay, decay_norms=recipe.decay_norms
    )
    found = read_structure(model, optimizer)
    return Result(
        "the optimizer has every parameter",
        found.params > 0 and found.unoptimised_params == 0,
        f"{found.params - found.unoptimised_params:,} of {found.params:,} trainable parameters",
        "all of them",
        "give the optimizer all parameters, after the model has its last form",
    )


def modes(ground: Ground) -> Result:
    """Measure: frozen batch norms that use batch statistics in training; in evaluation, how much
    the logits of one image depend on the rest of the batch, or on chance.

    Threshold: none may; a thousandth of the largest logit is left to rounding.
    """
    model, (images, _) = ground.setup.model, ground.some
    with untouched(model), torch.no_grad(), autocast(ground.setup.runtime):
        model.train()
        moving = sum(map(_frozen_but_moving, model.modules()))
        model.eval()
        together, alone = model(images).float(), model(images[:1]).float()
    apart = float((together[:1] - alone).abs().max() / together.abs().max().clamp_min(1e-12))
    rounding = _SAME if ground.setup.runtime.precision == "float32" else 30 * _SAME
    return Result(
        "norms and dropout change with the mode",
        moving == 0 and apart <= rounding,
        f"{moving} frozen norms use batch statistics; in evaluation the logits of an image differ "
        f"by {apart:.1e} of the largest with others beside it",
        f"none, and at most {rounding:.0e}",
        "evaluate in evaluation mode: model.eval(); freeze norms with model.frozen_norms=true",
    )


def _frozen_but_moving(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return (
        isinstance(module, BatchNorm)
        and isinstance(weight, nn.Parameter)
        and not weight.requires_grad
        and module.training
        and type(module).__name__ != "FrozenBatchNorm2d"
    )


def start_of_loss(ground: Ground) -> Result:
    """Measure: cross entropy (nats) of the first batch before any step, against ln K, that of
    answering all K classes alike.

    Threshold: 10 above it; ours. It is so wide because EfficientNet's heads, drawn as its code
    does, begin several above for few classes, and train well. A head that came with the weights may
    know the classes, so that only the upper side counts.
    Source: the rule to verify the loss at the start, Karpathy 2019, "A Recipe for Training Neural
    Networks".
    """
    images, targets = ground.some
    model, chance = ground.setup.model, math.log(len(ground.setup.dataset.class_names))
    with untouched(model), torch.no_grad(), autocast(ground.setup.runtime):
        output = model.train()(images)
        logits = output if isinstance(output, Tensor) else output.logits
    loss = float(F.cross_entropy(logits.float(), targets))
    return Result(
        "the loss starts where chance is",
        math.isfinite(loss) and loss <= chance + _EXCESS,
        f"{loss:.2f} nats; ln {len(ground.setup.dataset.class_names)} is {chance:.2f}",
        f"at most {chance + _EXCESS:.2f}",
        "the outputs are too large: see initialisation and norms, and what the inputs are",
    )


@dataclass(frozen=True)
class Learnt:
    """What some steps on one batch came to. missing, zero: parameters that got no gradient, or
    nothing but zeros; ended: whether all steps were taken in the time."""

    steps: int
    losses: tuple[float, float]
    right: int
    images: int
    missing: list[str]
    zero: list[str]
    ended: bool


def learning(ground: Ground) -> Iterator[Result]:
    """Whether gradients reach every parameter, and whether a few images can be learnt by heart."""
    images, targets = _distinct(*_plain(ground))
    found = learn_by_heart(
        ground.setup.model, images, targets, context=lambda: autocast(ground.setup.runtime)
    )
    yield _gradients(found)
    yield _memorised(found)


def _plain(ground: Ground) -> tuple[Tensor, Tensor]:
    """Training images as they are evaluated, of as many classes as there are, and their classes."""
    dataset, device = ground.setup.dataset, ground.setup.runtime.device
    views, targets = sample(dataset, 2 * _LEARNT)
    return dataset.preprocess.normalise(views.to(device)), targets.to(device)


def _distinct(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """At most sixteen of them, none twice: one image of two classes cannot be learnt."""
    seen: dict[bytes, int] = {}
    for place, image in enumerate(images.cpu()):
        seen.setdefault(image.numpy().tobytes(), place)
    kept = list(seen.values())[:_LEARNT]
    return images[kept], targets[kept]


def learn_by_heart(
    model: ImageClassifier,
    images: Tensor,
    targets: Tensor,
    *,
    context: Callable[[], Any],
    steps: int = _STEPS,
    seconds: float = _SECONDS,
) -> Learnt:
    """Train on one batch until every image is named right, for so many steps or seconds at most.

    AdamW with a rate of 1e-3, without dropout. The weights are changed.
    """
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=_RATE, weight_decay=0.0)
    missing, zero = set(trained), set(trained)
    losses: list[float] = []
    right, began = 0, time.monotonic()
    _train_without_dropout(model)
    while not losses or (len(losses) < steps and time.monotonic() - began < seconds):
        optimizer.zero_grad(set_to_none=True)
        with context():
            loss, logits = training_loss(model, images, targets, CrossEntropy())
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        right = int((logits.argmax(1) == targets).sum())
        if zero:
            missing -= {n for n in missing if trained[n].grad is not None}
            zero -= {n for n in zero if _any(trained[n].grad)}
        if not math.isfinite(losses[-1]) or (right == len(targets) and len(losses) > _TIMED):
            break
        optimizer.step()
    return Learnt(
        len(losses),
        (losses[0], losses[-1]),
        right,
        len(targets),
        sorted(missing),
        sorted(zero - missing),
        len(losses) == steps,
    )


def _any(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _train_without_dropout(model: nn.Module) -> None:
    """Training mode, for all but what drops values at random: what has a rate `drop` or `p`."""
    model.train()
    for module in model.modules():
        if not list(module.children()) and (hasattr(module, "drop") or hasattr(module, "p")):
            module.eval()


def _gradients(found: Learnt) -> Result:
    """Measure: parameters without a gradient, or with zeros alone, over several steps on a batch.

    Threshold: none may be. One step is not enough, as residual branches that start at zero pass
    nothing back in the first.
    """
    count = len(found.missing) + len(found.zero)
    named = ", ".join([*found.missing, *found.zero][:5])
    return Result(
        "every parameter gets a gradient",
        count == 0 if found.steps > 1 or count == 0 else None,
        f"{count} without one over {found.steps} steps" + (f": {named}" if named else ""),
        "none",
        "see whether these layers are used, and whether what they feed is dead or saturated",
    )


def _memorised(found: Learnt) -> Result:
    """Measure: images named right after training on them alone. Threshold: all; ours.

    Source: the advice to overfit one batch, Karpathy 2019, as above.
    """
    done = found.right == found.images
    first, last = found.losses
    return Result(
        "one batch can be learnt by heart",
        True if done else False if found.ended or not math.isfinite(last) else None,
        f"{found.right} of {found.images} images after {found.steps} steps; loss {first:.2f} to "
        f"{last:.2f}" + ("" if done or found.ended else "; the time was over"),
        f"all of them within {_STEPS} steps",
        "a network that cannot learn a few images will learn no more: see its initialisation, "
        "norms and depth, and what the images are",
    )


def length(ground: Ground) -> Result:
    """Measure: seconds of a step, from a few images forward and back and from loading batches, and
    with them the length of the whole run. Nothing to hold it against."""
    setup, recipe = ground.setup, ground.setup.recipe
    images, targets = ground.some
    seconds = _step_seconds(setup, images, targets) * recipe.batch_size / len(images)
    step = max(seconds, ground.load_seconds)
    bound = "loading" if ground.load_seconds > seconds else "computing"
    per_epoch = setup.batches.order.steps_per_epoch
    steps = recipe.steps or (recipe.epochs or 0) * per_epoch
    if recipe.minutes is not None:
        told = f"about {recipe.minutes * 60 / step:,.0f} steps in {recipe.minutes:g} minutes"
    else:
        told = f"about {_clock(steps * step)} for {steps:,} steps, without evaluation"
    return Result(
        "how long it takes",
        True,
        f"{step:.3g} s a step, most of it {bound}; {told}",
        "for you to judge",
        "",
    )


def _step_seconds(setup: Setup, images: Tensor, targets: Tensor) -> float:
    """The least of a few steps forward and back."""
    found = []
    setup.model.train()
    for _ in range(_TIMED):
        began = time.monotonic()
        setup.model.zero_grad(set_to_none=True)
        with autocast(setup.runtime):
            loss, _ = training_loss(setup.model, images, targets, setup.recipe.loss)
        loss.backward()  # type: ignore[no-untyped-call]
        loss.item()
        found.append(time.monotonic() - began)
    return min(found)


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def room(setup: Setup) -> Result:
    """Measure: the bytes of a training step, counted (`fathom.costs.memory`), with a second moment
    for optimizers that keep one. Threshold: the memory that is free here, without what the tests
    before left behind. Under mixed precision activations take less than is counted, so that what
    seems not to fit may."""
    recipe, view = setup.recipe, setup.dataset.preprocess
    part = recipe.batch_size // recipe.accumulate
    found = memory(setup.model, (part, view.channels, recipe.image_size, recipe.image_size))
    trained = sum(p.numel() * p.element_size() for p in setup.model.parameters() if p.requires_grad)
    needed = found.training + (0 if isinstance(recipe.optimizer, SGD) else trained)
    device = setup.runtime.device
    setup.model.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    return Result(
        "it fits in memory",
        needed <= free or (False if setup.runtime.precision == "float32" else None),
        f"{needed / 2**30:.2f} GiB at the peak of a step of {part} images, in float32",
        f"{free / 2**30:.1f} GiB are free on {setup.runtime.device}",
        f"go through the batch in more parts: --set accumulate={2 * recipe.accumulate}",
    )
