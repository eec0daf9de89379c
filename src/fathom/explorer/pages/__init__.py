"""The pages, in the order of the links; the first is the home page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.explorer.page import Page


def all_pages(runs: Path) -> Sequence[Page]:
    """Every page; runs is the folder whose runs and experiments are shown."""
    from fathom.explorer.jobs import Jobs
    from fathom.explorer.pages import (
        architectures,
        augmentations,
        batch_norm,
        claims,
        convolution,
        experiments,
        gradient_flow,
        look,
        road,
    )
    from fathom.explorer.pages import runs as run_pages
    from fathom.explorer.pictures import Pictures

    pictures = Pictures()
    return (
        architectures.page(),
        road.page(),
        augmentations.page(pictures),
        batch_norm.page(),
        gradient_flow.page(),
        convolution.page(),
        look.page(runs, pictures),
        run_pages.page(runs),
        claims.page(),
        experiments.page(runs, Jobs(runs)),
    )
