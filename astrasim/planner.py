"""The planner: arrivals, hand-outs, needs and requests, inside the tick's budget.

It never waits. Every agent has a plan before it runs (its role's default), takes the cached or the heuristic's plan for
its situation when it needs one, and the model's when that arrives and still fits.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .errors import ActionError
from .gateway import Answer, Failure
from .kernels.columns import COUNTERS, Agents, Things
from .kernels.planning import collect_needs, hand_out, serve
from .plans import Origin, PlanStore
from .requests import Request, RequestState
from .scopes import Scopes
from .statistics import RequestCounts, Window
from .vocabulary import Scope

if TYPE_CHECKING:
    from .compiled import Compiled
    from .settings import Settings

log = logging.getLogger("astrasim")

SERVE_ROWS = 256
HAND_OUT_ROWS = 16_384
MAX_NEEDS = 4096
MAX_BATCH = 64
GRACE_S = 1.0
"""The gateway keeps the deadline itself; the planner gives a request up when it hears nothing for so long after it."""
MAX_RAW = 512


class Asker(Protocol):
    """What the planner needs of a gateway."""

    def declare_scope(self, scope_id: int, scope: Scope) -> None: ...
    def ask(self, request_id: int, scope_id: int, key: int, deadline_s: float) -> bool: ...
    def cancel(self, request_id: int) -> None: ...
    def poll(self, max_messages: int = 64) -> list[Answer | Failure]: ...


class Planner:
    """Plans for the rows of one agent table. :meth:`run` is one tick's planning."""

    def __init__(self, compiled: Compiled, settings: Settings, gateway: Asker | None) -> None:
        self._compiled, self._settings = compiled, settings
        self.gateway = gateway
        self.plans = PlanStore(compiled.vocabulary)
        self.scopes = Scopes(compiled, self.plans)
        self.cache = PlanCache(settings.cache_entries)
        self.budget = Budget(settings.budget_ms, settings.budget_units)
        self.requests: dict[int, Request] = {}
        self.counters: NDArray[np.int64] = np.zeros(COUNTERS, np.int64)
        self.life: NDArray[np.float64] = np.zeros(1, np.float64)
        self.counts = RequestCounts()
        self.latency_ms = Window(4096)
        self.planning_ms = Window(4096)
        self.overruns = 0
        self.raw: dict[tuple[int, int], str] = {}
        """The last answers as the model gave them, by (scope, key), for ``sim.why``."""
        self._next_id = 1
        self._tokens = 1.0
        self._declared = 0
        self._needs: NDArray[np.int32] = np.zeros(MAX_NEEDS, np.int32)
        self._unknown: NDArray[np.int32] = np.zeros(SERVE_ROWS, np.int32)
        self._next_row = 0
        self._arrived: list[tuple[int, int]] = []
        self._batch_entry: NDArray[np.int32] = np.full(MAX_BATCH, -1, np.int32)
        self._batch_plan: NDArray[np.int32] = np.zeros(MAX_BATCH, np.int32)
        self._batch = 0
        self._cursor = 0

    def run(self, agents: Agents, things: Things, count: int, tick: int, now_s: float) -> None:
        """Plan for the first ``count`` rows.

        Args:
            tick: the number of this tick.
            now_s: the simulation's time, in seconds.
        """
        budget = self.budget
        budget.start()
        if budget.left():
            self._take_answers(tick, now_s)
            self._expire(now_s, tick)
            budget.spend()
        self._send(tick, now_s)
        self._hand_out(agents, things, count, now_s)
        self._serve(agents, things, count, tick, now_s)
        elapsed_ms = budget.elapsed_ms()
        self.planning_ms.add(elapsed_ms)
        self.overruns += elapsed_ms > budget.budget_ms

    # Answers

    def _take_answers(self, tick: int, now_s: float) -> None:
        if self.gateway is None:
            return
        for message in self.gateway.poll(MAX_BATCH):
            request = self.requests.pop(message.request_id, None)
            if request is None:
                self.counts.late += 1
                continue
            if isinstance(message, Failure):
                self._end(request, RequestState.REJECTED if message.rejected else RequestState.FAILED, tick)
                self.counts.reasons[message.reason] += 1
                log.debug("request %d: %s: %s", request.id, message.reason, message.detail)
                continue
            request.move(RequestState.ANSWERED)
            self.latency_ms.add((now_s - request.sent_s) * 1000)
            plan = self.plans.intern(message.steps, Origin.MODEL)
            self.cache.answered(request.entry, plan)
            self._arrived.append((request.entry, plan))
            self.raw[request.scope_id, request.key] = message.raw
            if len(self.raw) > MAX_RAW:
                del self.raw[next(iter(self.raw))]
            request.move(RequestState.STORED)
            self.counts.answered += 1

    def _expire(self, now_s: float, tick: int) -> None:
        for request in [r for r in self.requests.values() if now_s > r.deadline_s + GRACE_S]:
            del self.requests[request.id]
            if self.gateway is not None:
                self.gateway.cancel(request.id)
            self._end(request, RequestState.EXPIRED, tick)
            self.counts.reasons["expired"] += 1

    def _end(self, request: Request, state: RequestState, tick: int) -> None:
        request.move(state)
        self.cache.unanswered(request.entry, tick + int(self._settings.retry_after_s / self._settings.tick_s))
        if state is RequestState.REJECTED:
            self.counts.rejected += 1
        elif state is not RequestState.CANCELLED:
            self.counts.failed += 1

    # Requests

    def _send(self, tick: int, now_s: float) -> None:
        if self.gateway is None:
            return
        rate = self._settings.requests_per_second
        # At most a tenth of a second's requests at once, so that a pause is not followed by a burst.
        self._tokens = min(self._tokens + rate * self._settings.tick_s, max(1.0, rate / 10))
        while self._tokens >= 1 and len(self.requests) < self._settings.max_in_flight and self.budget.left():
            entry = self.cache.pick(tick, self._settings.tick_s)
            self.budget.spend()
            if entry < 0:
                return
            if not self._ask(entry, tick, now_s):
                return

    def _ask(self, entry: int, tick: int, now_s: float) -> bool:
        assert self.gateway is not None
        while self._declared < len(self.scopes):
            self.gateway.declare_scope(self._declared, self.scopes[self._declared])
            self._declared += 1
        entries, deadline_s = self.cache.entries, self._settings.deadline_s
        request = Request(
            self._next_id, int(entries.scope[entry]), int(entries.key[entry]), entry, int(entries.tier[entry]),
            int(entries.demand[entry]), now_s, now_s + deadline_s,
        )  # fmt: skip
        self._next_id += 1
        if not self.gateway.ask(request.id, request.scope_id, request.key, deadline_s):
            request.move(RequestState.CANCELLED)
            self.counts.refused += 1
            return False
        request.move(RequestState.SENT)
        self.requests[request.id] = request
        self.cache.sent(entry)
        self.counts.sent += 1
        self._tokens -= 1
        return True

    def reset_counts(self) -> None:
        """Begin all counts anew."""
        self.counters[:] = 0
        self.life[:] = 0
        self.counts = RequestCounts()
        self.latency_ms.clear()
        self.planning_ms.clear()
        self.overruns = 0

    def forget_requests(self, tick: int) -> None:
        """Cancel everything under way (the model was taken away)."""
        for request in self.requests.values():
            if self.gateway is not None:
                self.gateway.cancel(request.id)
            self._end(request, RequestState.CANCELLED, tick)
        self.requests.clear()

    # Plans to agents

    def _hand_out(self, agents: Agents, things: Things, count: int, now_s: float) -> None:
        entries, tables = self.cache.entries, self._compiled
        while (self._batch or self._arrived) and self.budget.left():
            if not self._batch:
                for entry, plan in self._arrived[:MAX_BATCH]:
                    self._batch_entry[self._batch], self._batch_plan[self._batch] = entry, plan
                    entries.arrival[entry] = self._batch
                    self._batch += 1
                del self._arrived[:MAX_BATCH]
                self._cursor = 0
            last = min(count, self._cursor + HAND_OUT_ROWS)
            hand_out(
                agents, things, tables.actions, tables.targets, self.plans.table, entries, self._cursor, last,
                self._batch_entry, self._batch_plan, now_s, self.counters, self.life,
            )  # fmt: skip
            self._cursor = last
            self.budget.spend()
            if last >= count:
                done = self._batch_entry[: self._batch]
                entries.arrival[done] = -1
                done[:] = -1
                self._batch = 0

    def hand_out_all(self, arrived: list[tuple[int, int]], agents: Agents, things: Things, count: int) -> None:
        """Hand out (entry, plan) pairs now, within this call's budget. For the warm-up."""
        self._arrived += arrived
        self.budget.start()
        self._hand_out(agents, things, count, 0.0)

    def rows_moved(self) -> None:
        """Rows moved: a hand-out under way begins again, which is harmless for those that have their plan."""
        self._cursor = 0

    def _serve(self, agents: Agents, things: Things, count: int, tick: int, now_s: float) -> None:
        if not self.budget.left() or not count:
            return
        found = collect_needs(agents.need, count, self._next_row % count, self._needs)
        for first in range(0, found, SERVE_ROWS):
            last = min(first + SERVE_ROWS, found)
            if not self.budget.left():
                self._next_row = int(self._needs[first])
                return
            unknown = self._serve_rows(agents, things, first, last, tick, now_s)
            self.budget.spend()
            if unknown and not self._ask_heuristics(agents, self._unknown[:unknown].tolist(), tick):
                self._next_row = int(self._needs[first])
                return
            if unknown:
                self._serve_rows(agents, things, first, last, tick, now_s)
                self.budget.spend()
        self._next_row = int(self._needs[found - 1]) + 1 if found else 0

    def _serve_rows(self, agents: Agents, things: Things, first: int, last: int, tick: int, now_s: float) -> int:
        tables = self._compiled
        unknown, self.cache.wanted_count = serve(
            agents, things, tables.actions, tables.targets, self.plans.table, self.cache.entries,
            self._needs, first, last, self.scopes.default_plan,
            self.cache.wanted, self.cache.wanted_count, self._unknown, tick, now_s, self.counters, self.life,
        )  # fmt: skip
        return int(unknown)

    def _ask_heuristics(self, agents: Agents, rows: list[int], tick: int) -> bool:
        """Fill the cache with the heuristics' plans for these rows; False if the budget ended first."""
        for row in rows:
            scope_id, key = agents.scope.item(row), agents.key.item(row)
            entry = self.cache.find(scope_id, key)
            if entry >= 0 and self.cache.entries.heuristic[entry] >= 0:
                continue
            if not self.budget.left():
                return False
            try:
                plan = self.scopes.heuristic_plan(scope_id, key)
            except ActionError as error:
                if self._settings.strict:
                    raise
                log.error("%s; the style of the role decides instead", error)
                plan = self.scopes.fallback_plan(scope_id)
            self.cache.put_heuristic(scope_id, key, plan, tick)
            self.budget.spend()
        return True
