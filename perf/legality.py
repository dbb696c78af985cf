"""What a fault must never do to a plan, looked for in the tables that the kernels run on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrasim.simulation import Simulation
from astrasim.vocabulary import MAX_STEPS


class Legality:
    """Looks at all plans in the store and at what agents follow. :meth:`look` takes one or two milliseconds.

    It goes by the domain's declaration alone, and asks nobody who let a plan in. A step is illegal if there is no such
    action, if the action cannot have its target, if it does not last as long as a step may, or if the scope of an agent
    that follows it does not have its action.
    """

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        words = sim.compiled.vocabulary
        self._allowed = np.zeros((len(words.actions), len(words.targets)), np.bool_)
        """Which action can have which target."""
        for action, spec in enumerate(words.actions):
            self._allowed[action, [words.target_index[name] for name in spec.targets]] = True
        self._has = np.zeros((0, len(words.actions)), np.bool_)
        """Which scope has which action."""
        self.reset()

    def reset(self) -> None:
        """Count anew."""
        self.illegal_steps = 0
        """When there were most of them."""
        self.without_plan = 0
        """Agents without a plan, or past its end, when there were most of them."""

    def look(self) -> None:
        """Judge what is there now."""
        agents, planner, count = self._sim.agents, self._sim.planner, self._sim.agents.count
        plan, step = agents.plan[:count], agents.step[:count]
        exists = (plan >= 0) & (plan < len(planner.plans))
        length = planner.plans.table.length
        has_step = exists & (step >= 0) & (step < length[np.where(exists, plan, 0)])
        self.without_plan = max(self.without_plan, count - int(np.count_nonzero(has_step)))
        stored = self._illegal_in_store(len(planner.plans))
        self.illegal_steps = max(self.illegal_steps, stored + self._foreign(agents.scope[:count], plan, exists))

    def _illegal_in_store(self, plans: int) -> int:
        table, words = self._sim.planner.plans.table, self._sim.compiled.vocabulary
        action, target, seconds = table.action[:plans], table.target[:plans], table.seconds[:plans]
        length = table.length[:plans]
        known = (action >= 0) & (action < len(words.actions)) & (target >= 0) & (target < len(words.targets))
        legal = known & self._allowed[np.where(known, action, 0), np.where(known, target, 0)]
        legal &= (seconds >= words.min_seconds) & (seconds <= words.max_seconds)  # False for NaN too
        wrong_lengths = np.count_nonzero((length < 1) | (length > MAX_STEPS))
        return int(np.count_nonzero(~legal & self._is_step(length))) + int(wrong_lengths)

    def _foreign(self, scope: NDArray[Any], plan: NDArray[Any], exists: NDArray[np.bool_]) -> int:
        """Steps that agents have before them and their scope does not allow."""
        scopes, words, table = self._sim.planner.scopes, self._sim.compiled.vocabulary, self._sim.planner.plans.table
        if len(self._has) < len(scopes):
            has = [[action.name in scope.actions for action in words.actions] for scope in scopes.scopes]
            self._has = np.array(has, np.bool_)
        pairs = np.unique(scope[exists].astype(np.int64) << 32 | plan[exists])
        action = table.action[pairs & 0xFFFFFFFF]
        known = (action >= 0) & (action < len(words.actions))  # others are counted in the store
        foreign = known & ~self._has[(pairs >> 32)[:, None], np.where(known, action, 0)]
        return int(np.count_nonzero(foreign & self._is_step(table.length[pairs & 0xFFFFFFFF])))

    @staticmethod
    def _is_step(length: NDArray[Any]) -> NDArray[np.bool_]:
        return np.arange(MAX_STEPS) < length[:, None]
