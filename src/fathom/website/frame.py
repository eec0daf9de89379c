"""The frame of every page of the site, and the files that all of them share."""

from __future__ import annotations

from pathlib import Path

from plotly.offline import get_plotlyjs

from fathom.report.markup import Html, el
from fathom.report.page import Sheet, read_asset, whole
from fathom.version import __version__

_STYLE, _PLOTLY, _SCRIPT = "assets/fathom.css", "assets/plotly.min.js", "assets/page.js"
_SECTIONS = (
    ("index.html", "Architectures"),
    ("claims.html", "Claims"),
    ("experiments/index.html", "Experiments"),
    ("runs/index.html", "Runs"),
)
# A page from a disk has no origin that all browsers take for its own: there the files beside it are
# allowed by their scheme, which a page from a web host cannot reach.
_OURS = "'self' file:"


def shared_files() -> dict[str, str]:
    """What the pages load: Plotly's script once, ours, and the style."""
    own = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
    return {
        _STYLE: read_asset("page.css") + own,
        _PLOTLY: get_plotlyjs(),
        _SCRIPT: read_asset("page.js"),
    }


def framed(path: str, sheet: Sheet) -> str:
    """The file of the site at this path: the sheet between links to all sections and a footer."""
    up = "../" * path.count("/")
    head = [
        el("title", sheet.title),
        el("link", rel="icon", href="data:,"),
        el("link", rel="stylesheet", href=up + _STYLE),
    ]
    if sheet.style:
        head.append(el("style", Html(sheet.style)))
    if sheet.scripted:
        head += [el("script", src=up + name, defer=True) for name in (_PLOTLY, _SCRIPT)]
    footer = el(
        "footer",
        f"Written by Fathom {__version__}. There is more to touch in ",
        el("code", "fathom explore"),
        ".",
    )
    body = el(
        "div",
        el("a", "Skip to content", href="#content", class_="skip"),
        _links(path, up),
        el("div", sheet.body, id="content", tabindex=-1),
        footer,
    )
    return whole(head, body, scripts=_OURS, styles=f"{_OURS} 'unsafe-inline'")


def _links(path: str, up: str) -> Html:
    """Links to the sections; that of the page is marked."""
    folder = path.rpartition("/")[0]
    section = {"": path, "networks": "index.html"}.get(folder, f"{folder}/index.html")
    links = []
    for target, text in _SECTIONS:
        here = "page" if target == path else "true" if target == section else None
        links.append(el("a", text, href=up + target, aria_current=here))
    brand = el("span", "Fathom", class_="brand")
    return el("nav", brand, *links, aria_label="Site", class_="site")
