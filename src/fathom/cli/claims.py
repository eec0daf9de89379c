"""`fathom claims`: the ledger, judged and printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from fathom.ledger import Row

_INDENT = 4
_COLOURS = {"wrong": "red", "not-reproduced": "red", "ambiguous": "yellow", "not yet run": "dim"}


def claims(
    pattern: str = "*",
    /,
    *,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    html: Path | None = None,
) -> None:
    """Recompute what is said about deep networks, and judge each claim.

    Parameters
    ----------
    pattern
        Part of the ids, with * for anything, as in 'resnet.*'.
    json
        Print one JSON object with a list of claims and the count of each verdict.
    html
        Also write the rows into this file, which opens in any browser and needs no network.
    """
    from fathom.cli.app import show_json
    from fathom.errors import require
    from fathom.ledger import claims as judge

    if html is not None:  # before the minute of work
        require(html.parent.is_dir(), f"there is no folder {html.parent} to write {html.name} into")
    rows = judge(pattern)
    if html is not None:
        from fathom.report.claims_page import write_claims

        write_claims(rows, html)
    if json:
        page = {"html": str(html)} if html else {}
        verdicts = dict(Counter(row.verdict for row in rows))
        show_json({"claims": [row.to_dict() for row in rows], "verdicts": verdicts, **page})
        return
    _show(rows)
    if html is not None:
        print(f"page: {html}")


def _show(rows: Sequence[Row]) -> None:
    """Print a line of columns for each claim, its explanation indented below, and the counts."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from fathom.cli.tables import console
    from fathom.ledger.claim import in_words

    widths = [max(len(cell) for cell in column) for column in _columns(rows)]

    def line(*cells: str, style: str = "") -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        for width in widths:
            table.add_column(width=width, no_wrap=True)
        for ratio in (2, 3):
            table.add_column(ratio=ratio, overflow="fold")
        table.add_row(*map(Text, cells), style=style)
        return table

    out = console()
    out.print(line("id", "verdict", "stated", "computed", style="bold"), soft_wrap=False)
    for row in rows:
        cells = (row.id, row.verdict, in_words(row.stated), in_words(row.computed))
        out.print(line(*cells, style=_COLOURS.get(row.verdict, "")), soft_wrap=False)
        said = Text(f"{row.explanation}\n[{row.source}]")
        out.print(Padding(said, (0, 0, 1, _INDENT)), soft_wrap=False)
    counts = Counter(row.verdict for row in rows)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    out.print(f"{len(rows)} claim{'' if len(rows) == 1 else 's'}: {summary}", markup=False)


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """The cells of the two columns that are as wide as they need to be."""
    return ["id", *(row.id for row in rows)], ["verdict", *(row.verdict for row in rows)]
