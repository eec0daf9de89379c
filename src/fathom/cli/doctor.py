"""`fathom doctor`: what was wrong with a run, the run with the remedy, and a check beforehand; its
`labels` are a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from fathom.cli.assignments import assignments
from fathom.cli.labels import labels
from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.doctor.nouns import Finding
    from fathom.doctor.postmortem import PostMortem
    from fathom.evaluate import Evaluation
    from fathom.training.recipe import Recipe
    from fathom.training.reports import Finished

_FLAG = Parameter(negative="", show_default=False)
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]

app = App(
    name="doctor",
    help="Say what was wrong with a run and what to do; doctor check looks before one starts, "
    "doctor labels judges the labels of images.",
    help_format="plaintext",
    sort_key=2,
)


app.command(labels)


@app.default
def doctor(
    run: Path,
    /,
    *,
    apply: Annotated[bool, _FLAG] = False,
    out: Path | None = None,
    quiet: Annotated[bool, _FLAG] = False,
    json: Json = False,
) -> int:
    """Diagnose a run from its folder, whether it has ended, diverged, or was killed.

    Parameters
    ----------
    run
        The folder that `fathom train` printed.
    apply
        Train anew with the remedy of the first finding, and compare the two runs.
    out
        With --apply: the new run's folder; by default RUN-mended beside the old one.
    quiet
        With --apply: print nothing of the new run but the comparison.
    json
        Print one JSON object: run, healthy, findings, unseen; with --apply also applied.
    """
    given = [name for name, is_given in (("--out", out), ("--quiet", quiet)) if is_given]
    require(
        apply or not given,
        f"{' and '.join(given)} without --apply has no effect; choose --apply with it",
    )
    from fathom.cli.app import show_json
    from fathom.doctor.postmortem import post_mortem

    found = post_mortem(run)
    told: dict[str, Any] = {
        "run": str(run),
        "healthy": found.healthy,
        "findings": [finding.to_dict() for finding in found.findings],
        "unseen": list(found.unseen),
    }
    if not json:
        _print(_about(found))
    if not apply:
        if json:
            show_json(told)
        return 0
    applied = _apply(found, out, quiet=quiet, stderr=json)
    if applied is None:
        return 130
    if json:
        show_json({**told, "applied": applied})
    return 0


def _about(found: PostMortem) -> Iterator[str]:
    if not found.findings:
        yield f"doctor: {found.sentence()}"
    for finding in found.findings:
        yield from _in_full(finding)
    if found.unseen:
        yield f"could not be seen: {'; '.join(found.unseen)}"


def _in_full(finding: Finding) -> Iterator[str]:
    """A finding with its evidence, what was ruled out, and its remedy."""
    from fathom.doctor.diagnose import in_words
    from fathom.doctor.mend import options

    yield f"doctor: {in_words(finding)}"
    changes = options(finding.remedy)
    if changes:
        yield f"  set:   fathom train ... {changes}"
    for one in finding.evidence:
        side = ("" if one.speaks else "not ") + ("above" if one.above else "below")
        yield (
            f"  {'evidence' if one.speaks else 'beside it'}: {one.quantity}: {one.value:.4g}, "
            f"{side} {one.threshold:.4g} ({one.source})"
        )
    for other in finding.rejected:
        yield f"  not {other.cause}: {other.why}"


def _apply(
    found: PostMortem, out: Path | None, *, quiet: bool, stderr: bool
) -> dict[str, Any] | None:
    """Train with the first remedy -> what came of it; None where that was interrupted."""
    require(bool(found.findings), f"{found.run}: {found.sentence()}, so there is nothing to apply")
    from fathom.cli.follow import command_line, show_verdict, watched
    from fathom.doctor import Doctor
    from fathom.doctor.mend import mended
    from fathom.report import write_report
    from fathom.training.run import Run, next_folder, refuse_used
    from fathom.training.session import train

    finding = found.findings[0]
    recipe = mended(Run.open(found.run).recipe(), finding)
    folder = found.run.resolve()
    out = out or next_folder(f"{folder.name}-mended", folder.parent)
    refuse_used(out)
    attending = Doctor()
    stream = train(recipe, out=out, command=command_line(), attendant=attending)
    finished = watched(stream, quiet=quiet, stderr=stderr, doctor=attending)
    if finished is None:
        return None
    write_report(out)
    if not stderr:
        _print(_compared(found.run, finished))
        show_verdict(attending.findings, stderr=False)
    return {
        "cause": finding.cause,
        "changes": dict(finding.remedy.changes),
        "run": str(out),
        "before": _accuracy(_evaluation(found.run)),
        "after": _accuracy(finished.evaluation),
        "doctor": [one.cause for one in attending.findings],
    }


def _evaluation(run: Path) -> Evaluation | None:
    """How a run was judged; None where it did not come to that."""
    from fathom.report.material import read_run

    return read_run(run).evaluation


def _accuracy(found: Evaluation | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"top1": found.top1, "top1_low": found.top1_low, "top1_high": found.top1_high}


def _compared(old: Path, finished: Finished) -> Iterator[str]:
    from fathom.training.run import Run

    for run, found in ((old, _evaluation(old)), (finished.run, finished.evaluation)):
        if found is None:
            yield f"{run}: no result"
            continue
        yield (
            f"{run}: top-1 {found.top1:.2%} of {found.num_images:,} {found.split} images (95 % "
            f"interval {found.top1_low:.2%} to {found.top1_high:.2%})"
        )
    prints = [Run.open(run).read("data")["fingerprint"] for run in (old, finished.run)]
    if prints[0] != prints[1]:
        yield "the data have changed between the two runs, so their accuracies do not compare"


def _print(lines: Iterator[str]) -> None:
    from fathom.cli.tables import console

    out = console()
    for line in lines:
        out.print(line, markup=False)


@app.command(name="check")
def check(
    model: str,
    data: Annotated[str | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = AS_FOUND,
    recipe: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    device: str | None = None,
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None,
    json: Json = False,
) -> int:
    """Look for what would spoil a run, within about a minute, before hours are spent on it.

    Exit code 0 where nothing is wrong, 1 where something is, 2 for what cannot be used.

    Parameters
    ----------
    model
        A network of `fathom models`, or a recipe of `fathom recipes` with its own.
    recipe
        The recipe of the run, where a network was named: default, fast, or a paper's.
    changes
        Any field of the recipe by its path, as `fathom train` takes them. Repeatable.
    device
        auto, cpu, cuda, cuda:1, mps.
    precision
        auto, float32, bfloat16 or float16.
    json
        Print one JSON object: passed, and for each test its name, what was measured, the threshold,
        and what to do.
    """
    from fathom.cli.app import show_json
    from fathom.doctor.preflight import preflight

    asked = {"device": device, "precision": precision}
    settings = {path: text for path, text in asked.items() if text is not None}
    settings |= assignments("--set", changes)
    tests = []
    for test in preflight(_recipe(model, data, where, recipe, settings)):
        tests.append(test)
        if not json:
            _print(iter(test.lines()))
    wrong = [test for test in tests if test.passed is False]
    if json:
        show_json({"passed": not wrong, "tests": [test.to_dict() for test in tests]})
    else:
        _print(iter([f"doctor: {len(wrong)} wrong" if wrong else "doctor: nothing is wrong"]))
    return 1 if wrong else 0


def _recipe(
    model: str, data: str | None, where: DataOptions, name: str | None, changes: dict[str, str]
) -> Recipe:
    from fathom.recipes.registry import RECIPES, recipe

    if model in RECIPES:
        require(
            name is None,
            f"{model} is a recipe itself, so --recipe {name} has no effect; name a network before "
            "it, or leave it out",
        )
        return recipe(model, where.settings(data), changes=changes)
    require("model.name" not in changes, f"the network is {model}; leave out --set model.name")
    settings = where.settings(data)
    return recipe(name or "default", settings, changes={**changes, "model.name": model})
