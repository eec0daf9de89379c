"""Optimization: how long steps are, for how long, and what pulls on the weights besides."""

from __future__ import annotations

import math
from statistics import fmean

from fathom.doctor.checks.flow import (
    degradation,
    exploding_gradients,
    missing_normalisation,
)
from fathom.doctor.checks.outcome import (
    TRIAL,
    chance,
    end_loss,
    ended,
    in_recipe,
    loss_chart,
    middle,
    nothing_learnt,
    outcome,
    poor,
    relative_update,
    weighted,
)
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Look, Observed

_LINE = "Goodfellow et al. 2014, arXiv:1412.6544, for looking along a line"
_USUAL = 5e-3  # of the weights in a first step, as in the healthy runs of the trial's first half
_SHORT = 1e-3  # a step over its weights
_MOVED = 1e-6  # a step over its weights, below which they have not been moved
_LONG = 0.1
_FURTHER = 3.0  # of ten along a straight line
_BLOWN_UP = 2.0  # times the loss of the beginning, or of guessing
_TAKEN = 5e-3  # of the weights in a step, by decay alone
_OVER = 0.01  # of the largest learning rate, under which a schedule has ended
_IDLE = 1 / 3  # of all steps, after the schedule has ended
_MOSTLY_IDLE = 1 / 2
_FALLS = 0.03  # of the loss from one quarter of the steps to the next


def learning_rate_too_high(seen: Observed) -> Finding | None:
    """Measure: the largest loss after the first step over that of the first step, or of guessing if
    that is larger; and the looks at which the step made the loss of another batch worse by a tenth
    though a tenth of the step did not. Threshold: twice, or half of the looks; and nothing learnt,
    no number left, or a poor end after a first step of over a tenth of the weights. Source: a step
    of more than twice the best length ends higher than it began, LeCun et al. 1998, "Efficient
    BackProp", Section 5.1; Goodfellow et al. 2014, arXiv:1412.6544, for looking along a line; the
    thresholds from the trial's first half.
    """
    losses = seen.curve.loss
    if not poor(seen) or len(losses) < 2 or exploding_gradients(seen) is not None:
        return None
    height = max(losses[1:]) / max(losses[0], chance(seen))
    lines = [look.line for look in seen.looks if look.line]
    worse = fmean(_overshoots(line) for line in lines) if lines else 0.0
    first = relative_update(seen, seen.looks[0]) if seen.looks else math.nan
    if not (height > _BLOWN_UP or worse > 0.5) or not (nothing_learnt(seen) or first > _LONG):
        return None
    if missing_normalisation(seen) is not None and not first > _LONG:
        return None
    better = _rate(seen, _USUAL, otherwise=max(seen.curve.lr) / 10)
    return Finding(
        "learning-rate-too-high",
        f"With a learning rate of {max(seen.curve.lr):.3g}, the loss rose to {height:.1f} times "
        f"its beginning, and {ended(seen)}.",
        (Evidence("highest loss over the first one, or over guessing", height, _BLOWN_UP,
                  above=True, source=TRIAL),
         Evidence("looks at which the step was too long for another batch (share)", worse, 0.5,
                  above=True, source=_LINE),
         Evidence("first step over its weights", first, _LONG, above=True, source=TRIAL)),
        Remedy(
            f"Lower the learning rate to about {better}, and warm it up over the first steps.",
            in_recipe(seen, "optimizer.lr", better),
            code=f"for group in optimizer.param_groups:\n    group['lr'] = {better}",
        ),
        since=seen.diverged,
        rejected=(Rejected("exploding-gradients", "gradients were of ordinary size before the "
                           "first step"),),
        chart=loss_chart(seen, "The loss under this learning rate"),
    )  # fmt: skip


def _overshoots(line: dict[str, float]) -> bool:
    """A tenth of the step helps or does nothing, the whole step harms; not a number is harm."""
    return not line["1"] <= 1.1 * line["0"] and not line["0.1"] > 1.02 * line["0"]


def learning_rate_too_low(seen: Observed) -> Finding | None:
    """Measure: how much further the loss of another batch falls by ten times the step than by the
    step, and the step's norm over that of the weights, the median over layers; both by the median
    over looks at which the rate was at least half of its peak. Threshold: three times, and a
    thousandth, or a tenth of it in a plain network of 30 layers, which takes no long steps at any
    rate; and a poor end. Source: along a straight line ten times the step gives ten times the
    fall; a thousandth is the trial's first half's, and Karpathy's rule of thumb (CS231n, "Neural
    networks, part 3").
    """
    if not poor(seen) or seen.diverged is not None or not seen.curve.lr:
        return None
    peak = max(seen.curve.lr)
    looks = [look for look in seen.looks if look.line and look.lr >= peak / 2]
    gain, update = middle(map(_gain, looks)), middle(relative_update(seen, x) for x in looks)
    limit = _SHORT if degradation(seen) is None else _SHORT / 10
    if not gain > _FURTHER or not update < limit:
        return None
    better = _rate(seen, _USUAL, otherwise=10 * max(seen.curve.lr))
    return Finding(
        "learning-rate-too-low",
        f"Steps as much as ten times longer would lower the loss {gain:.0f} times as far, but "
        f"each step moves the weights by {100 * update:.2g} % only; {ended(seen)}.",
        (Evidence("fall of the loss by ten times the step over that by the step", gain, _FURTHER,
                  above=True, source=_LINE),
         Evidence("step over weights", update, limit, above=False, source=TRIAL), outcome(seen)),
        Remedy(
            f"Raise the learning rate to about {better}.",
            in_recipe(seen, "optimizer.lr", better),
            code=f"for group in optimizer.param_groups:\n    group['lr'] = {better}",
        ),
        rejected=(Rejected("underfitting", "the network has not been moved far enough to tell"),
                  Rejected("stopped-too-early", "longer steps do it in a tenth of the time")),
        chart=loss_chart(seen, "The loss under this learning rate"),
    )  # fmt: skip


def _gain(look: Look) -> float:
    """0 where ten times the step does not help; at most a hundred."""
    begin, by_one, by_ten = (look.line[multiple] for multiple in ("0", "1", "10"))
    if not by_ten < begin:
        return 0.0
    return min(100.0, (begin - by_ten) / max(begin - by_one, 1e-9))


def _rate(seen: Observed, update: float, *, otherwise: float) -> str:
    """The learning rate that makes a step that long, by one digit, from the first that moved the
    weights at all, which a warm-up from 0 does not do at once; otherwise where none was seen, or
    it leads the other way from the largest rate."""
    known = ((relative_update(seen, look), look.lr) for look in seen.looks)
    moved = next(((step, lr) for step, lr in known if step > _MOVED and lr), None)
    wanted = otherwise if moved is None else moved[1] * update / moved[0]
    peak = max(seen.curve.lr)
    if (wanted > peak) != (otherwise > peak):
        wanted = otherwise
    return f"{wanted:.1g}"


def schedule_ends_too_early(seen: Observed) -> Finding | None:
    """Measure: share of all steps that come after the largest rate with a rate under a hundredth of
    it, and by how much the loss fell over the second half of the steps before. Threshold: a third
    with a fall of 3 % and training images that are not fitted, or half with a poor end. Source:
    cosine schedules spend 6 % there, steps by tenths (He et al. 2015, arXiv:1512.03385, Section
    4.2) none or the last quarter; the rest from the trial's first half.
    """
    rates, losses = seen.curve.lr, seen.curve.loss
    if not seen.over or not rates or not max(rates) or seen.diverged is not None:
        return None
    peak = rates.index(max(rates))
    idle = [place for place in range(peak, len(rates)) if rates[place] < _OVER * rates[peak]]
    share = len(idle) / len(rates)
    if share <= _IDLE or idle[0] < 4 or not end_loss(seen) > 0.1 * chance(seen):
        return None
    half = idle[0] // 2
    early, late = (
        fmean(losses[half : (half + idle[0]) // 2]),
        fmean(losses[(half + idle[0]) // 2 : idle[0]]),
    )
    fall = 1 - late / early
    falling = fall > _FALLS
    if not falling and (share <= _MOSTLY_IDLE or not poor(seen)):
        return None
    step = seen.curve.step[idle[0]]
    just = f", though the loss had just fallen by {100 * fall:.0f} %" if falling else ""
    return Finding(
        "schedule-ends-too-early",
        f"From step {step:,} on, {100 * share:.0f} % of the run, the learning rate was under 1 % "
        f"of its peak{just}; {ended(seen)}.",
        (Evidence("steps after the schedule's end (share)", share, _IDLE, above=True, source=TRIAL),
         Evidence("fall of the loss just before", fall, _FALLS, above=True, source=TRIAL)
         if falling else outcome(seen)),
        Remedy(
            "Let the schedule reach zero with the last step: give it the length of the run in the "
            "unit in which it is stepped.",
            in_recipe(seen, "schedule", "cosine"),
            code="steps = epochs * len(loader)\n"
            "schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)\n"
            "# and schedule.step() after each optimizer.step()",
        ),
        rejected=(Rejected("learning-rate-too-low", "the rate was up for the first steps alone"),
                  Rejected("stopped-too-early", "more steps at this rate change nothing")),
        chart=loss_chart(seen, "The loss and the learning rate"),
    )  # fmt: skip


def weight_decay_too_strong(seen: Observed) -> Finding | None:
    """Measure: the share of the weights that weight decay alone takes away in a step, the largest
    over looks, momentum counted in; and what the norm of all weights came to. Threshold: half a
    percent, which forgets any step within 200; and nothing learnt, or a poor end with norms that
    fell below half. Source: the steps that weights remember under decay are 1 / (lr * wd), Wang and
    Aitchison 2024, arXiv:2405.13698; usual recipes take 0.05 % (SGD, lr 0.1, wd 5e-4, momentum
    0.9), and the threshold is ten times that.
    """
    if not seen.looks or not poor(seen) or seen.diverged is not None:
        return None
    taken = max(look.decay for look in seen.looks)
    left = _norm(seen, seen.looks[-1]) / max(_norm(seen, seen.looks[0]), 1e-30)
    if not taken > _TAKEN or not (left < 0.5 or nothing_learnt(seen)):
        return None
    decay = f"{_weight_decay(seen) * 5e-4 / taken:.1g}"
    return Finding(
        "weight-decay-too-strong",
        f"Weight decay takes {100 * taken:.2g} % of the weights away in each step, which left "
        f"{100 * left:.2g} % of their norm; {ended(seen)}.",
        (Evidence("share of the weights that decay takes in a step", taken, _TAKEN, above=True,
                  source="Wang and Aitchison 2024, arXiv:2405.13698"),
         Evidence("norm of the weights at the last look over the first", left, 0.5, above=False,
                  source=TRIAL), outcome(seen)),
        Remedy(
            f"Lower weight decay {taken / 5e-4:.0f} times.",
            in_recipe(seen, "optimizer.weight_decay", decay) if float(decay) else {},
            code=f"for group in optimizer.param_groups:\n"
            f"    group['weight_decay'] *= {5e-4 / taken:.1g}",
        ),
        rejected=(Rejected("learning-rate-too-low", "the weights move: towards zero"),
                  Rejected("underfitting", "the same network with weights can do better")),
    )  # fmt: skip


def _norm(seen: Observed, look: Look) -> float:
    return math.hypot(
        *(look.weights[x.name].norm for x in weighted(seen) if x.name in look.weights)
    )


def _weight_decay(seen: Observed) -> float:
    optimizer = seen.task.recipe.get("optimizer", {})
    return float(optimizer.get("weight_decay", 0.0))


CHECKS: dict[str, Check] = {
    "learning-rate-too-high": learning_rate_too_high,
    "learning-rate-too-low": learning_rate_too_low,
    "schedule-ends-too-early": schedule_ends_too_early,
    "weight-decay-too-strong": weight_decay_too_strong,
}
