"""`fathom.watch`: the doctor in anybody's training loop.

    watch = fathom.watch(model, optimizer)
    for images, targets in loader:
        ...
        optimizer.step()
        watch.step(loss, targets)
    print(watch.verdict())

Hooks see what goes through the model and what the optimizer does. Most steps cost next to nothing;
now and then there is a look, which measures every layer. Looks come as often as their share of the
time allows, and leave weights, buffers, modes and random states as they were, bit by bit: a run
that is watched ends with the same bits as one that is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from fathom.doctor.diagnose import Verdict, diagnose
from fathom.doctor.exam import Loader, examine
from fathom.doctor.line import judged, logits_of, losses_along, untouched
from fathom.doctor.observed import Look, Observed, Weights
from fathom.doctor.signals import Pass, reading
from fathom.doctor.structure import BatchNorm, looked_at, read_structure, ways
from fathom.errors import require

SHARE = 0.02  # of the time of training that looks may take
_JUDGES = 64  # images of the batch that a look judges by
_SURE = 1e-3  # by which probabilities may miss a sum of one


@dataclass
class _Judges:
    """A batch that had no part in the step that it judges."""

    images: Tensor
    targets: Tensor


class Watch:
    """Watches one model and its optimizer; `observed` is all that was seen.

    Args:
        model: any module whose first argument is the images and whose output has the logits.
        optimizer: what trains it.
        train, val: loaders of (images, targets), for what the stream of steps does not show: the
            data themselves, and accuracies as they ought to be measured, at the verdict.
        average: a moving average of the weights, where that is what is evaluated.
        planned_steps: the length of the run, where it is known.
        share: of the time that looks may take.
        every: a look at every so many steps instead, whatever it costs; 1 for all.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        train: Loader | None = None,
        val: Loader | None = None,
        average: nn.Module | None = None,
        planned_steps: int | None = None,
        share: float = SHARE,
        every: int | None = None,
    ) -> None:
        require(0 < share < 1, f"share is {share:g}; it must lie between 0 and 1")
        require(every is None or every >= 1, f"every is {every}; it must be at least 1")
        self.model, self.optimizer = model, optimizer
        self.observed = Observed(structure=read_structure(model, optimizer))
        self.observed.task.planned_steps = planned_steps
        self._train, self._val, self._average = train, val, average
        self.steps = 0
        self.cost = 0.0
        self._look_seconds = 0.0
        self._share, self._every = share, every
        self._began = time.monotonic()
        self._busy = False
        self._looking = True
        self._fresh = True  # no backward pass since the last step
        self._pass: Pass | None = None
        self._reading: Any = None
        self._images: Tensor | None = None
        self._logits: Tensor | None = None
        self._judges: _Judges | None = None
        self._before: list[Tensor] = []
        self._gradients: dict[str, float] = {}
        self._handles = [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave),
            optimizer.register_step_pre_hook(self._about_to_step),
            optimizer.register_step_post_hook(self._stepped),
        ]
        smallest = min(
            (p for p in model.parameters() if p.requires_grad), key=Tensor.numel, default=None
        )
        if smallest is not None:
            self._probe = smallest
            hook = smallest.register_hook(self._accumulates)  # type: ignore[no-untyped-call]
            self._handles.append(hook)

    def close(self) -> None:
        """Take every hook away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def verdict(self) -> Verdict:
        """What is wrong, and what to do; asks the loaders first, where there are some."""
        step, seen = self.steps, self.observed
        usable = self._average or self.model
        with self.looking_away():
            if self._train is not None:
                seen.exams.append(examine(usable, self._train, split="train", step=step))
            if self._val is not None:
                seen.exams.append(examine(usable, self._val, split="val", step=step))
                if self._average is not None:
                    found = examine(self.model, self._val, split="val", step=step, weights="raw")
                    seen.exams.append(found)
        seen.over = True
        return Verdict(diagnose(seen), seen)

    def step(
        self, loss: Tensor | float, targets: Tensor | None = None, *, top1: float | None = None
    ) -> bool:
        """Take in one step of training, after `optimizer.step()` -> whether it was looked at.

        loss: its mean loss in nats; targets: (N,) classes or (N, K) shares of its images. Without
        targets nothing is known of accuracies, nor of how long steps should be.
        """
        self.steps += 1
        value = float(loss.detach() if isinstance(loss, Tensor) else loss)
        if not math.isfinite(value):
            self.observed.diverged = self.observed.diverged or self.steps
        elif self._logits is not None or top1 is not None:
            self._record(value, targets, top1)
        began = time.monotonic()
        looked = self._looking and self._pass is not None and bool(self._before)
        if looked and math.isfinite(value):
            self._look(value, targets)
        self._keep_judges(targets)
        self._before, self._gradients, self._pass = [], {}, None
        self._images = self._logits = None
        self.cost += time.monotonic() - began
        if looked:
            self._look_seconds = self.cost / len(self.observed.looks)
        self._looking = self._due()
        return looked

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Passes inside are somebody else's, and say nothing of the run."""
        self._busy, was = True, self._busy
        try:
            yield
        finally:
            self._busy = was

    def affords(self, seconds: float) -> bool:
        """Whether so many seconds more stay within the share of the time."""
        return self.cost + seconds <= self._share * (time.monotonic() - self._began)

    def _record(self, loss: float, targets: Tensor | None, top1: float | None) -> None:
        if top1 is None and targets is not None and self._logits is not None:
            wanted = targets if targets.dim() == 1 else targets.argmax(1)
            top1 = float((self._logits.argmax(1) == wanted).float().mean())
        lr = max(group["lr"] for group in self.optimizer.param_groups)
        self.observed.curve.add(self.steps, loss, top1, float(lr))

    def _due(self) -> bool:
        """Whether the next step is looked at."""
        if self._every is not None:
            return self.steps % self._every == 0
        return self.affords(self._look_seconds)

    def _keep_judges(self, targets: Tensor | None) -> None:
        """The batch of this step judges the next one."""
        self._judges = None
        if targets is not None and self._images is not None:
            self._judges = _Judges(self._images[:_JUDGES].detach(), targets[:_JUDGES].detach())

    # What the hooks see.

    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._busy:
            return
        if not torch.is_grad_enabled():
            self._evaluating(model)
            return
        self.observed.passes.training += 1
        self.observed.passes.training_in_eval_mode += not _any_training(model)
        if inputs and isinstance(inputs[0], Tensor):
            self._images = inputs[0]
        if self._looking:
            self._pass = Pass()
            self._reading = reading(model, self._pass)
            self._reading.__enter__()

    def _evaluating(self, model: nn.Module) -> None:
        passes = self.observed.passes
        passes.evaluating += 1
        modules = list(model.modules())
        passes.evaluating_with_batch_statistics += any(
            m.training for m in modules if isinstance(m, BatchNorm)
        )
        passes.evaluating_with_dropout += any(
            m.training and m.p > 0 for m in modules if isinstance(m, _DropoutNd)
        )

    def _leave(self, _model: nn.Module, _inputs: Any, output: Any) -> None:
        if self._busy or not torch.is_grad_enabled():
            return
        if self._reading is not None:
            self._reading.__exit__(None, None, None)
            self._reading = None
        logits = logits_of(output)
        if self.observed.structure.longest == 0:
            structure = self.observed.structure
            structure.longest, structure.shortest = ways(logits)
        self._logits = logits.detach()

    def _accumulates(self, _gradient: Tensor) -> None:
        if self._busy:
            return
        self.observed.passes.backward += 1
        if self._fresh and self.steps and (self._looking or self.steps < 10):
            held, passes = self._probe.grad, self.observed.passes
            if held is not None and bool(held.any()):
                passes.not_cleared += 1
            else:
                passes.cleared += 1
        self._fresh = False

    def _about_to_step(self, *_: Any) -> None:
        if not self._looking or self._pass is None:
            return
        began = time.monotonic()
        self._before = [p.detach().clone() for p in self.model.parameters()]
        weights = self._weights()
        norms = torch._foreach_norm([p.grad for _, p in weights if p.grad is not None])
        named = [name for name, p in weights if p.grad is not None]
        self._gradients = dict(zip(named, map(float, norms), strict=True))
        self.cost += time.monotonic() - began

    def _stepped(self, *_: Any) -> None:
        self._fresh = True

    def _weights(self) -> list[tuple[str, nn.Parameter]]:
        """The kernels and matrices, by the name of their layer."""
        return [
            (name, module.weight)
            for name, module, kind in looked_at(self.model)
            if kind in ("conv", "linear") and isinstance(module.weight, nn.Parameter)
        ]

    # A look.

    def _look(self, loss: float, targets: Tensor | None) -> None:
        assert self._pass is not None
        self._busy = True
        try:
            seen = self.observed
            lr = max(group["lr"] for group in self.optimizer.param_groups)
            look = Look(self.steps, loss, float(lr), signals=self._pass.signals)
            look.drift = self._pass.drift
            self._look_at_weights(look)
            self._look_at_logits(look, targets)
            if self._judges is not None:
                self._look_along(look, self._judges)
            passes = seen.passes
            if self._pass.least_values:
                passes.least_values = min(
                    passes.least_values or self._pass.least_values, self._pass.least_values
                )
            passes.frozen_norms_moving = max(
                passes.frozen_norms_moving, len(self._pass.frozen_moving)
            )
            seen.looks.append(look)
        finally:
            self._busy = False

    def _look_at_weights(self, look: Look) -> None:
        before = {id(p): b for p, b in zip(self.model.parameters(), self._before, strict=True)}
        weights = self._weights()
        old = [before[id(p)] for _, p in weights]
        norms = torch._foreach_norm(old)
        updates = torch._foreach_norm(torch._foreach_sub([p.detach() for _, p in weights], old))
        for (name, _), norm, update in zip(weights, norms, updates, strict=True):
            gradient = self._gradients.get(name, 0.0)
            look.weights[name] = Weights(gradient, float(norm), float(update))
        for layer in self.observed.structure.layers:
            if layer.name in look.weights:
                layer.gradient = look.weights[layer.name].gradient > 0

    def _look_at_logits(self, look: Look, targets: Tensor | None) -> None:
        logits = self._logits
        if logits is None or logits.dim() != 2:
            return
        values = logits.float()
        look.logit_std, look.logit_max = float(values.std()), float(values.abs().max())
        sums = values.sum(1)
        passes = self.observed.passes
        passes.probabilities += bool(
            (values >= 0).all() and ((sums - 1).abs() < _SURE).all() and values.shape[1] > 1
        )
        look.top_share = _most_frequent(values.argmax(1), values.shape[1])
        self.observed.task.num_classes = self.observed.task.num_classes or values.shape[1]
        if targets is not None:
            wanted = targets if targets.dim() == 1 else targets.argmax(1)
            look.label_share = _most_frequent(wanted, values.shape[1])

    def _look_along(self, look: Look, judges: _Judges) -> None:
        look.line = losses_along(self.model, self._before, judges.images, judges.targets)
        with untouched(self.model):
            look.modes["train"] = judged(self.model, judges.images, judges.targets)
            self.model.eval()
            look.modes["eval"] = judged(self.model, judges.images, judges.targets)


def _any_training(model: nn.Module) -> bool:
    """Whether anything that knows two modes is in that of training; True where nothing does."""
    known = [m for m in model.modules() if isinstance(m, BatchNorm | _DropoutNd)]
    return any(m.training for m in known) if known else model.training


def _most_frequent(classes: Tensor, count: int) -> float:
    return float(torch.bincount(classes, minlength=count).max()) / max(1, len(classes))
