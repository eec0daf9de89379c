"""Results and findings."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.experiments import Findings, Judged, Results
from fathom.figures.charts import Axis, LineChart, Series, chart_from_dict
from tests.experiments.scaffold import results


def test_values_come_in_the_order_of_the_seeds() -> None:
    found = Results("x", {"a": {2: {"v": 30}, 0: {"v": 10}, 1: {"v": 20}}}, {})
    assert found.values("a", "v") == [10, 20, 30]
    assert found.arms == ("a",)


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(-1e3, 1e3)),
        min_size=2,
        max_size=5,
    )
)
def test_a_difference_is_taken_in_pairs(rows: list[tuple[float, float, float]]) -> None:
    """What a seed adds to both arms does not count."""
    alone = results({"a": [{"v": a} for a, _, _ in rows], "b": [{"v": b} for _, b, _ in rows]})
    shifted = results(
        {"a": [{"v": a + s} for a, _, s in rows], "b": [{"v": b + s} for _, b, s in rows]}
    )
    one, other = (found.difference("a", "b", "v") for found in (alone, shifted))
    mean = sum(a - b for a, b, _ in rows) / len(rows)
    assert abs(one.mean - mean) < 1e-9
    for name in ("mean", "low", "high"):
        assert abs(getattr(one, name) - getattr(other, name)) < 1e-6


def test_the_caption_says_data_size_length_and_seeds() -> None:
    setting = {
        "data": "digits",
        "images": 1437,
        "image_size": 8,
        "steps": 300,
        "batch_size": 64,
        "epochs": 300 * 64 / 1437,
        "seeds": [0, 1, 2],
    }
    assert Results("x", {}, setting).caption == (
        "digits, 1,437 training images, 8 pixels, 300 steps of 64 images (13.4 epochs), 3 seeds."
    )
    untrained = {**setting, "steps": None, "seeds": [0]}
    assert Results("x", {}, untrained).caption == (
        "digits, 1,437 training images, 8 pixels, 1 seed."
    )


def test_findings_become_json_and_their_charts_come_back() -> None:
    chart = LineChart("T", Axis("x"), Axis("y", "log"), [Series("a", [1, 2], [3.0, 4.0])], "c")
    judged = Judged("demonstrated", {"a": 1.5}, "So.")
    stored = json.loads(json.dumps(Findings(("One.",), (chart,), {"c": judged}).to_dict()))
    assert stored["sentences"] == ["One."]
    assert stored["verdicts"]["c"]["verdict"] == "demonstrated"
    assert chart_from_dict(stored["charts"][0]) == chart
