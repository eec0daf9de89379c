"""`fathom.watch`: the doctor in anybody's training loop.

    watch = fathom.watch(model, optimizer)
    for images, targets in loader:
        ...
        optimizer.step()
        watch.step(loss, targets)
    print(watch.verdict())

One step is one step of the optimizer, whether `watch.step` comes before or after it. Hooks see what
goes through the model and what the optimizer does. Most steps cost next to nothing; now and then
there is a look, which measures every layer. Looks come as often as their share of the time allows,
and leave weights, buffers, modes and random states as they were, bit by bit: a run that is watched
ends with the same bits as one that is not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fathom.doctor.diagnose import Verdict, diagnose
from fathom.doctor.exam import ask, ask_first
from fathom.doctor.feed import Fed, Labelled, Loader, comes_trained, read_inputs
from fathom.doctor.line import judged, logits_of, losses_along, untouched
from fathom.doctor.observed import Look, Observed
from fathom.doctor.pull import Pull, decay_of, steps_of
from fathom.doctor.signals import Pass, look_at_logits, reading
from fathom.doctor.structure import (
    BatchNorm,
    any_training,
    drop_rate,
    hang_on,
    read_structure,
    ways,
    weights_of,
)
from fathom.errors import require

SHARE = 0.02  # of the time of training that looks may take
_FREE = 2.0  # seconds for looks at steps 1, 4, 16, 64 ... whatever the share, for short runs
_JUDGES = 64  # images of the batch that a look judges by


class _Hook:
    """A hook that is not copied with its model, nor stored with it: a copy is somebody else's."""

    def __init__(self, call: Callable[..., None] | None = None) -> None:
        self._call = call

    def __call__(self, *seen: Any) -> None:
        if self._call is not None:
            self._call(*seen)

    def __reduce__(self) -> tuple[type[_Hook], tuple[()]]:
        return _Hook, ()


class Watch:
    """Watches one model and its optimizer; `observed` is all that was seen.

    Args:
        model: any module whose first argument is the images and whose output has the logits.
        optimizer: what trains it.
        train, val: loaders of (images, targets), for what the stream of steps does not show: the
            data themselves, and accuracies as they ought to be measured, at the verdict.
        average: a moving average of the weights, where that is what is evaluated.
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
        share: float = SHARE,
        every: int | None = None,
    ) -> None:
        require(0 < share < 1, f"share is {share:g}; it must lie between 0 and 1")
        require(every is None or every >= 1, f"every is {every}; it must be at least 1")
        self.model, self.optimizer = model, optimizer
        self.observed = Observed(structure=read_structure(model, optimizer))
        self.observed.task.pretrained = comes_trained(model)
        self._labelled, self._fed = Labelled(), Fed()
        self._train, self._val, self._average = train, val, average
        self.steps = 0
        self.cost = 0.0
        self._look_seconds = 0.0
        self._share, self._every = share, every
        self._began = time.monotonic()
        self._busy = self._walked = False
        self._looking = True
        self._fresh = True  # no backward pass since the last step
        self._training: bool | None = None  # the mode of the last pass with gradients
        self._stepped = False  # the optimizer has, and `step` has not been told
        self._told: tuple[float, Tensor | None, float | None] | None = None  # ... or the other way
        self._pass: Pass | None = None
        self._reading: Any = None
        self._pull = None if average is None else Pull(model, average)
        self._images: Tensor | None = None
        self._logits: Tensor | None = None
        self._judges: tuple[Tensor, Tensor] | None = None  # had no part in the step that they judge
        self._before: list[Tensor] = []
        self._gradients: dict[str, float] = {}
        self._moving = 0
        self._handles = [
            model.register_forward_pre_hook(_Hook(self._enter)),
            model.register_forward_hook(_Hook(self._leave)),
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        trained = [p for p in model.parameters() if p.requires_grad and id(p) in held]
        if trained:
            self._probe = min(trained, key=Tensor.numel)
            self._handles.append(self._probe.register_hook(self._accumulates))  # type: ignore[no-untyped-call]

    @property
    def logits(self) -> Tensor | None:
        """What the model said in the step that is still to be told of, None where it did not."""
        return self._logits

    def close(self) -> None:
        """Take every hook away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def check(self) -> Verdict:
        """What is wrong already, before the first step: with what the optimizer holds, and with how
        the images of `train` are prepared, which pretrained weights are asked about.

        Raises UserError without `train`, and once there was a step.
        """
        require(self.steps == 0, "check() is for before the first step; verdict() judges the run")
        require(self._train is not None, "give fathom.watch the training images, as train=")
        assert self._train is not None
        with self.looking_away():
            ask_first(self.observed, self.model, self._train)
        return Verdict(diagnose(self.observed, early=True), self.observed)

    def verdict(self) -> Verdict:
        """What is wrong, and what to do; asks the loaders first, where there are some."""
        step, seen = self.steps, self.observed
        usable = self._average or self.model
        raw = None if self._average is None else self.model
        with self.looking_away():
            unasked = ask(
                seen, usable, train=self._train, val=self._val, step=step, raw=raw, fed=self._fed
            )
        seen.over = True
        return Verdict(diagnose(seen), seen, unasked)

    def step(
        self, loss: Tensor | float, targets: Tensor | None = None, *, top1: float | None = None
    ) -> bool:
        """Take in one step of training, beside `optimizer.step()` -> whether it was looked at.

        loss: its mean loss in nats; targets: (N,) classes or (N, K) shares of its images. Without
        targets nothing is known of accuracies, nor of how long steps should be. A loss that the
        optimizer makes no step of, as before the last part of an accumulated batch, does not count.
        """
        value = float(loss.detach() if isinstance(loss, Tensor) else loss)
        if not math.isfinite(value):
            self.observed.diverged = self.observed.diverged or self.steps + 1
        self._told = value, targets, top1
        return self._stepped and self._take_in()

    def _take_in(self) -> bool:
        """The optimizer has made a step, and its loss is told."""
        assert self._told is not None
        value, targets, top1 = self._told
        self.steps += 1
        began = time.monotonic()
        if not _fit(self._logits, targets):
            targets = None
        if math.isfinite(value) and (self._logits is not None or top1 is not None):
            self._record(value, targets, top1)
        if targets is not None and targets.dim() == 1 and not self._labelled.full:
            self.observed.order = self._labelled.take(targets)
            self.observed.task.batch_size = self.observed.task.batch_size or len(targets)
        looked = self._pass is not None and bool(self._before) and math.isfinite(value)
        if looked:
            self._look(value, targets)
        self.cost += self._pass.seconds if self._pass is not None else 0.0
        self._stepped, self._told = False, None
        self._before, self._gradients, self._pass = [], {}, None
        self.cost += time.monotonic() - began
        if looked:
            self._look_seconds = self.cost / self.observed.passes.looks
        self._looking = self._due()
        self._keep_judges(targets)
        self._images = self._logits = None
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
        self.observed.curve.add(self.steps, loss, top1, self._lr())

    def _lr(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _due(self) -> bool:
        """Whether the next step is looked at."""
        if self._every is not None:
            return self.steps % self._every == 0
        early = self.cost < _FREE and (self.steps + 1).bit_length() % 2 == 1
        power_of_four = early and (self.steps + 1).bit_count() == 1
        return power_of_four or self.affords(self._look_seconds)

    def _keep_judges(self, targets: Tensor | None) -> None:
        """The batch of this step judges the next one, where that is looked at."""
        self._judges = None
        if self._looking and targets is not None and self._images is not None:
            judges, wanted = self._images[:_JUDGES].detach(), targets[:_JUDGES].detach()
            self._judges = judges.clone(), wanted.clone()

    # What the hooks see.

    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._busy:
            return
        if not torch.is_grad_enabled():
            self._evaluating(model)
            return
        self._told = None  # of a pass that the optimizer made no step of
        self._training = any_training(model)
        self._images = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        if self._looking and self._pass is None:
            self._pass = Pass()
            self._reading = reading(model, self._pass)
            self._reading.__enter__()

    def _evaluating(self, model: nn.Module) -> None:
        if not self.steps:  # a dummy pass that finds out shapes
            return
        passes = self.observed.passes
        passes.evaluating += 1
        modules = list(model.modules())
        passes.evaluating_with_batch_statistics += any(
            m.training for m in modules if isinstance(m, BatchNorm)
        )
        passes.evaluating_with_dropout += any(
            m.training and (drop_rate(m) or 0.0) > 0 for m in modules
        )

    def _leave(self, _model: nn.Module, _inputs: Any, output: Any) -> None:
        if self._busy or not torch.is_grad_enabled():
            return
        if self._reading is not None:
            self._reading.__exit__(None, None, None)
            self._reading = None
        logits = logits_of(output)
        if not self._walked and logits.grad_fn is not None:
            structure, self._walked = self.observed.structure, True
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

    def _before_step(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """With a closure, as Lightning hands one to every step, the passes come inside the step."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._about_to_update()
            return None

        def passes() -> Any:
            loss = closure()
            self._about_to_update()
            return loss

        return args[:1], {**kwargs, "closure": passes}

    def _about_to_update(self) -> None:
        if self._pull is not None:
            self._pull.before_step(self.observed.task, keep=self._looking)
        if not self._looking or self._pass is None:
            return
        began = time.monotonic()
        self._before = [p.detach().clone() for p in self.model.parameters()]
        weights = weights_of(self.model)
        gradients = {name: p.grad for name, p in weights if p.grad is not None}
        if gradients:
            norms = torch._foreach_norm(list(gradients.values()))
            self._gradients = dict(zip(gradients, map(float, norms), strict=True))
        every = [p.grad for p in self.model.parameters() if p.grad is not None]
        self._moving = sum(bool(gradient.any()) for gradient in every)
        self.cost += time.monotonic() - began

    def _after_step(self, *_: Any) -> None:
        if self._training is not None:  # the mode of the last pass; one for validation has no step
            self.observed.passes.training += 1
            self.observed.passes.training_in_eval_mode += not self._training
            self._training = None
        self._fresh = self._stepped = True
        if self._told is not None:
            self._take_in()

    # A look.

    def _look(self, loss: float, targets: Tensor | None) -> None:
        found, seen = self._pass, self.observed
        assert found is not None
        look = Look(self.steps, loss, self._lr(), signals=found.signals, drift=found.drift)
        look.decay = decay_of(self.optimizer)
        look.moving = self._moving
        look.weights = steps_of(self.model, self._before, self._gradients)
        if self._logits is not None and self._logits.dim() == 2:
            seen.task.num_classes = seen.task.num_classes or self._logits.shape[1]
            look_at_logits(self._logits, targets, look, seen.passes)
        with self.looking_away():
            if self._judges is not None:
                self._look_along(look, *self._judges)
            if self._images is not None and self._images.dim() == 4:
                self._fed.take(self._images)
                if not seen.inputs.images:
                    trained = seen.task.pretrained
                    seen.inputs = read_inputs(self.model, self._images, pretrained=trained)
        found.count(seen.passes)
        seen.add_look(look)

    def _look_along(self, look: Look, images: Tensor, targets: Tensor) -> None:
        found = losses_along(self.model, self._before, images, targets)
        look.line = {multiple: loss for multiple, (loss, _) in found.items()}
        look.modes["train"] = found["1"]
        with untouched(self.model):
            self.model.eval()
            look.modes["eval"] = judged(self.model, images, targets)
        look.cut_off = self._cut_off(look, images)

    def _cut_off(self, look: Look, images: Tensor) -> list[str]:
        silent = {
            name: p
            for name, p in weights_of(self.model)
            if p.requires_grad and name in look.signals and name not in self._gradients
        }
        if not silent or not self._gradients:
            return []

        def answers() -> Tensor:
            with untouched(self.model):
                return logits_of(self.model.eval()(images)).float()

        return list(silent) if hang_on(silent.values(), answers) else []


def _fit(logits: Tensor | None, targets: Tensor | None) -> bool:
    """Whether targets are classes, or shares of them, of the images that gave the logits."""
    if logits is None or targets is None or logits.dim() != 2:
        return False
    if targets.dim() == 1:
        return len(targets) == len(logits) and not targets.is_floating_point()
    return targets.shape == logits.shape and targets.is_floating_point()


watch = Watch  # as the public door calls it: fathom.watch(model, optimizer)
