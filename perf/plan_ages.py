"""How old the model's plans are that agents follow, and how long agents wait for their next plan. Looked at, not
worked out from the settings."""

from __future__ import annotations

import numpy as np

from astrasim.kernels.columns import HEURISTIC, LLM
from astrasim.simulation import Simulation

EVERY = 100
"""Frames from look to look: a look takes time in its frame, and one in a hundred is not what p99 is about."""


class PlanAges:
    """Looks at all agents now and then, after a tick."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.reset()

    def reset(self) -> None:
        """Forget what was seen; ``sim.reset_stats()`` was just called."""
        self._age_s, self._model_made, self._waited_for = 0.0, 0, 0

    def look(self, frame: int) -> None:
        """Look, if this is a frame in which to."""
        if frame % EVERY != EVERY // 2:
            return
        agents = self._sim.agents
        made = np.flatnonzero(agents.source != HEURISTIC)
        self._age_s += float((self._sim.time - agents.plan_start[made]).sum())
        self._model_made += len(made)
        self._waited_for += int((agents.source[made] == LLM).sum())

    def figures(self) -> dict[str, float | None]:
        """``age_s``: how long ago, on average, agents with a model's plan were in the situation that it was made for:
        since they took it, and before that the median latency for those that waited; None if nobody had one.
        ``wait_s``: how long an agent waits for its next plan, by Little's law (those whom a tick left over, for each
        that is served in one); None if no plan ended.
        """
        s = self._sim.stats()
        age_s = wait_s = None
        if self._model_made:
            waited_s = self._waited_for * s.requests.latency_ms.p50 / 1000
            age_s = round((self._age_s + waited_s) / self._model_made, 3)
        if s.plans.ended:
            wait_s = round(s.waiting.mean_agents * s.ticks / s.plans.ended * self._sim.settings.tick_s, 4)
        return {"age_s": age_s, "wait_s": wait_s}
