"""Errors at the end: both splits, in percent."""

from types import SimpleNamespace
from typing import Any, cast

from fathom.experiments.ending import end_errors, error_chart
from fathom.figures.charts import Point
from tests.experiments.scaffold import results


def test_errors_are_those_of_training_and_of_the_judge() -> None:
    accuracies: dict[Any, float] = {"train": 0.75, None: 0.5}
    cell = SimpleNamespace(evaluation=lambda split=None: SimpleNamespace(top1=accuracies[split]))
    assert end_errors(cast("Any", cell)) == {"train_error": 0.25, "test_error": 0.5}


def test_the_chart_has_a_point_of_every_arm_in_percent() -> None:
    one = [{"train_error": 0.0, "test_error": 0.1}, {"train_error": 0.0, "test_error": 0.1}]
    chart = error_chart(results({"a": one, "b": one[:1]}))
    assert chart.categories == ("a", "b")
    assert list(chart.points) == ["training", "validation"]
    assert chart.points["training"] == [Point(0.0, 0.0, 0.0), Point(0.0)]
    assert chart.points["validation"] == [Point(10.0, 10.0, 10.0), Point(10.0)]
