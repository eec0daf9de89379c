"""A written site as its files, parsed."""

from __future__ import annotations

from pathlib import Path

from tests.test_report import Page

ASKING = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")


def pages_of(folder: Path) -> dict[str, Page]:
    """Every page by its path in the site."""
    return {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }


def targets(page: Page) -> list[str]:
    """Whatever an element of a page points at."""
    return [attrs[key] or "" for _, attrs in page.tags for key in ASKING if key in attrs]
