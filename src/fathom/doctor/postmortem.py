"""The post-mortem: what was wrong with a run, read from its folder.

doctor.json holds what was seen by the doctor who attended the run, and is judged anew, by the
checks of today. A run without one is judged by its log and its evaluation, which show far less:
what could not be seen is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.doctor import record
from fathom.doctor.diagnose import diagnose
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Exam, Observed, Task
from fathom.errors import require
from fathom.evaluate import Evaluation
from fathom.training.run import Run
from fathom.training.settings import to_dict

_UNSEEN = (
    "layers, gradients, activations and steps (no doctor attended the run)",
    "training images as validation images are judged",
    "the images themselves, and the order in which they came",
)


@dataclass(frozen=True)
class PostMortem:
    """What was wrong with a run, and what could not be seen of it."""

    run: Path
    findings: list[Finding]
    observed: Observed
    unseen: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything was seen of a run that has ended, and nothing was wrong."""
        return not self.findings and not self.unseen and self.observed.over

    def sentence(self) -> str:
        """What is said where nothing was found."""
        if self.healthy:
            return "healthy"
        seen = "what its log shows" if self.unseen else "what was seen"
        step = max([*self.observed.curve.step[-1:], *(e.step for e in self.observed.exams)] or [0])
        until = "" if self.observed.over else f" up to step {step:,}, where the run stands"
        return f"nothing is wrong in {seen}{until}"


def post_mortem(folder: Path) -> PostMortem:
    """Judge a run by its folder, whether it has ended, was left, or was killed.

    Raises UserError for a folder that is no run, a damaged one, and a probe, which has no steps.
    """
    run = Run.open(folder)
    require(
        not run.has("probe"),
        f"{folder} is a probe: its classifier was fitted at once, so there is no training to "
        "diagnose; `fathom report` shows what it can do",
    )
    seen = record.read(run)
    unseen = () if seen is not None else _UNSEEN
    if seen is None:
        seen = _from_log(run)
    elif not seen.over:
        known = {(exam.step, exam.split) for exam in seen.exams}
        seen.exams += [e for e in _logged_exams(run) if (e.step, e.split) not in known]
    return PostMortem(folder, diagnose(seen), seen, unseen)


def _from_log(run: Run) -> Observed:
    """What metrics.jsonl, data.json, evaluation.json and result.json tell."""
    seen = Observed(task=_task(run))
    for line in run.read_metrics():
        if line["kind"] == "step":
            seen.curve.add(line["step"], line["loss"], line["top1"], line["lr"])
    seen.exams = list(_logged_exams(run))
    result = run.read("result") if run.has("result") else {}
    seen.over = result.get("status") == "finished"
    if result.get("status") == "diverged":
        seen.diverged = result.get("step")
    if run.has("evaluation"):
        found = Evaluation.from_dict(run.read("evaluation")["evaluation"])
        seen.add_exam(
            Exam(
                int(result.get("steps", 0)),
                found.split,
                "result",
                found.loss,
                found.top1,
                found.num_images,
                [list(map(int, row)) for row in found.matrix],
            )
        )
    return seen


def _logged_exams(run: Run) -> Iterator[Exam]:
    """The evaluations after epochs."""
    counts: Mapping[str, list[int]] = run.read("data")["counts"] if run.has("data") else {}
    for line in run.read_metrics():
        if line["kind"] == "epoch" and line["top1"] is not None:
            split = line["split"]
            images = sum(counts.get(split, []))
            yield Exam(line["step"], split, "result", line["loss"], line["top1"], images)


def _task(run: Run) -> Task:
    recipe = run.recipe()
    data: Mapping[str, Any] = run.read("data") if run.has("data") else {}
    counts = list(data.get("counts", {}).get("train", []))
    per_epoch = sum(counts) // recipe.batch_size
    return Task(
        num_classes=len(data.get("class_names", [])),
        counts=counts,
        batch_size=recipe.batch_size,
        pretrained=recipe.model.weights is not None,
        ema=recipe.ema,
        steps_per_epoch=per_epoch,
        recipe=to_dict(recipe),
    )
