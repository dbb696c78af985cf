"""Whose turn it is to look, where not everyone looks in every tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiling import kernel

RUNS, LONGEST_RUN = 64, 1024
"""The rows of a table take turns in so many runs, none longer than that. Of each line of memory fetched for one row its
neighbours can then use the rest, and yet what looking costs is spread evenly over the ticks."""


def rows_together(capacity: int) -> int:
    """How many rows look together in a table of this capacity. It changes when a table grows only."""
    return max(1, min(capacity // RUNS, LONGEST_RUN))


@kernel
def take_turns(
    due: NDArray[np.uint8], count: int, together: int, every: int, phase: int, turn: NDArray[np.uint8],
    rows: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write to ``turn[:count]`` whose turn it is, and their rows, rising, to ``rows``; returns how many there are.

    The turn goes round the rows in ``every`` ticks, ``together`` rows at a time. Who is ``due`` does not wait for it:
    the new, those whose row is not the one that they had, all after the table grew. So no percept is older than
    ``every`` ticks.
    """
    found = 0
    slot = phase % every
    for first in range(0, count, together):
        last = min(first + together, count)
        if slot == 0:
            turn[first:last] = 1
            for i in range(first, last):
                rows[found + i - first] = i
            found += last - first
        else:
            turn[first:last] = 0
            anyone = np.uint8(0)
            for i in range(first, last):
                anyone |= due[i]
            if anyone:
                for i in range(first, last):
                    if due[i]:
                        turn[i] = 1
                        rows[found] = i
                        found += 1
        due[first:last] = 0
        slot = slot + 1 if slot + 1 < every else 0
    return found
