"""Does a change of the image keep its class? It depends on the images, and can be measured."""

from __future__ import annotations

from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.figures.charts import Axis, Point, PointChart
from fathom.keeps.networks import Check, check
from fathom.spread import Spread, spread

_ASKED = ("vertical-flip", "horizontal-flip", "shift")
_QUICK_MINUTES = 0.01
_SHOWN = 10  # classes, those that lose most
_SEEDS = 3  # for a verdict


def label_keeping(setting: Setting) -> Experiment:
    """On digits an upside-down image is of another class, a shifted one is not.

    Source: Fathom's own, `fathom.keeps.judge`: three networks that never saw a change, and one that
    was trained on it where they leave the verdict open, name held-out images as they are and
    changed. A change turns one class into another where most of the images that are known are taken
    for one other class.

        fathom experiment label-keeping --data DATA

    Each seed trains networks of its own, in the length that `fathom augment` gives them. A vertical
    flip mirrors an image from top to bottom: a 6 becomes a mirrored 9, and a 2 becomes a 5; half a
    turn, which would make the 6 a 9, is not among the augmentations of training. Colour photographs
    and pictures from above are measured with the same command on such data.
    Measured: docs/results/experiments.md.
    """
    return Experiment(
        title="Does a change of the image keep its class?",
        expected=(
            "On digits a vertical flip makes other classes of some, and a shift keeps all of them; "
            "on photographs of things all three keep them."
        ),
        arms=[Arm(name) for name in _ASKED[: 1 if setting.quick else None]],
        measure=_measure,
        findings=_findings,
        claims=("augment.label_preserving",),
    )


def _measure(cell: Cell) -> Values:
    minutes = _QUICK_MINUTES if cell.setting.quick else None
    *_, done = check(cell.setting.data, [cell.arm.name], minutes=minutes, seed=cell.seed)
    assert isinstance(done, Check)
    (outcome,) = done.outcomes
    return {
        "verdict": outcome.verdict,
        "plain": outcome.plain,
        "unseen": outcome.unseen,
        "learnt": outcome.learnt,
        "held_out": done.num_held_out,
        "train": done.num_train,
        "image_size": done.image_size,
        "classes": {
            found.name: {
                "verdict": found.verdict,
                "taken_for": found.taken_for,
                "taken": found.taken / max(1, found.known),
            }
            for found in outcome.classes
        },
    }


def _findings(results: Results) -> Findings:
    sentences = tuple(_told(results, arm) for arm in results.arms)
    agreed = {arm: _agreed(results, arm) for arm in results.arms}
    enough = len(results.setting["seeds"]) >= _SEEDS
    shown = enough and {"changes", "keeps"} <= set(agreed.values())
    computed = {
        f"{arm}: seeds that find it {verdict}": results.values(arm, "verdict").count(verdict)
        for arm in results.arms
        for verdict in ("changes", "keeps", "cannot tell")
    }
    text = " ".join(sentences)
    if not shown:
        text += (
            " For a verdict, three seeds or more have to agree that one change keeps all classes "
            "and another does not."
        )
    text += " Pictures from above would have to be measured on such pictures."
    verdict = Judged("demonstrated" if shown else "not-reproduced", computed, text)
    return Findings(sentences, (_chart(results),), {"augment.label_preserving": verdict})


def _agreed(results: Results, arm: str) -> str | None:
    """The verdict of every seed, None where they differ."""
    found = set(results.values(arm, "verdict"))
    return found.pop() if len(found) == 1 else None


def taken(results: Results, arm: str, name: str) -> Spread:
    """The share of a class's known images that is taken for one other class, over the seeds."""
    return spread([found[name]["taken"] for found in results.values(arm, "classes")])


def _told(results: Results, arm: str) -> str:
    found, seeds = results.values(arm, "verdict"), len(results.setting["seeds"])
    plain = results.spread(arm, "plain").mean
    unseen = results.spread(arm, "unseen").mean
    text = (
        f"{arm}: it changes labels for {found.count('changes')} of {seeds} seeds, keeps them for "
        f"{found.count('keeps')}, and {found.count('cannot tell')} cannot tell. Networks that "
        f"never saw the like name {100 * plain:.1f} % right as they are and {100 * unseen:.1f} % "
        "changed"
    )
    learnt = [value for value in results.values(arm, "learnt") if value is not None]
    if learnt:
        text += f"; trained on it, {100 * sum(learnt) / len(learnt):.1f} %"
    changed = [
        f"{name} is taken for {_other(results, arm, name)} "
        f"({100 * taken(results, arm, name).mean:.0f} %)"
        for name in _worst(results, arm)
        if all(classes[name]["verdict"] == "changes" for classes in results.values(arm, "classes"))
    ]
    return f"{text}. {'For every seed: ' + ', '.join(changed) + '.' if changed else ''}".rstrip()


def _other(results: Results, arm: str, name: str) -> str:
    """For what a class is taken, by most seeds."""
    others: list[str] = [found[name]["taken_for"] for found in results.values(arm, "classes")]
    return max(others, key=others.count)


def _worst(results: Results, arm: str) -> list[str]:
    """The classes that are taken for others most often, at most ten."""
    names = list(results.values(arm, "classes")[0])
    return sorted(names, key=lambda name: -taken(results, arm, name).mean)[:_SHOWN]


def _chart(results: Results) -> PointChart:
    names = _worst(results, results.arms[0])
    points = {}
    for arm in results.arms:
        found = [taken(results, arm, name) for name in names]
        points[arm] = [
            Point(100 * s.mean, s.low and 100 * s.low, s.high and 100 * s.high) for s in found
        ]
    first = results.cells[results.arms[0]][results.setting["seeds"][0]]
    classes = len(first["classes"])
    return PointChart(
        "Images taken for one other class after a change",
        names,
        Axis("Share of the images known before (%)"),
        points,
        f"{results.setting['data']}, {first['train']:,} training and {first['held_out']:,} "
        f"held-out images, {first['image_size']} pixels, {len(results.setting['seeds'])} seeds. "
        f"Mean and 95 % interval over the seeds. Line: {50 * (1 + 1 / classes):.0f} %, above which "
        "a class has become the other.",
        reference=50 * (1 + 1 / classes),
    )
