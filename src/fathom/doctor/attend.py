"""The doctor beside `fathom train`: reads the stream of reports on its way out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from torch import nn

from fathom.data.batches import evaluation_batches
from fathom.doctor import record
from fathom.doctor.diagnose import diagnose
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Exam, Observed, Task
from fathom.doctor.watch import SHARE, Watch
from fathom.errors import UserError
from fathom.evaluate import Evaluation, evaluate
from fathom.features.extract import first_of
from fathom.training.reports import EpochReport, Finished, Report, Started, StepReport, Warned
from fathom.training.settings import to_dict
from fathom.training.trainer import Trainer

_EXAMINED = 512  # images of an exam
_MOST_CLASSES = 200  # of a matrix that is kept


class Doctor:
    """Attends one run: warns as soon as a cause is certain, and writes doctor.json after epochs,
    when the run is left, and at its end. findings are those of the end."""

    def __init__(self, *, share: float = SHARE, every: int | None = None) -> None:
        self.share, self.every = share, every
        self.findings: list[Finding] = []
        self.watch: Watch | None = None
        self._told: set[str] = set()
        self._exam_seconds = 0.0
        self._stored, self._store_seconds = 0.0, 0.0

    @property
    def observed(self) -> Observed:
        """All that was seen so far."""
        assert self.watch is not None, "the run has not begun"
        return self.watch.observed

    def attend(self, trainer: Trainer, stream: Iterator[Report]) -> Iterator[Report]:
        """The reports of the stream, and warnings between them."""
        try:
            for report in stream:
                if isinstance(report, Finished):
                    self._finish(trainer, report)
                yield report
                yield from self._after(trainer, report)
        except UserError:
            if self.watch is not None:
                if trainer.run.has("result"):  # it has ended, as runs end that diverge
                    self.observed.diverged = self.observed.diverged or trainer.state.step + 1
                self._conclude(trainer)
            raise
        except GeneratorExit:  # the run is left, and may be resumed
            if self.watch is not None and not self.observed.over:
                with suppress(OSError):
                    self._store(trainer)
            raise
        finally:
            if self.watch is not None:
                self.watch.close()

    def _after(self, trainer: Trainer, report: Report) -> Iterator[Report]:
        if isinstance(report, Started):
            state = trainer.state
            self.watch = Watch(state.model, state.optimizer, share=self.share, every=self.every)
            self.watch.steps = state.step
            self._stored = time.monotonic()
            if trainer.checkpoint is not None:
                self._go_on(trainer)
            self.observed.task = task_of(trainer)
        elif isinstance(report, StepReport) and self.watch is not None:
            targets = None if trainer.batch is None else trainer.batch.targets
            if self.watch.step(report.loss, targets, top1=report.top1):
                yield from self._warnings(report.step)
        elif isinstance(report, EpochReport) and self.watch is not None:
            self._examine(trainer, report.step)
            if self._store_seconds <= self.share * (time.monotonic() - self._stored):
                self._store(trainer)

    def _go_on(self, trainer: Trainer) -> None:
        """Take up what was seen before a resumed run was left."""
        seen = record.read(trainer.run)
        if seen is not None:
            record.forget_after(seen, trainer.state.step)
            seen.structure = self.observed.structure
            vars(self.observed).update(vars(seen))

    def _finish(self, trainer: Trainer, report: Finished) -> None:
        found = report.evaluation
        self.observed.exams.append(_exam(found, report.steps, found.split, "result"))
        self.observed.over = True
        self._examine(trainer, report.steps, last=True)
        self._conclude(trainer)

    def _warnings(self, step: int) -> Iterator[Warned]:
        for finding in diagnose(self.observed, early=True):
            if finding.cause not in self._told and finding.since is not None:
                self._told.add(finding.cause)
                yield Warned(step, f"{finding.says} {finding.remedy.words}")

    def _examine(self, trainer: Trainer, step: int, *, last: bool = False) -> None:
        """Judge training images as validation ones are, as often as the share of time allows."""
        watch = self.watch
        assert watch is not None
        began = time.monotonic()
        if not last and not watch.affords(self._exam_seconds):
            return
        pairs: list[tuple[str, str, nn.Module]] = [("train", "result", trainer.state.usable)]
        if trainer.state.average is not None:
            pairs.append((trainer.watched, "raw", trainer.state.model))
        with watch.looking_away():
            for split, weights, model in pairs:
                found = examined(trainer, model, split)
                self.observed.exams.append(_exam(found, step, split, weights))
        self._exam_seconds = time.monotonic() - began
        watch.cost += self._exam_seconds

    def _conclude(self, trainer: Trainer) -> None:
        self.findings = diagnose(self.observed)
        self._store(trainer)

    def _store(self, trainer: Trainer) -> None:
        assert self.watch is not None
        began = time.monotonic()
        record.write(trainer.run, self.observed, self.findings, seconds=self.watch.cost)
        self._stored = time.monotonic()
        self._store_seconds = self._stored - began
        self.watch.cost += self._store_seconds


def task_of(trainer: Trainer) -> Task:
    """What the recipe and the data say of a run."""
    recipe, dataset = trainer.recipe, trainer.dataset
    return Task(
        num_classes=len(dataset.class_names),
        counts=dataset.counts("train"),
        batch_size=recipe.batch_size,
        planned_steps=trainer.pace.expected_steps(trainer.state.step),
        pretrained=recipe.model.weights is not None,
        ema=recipe.ema,
        steps_per_epoch=trainer.per_epoch,
        mixes=recipe.augment.mix is not None,
        label_smoothing=getattr(recipe.loss, "label_smoothing", 0.0),
        recipe=to_dict(recipe),
    )


def examined(trainer: Trainer, model: nn.Module, split: str) -> Evaluation:
    """Some images of a split, as many of every class, as they are evaluated."""
    batches = evaluation_batches(
        first_of(trainer.dataset.splits[split], _EXAMINED),
        trainer.dataset.preprocess,
        batch_size=128,
        runtime=trainer.runtime,
        workers=0,
    )
    return evaluate(
        model,
        batches,
        trainer.runtime,
        split=split,
        class_names=trainer.dataset.class_names,
    )


def _exam(found: Evaluation, step: int, split: str, weights: str) -> Exam:
    matrix = [list(map(int, row)) for row in found.matrix]
    return Exam(
        step,
        split,
        weights,
        found.loss,
        found.top1,
        found.num_images,
        matrix if len(matrix) <= _MOST_CLASSES else None,
    )
