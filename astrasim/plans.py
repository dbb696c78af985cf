"""Plans: immutable, interned, shared by all who follow them; kept as objects for people and as arrays for kernels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from .kernels.columns import Plans
from .reader import Steps
from .vocabulary import MAX_STEPS, Vocabulary


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
    """All plans in use, by number. ``table`` holds them as arrays, which are replaced when the store grows."""

    def __init__(self, vocabulary: Vocabulary, capacity: int = 256) -> None:
        self._vocabulary = vocabulary
        self._numbers: dict[tuple[Steps, Origin], int] = {}
        self._plans: list[Plan] = []
        self.table = _empty(capacity)

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, number: int) -> Plan:
        return self._plans[number]

    def intern(self, steps: Steps, origin: Origin) -> int:
        """The number of the plan with these steps (from the reader, so they are well-formed) and origin."""
        number = self._numbers.get((steps, origin))
        if number is not None:
            return number
        number = len(self._plans)
        if number == len(self.table.length):
            grown = _empty(2 * number)
            for new, old in zip(grown, self.table, strict=True):
                new[:number] = old
            self.table = grown
        for position, (action, target, seconds) in enumerate(steps):
            self.table.action[number, position] = action
            self.table.target[number, position] = target
            self.table.seconds[number, position] = seconds
        self.table.length[number] = len(steps)
        self.table.from_model[number] = origin is Origin.MODEL
        names = self._vocabulary
        self._plans.append(Plan(tuple(Step(names.actions[a].name, names.targets[t], s) for a, t, s in steps), origin))
        self._numbers[steps, origin] = number
        return number


def _empty(capacity: int) -> Plans:
    return Plans(
        action=np.zeros((capacity, MAX_STEPS), np.int16),
        target=np.zeros((capacity, MAX_STEPS), np.int16),
        seconds=np.zeros((capacity, MAX_STEPS), np.float32),
        length=np.zeros(capacity, np.int32),
        from_model=np.zeros(capacity, np.uint8),
    )
