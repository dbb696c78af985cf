"""Looking around: everybody into a grid, then :func:`~.perceiving.perceive`, radius by radius; on a thread or two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .grid import EXACT, Cells, Sorted, lay_cells, room_to_sort, sort_rows
from .perceiving import PerceptTable, perceive, write_percepts
from .sharing import COUNTERS, nothing_taken, together

PARTS = 2
"""In so many parts two threads sort: more would make for less waiting at the end, and more to be counted (150,000 rows:
1.25 ms on one thread, 0.60 in two parts, 0.70 in four)."""


class Ground(NamedTuple):
    """The cells for percepts of one radius, and room for who is in them and what they see."""

    cells: Cells
    seen: Sorted
    seen_counts: NDArray[np.int32]
    observers: Sorted
    observer_counts: NDArray[np.int32]
    observer_group: NDArray[np.int32]
    observer_groups: int
    found: NDArray[np.int32]


@njit(cache=True)
def radii(percepts: PerceptTable, first: int) -> int:
    """The channels from ``first`` on have one radius, until the one returned."""
    last = first + 1
    while last < len(percepts.radius) and percepts.radius[last] == percepts.radius[first]:
        last += 1
    return last


@njit(cache=True, fastmath=EXACT)
def lay_ground(
    count: int,
    seen_f: NDArray[np.float32],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
    first: int,
    last: int,
    parts: int,
) -> Ground:
    """The ground for the channels first..last, on which rows are sorted in so many parts."""
    # For a number as it is written numba would compile what is called once more.
    groups, one = int(percepts.group.max()) + 1, int(np.int64(1))
    # A little more than the radius: d2 is rounded, and so is the division into cells.
    cells = lay_cells(seen_f, seen_count, groups, np.float64(percepts.radius[first]) * (1 + 1e-6) + 1e-9)
    seen, seen_counts = room_to_sort(seen_count, cells, groups, parts)
    observers, observer_counts, group = seen, seen_counts, percepts.group
    if not same:
        observers, observer_counts = room_to_sort(count, cells, one, parts)
        group = np.zeros(64, np.int32)
    slots = 5 if percepts.weak_ref[first:last].max() >= 0 else 3
    found = np.empty((count, (last - first) * slots), np.int32)
    return Ground(
        cells, seen, seen_counts, observers, observer_counts, group, groups if same else one, found
    )


@njit(cache=True, nogil=True)
def look_around(
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
    first: int,
    last: int,
    ground: Ground,
    counters: NDArray[np.int64],
) -> None:
    """Sort, :func:`perceive` and :func:`write_percepts`, on as many threads as call it with the same arguments."""
    cells, seen, observers, found = ground.cells, ground.seen, ground.observers, ground.found
    sort_rows(
        seen_f, seen_kind, percepts.group, seen_count, cells, seen, ground.seen_counts, counters, int(np.int64(0))
    )
    if not same:
        sort_rows(
            f, kind, ground.observer_group, count, cells, observers, ground.observer_counts, counters, int(np.int64(3))
        )
    perceive(
        kind, turn, observers, ground.observer_groups, cells, seen_f, seen, same, percepts, first, last, found, counters
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
        ground = lay_ground(count, seen_f, seen_count, same, percepts, first, last, int(np.int64(1)))
        look_around(
            f, r, kind, turn, count, seen_f, seen_kind, seen_count, same, percepts, first, last, ground,
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
        ground = lay_ground(count, seen_f, seen_count, same, percepts, first, last, PARTS)
        together(
            look_around, f, r, kind, turn, count, seen_f, seen_kind, seen_count, same, percepts, first, last, ground,
            nothing_taken(),
        )  # fmt: skip
        first = last
