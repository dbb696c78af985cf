"""Plans: immutable, interned, shared by all who follow them; kept as objects for people and as arrays for kernels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels.columns import Plans
from .kernels.rows import mark
from .reader import Steps
from .vocabulary import MAX_STEPS, Vocabulary

MIN_LIMIT = 1024


class Origin(Enum):
    """Who made a plan."""

    MODEL = "model"
    HEURISTIC = "heuristic"


class Source(Enum):
    """How one agent got its plan. The values are those of the table's column ``source``."""

    HEURISTIC = 0
    CACHE = 1
    LLM = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One step in words: an action, the symbol of its target, and for how long (seconds)."""

    action: str
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.action} {self.target} ({self.seconds:g} s)"


@dataclass(frozen=True, slots=True)
class Plan:
    """1 to 8 steps. Equal plans of the same origin are the same object."""

    steps: tuple[Step, ...]
    origin: Origin

    def __str__(self) -> str:
        return ", then ".join(map(str, self.steps))


class PlanStore:
    """All plans in use, by number. ``table`` holds them as arrays, which are replaced when the store grows.

    Models never stop inventing plans, so numbers are used again: when the store :attr:`is_full`, its owner says which
    are still referred to (:meth:`look_through`, :meth:`keep`, :meth:`forget_others`), in one go or over some ticks. It
    holds at most 1,024 plans or twice as many as were in use then, whichever is more, plus those made meanwhile.
    """

    def __init__(self, vocabulary: Vocabulary, capacity: int = 256) -> None:
        self._vocabulary = vocabulary
        self._numbers: dict[tuple[Steps, Origin], int] = {}
        self._plans: list[Plan] = []
        self._keys: list[tuple[Steps, Origin]] = []
        self._spare: dict[int, None] = {}
        self._limit = MIN_LIMIT
        self._kept: NDArray[np.bool_] | None = None
        self.table = _empty(capacity)

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, number: int) -> Plan:
        return self._plans[number]

    @property
    def is_full(self) -> bool:
        """Whether it is time to :meth:`look_through` it."""
        return len(self._plans) >= self._limit and not self._spare

    def look_through(self) -> None:
        """Begin to note which plans are referred to: those that are made or found from now on, and those to keep."""
        self._kept = np.zeros(len(self._plans), np.bool_)

    def keep(self, numbers: NDArray[np.int32]) -> None:
        """These are referred to. Negative numbers are passed over."""
        assert self._kept is not None
        mark(numbers, self._kept)

    def forget_others(self) -> None:
        """All numbers that were not kept may stand for other plans from now on."""
        assert self._kept is not None
        self._spare = dict.fromkeys(np.flatnonzero(~self._kept).tolist())
        self._kept = None
        self._limit = max(MIN_LIMIT, 2 * (len(self._plans) - len(self._spare)))

    def intern(self, steps: Steps, origin: Origin) -> int:
        """The number of the plan with these steps (from the reader, so they are well-formed) and origin."""
        number = self._numbers.get((steps, origin))
        if number is not None:
            self._spare.pop(number, None)
            if self._kept is not None and number < len(self._kept):
                self._kept[number] = True
            return number
        names = self._vocabulary
        plan = Plan(tuple(Step(names.actions[a].name, names.targets[t], s) for a, t, s in steps), origin)
        if self._spare:
            number, _ = self._spare.popitem()
            del self._numbers[self._keys[number]]
            self._plans[number], self._keys[number] = plan, (steps, origin)
        else:
            number = len(self._plans)
            self._plans.append(plan)
            self._keys.append((steps, origin))
            if number == len(self.table.length):
                self._grow()
        self._numbers[steps, origin] = number
        for position, (action, target, seconds) in enumerate(steps):
            self.table.action[number, position] = action
            self.table.target[number, position] = target
            self.table.seconds[number, position] = seconds
        self.table.length[number] = len(steps)
        self.table.from_model[number] = origin is Origin.MODEL
        return number

    def _grow(self) -> None:
        arrays: tuple[NDArray[Any], ...] = self.table
        grown: tuple[NDArray[Any], ...] = (table := _empty(2 * len(self._plans)))
        for new, old in zip(grown, arrays, strict=True):
            new[: len(old)] = old
        self.table = table


def _empty(capacity: int) -> Plans:
    return Plans(
        action=np.zeros((capacity, MAX_STEPS), np.int16),
        target=np.zeros((capacity, MAX_STEPS), np.int16),
        seconds=np.zeros((capacity, MAX_STEPS), np.float32),
        length=np.zeros(capacity, np.int32),
        from_model=np.zeros(capacity, np.uint8),
    )
