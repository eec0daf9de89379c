"""`fathom transfer`: the right use of pretrained weights, decided from the user's own data."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from fathom.cli import STARTED
from fathom.cli.follow import command_line, follow
from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.training.reports import Report
    from fathom.transfer.plan import Plan
    from fathom.transfer.session import Decided, Raced, Record, Surveyed

_FLAG = Parameter(negative="", show_default=False)


@Parameter(name="*", group=Group("Transfer", sort_key=2))
@dataclass(frozen=True)
class TransferOptions:
    """What to make of pretrained weights.

    Parameters
    ----------
    weights
        Pretrained networks, with commas between them: lite0, lite1, lite2, NETWORK@torchvision,
        timm:NAME, NETWORK@FILE; lite by default. The best of several is chosen by its probe.
    model
        The network, where --weights does not say it: --weights torchvision --model resnet50.
    minutes
        Time for everything: measuring, choosing, training.
    strategy
        auto measures and chooses; probe fits a new head on frozen features; partial trains the last
        stages, finetune all of them; scratch starts with fresh weights.
    stages
        How many of the last stages partial trains.
    image_size
        Side of the square that the network sees, in pixels; by default what the time allows.
    seed
        Everything random follows from it.
    device
        auto, cpu, cuda, cuda:1, mps.
    trust_images
        Go on with images that do not seem to fit the weights.
    no_cache
        Compute all features anew and keep none.
    curve
        Train nothing to keep; measure accuracy against images a class for every strategy.
    """

    weights: str | None = None
    model: str | None = None
    minutes: float = 10.0
    strategy: Literal["auto", "probe", "finetune", "partial", "scratch"] = "auto"
    stages: int | None = None
    image_size: int | None = None
    seed: int = 0
    device: str = "auto"
    trust_images: Annotated[bool, _FLAG] = False
    no_cache: Annotated[bool, _FLAG] = False
    curve: Annotated[bool, _FLAG] = False


@Parameter(name="*", group=Group("Output", sort_key=3))
@dataclass(frozen=True)
class OutputOptions:
    """What is written and printed.

    Parameters
    ----------
    out
        The run folder; by default runs/DATA-transfer, numbered if that exists.
    quiet
        Print nothing but errors.
    json
        Print one JSON object at the end: run, top1, loss, seconds and more; the curves of --curve.
    """

    out: Path | None = None
    quiet: Annotated[bool, _FLAG] = False
    json: Annotated[bool, _FLAG] = False


def transfer(
    data: Annotated[str | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = AS_FOUND,
    how: TransferOptions = TransferOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Use pretrained weights for your images: a probe, fine-tuning, or none, as your data decide.

    The result is an ordinary run, for `fathom evaluate` and `fathom predict`.
    """
    require(
        how.stages is None or how.strategy in ("partial", "auto"),
        f"--stages has no effect with --strategy {how.strategy}; it belongs to partial and auto",
    )
    require(
        not how.curve or how.strategy == "auto",
        f"--strategy {how.strategy} has no effect with --curve, which measures all of them",
    )
    require(
        how.strategy != "scratch" or how.weights is how.model is None,
        "--weights and --model have no effect with --strategy scratch, which trains the default "
        "network with fresh weights; leave them out, or name a network to `fathom train --model`",
    )
    from fathom.features.backbone import find_backbones
    from fathom.transfer.plan import Plan
    from fathom.transfer.session import transfer as run_transfer

    plan = Plan(
        where.settings(data),
        find_backbones(how.weights or "lite", how.model),
        how.minutes,
        how.strategy,
        stages=how.stages,
        image_size=how.image_size,
        seed=how.seed,
        device=how.device,
        trust_images=how.trust_images,
        cache=not how.no_cache,
    )
    if how.curve:
        return _curves(plan, output)
    from fathom.doctor import Doctor

    doctor = Doctor()
    stream = run_transfer(
        plan, out=output.out, started=STARTED, command=command_line(), attendant=doctor
    )
    told = _told(stream, quiet=output.quiet, stderr=output.json)
    return follow(told, quiet=output.quiet, as_json=output.json, doctor=doctor)


def _told(
    stream: Generator[Record, None, None], *, quiet: bool, stderr: bool
) -> Generator[Report, None, None]:
    """Print what is measured and decided; pass the reports of the run on, without what was told."""
    from fathom.cli.tables import console
    from fathom.training.reports import Started
    from fathom.transfer.session import Decided, Raced, Surveyed

    out, told = console(stderr=stderr), set[str]()
    with closing(stream) as records:
        for record in records:
            if isinstance(record, Started):
                bad = tuple(one for one in record.bad_images if one[0] not in told)
                notes = tuple(note for note in record.notes if note not in told)
                yield replace(record, bad_images=bad, notes=notes)
                continue
            if not isinstance(record, Surveyed | Raced | Decided):
                yield record
                continue
            if isinstance(record, Surveyed):
                told |= {*record.survey.notes, *(one.name for one in record.survey.bad)}
            if isinstance(record, Decided):
                _draw_decision(record)
            if not quiet:
                for line in _lines(record):
                    out.print(line, markup=False)


def _draw_decision(record: Decided) -> None:
    from fathom.figures.transfer import race
    from fathom.report.figure_page import write_figure

    found = record.decision.to_dict()
    write_figure(
        record.folder / "decision.html",
        "Why this strategy",
        race(found["candidates"]),
        caption=" ".join(found["sentences"]),
    )


def _lines(record: Surveyed | Raced | Decided) -> Iterator[str]:
    from fathom.cli.tables import bad_image_lines
    from fathom.transfer.session import Decided, Raced

    if isinstance(record, Decided):
        yield from record.decision.sentences()
        yield f"decision: {record.folder / 'decision.html'}"
    elif isinstance(record, Raced):
        one = record.candidate
        yield (
            f"{one.strategy}: {one.top1:.1%} of {one.raced.num_images:,} validation images after "
            f"{one.raced.seconds:.0f} s"
        )
    else:
        yield from (f"note: {note}" for note in record.survey.notes)
        yield from bad_image_lines([(one.name, one.reason) for one in record.survey.bad])
        yield from record.survey.sentences()


def _curves(plan: Plan, output: OutputOptions) -> int:
    """Measure and draw a learning curve of every strategy."""
    from fathom.cli.app import show_json
    from fathom.cli.tables import console
    from fathom.figures.transfer import learning
    from fathom.report.figure_page import write_figure
    from fathom.transfer.learning import Curves, Learnt, learning_curves
    from fathom.transfer.session import Surveyed

    out = console(stderr=output.json)
    with closing(learning_curves(plan, out=output.out, started=STARTED)) as records:
        for record in records:
            lines: list[str] = []
            if isinstance(record, Surveyed):
                lines = list(_lines(record))
            elif isinstance(record, Learnt):
                lines = [
                    f"{record.point.images:,.0f} images a class: {record.strategy} "
                    f"{record.point.accuracy:.1%} in {record.seconds:.0f} s"
                ]
            elif isinstance(record, Curves):
                found, page = record.to_dict(), record.folder / "curve.html"
                write_figure(
                    page,
                    f"Learning curves of {record.data}",
                    learning(found["curves"]),
                    caption=" ".join(found["sentences"]),
                )
                lines = [*found["sentences"], f"figure: {page}"]
                if output.json:
                    show_json({"folder": str(record.folder), "figure": str(page), **found})
            if not output.quiet:
                for line in lines:
                    out.print(line, markup=False)
    return 0
