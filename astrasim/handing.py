"""Handing out: the model's plans that arrived, to all agents that wait for them, in pieces that fit the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .kernels.columns import Agents, Things
from .kernels.packing import pack
from .kernels.planning import hand_out
from .plans import PlanStore

if TYPE_CHECKING:
    from .compiled import Compiled

ROWS = 16_384
MAX_BATCH = 16


class Turn(NamedTuple):
    """What the planner works on in one tick: the tables, how many rows are in use, and the simulation's time."""

    agents: Agents
    things: Things
    rows: int
    now_s: float

    @property
    def now_ms(self) -> int:
        return int(self.now_s * 1000)


class Tables:
    """All tables that planning works on, as its kernels take them: one array, of which they make agents, things,
    actions, targets, plans and entries again."""

    def __init__(self, compiled: Compiled, cache: PlanCache, plans: PlanStore) -> None:
        self._compiled, self._cache, self._plans = compiled, cache, plans
        self._kept: tuple[Any, ...] = (None,) * 6
        self._parts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * 6
        self._packed: NDArray[np.int64] = np.zeros(0, np.int64)

    def packed(self, turn: Turn) -> NDArray[np.int64]:
        """As they are now: a table is another one when it has grown, or agents came or went."""
        agents, things, _, _, plans, _ = self._kept
        if turn.agents is not agents or turn.things is not things or self._plans.table is not plans:
            fixed = self._compiled
            now = (turn.agents, turn.things, fixed.actions, fixed.targets, self._plans.table, self._cache.entries)
            for at, table in enumerate(now):
                if table is not self._kept[at]:
                    self._parts[at] = np.array(pack(table))
            self._kept, self._packed = now, np.concatenate(self._parts)
        return self._packed


class HandOut:
    """Walks over all rows once for each batch of up to 16 plans."""

    def __init__(
        self, tables: Tables, cache: PlanCache, counters: NDArray[np.int64], life: NDArray[np.float64]
    ) -> None:
        self._tables, self._cache, self._counters, self._life = tables, cache, counters, life
        self._arrived: list[tuple[int, int]] = []
        self._entry: NDArray[np.int32] = np.zeros(MAX_BATCH, np.int32)
        self._plan: NDArray[np.int32] = np.zeros(MAX_BATCH, np.int32)
        self._batch = 0
        self._cursor = 0
        self.handed: list[tuple[int, int]] | None = None
        """The (entry, plan) that were handed out to the last agent; None: nobody wants to know."""

    def add(self, entry: int, plan: int) -> None:
        """The plan for this cache entry came."""
        self._arrived.append((entry, plan))

    def plans(self) -> list[int]:
        """The numbers of all plans that are still to be handed out, to some of those who wait for them at least."""
        return [*self._plan[: self._batch].tolist(), *(plan for _, plan in self._arrived)]

    def __len__(self) -> int:
        """How many those are."""
        return self._batch + len(self._arrived)

    def run(self, turn: Turn, budget: Budget) -> None:
        """Hand out at least one piece, and go on until all is handed out or the budget is over."""
        while self._batch or self._arrived:
            if not self._batch:
                self._next_batch(turn.rows)
            # From the last row down: when rows are deleted between two pieces, the last rows move to lower places,
            # which are still to come, so nobody is missed. Whoever is new takes the plan from the cache.
            last = min(self._cursor, turn.rows)
            first = self._cursor = max(0, last - ROWS)
            hand_out(
                self._tables.packed(turn), first, last, self._entry, self._plan, self._batch, turn.now_s,
                self._counters, self._life,
            )  # fmt: skip
            budget.spend("hand out")
            if first == 0:
                if self.handed is not None:
                    done = slice(self._batch)
                    self.handed += zip(self._entry[done].tolist(), self._plan[done].tolist(), strict=True)
                self._cache.handed_out(self._entry[: self._batch])
                self._batch = 0
            if not budget.left("hand out"):
                return

    def _next_batch(self, count: int) -> None:
        for entry, plan in self._arrived[:MAX_BATCH]:
            self._entry[self._batch], self._plan[self._batch] = entry, plan
            self._batch += 1
        del self._arrived[:MAX_BATCH]
        self._cursor = count
