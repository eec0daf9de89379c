"""`fathom claims`: the ledger, judged and printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from fathom.ledger import Row

_INDENT, _WIDTH = 4, 100
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
    """Print each claim: its verdict, what was stated and computed, why, and the counts."""
    from rich.padding import Padding
    from rich.text import Text

    from fathom.cli.tables import console
    from fathom.ledger.claim import in_words

    out = console()
    width = min(_WIDTH, out.width)
    for row in rows:
        out.print(
            Text.assemble((row.id, "bold"), "  ", (row.verdict, _COLOURS.get(row.verdict, "")))
        )
        parts = [row.text]
        if row.stated:
            parts.append(f"stated: {in_words(row.stated)}")
        if row.computed:
            parts.append(f"computed: {in_words(row.computed)}")
        parts += [row.explanation, f"[{row.source}]"]
        for part in parts:
            out.print(Padding(Text(part), (0, 0, 0, _INDENT)), soft_wrap=False, width=width)
        out.print()
    counts = Counter(row.verdict for row in rows)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    out.print(f"{len(rows)} claim{'' if len(rows) == 1 else 's'}: {summary}", markup=False)
