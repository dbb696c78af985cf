"""The governor on a load that steps up and down, beside the same game without it.

    python -m astrasim.perf.governing [--agents N] [--seconds 7.5] [--model stub|none] [--json FILE] [--plot FILE]

Two arenas in one process, with equal settings, one with the governor. Light and heavy phases take turns, twice, and in
each the arena without it runs first and the other right after, in paced frames. The heavy load is work of the game's
own in each frame: the processor is kept busy for so long that frames at the pace that was set are late, and frames at
the governor's bounds are not. How long that is on this machine is measured first, and how many agents fill half a
frame, where no number is given. All of it takes a minute and a quarter.

A frame is *missed* if its work ends more than 16.67 ms after its scheduled start. *Back-off* counts frames from the
first heavy one to the first that is followed by a lower pace. *Late* changes are decisions in a phase's second half,
when it should have settled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim import FrameTimes, SettingsError, Simulation
from astrasim.decisions import PaceDecision
from astrasim.figures import machine, write_json
from astrasim.frames import FPS, PERIOD_MS, run_frames
from astrasim.governor import rungs

from .arena import build_arena
from .plot import COLOURS
from .stress import Run, open_model, wait_for_gateway

FULL, ROOM, APART = 0.55, 0.9, 0.1
"""Shares of the period: what agents alone take, what heavy frames must be able to come down to, and how far apart the
least load that is too much as set and the greatest that is not at the bounds must be. The load is in the middle."""
FEWEST, SAMPLE, MOST = 2_000, 30_000, 100_000
WARM_UP_FRAMES, MEASURED_FRAMES = 120, 90
CYCLES = 2


class Phase(NamedTuple):
    """One phase in both arenas. ``decisions``: the governor's, with ticks counted from its first frame (1)."""

    load_ms: float
    without: FrameTimes
    governed: FrameTimes
    decisions: list[PaceDecision]
    before: PaceDecision

    @property
    def back_off_frames(self) -> int | None:
        if not self.load_ms:
            return None
        steps = pairwise([self.before, *self.decisions])
        return next((to.tick - 1 for fro, to in steps if _is_lower(to, fro)), None)

    @property
    def changes_late(self) -> int:
        return sum(decision.tick > len(self.governed.work_ms) / 2 for decision in self.decisions)

    @property
    def ends(self) -> PaceDecision:
        return [self.before, *self.decisions][-1]

    def figures(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "load_ms": round(self.load_ms, 2),
            "frames": len(self.governed.work_ms),
            "missed": {"without": int(self.without.missed), "governed": int(self.governed.missed)},
            "frame_ms": {"without": _rounded(self.without), "governed": _rounded(self.governed)},
            "back_off_frames": self.back_off_frames,
            "changes": len(self.decisions),
            "changes_late": self.changes_late,
            "decisions": [decision._asdict() for decision in self.decisions],
        }


def _is_lower(to: PaceDecision, fro: PaceDecision) -> bool:
    return (to.every, -to.budget_ms, -to.requests_per_second) > (fro.every, -fro.budget_ms, -fro.requests_per_second)


def _rounded(times: FrameTimes) -> dict[str, float]:
    return {name: round(value, 2) for name, value in times.percentiles()._asdict().items()}


def play(sim: Simulation, frames: int, load_ms: float) -> FrameTimes:
    """Paced frames, each with so much work of the game's own after its tick."""

    def work(_: int) -> None:
        sim.tick()
        busy_until = time.perf_counter() + load_ms / 1000
        while time.perf_counter() < busy_until:
            pass

    return run_frames(work, frames, after=lambda done: sim.governor.frame(done.work_ms))


def usual_ms(sim: Simulation) -> float:
    """What a frame without a load takes, where nothing else is in its way: the lower quartile."""
    return float(np.quantile(play(sim, MEASURED_FRAMES, 0.0).work_ms, 0.25))


def fitting_agents(run: Run) -> int:
    """How many agents fill a frame of this machine well."""
    with open_model(replace(run, agents=SAMPLE, model="none")) as settings, build_arena(SAMPLE, settings) as sim:
        play(sim, WARM_UP_FRAMES, 0.0)
        took_ms = usual_ms(sim)
    return int(min(max(FEWEST, SAMPLE * FULL * PERIOD_MS / took_ms), MOST))


def heavy_ms(sim: Simulation) -> float:
    """How long the load must keep the processor busy, in milliseconds.

    Raises:
        SettingsError: if at this number of agents the governor could not hold the frame rate, or nothing is left to it.
    """
    ladder, took_ms = rungs(sim.settings), []
    for budget_ms, every, rate in (ladder[0], ladder[-1]):
        sim.pace.budget_ms, sim.pace.every, sim.pace.requests_per_second = budget_ms, every, rate
        took_ms.append(usual_ms(sim))
    cheapest_ms, set_ms = took_ms
    least_ms, most_ms = PERIOD_MS - set_ms, ROOM * PERIOD_MS - cheapest_ms
    said = f"a frame takes {set_ms:.1f} ms as set and {cheapest_ms:.1f} ms at the governor's bounds"
    if set_ms > ROOM * PERIOD_MS:
        raise SettingsError(f"{said}: too much without any load; give fewer --agents")
    if most_ms - least_ms < APART * PERIOD_MS:
        raise SettingsError(f"{said}: too little to make up for a load; give more --agents")
    return (least_ms + most_ms) / 2


def phases(arenas: tuple[Simulation, Simulation], frames: int) -> Iterator[Phase]:
    """Light and heavy in turn, each in the arena without the governor and then in the other.

    Raises:
        SettingsError: as :func:`heavy_ms`.
    """
    without, governed = arenas
    heavy = heavy_ms(governed)
    governed.governor.on = True
    for load_ms in [0.0, heavy] * CYCLES:
        control = play(without, frames, load_ms)
        begun, known = governed.ticks, list(governed.governor.decisions)
        times = play(governed, frames, load_ms)
        made = list(governed.governor.decisions)[len(known):]
        decisions = [decision._replace(tick=decision.tick - begun) for decision in made]
        yield Phase(load_ms, control, times, decisions, known[-1])


def show(console: Console, found: list[Phase]) -> None:
    table = Table("load ms", "frames", "missed without", "with", "back-off", "changes", "late")
    table.add_column("ends with", no_wrap=True)
    for phase in found:
        end = phase.ends
        table.add_row(
            f"{phase.load_ms:.1f}", str(len(phase.governed.work_ms)), str(phase.without.missed),
            str(phase.governed.missed), "" if phase.back_off_frames is None else str(phase.back_off_frames),
            str(len(phase.decisions)), str(phase.changes_late),
            f"every {end.every}, {end.budget_ms:g} ms, {end.requests_per_second:g}/s",
        )  # fmt: skip
    console.print(table)


def plot(found: list[Phase], caption: str, file: Path) -> None:
    """Frames of both arenas over time, and what the governor decided, as PNG, SVG or PDF."""
    seconds: NDArray[np.float64] = np.arange(sum(len(p.governed.work_ms) for p in found)) / FPS
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        for times, colour, label in (
            ([p.without.work_ms for p in found], COLOURS[1], "without"),
            ([p.governed.work_ms for p in found], COLOURS[0], "with the governor"),
        ):
            above.plot(seconds, np.concatenate(times), color=colour, linewidth=0.7, label=label)
        above.axhline(PERIOD_MS, color="#333333", linewidth=1)
        above.set_ylim(0, 2.2 * PERIOD_MS)
        above.set_ylabel("work a frame, ms")
        begun, steps = 0.0, [(0.0, found[0].before)]
        for phase in found:
            length = len(phase.governed.work_ms) / FPS
            if phase.load_ms:
                for axes in (above, below):
                    axes.axvspan(begun, begun + length, color="#eeeeee", zorder=0)
            steps += [(begun + decision.tick / FPS, decision) for decision in phase.decisions]
            begun += length
        steps.append((begun, steps[-1][1]))
        for name, colour, share, unit in (
            ("every", COLOURS[3], 1, "every, ticks"), ("budget_ms", COLOURS[2], 1, "budget, ms"),
            ("requests_per_second", COLOURS[4], 10, "tens of requests a second"),
        ):  # fmt: skip
            values = [getattr(decision, name) / share for _, decision in steps]
            below.step([at for at, _ in steps], values, where="post", color=colour, label=unit)
        below.set_xlabel("seconds (grey: heavy load)")
        below.set_ylabel("pace")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, fontsize=9, loc="outside upper left", ncols=5)
        figure.supxlabel(caption, fontsize=8, color="#555555")
        figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, help="in each arena; default: what suits this machine")
    parser.add_argument("--seconds", type=float, default=7.5, help="of each phase, in each arena")
    parser.add_argument("--model", choices=["stub", "none"], default="stub")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--plot", type=Path, help="write a picture: .png, .svg or .pdf")
    options = parser.parse_args()
    console: Console = Console()
    found: list[Phase] = []
    if (options.agents is not None and options.agents < 1) or not 1 <= options.seconds <= 600:
        parser.error("give at least one agent, and phases of 1 to 600 seconds")
    frames = round(options.seconds * FPS)
    try:
        with ExitStack() as stack:
            agents = options.agents or fitting_agents(Run(SAMPLE))
            run = Run(agents, model=options.model)
            settings = stack.enter_context(open_model(run))
            console.print(f"two arenas of {agents:,} agents, {2 * CYCLES} phases of {options.seconds:g} s in each")
            # Two copies: an arena's esper world is named by its settings.
            build = (stack.enter_context(build_arena(agents, settings.model_copy())) for _ in range(2))
            arenas = next(build), next(build)
            for sim in arenas:
                wait_for_gateway(sim, console.print)
                play(sim, WARM_UP_FRAMES, 0.0)
            for phase in phases(arenas, frames):
                found.append(phase)
                console.print(f"{len(found)} of {2 * CYCLES}: load {phase.load_ms:.1f} ms")
            bounds = rungs(settings)
    except SettingsError as error:
        parser.error(str(error))
    show(console, found)
    on = machine()
    if options.json:
        figures = {
            "agents": agents, "model": options.model, "rate": run.rate, "seconds": options.seconds,
            "target_fps": settings.target_fps, "cheapest": bounds[0], "as_set": bounds[-1],
            "phases": [phase.figures() for phase in found], "machine": on,
        }  # fmt: skip
        write_json(options.json, figures)
    if options.plot:
        plot(found, f"arena, {agents:,} agents, model {options.model}; {on['processor']}, {on['cores']} cores, "
             f"Python {on['python']}, numba {on['numba']}, AstraSim {on['astrasim']}", options.plot)  # fmt: skip


if __name__ == "__main__":
    main()
