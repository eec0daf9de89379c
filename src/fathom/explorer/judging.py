"""The ledger, judged while one reads: in a thread of its own, what was asked for last first."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from fathom.ledger import Row, claims


class Judging:
    """Rows of the ledger, each judged once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._failed: dict[str, Exception] = {}
        self._asked: list[str] = []  # the next is the last
        self._changed = threading.Condition()
        self._at_work = False

    def rows(self, ids: Sequence[str], *, wait: float = 0.0) -> list[Row]:
        """Those of the rows that are judged, after waiting so many seconds for the others.

        Raises what the judge of one of them raised.
        """
        until = time.monotonic() + wait
        with self._changed:
            self._ask(ids)
            while self._missing(ids) and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            for identifier in ids:
                if identifier in self._failed:
                    raise self._failed[identifier]
            return [self._rows[identifier] for identifier in ids if identifier in self._rows]

    def __len__(self) -> int:
        """How many are judged."""
        with self._changed:
            return len(self._rows) + len(self._failed)

    def _missing(self, ids: Sequence[str]) -> list[str]:
        return [i for i in ids if i not in self._rows and i not in self._failed]

    def _ask(self, ids: Sequence[str]) -> None:
        wanted = self._missing(ids)
        self._asked = [i for i in self._asked if i not in wanted] + wanted[::-1]
        if wanted and not self._at_work:
            self._at_work = True
            threading.Thread(target=self._work, daemon=True, name="judging").start()

    def _work(self) -> None:
        while True:
            with self._changed:
                waiting = self._missing(self._asked)
                if not waiting:
                    self._asked, self._at_work = [], False
                    return
                identifier = waiting[-1]
            try:
                (row,) = claims(identifier)
            except Exception as error:  # shown on the card that asks for it
                with self._changed:
                    self._failed[identifier] = error
                    self._changed.notify_all()
            else:
                with self._changed:
                    self._rows[identifier] = row
                    self._changed.notify_all()
