"""The plan cache in the arena: how the hit rate and the share of model-made plans grow, and what stands in the way.

    python -m astrasim.perf.cache_curve [--agents 20000] [--seconds 300] [--rates 5,20,100] [--json FILE] [--plot FILE]

Each rate (requests a second) is a run of its own with the stub, in paced frames, from an empty cache. Every ten seconds
the figures of those ten seconds are taken. Between planning and acting, twice a second, each plan that was just begun
is checked: its step must be legal (the issue asks for zero illegal steps).

All seconds are the simulation's: so many ticks, and so many requests for each 60 of them. Where the machine misses
frames a run takes longer (``wall_s``) and its figures stay the same, but that the stub's answers (0.1 to 0.5 s of the
wall's clock) come after fewer ticks.

What stands in the way of a higher hit rate is said by ``best_possible``: the share of all look-ups that went to as many
situations, the commonest, as have a plan in the end; and by ``keys_for_90``: how many it takes for 90% of the look-ups.

A model like the stub, which answers at random, never agrees with itself; so that near look-ups can be judged,
``--model function:astrasim.perf.cache_curve:common_sense_model`` answers by the arena's own heuristic instead.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import esper
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from astrasim import Simulation
from astrasim.figures import machine, write_json
from astrasim.frames import FrameTimes, run_frames
from astrasim.kernels.columns import NEED_NONE, RUNNING
from astrasim.kernels.planning import is_legal
from astrasim.vocabulary import Vocabulary

from .arena import build_arena, common_sense, make_arena
from .plot import COLOURS
from .stress import Run, open_model, wait_for_gateway

PART_S = 10
CHECK_FRAMES = 30


class Inspector(esper.Processor):
    """Counts begun plans whose step is not legal. Runs between planning and acting."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.checked = self.illegal = 0

    def process(self, dt: float | None = None) -> None:
        sim = self._sim
        if sim.ticks % CHECK_FRAMES:
            return
        agents, things, tables, plans = sim.columns(), sim.thing_columns(), sim.compiled, sim.planner.plans.table
        just_begun = (agents.plan_start == sim.time) & (agents.need == NEED_NONE) & (agents.entry >= 0)
        for row in np.flatnonzero(just_begun & (agents.state != RUNNING)).tolist():
            plan, step = agents.plan[row], agents.step[row]
            action, target = plans.action[plan, step], plans.target[plan, step]
            self.checked += 1
            self.illegal += not is_legal(agents, things, tables.actions, tables.targets, row, action, target)


def measure(run: Run, seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """One run; the figures of each ten seconds, and of the whole."""
    with open_model(run) as settings:
        tell(f"{run.rate:g} requests a second: building the arena")
        sim = build_arena(run.agents, settings)
        try:
            wait_for_gateway(sim, tell)
            sim.planner.clock = lambda: sim.time
            inspector = Inspector(sim)
            before = esper.current_world
            esper.switch_world(sim.world)
            esper.add_processor(inspector, priority=25)
            esper.switch_world(before)
            parts = []
            for at in range(0, seconds, PART_S):
                tell(f"{run.rate:g} requests a second: {at} of {seconds} s")
                sim.reset_stats()
                times = run_frames(lambda _: sim.tick(), 60 * PART_S)
                parts.append(_part(sim, at + PART_S, times))
            entries = sim.planner.cache.entries
            seen = np.sort(entries.seen[entries.used >= 0])[::-1]
            share = np.append(seen.cumsum() / max(1, seen.sum()), 1.0)
            return {
                "rate": run.rate, "agents": run.agents, "model": run.model, "parts": parts,
                "checked": inspector.checked, "illegal": inspector.illegal, "gateway": sim.stats().gateway,
                "near_bound": settings.near_bound, "distinct_keys": parts[-1]["distinct_keys"],
                "keys_seen_once": int((seen == 1).sum()), "keys_for_90": int(np.searchsorted(share, 0.9)) + 1,
                "best_possible": round(float(share[parts[-1]["with_plan"] - 1]), 4) if parts[-1]["with_plan"] else 0.0,
            }  # fmt: skip
        finally:
            sim.close()


def _part(sim: Simulation, at_s: int, times: FrameTimes) -> dict[str, Any]:
    s = sim.stats()
    lookups = s.lookups
    return {
        "at_s": at_s, "hit_rate": round(lookups.hit_rate, 4),
        "exact": lookups.exact_hits, "near": lookups.near_hits, "misses": lookups.misses,
        "model_made": round(s.agent_ticks.llm + s.agent_ticks.cache, 4), "distinct_keys": s.cache.distinct_keys,
        "with_plan": s.cache.with_model_plan, "sent": s.requests.sent, "failed": s.requests.failed,
        "shadows": s.looks.shadows,
        "look_ticks_p95": s.looks.ticks.p95, "retired": s.cache.retired, "wall_s": round(times.seconds, 1),
        "frame_p99_ms": round(times.percentiles().p99, 2), "missed": int(times.missed),
        "bounds": {role: round(t.bound, 4) for role, t in s.memory.truth.items()},
        "false": {role: [t.false, t.samples, t.enough] for role, t in s.memory.truth.items()},
    }  # fmt: skip


_ARENA: dict[str, Any] = {}


def common_sense_model(prompt: Any, schema: Any) -> str:
    """A model that answers by the arena's heuristic: the same for the same situation. For the gateway's process."""
    if not _ARENA:
        from astrasim.compiled import compile_domain

        words: Vocabulary = compile_domain(make_arena(100)).vocabulary
        _ARENA["words"] = words
        _ARENA["buckets"] = {phrase: (f.name, b) for f in words.features for b, phrase in enumerate(f.words)}
    names = dict(bucket for phrase, bucket in _ARENA["buckets"].items() if phrase in prompt.user)
    situation = type("Situation", (), dict.fromkeys((f.name for f in _ARENA["words"].features), 0) | names)
    steps = [line.split() for line in common_sense(situation)]  # type: ignore[arg-type]  # it has all that is asked for
    return json.dumps({"steps": [{"action": a, "target": t, "seconds": 3} for a, t in steps]})


def show(runs: list[dict[str, Any]], console: Console) -> None:
    """Tables for people."""
    table = Table(title="hit rate, and share of agent-ticks on model-made plans")
    table.add_column("s", justify="right")
    for run in runs:
        table.add_column(f"{run['rate']:g}/s", justify="right")
    for row in zip(*(run["parts"] for run in runs), strict=True):
        if row[0]["at_s"] % 30 == 0 or row[0]["at_s"] == PART_S:
            cells = (f"{part['hit_rate']:.1%}, {part['model_made']:.1%}" for part in row)
            table.add_row(str(row[0]["at_s"]), *cells)
    console.print(table)
    for run in runs:
        last, counts = run["parts"][-1], Counter[str]()
        for part in run["parts"]:
            names = "sent", "failed", "exact", "near", "misses", "shadows", "missed"
            counts.update({name: part[name] for name in names})
        console.print(
            f"{run['rate']:g}/s: {run['distinct_keys']} keys, {run['keys_seen_once']} of them looked up once, "
            f"{run['keys_for_90']} make up 90% of the look-ups; with as many plans at best "
            f"{run['best_possible']:.1%}; {dict(counts)}; {run['checked']} begun plans checked, {run['illegal']} "
            f"illegal; bounds {last['bounds']}, false hits {last['false']}; answers of look-ups p95 "
            f"{last['look_ticks_p95']:g} ticks; {run['gateway']}", markup=False,
        )  # fmt: skip


def plot(runs: list[dict[str, Any]], file: Path) -> None:
    """Draw both shares over time, a line for each rate, to a PNG, SVG or PDF."""
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 4.2), dpi=150, layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name, title in zip(
            panels, ("hit_rate", "model_made"),
            ("look-ups that found a model's plan", "agent-ticks on a model's plan"), strict=True,
        ):  # fmt: skip
            for run, colour in zip(runs, COLOURS, strict=False):
                at_s = [part["at_s"] for part in run["parts"]]
                shares = [100 * part[name] for part in run["parts"]]
                axes.plot(at_s, shares, color=colour, linewidth=1.8, label=f"{run['rate']:g} requests a second")
                if name == "hit_rate":
                    axes.axhline(100 * run["best_possible"], color=colour, linewidth=0.9, linestyle=":")
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("seconds of the simulation")
            axes.set_ylim(0, 100)
            axes.grid(color="#e4e4e4", linewidth=0.8)
            axes.set_axisbelow(True)
        panels[0].set_ylabel("%")
        panels[0].legend(frameon=False, fontsize=9)
        first = runs[0]
        figure.supxlabel(
            f"arena, {first['agents']:,} agents, model {first['model']}, near look-ups "
            f"{'off' if first['near_bound'] is None else first['near_bound']}; dotted: if the commonest situations "
            "had had the plans", fontsize=8, color="#555555",
        )  # fmt: skip
        figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description="How the plan cache fills, in the arena.")
    parser.add_argument("--agents", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--rates", default="5,20,100")
    parser.add_argument("--model", default="stub")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a picture: .png, .svg or .pdf")
    options = parser.parse_args()
    console = Console()
    runs = []
    with console.status("starting") as status:
        for rate in map(float, options.rates.split(",")):
            runs.append(measure(Run(options.agents, model=options.model, rate=rate), options.seconds, status.update))
            # After each, so that a run that is stopped leaves what it has.
            if options.plot:
                plot(runs, options.plot)
            if options.json:
                told = {"machine": machine(), "runs": runs}
                write_json(options.json, told)
    show(runs, console)


if __name__ == "__main__":
    main()
