"""Readers without a mouse, and readers without eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import each_page
from tests.browser.driving import Site, Tab

AXE = Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js"
_FOCUSED = """
() => { const ids = []; let part = document.activeElement;
        for (; part; part = part.parentElement) if (part.id) ids.push(part.id); return ids; }
"""


def grave(tab: Tab, *rules: str) -> list[str]:
    """What axe-core calls serious or critical: of some rules, or of all."""
    if not tab.page.evaluate("() => 'axe' in window"):
        tab.page.evaluate(AXE.read_text(encoding="utf-8"))
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    found = tab.page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]}: {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.skipif(
    not AXE.is_file(), reason="no axe-core; tests/browser/install.sh .venv/axe fetches it by npm"
)
@each_page
def test_nothing_on_a_page_shuts_a_reader_out(tab: Tab, site: Site, path: str) -> None:
    tab.visit(site.page(path))
    assert grave(tab) == []
    tab.show(scheme="dark")
    assert grave(tab, "color-contrast") == []
    tab.show()


@pytest.mark.skipif(
    not AXE.is_file(), reason="no axe-core; tests/browser/install.sh .venv/axe fetches it by npm"
)
def test_a_picture_without_words_would_be_found(tab: Tab, site: Site) -> None:
    tab.visit(site.pages[0])
    tab.page.evaluate("() => document.querySelector('main').append(new Image())")
    assert any(fault.startswith("image-alt") for fault in grave(tab))
    tab.open("")


@each_page
def test_every_control_is_reached_by_the_keyboard(tab: Tab, site: Site, path: str) -> None:
    """From the link of the page on: the other links, then what can be set and pressed."""
    page = site.page(path)
    names = [control.name for control in page.controls] + [action.name for action in page.actions]
    wanted = {page.identifier(name) for name in names}
    tab.visit(page)
    reached: set[str] = set()
    for _ in range(20 + 6 * len(wanted)):
        if wanted <= reached:
            break
        tab.page.keyboard.press("Tab")
        reached.update(tab.page.evaluate(_FOCUSED))
    assert wanted <= reached


def test_the_first_link_leads_past_the_others(tab: Tab, site: Site) -> None:
    tab.open("")
    tab.page.keyboard.press("Tab")
    link = tab.page.get_by_text("Skip to content")
    box = link.bounding_box()
    assert box is not None
    assert box["x"] >= 0, "it is seen while it has the focus"
    assert link.evaluate("part => part === document.activeElement")
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate(_FOCUSED)[0] == "main"
    tab.settle()
    assert tab.page.locator("main h1").inner_text() == site.pages[0].title


def test_a_picture_of_ones_own_is_chosen_by_the_keyboard(tab: Tab, site: Site) -> None:
    tab.visit(site.page("augmentations"))
    with tab.page.expect_file_chooser() as asked:
        tab.page.get_by_role("button", name="Your own picture").press("Enter")
    assert not asked.value.is_multiple()
