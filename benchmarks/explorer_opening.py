"""How soon the explorer can be used, and how soon each of its controls answers.

python -m benchmarks.explorer_opening --rounds 15

The home page of `fathom explore` and a bare page of Dash, Mantine and Plotly with one figure are
opened in turn in the same Chromium, each time with an empty cache, by servers that run already. A
page is usable once its first figure is drawn; the clock starts with the navigation. Then every
control of every page is set by the keyboard: the clock runs from the key to the last change on the
page. Words one types have to wait for the end of the word, which is 300 ms of theirs.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import Dash, dcc
from playwright.sync_api import Browser
from tests.browser import driving
from tests.browser.driving import Site, Tab
from tests.browser.setting import change, look

from fathom.explorer.app import make_app
from fathom.explorer.pages import all_pages

_FIRST = """
new MutationObserver((_, watch) => {
  if (document.querySelector('.js-plotly-plot .main-svg')) {
    window.usable = performance.now();
    watch.disconnect();
  }
}).observe(document, {childList: true, subtree: true});
"""
_LAST = """
window.pressed = window.drawn = 0;
const press = () => { window.pressed = performance.now(); };
addEventListener('input', press, true);
addEventListener('keydown', event => {
  if (['Enter', ' ', 'Home', 'End', 'Backspace'].includes(event.key)) press();
}, true);
new MutationObserver(found => {
  const main = document.getElementById('main');
  if (found.some(one => main?.contains(one.target))) window.drawn = performance.now();
}).observe(document, {childList: true, subtree: true});
"""


def main() -> None:
    """Time both pages in turn, then every control."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        browser = stack.enter_context(driving.browser())
        pages = all_pages(options.runs)
        explorer = stack.enter_context(driving.serving(make_app(pages)))
        peer = stack.enter_context(driving.serving(bare()))
        opened = opening(browser, {"explorer": explorer, "bare": peer}, options.rounds)
        answered = answers(browser, Site(explorer, pages, options.runs), options.rounds)
    found = {"opening": summary(opened), "controls": answered}
    print(json.dumps(found, indent=2) if options.json else "\n".join(lines(found)))


def bare() -> Dash:
    """The least page that has the same libraries and a figure."""
    app = Dash("bare", serve_locally=True, compress=False)
    figure = go.Figure(go.Scatter(x=[1, 2, 3], y=[2, 1, 3]))
    choice = dmc.Select(label="Choice", data=["one", "two"], value="one")
    app.layout = dmc.MantineProvider([dmc.Title("Bare"), choice, dcc.Graph(figure=figure)])
    return app


def opening(browser: Browser, sites: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds until each site is usable; the first round, of a new server, is the first."""
    times: dict[str, list[float]] = {name: [] for name in sites}
    for _ in range(rounds + 1):
        for name, address in sites.items():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.add_init_script(_FIRST)
            page = context.new_page()
            page.goto(f"{address}/")
            page.wait_for_selector(".js-plotly-plot .main-svg")
            times[name].append(page.evaluate("() => window.usable"))
            context.close()
    return times


def answers(browser: Browser, site: Site, rounds: int) -> dict[str, float]:
    """The median of the milliseconds in which each control answers, by page and control."""
    tab = Tab(browser, site.address)
    tab.context.add_init_script(_LAST)
    tab.open("")
    found: dict[str, float] = {}
    for page in site.pages:
        for control in page.controls:
            times = []
            for _ in range(rounds):
                tab.visit(page)
                change(tab, page, control, look(tab, page))
                times.append(tab.page.evaluate("() => window.drawn - window.pressed"))
            found[page.identifier(control.name)] = statistics.median(times)
    return found


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Median, range and first of each site, and the explorer's time in that of the bare page."""
    ratios = [a / b for a, b in zip(times["explorer"][1:], times["bare"][1:], strict=True)]
    return {name: _spread(values[1:]) | {"first": values[0]} for name, values in times.items()} | {
        "ratio": _spread(ratios)
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def lines(found: dict[str, Any]) -> list[str]:
    """What was found, to read."""
    opened = found["opening"]
    ratio = opened["ratio"]
    told = [
        f"{name:10s} usable after {1e-3 * opened[name]['median']:.2f} s "
        f"({1e-3 * opened[name]['low']:.2f} to {1e-3 * opened[name]['high']:.2f}; of a new server "
        f"{1e-3 * opened[name]['first']:.2f})"
        for name in ("explorer", "bare")
    ]
    told.append(f"ratio {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})")
    return told + [f"{name:28s} {ms:6.0f} ms" for name, ms in found["controls"].items()]


if __name__ == "__main__":
    main()
