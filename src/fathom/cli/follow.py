"""A stream of reports onto the terminal, and the end of a run, for `train` and `transfer`.

Below them what every long command needs: its own words, SIGTERM, and lines that are not too many.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.errors import UserError

if TYPE_CHECKING:
    from fathom.doctor import Doctor, Finding
    from fathom.training.reports import Finished, Report


_EVERY = 30.0  # seconds between two lines on the steps of a run


def command_line() -> str:
    """The command as it was typed, to be recorded with a run."""
    return shlex.join(["fathom", *sys.argv[1:]])


def follow(
    stream: Generator[Report, None, None],
    *,
    quiet: bool,
    as_json: bool,
    doctor: Doctor | None = None,
) -> int:
    """Show the reports and how the run ended, and what the doctor who attends it says; the exit
    code."""
    finished = watched(stream, quiet=quiet, stderr=as_json, doctor=doctor)
    if finished is None:
        return 130
    _end(finished, quiet=quiet, as_json=as_json, doctor=doctor)
    return 0


def watched(
    stream: Generator[Report, None, None],
    *,
    quiet: bool,
    stderr: bool,
    doctor: Doctor | None = None,
) -> Finished | None:
    """Show the reports; on Ctrl-C leave after the step, which saves a checkpoint: then None."""
    from fathom.cli.progress import Progress
    from fathom.training.reports import Finished, Started, StepReport

    finished: Finished | None = None
    run: Path | None = None
    with (
        _report_of_failure(lambda: run, doctor),
        Progress(quiet=quiet, stderr=stderr) as view,
        closing(stream) as reports,
        _interrupts() as interrupted,
    ):
        for report in reports:
            view.show(report)
            if isinstance(report, Started):
                run = report.run
                interrupted.arm()
            elif isinstance(report, Finished):
                finished = report
            elif isinstance(report, StepReport) and interrupted.asked:
                break
    if finished is None:
        assert run is not None
        print(
            f"fathom: stopped and saved; go on with: fathom train --resume {run}", file=sys.stderr
        )
    return finished


@contextmanager
def _report_of_failure(run: Callable[[], Path | None], doctor: Doctor | None) -> Iterator[None]:
    """Write the report of a run that breaks off for a reason, as far as that can be done, and say
    what the doctor makes of it."""
    try:
        yield
    except UserError:
        folder = run()
        if doctor is not None and doctor.findings:
            show_verdict(doctor.findings, stderr=True)
        if folder is not None:
            from fathom.report import write_report

            with suppress(OSError, UserError):
                write_report(folder)
        raise


def show_verdict(findings: Sequence[Finding], *, stderr: bool) -> None:
    """One line where all is well, else every finding in words."""
    from fathom.cli.tables import console
    from fathom.doctor.diagnose import in_words

    out = console(stderr=stderr)
    if not findings:
        out.print("doctor: healthy")
    for finding in findings:
        out.print(f"doctor: {in_words(finding)}", markup=False)


def _end(finished: Finished, *, quiet: bool, as_json: bool, doctor: Doctor | None) -> None:
    from fathom.report import write_report

    report = write_report(finished.run)
    found = finished.evaluation
    attended = doctor is not None and doctor.watch is not None
    findings = doctor.findings if doctor is not None else []
    if attended and not quiet:
        show_verdict(findings, stderr=as_json)
    if as_json:
        result: dict[str, Any] = {
            "run": str(finished.run),
            "top1": found.top1,
            "loss": found.loss,
            "epochs": finished.epochs,
            "seconds": finished.seconds,
            "steps": finished.steps,
            "split": found.split,
            "num_images": found.num_images,
            "ece": found.ece,
            "weights": finished.weights,
            "weights_sha256": finished.weights_sha256,
            "doctor": [finding.cause for finding in findings] if attended else None,
            "report": str(report),
        }
        print(json.dumps(result, ensure_ascii=False))
    elif not quiet:
        print(f"report: {report}")


class _Interrupt:
    """Whether the user asked to stop; armed once there is something to save."""

    def __init__(self) -> None:
        self.asked = False

    def arm(self) -> None:
        """From now on the first Ctrl-C or SIGTERM asks, and a second one stops at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nfathom: stopping after this step; once more to stop at once", file=sys.stderr)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class NowAndThen:
    """Whether a run of an arm and a seed may speak again: half a minute after it last did."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], float] = {}

    def __call__(self, arm: str, seed: int) -> bool:
        now = time.monotonic()
        due = now - self._said.get((arm, seed), -_EVERY) >= _EVERY
        if due:
            self._said[arm, seed] = now
        return due


@contextmanager
def _interrupts() -> Iterator[_Interrupt]:
    """Handlers for Ctrl-C and SIGTERM, put back afterwards."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield _Interrupt()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
