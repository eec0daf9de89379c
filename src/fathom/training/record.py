"""The log: a plain consumer of reports that writes metrics.jsonl and TensorBoard events."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from typing import IO, Any

from fathom.training.reports import EpochReport, Report, StepReport, Warned
from fathom.training.run import Run, write_bytes

_EVERY = 10  # steps between two records of a step


class Recorder:
    """Writes reports into a run folder; from `resumed_step` on, forgetting what came after it."""

    def __init__(self, run: Run, resumed_step: int | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorBoard's own imports warn about each other
            from torch.utils.tensorboard import SummaryWriter
        purge = None
        if resumed_step is not None:
            _forget_after(run, resumed_step)
            purge = resumed_step + 1
        self._lines: IO[str] = run.metrics.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run.folder), purge_step=purge)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._board.close()

    def write(self, report: Report) -> None:
        """Log a step (every tenth and the first), an epoch or a warning."""
        if isinstance(report, StepReport):
            if report.step != 1 and report.step % _EVERY:
                return
            self._line("step", report)
            self._scalars(
                report.step,
                {
                    "train/loss": report.loss,
                    "train/top1": report.top1,
                    "train/lr": report.lr,
                    "train/images_per_second": report.images_per_second,
                },
            )
        elif isinstance(report, EpochReport):
            self._line("epoch", report)
            scalars = {
                "epoch/train_loss": report.train_loss,
                "epoch/train_top1": report.train_top1,
            }
            if report.loss is not None and report.top1 is not None:
                scalars[f"epoch/{report.split}_loss"] = report.loss
                scalars[f"epoch/{report.split}_top1"] = report.top1
            self._scalars(report.step, scalars)
        elif isinstance(report, Warned):
            self._line("warning", report)

    def _line(self, kind: str, report: Any) -> None:
        self._lines.write(json.dumps({"kind": kind, **asdict(report)}) + "\n")
        self._lines.flush()

    def _scalars(self, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)


def _forget_after(run: Run, step: int) -> None:
    """Drop the records of steps that will be taken again."""
    kept = [r for r in run.read_metrics() if r["step"] <= step]
    write_bytes(run.metrics, "".join(json.dumps(r) + "\n" for r in kept).encode())
