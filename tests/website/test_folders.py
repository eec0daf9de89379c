"""Names of files for runs, whatever those are called."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fathom.website.folders import file_names, folders_with

NAMES = st.lists(st.text(min_size=1), unique=True, max_size=12)

HARMLESS = st.from_regex(r"[a-z][a-z0-9_-]{0,20}[a-z0-9]", fullmatch=True)


@settings(deadline=None, derandomize=True, database=None)
@given(NAMES, st.sets(st.sampled_from(["degradation", "a", "b"])))
@example(
    ["..", "../x", "a/b", "a b", "A B", "index", "INDEX", "con\ud800", ".git", "-x", "x" * 300],
    set(),
)
@example(["a", "a-2", "A", "a ", "degradation"], {"degradation"})
def test_file_names_are_safe_and_differ(names: list[str], taken: set[str]) -> None:
    found = file_names(names, taken=taken)
    assert list(found) == names
    for file in found.values():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", file)
        assert file.lower() not in {"index", *taken}
    assert len({file.lower() for file in found.values()}) == len(names)


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.from_regex(r"[a-z][a-z0-9_-]{0,20}[a-z0-9]", fullmatch=True), unique=True, max_size=8
    )
)
def test_harmless_names_stay(names: list[str]) -> None:
    kept = [name for name in names if name != "index"]
    assert file_names(kept) == {name: name for name in kept}


def test_folders_are_those_that_hold_the_file(tmp_path: Path) -> None:
    for name in ("b", "a", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "recipe.json").touch()
    (tmp_path / "b" / "recipe.json").touch()
    (tmp_path / "recipe.json").touch()
    assert [path.name for path in folders_with("recipe.json", tmp_path)] == ["a", "b"]
    assert folders_with("recipe.json", tmp_path / "nowhere") == []
