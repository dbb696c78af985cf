"""Situations: from percepts and columns to features and keys."""

from __future__ import annotations

import esper
import numpy as np

from astrasim.domain import Feature
from astrasim.errors import ActionError
from astrasim.kernels.situating import situate
from astrasim.simulation import Simulation
from astrasim.views import Rows


class Situations(esper.Processor):
    """Runs the features that are the game's code, then packs all features into each agent's key."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        compiled = sim.compiled
        self._features = [
            (f, sim.agents.float_index[f.column], np.flatnonzero(compiled.features.multiplier[:, q]))
            for q, f in enumerate(compiled.declared_features)
            if f.function is not None
        ]

    def process(self, dt: float | None = None) -> None:
        sim, agents = self._sim, self._sim.agents
        if not agents.count:
            return
        every, phase = sim.settings.every, sim.ticks
        for feature, column, kinds in self._features:
            self._evaluate(feature, column, kinds)
        situate(
            agents.f, agents.b, agents.kind, agents.uid, agents.key, agents.interrupt_key, agents.plan_interrupt_key,
            agents.need, agents.count, every, phase, sim.compiled.features,
        )  # fmt: skip

    def _evaluate(self, feature: Feature, column: int, kinds: np.ndarray) -> None:
        sim, agents = self._sim, self._sim.agents
        n, every = agents.count, sim.settings.every
        assert feature.function is not None
        turn = np.isin(agents.kind[:n], kinds)
        if every > 1:
            turn &= (agents.uid[:n] + sim.ticks) % every == 0
        rows = np.flatnonzero(turn)
        if feature.vectorised:
            try:
                agents.f[column, rows] = feature.function(Rows(agents, rows))
            except Exception as error:  # the game's code
                self._failed(feature, error)
            return
        values, handles = agents.f[column], agents.handles
        for row in rows.tolist():
            try:
                values[row] = feature.function(handles[row])
            except Exception as error:  # the game's code
                self._failed(feature, error)

    def _failed(self, feature: Feature, error: Exception) -> None:
        """The feature keeps its last value."""
        if self._sim.settings.strict:
            raise ActionError(f"feature {feature.name} raised: {error!r}") from error
        self._sim.report_error(f"feature {feature.name}", error)
