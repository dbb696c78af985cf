"""Forgetting: the numbers of plans that nothing refers to any more are used again, when the store is full."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .handing import ROWS, HandOut, Turn
from .kernels.columns import WAIT_PLAN
from .plans import PlanStore
from .scopes import Scopes


class Forgetting:
    """Looks through all that refers to plans, a piece at a time, over as many ticks as that takes."""

    def __init__(self, plans: PlanStore, cache: PlanCache, scopes: Scopes, handing: HandOut) -> None:
        self._plans, self._cache, self._scopes, self._handing = plans, cache, scopes, handing
        self._turn: Turn
        self._pieces: Iterator[NDArray[np.int32]] | None = None

    def run(self, turn: Turn, budget: Budget) -> None:
        """Go on with it, or begin if it is time to."""
        self._turn = turn
        if self._pieces is None:
            if not self._plans.is_full:
                return
            self._plans.look_through()
            self._pieces = self._references()
        for piece in self._pieces:
            self._plans.keep(piece)
            budget.spend("forget")
            if not budget.left("forget"):
                return
        self._plans.forget_others()
        self._pieces = None

    def _references(self) -> Iterator[NDArray[np.int32]]:
        """The numbers of plans in use, as they are when each piece is asked for.

        In this order nothing is missed: what an agent is given meanwhile comes from a cache entry, which was looked at
        before, or was made meanwhile, which the store knows. From the last row down: rows only ever move to lower ones.
        """
        entries = self._cache.entries
        yield np.array(self._handing.plans(), np.int32)
        for first in range(0, len(entries.key), ROWS):
            yield entries.heuristic[first : first + ROWS]
            yield entries.model[first : first + ROWS]
        cursor = self._turn.rows
        while cursor > 0:
            last = min(cursor, self._turn.rows)
            cursor = max(0, last - ROWS)
            agents = self._turn.agents
            yield np.concatenate([column[cursor:last] for column in (agents.plan, agents.last_plan, agents.next_plan)])
        yield np.array([WAIT_PLAN], np.int32)
        yield self._scopes.style_plan[: len(self._scopes)]
        yield self._scopes.default_plan[: len(self._scopes)]
