"""Requests that nobody waits for any more: whoever did is dead, has another order, or went on to another situation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .budget import Budget
from .cache import PlanCache
from .handing import Turn
from .kernels.choosing import mark_waiting
from .kernels.lookup import WAITED_FOR
from .requests import Request

_LOOK_EVERY_MS = 250
_ROWS = 4096


class Unwanted:
    """Looks for them four times a second, and only among those whose situation nobody was in for ``unwanted_s``. Only
    if there are any, it walks over all rows, a piece at a time."""

    def __init__(self, cache: PlanCache, unwanted_s: float) -> None:
        self._cache, self._after_ms = cache, int(unwanted_s * 1000)
        self._next_ms = 0
        self._suspects: list[Request] = []
        self._found: list[Request] = []
        self._cursor = 0

    def next(self, turn: Turn) -> Request | None:
        """One of those that were found, if nobody came to its situation since."""
        while self._found:
            if found := self._forsaken(turn, [self._found.pop()]):
                return found[0]
        return None

    def look(self, turn: Turn, requests: Iterable[Request], budget: Budget) -> None:
        """Find the requests that can be cancelled, as far as there is time."""
        if not self._suspects:
            if turn.now_ms < self._next_ms or self._found:
                return
            self._next_ms = turn.now_ms + _LOOK_EVERY_MS
            self._suspects = self._forsaken(turn, requests)
            if not self._suspects:
                return
            self._cache.entries.flags[[request.entry for request in self._suspects]] &= ~np.uint8(WAITED_FOR)
            self._cursor = turn.rows
        # From the last row down: when rows are deleted between two pieces, the last rows move to lower places, which
        # are still to come. Whoever comes to a situation meanwhile has looked it up, which is asked again at the end.
        while self._cursor > 0:
            last = min(self._cursor, turn.rows)
            first = self._cursor = max(0, last - _ROWS)
            self.walk(turn, first, last)
            budget.spend("walk")
            if not budget.left("walk"):
                return
        entries = self._cache.entries
        self._found = [
            request for request in self._forsaken(turn, self._suspects)
            if not entries.flags[request.entry] & WAITED_FOR
        ]  # fmt: skip
        self._suspects = []

    def walk(self, turn: Turn, first: int, last: int) -> None:
        """Mark what the agents of these rows wait for."""
        agents, entries = turn.agents, self._cache.entries
        mark_waiting(
            agents.entry, agents.source, agents.plan_key, agents.scope, entries.flags, entries.key, entries.scope,
            first, last,
        )  # fmt: skip

    def _forsaken(self, turn: Turn, requests: Iterable[Request]) -> list[Request]:
        used = self._cache.entries.used
        return [request for request in requests if turn.now_ms - used.item(request.entry) >= self._after_ms]
