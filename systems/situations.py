"""Situations: from percepts and columns to features and keys."""

from __future__ import annotations

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim.declarations import Feature
from astrasim.errors import ActionError
from astrasim.kernels.situating import UNKNOWN_BUCKET, situate
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

    def _evaluate(self, feature: Feature, column: int, kinds: NDArray[np.int64]) -> None:
        """Write the feature's column for those whose turn it is. Where its code raises, the last value stays."""
        agents = self._sim.agents
        rows = self._turn(kinds)
        if not len(rows):
            return
        assert feature.function is not None
        # A value too large for float32 becomes infinite there, which is as good as it is.
        with np.errstate(over="ignore"):
            if feature.vectorised:
                try:
                    agents.f[column, rows] = feature.function(Rows(agents, rows))
                except Exception as error:  # the game's code
                    self._failed(feature, error)
                return
            values = agents.f[column, rows].tolist()
            for i, row in enumerate(rows.tolist()):
                try:
                    # Adding makes what is no number raise: numpy would read None as NaN, and "3" as 3.
                    values[i] = feature.function(agents.handles[row]) + 0.0
                except Exception as error:  # the game's code
                    self._failed(feature, error)
            agents.f[column, rows] = values

    def _turn(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        sim, agents = self._sim, self._sim.agents
        n, every = agents.count, sim.settings.every
        turn = np.isin(agents.kind[:n], kinds)
        if every > 1:
            turn &= ((agents.uid[:n] + sim.ticks) % every == 0) | (agents.b[0, :n] == UNKNOWN_BUCKET)
        return np.flatnonzero(turn)

    def _failed(self, feature: Feature, error: Exception) -> None:
        if self._sim.settings.strict:
            raise ActionError(f"feature {feature.name} raised: {error!r}") from error
        self._sim.report_error(f"feature {feature.name}", error)
