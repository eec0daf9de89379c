"""What the runs of an ablation say: each arm against the base, seed by seed, and in a sentence.

Free of PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Literal

from fathom.ablation.plan import Arm, Kind, Plan
from fathom.errors import UserError
from fathom.spread import spread
from fathom.training.run import FORMAT, Run, write_json

RESULTS = "results.json"

Status = Literal["finished", "diverged", "unfinished"]
Verdict = Literal["base", "helps", "hurts", "no difference shown", "not finished"]


@dataclass(frozen=True)
class RunResult:
    """One run. Figures are None where it has not got so far; reason says why it diverged."""

    folder: str
    seed: int
    status: Status
    top1: float | None = None
    loss: float | None = None
    steps: int | None = None
    epochs: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    weights_sha256: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Difference:
    """An arm's top-1 minus the base's, mean over the seeds that both have finished.

    low and high are the 95 % interval of Student's t over those pairs; None for a single pair.
    """

    mean: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True)
class ArmResult:
    """One arm: top1 is the mean over its finished seeds, sd their standard deviation (None for one
    seed), lowest and highest their range.

    images_per_second is that of the calibration where the budget is in minutes, else the median of
    the runs. steps and epochs are what every run of the arm was or will be given, or has reached.
    """

    name: str
    kind: Kind
    what: str
    changes: dict[str, str]
    runs: tuple[RunResult, ...]
    top1: float | None
    sd: float | None
    lowest: float | None
    highest: float | None
    steps: int | None
    epochs: float | None
    images_per_second: float | None
    difference: Difference | None
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Results:
    """Everything measured so far. split and num_images say what judged; None before a run ended."""

    budget: str
    seeds: tuple[int, ...]
    split: str | None
    num_images: int | None
    arms: tuple[ArmResult, ...]
    runs_ended: int
    runs_planned: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Results:
        """The inverse of `to_dict`."""
        arms = []
        for arm in values["arms"]:
            runs = tuple(RunResult(**run) for run in arm["runs"])
            difference = arm["difference"] and Difference(**arm["difference"])
            arms.append(ArmResult(**{**arm, "runs": runs, "difference": difference}))
        return cls(**{**values, "arms": tuple(arms), "seeds": tuple(values["seeds"])})


def run_folder(folder: Path, arm: str, seed: int) -> Path:
    """Where a run lies in the folder of its ablation."""
    return folder / f"{arm}-{seed}"


def status(run: Path) -> Status:
    """How far a run is: unfinished also before it has begun."""
    if not (run / "result.json").is_file():
        return "unfinished"
    return "diverged" if Run(run).read("result")["status"] == "diverged" else "finished"


def write_results(folder: Path, plan: Plan) -> Results:
    """Read the run folders, compute everything anew, and store it as results.json."""
    found = collect(folder, plan)
    write_json(folder / RESULTS, {"format": FORMAT, **found.to_dict()})
    return found


def read_results(folder: str | Path) -> Results:
    """The stored results of an ablation. Raises UserError where there are none."""
    path = Path(folder) / RESULTS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values.pop("format")
        return Results.from_dict(values)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: no run of the ablation has ended yet") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); `fathom ablate --resume` writes it"
        ) from error


def collect(folder: Path, plan: Plan) -> Results:
    """Everything that the run folders say so far."""
    runs = {arm.name: [_run_result(folder, arm, seed) for seed in plan.seeds] for arm in plan.arms}
    arms = [_arm_result(plan, arm, runs[arm.name], runs[plan.base.name]) for arm in plan.arms]
    ended = [run for arm in arms for run in arm.runs if run.status != "unfinished"]
    judged = next((run for run in ended if run.status == "finished"), None)
    found = None if judged is None else Run(folder / judged.folder).read("evaluation")["evaluation"]
    return Results(
        budget=str(plan.budget),
        seeds=plan.seeds,
        split=None if found is None else found["split"],
        num_images=None if found is None else found["num_images"],
        arms=tuple(arms),
        runs_ended=len(ended),
        runs_planned=len(plan.runs()),
    )


def _run_result(folder: Path, arm: Arm, seed: int) -> RunResult:
    path = run_folder(folder, arm.name, seed)
    state = status(path)
    if state == "unfinished":
        return RunResult(path.name, seed, state)
    run = Run(path)
    end = run.read("result")
    if state == "diverged":
        return RunResult(path.name, seed, state, steps=end["step"], reason=end["reason"])
    rates = [r["images_per_second"] for r in run.read_metrics() if r["kind"] == "step"]
    return RunResult(
        folder=path.name,
        seed=seed,
        status=state,
        top1=end["top1"],
        loss=end["loss"],
        steps=end["steps"],
        epochs=end["epochs"],
        seconds=end["seconds"],
        images_per_second=median(rates),
        weights_sha256=end["weights_sha256"],
    )


def _arm_result(
    plan: Plan, arm: Arm, runs: Sequence[RunResult], base: Sequence[RunResult]
) -> ArmResult:
    scores = [run.top1 for run in runs if run.top1 is not None]
    finished = [run for run in runs if run.status == "finished"]
    difference = None if arm is plan.base else paired(runs, base)
    verdict = _verdict(arm, runs, base, difference)
    return ArmResult(
        name=arm.name,
        kind=arm.kind,
        what=arm.what,
        changes=dict(arm.changes),
        runs=tuple(runs),
        top1=fmean(scores) if scores else None,
        sd=stdev(scores) if len(scores) > 1 else None,
        lowest=min(scores, default=None),
        highest=max(scores, default=None),
        steps=_steps(plan, arm, finished),
        epochs=finished[0].epochs if finished else None,
        images_per_second=_rate(plan, arm, finished),
        difference=difference,
        verdict=verdict,
        sentence=_sentence(arm, runs, base, difference, verdict),
    )


def _steps(plan: Plan, arm: Arm, finished: Sequence[RunResult]) -> int | None:
    steps = plan.length(arm)["steps"] if plan.calibrated else None
    return finished[0].steps if steps is None and finished else steps


def _rate(plan: Plan, arm: Arm, finished: Sequence[RunResult]) -> float | None:
    if plan.timings is not None:
        return arm.recipe.batch_size / plan.timings[arm.name].step_seconds
    rates = [run.images_per_second for run in finished if run.images_per_second is not None]
    return median(rates) if rates else None


def paired(runs: Sequence[RunResult], base: Sequence[RunResult]) -> Difference | None:
    """The difference between runs of the same seeds; None where no pair has finished.

    Its interval is mean +- t * sd / sqrt(n) over the n pairs, with the 97.5 % quantile of Student's
    t at n - 1 degrees of freedom: wide on few seeds, and right if differences are near normal.
    Source: Student 1908, Biometrika 6, 1-25.
    """
    pairs = [
        mine.top1 - theirs.top1
        for mine, theirs in zip(runs, base, strict=True)
        if mine.top1 is not None and theirs.top1 is not None
    ]
    if not pairs:
        return None
    found = spread(pairs)
    return Difference(found.mean, found.low, found.high, found.count)


def _verdict(
    arm: Arm, runs: Sequence[RunResult], base: Sequence[RunResult], difference: Difference | None
) -> Verdict:
    """What the change brings: of a trick that was left out, what the trick brings."""
    if arm.kind == "base":
        return "base"
    if any(run.status == "unfinished" for run in (*runs, *base)):
        return "not finished"
    better = _diverged(base) - _diverged(runs)  # a loss that is no number outweighs all others
    if not better and difference is not None and difference.low is not None:
        assert difference.high is not None
        better = int(difference.low > 0) - int(difference.high < 0)
    if not better:
        return "no difference shown"
    return "helps" if (better > 0) != (arm.kind == "without") else "hurts"


def _diverged(runs: Sequence[RunResult]) -> int:
    return sum(run.status == "diverged" for run in runs)


def _sentence(
    arm: Arm,
    runs: Sequence[RunResult],
    base: Sequence[RunResult],
    difference: Difference | None,
    verdict: Verdict,
) -> str:
    """What the numbers say of an arm, and no more."""
    ended = sum(run.status != "unfinished" for run in runs)
    if verdict == "base":
        lost = _diverged(runs)
        more = f"; the loss diverged in {lost} of {len(runs)} runs" if lost else ""
        return f"What all others are compared with{more}."
    if verdict == "not finished":
        return f"{ended} of {len(runs)} runs have ended."
    subject = arm.name.removeprefix(f"{arm.kind}-")
    mine, theirs = _diverged(runs), _diverged(base)
    if mine != theirs:
        steps = ", ".join(str(run.steps) for run in runs if run.status == "diverged")
        where = f", at step {steps}" if steps else ""
        return (
            f"{subject} {verdict}: {_moves(arm)} the loss diverged in {mine} of {len(runs)} runs"
            f"{where}, and in {theirs} of the base's."
        )
    if difference is None:
        return "No two runs of one seed have both finished, so there is nothing to compare."
    if all(a.weights_sha256 == b.weights_sha256 for a, b in zip(runs, base, strict=True)):
        return f"Nothing at all: {_moves(arm)} every run ends with the base's weights, bit for bit."
    change = f"{_moves(arm)} top-1 {_points(difference)}"
    if difference.low is None:
        return f"One seed cannot tell: {change}."
    if verdict == "no difference shown":
        return f"No difference that {difference.pairs} seeds can show: {change}."
    return f"{subject} {verdict}: {change}."


def _moves(arm: Arm) -> str:
    return {"without": "without it", "with": "with it"}.get(arm.kind, "with the change")


def _points(difference: Difference) -> str:
    """A difference in words: "falls by 1.20 points (95 % interval 0.80 to 1.60)"."""
    word, sign = ("rises", 1) if difference.mean >= 0 else ("falls", -1)
    text = f"{word} by {100 * abs(difference.mean):.2f} points"
    if difference.low is None or difference.high is None:
        return text
    low, high = sorted((sign * difference.low, sign * difference.high))
    return f"{text} (95 % interval {100 * low:.2f} to {100 * high:.2f})"
