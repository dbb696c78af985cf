"""An observer of an arena: how long agents wait for plans, and what becomes of the orders that it gives."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrasim import Agent, Simulation
from astrasim.frames import PERIOD_MS
from astrasim.gateway import Answer
from astrasim.kernels.columns import CACHE, HEURISTIC, LLM

MOMENTS = ("just after a tick", "at a random moment")


@dataclass
class Order:
    """One that was given: to whom, at which of ``MOMENTS``, as which scope, after which tick, when, and whether the
    heuristic's plan runs."""

    agent: Agent
    moment: str
    scope: int
    tick: int
    at_s: float
    obeyed: bool = False


class Observer:
    """Looks at a simulation after each tick: who was served after how long, and what became of orders."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._waits: NDArray[np.int32] = np.zeros(sim.agents.count, np.int32)
        self._asked_s: dict[int, float] = {}
        self._seen_id = 0
        self._open: list[Order] = []
        self._latency_ms: dict[int, float] = {}
        self._scope_of: dict[int, int] = {}
        self.orders = 0
        self.figures: dict[str, list[float]] = defaultdict(list)
        gateway: Any = sim.planner.gateway
        self._read, self._ask = gateway.read, gateway.ask
        gateway.read, gateway.ask = self._watched_read, self._watched_ask

    def _watched_ask(self, request_id: int, scope_id: int, *rest: Any) -> bool:
        self._scope_of[request_id] = scope_id
        return bool(self._ask(request_id, scope_id, *rest))

    def _watched_read(self, *arguments: Any) -> Any:
        results = self._read(*arguments)
        for result in results:
            scope = self._scope_of.pop(result.request_id, -1)
            if isinstance(result, Answer):
                self._latency_ms[scope] = result.latency_ms
        return results

    def order(self, agent: Agent, text: str, moment: str = MOMENTS[0]) -> None:
        """Give an order, now."""
        now_s = time.perf_counter()
        self._sim.order(agent, text)
        self.orders += 1
        self._open.append(Order(agent, moment, int(self._sim.agents.scope[agent.row]), self._sim.ticks, now_s))

    def look(self) -> None:
        """Call after each tick."""
        sim, planner, agents = self._sim, self._sim.planner, self._sim.agents
        now_s, entries, n = time.perf_counter(), planner.cache.entries, agents.count
        for request in reversed(planner.requests.values()):
            if request.id <= self._seen_id:
                break
            self._asked_s[request.entry] = request.asked_at
            waited_ms = sim.time * 1000 - entries.wanted_since.item(request.entry)
            self.figures["waits for its turn"].append(waited_ms)
        self._seen_id = max(self._seen_id, *planner.requests, 0)
        begun = np.flatnonzero((agents.source[:n] == LLM) & (agents.plan_start[:n] == sim.time))
        for entry in set(agents.entry[begun].tolist()) & self._asked_s.keys():
            self.figures["first step"].append((now_s - self._asked_s.pop(entry)) * 1000)
        needs = agents.need[:n] > 0
        served = (self._waits > 0) & ~needs
        for name, source in (("cache", CACHE), ("heuristic", HEURISTIC)):
            self.figures[f"{name} ticks"] += self._waits[served & (agents.source[:n] == source)].tolist()
        self._waits = np.where(needs, self._waits + 1, 0).astype(np.int32)
        self._open = [order for order in self._open if not self._settled(order, now_s)]

    def _settled(self, order: Order, now_s: float) -> bool:
        """Whether the model's plan for an order runs: then all is known of it."""
        agents, entries = self._sim.agents, self._sim.planner.cache.entries
        row = order.agent.row
        entry = int(agents.entry[row])
        if entry < 0 or entries.scope[entry] != order.scope:
            return False
        if not order.obeyed:
            order.obeyed = True
            self.figures["rules frames"].append(self._sim.ticks - order.tick)
        if agents.source[row] != LLM or order.scope not in self._latency_ms:
            return False
        took_ms = (now_s - order.at_s) * 1000
        self.figures["order to model ms"].append(took_ms)
        self.figures["model's own ms"].append(self._latency_ms[order.scope])
        self.figures[order.moment].append((took_ms - self._latency_ms[order.scope]) / PERIOD_MS)
        return True
