"""The pages of the causes: their parts, and the changes of docs/doctor/loop.py that they show."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "doctor"


def page_of(cause: str) -> str:
    """The text of a cause's page."""
    return (FOLDER / f"{cause}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def changed(program: str, diff: str) -> str:
    """A program with the hunks of a diff, each of which must fit in exactly one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        found = program.count(f"\n{old}")
        assert found == 1, f"{found} places for\n{old}"
        program = program.replace(f"\n{old}", f"\n{new}")
    return program
