"""All pages of the site, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fathom.ledger import claims
from fathom.report.claims_page import claims_sheet
from fathom.report.page import Sheet
from fathom.website import experiments, networks, runs

Page = tuple[str, Sheet]


def pages(folder: str | Path) -> Iterator[Page]:
    """(path in the site, page) of every page; folder: whose runs and experiments are shown.

    They are made as they are asked for: all networks and all claims take a minute or two.
    """
    folder = Path(folder)
    yield from networks.pages()
    yield "claims.html", claims_sheet(claims(), experiments="experiments")
    yield from experiments.pages(folder)
    yield from runs.pages(folder)
