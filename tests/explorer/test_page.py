"""Addresses of pages: what is set comes back, and nothing else gets in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.explorer.controls import choice, several, slider, switch
from fathom.explorer.page import Card, Page

PAGE = Page(
    "p",
    "A page",
    "For tests.",
    (),
    (
        choice("colour", "Colour", {"red": "Red", "dark blue": "Blue"}, "red"),
        several("names", "Names", ["a", "b,100%", "c"], ["a"], most=2),
        slider("size", "Size", [(0, "0"), (10, "10")], 5.0, step=0.5),
        switch("skip", "Skip", default=True),
    ),
)
values = st.fixed_dictionaries(
    {
        "colour": st.sampled_from(["red", "dark blue"]),
        "names": st.lists(st.sampled_from(["a", "b,100%", "c"]), unique=True, max_size=2),
        "size": st.integers(0, 20).map(lambda half: half / 2),
        "skip": st.booleans(),
    }
)


@settings(deadline=None, derandomize=True, database=None)
@given(values)
def test_the_address_restores_what_is_set(found: dict[str, Any]) -> None:
    assert PAGE.read(PAGE.write(found)) == found


def test_the_defaults_have_the_bare_address() -> None:
    assert PAGE.write(PAGE.read("")) == ""
    assert PAGE.read(None) == {"colour": "red", "names": ["a"], "size": 5.0, "skip": True}


@pytest.mark.parametrize(
    "search",
    [
        "?colour=green",
        "?colour=<script>alert(1)</script>",
        "?names=a,b%252C100%2525,c",
        "?names=a,../../etc/passwd",
        "?size=11",
        "?size=nan",
        "?size=1e999",
        "?size=five",
        "?skip=yes",
        "?nothing=1",
        "?%00%ff",
    ],
)
def test_what_a_control_cannot_have_is_its_default(search: str) -> None:
    assert PAGE.read(search) == PAGE.read("")


def test_an_address_of_a_thousand_fields_is_read_like_any_other() -> None:
    assert PAGE.read("?size=3&" + "&".join(f"x{n}=1" for n in range(1000)))["size"] == 3.0


def test_two_parts_of_one_name_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="two parts of one name"):
        Page(
            "p", "", "", [Card("size", "Size", str)], [slider("size", "", [(0, "0"), (1, "1")], 0)]
        )


def test_ids_of_pages_do_not_meet() -> None:
    assert Page("", "Home", "", ()).identifier("x") == "home-x"
    assert PAGE.identifier("x") == "p-x"
