"""The game of a fault run, in a process of its own: it plays on at 60 Hz, and whoever started it makes the faults.

    python -m astrasim.perf.faults_game --game '{...}'

Each line on its stdin is a phase as JSON (:class:`Phase`); it plays that, and answers with a line of figures.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from astrasim import Settings, Simulation
from astrasim.figures import gather, machine, memory_bytes
from astrasim.frames import FPS, run_frames
from astrasim.gateway import Gateway, process
from astrasim.gateway.framing import pack
from astrasim.gateway.messages import MAX_TO_GATEWAY
from astrasim.warmup import warm_up

from . import processes
from .legality import Legality
from .stress import WARM_UP_FRAMES, wait_for_gateway
from .workloads import build

UNSAVED, SILENT = "not being saved", "no sign of life"
"""What a gateway says whose cache file cannot be written, and one that stands still."""
_GIVEN_UP = ("deadline", "expired", "unwanted")
_LOOK_FRAMES = 30
# Of no consequence to whoever reads it, and of some size.
_FILLER = pack({"t": "used", "q": [[1_000_000, 0]] * 64}, MAX_TO_GATEWAY)


@dataclass(frozen=True)
class GameOptions:
    """What is played. ``settings`` are those of :class:`~astrasim.Settings` that differ from the defaults."""

    agents: int
    workload: str
    base_url: str
    cache_file: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """So many seconds of play.

    ``recovering``: it ends as soon as a plan has arrived while the gateway can save plans, and all that was asked
    before it has ended. ``flood``: as much is sent to the gateway as its outbox takes.
    """

    seconds: float
    recovering: bool = False
    flood: bool = False


class _Play:
    """One simulation, and what is counted of it in the phases."""

    def __init__(self, sim: Simulation) -> None:
        assert isinstance(sim.planner.gateway, Gateway)
        self._sim, self._gateway, self._legality = sim, sim.planner.gateway, Legality(sim)

    def phase(self, phase: Phase) -> dict[str, Any]:
        sim, gateway = self._sim, self._gateway
        sim.reset_stats()
        self._legality.reset()
        before = gateway.statistics()
        older, counts = set(sim.planner.requests), sim.planner.counts
        unsaved, silent, full, recovered_s, begun = False, False, 0, None, time.perf_counter()
        most_mb: dict[str, float] = {}

        def look() -> None:
            nonlocal unsaved, silent
            self._legality.look()
            unsaved = unsaved or UNSAVED in gateway.describe()
            silent = silent or SILENT in gateway.describe()
            for name, mb in (("game", memory_bytes() / 2**20), ("gateway", _memory_mb(gateway.pid))):
                if mb is not None:
                    most_mb[name] = max(mb, most_mb.get(name, 0.0))

        def work(frame: int) -> bool | None:
            nonlocal recovered_s, full
            sim.tick()
            if phase.flood:
                full += self._flood()
            if not frame % _LOOK_FRAMES:
                look()
            if not phase.recovering:
                return None
            # Plans arrive from a gateway that cannot save them as well.
            if recovered_s is None and counts.answered and UNSAVED not in gateway.describe():
                recovered_s = time.perf_counter() - begun
            return recovered_s is None or not older.isdisjoint(sim.planner.requests)

        times = run_frames(work, round(phase.seconds * FPS))
        look()
        after, s, spent = gateway.statistics(), gather(sim), times.percentiles()
        return {
            "frames": len(times.work_ms),
            "missed": int(times.missed),
            "frame_ms": {"p50": round(spent.p50, 3), "p99": round(spent.p99, 3), "max": round(spent.max, 3)},
            "planning_cpu_p99_ms": round(s.planning.cpu_ms.p99, 3),
            "illegal_steps": self._legality.illegal_steps,
            "without_plan": self._legality.without_plan,
            "reasons": s.requests.reasons,
            "counted": {
                "sent": s.requests.sent,
                "answered": s.requests.answered,
                "retries": s.requests.retries,
                "full": full,
                "restarts": after.restarts - before.restarts,
                "strangers": after.strangers - before.strangers,
                "unsaved": int(unsaved),
                "silent": sum(s.requests.reasons.get(name, 0) for name in _GIVEN_UP) if silent else 0,
            },
            "recovered_s": None if recovered_s is None else round(recovered_s, 2),
            "gateway": s.gateway,
            "rss_mb": {name: round(most_mb[name], 1) if name in most_mb else None for name in ("game", "gateway")},
        }

    def _flood(self) -> bool:
        """Send what the outbox takes, as a game might that has a hundred thousand plans to tell of. True if it was full
        already."""
        link = self._gateway._life.link
        if link is None:
            return False
        was_full = not link.has_room
        while link.has_room:
            link.push(_FILLER)
        return was_full


def _memory_mb(pid: int | None) -> float | None:
    try:
        return None if pid is None else psutil.Process(pid).memory_info().rss / 2**20
    except psutil.Error:
        return None


def main() -> None:
    """Play the phases that come, until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.faults_game")
    parser.add_argument("--game", required=True, type=lambda text: GameOptions(**json.loads(text)))
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin ends")
    options: GameOptions = parser.parse_args().game
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    processes.exit_with_parent(lines.put)
    process.command = lambda: [sys.executable, "-P", "-m", "astrasim.perf.breakable_gateway"]
    settings = Settings(
        model="openai", base_url=options.base_url, model_name="stub", api_key=None, capacity=max(1, options.agents),
        cache_file=Path(options.cache_file), **options.settings,
    )  # fmt: skip
    warm_up()
    with build(options.workload, options.agents, settings) as sim:
        wait_for_gateway(sim, lambda _: None)
        run_frames(lambda _: sim.tick(), WARM_UP_FRAMES)
        play = _Play(sim)
        processes.announce("game", "stdin")
        while True:
            line = lines.get()
            said = machine() if line == "machine" else play.phase(Phase(**json.loads(line)))
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
