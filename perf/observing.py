"""What it costs to observe a game: windows, a trace that follows 8 agents, and a dashboard.

    python -m astrasim.perf.observing [--agents N ...] [--rate R] [--seconds S] [--json FILE]

One arena with the stub at 100 requests a second at most (``--rate``), paced at 60 Hz. Everything is on in one frame and
off in the next, or the other way round, so that both meet the same game on the same machine; each such pair gives a
difference. What the dashboard takes between frames is timed by itself, and so is the thread that writes the trace: it
has the interpreter's lock meanwhile, so the game may have to wait for it. All times are CPU time of these threads: what
other programs on the machine do does not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from astrasim import Dashboard, Simulation, Trace
from astrasim.budget import cpu_clock
from astrasim.figures import machine, write_json
from astrasim.frames import FPS, PERIOD_MS, Frame, run_frames
from astrasim.statistics import Window
from astrasim.warmup import warm_up

from .stress import WARM_UP_FRAMES, Run, open_model, wait_for_gateway
from .workloads import build

AGENTS = (10_000, 50_000)
TRIMMED = 0.1
RESAMPLES = 1000


class _Blind(Window):
    """Stands in for a window while nothing is observed."""

    def add(self, value: float) -> None: ...


@contextmanager
def _blind(sim: Simulation) -> Iterator[None]:
    """Without windows and observers: not taken off, which would make the trace forget whom it follows."""
    planner, observation = sim.planner, sim.observation
    kept = sim.tick_ms, planner.planning_ms, planner.planning_cpu_ms, planner.latency_ms
    observers, observation._observers = observation._observers, []
    planner.listen(False)
    observation._stop_timing()
    sim.tick_ms = planner.planning_ms = planner.planning_cpu_ms = planner.arrivals.latency_ms = _Blind(1)
    try:
        yield
    finally:
        sim.tick_ms, planner.planning_ms, planner.planning_cpu_ms, planner.arrivals.latency_ms = kept
        observation._observers = observers
        planner.listen(True)
        observation._time_processors()


def _tick_ms(sim: Simulation) -> float:
    begun_s = cpu_clock()
    sim.tick()
    return (cpu_clock() - begun_s) * 1000


def measure(agents: int, seconds: float, rate: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Shares of the frame (16.67 ms) that observing takes, each with a 95% interval."""
    run = Run(agents, rate=rate)
    with open_model(run) as settings, tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        warm_up()
        tell(f"{agents:,} agents: starting")
        with build(run.workload, agents, settings) as sim:
            wait_for_gateway(sim, tell)
            run_frames(lambda _: sim.tick(), WARM_UP_FRAMES)
            tell(f"{agents:,} agents: {seconds:g} s")
            # It draws as for a terminal; what the terminal then makes of it costs another process.
            console = Console(file=nowhere, force_terminal=True, width=120, height=40)
            sim.observe(Trace(Path(folder) / "trace.json"))
            with Dashboard(sim, console) as dashboard:
                before_s = _writer_s()
                on_ms, off_ms, between_ms = _alternate(sim, dashboard, round(seconds * FPS / 2))
                writing = round((_writer_s() - before_s) * 1000 / len(on_ms) / PERIOD_MS, 5)
            answered = sim.stats().requests.answered
    in_frames, between = _share(on_ms - off_ms), _share(between_ms)
    return {
        "agents": agents, "frames": 2 * len(on_ms), "rate": rate, "answered": answered,
        "tick_ms": round(float(np.median(off_ms)), 3), "in_frames": in_frames, "between_frames": between,
        "in_writer": writing,
        "share": {name: round(in_frames[name] + between[name] + writing, 5) for name in in_frames},
    }  # fmt: skip


def _writer_s() -> float:
    """CPU time of the thread that writes the trace; 0.0 where the system does not tell."""
    writers = [thread.ident for thread in threading.enumerate() if thread.name == "astrasim-trace"]
    if not writers or writers[0] is None or not hasattr(time, "pthread_getcpuclockid"):
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(writers[0]))


def _alternate(
    sim: Simulation, dashboard: Dashboard, pairs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Milliseconds of each observed tick, of the one beside it, and between the frames of each pair; (pairs,) each."""
    observed, off_ms, between_ms = np.zeros(pairs), np.zeros(pairs), np.zeros(pairs)
    on_first = np.random.default_rng(0).random(pairs) < 0.5

    def work(frame: int) -> None:
        pair = frame // 2
        if on_first[pair] == (frame % 2 == 0):
            observed[pair] = _tick_ms(sim)
        else:
            with _blind(sim):
                off_ms[pair] = _tick_ms(sim)
        now[0] = pair

    def after(frame: Frame) -> None:
        begun_s = cpu_clock()
        dashboard.frame(frame)
        between_ms[now[0]] += (cpu_clock() - begun_s) * 1000 / 2  # a frame, of two

    now = [0]
    run_frames(work, 2 * pairs, after)
    return observed, off_ms, between_ms


def _share(ms: NDArray[np.float64]) -> dict[str, float]:
    """The mean as a share of the frame, bootstrapped. Of differences the tenth at either end is left out: a tick in
    which the planner had more to do than in the one beside it says nothing of observing."""
    kept = np.sort(ms)[round(TRIMMED * len(ms)) : len(ms) - round(TRIMMED * len(ms))] if (ms < 0).any() else ms
    means = np.random.default_rng(0).choice(kept, (RESAMPLES, len(kept))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        name: round(float(value) / PERIOD_MS, 5)
        for name, value in (("mean", kept.mean()), ("low", low), ("high", high))
    }


def line(figures: dict[str, Any]) -> str:
    """The figures of one number of agents, in words."""
    share, inside, between = (
        f"{part['mean']:.2%} ({part['low']:.2%} to {part['high']:.2%})"
        for part in (figures["share"], figures["in_frames"], figures["between_frames"])
    )
    return (
        f"{figures['agents']:,} agents: observing takes {share} of the frame: {inside} in ticks of "
        f"{figures['tick_ms']:g} ms, {between} between them, {figures['in_writer']:.2%} in the thread that writes the "
        f"trace; {figures['frames']} frames, {figures['answered']} answers"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, nargs="+", default=list(AGENTS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of frames for each (default: 60)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second, at most")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if options.seconds < 1 or min(options.agents) < 1:
        parser.error("--seconds and --agents must be at least 1")
    console, told = Console(), Console(stderr=True)
    runs = []
    for agents in options.agents:
        runs.append(measure(agents, options.seconds, options.rate, lambda text: told.print(text, highlight=False)))
        console.print(line(runs[-1]), highlight=False, soft_wrap=True)
    if options.json:
        write_json(options.json, {"runs": runs, "machine": machine()})


if __name__ == "__main__":
    main()
