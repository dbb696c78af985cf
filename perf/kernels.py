"""What each kernel costs in nanoseconds, beside the least that it could, and whether it has become slower.

    python -m astrasim.perf.kernels [--agents 20000] [--check]

The arena ticks, without a model; every kernel is timed where the tick calls it, and between ticks a reference loop.
``--check`` compares the kernels' times, divided by the loop's, with those recorded for this kind of processor.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import llvmlite.binding
import numpy as np
import typer
from numba import njit
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import Settings, Simulation
from astrasim.figures import machine, write_json
from astrasim.frames import quiet_gc
from astrasim.kernels.grid import lay_cells, room_to_sort, sort_rows
from astrasim.kernels.lanes import LANES, nearest_among
from astrasim.kernels.perceiving import perceive, write_percepts
from astrasim.kernels.sharing import nothing_taken

from .arena import build_arena

RECORDED = Path(__file__).with_name("kernel_ratios.json")
RECORDED_AGENTS = 4096
"""Few enough for the caches nearest to the core: how much of the others a neighbour takes is not a kernel's fault."""
WARM_UP_TICKS, TICKS = 120, 600
SLOWER = 1.6
"""Times the recorded ratio: what runs of the same code differ by on this machine is less."""
QUICKEST = 5
"""The percentile of a kernel's calls that is its time: the others met other programs."""


class Kernel(NamedTuple):
    """Where a kernel is called, and how many agents a call with these arguments is for."""

    module: str
    name: str
    agents: Callable[[tuple[Any, ...]], int]


def _all(arguments: tuple[Any, ...]) -> int:
    return next(int(a) for a in arguments if isinstance(a, int))


CALLED = {
    "perception, whole": Kernel("systems.perception", "look_alone", _all),
    "situations": Kernel("systems.situations", "situate", lambda a: len(a[7])),
    "find who needs a plan": Kernel("serving", "list_needs", lambda a: int(a[5] - a[4])),
    "serve (each one served)": Kernel("serving", "serve", lambda a: len(a[1])),
    "act": Kernel("systems.action", "act", lambda a: int(a[7])),
    "join events": Kernel("systems.action", "close_up", lambda a: int(a[1])),
    "events (each)": Kernel("systems.action", "apply_events", lambda a: int(a[4] - a[3])),
    "finish": Kernel("systems.action", "finish", lambda a: int(a[7])),
    "move": Kernel("movement", "integrate", lambda a: int(a[1])),
}
OF_LOOKING = ("grid: cells", "grid: sort", "look around", "write percepts")
REFERENCE = "reference: arithmetic of looking"


@njit(cache=True, error_model="numpy")
def _arithmetic(x: NDArray[np.float32], y: NDArray[np.float32], rows: NDArray[np.int32], agents: int) -> int:
    """Six times sixteen candidates for each agent, in two channels, always the same: what the arena's looking
    comes to where nothing has to be found, fetched or written."""
    count = 0
    for i in range(agents):
        for _ in range(2):
            more, key, row = nearest_among(
                x, y, rows, rows, 0, 3 * LANES, np.float32(i & 15), np.float32(0), np.float32(900), np.int32(3)
            )
            count += more + key + row
    return count


class Stopwatch:
    """Nanoseconds an agent, call by call."""

    def __init__(self) -> None:
        self.ns: dict[str, list[float]] = {}

    def time(self, name: str, agents: int, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter_ns()
        result = work()
        taken = time.perf_counter_ns() - begun
        if agents:
            self.ns.setdefault(name, []).append(taken / agents)
        return result

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Time the kernels wherever a tick calls them."""
        modules = {name: importlib.import_module(f"astrasim.{kernel.module}") for name, kernel in CALLED.items()}
        real = {name: getattr(modules[name], kernel.name) for name, kernel in CALLED.items()}

        def timed(name: str) -> Callable[..., Any]:
            agents, work = CALLED[name].agents, real[name]
            return lambda *arguments: self.time(name, agents(arguments), lambda: work(*arguments))

        try:
            for name, kernel in CALLED.items():
                setattr(modules[name], kernel.name, timed(name))
            yield
        finally:
            for name, kernel in CALLED.items():
                setattr(modules[name], kernel.name, real[name])


def measure(agents: int, ticks: int | None = None) -> dict[str, float]:
    """Nanoseconds an agent of each kernel and of the reference loop: the quick calls of so many ticks of the arena."""
    sim = build_arena(agents, Settings(model="none", capacity=agents, threads=1))
    watch, rng = Stopwatch(), np.random.default_rng(0)
    x, y = (rng.uniform(0, 30, 3 * LANES).astype(np.float32) for _ in range(2))
    rows = np.arange(3 * LANES, dtype=np.int32)
    with sim, quiet_gc():
        for _ in range(WARM_UP_TICKS):
            sim.tick()
        with watch.listening():
            for _ in range(ticks or TICKS):
                sim.tick()
                _time_looking(sim, watch)
                watch.time(REFERENCE, agents, lambda: _arithmetic(x, y, rows, agents))
    return {name: round(float(np.percentile(ns, QUICKEST)), 2) for name, ns in watch.ns.items()}


def _time_looking(sim: Simulation, watch: Stopwatch) -> None:
    """The four parts of looking, which a tick runs in one call."""
    agents, things, percepts = sim.agents, sim.things, sim.compiled.percepts
    n, f, kind, groups = agents.count, agents.f, agents.kind, int(percepts.group.max()) + 1
    turn = np.ones(n, np.uint8)
    cells, sort, look, write = OF_LOOKING
    laid = watch.time(cells, n, lambda: lay_cells(f, n, groups, float(percepts.radius[0]) * (1 + 1e-6) + 1e-9))
    row, (x, y) = np.empty(n + LANES, np.int32), np.empty((2, n + LANES), np.float32)
    seen, counts = room_to_sort(row, x, y, n, laid, groups, 1)
    watch.time(sort, n, lambda: sort_rows(f, kind, percepts.group, n, laid, seen, counts, nothing_taken(), 0))
    found = np.empty((n, percepts.width[0]), np.int32)
    done = nothing_taken()
    watch.time(
        look, n, lambda: perceive(kind, turn, laid, f, things.f, seen, percepts, 0, found, nothing_taken())
    )
    watch.time(write, n, lambda: write_percepts(f, agents.r, kind, turn, seen.place, found, percepts, 0, done))


def ratios(ns: dict[str, float]) -> dict[str, float]:
    """Each kernel's time as a multiple of the reference loop's, in the same run."""
    return {name: round(value / ns[REFERENCE], 3) for name, value in ns.items() if name != REFERENCE}


def slower(now: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """In words, which kernels take more than ``SLOWER`` times what was recorded."""
    return [
        f"{name}: {now[name]:.2f} times the reference loop, recorded {before:.2f}"
        for name, before in recorded.items()
        if name in now and now[name] > SLOWER * before
    ]


def processor() -> str:
    """The kind of processor as LLVM, which compiles the kernels for it, calls it."""
    return str(llvmlite.binding.get_host_cpu_name())


def show(ns: dict[str, float], agents: int, console: Console) -> None:
    table = Table(title=f"Kernels, {agents:,} agents of the arena, everybody looks in every tick")
    for heading in ("", "ns an agent", "times the reference"):
        table.add_column(heading, justify="right" if heading else "left")
    compared = ratios(ns)
    for name in (*OF_LOOKING, *CALLED):
        if name in ns:
            table.add_row(name, f"{ns[name]:.1f}", f"{compared[name]:.2f}")
    table.add_row(REFERENCE, f"{ns[REFERENCE]:.1f}", "1")
    console.print(table)
    floor = ns[REFERENCE] + ns[OF_LOOKING[1]]
    console.print(
        f"Looking takes {ns['perception, whole']:.1f} ns; its arithmetic alone and the sort {floor:.1f}. "
        f"(5th percentile of the calls of {TICKS} ticks; {machine()['processor']}, {processor()})"
    )


def main(
    agents: Annotated[int, typer.Option(min=256)] = 20_000,
    check: Annotated[bool, typer.Option("--check", help="Fail where a kernel is slower than recorded.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Record the ratios for this kind of processor.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """What each kernel costs, in nanoseconds an agent."""
    console = Console()
    if check or record:
        agents = RECORDED_AGENTS
    ns = measure(agents)
    show(ns, agents, console)
    if json_file is not None:
        figures = {"agents": agents, "ns": ns, "ratios": ratios(ns), "machine": machine(), "llvm": processor()}
        write_json(json_file, figures)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    if record:
        write_json(RECORDED, recorded | {processor(): ratios(ns)})
        console.print(f"recorded for {processor()} in {RECORDED}")
    elif check and processor() not in recorded:
        console.print(f"Nothing is recorded for {processor()}, so nothing was compared; --record does it.")
    elif check and (found := slower(ratios(ns), recorded[processor()])):
        console.print("Slower than recorded:", *found, sep="\n  ")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
