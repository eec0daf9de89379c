"""The trainer: a stream of reports, and no callbacks. The training step is `Trainer._steps`.

Whoever reads the stream may look at everything between two steps: gradients are cleared only at the
start of the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor, nn

from fathom.costs import cost
from fathom.data.batches import Batch, evaluation_batches
from fathom.errors import UserError
from fathom.evaluate import Evaluation, autocast, evaluate, run_model
from fathom.runtime import derive_seed
from fathom.training.averaging import advice
from fathom.training.checkpoint import (
    Checkpoint,
    SaveTimer,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from fathom.training.describe import write_result
from fathom.training.diverge import first_bad_layer
from fathom.training.loss import named_right, parts, training_loss
from fathom.training.pace import Pace
from fathom.training.progressive import shrunk, side
from fathom.training.recalibrate import recalibrate
from fathom.training.record import Recorder
from fathom.training.reports import EpochReport, Finished, Report, Started, StepReport, Warned
from fathom.training.run import Run
from fathom.training.schedules import lr_factor
from fathom.training.setup import Setup
from fathom.training.state import Running, TrainState

_PACE_KNOWN = 20  # steps after which the first, which is slow, weighs little in the pace


class Attendant(Protocol):
    """Somebody who looks at the trainer between its reports, and may add warnings of their own."""

    def attend(self, trainer: Trainer, stream: Iterator[Report]) -> Iterator[Report]:
        """The reports of the stream, and warnings between them."""
        ...


class Trainer:
    """One session of one run. batch is the one that the last step was taken on."""

    def __init__(
        self,
        run: Run,
        setup: Setup,
        *,
        save_seconds: float,
        started: float,
        checkpoint: Checkpoint | None = None,
        attendant: Attendant | None = None,
    ) -> None:
        self.attendant = attendant
        self.batch: Batch | None = None
        self.run, self.recipe, self.dataset = run, setup.recipe, setup.dataset
        self.runtime, self.batches = setup.runtime, setup.batches
        self.weight_notes = () if setup.weights is None else setup.weights.notes
        self.ready = setup.weights is not None and setup.weights.whole
        self.class_weights = setup.class_weights
        self.per_epoch = self.batches.order.steps_per_epoch
        self.state = TrainState.fresh(setup.model, self.recipe, self.runtime)
        self.checkpoint = checkpoint
        if checkpoint is not None:
            self.state.restore(checkpoint)
        self.saves = SaveTimer(save_seconds)
        self.mark = time.monotonic()
        self.lr = 0.0
        self.done = self.ended = False
        self.evaluation: Evaluation | None = None
        self.pace = Pace(
            total_steps=self._total_steps(),
            minutes=self.recipe.minutes,
            started=started,
            before=checkpoint.state["seconds"] if checkpoint else 0.0,
            images_judged=self._images_judged(),
            batch_size=self.recipe.batch_size,
        )

    def _total_steps(self) -> int | None:
        """Steps of the whole run; None where time decides."""
        epochs = self.recipe.epochs
        return self.recipe.steps if epochs is None else epochs * self.per_epoch

    def _images_judged(self) -> int:
        """Images that the evaluations at the end, with a recalibration before them, go through."""
        splits = {self.watched, self.dataset.judge}
        judged = sum(len(self.dataset.splits[split].images) for split in splits)
        return judged + self.recipe.recalibrate * self.recipe.batch_size

    @property
    def watched(self) -> str:
        """The split measured between epochs: validation, or test where there is no validation."""
        return "val" if "val" in self.dataset.splits else "test"

    def reports(self) -> Iterator[Report]:
        """The stream of reports, logged on its way out; leaving it early saves a checkpoint."""
        resumed = None if self.checkpoint is None else self.state.step
        stream: Iterator[Report] = self._stream(resumed)
        if self.attendant is not None:
            stream = self.attendant.attend(self, stream)
        try:
            with Recorder(self.run, resumed) as recorder:
                for report in stream:
                    recorder.write(report)
                    yield report
        except GeneratorExit:
            if not self.ended:
                self._save()
            raise
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self.runtime.device} ran out of memory at batch_size {self.recipe.batch_size}; "
                f"use --batch-size {self.recipe.batch_size // 2}, or go through the same batch in "
                f"more parts, as with --set accumulate={2 * self.recipe.accumulate}"
            ) from error
        except OSError as error:
            raise UserError(
                f"cannot write to {self.run.folder}: {error.strerror or error}. The last good "
                "checkpoint is kept; make room and go on with "
                f"`fathom train --resume {self.run.folder}`"
            ) from error

    def _stream(self, resumed: int | None) -> Iterator[Report]:
        yield self._started(resumed)
        if self.checkpoint is None:
            self._save()
            yield from self._judge_start()
            if self.recipe.minutes is None:
                yield from self._advice()
        elif self.checkpoint.note:
            yield Warned(self.state.step, self.checkpoint.note)
        yield from self._end_epoch()
        if not self.done:
            for report in self._steps():
                yield report
                yield from self._end_epoch()
                if self.done:
                    break
                if self.saves.due(self.state.step % self.per_epoch == 0):
                    self._save()
                if self.pace.wants_estimate(self.state.step):
                    self.pace.estimate_evaluation(self._evaluation_cost())
                if self.recipe.minutes is not None and self.state.step == _PACE_KNOWN:
                    yield from self._advice()
        self._save()
        yield from self._finish()

    def _judge_start(self) -> Iterator[Report]:
        """Weights that know the classes already are the best until an epoch brings better ones."""
        if self.ready and self.recipe.select == "best":
            found = yield from self._look(self.watched)
            self.state.best.take(found.top1, -1)
            self._save("best")

    def _advice(self) -> Iterator[Warned]:
        """Say what does not suit a run of this many steps."""
        step = self.state.step
        for text in advice(self.recipe, self.state.model, self.pace.expected_steps(step)):
            yield Warned(step, text)

    def _steps(self) -> Iterator[Report]:
        """Take step after step. This is the training step, the whole of it."""
        state, recipe, model = self.state, self.recipe, self.state.model
        optimizer, scaler, weights = state.optimizer, state.scaler, self.class_weights
        self.mark = time.monotonic()
        for batch in self.batches.start(state.step):
            progress = self.pace.progress(state.step)
            images = self._sized(batch.images, progress)
            self.lr = recipe.optimizer.lr * lr_factor(recipe.schedule, progress)
            for group in optimizer.param_groups:
                group["lr"] = self.lr * group["lr_scale"]
            torch.manual_seed(derive_seed(recipe.seed, "step", state.step))
            optimizer.zero_grad(set_to_none=True)

            told = []
            for some, targets, share in parts(images, batch.targets, recipe.accumulate, weights):
                with autocast(self.runtime):
                    loss, logits = training_loss(model, some, targets, recipe.loss, weights=weights)
                loss = loss * share
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                told.append(torch.stack((loss.detach(), named_right(logits, targets))))
            value, right = torch.stack(told).sum(0).tolist()  # the step's one trip to the host
            if not math.isfinite(value):
                raise self._diverged(images, value)
            if recipe.clip_norm is not None:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            if state.anchor is not None:
                state.anchor.pull(optimizer)
            if state.average is not None:
                state.average.update(model)
            state.step += 1

            state.running.add(value, int(right), len(batch.targets))
            self.batch = batch
            yield from self._step_reports(batch, value, right / len(batch.targets))

    def _sized(self, images: Tensor, progress: float) -> Tensor:
        """The images at the size that progressive resizing, where it is asked for, has reached."""
        if self.recipe.progressive is None:
            return images
        least = self.state.model.min_size
        return shrunk(images, side(self.recipe.progressive, images.shape[-1], least, progress))

    def _step_reports(self, batch: Batch, loss: float, top1: float) -> Iterator[Report]:
        now = time.monotonic()
        self.pace.stepped(now - self.mark)
        self.mark = now
        step = self.state.step
        if batch.broken:
            yield Warned(step, _left_out("this step", batch.broken))
        yield StepReport(
            step=step,
            epoch=(step - 1) // self.per_epoch,
            loss=loss,
            top1=top1,
            lr=self.lr,
            images_per_second=self.pace.images_per_second,
            seconds=self.pace.seconds(),
            seconds_left=self.pace.seconds_left(step),
        )

    def _end_epoch(self) -> Iterator[Report]:
        """Measure and report when an epoch is full or the run is over; decide whether it is."""
        state, over = self.state, self.pace.over(self.state.step)
        self.done = over or self._impatient()
        if not state.running.count or not (over or state.step % self.per_epoch == 0):
            return
        epoch = (state.step - 1) // self.per_epoch
        found = None
        if over or self.pace.may_evaluate():
            found = yield from self._look(self.watched, recalibrated=False)
        chosen = False
        if found is not None and self.watched == "val":
            chosen = state.best.take(found.top1, epoch)
            if chosen:
                self._save("best")
        self.evaluation = found
        train_loss, train_top1 = state.running.means()
        state.running = Running()
        self.done = over or self._impatient()
        yield EpochReport(
            epoch=epoch,
            step=state.step,
            train_loss=train_loss,
            train_top1=train_top1,
            split=None if found is None else found.split,
            loss=None if found is None else found.loss,
            top1=None if found is None else found.top1,
            chosen=chosen,
            lr=self.lr,
            images_per_second=self.pace.images_per_second,
            seconds=self.pace.seconds(),
        )
        self.mark = time.monotonic()

    def _impatient(self) -> bool:
        """Whether the recipe's patience with epochs that bring nothing better is at its end."""
        return self.recipe.patience is not None and self.state.best.waited >= self.recipe.patience

    def _evaluation_batches(self, split: str) -> Iterator[Batch]:
        return evaluation_batches(
            self.dataset.splits[split],
            self.dataset.preprocess,
            batch_size=max(64, self.recipe.batch_size),
            runtime=self.runtime,
            workers=self.recipe.data.workers,
        )

    def _look(
        self, split: str, *, recalibrated: bool = True
    ) -> Generator[Report, None, Evaluation]:
        """Evaluate one split, after recalibrating batch norms where that is still to be done.

        Files that broke since the start are left out, and named.
        """
        before = time.monotonic()
        if self.recipe.recalibrate and not recalibrated:
            coming = islice(self.batches.start(self.state.step), self.recipe.recalibrate)
            recalibrate(self.state.usable, coming, self.runtime)
        broken: list[tuple[str, str]] = []

        def batches() -> Iterator[Batch]:
            for batch in self._evaluation_batches(split):
                broken.extend(batch.broken)
                yield batch

        found = evaluate(
            self.state.usable,
            batches(),
            self.runtime,
            split=split,
            class_names=self.dataset.class_names,
        )
        self.pace.evaluated(time.monotonic() - before, found.num_images)
        if broken:
            yield Warned(self.state.step, _left_out(f"the {split} images", broken))
        return found

    def _evaluation_cost(self) -> float:
        """Seconds that evaluation takes for one image, from the second of two batches."""
        batches = self._evaluation_batches(self.watched)
        for _ in range(2):
            before = time.monotonic()
            found = list(islice(batches, 1))
            if not found:
                break
            run_model(self.state.usable, found, self.runtime)
            seconds = (time.monotonic() - before) / len(found[0].targets)
        return seconds

    def _save(self, name: str = "last") -> None:
        """Write a checkpoint: all of the state, or for the best one its usable weights."""
        before = time.monotonic()
        if name == "best":
            tensors = {f"model.{k}": v for k, v in self.state.usable.state_dict().items()}
        else:
            tensors = self.state.tensors()
        values = {**self.state.values(), "seconds": self.pace.seconds()}
        save_checkpoint(self.run.checkpoints, name, tensors, values)
        self.saves.took(before)

    def _started(self, resumed: int | None) -> Started:
        recipe, dataset, model = self.recipe, self.dataset, self.state.model
        view = dataset.preprocess
        price = cost(model, image_size=view.image_size, in_channels=view.channels)
        self.run.write("cost", {"params": price.params, "macs": price.macs, "flops": price.flops})
        return Started(
            run=self.run.folder,
            model=recipe.model.name,
            params=price.params,
            macs=price.macs,
            machine=self.runtime.describe(),
            class_names=dataset.class_names,
            counts={role: len(split.images) for role, split in dataset.splits.items()},
            judge=dataset.judge,
            bad_images=tuple((b.name, b.reason) for b in dataset.bad),
            notes=(*dataset.notes, *self.weight_notes),
            steps_per_epoch=self.per_epoch,
            total_steps=self._total_steps(),
            minutes=recipe.minutes,
            resumed_step=resumed,
        )

    def _finish(self) -> Iterator[Report]:
        """Measure the chosen weights on the judging images and store the result."""
        state, judge = self.state, self.dataset.judge
        if self.recipe.select == "best" and "val" in self.dataset.splits:
            best = load_checkpoint(self.run.checkpoints, "best")
            state.usable.load_state_dict(best.weights())
            self.evaluation = None
        found = self.evaluation
        if found is None or found.split != judge:
            found = yield from self._look(judge)
        finished = Finished(
            run=self.run.folder,
            evaluation=found,
            weights=self.recipe.select,
            weights_sha256=fingerprint(state.usable.state_dict()),
            epochs=state.step / self.per_epoch,
            steps=state.step,
            seconds=self.pace.seconds(),
            stopped_early=not self.pace.over(state.step),
        )
        write_result(self.run, finished, self.dataset)
        self.ended = True
        yield finished

    def _diverged(self, images: Tensor, loss: float) -> UserError:
        step, where = self.state.step + 1, first_bad_layer(self.state.model, images)
        kept = load_checkpoint(self.run.checkpoints, "last").state["step"]
        reason = (
            f"the loss became {loss} at step {step}; the first to go was {where}. The weights of "
            f"step {kept} are kept in {self.run.folder}. Try --lr {self.recipe.optimizer.lr / 10:g}"
        )
        self.run.write("result", {"status": "diverged", "step": step, "reason": reason})
        return UserError(reason)


def _left_out(where: str, broken: Sequence[tuple[str, str]]) -> str:
    return f"left out of {where}: " + "; ".join(f"{name}: {reason}" for name, reason in broken)
