"""A server of the explorer, Debian's Chromium, and how a page is driven and read.

The benchmarks of the explorer drive it the same way.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dash import Dash
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from werkzeug.serving import BaseWSGIServer

from fathom.explorer.app import make_app
from fathom.explorer.page import Page as ExplorerPage
from fathom.explorer.server import listen, protect

WIDE, NARROW = 1280, 360
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_LONGEST = 60_000.0  # ms, on a machine that does other things

# Counts the questions on their way to the server, so that one can wait until nothing goes on.
_COUNT = """
window.asking = 0;
const ask = window.fetch;
window.fetch = (...all) => {
  window.asking += 1;
  return ask(...all).finally(() => { window.asking -= 1; });
};
"""
# Drawn: nothing asked and every figure there, five turns of the event loop in a row.
_SETTLED = """
() => new Promise((done, fail) => {
  let calm = 0;
  const ends = performance.now() + 60000;
  const look = () => {
    const graphs = [...document.querySelectorAll('.dash-graph')];
    const main = document.querySelector('main');
    const busy = window.asking || !main?.querySelector('h1')
      || main.textContent.includes('judged so far; the others follow')
      || graphs.some(graph => !graph.querySelector('.main-svg'));
    calm = busy ? 0 : calm + 1;
    if (calm >= 5) done(null);
    else if (performance.now() > ends) fail(new Error('the page goes on and on'));
    else setTimeout(look, 15);
  };
  look();
})
"""
# By how much the page is too wide, once its figures have followed the window; they get ten seconds.
_SIDEWAYS = """
() => new Promise(done => {
  const ends = performance.now() + 10000;
  const look = () => {
    const page = document.documentElement;
    const over = page.scrollWidth - page.clientWidth;
    if (over === 0 || performance.now() > ends) done(over);
    else setTimeout(look, 50);
  };
  look();
})
"""
# What each card shows: its words, the data of its figures, its pictures.
_CARDS = """
() => [...document.querySelectorAll('main section.card')].map(card => {
  const words = part => part.nodeType === Node.TEXT_NODE ? part.data
    : part.matches?.('.dash-graph, style') ? '' : [...part.childNodes].map(words).join('');
  const graphs = [...card.querySelectorAll('.js-plotly-plot')];
  return JSON.stringify({
    words: words(card),
    figures: graphs.map(graph => [
      graph.data,
      ...Object.keys(graph.layout).filter(key => /^(title|[xy]axis)/.test(key))
        .map(key => graph.layout[key].title?.text ?? graph.layout[key].text),
    ]),
    pictures: [...card.querySelectorAll('img')].map(picture => picture.src),
  });
})
"""


@dataclass(frozen=True)
class Site:
    """A served explorer: where it is, and what it was made of."""

    address: str
    pages: Sequence[ExplorerPage]
    runs: Path

    def page(self, path: str) -> ExplorerPage:
        """The page at an address."""
        return next(page for page in self.pages if page.path == path)


def missing() -> str | None:
    """Why no browser can be driven here, and what to do; None where one can."""
    if find_chromium() is None:
        return "no chromium on this machine; tests/browser/install.sh installs Debian's, as root"
    return None


def find_chromium() -> str | None:
    """The system's Chromium. Playwright's own is never fetched."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, which finds no other host than this machine."""
    root = os.name == "posix" and os.geteuid() == 0
    flags = [*_QUIET, "--no-sandbox"] if root else [*_QUIET]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=find_chromium(), args=flags)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def serving(app: Dash) -> Iterator[str]:
    """The address of an application that is served, protected as by `fathom explore`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = listen(app, host="127.0.0.1", port=0)
    protect(app, host="127.0.0.1", token=None)
    with in_thread(server):
        yield f"http://127.0.0.1:{server.port}"


@contextmanager
def in_thread(server: BaseWSGIServer) -> Iterator[None]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving_pages(pages: Sequence[ExplorerPage], runs: Path) -> Iterator[Site]:
    """An explorer of these pages."""
    with serving(make_app(pages)) as address:
        yield Site(address, pages, runs)


class Tab:
    """A tab in a browser of its own, whose faults are kept: what the console and the page complain
    of, and what was asked of anybody but the server.
    """

    def __init__(
        self, browser: Browser, address: str, *, width: int = WIDE, scheme: Any = "light"
    ) -> None:
        self.address = address
        self.faults: list[str] = []
        self._shown = width, scheme
        size: Any = {"width": width, "height": 900}
        self.context: BrowserContext = browser.new_context(viewport=size, color_scheme=scheme)
        self.context.add_init_script(_COUNT)
        self.context.route(lambda url: not _inside(url, address), self._refuse)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(_LONGEST)
        self.page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        self.page.on("console", self._hear)

    def _refuse(self, route: Route) -> None:
        self.faults.append(f"asked outside: {route.request.url}")
        route.abort()

    def _hear(self, said: Any) -> None:
        if said.type in ("error", "warning"):
            self.faults.append(f"console {said.type}: {said.text} ({said.location})")

    def open(self, path: str) -> None:
        """Load an address of the server from nothing."""
        self.page.goto(f"{self.address}/{path}")
        self.settle()

    def go(self, path: str) -> None:
        """Follow a link within the explorer, as it does itself: nothing is loaded anew."""
        self._start()
        self.page.evaluate(
            "to => { history.pushState({}, '', to); "
            "dispatchEvent(new PopStateEvent('popstate')); }",
            f"/{path}",
        )
        self.page.wait_for_timeout(50)  # until the page has begun to ask
        self.settle()

    def show(self, *, width: int = WIDE, scheme: Any = "light") -> None:
        """Give the window another width, the system another colour scheme."""
        if (width, scheme) == self._shown:
            return
        self._shown = width, scheme
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_timeout(250)  # figures follow the window after a while
        self.settle()

    def visit(self, page: ExplorerPage) -> None:
        """Go to a page, as set by default, by its link."""
        self._start()
        self.page.click(f"[id='link-{page.path}']")
        self.page.wait_for_url(f"{self.address}/{page.path}")
        self.page.locator("main h1", has_text=page.title).wait_for()
        self.settle()

    def _start(self) -> None:
        if not self.page.url.startswith(self.address):
            self.open("")

    def settle(self) -> None:
        """Wait until nothing is asked any more and every figure is drawn."""
        self.page.evaluate(_SETTLED)

    def search(self) -> str:
        """What stands in the address behind the path."""
        return str(self.page.evaluate("() => location.search"))

    def cards(self) -> list[str]:
        """What each card shows."""
        found: list[str] = self.page.evaluate(_CARDS)
        return found

    def sideways(self) -> int:
        """By how many pixels the page stays wider than the window."""
        return int(self.page.evaluate(_SIDEWAYS))


def _inside(url: str, address: str) -> bool:
    return url.startswith((f"{address}/", "data:", "blob:"))
