"""Whether planning keeps its budget: five budgets, three sizes of crowd, and a model with 100 answers a second.

    python -m astrasim.perf.budgets [--quick] [--json FILE]

It takes about seven minutes, with --quick one to two, and up to a minute more where kernels are compiled first.

Each crowd has a process of its own, in which the budgets take turns, so that what the machine does meanwhile meets all
of them. Planning is timed from outside: the CPU time of its thread, the clock on the wall, and how often the system
took the processor away from it. The budget is kept if the p99 of its CPU time is at most the budget and one unit of
work, which is 0.1 ms. What is done between two looks at the clock is a *piece*; pieces are timed in ticks of their own.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import esper
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import Simulation
from astrasim.budget import Budget, cpu_clock
from astrasim.figures import machine, write_json
from astrasim.frames import PERIOD_S, run_frames
from astrasim.membership import inside
from astrasim.systems import Planning
from astrasim.warmup import warm_up

from .apart import apart
from .arena import build_arena
from .stress import WARM_UP_FRAMES, Run, open_model, wait_for_gateway

BUDGETS_MS = (0.25, 0.5, 1.0, 2.0, 4.0)
AGENTS = (1_000, 10_000, 100_000)
RATE = 100.0
LATENCY_MS = (50.0, 250.0)
"""So quick that the places for requests are not what limits them."""
UNIT_MS = 0.1
ROUNDS = 9
PIECES_TICKS, TICKS, QUICK_TICKS = 30, 120, 90
"""Of a budget's turn: first those in which pieces are timed, then those that count."""


class Tick(NamedTuple):
    """One tick's planning. ``preempted``: how often it lost the processor; ``left_over``: agents without a plan yet."""

    cpu_ms: float
    wall_ms: float
    preempted: int
    left_over: int


class Watch:
    """Times the planning of one simulation from outside. ``pieces`` is the longest piece of each kind, ms of CPU."""

    def __init__(self, sim: Simulation) -> None:
        self._sim, self._budget = sim, sim.planner.budget
        self.ticks: list[Tick] = []
        self.pieces: dict[str, float] = {}
        self._kind, self._begun_s = "", 0.0
        with inside(sim.world):
            planning = esper.get_processor(Planning)
        assert planning is not None
        self._process = planning.process
        planning.process = self._timed  # type: ignore[method-assign]  # of this one object

    def time_pieces(self, on: bool) -> None:
        """From now on, or no more: it takes time of its own."""
        budget: Any = self._budget
        if on:
            budget.start, budget.left = self._start, self._left
        else:
            del budget.start, budget.left
        self._kind = ""

    def _timed(self, *arguments: Any) -> None:
        before, cpu_s, begun_s = preemptions(), cpu_clock(), time.perf_counter()
        self._process(*arguments)
        wall_s, used_s, after = time.perf_counter() - begun_s, cpu_clock() - cpu_s, preemptions()
        if self._kind:
            self._end_piece("")
        agents = self._sim.agents
        waiting = int(np.count_nonzero(agents.need[: agents.count]))
        self.ticks.append(Tick(used_s * 1000, wall_s * 1000, after - before, waiting))

    def _start(self) -> None:
        Budget.start(self._budget)
        self._kind, self._begun_s = "start", cpu_clock()

    def _left(self, kind: str = "") -> bool:
        left = Budget.left(self._budget, kind)
        self._end_piece(kind if left else "end")
        return left

    def _end_piece(self, kind: str) -> None:
        now_s = cpu_clock()
        took_ms = (now_s - self._begun_s) * 1000
        self.pieces[self._kind] = max(self.pieces.get(self._kind, 0.0), took_ms)
        self._kind, self._begun_s = kind, now_s


try:
    import resource

    _THREAD: int = resource.RUSAGE_THREAD

    def preemptions() -> int:
        """How often the system took the processor from this thread so far; 0 where it does not say (not Linux)."""
        return resource.getrusage(_THREAD).ru_nivcsw

    HAS_PREEMPTIONS = True
except (ImportError, AttributeError):  # Windows, macOS

    def preemptions() -> int:
        return 0

    HAS_PREEMPTIONS = False


def crowd(told: dict[str, Any]) -> dict[str, Any]:
    """The rows of one crowd, measured in this process; ``told``: its agents, rounds, and ticks that count in a turn."""
    agents, rounds, counted = told["agents"], told["rounds"], told["ticks"]
    run = Run(agents, rate=RATE, latency_ms=LATENCY_MS)
    with open_model(run) as settings:
        warm_up()
        with build_arena(agents, settings) as sim:
            wait_for_gateway(sim, lambda _: None)
            watch = Watch(sim)
            run_frames(lambda _: sim.tick(), WARM_UP_FRAMES)
            ticks: dict[float, list[Tick]] = {budget_ms: [] for budget_ms in BUDGETS_MS}
            pieces: dict[float, dict[str, float]] = {budget_ms: {} for budget_ms in BUDGETS_MS}
            answered, seconds = dict.fromkeys(BUDGETS_MS, 0), dict.fromkeys(BUDGETS_MS, 0.0)
            for lap in range(rounds):
                for budget_ms in BUDGETS_MS if lap % 2 else reversed(BUDGETS_MS):
                    sim.pace.budget_ms = budget_ms
                    watch.pieces = pieces[budget_ms]
                    watch.time_pieces(True)
                    run_frames(lambda _: sim.tick(), PIECES_TICKS)
                    watch.time_pieces(False)
                    watch.ticks = ticks[budget_ms]
                    before = sim.planner.counts.answered
                    seconds[budget_ms] += run_frames(lambda _: sim.tick(), counted).seconds
                    answered[budget_ms] += sim.planner.counts.answered - before
                    watch.ticks = []
            rows = [
                row(budget_ms, ticks[budget_ms], pieces[budget_ms])
                | {"answers_per_second": round(answered[budget_ms] / seconds[budget_ms], 1)}
                for budget_ms in BUDGETS_MS
            ]
    return {"agents": agents, "rows": rows}


def row(budget_ms: float, ticks: list[Tick], pieces: dict[str, float]) -> dict[str, Any]:
    """The figures of one budget. ``overshoot_ms`` is what planning took beyond it by the clock on the wall."""
    cpu, wall, preempted, left_over = (np.array(column, np.float64) for column in zip(*ticks, strict=True))
    beyond = np.maximum(wall - budget_ms, 0.0)
    return {
        "budget_ms": budget_ms,
        "ticks": len(ticks),
        "cpu_ms": _percentiles(cpu),
        "kept": bool(np.percentile(cpu, 99) <= budget_ms + UNIT_MS),
        "overshoot_ms": _percentiles(beyond),
        "overruns": int((beyond > 0).sum()),
        "preempted_ticks": int((preempted > 0).sum()) if HAS_PREEMPTIONS else None,
        "overruns_preempted": int(((beyond > UNIT_MS) & (preempted > 0)).sum()) if HAS_PREEMPTIONS else None,
        "used": round(float(cpu.mean()) / budget_ms, 3),
        "left_over": {"mean": round(float(left_over.mean()), 1), "max": int(left_over.max())},
        "longest_pieces_ms": {
            kind: round(ms, 4) for kind, ms in sorted(pieces.items(), key=lambda piece: -piece[1])
        },
    }


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "max": round(float(values.max()), 4)}


def show(figures: dict[str, Any], console: Console) -> None:
    """Print a line for each budget and crowd."""
    table = Table(title=f"Planning with up to {RATE:g} answers a second", box=None, padding=(0, 1, 0, 0))
    for name in ("agents", "ms", "CPU p50", "p99", "max", "", "used", "left", "ans/s", "wall p99", "max", "over",
                 "preempt"):  # fmt: skip
        table.add_column(name, justify="right")
    for crowd in figures["crowds"]:
        for each in crowd["rows"]:
            cpu, beyond, preempted = each["cpu_ms"], each["overshoot_ms"], each["preempted_ticks"]
            table.add_row(
                f"{crowd['agents']:,}", f"{each['budget_ms']:g}", *(f"{cpu[name]:.2f}" for name in cpu),
                "[green]kept[/]" if each["kept"] else "[red]OVER[/]", f"{each['used']:.0%}",
                f"{each['left_over']['mean']:.0f}", f"{each['answers_per_second']:.0f}",
                f"{beyond['p99']:.2f}", f"{beyond['max']:.2f}", f"{each['overruns']}",
                "n/a" if preempted is None else f"{preempted}",
            )  # fmt: skip
        table.add_section()
    console.print(table)
    console.print(
        "ms: the budget. left: agents that wait for a plan after a tick. wall: beyond the budget, by the clock on the"
        " wall. over, preempt: ticks that went beyond it, and in which the system took the processor away."
    )
    for crowd in figures["crowds"]:
        longest: dict[str, float] = {}
        for each in crowd["rows"]:
            for kind, ms in each["longest_pieces_ms"].items():
                longest[kind] = max(ms, longest.get(kind, 0.0))
        first = sorted(longest.items(), key=lambda piece: -piece[1])[:5]
        said = ", ".join(f"{kind} {ms:.2f}" for kind, ms in first)
        console.print(f"{crowd['agents']:,} agents: longest pieces, ms of CPU: {said}")
    rows = [each for crowd in figures["crowds"] for each in crowd["rows"]]
    kept = sum(each["kept"] for each in rows)
    console.print(
        f"{kept} of {len(rows)} keep their budget: p99 of CPU time at most {UNIT_MS:g} ms beyond it, over "
        f"{rows[0]['ticks']} ticks each, in {figures['seconds']:.0f} s", style="bold",
    )  # fmt: skip
    m = figures["machine"]
    console.print(f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}")


def measure(rounds: int, counted: int, console: Console) -> dict[str, Any]:
    """All crowds, one after the other, as one JSON-able object.

    Raises:
        RuntimeError: a crowd's process died.
    """
    begun, crowds = time.monotonic(), []
    ticks = rounds * len(BUDGETS_MS) * (PIECES_TICKS + counted)
    for number in AGENTS:
        console.print(f"{number:,} agents: {ticks} ticks, at least {ticks * PERIOD_S:.0f} s")
        found = apart("astrasim.perf.budgets:crowd", {"agents": number, "rounds": rounds, "ticks": counted})
        if found is None:
            raise RuntimeError(f"the process with {number} agents died, for want of memory perhaps")
        crowds.append(found)
    return {"crowds": crowds, "seconds": round(time.monotonic() - begun, 1), "machine": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m astrasim.perf.budgets", description="Whether planning keeps its budget."
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TICKS} ticks a budget, not {ROUNDS * TICKS}")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    console = Console()
    rounds, counted = (1, QUICK_TICKS) if arguments.quick else (ROUNDS, TICKS)
    figures = measure(rounds, counted, console)
    show(figures, console)
    if arguments.json:
        write_json(arguments.json, figures)
    if not all(each["kept"] for found in figures["crowds"] for each in found["rows"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
