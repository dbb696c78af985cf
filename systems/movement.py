"""Movement: the last system of a tick."""

from __future__ import annotations

import esper

from astrasim.simulation import Simulation


class Move(esper.Processor):
    """Hands the wanted velocities to whoever owns movement: by default they are integrated."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def process(self, dt: float | None = None) -> None:
        sim = self._sim
        sim.movement.sync_out(sim, sim.settings.tick_s if dt is None else dt)
        sim.end_tick()
