"""What each part of a tick costs."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from typing import Any

import esper
import numpy as np

from astrasim import Observer, Simulation
from astrasim.membership import inside
from astrasim.records import TickRecord
from astrasim.systems import Action, Move, Perception, Planning, Situations

from .arena import Referee
from .herd import Seasons

PARTS: dict[str, tuple[type[esper.Processor], ...]] = {
    "perceive": (Perception,), "key": (Situations,), "plan": (Planning,), "act": (Action,), "move": (Move,),
    "game": (Referee, Seasons),
}  # fmt: skip
"""The parts of a tick in their order; ``game`` is the workload's own, which sees to the dead."""
GRID_TICKS = 120


class Profile(Observer):
    """Notes how long the systems of each tick took, while it observes.

    ``timed(name, work)`` times something else as well, drawing for example.
    """

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._ms: dict[str, array[float]] = {name: array("d") for name in PARTS}
        self._part_of = {each.__name__: name for name, part in PARTS.items() for each in part}

    def tick(self, tick: TickRecord) -> None:
        for name, start_s, end_s in tick.parts:
            if name in self._part_of:
                self._ms[self._part_of[name]].append((end_s - start_s) * 1000)

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """``work``, with the time that each call takes put down under ``name``."""
        ms = self._ms.setdefault(name, array("d"))

        def run(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*arguments, **options)
            finally:
                ms.append((time.perf_counter() - begun) * 1000)

        return run

    def figures(self, frames: int) -> dict[str, dict[str, float | None]]:
        """p50 and p99 of the last ``frames`` in ms, and the p50 in ns an agent (None where there are none), by part.

        The simulation goes on for some ticks. Sorting into the grid and looking are one kernel, so how long the grid
        takes is seen in looks when it is nobody's turn; ``perceive`` is perception with the p50 of that taken off.
        """
        kept = {name: np.array(ms[-frames:]) for name, ms in self._ms.items()}
        with inside(self._sim.world):
            perception = esper.get_processor(Perception)
        assert isinstance(perception, Perception)
        grid = self.timed("grid", perception.look)
        if self._sim.agents.count:
            for _ in range(GRID_TICKS):
                self._sim.tick()
                grid(np.zeros(self._sim.agents.count, np.uint8))  # it is nobody's turn
        kept = {"grid": np.array(self._ms["grid"]), **kept}
        if len(kept["grid"]):
            kept["perceive"] = np.maximum(kept["perceive"] - np.median(kept["grid"]), 0.0)
        return {name: self._row(ms) for name, ms in kept.items() if len(ms)}

    def _row(self, ms: Any) -> dict[str, float | None]:
        p50, p99 = (float(value) for value in np.percentile(ms, [50, 99]))
        agents = self._sim.agents.count
        each_ns = round(p50 * 1e6 / agents, 1) if agents else None
        return {"p50": round(p50, 3), "p99": round(p99, 3), "ns_per_agent": each_ns}
