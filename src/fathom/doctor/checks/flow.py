"""Optimization: whether signals come through the network, forwards, and gradients, backwards."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np

from fathom.doctor.checks.outcome import (
    CHANCE,
    TRIAL,
    chance,
    end_loss,
    ended,
    in_recipe,
    inner_signals,
    middle,
    normless,
    nothing_learnt,
    outcome,
    poor,
    trained_weights,
    weighted,
)
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Look, Observed
from fathom.figures.charts import Axis, LineChart, Series

_HE = "He et al. 2015, arXiv:1502.01852, Section 2.2"
_WRONG_SCALE = 10.0  # times too large or too small
_EXPLODES = 10.0  # gradient of a layer over its weights
_VANISHES = 1e-3  # first layers over last ones
_DEAD = 0.8  # of a layer's channels
_DEEP = 10  # layers with weights from which norms are missed
_PLAIN = 30  # layers with weights that no shortcut passes by
_FITTED = 0.1  # of ln K, under which training images are fitted
_STUCK = 0.1  # of the steps, near the loss of guessing
_FEW_IMAGES = 4
_DRIFT = 0.05  # running deviations


def bad_initialisation(seen: Observed) -> Finding | None:
    """Measure: standard deviation of each layer's weights at the first look over He's, the root of
    2 / fan_in; the median over layers. Threshold: a tenth and ten times; 0 in most layers.
    It is a fault only where nothing is learnt, since norms forgive any scale. Source: He et al.
    2015, arXiv:1502.01852, Section 2.2; the factor of ten from the trial's first half.
    """
    if not seen.looks or not nothing_learnt(seen):
        return None
    scales = {
        layer.name: seen.looks[0].weights[layer.name].norm
        / math.sqrt(2 * layer.weights / layer.fan_in)
        for layer in weighted(seen)
        if layer.fan_in and layer.name in seen.looks[0].weights
    }
    typical = middle(scales.values())
    if not (typical < 1 / _WRONG_SCALE or typical > _WRONG_SCALE):
        return None
    large = typical > 1
    if not typical:
        what = (
            "The weights of most layers begin at exactly 0, so that no gradient gets through them"
        )
    else:
        times = typical if large else 1 / typical
        what = f"Weights begin {times:.0f} times too {'large' if large else 'small'}"
    return Finding(
        "bad-initialisation",
        f"{what}: {ended(seen)}.",
        (Evidence("deviation of the first weights over He's, median over layers", typical,
                  _WRONG_SCALE if large else 1 / _WRONG_SCALE, above=large, source=_HE),
         outcome(seen)),
        Remedy(
            "Draw the weights of convolutions and linear layers from He's distribution.",
            code="for module in model.modules():\n"
            "    if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):\n"
            "        torch.nn.init.kaiming_normal_(module.weight, nonlinearity='relu')",
        ),
        where=tuple(name for name, scale in scales.items() if (scale > 1) == large),
        since=seen.diverged,
        rejected=(Rejected("learning-rate-too-high", "the weights were wrong before any step"),),
    )  # fmt: skip


def exploding_gradients(seen: Observed) -> Finding | None:
    """Measure: norm of each layer's gradient over that of its weights at the first look, before the
    learning rate had any effect; the median over layers. Threshold: ten; healthy runs of the
    trial's first half lie between 0.02 and 2. Source: Glorot and Bengio 2010, Section 4.2, for
    looking at gradients by layer before any step; the threshold from the trial's first half.
    """
    if not seen.looks or not poor(seen):
        return None
    first = seen.looks[0]
    ratio = middle(w.gradient / w.norm for w in trained_weights(seen, first) if w.norm)
    if not ratio > _EXPLODES:
        return None
    return Finding(
        "exploding-gradients",
        f"Before the first step, gradients were {ratio:,.0f} times as large as the weights that "
        f"they belong to; {ended(seen)}.",
        (Evidence("gradient over weights, median over layers", ratio, _EXPLODES, above=True,
                  source=TRIAL),
         Evidence("deviation of the first logits", first.logit_std, 10, above=True, source=TRIAL),
         outcome(seen)),
        Remedy(
            "Normalise after each convolution, and draw the weights from He's distribution; "
            "clipping the gradient helps where neither can be had.",
            code="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()",
        ),
        since=seen.diverged,
        rejected=(
            Rejected("learning-rate-too-high", "gradients were as large before any step"),
        ),
        chart=_profile(seen, first, "Gradients over weights before the first step"),
    )  # fmt: skip


def vanishing_gradients(seen: Observed) -> Finding | None:
    """Measure: gradient over weights in the first quarter of the layers over that in the last, by
    medians, at the first look and, by the median, at all. Threshold: a thousandth; healthy runs of
    the trial's first half lie above 0.02. Gradients of exactly 0 are another fault.
    Source: Glorot and Bengio 2010, Section 4.2; the threshold from the trial's first half.
    """
    if not seen.looks or not poor(seen):
        return None
    ratios = [_first_over_last(seen, look) for look in seen.looks]
    known = [ratio for ratio in ratios if ratio > 0]
    if not known or not 0 < ratios[0] < _VANISHES or not middle(known) < _VANISHES:
        return None
    return Finding(
        "vanishing-gradients",
        f"Relative to their weights, the first layers get {ratios[0]:.1g} of the gradient of the "
        f"last ones, so they hardly learn; {ended(seen)}.",
        (Evidence("relative gradient of the first layers over that of the last ones", ratios[0],
                  _VANISHES, above=False, source=TRIAL), outcome(seen)),
        Remedy("Use ReLU or a relative instead of sigmoid or tanh, normalise after each "
               "convolution, or add shortcuts.",
               code="torch.nn.Sequential(conv, torch.nn.BatchNorm2d(channels), torch.nn.ReLU())"),
        where=tuple(layer.name for layer in weighted(seen)[: max(1, len(weighted(seen)) // 4)]),
        rejected=(
            Rejected("learning-rate-too-low", "a higher rate would tear the last layers apart"),
            Rejected("dead-relus", "the gradients are small, and not exactly 0"),
        ),
        chart=_profile(seen, seen.looks[0], "Gradients over weights before the first step"),
    )  # fmt: skip


def _first_over_last(seen: Observed, look: Look) -> float:
    ratios = [w.gradient / w.norm for w in trained_weights(seen, look) if w.norm]
    quarter = len(ratios) // 4
    last = middle(ratios[-quarter:]) if quarter else math.nan
    return middle(ratios[:quarter]) / last if last > 0 else math.nan


def dead_relus(seen: Observed) -> Finding | None:
    """Measure: share of a layer's input channels that are 0 everywhere, by layer; the median over
    the looks behind the first. Threshold: four fifths of a layer, and a poor end.
    Departure: the rule DeadRelu of SageMaker Debugger asks for half of a layer and no outcome;
    healthy networks without norms have that. Source: the trial's first half.
    """
    if len(seen.looks) < 2 or not poor(seen):
        return None
    later = [inner_signals(seen, look) for look in seen.looks[1:]]
    shares = {name: middle(s[name].dead for s in later if name in s) for name in later[-1]}
    dead = {name: share for name, share in shares.items() if share > _DEAD}
    if not dead or _withered(seen):
        return None
    worst = max(dead.values())
    return Finding(
        "dead-relus",
        f"In {len(dead)} of {len(shares)} layers, up to {100 * worst:.0f} % of the channels that "
        f"come in are 0 for every image, and pass no gradient; {ended(seen)}.",
        (Evidence("dead channels of the worst layer (share)", worst, _DEAD, above=True,
                  source=TRIAL), outcome(seen)),
        Remedy(
            "Begin with biases of 0, lower the learning rate, or use LeakyReLU or GELU.",
            code="for module in model.modules():\n"
            "    if getattr(module, 'bias', None) is not None:\n"
            "        torch.nn.init.zeros_(module.bias)",
        ),
        where=tuple(dead),
        rejected=(
            Rejected("vanishing-gradients", "channels are exactly 0, and so are their gradients"),
        ),
    )  # fmt: skip


def _withered(seen: Observed) -> bool:
    """Whether the weights themselves have shrunk to under a tenth, which nothing survives."""
    first, last = (
        sum(w.norm for w in look.weights.values()) for look in seen.looks[:: len(seen.looks) - 1]
    )
    return last < first / 10


def missing_normalisation(seen: Observed) -> Finding | None:
    """Measure: layers with weights on the longest way, in a network without any norm, and the share
    of steps at which the loss was above nine tenths of guessing. Threshold: ten layers, and a
    tenth of the steps, or a run that diverged by ordinary steps; healthy networks without norms
    spend up to 6 % there, of fewer layers. Source: Ioffe and Szegedy 2015, arXiv:1502.03167,
    Section 4.2, for the effect; the thresholds from the trial's first half.
    """
    depth = seen.structure.longest
    limit = _FITTED * chance(seen)
    if depth < _DEEP or not normless(seen) or not end_loss(seen) > limit:
        return None
    losses = seen.curve.loss
    stuck = fmean(loss > CHANCE * chance(seen) for loss in losses) if losses else 1.0
    if (stuck <= _STUCK and seen.diverged is None) or exploding_gradients(seen) is not None:
        return None
    return Finding(
        "missing-normalisation",
        f"None of the {depth} layers is followed by a norm, and {100 * stuck:.0f} % of the steps "
        f"went by near the loss of guessing; {ended(seen)}.",
        (Evidence("layers with weights and no norm", depth, _DEEP - 1, above=True, source=TRIAL),
         Evidence("steps at the loss of guessing (share)", stuck, _STUCK, above=True, source=TRIAL),
         Evidence("loss on training images at the end (nats)", end_loss(seen), limit, above=True,
                  source=TRIAL)),
        Remedy(
            "Put a batch norm after each convolution, or a group norm where batches are small.",
            code="torch.nn.Sequential(\n    torch.nn.Conv2d(a, b, 3, padding=1, bias=False),\n"
            "    torch.nn.BatchNorm2d(b),\n    torch.nn.ReLU(),\n)",
        ),
        rejected=(Rejected("exploding-gradients", "gradients were of ordinary size at first"),),
    )  # fmt: skip


def batch_too_small(seen: Observed) -> Finding | None:
    """Measure: images that a batch norm averages over, and how far a batch's means lie from the
    running ones, in running deviations: the upper quartile over norms, as the early ones average
    over many pixels and hardly move; and the median over the looks after the first fifth of the
    steps, when the statistics have settled. Threshold: four images; a twentieth of a deviation.
    Source: Wu and He 2018, arXiv:1803.08494, abstract and Figure 1: batch norm's error rises
    quickly with small batches, to 10.6 points above group norm's at two images; the twentieth from
    the trial's first half.
    """
    images = seen.passes.least_images
    steps = seen.curve.step[-1] if seen.curve.step else 0
    later = [look for look in seen.looks if look.drift and look.step > max(20, steps / 5)]
    drift = middle(float(np.quantile(list(look.drift.values()), 0.75)) for look in later)
    if not 0 < images <= _FEW_IMAGES or not drift > _DRIFT:
        return None
    return Finding(
        "batch-too-small",
        f"Batch norms average over {images} images only: the means of a batch lie {drift:.2f} "
        "deviations from those that evaluation uses, so that training and evaluation see "
        "different networks.",
        (Evidence("images that a batch norm averages over", images, _FEW_IMAGES + 1, above=False,
                  source="Wu and He 2018, arXiv:1803.08494, Figure 1"),
         Evidence("distance of a batch's means (deviations)", drift, _DRIFT, above=True,
                  source=TRIAL)),
        Remedy(
            "Use batches of at least 16 images, or group norm, which does not depend on them. "
            "Accumulating gradients does not help: the norm still sees the small part.",
            in_recipe(seen, "batch_size", str(16 * seen.task.recipe.get("accumulate", 1))),
            code="loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)",
        ),
    )  # fmt: skip


def degradation(seen: Observed) -> Finding | None:
    """Measure: layers with weights on the shortest way through a network with norms, whose training
    images are fitted badly though gradients reach its first layers. Threshold: 30 layers that no
    shortcut passes by. Source: He et al. 2015, arXiv:1512.03385, Figures 1 and 4: training error of
    a plain network rises from 20 to 56 layers on CIFAR-10, and from 18 to 34 on ImageNet.
    """
    depth = seen.structure.shortest
    limit = _FITTED * chance(seen)
    if depth < _PLAIN or normless(seen) or seen.diverged is not None or not end_loss(seen) > limit:
        return None
    return Finding(
        "degradation",
        f"All {depth} layers follow one another without a shortcut, and {ended(seen)}: a network "
        "half as deep would fit the training images better.",
        (Evidence("layers with weights on the shortest way", depth, _PLAIN - 1, above=True,
                  source="He et al. 2015, arXiv:1512.03385, Figure 1"),
         Evidence("loss on training images at the end (nats)", end_loss(seen), limit, above=True,
                  source=TRIAL)),
        Remedy("Add a shortcut around every two or three convolutions, or take a network of at "
               "most 20 layers.",
               code="x = torch.nn.functional.relu(x + branch(x))"),
        rejected=(
            Rejected("vanishing-gradients", "norms keep gradients in the first layers"),
            Rejected("underfitting", "a shallower network has less capacity and fits better"),
        ),
    )  # fmt: skip


def _profile(seen: Observed, look: Look, title: str) -> LineChart:
    names = [layer.name for layer in weighted(seen) if layer.name in look.weights]
    shares = [look.weights[n].gradient / max(look.weights[n].norm, 1e-30) for n in names]
    return LineChart(
        title,
        Axis("Layer, from the images on"),
        Axis("Gradient over weights, norms", "log"),
        (Series("Gradient over weights", list(range(1, len(names) + 1)), shares),),
        f"Step {look.step}; one point a convolution or linear layer.",
    )


CHECKS: dict[str, Check] = {
    "bad-initialisation": bad_initialisation,
    "exploding-gradients": exploding_gradients,
    "vanishing-gradients": vanishing_gradients,
    "missing-normalisation": missing_normalisation,
    "dead-relus": dead_relus,
    "batch-too-small": batch_too_small,
    "degradation": degradation,
}
