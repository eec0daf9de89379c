"""Other people's pages, names and files in a real browser: they learn nothing and run nothing.

What needs no browser, such as every form of a forged Host header, is in tests/explorer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from fathom.explorer.app import make_app
from fathom.explorer.controls import picture, slider
from fathom.explorer.page import Action, Card, Page
from fathom.explorer.pictures import Pictures
from tests.browser.conftest import HOSTILE
from tests.browser.driving import Site, Tab, in_thread, serving

SECRET = "what only the reader may see"


@dataclass
class Guarded:
    """An explorer with a button that must not be pressed from elsewhere."""

    address: str = ""
    pressed: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def press(self, size: float) -> str:
        self.pressed.append(size)
        return f"done with {size:g}"

    def draw(self, size: float) -> str:
        self.drawn.append(size)
        return f"{SECRET} {size:g}"

    def broken(self, size: float) -> Any:
        return 1 / (size - size)

    def page(self) -> Page:
        store = Pictures()
        return Page(
            "",
            "Guarded",
            "A page to attack.",
            [
                Card("good", "Good", self.draw, ("size",)),
                Card("broken", "Broken", self.broken, ("size",)),
                Card("seen", "Seen", lambda photo: str(store.get(photo).shape), ("photo",)),
            ],
            [slider("size", "Size", [(0, "0"), (9, "9")], 4.0), picture("photo", "Photo", store)],
            actions=[Action("press", "Press", self.press, ("size",))],
        )


@pytest.fixture(scope="module")
def guarded(browser: Browser) -> Iterator[Guarded]:
    made = Guarded()
    with serving(make_app([made.page()])) as made.address:
        yield made


@pytest.fixture(scope="module")
def own_tab(browser: Browser, guarded: Guarded) -> Iterator[Tab]:
    """A tab in which the reader has it open."""
    opened = Tab(browser, guarded.address)
    opened.open("")
    yield opened
    opened.context.close()


@pytest.fixture(scope="module")
def elsewhere(browser: Browser) -> Iterator[str]:
    """The address of somebody else's page, on another port and so of another origin."""
    app = Flask("elsewhere")
    app.add_url_rule("/", "home", lambda: "<!doctype html><title>Elsewhere</title>")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with in_thread(server):
        yield f"http://127.0.0.1:{server.port}"


PRESS = {
    "output": "home-press-said.children",
    "outputs": {"id": "home-press-said", "property": "children"},
    "inputs": [{"id": "home-press", "property": "n_clicks", "value": 1}],
    "state": [{"id": "home-size", "property": "value", "value": 7}],
    "changedPropIds": ["home-press.n_clicks"],
}
_POST = """
async body => (await fetch('/_dash-update-component',
  {method: 'POST', body, headers: {'Content-Type': 'application/json'}})).text()
"""
# Every way by which a page may ask another server something; each ends in a word.
_ASK = """
async ([server, body]) => {
  const outcome = async asked => {
    try {
      const got = await asked;
      return got.type === 'opaque' ? 'opaque' : await got.text();
    } catch (error) { return 'refused'; }
  };
  const post = (mode, type) => outcome(fetch(server + '/_dash-update-component',
    {method: 'POST', mode, body, headers: {'Content-Type': type}, credentials: 'include'}));
  return {
    json: await post('cors', 'application/json'),
    plain: await post('no-cors', 'text/plain'),
    read: await outcome(fetch(server + '/_dash-layout', {credentials: 'include'})),
    blind: await outcome(fetch(server + '/_dash-layout', {mode: 'no-cors'})),
    script: await new Promise(done => { const part = document.createElement('script');
      part.src = server + '/_dash-layout'; part.onload = () => done('ran');
      part.onerror = () => done('refused'); document.head.append(part); }),
    form: await new Promise(done => { const part = document.createElement('form');
      part.method = 'post'; part.action = server + '/_dash-update-component'; part.target = 'sink';
      const sink = document.createElement('iframe'); sink.name = 'sink';
      document.body.append(sink, part); sink.onload = () => done('sent'); part.submit();
      setTimeout(() => done('refused'), 1000); }),
  };
}
"""


def test_another_page_can_neither_press_nor_read(
    browser: Browser, guarded: Guarded, elsewhere: str
) -> None:
    before = (list(guarded.pressed), list(guarded.drawn))
    context = browser.new_context()
    page = context.new_page()
    page.goto(elsewhere)
    found = page.evaluate(_ASK, [guarded.address, json.dumps(PRESS)])
    assert (guarded.pressed, guarded.drawn) == before
    assert not any(SECRET in word for word in found.values()), found
    assert {found[way] for way in ("json", "read", "blind", "script")} == {"refused"}
    context.close()


def test_another_page_cannot_frame_it_or_look_into_its_window(
    browser: Browser, guarded: Guarded, elsewhere: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(elsewhere)
    page.evaluate(
        "server => { const frame = document.createElement('iframe'); frame.src = server;"
        " document.body.append(frame); }",
        guarded.address,
    )
    frame = page.frames[1]
    page.wait_for_function("() => document.querySelector('iframe').contentDocument === null")
    assert frame.url.startswith("chrome-error:")
    with context.expect_page() as opened:
        page.evaluate("server => { window.taken = window.open(server); }", guarded.address)
    opened.value.wait_for_load_state("domcontentloaded")
    assert opened.value.title() == "Fathom"
    reach = "() => { try { return taken.document.body.innerText; } catch (e) { return e.name; } }"
    assert page.evaluate("() => taken.closed || taken.length === 0")
    assert page.evaluate(reach) in ("SecurityError", "TypeError", "")
    context.close()


def test_a_name_that_is_bound_to_this_machine_is_not_answered(
    browser: Browser, guarded: Guarded
) -> None:
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(guarded.address.replace("127.0.0.1", "rebound.example"))
    assert answer is not None
    assert answer.status == 403
    assert SECRET not in page.content()
    context.close()


def test_its_own_page_presses_and_reads(guarded: Guarded, own_tab: Tab) -> None:
    """What the attacks above try does something where it is allowed."""
    assert SECRET in own_tab.page.locator("main").inner_text()
    own_tab.page.get_by_role("button", name="Press").press("Enter")
    own_tab.page.get_by_text("done with 4").wait_for()
    assert "done with 7" in own_tab.page.evaluate(_POST, json.dumps(PRESS))
    assert guarded.pressed == [4, 7]


def test_a_card_that_fails_leaves_the_others_alive(own_tab: Tab) -> None:
    failed = own_tab.page.get_by_text("could not be drawn (ZeroDivisionError)")
    assert failed.count() == 1
    own_tab.page.locator("[role=slider]").press("End")
    own_tab.page.get_by_text(f"{SECRET} 9").wait_for()
    own_tab.settle()
    assert failed.count() == 1
    assert own_tab.faults == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (HOSTILE, b"no picture", "this picture cannot be used"),
        ("huge.png", b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\1\0\0" * 2, "cannot be used"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_in_words(
    own_tab: Tab, name: str, data: bytes, words: str
) -> None:
    own_tab.page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": data}
    )
    own_tab.page.get_by_text(words).wait_for()
    own_tab.settle()
    assert own_tab.page.title() == "Fathom"
    assert own_tab.faults == []


def test_the_name_of_a_run_is_shown_as_text(tab: Tab, site: Site) -> None:
    assert (site.runs / HOSTILE).is_dir()
    tab.open(f"runs?runs={quote(HOSTILE)}")
    assert HOSTILE in tab.page.locator("main").inner_text()
    assert tab.page.locator("main img[src=x]").count() == 0
    assert tab.page.title() == "Fathom"


@pytest.mark.parametrize("text", ["<img src=x onerror=document.title='taken'>", "../../etc/passwd"])
def test_an_address_brings_nothing_into_a_page(tab: Tab, site: Site, text: str) -> None:
    for page in site.pages:
        search = "&".join(f"{control.name}={quote(text)}" for control in page.controls)
        tab.go(f"{page.path}?{search}")
        assert tab.page.locator("main h1").inner_text() == page.title
        assert tab.page.locator("main img[src=x]").count() == 0
        assert "root:" not in tab.page.locator("main").inner_text()
    assert tab.page.title() == "Fathom"
