"""Situations: from percepts and columns to features and keys."""

from __future__ import annotations

from typing import Any

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim.declarations import Feature
from astrasim.errors import ActionError
from astrasim.kernels.sharing import nothing_taken, together
from astrasim.kernels.situating import situate, situate_together
from astrasim.simulation import Simulation
from astrasim.views import Rows


class Situations(esper.Processor):
    """Runs the features that are the game's code, then packs all features into each agent's key."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        compiled = sim.compiled
        has = compiled.features.multiplier != 0  # by kind and feature
        self._features = [
            (f, sim.agents.float_index[f.column], None if has[:, q].all() else has[:, q].copy())
            for q, f in enumerate(compiled.declared_features)
            if f.function is not None
        ]

    def process(self, dt: float | None = None) -> None:
        sim, agents = self._sim, self._sim.agents
        looking = sim.looking
        if not len(looking):
            return
        if self._features:
            # A value too large for float32 becomes infinite there, which is as good as it is.
            with np.errstate(over="ignore"):
                for feature, column, kinds in self._features:
                    rows = looking if kinds is None else self._of_kinds(kinds)
                    if len(rows):
                        self._evaluate(feature, column, rows)
        work = (
            agents.f, agents.b, agents.kind, agents.key, agents.interrupt_key, agents.plan_interrupt_key,
            agents.need, looking, sim.compiled.features, nothing_taken(),
        )  # fmt: skip
        if len(looking) >= sim.shared_from:
            together(situate_together, *work)
        else:
            situate(*work)

    def _of_kinds(self, kinds: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of those of these kinds who look in this tick."""
        agents, looking = self._sim.agents, self._sim.looking
        if len(looking) == agents.count:  # everybody: in order, and nothing to gather
            return np.flatnonzero(kinds[agents.kind])
        return looking[kinds[agents.kind[looking]]]

    def _evaluate(self, feature: Feature, column: int, rows: NDArray[np.intp]) -> None:
        """Write the feature's column for these rows. Where its code raises, the last value stays."""
        agents, function = self._sim.agents, feature.function
        assert function is not None
        everyone = slice(0, len(rows)) if len(rows) == agents.count else None  # they rise, so these are all
        if feature.vectorised:
            try:
                values = _numbers(function(Rows(agents, rows, everyone)), len(rows))
            except Exception as error:  # the game's code
                return self._failed(feature, error)
            unknown = bool(np.isnan(values).any())
            agents.f[column][everyone or rows] = values  # in two steps: numpy takes a third of the time
        else:
            handles, at_row = agents.handles, rows.tolist()
            numbers = agents.f[column, rows].tolist()
            unknown = False
            for i, row in enumerate(at_row):
                try:
                    value = function(handles[row])
                    numbers[i] = value = value if type(value) is float else _number(value)
                    unknown |= value != value
                except Exception as error:  # the game's code
                    self._failed(feature, error)
            agents.f[column, rows] = numbers
        if unknown:
            nan = ActionError("a value is NaN, which counts as the lowest bucket")
            self._sim.errors.report(f"feature {feature.name}", nan)

    def _failed(self, feature: Feature, error: Exception) -> None:
        if self._sim.settings.strict:
            what = error if isinstance(error, ActionError) else f"raised {error!r}"
            raise ActionError(f"feature {feature.name}: {what}") from error
        self._sim.errors.report(f"feature {feature.name}", error)


def _number(returned: Any) -> float:
    # numpy would read None as NaN, and "3" as 3.
    if returned is None or isinstance(returned, str | bytes):
        missing = ": is there a way through it without a return?" if returned is None else ""
        raise ActionError(f"a feature returns a number, and this one returned {returned!r}{missing}")
    return float(returned)


def _numbers(returned: object, count: int) -> NDArray[np.float32]:
    array = np.asarray(returned)
    if array.dtype.kind not in "biuf" or array.shape not in ((), (count,)):
        missing = ": is there a way through it without a return?" if returned is None else ""
        raise ActionError(
            f"a vectorised feature returns numbers of shape ({count},), and this one returned "
            f"{array.dtype} of shape {array.shape}{missing}"
        )
    return np.broadcast_to(array, count).astype(np.float32)
