"""The plan in its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.settings import DataSettings
from fathom.errors import UserError
from fathom.experiments import Plan, Setting
from tests.experiments.scaffold import DIGITS, setting

PLAN = Plan("degradation", setting(), (0, 1, 2), minutes=15.0)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(
    quick=st.booleans(),
    weights=st.none() | st.text(),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4),
    minutes=st.none() | st.floats(0.01, 1e4),
    steps=st.none() | st.integers(1, 10**6),
    images=st.none() | st.integers(20, 10**6),
    command=st.none() | st.text(alphabet=st.characters(codec="utf-8")),
)
def test_a_plan_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    quick: bool,
    weights: str | None,
    seeds: list[int],
    minutes: float | None,
    steps: int | None,
    images: int | None,
    command: str | None,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    where = Setting(DataSettings(source="digits", val_fraction=0.3), DIGITS, quick, weights, "cpu")
    plan = Plan("degradation", where, tuple(seeds), minutes, steps, images, command)
    plan.write(folder)
    assert Plan.read(folder) == plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": ()}, "seeds is 0"),
        ({"minutes": 0.0}, "minutes is 0.0; it must be above 0"),
        ({"minutes": None, "steps": -1}, "steps is -1"),
        ({"images": 19}, "images is 19; use at least two of each of the 10 classes"),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(PLAN, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no experiment: it has no experiment.json"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1, "name": "degradation"}', "is damaged"),
        ('{"format": 99}', "of another format"),
    ],
)
def test_a_file_that_is_no_plan_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(UserError, match=message):
        Plan.read(tmp_path)
