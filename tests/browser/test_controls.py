"""Every control of every page changes what it should, by the keyboard; the address remembers."""

from __future__ import annotations

from fathom.explorer.page import Page
from tests.browser.conftest import each_page
from tests.browser.driving import Site, Tab
from tests.browser.setting import Look, change, look

# What another control has to say first, where one has an effect only beside it.
BESIDE = {("look", "channel"): "?way=projection"}


def set_in(page: Page, search: str) -> set[str]:
    """The controls that an address sets."""
    return {c.name for c in page.controls if page.read(search)[c.name] != c.default}


def redrawn(before: Look, after: Look) -> set[str]:
    return {name for name in before.cards if before.cards[name] != after.cards[name]}


@each_page
def test_each_control_draws_its_cards_and_the_address_restores_them(
    tab: Tab, site: Site, path: str
) -> None:
    page = site.page(path)
    tab.visit(page)
    default = look(tab, page)
    assert default.search == ""
    found: dict[str, Look] = {}
    for control in page.controls:
        before = default
        if (path, control.name) in BESIDE:
            tab.go(f"{path}{BESIDE[path, control.name]}")
            before = look(tab, page)
        after = change(tab, page, control, before)
        # A preset may move with what it sets.
        moved = set_in(page, after.search) - set_in(page, before.search)
        assert control.name in moved
        users = {card.name for card in page.cards if moved & {*card.uses}}
        assert redrawn(before, after) <= users, f"{control.name} changes what does not use it"
        if users:
            assert redrawn(before, after), f"{control.name} changes nothing"
        else:
            assert any(control.name in action.uses for action in page.actions)
        while tab.search():
            tab.page.go_back()
        assert look(tab, page) == default, f"after the way back from {control.name}"
        found[control.name] = after
    for after in list(found.values())[-1:]:
        tab.go(f"{path}{after.search}")
        assert look(tab, page) == after, f"after a link to {after.search}"
    chosen = [(name, after.search) for name, after in found.items() if (path, name) not in BESIDE]
    tab.open(f"{path}?{'&'.join(search.removeprefix('?') for _, search in chosen)}")
    anew = look(tab, page).controls
    assert {name: anew[name] for name, _ in chosen} == {
        name: found[name].controls[name] for name, _ in chosen
    }


def test_an_address_in_other_words_does_not_hold_the_reader(tab: Tab, site: Site) -> None:
    """A page writes the address when something is set, not when it is opened."""
    tab.visit(site.page("claims"))
    for search in ("?experiment=degradation", "?experiment=no-such", "?foo=1"):
        tab.go(f"experiments{search}")
        assert tab.page.locator("main h1").inner_text() == "Experiments"
        tab.page.go_back()
        tab.page.locator("main h1", has_text="Claims").wait_for(timeout=5000)
        tab.settle()
        assert tab.page.url == f"{site.address}/claims"


@each_page
def test_a_click_on_a_figure_sets_what_it_says(tab: Tab, site: Site, path: str) -> None:
    page = site.page(path)
    for click in page.clicks:
        tab.visit(page)
        before = look(tab, page)
        graph = tab.page.locator(f"[id='{page.identifier(click.card)}-graph']")
        dot = graph.locator(".points path").first.bounding_box()
        assert dot is not None
        tab.page.mouse.click(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
        tab.page.wait_for_url(lambda url: "?" in url)
        after = look(tab, page)
        assert set_in(page, after.search) == {click.control}
        assert redrawn(before, after)
