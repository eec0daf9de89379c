"""What was seen: few numbers, however long the run, and the same when they are read again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.doctor import Observed
from fathom.doctor.diagnose import diagnose
from fathom.doctor.observed import FORMAT, MOST_LOOKS, MOST_STEPS, Exam, Look
from fathom.errors import UserError

from .checks.made import Tiny, look, made, stays, train

ENDS = 20


def after_looks(steps: list[int]) -> Observed:
    seen = Observed()
    for step in steps:
        seen.add_look(Look(step, 1.0, 0.1))
    return seen


@settings(deadline=None, derandomize=True, database=None, max_examples=20)
@given(st.lists(st.integers(1, 1000), max_size=900))
def test_the_first_and_the_last_looks_are_kept_and_some_between(gaps: list[int]) -> None:
    steps = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    seen = after_looks(steps)
    kept = [look.step for look in seen.looks]
    assert seen.passes.looks == len(steps)
    assert len(kept) == min(len(steps), MOST_LOOKS) == min(len(steps), 200)
    assert kept == sorted(kept)
    assert set(kept) <= set(steps)
    assert kept[:ENDS] == steps[:ENDS]
    assert kept[-ENDS:] == steps[-ENDS:]


def test_looks_between_are_spread_over_the_run() -> None:
    kept = [look.step for look in after_looks(list(range(1, 5001))).looks]
    apart = [b - a for a, b in zip(kept[ENDS:-ENDS], kept[ENDS + 1 : -ENDS], strict=False)]
    assert max(apart) <= 4 * 5000 / MOST_LOOKS


def test_the_curve_is_bounded_too() -> None:
    seen = Observed()
    for step in range(1, 9001):
        seen.curve.add(step, 1.0, 0.5, 0.1)
    assert MOST_STEPS / 2 <= len(seen.curve.step) <= MOST_STEPS == 2000


def test_only_the_last_exam_of_a_kind_keeps_its_matrix() -> None:
    seen = Observed()
    for step in (1, 2):
        for split, weights in (("val", "result"), ("val", "raw"), ("train", "result")):
            seen.add_exam(Exam(step, split, weights, 1.0, 0.5, 9, [[9]]))
    assert [exam.matrix for exam in seen.exams] == [None, None, None, [[9]], [[9]], [[9]]]
    assert [exam.step for exam in seen.exams] == [1, 1, 1, 2, 2, 2]


def test_a_long_run_has_the_verdict_of_the_looks_that_are_kept() -> None:
    seen = made(stays, looks=[])
    for step in range(1, 601):
        seen.add_look(look(step, 8, line={"0": 2.3, "0.1": 2.29, "1": 2.2, "10": 1.0}))
    stored = json.loads(json.dumps(seen.to_dict()))
    assert len(stored["looks"]) == 200
    assert diagnose(Observed.from_dict(stored)) == diagnose(seen)


def test_a_real_run_goes_through_json_without_loss() -> None:
    seen = train(Tiny(), steps=4, every=2)
    assert seen.looks
    assert Observed.from_dict(json.loads(json.dumps(seen.to_dict()))) == seen


@pytest.mark.parametrize("known", [None, 1, FORMAT + 1, "2"])
def test_another_format_is_refused(known: Any) -> None:
    values = Observed().to_dict()
    if known is None:  # as the first was written
        del values["format"]
    else:
        values["format"] = known
    with pytest.raises(
        UserError, match=f"format {known or 1}, and this Fathom reads format {FORMAT}"
    ):
        Observed.from_dict(values)


def test_a_field_that_is_missing_is_no_zero() -> None:
    values = Observed(looks=[Look(1, 1.0, 0.1)]).to_dict()
    del values["looks"][0]["moving"]
    with pytest.raises(UserError, match=r"observed.looks\[0\] is damaged"):
        Observed.from_dict(values)
    with pytest.raises(UserError, match="observed is damaged: it is None"):
        Observed.from_dict(None)


def schema(kind: Any) -> str:
    """The names and types of a dataclass and of all in it."""
    hints = get_type_hints(kind)
    parts = [f"{f.name}: {f.type}" for f in fields(kind)]
    return "\n".join([str(kind), *parts, *map(schema, _inner(hints.values()))])


def _inner(hints: Any) -> list[Any]:
    found: list[Any] = []
    for hint in hints:
        found += [hint] if is_dataclass(hint) else _inner(get_args(hint))
    return found


def test_fields_change_with_the_number_of_the_format() -> None:
    """Whoever changes a field adds one to FORMAT, and puts the new digest here."""
    digest = hashlib.sha256(schema(Observed).encode()).hexdigest()[:12]
    assert (FORMAT, digest) == (4, "4516325b8cc8")
