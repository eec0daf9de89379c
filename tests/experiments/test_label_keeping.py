"""Which changes keep labels: what seeds agree on, and the verdict that follows."""

from __future__ import annotations

import pytest

from fathom.experiments.label_keeping import label_keeping, taken
from fathom.experiments.nouns import Values
from tests.experiments.scaffold import results, setting


def values(verdict: str, share: float) -> Values:
    """Ten classes, of which the 2 is taken for 5."""
    kept = {"verdict": "keeps", "taken_for": "1", "taken": 0.0}
    classes = {str(number): dict(kept) for number in range(10)}
    classes["2"] = {"verdict": verdict, "taken_for": "5", "taken": share}
    return {
        "verdict": verdict,
        "plain": 0.99,
        "unseen": 0.4,
        "learnt": None if verdict == "changes" else 0.97,
        "held_out": 898,
        "train": 899,
        "image_size": 8,
        "classes": classes,
    }


@pytest.mark.parametrize(
    ("flips", "shifts", "verdict"),
    [
        (["changes"] * 3, ["keeps"] * 3, "demonstrated"),
        (["changes", "changes", "cannot tell"], ["keeps"] * 3, "not-reproduced"),
        (["keeps"] * 3, ["keeps"] * 3, "not-reproduced"),
        (["changes"] * 2, ["keeps"] * 2, "not-reproduced"),
    ],
)
def test_a_verdict_needs_three_seeds_that_agree_on_both(
    flips: list[str], shifts: list[str], verdict: str
) -> None:
    cells = {
        "vertical-flip": [values(text, 0.8 if text == "changes" else 0.1) for text in flips],
        "shift": [values(text, 0.05) for text in shifts],
    }
    found = label_keeping(setting()).findings(results(cells))
    judged = found.verdicts["augment.label_preserving"]
    assert judged.verdict == verdict
    assert ("three seeds or more" in judged.explanation) == (verdict == "not-reproduced")
    named = "2 is taken for 5 (80 %)" in found.sentences[0]
    assert named == (set(flips) == {"changes"})
    assert judged.computed["vertical-flip: seeds that find it changes"] == flips.count("changes")


def test_shares_are_averaged_over_the_seeds() -> None:
    made = results({"vertical-flip": [values("changes", share) for share in (0.7, 0.8, 0.9)]})
    assert taken(made, "vertical-flip", "2").mean == pytest.approx(0.8)
    chart = label_keeping(setting()).findings(made).charts[0]
    assert chart.categories[0] == "2"  # type: ignore[union-attr]
    assert chart.reference == pytest.approx(55)  # type: ignore[union-attr]
