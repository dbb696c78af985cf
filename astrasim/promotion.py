"""Agents change tier while the game runs: what they wait for ranks otherwise, and a tier may have its own prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .arguments import unknown
from .errors import DomainError
from .kernels.columns import HEURISTIC

if TYPE_CHECKING:
    from .planner import Planner
    from .settings import Settings
    from .table import Table


class Promotion:
    """The tiers of one simulation by number, least first. ``prompts``: the length of each one's prompt."""

    def __init__(self, settings: Settings, agents: Table, planner: Planner) -> None:
        self._tiers, self._agents, self._planner = settings.tiers, agents, planner
        self.prompts = [tier.prompt or settings.prompt for tier in settings.tiers]

    def number(self, name: str, where: str) -> int:
        """The number of the tier called ``name``, into which agents are put now.

        Raises:
            DomainError: if there is none.
        """
        names = [tier.name for tier in self._tiers]
        if name not in names:
            raise DomainError(unknown(name, names, where, "tier"))
        number = names.index(name)
        self._planner.serving.meet(number)
        return number

    def promote(self, rows: NDArray[np.int64], number: int, now_s: float) -> None:
        """Put the agents of ``rows`` into the tier of this number."""
        agents = self._agents
        rows = rows[agents.tier[rows] != number]
        if not len(rows):
            return
        agents.tier[rows] = number
        if len(set(self.prompts)) > 1:
            self._change_prompts(rows, number)
        if self._tiers[number].asks:
            self._planner.cache.raise_tier(self._waits_for(rows), number, int(now_s * 1000))

    def _change_prompts(self, rows: NDArray[np.int64], number: int) -> None:
        scopes, of = self._planner.scopes, self._agents.scope[rows]
        for old in np.unique(of).tolist():
            new = scopes.intern(scopes[old].model_copy(update={"prompt": self.prompts[number]}))
            self._agents.scope[rows[of == old]] = new

    def _waits_for(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """The cache entries at which these agents wait for a model's plan."""
        agents, entries = self._agents, self._planner.cache.entries
        at = agents.entry[rows]
        waits = (agents.source[rows] == HEURISTIC) & (at != -1)
        rows, at = rows[waits], at[waits]
        at = np.where(at < -1, np.int32(-2) - at, at)  # its plan ended meanwhile
        still = (entries.scope[at] == agents.scope[rows]) & (entries.key[at] == agents.plan_key[rows])
        found: NDArray[np.int32] = at[still & (entries.model[at] < 0)]
        return found
