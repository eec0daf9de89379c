"""Modes: layers that do one thing in training and another in evaluation, and the average of the
weights that is evaluated instead of them."""

from __future__ import annotations

import math
from statistics import fmean, median

from fathom.doctor.checks.outcome import end_top1, in_recipe, last_exam
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed

_DEFINITION = "definition"
_PASSES = 10  # of training, before anything is said
_OLD = 0.1  # share of an average from the first half of the run
_HARM = 0.05  # of accuracy
_USUAL = 0.1  # momentum of batch norms
_CERTAIN = 3.29  # standard errors, which chance exceeds in one case of a thousand
_JUDGES = 64  # images of a look, at most


def trained_in_eval_mode(seen: Observed) -> Finding | None:
    """Measure: share of the training passes with every norm, dropout and the model itself in
    evaluation mode, where one of these layers learns, or stands behind one that does.
    Threshold: a quarter, as it is after a first epoch where `model.train()` is not called again;
    fewer may be a last phase on frozen statistics. Source: by definition of `nn.Module.train`.
    """
    passes = seen.passes
    if passes.training < _PASSES or not _has_modes_that_learn(seen):
        return None
    share = passes.training_in_eval_mode / passes.training
    if share <= 0.25:
        return None
    return Finding(
        "trained-in-eval-mode",
        f"{100 * share:.0f} % of the training passes ran in evaluation mode: batch norms used "
        "their stored statistics, and dropout was off.",
        (Evidence("training passes in evaluation mode (share)", share, 0.25, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Call model.train() before every epoch: evaluation leaves the model in its own mode.",
            code="for epoch in range(epochs):\n    model.train()",
        ),
        since=_PASSES,
        rejected=(Rejected("missing-normalisation", "the norms are there, but switched off"),),
    )  # fmt: skip


def _has_modes_that_learn(seen: Observed) -> bool:
    """A frozen beginning in evaluation mode is deliberate: only what comes behind it counts."""
    learns = False
    for layer in seen.structure.layers:
        learns = learns or layer.trainable
        if layer.kind == "dropout" and learns:
            return True
        if layer.class_name.startswith(("BatchNorm", "SyncBatchNorm")) and layer.trainable:
            return True
    return False


def frozen_norm_uses_batch_statistics(seen: Observed) -> Finding | None:
    """Measure: batch norms whose weight and bias are frozen, but that average over the batch and
    move their running statistics. Threshold: none may. Source: by definition of a frozen layer; a
    known trap since github.com/keras-team/keras/pull/9965.
    """
    moving = seen.passes.frozen_norms_moving
    if not moving:
        return None
    frozen = [x.name for x in seen.structure.layers if x.kind == "norm" and x.frozen]
    return Finding(
        "frozen-norm-uses-batch-statistics",
        f"{moving} batch norms have frozen weights, but still use the statistics of each batch, "
        "so that what the frozen layers give out changes from step to step.",
        (Evidence("frozen batch norms in training mode", moving, 0, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Put frozen batch norms into evaluation mode after each model.train().",
            code="for module in model.modules():\n"
            "    if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.requires_grad:\n"
            "        module.eval()",
        ),
        where=tuple(frozen),
        since=seen.looks[0].step if seen.looks else None,
    )  # fmt: skip


def batch_statistics_in_evaluation(seen: Observed) -> Finding | None:
    """Measure: share of the passes without gradients, once training has begun, in which a batch
    norm averages over the batch. Threshold: all of at least two; where some use the running
    statistics, the others measure these anew. Source: by definition of `nn.Module.eval`.
    """
    return _wrong_in_all_evaluation(
        seen,
        "batch-statistics-in-evaluation",
        seen.passes.evaluating_with_batch_statistics,
        "batch norms used the statistics of the batch, so that answers depend on the images "
        "that happen to be judged together",
    )


def dropout_in_evaluation(seen: Observed) -> Finding | None:
    """Measure: share of the passes without gradients, once training has begun, in which a dropout
    is on. Threshold: all of at least two. Source: by definition of `nn.Module.eval`.
    """
    return _wrong_in_all_evaluation(
        seen,
        "dropout-in-evaluation",
        seen.passes.evaluating_with_dropout,
        "dropout was on, so that answers are partly chance",
    )


def _wrong_in_all_evaluation(seen: Observed, cause: str, wrong: int, means: str) -> Finding | None:
    every = seen.passes.evaluating
    if wrong < 2 or wrong < every or not seen.over:
        return None
    return Finding(
        cause,
        f"In all {every} evaluation passes {means}.",
        (Evidence("evaluation passes in that mode (share)", wrong / every, 0.99, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Call model.eval() before evaluation, and model.train() after it.",
            code="model.eval()\nwith torch.no_grad():\n    logits = model(images)",
        ),
    )  # fmt: skip


def ema_too_slow(seen: Observed) -> Finding | None:
    """Measure: the share of the average of the weights that was laid down before the first half of
    the run was over, and by how much its accuracy is below that of the weights themselves.
    Threshold: a tenth, and five points that chance explains in under one case of a thousand.
    Source: the share is exact: average = d * average + (1 - d) * weights, over the steps.
    """
    decay = seen.task.ema
    pairs = [(last_exam(seen, s, "raw"), last_exam(seen, s)) for s in ("val", "test")]
    raw, mean = next(((a, b) for a, b in pairs if a is not None and b is not None), (None, None))
    steps = seen.curve.step[-1] if seen.curve.step else 0
    if decay is None or raw is None or mean is None:
        return None
    old = _share_of_first_half(decay, steps, warms_up=bool(seen.task.recipe))
    harm = raw.top1 - mean.top1
    least = _no_chance(min(raw.images, mean.images))
    if old <= _OLD or harm <= least:
        return None
    better = f"{0.01 ** (10 / max(10, steps)):.3g}"  # a hundredth older than a tenth of the run
    return Finding(
        "ema-too-slow",
        f"With a decay of {decay:.6g}, {100 * old:.0f} % of the averaged weights still come from "
        f"the first half of these {steps:,} steps: the average is right on "
        f"{100 * mean.top1:.1f} % of validation images, the weights themselves on "
        f"{100 * raw.top1:.1f} %.",
        (Evidence("share of the average from the first half", old, _OLD, above=True,
                  source=_DEFINITION),
         Evidence("accuracy lost by averaging", harm, least, above=True,
                  source="normal approximation, p = 0.001")),
        Remedy(
            f"Lower the decay of the average to {better}, or train longer.",
            in_recipe(seen, "ema", better),
            code=f"ema_decay = {better}",
        ),
        rejected=(Rejected("overfitting", "the weights that train do well on the same images"),),
    )  # fmt: skip


def _no_chance(images: int) -> float:
    """The difference of two accuracies, by so many images each, that is harm and no chance."""
    return max(_HARM, _CERTAIN * math.sqrt(2 * 0.25 / max(1, images)))


def _share_of_first_half(decay: float, steps: int, *, warms_up: bool) -> float:
    """Fathom's own average begins with a decay of (1 + t) / (10 + t)."""
    later = range(steps // 2, steps)
    return math.prod(min(decay, (1 + t) / (10 + t)) if warms_up else decay for t in later)


def norm_statistics_behind(seen: Observed) -> Finding | None:
    """Measure: the share of the running statistics of batch norms that was laid down before the
    first half of the run was over, and the accuracy in training mode less that in evaluation mode:
    on the same images at the looks of the last quarter, or, where a run is too short for such
    looks, of the last eighth of the steps and of the training images judged at the end.
    Threshold: a tenth, by a momentum under PyTorch's own 0.1, at which only a run of under 44 steps
    is behind, and that is short of steps; and five points that chance explains in under one case of
    a thousand. Source: the share is exact: running = (1 - m) * running + m * batch, over the steps.
    """
    steps = seen.curve.step[-1] if seen.curve.step else 0
    momenta = [layer.momentum for layer in seen.structure.layers if layer.momentum is not None]
    by_mode = _by_mode(seen)
    if not seen.over or not momenta or by_mode is None:
        return None
    old = (1 - median(momenta)) ** (steps / 2)
    train, evaluation, least = by_mode
    harm = train - evaluation
    if old <= _OLD or median(momenta) >= _USUAL or harm <= least:
        return None
    better = f"{1 - 0.01 ** (2 / steps):.2g}"  # leaves a hundredth of the first half
    return Finding(
        "norm-statistics-behind",
        f"With a momentum of {median(momenta):.4g}, {100 * old:.0f} % of the statistics that batch "
        f"norms use in evaluation still come from the first half of these {steps:,} steps: the "
        f"network is right on {train:.0%} of the training images in training mode and on "
        f"{evaluation:.0%} in evaluation mode.",
        (Evidence("share of the running statistics from the first half", old, _OLD, above=True,
                  source=_DEFINITION),
         Evidence("accuracy lost by evaluation mode", harm, least, above=True,
                  source="normal approximation, p = 0.001")),
        Remedy(
            f"Give batch norms a momentum of {better}, train longer, or measure the statistics "
            "anew before evaluating.",
            in_recipe(seen, "recalibrate", "50"),
            code="for module in model.modules():\n"
            "    if isinstance(module, torch.nn.BatchNorm2d):\n"
            f"        module.momentum = {better}",
        ),
        rejected=(Rejected("overfitting", "the same images are named right in training mode"),),
    )  # fmt: skip


def _by_mode(seen: Observed) -> tuple[float, float, float] | None:
    """The accuracy on training images in training and in evaluation mode towards the end of the
    run, and by how much it has to differ so that it is no chance."""
    steps = seen.curve.step[-1] if seen.curve.step else 0
    late = [look.modes for look in seen.looks if look.modes and look.step > 0.75 * steps]
    if late:
        train, evaluation = (fmean(modes[mode][1] for modes in late) for mode in ("train", "eval"))
        judged = min(_JUDGES, seen.task.batch_size or _JUDGES) * len(late)
        return train, evaluation, _no_chance(judged)
    exam, shown = last_exam(seen, "train"), end_top1(seen)
    if exam is None or seen.task.ema is not None or math.isnan(shown):
        return None
    return shown, exam.top1, _no_chance(exam.images)


CHECKS: dict[str, Check] = {
    "trained-in-eval-mode": trained_in_eval_mode,
    "frozen-norm-uses-batch-statistics": frozen_norm_uses_batch_statistics,
    "batch-statistics-in-evaluation": batch_statistics_in_evaluation,
    "dropout-in-evaluation": dropout_in_evaluation,
    "ema-too-slow": ema_too_slow,
    "norm-statistics-behind": norm_statistics_behind,
}
