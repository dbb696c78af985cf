"""What a domain declares, as frozen rows: each is checked when it is made, as far as it can be on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from .arguments import number
from .errors import DomainError
from .roles import Role
from .stock import StockAction

AGENT_COLUMNS: dict[str, float] = {
    "x": 0.0, "y": 0.0, "vx": 0.0, "vy": 0.0, "home_x": 0.0, "home_y": 0.0,
    "hp": 100.0, "stamina": 100.0, "ammo": 0.0,
}  # fmt: skip
"""Float columns that every agent has, with the value at spawning (the home is where it spawned)."""

THING_COLUMNS: dict[str, float] = {"x": 0.0, "y": 0.0, "amount": 0.0}
SELF, HOME = "self", "home"
WAIT = "wait"
"""The action that every kind of agent of every domain has."""
MAX_KINDS = 63
MAX_EDGES = 254
MAX_NEEDS = 4
MAX_RADIUS = 1e9
MIN_SECONDS = 0.1


@dataclass(frozen=True)
class Percept:
    """A look at the world: the nearest or weakest, or the number, of the kinds that ``sees`` gives each observer."""

    name: str
    mode: str
    sees: Mapping[str, tuple[str, ...]]
    radius: float
    by: str
    cap: int
    line_of_sight: bool
    of_things: bool

    def __post_init__(self) -> None:
        where = f"percept {self.name!r}"
        number(self.radius, f"{where}: radius", least=1e-6, most=MAX_RADIUS)
        # Counts are kept in float32, which is exact for whole numbers below 2^24 only.
        if not isinstance(self.cap, int) or not 1 <= self.cap < 2**24:
            raise DomainError(f"{where}: cap={self.cap!r} must be a whole number from 1 to {2**24 - 1}")
        if self.line_of_sight and self.mode == "count":
            raise DomainError(f"{where}: a count has no line of sight; only nearest and weakest do")

    @property
    def counts(self) -> bool:
        """Whether it is a count; else it is a reference to the nearest or weakest."""
        return self.mode == "count"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it writes. For nearest and weakest the first is a reference, and a target."""
        if self.counts:
            return self.name, f"{self.name}_saturated"
        return self.name, f"{self.name}_distance", *([f"{self.name}_visible"] if self.line_of_sight else [])


@dataclass(frozen=True)
class Feature:
    """One thing an agent knows, cut into buckets at ``edges``. ``function`` of None: the column of the table."""

    name: str
    column: str
    function: Callable[[Any], Any] | None
    vectorised: bool
    edges: tuple[float, ...]
    words: tuple[str, ...]
    kinds: tuple[str, ...] | None
    interrupt: bool
    hysteresis: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        where = f"feature {self.name!r}"
        # In float32, as they are compared: two edges that are one there would make a bucket that nothing is in.
        if any(not a < b for a, b in pairwise(np.asarray(self.edges, np.float32).tolist())):
            raise DomainError(f"{where}: edges={list(self.edges)!r} must rise (by more than float32 rounds off)")
        if not 1 <= len(self.edges) <= MAX_EDGES:
            raise DomainError(f"{where}: {len(self.edges)} edges; a feature has 1 to {MAX_EDGES}")
        if len(self.words) != len(self.edges) + 1:
            raise DomainError(
                f"{where}: {len(self.edges)} edges make {len(self.edges) + 1} buckets, each with a phrase; "
                f"got {len(self.words)}: words={list(self.words)!r}"
            )
        for phrase in self.words:
            if not phrase.strip() or not phrase.isprintable():
                raise DomainError(f"{where}: the phrase {phrase!r} must be one line that says something")
        number(self.hysteresis, f"{where}: hysteresis", least=0)
        number(self.weight, f"{where}: weight", least=0)


def default_hysteresis(edges: tuple[float, ...]) -> float:
    """2% of the span of the edges, and at most a quarter of the narrowest bucket between them."""
    if len(edges) < 2:
        return 0.02 * (abs(sum(edges)) or 1.0)
    return min(0.02 * (edges[-1] - edges[0]), min(b - a for a, b in pairwise(edges)) / 4)


@dataclass(frozen=True)
class Action:
    """One thing an agent can do. Exactly one of ``stock`` and ``run`` is set."""

    name: str
    kinds: tuple[str, ...] | None
    targets: tuple[str, ...]
    seconds: float
    about: str
    range: float | None
    cooldown: float
    line_of_sight: bool
    needs: Mapping[str, float]
    interruptible: bool
    stock: StockAction | None = None
    run: Any = None
    vectorised: bool = False

    def __post_init__(self) -> None:
        where = f"action {self.name!r}"
        if self.range is not None:
            number(self.range, f"{where}: range", least=0)
        number(self.cooldown, f"{where}: cooldown", least=0)
        if len(self.needs) > MAX_NEEDS:
            raise DomainError(f"{where}: at most {MAX_NEEDS} needs, got {', '.join(self.needs)}")

    @property
    def cooldown_column(self) -> str | None:
        """The column that holds the seconds until it can be used again, if it has a cooldown."""
        return f"{self.name}_cooldown" if self.cooldown > 0 else None

    @property
    def is_unconditional(self) -> bool:
        """Whether it has no preconditions."""
        return not (self.needs or self.range is not None or self.cooldown or self.line_of_sight)


@dataclass(frozen=True)
class Place:
    """A named position that never moves."""

    name: str
    x: float
    y: float


@dataclass
class Declared:
    """All that was declared, by name, in order. Read it; declare through :class:`~astrasim.Domain`."""

    things: dict[str, dict[str, float]] = field(default_factory=dict)
    columns: dict[str, float] = field(default_factory=dict)
    references: dict[str, None] = field(default_factory=dict)
    relations: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    percepts: dict[str, Percept] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    resolvers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    heuristics: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    unfinished: dict[int, str] = field(default_factory=dict)
    """Decorators that were made and not put on anything yet, in words."""

    def begun(self, words: str) -> int:
        """Note a decorator that must be put on something; take out what is returned here when it is."""
        number = max(self.unfinished, default=0) + 1
        self.unfinished[number] = words
        return number
