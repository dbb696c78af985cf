"""Serving: everyone who needs a plan gets one: the model's from the cache, or else the heuristic's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .errors import ActionError
from .handing import Turn
from .kernels.columns import NEED_ORDER
from .kernels.planning import collect_needs, serve
from .plans import PlanStore
from .scopes import Scopes

if TYPE_CHECKING:
    from .agents import Agent
    from .compiled import Compiled

log = logging.getLogger("astrasim")

SERVE_ROWS = 128
MAX_NEEDS = 16_384


class Serving:
    """Walks over the rows that need a plan, a unit of 128 at a time; heuristics run once for each (scope, key)."""

    def __init__(
        self, compiled: Compiled, strict: bool, cache: PlanCache, scopes: Scopes, counters: NDArray[np.int64],
        life: NDArray[np.float64],
    ) -> None:  # fmt: skip
        self._compiled, self._strict, self._cache, self._scopes = compiled, strict, cache, scopes
        self._counters, self._life = counters, life
        self.report: Callable[[str, BaseException], None] = lambda what, error: log.error("%s: %s", what, error)
        """Told what the game's heuristics raise."""
        self._needs: NDArray[np.int32] = np.zeros(MAX_NEEDS, np.int32)
        self._unknown: NDArray[np.int32] = np.zeros(SERVE_ROWS, np.int32)
        self._unmet: dict[tuple[int, int], None] = {}
        self._next_row = 0
        self.ordered: dict[Agent, None] = {}
        """Who got a new order, and is to be served before all others."""

    def obey(self, turn: Turn, plans: PlanStore, budget: Budget) -> bool:
        """Serve those who have a new order, 128 of them a tick at most, as far as the budget goes; whether any was."""
        first = list(islice(self.ordered, SERVE_ROWS))
        rows = [agent.row for agent in first if agent.alive and turn.agents.need[agent.row] == NEED_ORDER]
        if rows and not budget.left("serve"):
            return False
        if rows:
            self._needs[: len(rows)] = rows
            others, self._unmet = self._unmet, {}
            unknown = self._serve_rows(turn, plans, 0, len(rows), budget)
            if unknown and budget.left("heuristic") and self._ask_heuristics(turn, budget) and budget.left("serve"):
                self._serve_rows(turn, plans, 0, len(rows), budget)
            self._unmet |= others
        for agent in first:
            if not agent.alive or turn.agents.need[agent.row] != NEED_ORDER:
                del self.ordered[agent]
        return bool(rows)

    def run(self, turn: Turn, plans: PlanStore, budget: Budget) -> None:
        """Serve as many as the budget allows; the next tick begins with the row after the last.

        Args:
            plans: the store, not its table, which heuristics replace when they make it grow.
        """
        if not turn.rows or (self._unmet and not (self._ask_heuristics(turn, budget) and budget.left("serve"))):
            return
        found = collect_needs(turn.agents.need, turn.rows, self._next_row % turn.rows, self._needs)
        for first in range(0, found, SERVE_ROWS):
            last = min(first + SERVE_ROWS, found)
            self._next_row = int(self._needs[first])
            if first and not budget.left("serve"):
                return
            if self._serve_rows(turn, plans, first, last, budget):
                if not (
                    budget.left("heuristic") and self._ask_heuristics(turn, budget) and budget.left("serve")
                ):
                    return
                self._serve_rows(turn, plans, first, last, budget)
        self._next_row = int(self._needs[found - 1]) + 1 if found else 0

    def _serve_rows(self, turn: Turn, plans: PlanStore, first: int, last: int, budget: Budget) -> bool:
        """Serve a unit's rows; True if the situations of some are unknown, which are noted."""
        tables = self._compiled
        unknown, self._cache.wanted_count = serve(
            turn.agents, turn.things, tables.actions, tables.targets, plans.table, self._cache.entries,
            self._needs, first, last, self._scopes.default_plan,
            self._cache.wanted, self._cache.wanted_count, self._unknown,
            turn.now_ms, turn.now_s, self._counters, self._life,
        )  # fmt: skip
        budget.spend("serve")
        for row in self._unknown[:unknown].tolist():
            self._unmet[turn.agents.scope.item(row), turn.agents.key.item(row)] = None
        return bool(unknown)

    def _ask_heuristics(self, turn: Turn, budget: Budget) -> bool:
        """Fill the cache with the heuristics' plans for the situations noted; False if the budget ended first."""
        while self._unmet:
            scope_id, key = next(iter(self._unmet))
            try:
                plan = self._scopes.heuristic_plan(scope_id, key)
            except ActionError as error:
                if self._strict:
                    raise
                self.report("a heuristic, so the style of the role decides instead", error)
                plan = self._scopes.fallback_plan(scope_id)
            del self._unmet[scope_id, key]
            self._cache.put_heuristic(scope_id, key, plan, turn.now_ms)
            budget.spend("heuristic")
            if self._unmet and not budget.left("heuristic"):
                return False
        return True
