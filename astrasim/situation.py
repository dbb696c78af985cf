"""A situation as game code meets it: in a heuristic, in ``sim.situation(agent)`` and in ``sim.why(agent)``."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .arguments import unknown
from .vocabulary import Scope, Vocabulary


class Situation:
    """All features of one agent at one moment, as buckets. ``situation.danger`` is the bucket of feature ``danger``.

    Attributes:
        scope: what else a plan for it depends on.
        key: the buckets packed into one integer.
        vector: for the situation of one agent, each of its kind's features as a float in 0 to 1; empty where the
            situation stands for all agents with this key (in a heuristic).
    """

    def __init__(self, vocabulary: Vocabulary, scope: Scope, key: int, vector: tuple[float, ...] = ()) -> None:
        self._vocabulary, self.scope, self.key, self.vector = vocabulary, scope, key, vector
        self._buckets: dict[str, int] | None = None

    @property
    def buckets(self) -> dict[str, int]:
        """The bucket of each feature of this kind of agent."""
        if self._buckets is None:
            self._buckets = self._vocabulary.buckets(self.scope.kind, self.key)
        return self._buckets

    @property
    def words(self) -> tuple[str, ...]:
        """The phrase of each feature's bucket."""
        return self._vocabulary.words(self.scope.kind, self.key)

    @property
    def kind(self) -> str:
        return self.scope.kind

    @property
    def role(self) -> str:
        return self.scope.role

    @property
    def order(self) -> str:
        return self.scope.order

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):  # copy and pickle look for methods before there are any buckets
            raise AttributeError(name)
        if name not in self.buckets:
            raise AttributeError(unknown(name, self.buckets, f"a situation of a {self.scope.kind}", "feature"))
        # From now on all are plain attributes, which Python finds without asking here: a heuristic reads many.
        self.__dict__ = self.buckets | self.__dict__
        return self.buckets[name]

    def __repr__(self) -> str:
        return f"Situation({self.scope.kind}, key {self.key}: {'; '.join(self.words)})"


def position_among(value: float, edges: tuple[float, ...]) -> float:
    """Where a value stands among the buckets, 0 to 1, linear in each; outer buckets are as wide as their neighbour."""
    widths = [b - a for a, b in pairwise(edges)] or [max(abs(edges[0]), 1.0)]
    knots = [edges[0] - widths[0], *edges, edges[-1] + widths[-1]]
    return float(np.interp(value, knots, np.linspace(0.0, 1.0, len(knots))))
