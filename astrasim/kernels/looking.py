"""Looking around: everybody into a grid, then :func:`~.perceiving.perceive`, radius by radius; on a thread or two."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .grid import EXACT, Cells, Sorted, lay_cells, sort_rows
from .perceiving import PerceptTable, perceive, write_percepts
from .sharing import COUNTERS, nothing_taken, together


@njit(cache=True)
def radii(percepts: PerceptTable, first: int) -> int:
    """The channels from ``first`` on have one radius, until the one returned."""
    last = first + 1
    while last < len(percepts.radius) and percepts.radius[last] == percepts.radius[first]:
        last += 1
    return last


@njit(cache=True, fastmath=EXACT)
def sort_all(
    f: NDArray[np.float32],
    kind: NDArray[np.int16],
    count: int,
    seen_f: NDArray[np.float32],
    seen_kind: NDArray[np.int16],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
    first: int,
    last: int,
) -> tuple[Cells, Sorted, Sorted, int, NDArray[np.int32]]:
    """Sort what is seen, and who looks, into a grid for the channels first..last: cells, seen, observers, the groups of
    these, and room for what they find.
    """
    # For a number as it is written numba would compile what is called once more.
    groups, one = int(percepts.group.max()) + 1, int(np.int64(1))
    # A little more than the radius: d2 is rounded, and so is the division into cells.
    cells = lay_cells(seen_f, seen_count, groups, np.float64(percepts.radius[first]) * (1 + 1e-6) + 1e-9)
    seen = sort_rows(seen_f, seen_kind, percepts.group, groups, seen_count, cells)
    observers = seen
    if not same:
        observers = sort_rows(f, kind, np.zeros(64, np.int32), one, count, cells)
    slots = 5 if percepts.weak_ref[first:last].max() >= 0 else 3
    found = np.empty((len(observers.place), (last - first) * slots), np.int32)
    return cells, seen, observers, groups if same else one, found


@njit(cache=True, nogil=True)
def perceive_together(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    observers: Sorted,
    observer_groups: int,
    cells: Cells,
    seen_f: NDArray[np.float32],
    seen: Sorted,
    same: bool,
    percepts: PerceptTable,
    first: int,
    last: int,
    found: NDArray[np.int32],
    counters: NDArray[np.int64],
) -> None:
    """:func:`perceive` and :func:`write_percepts`, on as many threads as call it with the same arguments."""
    perceive(
        kind, turn, observers, observer_groups, cells, seen_f, seen, same, percepts, first, last, found, counters
    )
    write_percepts(f, r, kind, turn, observers.place, found, percepts, first, last, counters)


@njit(cache=True, fastmath=EXACT)
def look(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    count: int,
    seen_f: NDArray[np.float32],
    seen_kind: NDArray[np.int16],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
) -> None:
    """What those see whose ``turn`` it is, radius by radius. One call, because a grid that passes through Python costs
    a small game more than the looking.
    """
    first = int(np.int64(0))
    while first < len(percepts.radius):
        last = radii(percepts, first)
        cells, seen, observers, groups, found = sort_all(
            f, kind, count, seen_f, seen_kind, seen_count, same, percepts, first, last
        )
        perceive_together(
            f, r, kind, turn, observers, groups, cells, seen_f, seen, same, percepts, first, last, found,
            np.zeros(COUNTERS, np.int64),
        )  # fmt: skip
        first = last


def look_together(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    count: int,
    seen_f: NDArray[np.float32],
    seen_kind: NDArray[np.int16],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
) -> None:
    """:func:`look` on two threads."""
    first = 0
    while first < len(percepts.radius):
        last = radii(percepts, first)
        cells, seen, observers, groups, found = sort_all(
            f, kind, count, seen_f, seen_kind, seen_count, same, percepts, first, last
        )
        together(
            perceive_together, f, r, kind, turn, observers, groups, cells, seen_f, seen, same, percepts, first, last,
            found, nothing_taken(),
        )  # fmt: skip
        first = last
