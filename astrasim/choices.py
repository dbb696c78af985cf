"""What a model that only chooses may choose from, and what is made of its choice."""

from __future__ import annotations

from .cache import PlanCache
from .handing import Tables, Turn
from .kernels.choosing import legal_steps
from .plans import PlanStore
from .reader import Steps


class Choices:
    """The heuristics' steps, by cache entry."""

    def __init__(self, tables: Tables, cache: PlanCache, plans: PlanStore) -> None:
        self._tables, self._cache, self._plans = tables, cache, plans

    def options(self, turn: Turn, entry: int, waiting: bool = True) -> list[tuple[int, int]]:
        """The different steps (action, target) that the heuristic has for this entry and that are legal now, for those
        who wait for the model's plan, or for all who got theirs there."""
        plan = int(self._cache.entries.heuristic[entry])
        if plan < 0:  # no heuristic was called for it yet
            return []
        legal = legal_steps(self._tables.packed(turn), turn.rows, entry, plan, waiting)
        steps = enumerate(self._steps(entry))
        return list(dict.fromkeys(step[:2] for bit, step in steps if legal >> bit & 1))

    def ideas(self, entry: int) -> set[tuple[int, int]]:
        """The different steps (action, target) that the heuristic has for this entry."""
        return {step[:2] for step in self._steps(entry)}

    def put_first(self, entry: int, chosen: tuple[int, int, float]) -> Steps:
        """The heuristic's plan with the step first that the model chose; the others follow in their order."""
        steps = self._steps(entry)
        at = next((i for i, step in enumerate(steps) if step[:2] == chosen[:2]), None)
        return (chosen,) if at is None else (steps[at], *steps[:at], *steps[at + 1 :])

    def _steps(self, entry: int) -> list[tuple[int, int, float]]:
        plan, plans = int(self._cache.entries.heuristic[entry]), self._plans.table
        if plan < 0:
            return []
        row = plan, slice(plans.length[plan])
        return list(
            zip(plans.action[row].tolist(), plans.target[row].tolist(), plans.seconds[row].tolist(), strict=True)
        )
