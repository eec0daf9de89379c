"""All that the next step depends on, and how it goes into a checkpoint and comes back.

No random state is among it: every draw of a step is seeded by the step's number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fathom.models.base import ImageClassifier
from fathom.runtime import Runtime
from fathom.training.anchor import Anchor
from fathom.training.averaging import Average, MovingAverage, ScheduleFreeAverage
from fathom.training.checkpoint import Checkpoint
from fathom.training.optim import build_optimizer
from fathom.training.optimizers import ScheduleFreeSGD
from fathom.training.recipe import Recipe


@dataclass
class Running:
    """Sums over the epoch so far: loss times images, images named right, images."""

    loss: float = 0.0
    right: int = 0
    count: int = 0

    def add(self, loss: float, right: int, count: int) -> None:
        """Take in one step: its mean loss, and how many of its images were named right."""
        self.loss += loss * count
        self.right += right
        self.count += count

    def means(self) -> tuple[float, float]:
        """Mean loss and top-1 accuracy."""
        return self.loss / self.count, self.right / self.count


@dataclass
class Best:
    """The best validation accuracy so far, its epoch, and epochs since without a better one.

    Epoch -1 stands for the weights that the run began with.
    """

    top1: float = -1.0
    epoch: int = -1
    waited: int = 0

    def take(self, top1: float, epoch: int) -> bool:
        """Whether this epoch is the best so far; the earlier of two equals stays."""
        if top1 > self.top1:
            self.top1, self.epoch, self.waited = top1, epoch, 0
            return True
        self.waited += 1
        return False


@dataclass
class TrainState:
    """Weights, average, optimizer, scaler, anchor, and where the run stands."""

    model: ImageClassifier
    optimizer: torch.optim.Optimizer
    average: Average | None
    scaler: torch.amp.GradScaler
    anchor: Anchor | None = None
    step: int = 0
    running: Running = field(default_factory=Running)
    best: Best = field(default_factory=Best)

    @classmethod
    def fresh(cls, model: ImageClassifier, recipe: Recipe, runtime: Runtime) -> TrainState:
        """The state before the first step."""
        anchor = Anchor(model, recipe.l2_sp) if recipe.l2_sp else None
        optimizer = build_optimizer(
            model,
            recipe.optimizer,
            layer_decay=recipe.layer_decay,
            decay_norms=recipe.decay_norms,
            anchor=anchor,
        )
        average: Average | None = None
        if recipe.ema is not None:
            average = MovingAverage(model, recipe.ema)
        elif isinstance(optimizer, ScheduleFreeSGD):
            average = ScheduleFreeAverage(model, optimizer)
        return cls(
            model=model,
            optimizer=optimizer,
            average=average,
            scaler=torch.amp.GradScaler(
                runtime.device.type, enabled=runtime.precision == "float16"
            ),
            anchor=anchor,
        )

    @property
    def usable(self) -> nn.Module:
        """The model to evaluate: the average where there is one."""
        return self.model if self.average is None else self.average.model

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name."""
        found = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.average is not None:
            found |= {f"average.{k}": v for k, v in self.average.model.state_dict().items()}
        if self.anchor is not None:
            found |= {f"anchor.{k}": v for k, v in self.anchor.start.items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            for key, value in entry.items():
                if isinstance(value, Tensor):
                    found[f"optimizer.{index}.{key}"] = value
        return found

    def values(self) -> dict[str, Any]:
        """Everything else, as plain JSON values."""
        return {
            "step": self.step,
            "running": vars(self.running),
            "best": vars(self.best),
            "average_updates": None if self.average is None else self.average.updates,
            "groups": [_numbers(group) for group in self.optimizer.param_groups],
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint, bit for bit."""
        state = checkpoint.state
        self.model.load_state_dict(checkpoint.part("model"))
        if self.average is not None:
            self.average.model.load_state_dict(checkpoint.part("average"))
            self.average.updates = state["average_updates"]
        if self.anchor is not None:
            self.anchor.restore(checkpoint.part("anchor"))
        self._restore_optimizer(checkpoint.part("optimizer"))
        for group, numbers in zip(self.optimizer.param_groups, state["groups"], strict=True):
            group.update(numbers)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        self.running = Running(**state["running"])
        self.best = Best(**state["best"])

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        """Put each tensor back in the memory layout of the parameter it belongs to."""
        flat = [p for group in self.optimizer.param_groups for p in group["params"]]
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split(".", 1)
            like = flat[int(index)]
            if value.shape == like.shape:
                value = torch.empty_like(like, requires_grad=False).copy_(value)
            entries.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    """What an optimizer counts and sums up in a group, such as its steps."""
    return {k: v for k, v in group.items() if isinstance(v, int | float)}
