"""HTML that is escaped by construction, and numbers as a reader wants them.

Text becomes HTML only in `el`, which escapes every child and attribute that is not `Html` already;
so whatever a class name or a path holds, it stays text.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

_VOID = ("img", "meta")
SPACE = "\N{NO-BREAK SPACE}"


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: object) -> Html:
    """A value as HTML: unchanged where it is `Html`, else with & < > and quotes escaped."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[object]) -> Html:
    """All parts that are not None, escaped, one after the other."""
    return Html("".join(escape(p) for p in parts if p is not None))


def el(tag: str, *children: object, **attributes: object) -> Html:
    """An element. Children that are None and attributes that are None or False are left out.

    `class_` stands for class, and an underscore for a hyphen: `el("td", "a", data_sort=1)`.
    """
    opening = tag
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            opening += f" {name}"
        elif value is not None and value is not False:
            opening += f' {name}="{escape(value)}"'
    closing = "" if tag in _VOID else f"</{tag}>"
    return Html(f"<{opening}>{join(children)}{closing}")


def named(name: str) -> Html:
    """A name from the data, in quotes and kept apart from the direction of the text around it."""
    return join(["“", el("bdi", name), "”"])


def bullets(items: Sequence[object]) -> Html | None:
    """A list; None where there is nothing to list."""
    return el("ul", *(el("li", item) for item in items)) if items else None


def details(summary: str, *content: object) -> Html:
    """Content that unfolds on a click."""
    return el("details", el("summary", summary), *content)


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """A list of terms and what they are; pairs whose second is None are left out."""
    return el(
        "dl",
        *(el("div", el("dt", term), el("dd", fact)) for term, fact in pairs if fact is not None),
        class_="facts",
    )


@dataclass(frozen=True)
class Cell:
    """A number in a table: how it reads and what it sorts by."""

    text: object
    sort: float


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, label: str, sortable: bool = False
) -> Html:
    """A table in a box of its own that scrolls; the first cell of each row is its header."""
    rows = list(rows)
    numeric = [isinstance(cell, Cell) for cell in rows[0]]
    head = el("tr", *map(_head, heads, numeric))
    body = [el("tr", _cell(row[0], "th"), *(_cell(c, "td") for c in row[1:])) for row in rows]
    return el(
        "div",
        el("table", el("thead", head), el("tbody", *body), class_="sortable" if sortable else None),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=label,
    )


def _head(text: str, numeric: bool) -> Html:
    return el("th", text, scope="col", class_="number" if numeric else None)


def _cell(value: object, tag: str) -> Html:
    scope = "row" if tag == "th" else None
    if isinstance(value, Cell):
        return el(tag, value.text, class_="number", data_sort=_in_script(value.sort), scope=scope)
    return el(tag, value, scope=scope)


def _in_script(number: float) -> float | str:
    """A number as a script reads it, which knows infinity by this name alone."""
    return f"{'-' * (number < 0)}Infinity" if math.isinf(number) else number


def plot(
    figure: go.Figure,
    *,
    alt: str,
    caption: object = None,
    shape: str | None = None,
    opens: str | None = None,
) -> Html:
    """A Plotly figure as JSON, which the script of the page draws in the element before it.

    shape is a class of the style sheet, for figures without a height of their own. opens: a click
    on a point opens the page of this folder that its customdata names.
    """
    box = el(
        "div",
        class_=f"plot {shape}" if shape else "plot",
        role="img",
        aria_label=alt,
        data_opens=opens,
    )
    return el(
        "figure",
        box,
        Html(f'<script type="application/json">{_script_json(figure.to_plotly_json())}</script>'),
        None if caption is None else el("figcaption", caption),
    )


def _script_json(value: Mapping[str, object]) -> str:
    """JSON that cannot end the script element that it stands in, whatever its strings hold."""
    text = json.dumps(_without_nan(value), separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _without_nan(value: object) -> object:
    """NaN and infinity as null, which JSON has; tuples as lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def percent(share: float, digits: int = 1) -> str:
    """0.988 -> "98.8 %"; a share below 1 never reads 100 and one above 0 never 0."""
    if share in (0, 1):
        return f"{100 * share:.0f}{SPACE}%"
    text = f"{100 * share:.{digits}f}"
    if digits < 12 and float(text) in (0, 100) and 0 < share < 1:
        return percent(share, digits + 1)
    return f"{text}{SPACE}%"


def span(low: float, high: float) -> str:
    """0.972, 0.996 -> "97.2 to 99.6 %"."""
    return f"{percent(low).split(SPACE)[0]} to {percent(high)}"


def share_cell(share: float) -> Cell:
    """A share as a cell, in percent."""
    return Cell(percent(share), round(share, 6))


def count_cell(count: int) -> Cell:
    """A count as a cell."""
    return Cell(f"{count:,}", count)


def counted(count: int, noun: str) -> str:
    """1, "image" -> "1 image"; 359, "image" -> "359 images"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,}{SPACE}{noun if count == 1 else plural}"


def short_count(count: float) -> str:
    """2516608 -> "2.52 M"; below ten thousand all digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= size:
            return f"{count / (1e3 if letter == 'k' else size):.3g}{SPACE}{letter}"
    return f"{count:,.0f}"


def duration(seconds: float) -> str:
    """6.73 -> "6.7 s"; 725 -> "12 min 5 s"; 6000 -> "1 h 40 min"."""
    if seconds < 60:
        return f"{seconds:.1f}{SPACE}s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {left}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"
