"""Serving: everyone who needs a plan gets one: the model's from the cache, or else the heuristic's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .errors import ActionError
from .handing import Turn
from .kernels.columns import NEED_ORDER
from .kernels.planning import collect_needs, collect_tiers, serve
from .plans import PlanStore
from .scopes import Scopes

if TYPE_CHECKING:
    from .agents import Agent
    from .compiled import Compiled
    from .settings import Settings

log = logging.getLogger("astrasim")

SERVE_ROWS = 128
MAX_NEEDS = 16_384
MAX_UNMET = 1024
PATIENCE_S = 0.25
NEVER = 1 << 16
"""More ticks than are counted."""
LEAST_SHARE = 0.25
"""Of a tick's budget: goes to heuristics at least, if some could not be called in the tick before, and to serving."""


class _Line:
    """Who is served one after the other, and where that stands: everyone, or a tier that a share is kept for.

    What a tier may use goes up by its share of the budget each tick, and down by what its units take: so a unit that
    is larger than the share has its turn in every so-manieth tick, and others have the ticks between.
    """

    def __init__(self, tier: int = -1, share: float = 0.0) -> None:
        self.tier, self.share, self._credit = tier, share, 0.0
        self.next_row = 0
        self.unknown_share = 0.0
        """Of the rows walked over last, how many were in situations that no heuristic was called for yet."""
        self.unmet: dict[tuple[int, int], None] = {}
        """Situations that a heuristic has to be called for."""

    def next_tick(self) -> None:
        self._credit = min(self._credit + self.share, self.share)

    def may(self, kind: str, budget: Budget) -> bool:
        return (self.tier < 0 or self._credit > 0) and budget.left(kind)

    def spend(self, kind: str, budget: Budget) -> float:
        """Returns which share of a tick's budget it took."""
        took = budget.spend(kind)
        self._credit -= took
        return took


class Serving:
    """Walks over the rows that need a plan, a unit of 128 at a time; heuristics run once for each (scope, key).

    Where more need one than can be served in a tick, those go first whose situation is known. Heuristics have a quarter
    of the budget meanwhile, or more where little is known; whoever was left over for a quarter of a second, and is in a
    situation that is still not known, follows the style of its role. So nobody waits for as many heuristics as there
    are situations.
    """

    def __init__(
        self, compiled: Compiled, cache: PlanCache, scopes: Scopes, counters: NDArray[np.int64],
        life: NDArray[np.float64], settings: Settings,
    ) -> None:  # fmt: skip
        self._compiled, self._strict, self._cache, self._scopes = compiled, settings.strict, cache, scopes
        self._counters, self._life = counters, life
        tiers = settings.tiers
        self._ranks = np.array([number if tier.asks else -1 for number, tier in enumerate(tiers)], np.int32)
        self._patience = ceil(PATIENCE_S / settings.tick_s)
        self.report: Callable[[str, BaseException], None] = lambda what, error: log.error("%s: %s", what, error)
        """Told what the game's heuristics raise."""
        self.has_served_all = False
        """Whether :meth:`run` gave everyone a plan who needed one when it was called last."""
        self._needs: NDArray[np.int32] = np.zeros(MAX_NEEDS, np.int32)
        self._unknown: NDArray[np.int32] = np.zeros(SERVE_ROWS, np.int32)
        self._everyone, self._orders = _Line(), _Line()
        self._shares = [_Line(n, tier.budget_share) for n, tier in enumerate(tiers) if tier.budget_share][::-1]
        self.ordered: dict[Agent, None] = {}
        """Who got a new order, and is to be served before all others."""

    def obey(self, turn: Turn, plans: PlanStore, budget: Budget) -> bool:
        """Serve those who have a new order, 128 of them a tick at most, as far as the budget goes; whether any was."""
        line, first = self._orders, list(islice(self.ordered, SERVE_ROWS))
        rows = [agent.row for agent in first if agent.alive and turn.agents.need[agent.row] == NEED_ORDER]
        if rows and not budget.left("serve"):
            return False
        if rows:
            self._needs[: len(rows)] = rows
            line.unmet.clear()
            unknown = self._serve_rows(line, 0, len(rows), turn, plans, budget)
            asked_all = unknown and budget.left("heuristic") and self._ask_heuristics(line, turn, budget)
            if asked_all and budget.left("serve"):
                self._serve_rows(line, 0, len(rows), turn, plans, budget)
        for agent in first:
            if not agent.alive or turn.agents.need[agent.row] != NEED_ORDER:
                del self.ordered[agent]
        return bool(rows)

    def run_shares(self, turn: Turn, plans: PlanStore, budget: Budget) -> None:
        """Serve the tiers that a share of the budget is kept for, the highest first, each with no more than that."""
        agents = turn.agents
        for line in self._shares:
            line.next_tick()
        if not self._shares or not turn.rows:
            return
        least, most = self._shares[-1].tier, self._shares[0].tier
        if collect_tiers(agents.need, agents.tier, least, most, turn.rows, 0, self._needs[:1]):
            for line in self._shares:
                if line.may("serve", budget):
                    self._serve(line, turn, plans, budget)

    def run(self, turn: Turn, plans: PlanStore, budget: Budget) -> None:
        """Serve as many as the budget allows; the next tick begins with the row after the last.

        Args:
            plans: the store, not its table, which heuristics replace when they make it grow.
        """
        if turn.rows:
            self.has_served_all = self._serve(self._everyone, turn, plans, budget)

    def _serve(self, line: _Line, turn: Turn, plans: PlanStore, budget: Budget) -> bool:
        """Serve those of a line; whether all of them have a plan now."""
        if line.unmet:
            # The fewer situations are known, the less there is to walk for.
            self._ask_heuristics(line, turn, budget, min(max(line.unknown_share, LEAST_SHARE), 1 - LEAST_SHARE))
            if not line.may("serve", budget):
                return False
        unmet = MAX_NEEDS + 1
        while True:
            start, agents = line.next_row % turn.rows, turn.agents
            if line.tier < 0:
                found = collect_needs(agents.need, turn.rows, start, self._needs)
            else:
                found = collect_tiers(agents.need, agents.tier, line.tier, line.tier, turn.rows, start, self._needs)
            unknown = self._walk(line, found, turn, plans, budget)
            if unknown <= 0:
                return unknown == 0 and found < MAX_NEEDS
            if unknown >= unmet:  # there is no room in the cache for their situations
                return False
            unmet = unknown
            asked_all = line.may("heuristic", budget) and self._ask_heuristics(line, turn, budget)
            if not asked_all or not line.may("serve", budget):
                return False

    def _walk(self, line: _Line, found: int, turn: Turn, plans: PlanStore, budget: Budget) -> int:
        """Serve the first ``found`` of the rows that were collected. Returns how many there was no heuristic's plan
        for, their situations noted; -1 if the budget ended first."""
        unknown = 0
        for first in range(0, found, SERVE_ROWS):
            line.next_row = int(self._needs[first])
            if first and not line.may("serve", budget):
                return -1
            last = min(first + SERVE_ROWS, found)
            unknown += self._serve_rows(line, first, last, turn, plans, budget)
            line.unknown_share = unknown / last
        line.next_row = int(self._needs[found - 1]) + 1 if found else 0
        return unknown

    def _serve_rows(
        self, line: _Line, first: int, last: int, turn: Turn, plans: PlanStore, budget: Budget
    ) -> int:
        """Serve a unit's rows; returns how many are in situations that are unknown, which are noted."""
        tables, scopes, agents = self._compiled, self._scopes, turn.agents
        # Whoever follows the style of its role is not asked about: that is no answer to an order.
        patience = NEVER if line is self._orders else self._patience
        unknown, self._cache.wanted_count = serve(
            agents, turn.things, tables.actions, tables.targets, plans.table, self._cache.entries,
            self._needs, first, last, scopes.default_plan, scopes.style_plan,
            patience, self._ranks, self._cache.wanted, self._cache.wanted_count, self._unknown,
            turn.now_ms, turn.now_s, self._counters, self._life,
        )  # fmt: skip
        for row in self._unknown[:unknown].tolist():
            if len(line.unmet) < MAX_UNMET:
                line.unmet[agents.scope.item(row), agents.key.item(row)] = None
        line.spend("serve", budget)
        return int(unknown)

    def _ask_heuristics(self, line: _Line, turn: Turn, budget: Budget, share: float = inf) -> bool:
        """Fill the cache with the heuristics' plans for the situations noted. False if the budget ended first, or this
        share of it."""
        while line.unmet:
            scope_id, key = next(iter(line.unmet))
            try:
                plan = self._scopes.heuristic_plan(scope_id, key)
            except ActionError as error:
                if self._strict:
                    raise
                self.report("a heuristic, so the style of the role decides instead", error)
                plan = int(self._scopes.style_plan[scope_id])
            del line.unmet[scope_id, key]
            self._cache.put_heuristic(scope_id, key, plan, turn.now_ms)
            share -= line.spend("heuristic", budget)
            if line.unmet and (share <= 0 or not line.may("heuristic", budget)):
                return False
        return True
