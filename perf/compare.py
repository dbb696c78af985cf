"""The arena beside the same fight in esper, Mesa and mesa-frames, each as its users write it and once more tuned.

    python -m astrasim.perf.compare

A tick of each, in turn, in one process: how many agents each sustains at 60 FPS (p99 of the ticks at most 16.67 ms),
how long a tick takes at the same number of agents, and how long from starting Python to the first tick's end.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Table

from astrasim.figures import machine, write_json
from astrasim.frames import MIN_FRAMES, PERIOD_MS

from .alternating import FEWEST, Search, alternate, passes, percentile
from .peers import OURS, PEERS, Contestant
from .peers.astrasim_arena import fight_of
from .peers.fight import Peer

FIRST_TICK = "first tick done"
NOTE = (
    "Peers: the arena's percepts (nearest enemy and ally, both counts, within radius 30), one rule of what to do, anew "
    "in each tick, blows, movement, the dead put back. AstraSim does more in its tick: 12 features with hysteresis, "
    "keys, plans of several steps that outlast a tick, planning with a cache inside 2 ms, and what sim.why tells; no "
    "model is asked here (astrasim stress does). It computes in float32 and compiled code, on two "
    "threads from 8,192 agents on."
)


class Effort(NamedTuple):
    """How long to measure, in laps: a tick of each contestant."""

    search: int
    confirm: int
    rounds: int
    """How often to confirm: who fails tries fewer, who passes tries more."""
    equal: int
    sizes: tuple[int, ...]
    starts: int


WHOLE = Effort(search=120, confirm=MIN_FRAMES, rounds=4, equal=200, sizes=(20, 200, 1000), starts=3)
QUICK = Effort(search=40, confirm=120, rounds=2, equal=60, sizes=(20, 200), starts=2)
Say = Callable[[str, int], Callable[[], object]]
"""Begin a phase of so many laps; what it returns is called after each."""
Makers = Mapping[Contestant, type[Peer]]


def load_contestants() -> tuple[Makers, dict[str, str]]:
    """Those that are here, AstraSim first, and of the others what to do."""
    makers, missing = {}, {}
    for contestant in (OURS, *PEERS):
        try:
            makers[contestant] = contestant.load()
        except ImportError as error:
            missing[contestant.name] = f"{error}; to have it: {contestant.install}"
    return makers, missing


@contextmanager
def _arenas(makers: Makers, agents: Mapping[str, int], seed: int) -> Any:
    made: dict[str, Peer] = {}
    try:
        for contestant, maker in makers.items():
            if contestant.name in agents:
                made[contestant.name] = maker(fight_of(agents[contestant.name], seed))
        yield made
    finally:
        for peer in made.values():
            peer.close()


def find_sizes(makers: Makers, laps: int, seed: int, say: Say) -> dict[str, int]:
    """About the largest number of agents of each at 60 FPS: where to begin to confirm."""
    searches = {contestant.name: Search() for contestant in makers}
    while trying := {name: search.guess() for name, search in searches.items() if not search.done}:
        done = say(f"searching: {_sizes(trying)}", laps)
        with _arenas(makers, trying, seed) as made:
            taken = alternate({name: peer.tick for name, peer in made.items()}, laps, 0.1, done)
        for name, ms in taken.items():
            searches[name].learn(trying[name], ms, laps)
    return {name: max(FEWEST, search.low) for name, search in searches.items()}


def confirm(makers: Makers, sizes: Mapping[str, int], effort: Effort, seed: int, say: Say) -> dict[str, dict[str, Any]]:
    """The largest number of agents of each that kept p99 within 16.67 ms, of some that were measured side by side."""
    trying = dict(sizes)
    found: dict[str, dict[str, Any]] = {name: {"agents": 0, "rounds": []} for name in trying}
    for number in range(effort.rounds):
        done = say(f"confirming: {_sizes(trying)}", effort.confirm)
        give_up = 0.01 if number else None  # in the first round nobody does, so that every lap has its pair
        with _arenas(makers, trying, seed) as made:
            taken = alternate({name: peer.tick for name, peer in made.items()}, effort.confirm, give_up, done)
            seen = {name: peer.percepts() for name, peer in made.items()}
        ours = taken[OURS.name] / trying[OURS.name]
        for name, ms in taken.items():
            agents, sustained, p99 = trying[name], passes(ms, effort.confirm), percentile(ms, 99)
            if not number:
                found[name]["an_agent_costs"] = round(float(np.median(ms / agents / ours)), 2)
            found[name]["rounds"].append({
                "agents": agents, "p50_ms": round(percentile(ms, 50), 2), "p99_ms": round(p99, 2), "ticks": len(ms),
                "sustained": sustained,
                "others_in_sight": round(float(np.mean(seen[name].foes + seen[name].friends)), 1),
            })  # fmt: skip
            if sustained:
                found[name]["agents"] = max(agents, found[name]["agents"])
            # By how far it was off, but not far: one stall of the machine, or a search that met several, is no measure.
            step = min(1.25, max(0.8, 0.97 * PERIOD_MS / p99))
            trying[name] = max(FEWEST, round(agents * (max(1.03, step) if sustained else step)))
    return found


def _sizes(agents: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in agents.items())


def compare_equal(makers: Makers, effort: Effort, seed: int, say: Say) -> dict[str, dict[str, dict[str, float]]]:
    """At equal numbers of agents: milliseconds a tick, and the ratio to AstraSim's tick of the same lap."""
    found = {}
    for agents in effort.sizes:
        done = say(f"{agents} agents each", effort.equal)
        with _arenas(makers, {contestant.name: agents for contestant in makers}, seed) as made:
            taken = alternate({name: peer.tick for name, peer in made.items()}, effort.equal, None, done)
        found[str(agents)] = {
            name: {"p50_ms": round(float(np.median(ms)), 3)}
            | dict(zip(("ratio_p25", "ratio_p50", "ratio_p75"),
                       np.percentile(ms / taken[OURS.name], (25, 50, 75)).round(3).tolist(), strict=True))
            for name, ms in taken.items()
        }  # fmt: skip
    return found


def start_up_s(makers: Makers, effort: Effort, say: Say) -> dict[str, float]:
    """Seconds from starting Python to the end of the first tick of 20 agents: the median, each in turn."""
    taken: dict[str, list[float]] = {contestant.name: [] for contestant in makers}
    done = say("starting up", effort.starts)
    for _ in range(effort.starts):
        for contestant in makers:
            code = (
                f"from astrasim.perf.peers.fight import Fight\n"
                f"from astrasim.perf.peers.{contestant.module} import {contestant.maker}\n"
                f"{contestant.maker}({fight_of(20)}).tick()\n"
                f"print({FIRST_TICK!r}, flush=True)"
            )
            begun = time.perf_counter()
            with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    if FIRST_TICK in line:
                        taken[contestant.name].append(time.perf_counter() - begun)
        done()
    return {name: round(statistics.median(seconds), 3) for name, seconds in taken.items() if seconds}


def measure(effort: Effort, seed: int, say: Say) -> dict[str, Any]:
    """All figures as one JSON-able object."""
    load, (makers, missing) = psutil.getloadavg()[0], load_contestants()
    largest = confirm(makers, find_sizes(makers, effort.search, seed, say), effort, seed, say)
    return {
        "ticks": effort.confirm,
        "sustained_as_defined": effort.confirm >= MIN_FRAMES,
        "seed": seed,
        "contestants": {c.name: {"version": c.version(), "module": c.module, "how": c.how} for c in makers},
        "largest": largest,
        "equal": compare_equal(makers, effort, seed, say),
        "start_up_s": start_up_s(makers, effort, say),
        "missing": missing,
        "note": NOTE,
        "machine": machine(),
        "load_before": round(load, 1),
    }


def wins(figures: dict[str, Any]) -> list[str]:
    """Where a peer is ahead of AstraSim, in words."""
    found = []
    ours = figures["largest"][OURS.name]["agents"]
    for name, largest in figures["largest"].items():
        if largest["agents"] > ours:
            found.append(f"{name} sustains more agents ({largest['agents']:,})")
    for agents, by_name in figures["equal"].items():
        for name, tick in by_name.items():
            if tick["ratio_p50"] < 1 and name != OURS.name:
                found.append(f"{name}'s tick of {agents} agents takes {tick['ratio_p50']:.2f} of AstraSim's")
    for name, seconds in figures["start_up_s"].items():
        if seconds < figures["start_up_s"].get(OURS.name, 0):
            found.append(f"{name} starts in {seconds:.2f} s, AstraSim in {figures['start_up_s'][OURS.name]:.2f} s")
    return found


def show(figures: dict[str, Any], console: Console) -> None:
    sizes = list(figures["equal"])
    table = Table(title="The same fight, a tick of each in turn, in one process")
    for heading in ("", "agents", "AstraSim has", "an agent costs", *(f"{size}: ms" for size in sizes), "start, s"):
        table.add_column(heading, justify="right" if heading else "left")
    ours = figures["largest"][OURS.name]["agents"]
    for name in figures["contestants"]:
        largest = figures["largest"][name]
        agents = largest["agents"]
        ticks = [figures["equal"][size][name] for size in sizes]
        started = figures["start_up_s"].get(name)
        table.add_row(
            name,
            f"{agents:,}" if agents else f"< {min(each['agents'] for each in largest['rounds']):,}",
            f"{ours / agents:.1f} ×" if agents else "",
            f"{largest['an_agent_costs']:.1f} × ({largest['rounds'][0]['agents']:,})",
            *(f"{tick['p50_ms']:.2f} ({tick['ratio_p50']:.2f} ×)" for tick in ticks),
            f"{started:.2f}" if started else "?",
        )
    console.print(table)
    console.print(
        f"agents: the most whose ticks had p99 ≤ 16.67 ms over {figures['ticks']} ticks (<: not even so many, the "
        "fewest tried). An agent costs: so many times what AstraSim takes for one, median of the laps of the "
        "first round, where there were so many (in brackets). 20: ms: the median tick of 20 agents, and times "
        "AstraSim's of the same lap. start: from starting Python to the first tick's end."
    )
    console.print(figures["note"])
    for name, told in figures["contestants"].items():
        console.print(f"{name} ({told['version']}): {told['how']}")
    ahead = wins(figures)
    console.print("Where a peer is ahead: " + ("; ".join(ahead) if ahead else "nowhere in this run") + ".")
    if not figures["sustained_as_defined"]:
        console.print(f"Quick: {figures['ticks']} ticks, fewer than the {MIN_FRAMES} that 'sustains 60 FPS' means.")
    for name, why in figures["missing"].items():
        console.print(f"{name} was left out: {why}", markup=False)
    m = figures["machine"]
    if figures["load_before"] > 1:
        console.print(
            f"The machine was busy (load {figures['load_before']} on {m['cores']} cores before this began): p99 then "
            "tells of the other programs, and the numbers of agents are too small. Ratios suffer less."
        )
    console.print(f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}, numpy {m['numpy']}")


def main(
    quick: Annotated[bool, typer.Option("--quick", help="About a minute; too few ticks to say 'sustains'.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file, as JSON.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of positions and respawns.")] = 0,
) -> None:
    """The arena beside the same fight in esper, Mesa and mesa-frames: about seven minutes."""
    if json_file is not None and not json_file.parent.is_dir():
        raise typer.BadParameter(f"{json_file}: there is no folder {json_file.parent.absolute()} to write it to")
    columns = (SpinnerColumn(), *Progress.get_default_columns()[:3], TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("loading")

        def say(what: str, laps: int) -> Callable[[], object]:
            progress.reset(task, description=what, total=laps)
            return lambda: progress.advance(task)

        figures = measure(QUICK if quick else WHOLE, seed, say)
    show(figures, Console(width=None if sys.stdout.isatty() else 120))
    if json_file is not None:
        write_json(json_file, figures)


if __name__ == "__main__":
    typer.run(main)
