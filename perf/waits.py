"""How long agents wait for a plan, in steady play and when everybody needs one at once.

    python -m astrasim.perf.waits [--quick] [--agents N] [--json FILE]

Arenas in paced frames, with a stub of 100 answers a second in a process of its own: a large crowd with 2 ms of
planning, every 1 and every 4 ticks, and small crowds with small budgets. Each begins with everybody spawned at once;
then come steady play, everybody interrupted at once, an order to everybody, and 1% dying and spawning in every tick.

An agent *waits* from the first tick after whose planning it needs a plan still until the tick in which it gets one. A
processor between planning and action sees that, as a game's own would. The bound is in seconds of the simulation; the
clock on the wall, by which frames may be late, stands beside it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import esper
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import Agent, Simulation
from astrasim.figures import machine, write_json
from astrasim.frames import FPS, run_frames
from astrasim.membership import inside
from astrasim.warmup import warm_up

from .apart import apart
from .arena import TEAMS, build_arena
from .stress import Run, open_model, wait_for_gateway

RATE = 100.0
LATENCY_MS = (50.0, 250.0)
CHURN = 0.01
BOUND_S = 0.5
LARGE, LARGE_BUDGET_MS = 100_000, 2.0
SMALL = ((500, 0.25), (10_000, 1.0))
"""Agents, and with how small a budget in ms the bound holds for them."""
SECONDS = {"spawned": 2.0, "steady": 1.0, "interrupted": 2.0, "ordered": 2.0, "churn": 1.0}
BETWEEN = 25
"""The priority of a processor that runs after planning and before action."""


class Watch(esper.Processor):
    """Sees after each tick's planning who has no plan still; :meth:`figures` says how long they waited since
    :meth:`reset`."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._since: NDArray[np.int64] = np.zeros(1, np.int64)
        self.reset()
        with inside(sim.world):
            esper.add_processor(self, priority=BETWEEN)

    def reset(self) -> None:
        """Forget what was; whoever waits begins anew."""
        self._at_s: list[float] = []
        self._left: list[float] = []
        self._waiting: NDArray[np.int64] = np.zeros(0, np.int64)
        self._since = np.full(len(self._since), -1)
        self._ticks, self._wall_s = np.zeros_like(self._since), np.zeros(len(self._since))

    def process(self, dt: float | None = None) -> None:
        agents, tick = self._sim.agents, len(self._at_s)
        self._at_s.append(time.perf_counter())
        waiting = agents.uid[np.flatnonzero(agents.need[: agents.count])]
        self._left.append(len(waiting) / max(agents.count, 1))
        if more := max(int(waiting.max(initial=-1)) + 1 - len(self._since), 0):
            self._since = np.pad(self._since, (0, more), constant_values=-1)
            self._ticks, self._wall_s = np.pad(self._ticks, (0, more)), np.pad(self._wall_s, (0, more))
        # Whoever died waited until then.
        self._end(np.setdiff1d(self._waiting, waiting, assume_unique=True), tick)
        self._since[waiting[self._since[waiting] < 0]] = tick
        self._waiting = waiting

    def _end(self, agents: NDArray[np.int64], tick: int) -> None:
        since = self._since[agents]
        self._ticks[agents] = np.maximum(self._ticks[agents], tick - since)
        self._wall_s[agents] = np.maximum(self._wall_s[agents], self._at_s[tick] - np.array(self._at_s)[since])
        self._since[agents] = -1

    def figures(self) -> dict[str, Any]:
        """``wait_s``: of each agent's longest wait. Whoever waits still waited until now.

        Once only: it ends what is measured.
        """
        agents, tick_s = self._sim.agents, self._sim.settings.tick_s
        self._at_s.append(time.perf_counter())
        self._end(self._waiting, len(self._at_s) - 1)
        uids = agents.uid[: agents.count]
        # Those that came last, and never waited, have no place yet.
        waits_s = np.where(uids < len(self._ticks), self._ticks.take(uids, mode="clip") * tick_s, 0.0)
        p50, p95, p99 = np.percentile(waits_s, [50, 95, 99])
        return {
            "longest_s": round(float(self._ticks.max(initial=0)) * tick_s, 4),
            "longest_wall_s": round(float(self._wall_s.max(initial=0.0)), 4),
            "wait_s": {"p50": round(float(p50), 4), "p95": round(float(p95), 4), "p99": round(float(p99), 4)},
            "left_over": {"mean": round(float(np.mean(self._left)), 4), "max": round(max(self._left), 4)},
            "wait_still": len(self._waiting),
            "stopgaps": self._sim.stats().waiting.stopgaps,
        }


def _interrupt(sim: Simulation) -> None:
    """Whoever could fight is badly hurt, and the other way round: an interrupt feature of everybody changes."""
    sim.agents.hp[:] = np.where(sim.agents.hp < 30, 100, 20)


def _order(sim: Simulation) -> None:
    for agent in cast("list[Agent]", list(sim.agents.handles)):
        sim.order(agent, "everybody to the flag")


def _churn(sim: Simulation) -> None:
    """1% die, and as many are spawned."""
    number = max(1, int(sim.agents.count * CHURN))
    sim.remove(*(sim.agents.handles[row] for row in sim.rng.choice(sim.agents.count, number, replace=False).tolist()))
    width, _ = sim.domain.size or (0.0, 0.0)
    for team, share in zip(TEAMS, (number - number // 2, number // 2), strict=True):
        sim.spawn_many(team, share, x=sim.rng.uniform(0, width, share), y=sim.rng.uniform(0, width, share))


AT_ONCE: dict[str, Callable[[Simulation], None]] = {"interrupted": _interrupt, "ordered": _order}


def play(sim: Simulation, watch: Watch, event: str, seconds: float) -> dict[str, Any]:
    """The figures of one phase, which begins with its event."""
    sim.reset_stats()
    watch.reset()
    if event in AT_ONCE:
        AT_ONCE[event](sim)

    def work(_: int) -> None:
        if event == "churn":
            _churn(sim)
        sim.tick()

    times = run_frames(work, round(seconds * FPS))
    found = watch.figures()
    return found | {
        "event": event,
        "frames": len(times.work_ms),
        "missed": int(times.missed),
        "held": found["longest_s"] <= BOUND_S,
    }


def crowd(told: dict[str, Any]) -> dict[str, Any]:
    """The rows of some arenas, measured in this process. ``told``: ``arenas``, each [agents, every, budget_ms], and by
    which ``pace`` the phases' seconds are multiplied."""
    rows: list[dict[str, Any]] = []
    run = Run(1, rate=RATE, latency_ms=LATENCY_MS)
    with open_model(run) as opened:
        warm_up()
        for agents, every, budget_ms in told["arenas"]:
            settings = opened.model_copy(update={"every": every, "budget_ms": budget_ms, "capacity": agents})
            with build_arena(agents, settings) as sim:
                wait_for_gateway(sim, lambda _: None)
                watch = Watch(sim)
                for event, seconds in SECONDS.items():
                    found = play(sim, watch, event, seconds * told["pace"])
                    rows.append({"agents": agents, "every": every, "budget_ms": budget_ms} | found)
    return {"rows": rows}


def measure(agents: int, quick: bool, console: Console) -> dict[str, Any]:
    """All of it as one JSON-able object.

    Raises:
        RuntimeError: a process died.
    """
    begun, rows = time.monotonic(), []
    plans = [([agents, every, LARGE_BUDGET_MS] for every in ((4,) if quick else (1, 4))),
             ([small, 1, budget_ms] for small, budget_ms in SMALL)]
    for arenas in map(list, plans):
        console.print("; ".join(f"{a:,} agents, every {every}, {budget_ms:g} ms" for a, every, budget_ms in arenas))
        found = apart("astrasim.perf.waits:crowd", {"arenas": arenas, "pace": 0.6 if quick else 1.0})
        if found is None:
            raise RuntimeError("the process that measures died, for want of memory perhaps")
        rows += found["rows"]
    return {"rows": rows, "seconds": round(time.monotonic() - begun, 1), "machine": machine()}


def show(figures: dict[str, Any], console: Console) -> None:
    """Print a line for each arena and event."""
    table = Table(title=f"How long agents wait for a plan, with up to {RATE:g} answers a second", box=None,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in ("agents", "every", "ms", "event", "p50 s", "p99", "longest", "", "wall", "left", "most",
                 "stopgaps", "missed"):  # fmt: skip
        table.add_column(name, justify="left" if name == "event" else "right")
    for row in figures["rows"]:
        table.add_row(
            f"{row['agents']:,}", str(row["every"]), f"{row['budget_ms']:g}", row["event"],
            f"{row['wait_s']['p50']:.2f}", f"{row['wait_s']['p99']:.2f}", f"{row['longest_s']:.2f}",
            "[green]held[/]" if row["held"] else "[red]OVER[/]", f"{row['longest_wall_s']:.2f}",
            f"{row['left_over']['mean']:.1%}", f"{row['left_over']['max']:.0%}", f"{row['stopgaps']:,}",
            f"{row['missed']}/{row['frames']}", end_section=row["event"] == "churn",
        )  # fmt: skip
    console.print(table)
    console.print(
        "p50, p99: over agents, of each one's longest wait. wall: the longest by the clock on the wall. left, most: "
        "agents that wait after a tick, mean and most. missed: frames."
    )
    held, m = sum(row["held"] for row in figures["rows"]), figures["machine"]
    console.print(
        f"the bound of {BOUND_S:g} s held in {held} of {len(figures['rows'])}, in {figures['seconds']:.0f} s",
        style="bold",
    )
    console.print(f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.waits", description="How long agents wait.")
    parser.add_argument("--quick", action="store_true", help="in half a minute, with shorter phases")
    parser.add_argument("--agents", type=int, default=LARGE, help=f"in the large crowd; default: {LARGE:,}")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.agents < 1:
        parser.error("give at least one agent")
    console = Console()
    figures = measure(arguments.agents, arguments.quick, console)
    show(figures, console)
    if arguments.json:
        write_json(arguments.json, figures)
    if not all(row["held"] for row in figures["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
