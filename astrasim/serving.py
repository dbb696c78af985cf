"""Serving: everyone who needs a plan gets one: the model's from the cache, or else the heuristic's."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .errors import ActionError
from .handing import Tables, Turn
from .kernels.columns import NEED_ORDER
from .kernels.serving import list_needs, serve
from .scopes import Scopes

if TYPE_CHECKING:
    from .agents import Agent
    from .settings import Settings

log = logging.getLogger("astrasim")

SERVE_ROWS, MOST_ROWS = 128, 1024
"""Agents in a unit: the first where units are counted, and how far it rises where they are timed. Not below: a first
unit of half as many takes hardly less, and with the smallest budgets twice as long to serve everyone."""
UNIT_S = {True: 60e-6, False: 150e-6}
"""A unit of serving that took longer was too large; the first of a tick, which may be begun in any case, and others,
which are begun only where they fit."""
MAX_ORDERED = 256
MAX_UNMET = 1024
PATIENCE_S = 0.25
NEVER = 1 << 16
"""More ticks than are counted."""
LEAST_SHARE = 0.25
"""Of the time that serving takes: goes to heuristics at least, where some are to be called, and to agents at least."""
LATE_SHARE = 0.5
"""Of what is left of a tick's budget: goes to those that the last tick left over, before all other work."""


class _Line:
    """Who is served one after the other, and where that stands: everyone, or a tier that a share is kept for.

    What a tier may use goes up by its share of the budget each tick, and down by what its units take: so a unit that
    is larger than the share has its turn in every so-manieth tick, and others have the ticks between.
    """

    def __init__(self, tier: int = -1, share: float = 0.0) -> None:
        self.tier, self.share = tier, share
        self.tiers = (0, 255) if tier < 0 else (tier, tier)
        self.is_limited = tier >= 0
        """Whether it has no more than its share."""
        self.is_urgent = False
        """Whether it has waited for too long: no heuristics are called meanwhile."""
        self.used = self._credit = 0.0
        """Of this tick's budget, and what it may use now."""
        self.next_row = self.rows_left = 0
        """Where the round over all rows stands."""
        self.unknown_share = 0.0
        """Of the rows served lately, how many were in situations that no heuristic was called for yet."""
        self.unmet: dict[tuple[int, int], None] = {}
        """Situations that a heuristic has to be called for."""
        self.noted: NDArray[np.uint64] = np.zeros(2 * MAX_UNMET, np.uint64)
        self.owed = 0.0
        """To heuristics, for the agents that were served meanwhile; in budgets of a tick. Below 0 to agents."""

    @property
    def owes_heuristics(self) -> bool:
        """Whether it is their turn to be called."""
        return bool(self.unmet) and self.owed >= 0 and not self.is_urgent

    def next_tick(self, share: float) -> None:
        self._credit, self.used = min(self._credit + share, share), 0.0

    def begin_round(self, rows: int) -> bool:
        """Whether a round over all rows begins now; or else one goes on that the last tick had no time to end."""
        if is_new := not self.rows_left:
            self.rows_left = rows
            self.noted[:] = 0
        self.next_row %= rows
        self.rows_left = min(self.rows_left, rows)
        return is_new

    def step(self, row: int, rows: int) -> None:
        """The round came to this row of so many."""
        self.rows_left -= row - self.next_row
        self.next_row = row % rows
        if not self.rows_left:  # what was owed to agents was given
            self.owed = max(self.owed, 0.0)

    def may(self, kind: str, budget: Budget) -> bool:
        return (not self.is_limited or self._credit > 0) and budget.left(kind)

    def spend(self, kind: str, budget: Budget) -> float:
        """Returns which share of a tick's budget it took."""
        took = budget.spend(kind)
        if self.is_limited:
            self._credit -= took
            self.used += took
        return took


class Serving:
    """Walks over the rows that need a plan, a unit at a time; heuristics run once for each (scope, key).

    Where more need one than can be served in a tick, those go first whose situation is known. Heuristics have a quarter
    of the time meanwhile, or more where little is known and nobody was left over; and whoever was left over for a
    quarter of a second gets a stopgap: it follows the style of its role, and waits for the model's plan meanwhile. So
    nobody waits for as many heuristics as there are situations.
    """

    def __init__(
        self, tables: Tables, cache: PlanCache, scopes: Scopes, counters: NDArray[np.int64],
        life: NDArray[np.float64], settings: Settings,
    ) -> None:  # fmt: skip
        self._tables, self._strict, self._cache, self._scopes = tables, settings.strict, cache, scopes
        self._counters, self._life = counters, life
        tiers = settings.tiers
        self._ranks = np.array([number if tier.asks else -1 for number, tier in enumerate(tiers)], np.int32)
        self._patience = ceil(PATIENCE_S / settings.tick_s)
        self.report: Callable[[str, BaseException], None] = lambda what, error: log.error("%s: %s", what, error)
        """Told what the game's heuristics raise."""
        self.has_served_all = True
        """Whether everyone has a plan who needed one in this tick, or, between two ticks, in the last."""
        self._some_are_late = False
        self._rows: NDArray[np.int32] = np.zeros(MOST_ROWS, np.int32)
        self._unknown: NDArray[np.int32] = np.zeros(MOST_ROWS, np.int32)
        self._unit_rows = {True: SERVE_ROWS, False: SERVE_ROWS}
        """In a tick's first unit of serving, for which nothing is in the processor's caches, and in the others."""
        self._is_cold = True
        self._everyone, self._orders = _Line(), _Line()
        self._kept = [_Line(n, tier.budget_share) for n, tier in enumerate(tiers) if tier.budget_share][::-1]
        self._shares: list[_Line] = []
        """Of those that a share is kept for, the tiers that anybody was ever of: most games have none, and to look for
        their agents takes a tenth of the smallest budgets."""
        self.ordered: OrderedDict[Agent, None] = OrderedDict()
        """Who got a new order, and is to be served before all others."""

    def begin(self) -> None:
        """A tick's planning begins."""
        self._some_are_late, self.has_served_all = not self.has_served_all, False
        self._is_cold = True

    def meet(self, tier: int) -> None:
        """Some agents are of this tier from now on."""
        self._shares = [line for line in self._kept if line in self._shares or line.tier == tier]

    def order(self, agent: Agent) -> None:
        """It got a new order. If very many did in a tick, the others are served with everyone."""
        if len(self.ordered) < MAX_ORDERED:
            self.ordered[agent] = None

    def obey(self, turn: Turn, budget: Budget) -> bool:
        """Serve those who have a new order, 128 of them a tick at most, as far as the budget goes; whether any was."""
        if not self.ordered:
            return False
        line, first = self._orders, list(islice(self.ordered, SERVE_ROWS))
        rows = [agent.row for agent in first if agent.alive and turn.agents.need[agent.row] == NEED_ORDER]
        at, worked = 0, False
        # What there was no time for in an earlier tick; or a small budget would only ever look who is to be served.
        if rows and line.unmet and budget.left("heuristic"):
            worked = True
            self._ask_heuristics(line, turn, budget)
        while at < len(rows) and budget.left("serve"):
            unit = np.array(rows[at : at + self._size(budget)], np.int32)
            at += len(unit)
            line.noted[:] = 0
            left = self._serve_rows(line, unit, turn, budget)
            asked_all = left and budget.left("heuristic") and self._ask_heuristics(line, turn, budget)
            if asked_all and budget.left("serve"):
                self._serve_rows(line, unit, turn, budget)
        for agent in first:
            if not agent.alive or turn.agents.need[agent.row] != NEED_ORDER:
                del self.ordered[agent]
        return worked or at > 0

    def run_shares(self, turn: Turn, budget: Budget) -> None:
        """Serve the tiers that a share of the budget is kept for, the highest first, each with no more than that."""
        agents = turn.agents
        if not self._shares or not turn.rows:
            return
        for line in self._shares:
            line.next_tick(line.share)
        least, most = self._shares[-1].tier, self._shares[0].tier
        if list_needs(agents.need, agents.tier, least, most, 0, turn.rows, self._rows[:1])[0]:
            for line in self._shares:
                if line.may("serve", budget):
                    self._serve(line, turn, budget)
                    budget.unneeded()

    def run_late(self, turn: Turn, budget: Budget, waited: int) -> bool:
        """Serve those whom the last tick left over; whether there was time for it. In half of what tiers do not use,
        or, where one has waited for a quarter of a second, in all of it, and without calling heuristics.

        Args:
            waited: the ticks that the longest of them has waited.
        """
        if not self._some_are_late or not turn.rows:
            return False
        before, everyone = budget.spent_units, self._everyone
        everyone.is_urgent = waited >= self._patience
        everyone.is_limited = not everyone.is_urgent
        everyone.next_tick(LATE_SHARE * max(0.0, 1 - sum(line.used for line in self._shares)))
        if everyone.may("serve", budget):
            self._serve(everyone, turn, budget)
            budget.unneeded()
        everyone.is_urgent = False
        return budget.spent_units > before

    def run(self, turn: Turn, budget: Budget) -> None:
        """Serve as many as the budget allows; the next tick begins with the row after the last."""
        self._everyone.is_limited = False
        self.has_served_all = not turn.rows or self._serve(self._everyone, turn, budget)

    def _serve(self, line: _Line, turn: Turn, budget: Budget) -> bool:
        """Serve those of a line; whether all of them have a plan now."""
        agents, before = turn.agents, turn.rows + 1
        while True:
            is_whole, left = line.begin_round(turn.rows), 0
            while line.rows_left:
                if line.owes_heuristics and (not budget.spent_units or line.may("heuristic", budget)):
                    self._ask_heuristics(line, turn, budget, owed_only=True)
                    if not line.may("serve", budget):
                        return False
                last = min(turn.rows, line.next_row + line.rows_left)
                rows = self._rows[: self._size(budget)]
                found, row = list_needs(agents.need, agents.tier, *line.tiers, line.next_row, last, rows)
                line.step(row, turn.rows)
                if found:
                    left += self._serve_rows(line, rows[:found], turn, budget)
                    if not line.may("serve", budget):
                        return is_whole and not left and not line.rows_left
            if not left and is_whole:
                return True
            if left and is_whole and left >= before:  # there is no room in the cache for their situations
                return False
            if left and (line.is_urgent or not line.may("heuristic", budget)):
                return False
            if left and not (self._ask_heuristics(line, turn, budget) and line.may("serve", budget)):
                return False
            before = left if is_whole else before

    def _size(self, budget: Budget) -> int:
        return SERVE_ROWS if budget.is_counted else self._unit_rows[self._is_cold]

    def _serve_rows(
        self, line: _Line, rows: NDArray[np.int32], turn: Turn, budget: Budget
    ) -> int:
        """Serve a unit's rows; returns how many have no plan still, because their situation is unknown. It is noted."""
        scopes, agents = self._scopes, turn.agents
        # The style of its role is no answer to an order.
        patience = NEVER if line is self._orders else self._patience
        left, unknown, self._cache.wanted_count, made, evicted = serve(
            self._tables.packed(turn), rows, scopes.default_plan, scopes.style_plan, patience, self._ranks,
            self._cache.wanted, self._cache.wanted_count, line.noted, self._unknown[: MAX_UNMET - len(line.unmet)],
            turn.now_ms, turn.now_s, self._counters, self._life,
        )  # fmt: skip
        self._cache.inserted += made
        self._cache.evictions += evicted
        for row in self._unknown[:unknown].tolist():
            line.unmet[agents.scope.item(row), agents.key.item(row)] = None
        took = line.spend("serve", budget)
        line.unknown_share += (left / len(rows) - line.unknown_share) / 2
        if line.unmet and not line.is_urgent:
            # Where some were left over, agents come first: known situations first of all, then stopgaps.
            share = LEAST_SHARE if self._some_are_late else min(max(line.unknown_share, LEAST_SHARE), 1 - LEAST_SHARE)
            line.owed = min(line.owed + took * share / (1 - share), 1.0)
        if not budget.is_counted:
            self._fit_size(len(rows), budget.took_s)
        self._is_cold = False
        return int(left)

    def _fit_size(self, rows: int, took_s: float) -> None:
        """Let further units like this one take about ``UNIT_S``."""
        size, unit_s = self._unit_rows[self._is_cold], UNIT_S[self._is_cold]
        if took_s > unit_s:
            size = max(SERVE_ROWS, size * 3 // 4)
        elif rows == size and took_s < 0.7 * unit_s:
            size = min(MOST_ROWS, size * 5 // 4)
        self._unit_rows[self._is_cold] = size

    def _ask_heuristics(self, line: _Line, turn: Turn, budget: Budget, owed_only: bool = False) -> bool:
        """Fill the cache with the heuristics' plans for the situations noted. False if the budget ended first, or what
        is owed to heuristics."""
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
            took = line.spend("heuristic", budget)
            if line.owed >= 0:
                line.owed -= took
            if line.unmet and ((owed_only and line.owed < 0) or not line.may("heuristic", budget)):
                return False
        return True
