"""Setting the controls of a page by the keyboard alone, and reading what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dash_mantine_components as dmc

from fathom.explorer.controls import Control
from fathom.explorer.page import Page
from tests.browser.driving import Tab
from tests.explorer.reading import components

_TRIES = 4  # values, until one changes what is drawn
_TYPED = 500  # ms after which what is typed counts as a whole
_SHOWN = """
ids => ids.map(id => {
  const part = document.getElementById(id);
  const slider = part.querySelector('[role=slider]');
  const pills = part.closest('.mantine-MultiSelect-root')?.querySelectorAll('.mantine-Pill-label');
  if (slider) return slider.getAttribute('aria-valuenow');
  if (pills) return [...pills].map(pill => pill.textContent).join(',');
  return part.type === 'checkbox' ? String(part.checked) : part.value;
})
"""


@dataclass(frozen=True)
class Look:
    """What a page shows: its address, each control's value, each card."""

    search: str
    controls: dict[str, str]
    cards: dict[str, str]


def look(tab: Tab, page: Page) -> Look:
    """What the page shows once it is drawn."""
    tab.settle()
    shown = tab.page.evaluate(_SHOWN, [page.identifier(c.name) for c in page.controls])
    cards = zip(page.cards, tab.cards(), strict=True)
    return Look(
        tab.search(),
        {control.name: value for control, value in zip(page.controls, shown, strict=True)},
        {card.name: inside for card, inside in cards},
    )


def change(tab: Tab, page: Page, control: Control, before: Look) -> Look:
    """Set a control to another value, to one that changes what is drawn where there is one -> what
    the page then shows."""
    after = before
    used = any(control.name in card.uses for card in page.cards)
    for way in _ways(tab, page.identifier(control.name), _kind(page, control)):
        way()
        tab.page.wait_for_timeout(50)  # until the page has begun to ask
        after = look(tab, page)
        if after.search != before.search and (after.cards != before.cards or not used):
            break
    return after


def _kind(page: Page, control: Control) -> type:
    identifier = page.identifier(control.name)
    made = components(control.make(identifier, control.default))
    return next(type(part) for part in made if getattr(part, "id", None) == identifier)


def _ways(tab: Tab, identifier: str, kind: type) -> Iterator[Callable[[], None]]:
    """Ways to give a control another value, each of them on top of the one before."""
    part = tab.page.locator(f"[id='{identifier}']")

    def pick(presses: int) -> None:
        part.focus()
        for key in ["ArrowDown"] * presses + ["Enter"]:
            part.press(key)
        part.press("Escape")

    def write(text: str) -> None:
        part.fill(text)
        tab.page.wait_for_timeout(_TYPED)

    def step(key: str) -> None:
        part.press(key)
        tab.page.wait_for_timeout(_TYPED)

    if kind is dmc.TextInput:
        yield lambda: write("shortcut")
    elif kind is dmc.Slider:
        thumb = part.locator("[role=slider]")
        yield from (lambda: thumb.press("Home"), lambda: thumb.press("End"))
    elif kind is dmc.NumberInput:
        yield from (lambda: write("3"), lambda: step("ArrowDown"))
    elif kind is dmc.Switch:
        yield lambda: part.press("Space")
    elif kind is dmc.Button:
        yield from [lambda: part.press("Enter")] * _TRIES
    elif kind is dmc.Select:
        yield from [lambda: pick(2)] * _TRIES  # the first opens it
    elif kind is dmc.MultiSelect:
        yield from [lambda: pick(2), lambda: part.press("Backspace")]
    else:
        raise NotImplementedError(f"nobody has said how a {kind.__name__} is set")
