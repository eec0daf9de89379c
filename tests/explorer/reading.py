"""What stands on a page: its texts, and its figures by id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
from dash import dcc
from dash.development.base_component import Component


def components(found: Any) -> Iterator[Component]:
    """All components below one, itself included."""
    for part in found if isinstance(found, list | tuple) else [found]:
        if isinstance(part, Component):
            yield part
            yield from components(getattr(part, "children", None))


def text_of(found: Any) -> str:
    """All texts, with blanks between them."""
    if isinstance(found, Component):
        return text_of(getattr(found, "children", None))
    if isinstance(found, list | tuple):
        return " ".join(map(text_of, found))
    return "" if found is None else str(found)


def figure_of(found: Any, identifier: str) -> go.Figure:
    """The figure of a graph."""
    plots: dict[str, Any] = {
        getattr(part, "id", ""): part for part in components(found) if isinstance(part, dcc.Graph)
    }
    return go.Figure(plots[identifier].figure)
