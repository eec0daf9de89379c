"""The doctor beside `fathom train`: reads the stream of reports on its way out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor, nn

from fathom.data.batches import Batch, evaluation_batches
from fathom.data.load import Split
from fathom.doctor import record
from fathom.doctor.diagnose import diagnose
from fathom.doctor.exam import examine, look_at_plain
from fathom.doctor.feed import IMAGES, SECONDS, Sample, until
from fathom.doctor.labels import Margins
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Exam, Observed, Task
from fathom.doctor.sharing import leaked_in
from fathom.doctor.splits import furthest
from fathom.doctor.watch import SHARE, Watch
from fathom.errors import UserError
from fathom.evaluate import Evaluation, evaluate
from fathom.runtime import generator
from fathom.training.reports import EpochReport, Finished, Report, Started, StepReport, Warned
from fathom.training.settings import to_dict
from fathom.training.trainer import Trainer

_EXAMINED = 512  # images of an exam
_MOST_CLASSES = 200  # of a matrix that is kept
_NAMED = 20  # of leaked images
_SUSPECTS = 100


class Doctor:
    """Attends one run: warns as soon as a cause is certain, and writes doctor.json after epochs,
    when the run is left, and at its end. findings are those of when it was last written."""

    def __init__(self, *, share: float = SHARE, every: int | None = None) -> None:
        self.share, self.every = share, every
        self.findings: list[Finding] = []
        self.watch: Watch | None = None
        self._told: set[str] = set()
        self._exam_seconds = 0.0
        self._margins: Margins | None = None
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
                warnings = list(self._after(trainer, report))
                yield report
                yield from warnings
        except UserError:
            if self.watch is not None:
                if trainer.run.has("result"):  # it has ended, as runs end that diverge
                    self.observed.diverged = self.observed.diverged or trainer.state.step + 1
                self._store(trainer, ended=True)
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
            self._begin(trainer)
        elif isinstance(report, StepReport) and self.watch is not None:
            self._take_margins(trainer)
            if self.watch.step(report.loss, self._last_targets(trainer), top1=report.top1):
                yield from self._warnings(report.step)
        elif isinstance(report, EpochReport) and self.watch is not None:
            self._examine(trainer, report.step)
            if self._store_seconds <= self.share * (time.monotonic() - self._stored):
                self._store(trainer)

    def _begin(self, trainer: Trainer) -> None:
        """Take up what was seen before a resumed run was left. Until that is read there is no
        watch, so that nothing is written over a file that cannot be."""
        state, resumed = trainer.state, trainer.checkpoint is not None
        seen = record.read(trainer.run) if resumed else None
        margins = record.read_margins(trainer.run) if resumed else None
        self.watch = Watch(state.model, state.optimizer, share=self.share, every=self.every)
        self.watch.steps = state.step
        self._stored = time.monotonic()
        if seen is not None:
            record.forget_after(seen, state.step)
            seen.structure = self.observed.structure
            vars(self.observed).update(vars(seen))
        if margins is not None:
            self._margins = _no_margins(trainer)
            self._margins.take_up(margins)
        self.observed.task = task_of(trainer)
        self._look_for_leaks(trainer)

    def _finish(self, trainer: Trainer, report: Finished) -> None:
        found = report.evaluation
        self.observed.add_exam(_exam(found, report.steps, found.split))
        self.observed.over = True
        self._examine(trainer, report.steps, last=True)
        self._look_at_data(trainer, report.steps)
        self._store(trainer, ended=True)

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
        with watch.looking_away():
            found = examined(trainer, trainer.state.usable, "train")
        self.observed.add_exam(_exam(found, step, "train"))
        self._exam_seconds = time.monotonic() - began
        watch.cost += self._exam_seconds

    def _look_for_leaks(self, trainer: Trainer) -> None:
        assert self.watch is not None
        began = time.monotonic()
        names, judged = leaked_in(trainer.dataset, trainer.watched)
        seen = self.observed.sharing
        seen.leaked, seen.leaked_names, seen.judged = len(names), names[:_NAMED], judged
        self.watch.cost += time.monotonic() - began

    def _last_targets(self, trainer: Trainer) -> Tensor | None:
        """Those of the images that went through the network last: the step's, or of a step in parts
        the last part's, which stand at its end."""
        batch, logits = trainer.batch, None if self.watch is None else self.watch.logits
        if batch is None or logits is None:
            return None
        return batch.targets[-len(logits) :]

    def _take_margins(self, trainer: Trainer) -> None:
        """Those of a step whose images are not mixed; of a step in parts, of its last part."""
        batch, logits = trainer.batch, None if self.watch is None else self.watch.logits
        targets = self._last_targets(trainer)
        if batch is None or logits is None or targets is None or targets.dim() != 1:
            return
        if self._margins is None:
            self._margins = _no_margins(trainer)
        self._margins.add(logits, targets, batch.positions[-len(logits) :])

    def _look_at_data(self, trainer: Trainer, step: int) -> None:
        """What the images show without the network, and what the margins say of their labels."""
        assert self.watch is not None
        shown = shown_sample(trainer)
        plain = plain_sample(trainer, "train", None if shown is None else shown.places)
        judged = plain_sample(trainer, trainer.watched)
        look_at_plain(self.observed, plain, judged, shown)
        self.observed.sharing.apart = furthest(plain, judged, augmented=False)
        if shown is not None:
            with self.watch.looking_away():
                found = examine(
                    trainer.state.usable, shown, split="augmented", step=step, augmented=True
                )
            self.observed.add_exam(found)
        if self._margins is not None:
            images, names = trainer.dataset.splits["train"].images, trainer.dataset.class_names
            self.observed.labels.suspects = [
                (images.keys[place], names[images.targets[place]], names[other])
                for place, other in self._margins.suspects(_SUSPECTS)
            ]

    def _store(self, trainer: Trainer, *, ended: bool = False) -> None:
        assert self.watch is not None
        began = time.monotonic()
        self.findings = diagnose(self.observed, early=not ended)
        record.write(trainer.run, self.observed, self.findings, seconds=self.watch.cost)
        going_on = None if ended or self._margins is None else self._margins.tensors()
        record.write_margins(trainer.run, going_on)
        self._stored = time.monotonic()
        self._store_seconds = self._stored - began
        self.watch.cost += self._store_seconds


def _no_margins(trainer: Trainer) -> Margins:
    return Margins(len(trainer.dataset.splits["train"].images), trainer.runtime.device)


def task_of(trainer: Trainer) -> Task:
    """What the recipe and the data say of a run."""
    recipe, dataset = trainer.recipe, trainer.dataset
    return Task(
        num_classes=len(dataset.class_names),
        counts=dataset.counts("train"),
        batch_size=recipe.batch_size,
        pretrained=recipe.model.weights is not None,
        ema=recipe.ema,
        steps_per_epoch=trainer.per_epoch,
        recipe=to_dict(recipe),
    )


def plain_sample(trainer: Trainer, name: str, places: list[int] | None = None) -> Sample:
    """Images of a split as they are evaluated, as far as the time goes: those at some places, or
    drawn from all."""
    split = trainer.dataset.splits[name]
    if places is None:
        chosen = drawn(split, IMAGES)
    else:
        views = None if split.views is None else split.views[places]
        chosen = Split(split.images.take(places), views)
    batches = evaluation_batches(
        chosen, trainer.dataset.preprocess, batch_size=32, runtime=trainer.runtime, workers=0
    )
    found = _sample(batches, IMAGES)
    if places is None or found.places is None:
        return found
    return Sample(found.images, found.targets, [places[place] for place in found.places])


def shown_sample(trainer: Trainer) -> Sample | None:
    """Images as the coming steps would be trained on, where they are at hand, not mixed, and drawn
    as the split is: with rare classes made frequent, labels do not compare with validation's."""
    recipe, views = trainer.recipe, trainer.dataset.splits["train"].views
    if views is None or recipe.augment.mix is not None or recipe.sampling == "balanced":
        return None
    return _sample(trainer.batches.start(trainer.state.step), _EXAMINED)


def _sample(batches: Iterator[Batch], images: int) -> Sample:
    taken = list(until(((b.images, b.targets, b.positions) for b in batches), images, SECONDS))
    shown, targets, positions = (torch.cat(part).cpu() for part in zip(*taken, strict=True))
    return Sample(shown, targets, positions.tolist())


def examined(trainer: Trainer, model: nn.Module, split: str) -> Evaluation:
    """Some images of a split as they are evaluated."""
    batches = evaluation_batches(
        drawn(trainer.dataset.splits[split], _EXAMINED),
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


def drawn(split: Split, count: int) -> Split:
    """So many images of a split, or all, with its classes as frequent as they are in it: accuracies
    on them compare with those on a whole split. They come in the order of the draw, so that those
    that are read before time is up are a sample themselves, of a split stored by class too."""
    order = torch.randperm(len(split.images), generator=generator(0, "drawn"))
    chosen = order[:count].tolist()
    views = None if split.views is None else split.views[chosen]
    return Split(split.images.take(chosen), views)


def _exam(found: Evaluation, step: int, split: str) -> Exam:
    matrix = [list(map(int, row)) for row in found.matrix]
    return Exam(
        step,
        split,
        "result",
        found.loss,
        found.top1,
        found.num_images,
        matrix if len(matrix) <= _MOST_CLASSES else None,
    )
