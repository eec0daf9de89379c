"""Every page opens without a complaint, asks nobody else, and fits wide and narrow windows."""

from __future__ import annotations

from tests.browser.conftest import each_page
from tests.browser.driving import NARROW, WIDE, Site, Tab

_BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


@each_page
def test_a_page_opens_from_nothing_and_fits(tab: Tab, site: Site, path: str) -> None:
    """The tab fails a test in which anything was complained of or asked elsewhere."""
    page = site.page(path)
    tab.open(path)
    assert tab.page.locator("main h1").inner_text() == page.title
    assert len(tab.cards()) == len(page.cards)
    assert "could not be drawn" not in tab.page.locator("main").inner_text()
    assert tab.sideways() == 0, f"wider than {WIDE} pixels"
    light = tab.page.evaluate(_BACKGROUND)
    tab.show(width=NARROW, scheme="dark")
    assert tab.page.evaluate(_BACKGROUND) != light
    assert tab.sideways() == 0, f"wider than {NARROW} pixels"
    tab.show()
    assert tab.page.evaluate(_BACKGROUND) == light


def test_the_colour_scheme_can_be_chosen(tab: Tab, site: Site) -> None:
    tab.visit(site.pages[0])
    before = tab.page.evaluate(_BACKGROUND)
    button = tab.page.get_by_role("button", name="Light or dark")
    button.press("Enter")
    tab.page.wait_for_function(f"before => ({_BACKGROUND})() !== before", arg=before)
    button.press("Enter")
    tab.page.wait_for_function(f"before => ({_BACKGROUND})() === before", arg=before)


def test_an_address_without_a_page_says_so(tab: Tab) -> None:
    tab.open("no-such-page")
    assert tab.page.locator("main h1").inner_text() == "No such page"
