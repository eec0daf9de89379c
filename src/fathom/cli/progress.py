"""Progress on the terminal: a live bar where there is one, a plain line an epoch where not."""

from __future__ import annotations

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from fathom.cli.tables import bad_image_lines, console, quantity
from fathom.training.reports import EpochReport, Finished, Report, Started, StepReport, Warned


class Progress:
    """A consumer of reports that prints them; on standard error where standard output is JSON."""

    def __init__(self, *, quiet: bool, stderr: bool) -> None:
        self.quiet = quiet
        self.out = console(stderr=stderr)
        self._bar: Bar | None = None
        self._started: Started | None = None
        self._seen = 0.0
        self._steps = 0
        self._loss = self._top1 = 0.0  # smoothed over some twenty steps

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, report: Report) -> None:
        """Print one report."""
        if self.quiet:
            return
        if isinstance(report, Started):
            self._start(report)
        elif isinstance(report, StepReport):
            self._step(report)
        elif isinstance(report, EpochReport):
            self._print(epoch_line(report))
        elif isinstance(report, Warned):
            self._print(f"step {report.step}: {report.message}")
        elif isinstance(report, Finished):
            self._finish(report)

    def _print(self, text: str) -> None:
        (self._bar.console if self._bar else self.out).print(text, markup=False)

    def _start(self, report: Started) -> None:
        self._started = report
        for line in start_lines(report):
            self._print(line)
        if not self.out.is_terminal:
            return
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            console=self.out,
            transient=True,
            expand=True,
        )
        self._bar.add_task("", total=1.0, epoch=0, text="")
        self._bar.start()

    def _step(self, report: StepReport) -> None:
        if self._bar is None:
            return
        self._steps += 1
        weight = max(0.05, 1 / self._steps)
        self._loss += weight * (report.loss - self._loss)
        self._top1 += weight * (report.top1 - self._top1)
        if report.seconds - self._seen < 0.1:
            return
        self._seen = report.seconds
        text = (
            f"{report.images_per_second:,.0f} images/s  {clock(report.seconds_left)} left  "
            f"loss {self._loss:.3f}  train {self._top1:.1%}  lr {report.lr:.2g}"
        )
        total = report.seconds + report.seconds_left
        self._bar.update(
            self._bar.task_ids[0],
            completed=report.seconds / total if total else 0,
            epoch=report.epoch + 1,
            text=text,
        )

    def _finish(self, report: Finished) -> None:
        found = report.evaluation
        which = f"{found.num_images:,} {found.split} images"
        self._print(
            f"top-1 {found.top1:.2%} of {which} (95 % interval {found.top1_low:.2%} to "
            f"{found.top1_high:.2%}), loss {found.loss:.4f}, {report.epochs:.4g} epochs in "
            f"{clock(report.seconds)}"
        )
        self._print(f"run: {report.run}")


def start_lines(report: Started) -> list[str]:
    """What is about to happen, in a few lines."""
    counts = ", ".join(f"{count:,} {role}" for role, count in report.counts.items())
    length = (
        f"{report.total_steps:,} steps" if report.total_steps else f"{report.minutes:g} minutes"
    )
    lines = [f"note: {note}" for note in report.notes]
    lines += bad_image_lines(report.bad_images)
    lines.append(f"{len(report.class_names)} classes; images: {counts}")
    lines.append(
        f"{report.model}: {quantity(report.params)} parameters, {quantity(report.macs)}MACs "
        f"({quantity(2 * report.macs)}FLOPs) an image"
    )
    lines.append(f"{report.machine}; {length}, {report.steps_per_epoch:,} steps an epoch")
    if report.resumed_step is not None:
        lines.append(f"resumed at step {report.resumed_step:,}")
    return lines


def epoch_line(report: EpochReport) -> str:
    """One epoch on one line."""
    parts = [
        f"epoch {report.epoch + 1:3d}",
        f"loss {report.train_loss:.4f}",
        f"train {report.train_top1:.2%}",
    ]
    if report.loss is not None and report.top1 is not None:
        parts.append(f"{report.split} {report.top1:.2%} (loss {report.loss:.4f})")
    parts += [
        f"lr {report.lr:.2g}",
        f"{report.images_per_second:,.0f} images/s",
        clock(report.seconds),
    ]
    return "  ".join(parts) + ("  best so far" if report.chosen else "")


def clock(seconds: float) -> str:
    """Seconds as people say them: "42 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
