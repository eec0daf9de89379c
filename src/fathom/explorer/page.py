"""A page of the explorer: what can be set, and cards that are drawn from what is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from fathom.explorer.controls import Control, Value

Values = Mapping[str, Any]
_LONGEST = 4096  # characters of an address that are read


@dataclass(frozen=True)
class Card:
    """Something drawn from the values of some controls, each an argument of draw by its name.

    A draw that fails leaves the other cards alone. uses: the controls whose change draws it anew.
    """

    name: str
    title: str
    draw: Callable[..., Any]
    uses: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Action:
    """A button that does something, once a press, and says in a line what it did.

    An address never presses it. uses: the controls that run takes, each an argument by its name.
    """

    name: str
    label: str
    run: Callable[..., str]
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Click:
    """A click on a card's figure changes a control.

    take: (what lies under the pointer, the control's value) -> its new value.
    """

    card: str
    control: str
    take: Callable[[Mapping[str, Any], Any], Any]


@dataclass(frozen=True)
class Page:
    """One page. path is its address, without a slash; lead says what it answers."""

    path: str
    title: str
    lead: str
    cards: Sequence[Card]
    controls: Sequence[Control] = ()
    clicks: Sequence[Click] = field(default=())
    actions: Sequence[Action] = field(default=())

    def __post_init__(self) -> None:
        named: list[Card | Control | Action] = [*self.cards, *self.controls, *self.actions]
        parts = [part.name for part in named]
        assert len(set(parts)) == len(parts), f"{self.path}: two parts of one name among {parts}"

    def identifier(self, name: str) -> str:
        """The id of a control or card."""
        return f"{self.path or 'home'}-{name}"

    def control(self, name: str) -> Control:
        """The control of this name."""
        return next(control for control in self.controls if control.name == name)

    def read(self, search: str | None) -> dict[str, Value]:
        """The values of an address: the default of each that it does not name, or not rightly."""
        text = (search or "").removeprefix("?")[:_LONGEST]
        asked = parse_qs(text, keep_blank_values=True)
        values: dict[str, Value] = {}
        for control in self.controls:
            values[control.name] = control.default
            if control.name in asked:
                try:
                    values[control.name] = control.read(asked[control.name][0])
                except ValueError:
                    continue
        return values

    def write(self, values: Values) -> str:
        """The address of these values: what differs from the defaults."""
        changed = {
            control.name: control.write(values[control.name])
            for control in self.controls
            if values[control.name] != control.default
        }
        return f"?{urlencode(changed, safe=',')}" if changed else ""
