"""How long a plan takes: the model's against the cache's and the heuristic's, and from an order to the first new step.

    python -m astrasim.perf.latencies [--quick] [--json FILE]

Arenas whose heuristic follows orders, with the stub (100 to 500 ms an answer) and with the embedded model, if it is
installed. While a crowd plays and keeps the model busy, single agents get orders in words never used before, by turns
just after a tick, which is the worst moment, and at a random moment before the next, as a person types.

For the heuristic's step, the ticks are counted from the order on. For the model's, the time counts, by the clock on the
wall, from the order to the end of the tick in which its step begins, less the model's own time (from when it began with
the request to its answer), in frames of 16.7 ms. So what is left is all that the order waited for: the tick, the
gateway, the way there and back, and what the model had in hand. The status is 1 if a heuristic's step took more than a
tick, or a model's more than 2 frames beyond its time. What cache and heuristic cost is CPU time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import Agent, Simulation, Situation
from astrasim.budget import cpu_clock
from astrasim.figures import machine, write_json
from astrasim.frames import Frame, run_frames, wait_until
from astrasim.handing import Turn
from astrasim.kernels.columns import NEED_END
from astrasim.model_choice import embedded_lacks
from astrasim.warmup import warm_up

from .apart import apart
from .arena import build_arena, common_sense
from .order_times import MOMENTS, Observer
from .stress import WARM_UP_FRAMES, Run, open_model, wait_for_gateway

AGENTS = (100, 50_000)
ORDERS, QUICK_ORDERS = 200, 30
BETWEEN_FRAMES = {"stub": 6, "embedded": 90}
"""Frames from one order to the next."""
AFTER_FRAMES = {"stub": 90, "embedded": 240}
"""Frames in which the last answers may come."""
EMBEDDED_SHARE = 3
"""The embedded model takes a second for what the stub does in 0.3 s: it gets one order for so many."""
ROUNDS, ROWS = 20, 2048
SHOWN = ("p50", "p95", "p99", "max", "count")
MOST_FRAMES = {"rules": 1, "model": 2}


def obedient(s: Situation) -> list[str]:
    """The arena's heuristic, which does what it is told first."""
    return ["hold flag", *common_sense(s)] if s.order else common_sense(s)


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

            frames = 0

            def frame(number: int) -> None:
                nonlocal frames
                frames = number
                sim.tick()
                observer.look()

            def after(done: Frame) -> None:
                at = frames // between
                if frames >= last or frames % between:
                    return
                if moment := at % 2:
                    wait_until(time.perf_counter() + done.spare_s * sim.rng.random())
                agent = cast("Agent", sim.agents.handles[chosen[at]])
                observer.order(agent, f"stand at the flag until I count to {at}", MOMENTS[moment])

            run_frames(frame, last + AFTER_FRAMES[model], after)
            in_hand = sim.planner.latency_ms.percentiles()
            found = observer.figures
            return {
                "agents": told["agents"], "model": model,
                "model_ms": {
                    "waits for its turn": _spread(found["waits for its turn"]),
                    "request to plan in hand": {
                        "count": sim.planner.latency_ms.count,
                        **{name: round(getattr(in_hand, name), 1) for name in ("p50", "p95", "p99", "max")},
                    },
                    "request to first step": _spread(found["first step"]),
                },
                "ticks": {name: _spread(found[f"{name} ticks"]) for name in ("cache", "heuristic")},
                "orders": {
                    "given": observer.orders, "rules_frames": _spread(found["rules frames"]),
                    "model_ms": _spread(found["order to model ms"]),
                    "models_own_ms": _spread(found["model's own ms"]),
                    "frames_beyond_the_model": {moment: _spread(found[moment]) for moment in MOMENTS},
                    "in_time": {
                        "rules": _in_time(found["rules frames"], "rules"),
                        **{moment: _in_time(found[moment], "model") for moment in MOMENTS},
                    },
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
        planner.serving.run(turn, planner.budget)
        return (cpu_clock() - begun_s) * 1e6

    each: dict[str, float | None] = {
        name: float(np.median([serve(which) for _ in range(ROUNDS)])) / len(which) if len(which) else None
        for name, which in rows.items()
    }
    new = []
    for number in range(ROUNDS):
        some = np.arange(min(turn.rows, 200))
        sim.pace.budget_ms = 0.0  # or the order would be seen to at once
        for row in some.tolist():
            sim.order(cast("Agent", agents.handles[row]), f"begin anew, {number}")
        sim.pace.budget_ms = 1000.0
        distinct = len({(agents.scope.item(row), agents.key.item(row)) for row in some.tolist()})
        new.append(serve(some) / distinct)
    each["heuristic, new"] = float(np.median(new))
    return {name: None if us is None else round(us, 2) for name, us in each.items()}


def _in_time(frames: list[float], kind: str) -> list[int]:
    """How many were, of how many."""
    return [sum(each <= MOST_FRAMES[kind] for each in frames), len(frames)]


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
    return [f"{spread[name]:g}" for name in SHOWN] if spread else ["–"] * (len(SHOWN) - 1) + ["0"]


def show(figures: dict[str, Any], console: Console) -> None:
    """Print both tables."""
    plans = Table(title="From needing a plan to having it", box=None, padding=(0, 1, 0, 0))
    orders = Table(title="From an order to the first new step", box=None, padding=(0, 1, 0, 0))
    for table in (plans, orders):
        for name in ("agents", "model", "", "unit", *SHOWN):
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
        orders.add_row(*who, "the model's own time", "ms", *_line(told["models_own_ms"]))
        for moment, spread in told["frames_beyond_the_model"].items():
            orders.add_row(*who, f"less that, {moment}", "frames", *_line(spread))
        orders.add_section()
    console.print(plans)
    console.print(orders)
    for crowd in figures["crowds"]:
        told = crowd["orders"]
        (rules, seen), *models = told["in_time"].values()
        of_model = ", ".join(f"{inside} of {of} {moment}" for moment, (inside, of) in zip(MOMENTS, models, strict=True))
        console.print(
            f"{crowd['agents']:,} agents, {crowd['model']}, {told['given']} orders: the heuristic's step within a tick "
            f"in {rules} of {seen}; the model's within 2 frames beyond its own time in {of_model}"
        )
    if figures["embedded_missing"]:
        console.print(f"Without the embedded model: {figures['embedded_missing']}")
    m = figures["machine"]
    console.print(f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}")


def all_in_time(figures: dict[str, Any]) -> bool:
    """Whether every step that came did so within ``MOST_FRAMES``."""
    return all(inside == of for crowd in figures["crowds"] for inside, of in crowd["orders"]["in_time"].values())


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
        write_json(arguments.json, figures)
    sys.exit(not all_in_time(figures))


if __name__ == "__main__":
    main()
