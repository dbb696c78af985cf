"""Whose turn it is to look, where not everyone looks in every tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiling import kernel

TOGETHER = 256
"""Rows of a large table take their turn in runs of so many: what one looking agent's columns are in, a line of memory, is
then all of such as look. Singly, four in five of the numbers fetched would be of agents that do not."""
LARGE = 16384
"""Below so many rows of capacity the turns go round row by row: the cost of plain Python features is even then."""


@kernel
def take_turns(
    due: NDArray[np.uint8], count: int, together: int, every: int, phase: int, turn: NDArray[np.uint8],
    rows: NDArray[np.int64],
) -> int:  # fmt: skip
    """Write to ``turn[:count]`` whose turn it is, and their rows, rising, to ``rows``; returns how many there are.

    The turn goes round the rows in ``every`` ticks, ``together`` rows at a time. Who is ``due`` does not wait for it:
    the new, and those whose row is not the one that they had. So no percept is older than ``every`` ticks.
    """
    found = 0
    slot = phase % every
    for first in range(0, count, together):
        mine = np.uint8(slot == 0)
        slot = slot + 1 if slot + 1 < every else 0
        for i in range(first, min(first + together, count)):
            turn[i] = mine | due[i]
            due[i] = 0
            rows[found] = i
            found += turn[i]
    return found
