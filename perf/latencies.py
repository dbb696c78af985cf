"""How long a plan takes: the model's against the cache's and the heuristic's, and from an order to the first new step.

    python -m astrasim.perf.latencies [--quick] [--json FILE]

Arenas whose heuristic follows orders, with the stub (100 to 500 ms an answer) and with the embedded model, if it is
installed. While a crowd plays, single agents get orders in words never used before, each just after a tick, so that it
waits for a whole frame. Times of the model are by the clock on the wall; those of cache and heuristic are CPU time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import Agent, Simulation, Situation
from astrasim.budget import cpu_clock
from astrasim.figures import machine
from astrasim.frames import PERIOD_MS, run_frames
from astrasim.gateway import Answer
from astrasim.handing import Turn
from astrasim.kernels.columns import CACHE, HEURISTIC, LLM, NEED_END
from astrasim.model_choice import embedded_lacks
from astrasim.warmup import warm_up

from .apart import apart
from .arena import build_arena, common_sense
from .stress import WARM_UP_FRAMES, Run, open_model, wait_for_gateway

AGENTS = (100, 50_000)
ORDERS, QUICK_ORDERS = 200, 30
BETWEEN_FRAMES = {"stub": 6, "embedded": 90}
"""Frames from one order to the next."""
AFTER_FRAMES = {"stub": 90, "embedded": 240}
"""Frames in which the last answers may come."""
EMBEDDED_SHARE = 5
"""The embedded model takes a second for what the stub does in 0.3 s: it gets one order for so many."""
ROUNDS, ROWS = 20, 2048


def obedient(s: Situation) -> list[str]:
    """The arena's heuristic, which does what it is told first."""
    return ["hold flag", *common_sense(s)] if s.order else common_sense(s)


@dataclass
class Order:
    """One that was given: to whom, as which scope, after which tick, when, and whether the heuristic's plan runs."""

    agent: Agent
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

    def order(self, agent: Agent, text: str) -> None:
        """Give an order, now."""
        self._sim.order(agent, text)
        self.orders += 1
        self._open.append(Order(agent, int(self._sim.agents.scope[agent.row]), self._sim.ticks, time.perf_counter()))

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
        row, frames = order.agent.row, self._sim.ticks - order.tick
        entry = int(agents.entry[row])
        if entry < 0 or entries.scope[entry] != order.scope:
            return False
        if not order.obeyed:
            order.obeyed = True
            self.figures["rules frames"].append(frames)
        if agents.source[row] != LLM or order.scope not in self._latency_ms:
            return False
        self.figures["order to model ms"].append((now_s - order.at_s) * 1000)
        self.figures["frames beyond"].append(frames - self._latency_ms[order.scope] / PERIOD_MS)
        return True


def crowd(told: dict[str, Any]) -> dict[str, Any]:
    """The figures of one crowd and model, measured in this process. ``told``: agents, model, orders."""
    model, orders = told["model"], told["orders"]
    between, last = BETWEEN_FRAMES[model], orders * BETWEEN_FRAMES[model]
    with open_model(Run(told["agents"], model=model)) as settings:
        warm_up()
        with build_arena(told["agents"], settings, obedient) as sim:
            wait_for_gateway(sim, lambda _: None)
            run_frames(lambda _: sim.tick(), WARM_UP_FRAMES)
            sim.reset_stats()
            observer = Observer(sim)
            chosen = sim.rng.integers(0, sim.agents.count, orders).tolist()

            def frame(number: int) -> None:
                sim.tick()
                observer.look()
                if number < last and number % between == 0:
                    at = number // between
                    observer.order(sim.agents.handles[chosen[at]], f"stand at the flag until I count to {at}")

            run_frames(frame, last + AFTER_FRAMES[model])
            in_hand = sim.planner.latency_ms.percentiles()
            found = observer.figures
            return {
                "agents": told["agents"], "model": model,
                "model_ms": {
                    "waits for its turn": _spread(found["waits for its turn"]),
                    "request to plan in hand": {
                        "count": sim.planner.latency_ms.count,
                        **{name: round(getattr(in_hand, name), 1) for name in ("p50", "p95", "p99")},
                    },
                    "request to first step": _spread(found["first step"]),
                },
                "ticks": {name: _spread(found[f"{name} ticks"]) for name in ("cache", "heuristic")},
                "orders": {
                    "given": observer.orders, "rules_frames": _spread(found["rules frames"]),
                    "model_ms": _spread(found["order to model ms"]),
                    "frames_beyond_the_model": _spread(found["frames beyond"]),
                    "within_2_frames": sum(beyond <= 2 for beyond in found["frames beyond"]),
                },
                "us_an_agent": costs(sim),
            }  # fmt: skip


def costs(sim: Simulation) -> dict[str, float | None]:
    """CPU microseconds to give an agent a plan: the model's from the cache, the heuristic's where its situation is
    known, and where it is new (for each distinct situation then). None where nobody is in such a situation."""
    planner, agents = sim.planner, sim.agents
    sim.pace.budget_ms = 1000.0
    turn = Turn(sim.columns(), sim.thing_columns(), agents.count, sim.time)
    pairs = list(zip(agents.scope[: turn.rows].tolist(), agents.key[: turn.rows].tolist(), strict=True))
    entry = planner.cache.find_all(pairs)
    known = (entry >= 0) & (planner.cache.entries.heuristic[entry] >= 0)
    by_model = known & (planner.cache.entries.model[entry] >= 0)
    rows = {"cache": np.flatnonzero(by_model)[:ROWS], "heuristic": np.flatnonzero(known & ~by_model)[:ROWS]}

    def serve(rows: NDArray[np.intp]) -> float:
        agents.need[:] = 0
        agents.need[rows] = NEED_END
        planner.budget.start()
        begun_s = cpu_clock()
        planner.serving.run(turn, planner.plans, planner.budget)
        return (cpu_clock() - begun_s) * 1e6

    each: dict[str, float | None] = {
        name: float(np.median([serve(which) for _ in range(ROUNDS)])) / len(which) if len(which) else None
        for name, which in rows.items()
    }
    new = []
    for number in range(ROUNDS):
        some = np.arange(min(turn.rows, 200))
        for row in some.tolist():
            sim.order(cast("Agent", agents.handles[row]), f"begin anew, {number}")
        distinct = len({(agents.scope.item(row), agents.key.item(row)) for row in some.tolist()})
        new.append(serve(some) / distinct)
    each["heuristic, new"] = float(np.median(new))
    return {name: None if us is None else round(us, 2) for name, us in each.items()}


def _spread(values: list[float]) -> dict[str, float] | None:
    """None if there are none."""
    if not values:
        return None
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"count": len(values), **{
        name: round(float(value), 2) for name, value in (("p50", p50), ("p95", p95), ("p99", p99), ("max", max(values)))
    }}  # fmt: skip


def measure(orders: int, console: Console | None = None) -> dict[str, Any]:
    """All crowds with all models that there are, as one JSON-able object.

    Raises:
        RuntimeError: a crowd's process died.
    """
    crowds, missing = [], embedded_lacks()
    for model in ("stub",) if missing else ("stub", "embedded"):
        for agents in AGENTS:
            number = orders if model == "stub" else max(1, orders // EMBEDDED_SHARE)
            if console:
                console.print(f"{agents:,} agents, {model}: {number} orders")
            found = apart("astrasim.perf.latencies:crowd", {"agents": agents, "model": model, "orders": number})
            if found is None:
                raise RuntimeError(f"the process with {agents} agents and the model {model} died")
            crowds.append(found)
    return {"crowds": crowds, "embedded_missing": missing, "machine": machine()}


def _line(spread: dict[str, float] | None) -> list[str]:
    return [f"{spread[name]:g}" for name in ("p50", "p95", "p99", "count")] if spread else ["–"] * 3 + ["0"]


def show(figures: dict[str, Any], console: Console) -> None:
    """Print both tables."""
    plans = Table(title="From needing a plan to having it", box=None, padding=(0, 1, 0, 0))
    orders = Table(title="From an order to the first new step", box=None, padding=(0, 1, 0, 0))
    for table in (plans, orders):
        for name in ("agents", "model", "", "unit", "p50", "p95", "p99", "count"):
            table.add_column(name, justify="left" if name in ("model", "", "unit") else "right")
    for crowd in figures["crowds"]:
        who = (f"{crowd['agents']:,}", crowd["model"])
        for name, spread in crowd["model_ms"].items():
            plans.add_row(*who, f"model: {name}", "ms", *_line(spread))
        for name, spread in crowd["ticks"].items():
            plans.add_row(*who, f"{name}: need to plan", "ticks", *_line(spread))
        for name, us in crowd["us_an_agent"].items():
            per = "µs a situation" if name.endswith("new") else "µs an agent"
            plans.add_row(*who, f"{name}: what it costs", per, "–" if us is None else f"{us:g}", "", "", "")
        plans.add_section()
        told = crowd["orders"]
        orders.add_row(*who, "heuristic's step", "frames", *_line(told["rules_frames"]))
        orders.add_row(*who, "model's step", "ms", *_line(told["model_ms"]))
        orders.add_row(*who, "beyond the model's time", "frames", *_line(told["frames_beyond_the_model"]))
        seen = (told["frames_beyond_the_model"] or {"count": 0})["count"]
        orders.add_row(*who, f"within 2 frames: {told['within_2_frames']} of {seen}; {told['given']} given", "")
        orders.add_section()
    console.print(plans)
    console.print(orders)
    if figures["embedded_missing"]:
        console.print(f"Without the embedded model: {figures['embedded_missing']}")
    m = figures["machine"]
    console.print(f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m astrasim.perf.latencies", description="How long a plan takes, and an order."
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ORDERS} orders instead of {ORDERS}")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    console = Console()
    figures = measure(QUICK_ORDERS if arguments.quick else ORDERS, console)
    show(figures, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
