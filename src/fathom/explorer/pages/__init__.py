"""The pages, in the order of the links; the first is the home page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.explorer.page import Page


def all_pages(runs: Path) -> Sequence[Page]:
    """Every page; runs is the folder whose runs and experiments are shown."""
    from fathom.explorer.pages import architectures, claims, experiments
    from fathom.explorer.pages import runs as run_pages

    return (
        architectures.page(),
        run_pages.page(runs),
        claims.page(),
        experiments.page(),
    )
