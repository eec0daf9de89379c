"""Dataclasses from stored values: all of every field, or a clear error."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.doctor.stored import read
from fathom.errors import UserError


@dataclass
class Inner:
    share: float
    name: str = "it"


@dataclass
class Outer:
    inner: Inner
    counts: list[int] = field(default_factory=list)
    pairs: dict[str, tuple[float, str]] = field(default_factory=dict)
    maybe: Inner | None = None
    free: dict[str, Any] = field(default_factory=dict)


inners = st.builds(Inner, st.floats(allow_nan=False), st.text())
outers = st.builds(
    Outer,
    inners,
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.tuples(st.floats(allow_nan=False), st.text())),
    st.none() | inners,
    st.dictionaries(st.text(), st.none() | st.booleans() | st.lists(st.text())),
)


@settings(deadline=None, derandomize=True, database=None, max_examples=50)
@given(outers)
def test_what_is_stored_is_read_again(value: Outer) -> None:
    assert read(Outer, json.loads(json.dumps(asdict(value))), "it") == value


def stored() -> dict[str, Any]:
    return asdict(Outer(Inner(0.5), [1, 2], {"a": (1.0, "b")}, Inner(1)))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["inner"], None, "it.inner is damaged: it is None, and must be the fields share, name"),
        (
            ["inner", "share"],
            "half",
            "it.inner.share is damaged: it is 'half', and must be of type",
        ),
        (["maybe", "name"], 3, "it.maybe.name is damaged: it is 3, and must be of type str"),
        (["counts"], {}, "it.counts is damaged: it is the fields , and must be a list"),
        (["counts", 1], 2.5, r"it.counts\[1\] is damaged: it is 2.5, and must be of type int"),
        (["pairs", "a"], [1.0], "it.pairs.a is damaged: it is .1.0., and must be a list of 2"),
        (["pairs"], [], "it.pairs is damaged: it is .., and must be names with values"),
        (["new"], 1, "it is the fields inner, counts, pairs, maybe, free, new, and must be the"),
    ],
)
def test_another_type_is_refused(path: list[Any], value: Any, message: str) -> None:
    values: Any = stored()
    at = values
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(UserError, match=message):
        read(Outer, json.loads(json.dumps(values)), "it")


@pytest.mark.parametrize("name", ["counts", "maybe", "inner"])
def test_a_missing_field_is_not_filled_in(name: str) -> None:
    values = stored()
    del values[name]
    with pytest.raises(UserError, match="and must be the fields inner, counts, pairs"):
        read(Outer, values, "it")
