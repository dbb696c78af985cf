"""Planning: the planner's turn in the tick."""

from __future__ import annotations

import esper

from astrasim.simulation import Simulation
from astrasim.steps import check_transitions


class Planning(esper.Processor):
    """Runs the planner inside its budget. All it does is in ``astrasim/planner.py``."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        sim.planner.serving.report = sim.errors.report

    def process(self, dt: float | None = None) -> None:
        sim, agents = self._sim, self._sim.agents
        before = agents.state[: agents.count].copy() if sim.settings.strict else None
        sim.planner.run(sim.columns(), sim.thing_columns(), agents.count, sim.time)
        if sim.observation:
            sim.observation.planned()
        if before is not None:
            check_transitions(before, agents.state[: agents.count])
