"""Scopes by number: rows of the agent table and requests carry the number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import Compiled
from .errors import ActionError, PlanRejected
from .plans import Origin, PlanStore
from .reader import Steps, read_compact_plan
from .situation import Situation
from .vocabulary import MAX_STEPS, Scope


class Scopes:
    """All scopes met so far, with each one's default plan and heuristic. Numbers are never used again."""

    def __init__(self, compiled: Compiled, plans: PlanStore) -> None:
        self._compiled, self._plans = compiled, plans
        self._numbers: dict[Scope, int] = {}
        self.scopes: list[Scope] = []
        self._heuristics: list[Callable[[Situation], Any] | None] = []
        self._written: dict[tuple[int, str], Steps] = {}
        self.default_plan: NDArray[np.int32] = np.zeros(64, np.int32)
        self.style_plan: NDArray[np.int32] = np.zeros(64, np.int32)
        """By scope: what an agent does whose heuristic failed, is not there, or could not be called in time."""

    def __getitem__(self, number: int) -> Scope:
        return self.scopes[number]

    def __len__(self) -> int:
        return len(self.scopes)

    def intern(self, scope: Scope) -> int:
        """The number of ``scope``."""
        number = self._numbers.get(scope)
        if number is not None:
            return number
        number = len(self.scopes)
        declared = self._compiled.domain.declared.heuristics
        role = self._compiled.roles[scope.role]
        default = read_compact_plan("\n".join(role.default), self._compiled.vocabulary, scope)
        if number == len(self.default_plan):
            self.default_plan = np.concatenate([self.default_plan, np.zeros_like(self.default_plan)])
            self.style_plan = np.concatenate([self.style_plan, np.zeros_like(self.style_plan)])
        self.default_plan[number] = self._plans.intern(default, Origin.HEURISTIC)
        self.style_plan[number] = self._plans.intern(self._compiled.style_plan(scope), Origin.HEURISTIC)
        self._heuristics.append(declared.get(scope.role, declared.get(scope.kind)))
        self._numbers[scope] = number
        self.scopes.append(scope)
        return number

    def heuristic_plan(self, number: int, key: int) -> int:
        """The plan (its number) that the heuristic of this scope makes of a situation.

        Raises:
            ActionError: if the game's heuristic raised, or wrote what is no plan.
        """
        heuristic = self._heuristics[number]
        if heuristic is None:
            return int(self.style_plan[number])
        scope = self.scopes[number]
        situation = Situation(self._compiled.vocabulary, scope, key)
        try:
            written = heuristic(situation)
            if not isinstance(written, str | list) and isinstance(written, Iterable):
                written = list(written)
        except Exception as error:  # whatever the game's code raises must not end the tick
            raise ActionError(f"heuristic {_name(heuristic)} raised for {situation!r}: {error!r}") from error
        try:
            text = written if isinstance(written, str) else "\n".join(written)
        except TypeError:
            raise ActionError(
                f"heuristic {_name(heuristic)} returned {written!r} for {situation!r}; it must return "
                f"'action target [seconds]', or a list of up to {MAX_STEPS} such lines"
            ) from None
        steps = self._written.get((number, text))
        if steps is None:
            try:
                steps = read_compact_plan(text, self._compiled.vocabulary, scope)
            except PlanRejected as error:
                raise ActionError(
                    f"heuristic {_name(heuristic)} returned {written!r} for {situation!r}, which is no plan: {error}"
                ) from error
            if len(self._written) < 65_536:
                self._written[number, text] = steps
        return self._plans.intern(steps, Origin.HEURISTIC)


def _name(heuristic: Callable[[Situation], Any]) -> str:
    return getattr(heuristic, "__name__", repr(heuristic))
