"""Two published sets of rules beside the doctor, as their documentation gives them.

Amazon SageMaker Debugger: the built-in rules for tensors, with their documented defaults
(docs.aws.amazon.com, "List of Debugger built-in rules"). AutoTrainer: Zhang et al. 2021, ICSE,
with the rules and defaults of its published monitor (github.com/shiningrain/AUTOTRAINER,
AutoTrainer/utils/monitor.py): Theta 0.7 as there.

Neither says anything of data, modes or loops, so of most causes they can at best say that something
is wrong. Which rule stands for which cause is our reading of their descriptions, in their favour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Snapshot:
    """What both sets of rules look at, once an epoch.

    By layer: mean magnitude, norm and range of the gradient, variance of the weights, and the share
    of them that the step changed. By ReLU: units active for under 1 % of the inputs. By bounded
    activation: outputs at an end. gradient_zeros: the share of zeros in all gradients.
    """

    gradient_mean: list[float]
    gradient_norm: list[float]
    gradient_zeros: float
    gradient_range: list[float]
    weight_variances: list[float]
    update_ratio: list[float]
    inactive: list[float]
    saturated: list[float]
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float


@dataclass
class Trace:
    """The snapshots of a run, its loss by step, and how many images each class has."""

    snapshots: list[Snapshot] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    epochs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trace:
        """The inverse."""
        shots = [Snapshot(**shot) for shot in values["snapshots"]]
        return cls(shots, values["loss"], values["counts"], values["epochs"])


class Tracer:
    """Takes snapshots: `before` the optimizer's step, then `after` it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    def before(self, images: Tensor) -> None:
        """Gradients are there and weights are old."""
        weights = [layer.weight.detach().clone() for layer in self.layers]
        gradients = [
            torch.zeros_like(layer.weight) if layer.weight.grad is None else layer.weight.grad
            for layer in self.layers
        ]
        self.weights = weights
        self.means = [float(g.abs().mean()) for g in gradients]
        self.norms = [float(g.norm()) for g in gradients]
        self.zeros = float(sum((g == 0).sum() for g in gradients)) / sum(
            g.numel() for g in gradients
        )
        self.ranges = [_range(g) for g in gradients]
        self.variances = [float(w.var()) for w in weights]
        self.inactive, self.saturated = _activity(self.model, images)

    def after(self, judged: tuple[float, float, float, float]) -> Snapshot:
        """judged: loss and accuracy in training, and in validation."""
        ratios = [
            float((layer.weight.detach() - old).abs().mean() / (old.abs().mean() + 1e-30))
            for layer, old in zip(self.layers, self.weights, strict=True)
        ]
        return Snapshot(
            self.means, self.norms, self.zeros, self.ranges, self.variances, ratios,
            self.inactive, self.saturated, *judged,
        )  # fmt: skip


def _range(gradient: Tensor) -> float:
    values = gradient.flatten()[:10000]
    low, high = torch.quantile(values, torch.tensor([0.05, 0.95])).tolist()
    return float(high - low)


def _activity(model: nn.Module, images: Tensor) -> tuple[list[float], list[float]]:
    """By ReLU: the share of units active for under 1 % of the images; by sigmoid or tanh: the share
    of outputs at an end."""
    inactive: list[float] = []
    saturated: list[float] = []

    def look(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if isinstance(module, nn.ReLU | nn.ReLU6):
            active = (output > 0).float().mean(0)
            inactive.append(float((active < 0.01).float().mean()))
        else:
            ends = (output.abs() > 0.98) | ((output < 0.02) & isinstance(module, nn.Sigmoid))
            saturated.append(float(ends.float().mean()))

    kinds = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh)
    handles = [m.register_forward_hook(look) for m in model.modules() if isinstance(m, kinds)]
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    with torch.no_grad():
        model(images[:32])
    for module, mode in modes:
        module.training = mode
    for handle in handles:
        handle.remove()
    return inactive, saturated


def sagemaker(trace: Trace) -> list[str]:
    """The causes that the rules name, in the order in which they fire; "unknown" for a rule that
    only says that something is wrong."""
    return list(dict.fromkeys(_sagemaker(trace)))


def _sagemaker(trace: Trace) -> Iterator[str]:
    counts = [count for count in trace.counts if count]
    if max(trace.counts) > 10 * min(counts):  # ClassImbalance
        yield "collapse-to-majority"
    first = trace.snapshots[0] if trace.snapshots else None
    if first is not None:  # PoorWeightInitialization, in the first steps
        variances = [v for v in first.weight_variances if v > 0]
        if not variances or max(variances) / min(variances) > 10:
            yield "bad-initialisation"
        if min(first.gradient_range) < 0.001:
            yield "bad-initialisation"
    for shot in trace.snapshots:
        if any(not math.isfinite(g) for g in shot.gradient_norm):  # ExplodingTensor
            yield "exploding-gradients"
        if any(share > 0.5 for share in shot.inactive):  # DeadRelu
            yield "dead-relus"
        if min(shot.gradient_mean) < 1e-7:  # VanishingGradient
            yield "vanishing-gradients"
        if any(share > 0.5 for share in shot.saturated):  # SaturatedActivation
            yield "vanishing-gradients"
        if max(shot.update_ratio) > 10:  # WeightUpdateRatio
            yield "learning-rate-too-high"
        if min(shot.update_ratio) < 1e-8:
            yield "learning-rate-too-low"
        if (shot.val_loss - shot.train_loss) / max(shot.train_loss, 1e-9) > 0.1:  # Overfit
            yield "overfitting"
    if any(not math.isfinite(loss) for loss in trace.loss):
        yield "exploding-gradients"
    saved = trace.loss[::10]
    if any(later > 0.999 * earlier for earlier, later in pairwise(saved)):  # LossNotDecreasing
        yield "unknown"


def autotrainer(trace: Trace) -> list[str]:
    """The problem that its monitor names after any epoch; it stops at the first."""
    for count in range(1, len(trace.snapshots) + 1):
        found = _autotrainer(trace, trace.snapshots[:count])
        if found is not None:
            return [found]
    return []


def _autotrainer(trace: Trace, seen: list[Snapshot]) -> str | None:
    last = seen[-1]
    train, val = [s.train_top1 for s in seen], [s.val_top1 for s in seen]
    values = (last.train_loss, last.val_loss, *last.gradient_norm)
    if any(not math.isfinite(v) for v in values) or last.val_loss >= 1e5:
        return "exploding-gradients"
    ratio = last.gradient_norm[0] / max(last.gradient_norm[-1], 1e-30)
    if len(seen) < 0.3 * trace.epochs:
        return None
    slow = _largest_rise(val) < 0.01 and _largest_rise(train) < 0.01
    if max(val) < 0.7 or max(train) < 0.7 or slow:
        if last.gradient_zeros >= 0.7:
            return "dead-relus"
        if ratio > 70:
            return "exploding-gradients"
        if ratio < 1e-3 and last.gradient_norm[0] < 1e-4:
            return "vanishing-gradients"
        return "learning-rate-too-low" if slow else None
    return "learning-rate-too-high" if _oscillates(train) else None


def _largest_rise(values: list[float]) -> float:
    return max((b - a for a, b in pairwise(values)), default=0.0)


def _oscillates(values: list[float]) -> bool:
    highs = [
        b for a, b, c in zip(values, values[1:], values[2:], strict=False) if b >= a and b >= c
    ]
    lows = [b for a, b, c in zip(values, values[1:], values[2:], strict=False) if b <= a and b <= c]
    wide = sum(high - low >= 0.03 for high, low in zip(highs, lows, strict=False))
    return wide >= 0.2 * len(values)
