"""What came of the run, as the checks ask for it: no check cries while the outcome is well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import fmean, median

from fathom.doctor.nouns import Evidence
from fathom.doctor.observed import Exam, LayerFacts, Look, Observed, Signals, Weights
from fathom.figures.charts import Axis, LineChart, Series
from fathom.training.choices import CrossEntropy

TRIAL = "trial, first half"
POOR = 0.5  # of the logarithm of the classes, above which the loss on training images is poor
CHANCE = 0.9  # of it, above which nothing was learnt to speak of


def last_exam(seen: Observed, split: str, weights: str = "result") -> Exam | None:
    """The last exam of a split with these weights."""
    found = [e for e in seen.exams if e.split == split and e.weights == weights]
    return max(found, key=lambda exam: exam.step, default=None)


def chance(seen: Observed) -> float:
    """The loss (nats) of an answer that knows nothing, ln K; nan, which no loss is above or below,
    where K is not known."""
    return math.log(seen.task.num_classes) if seen.task.num_classes > 1 else math.nan


def end_loss(seen: Observed) -> float:
    """The loss on training images at the end of the run, of the last eighth of the steps or of the
    exam, whichever is lower: steps see mixed and augmented images, an exam the average. Steps by
    another loss than cross entropy do not count: ln K says nothing of it.

    Infinite where the run diverged, nan before its end, and where no such loss is known.
    """
    if seen.diverged is not None:
        return math.inf
    if not seen.over:
        return math.nan
    losses = seen.curve.loss if _by_cross_entropy(seen) else []
    found = [exam.loss for exam in (last_exam(seen, "train"),) if exam is not None]
    found += [fmean(losses[-math.ceil(len(losses) / 8) :])] if losses else []
    return min((loss for loss in found if math.isfinite(loss)), default=math.nan)


def _by_cross_entropy(seen: Observed) -> bool:
    """Whether the losses of the steps are cross entropy, as those of a loop without a recipe are
    taken to be."""
    loss: Mapping[str, object] = seen.task.recipe.get("loss", {})
    return loss.get("name", CrossEntropy.name) == CrossEntropy.name


def end_top1(seen: Observed) -> float:
    """The accuracy of the last eighth of the steps, in training mode; nan where nobody told."""
    known = [top1 for top1 in seen.curve.top1 if top1 is not None]
    return fmean(known[-math.ceil(len(known) / 8) :]) if known else math.nan


def poor(seen: Observed) -> bool:
    """Whether the network fits its own training images badly at the end."""
    return end_loss(seen) > POOR * chance(seen)


def nothing_learnt(seen: Observed) -> bool:
    """Whether it ended about where guessing is."""
    return end_loss(seen) > CHANCE * chance(seen)


def outcome(seen: Observed) -> Evidence:
    """The evidence that the run ended badly."""
    return Evidence(
        "loss on training images at the end (nats)",
        end_loss(seen),
        POOR * chance(seen),
        above=True,
        source=f"half of ln {seen.task.num_classes}, the loss of guessing; {TRIAL}",
    )


def ended(seen: Observed) -> str:
    """How the run ended, in words."""
    if seen.diverged is not None:
        return f"the loss was no longer a number at step {seen.diverged:,}"
    return (
        f"the loss on training images ended at {end_loss(seen):.2f} (guessing: {chance(seen):.2f})"
    )


def weighted(seen: Observed) -> list[LayerFacts]:
    """The convolutions and linear layers, in the order of building."""
    return [layer for layer in seen.structure.layers if layer.kind in ("conv", "linear")]


def normless(seen: Observed) -> bool:
    """Whether the network has no layer that normalises."""
    return not any(layer.kind == "norm" for layer in seen.structure.layers)


def trained_weights(seen: Observed, look: Look) -> list[Weights]:
    """The weights of layers that are trained, in the order of building."""
    names = [layer.name for layer in weighted(seen) if layer.trainable and layer.optimised]
    return [look.weights[name] for name in names if name in look.weights]


def inner_signals(seen: Observed, look: Look) -> dict[str, Signals]:
    """The signals of all convolutions and linear layers but the first, which sees images."""
    names = [layer.name for layer in weighted(seen)][1:]
    return {name: look.signals[name] for name in names if name in look.signals}


def middle(values: Iterable[float]) -> float:
    """The median; nan of nothing."""
    found = list(values)
    return median(found) if found else math.nan


def relative_update(seen: Observed, look: Look) -> float:
    """The median over layers of the step's norm over that of the weights."""
    return middle(w.update / w.norm for w in trained_weights(seen, look) if w.norm)


def in_recipe(seen: Observed, path: str, value: str) -> dict[str, str]:
    """A change of the recipe, where the run had one that knows this path."""
    known: object = seen.task.recipe
    for part in path.split("."):
        if not isinstance(known, dict) or part not in known:
            return {}
        known = known[part]
    return {path: value}


def loss_chart(seen: Observed, title: str) -> LineChart | None:
    """The loss and the learning rate step by step, both over their largest finite value."""
    curve = seen.curve
    if not curve.step or not max(curve.lr) or not max(curve.loss):
        return None
    top, rate = max(curve.loss), max(curve.lr)
    return LineChart(
        title,
        Axis("Step"),
        Axis("Share of the largest"),
        (
            Series("Loss", curve.step, [loss / top for loss in curve.loss]),
            Series("Learning rate", curve.step, [lr / rate for lr in curve.lr]),
        ),
        f"The largest loss was {top:.3g}, the largest learning rate {rate:.3g}.",
    )
