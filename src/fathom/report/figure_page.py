"""One figure in one HTML file that works offline."""

from __future__ import annotations

from html import escape
from pathlib import Path

import plotly.graph_objects as go

from fathom.training.run import write_bytes


def write_figure(path: Path, title: str, figure: go.Figure, *, caption: str) -> None:
    """Write a page with a heading, a figure and a caption, and the library that draws it.

    Raises OSError where the file cannot be written; an old one then stays whole.
    """
    body = figure.to_html(
        include_plotlyjs=True,
        full_html=False,
        config={"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""},
    )
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title></head>"
        '<body style="font-family: system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; '
        'padding: 0 1rem">'
    )
    page = f"{head}<h1>{escape(title)}</h1>{body}<p>{escape(caption)}</p></body></html>"
    write_bytes(path, page.encode("utf-8"))
