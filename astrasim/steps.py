"""The life of a step, kept in one byte a row of the agent table.

    RUNNING ──► DONE         it did what it is for, or its time is up
       │  └───► FAILED       a precondition broke, its target is gone, or the game's code raised
       └──────► INTERRUPTED  the planner put another plan in its place

    DONE, FAILED, INTERRUPTED ──► RUNNING    the next step (or the next plan's first) starts

Kernels write the column; in strict mode :func:`check_transitions` looks at every row of it after every tick.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .errors import TransitionError


class Status(IntEnum):
    """What an action's ``update`` returns, and where a step stands."""

    RUNNING = 0
    DONE = 1
    FAILED = 2
    INTERRUPTED = 3


ALLOWED: dict[Status, frozenset[Status]] = {
    Status.RUNNING: frozenset({Status.DONE, Status.FAILED, Status.INTERRUPTED}),
    Status.DONE: frozenset({Status.RUNNING}),
    Status.FAILED: frozenset({Status.RUNNING}),
    Status.INTERRUPTED: frozenset({Status.RUNNING}),
}

_TABLE = np.array([[a == b or b in ALLOWED[a] for b in Status] for a in Status])


def check_transition(before: Status, after: Status) -> None:
    """Raises TransitionError if a step cannot go from ``before`` to ``after``."""
    if after not in ALLOWED[before]:
        allowed = ", ".join(s.name for s in sorted(ALLOWED[before]))
        raise TransitionError(f"a step cannot go from {before.name} to {after.name}; from {before.name}: {allowed}")


def check_transitions(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    """Raises TransitionError for the first row that went a way which :data:`ALLOWED` does not have.

    Args:
        before, after: the step state of each row, uint8 of equal length; equal values are no transition.
    """
    wrong = np.flatnonzero(~_TABLE[before, after])
    if len(wrong):
        check_transition(Status(int(before[wrong[0]])), Status(int(after[wrong[0]])))
