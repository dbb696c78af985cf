"""Perception: who is near.

The agents of one cell of a grid look at the same candidates: those of nine cells. These are copied together once, into
one list for each set of kinds that somebody there looks for, and each agent runs through the lists at sixteen a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .compiling import float_kernel
from .grid import EXACT, INFINITY, Cells, Sorted, gather, lay_cells, sort_rows
from .lanes import LANES, NEVER, fetch, least_of, nearest_of
from .situating import is_new

SPAN = 4096
"""After so many candidates an agent looks whether it needs more. A longer list is sorted by row, so somebody at no
distance is then the nearest for good: ten thousand on one point are no hundred million looks."""
NONE = np.int32(NEVER)


class PerceptTable(NamedTuple):
    """Percepts over one table (agents or things), those of equal relation and radius merged into one channel.

    Channels are in the order of their radius. Columns are -1 where a channel does not have that output; ``near_ref``
    and ``weak_ref`` index references, the others float columns.

    ``sees[c, k]``: which list of candidates an observer of kind k goes through in channel c; -1: it sees nobody.
    ``members[l]``: the groups of kinds on list l, one bit each; ``by[l]``: the column by which the weakest of them is
    found, or -1. ``group[k]``: the group of kind k. Kinds that no list tells apart are one group.
    """

    radius: NDArray[np.float32]
    near_ref: NDArray[np.int32]
    near_distance: NDArray[np.int32]
    total: NDArray[np.int32]
    saturated: NDArray[np.int32]
    cap: NDArray[np.int32]
    weak_ref: NDArray[np.int32]
    weak_distance: NDArray[np.int32]
    sees: NDArray[np.int32]
    members: NDArray[np.int64]
    by: NDArray[np.int32]
    group: NDArray[np.int32]


@njit(cache=True)
def _longer(numbers: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    longer = np.empty(2 * (used + room), numbers.dtype)
    longer[:used] = numbers[:used]
    return longer


@njit(cache=True, error_model="numpy")
def _sort_by_row(
    rows: NDArray[np.int32], xs: NDArray[np.float32], ys: NDArray[np.float32], first: int, last: int
) -> None:
    packed = np.empty(last - first, np.int64)
    for k in range(last - first):
        packed[k] = (np.int64(rows[first + k]) << 32) | k
    packed.sort()
    old_xs, old_ys = xs[first:last].copy(), ys[first:last].copy()
    for k in range(last - first):
        at = packed[k] & 0xFFFFFFFF
        rows[first + k], xs[first + k], ys[first + k] = packed[k] >> 32, old_xs[at], old_ys[at]


@njit(cache=True, error_model="numpy")
def _rank(
    values: NDArray[np.float32], rows: NDArray[np.int32], first: int, last: int, keys: NDArray[np.int32]
) -> None:
    """Integers in the order of each row's value. Those of equal values are equal; what is no number never counts."""
    for k in range(first, last):
        value = values[rows[k]]
        bits = np.float32(value).view(np.int32)
        if value != value:
            keys[k] = NONE
        elif value == 0:  # of either sign
            keys[k] = 0
        else:
            keys[k] = bits if bits >= 0 else bits ^ NONE


@njit(cache=True, fastmath=EXACT, error_model="numpy")
def perceive(
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    b: NDArray[np.uint8],
    every: int,
    phase: int,
    observers: Sorted,
    observer_groups: int,
    cells: Cells,
    seen_f: NDArray[np.float32],
    seen: Sorted,
    same: bool,
    percepts: PerceptTable,
    first_channel: int,
    last_channel: int,
    found: NDArray[np.int32],
) -> None:
    """Find what every ``every``-th agent, chosen by uid, and those never looked at see in channels of one radius.

    The agents of a cell are anywhere in their table. To write all their columns here would be to wait for memory, so
    what they see is put down in the order of looking; :func:`write_percepts` goes through the table in its order.

    Args:
        b: the buckets of their features.
        observers: the agents, sorted into ``cells``, which are no smaller than the radius of the channels.
        seen_f: float columns of the table whose rows ``seen`` sorts into the same cells.
        same: whether that is the observers' own table (nobody sees itself).
        found: for each observer and channel the nearest row, the bits of its squared distance (NONE: nobody), and how
            many there are; and where the weakest is wanted, its row and the bits of its squared distance.
    """
    radius = percepts.radius[first_channel]
    limit = np.float32(radius * radius)
    sees, total, cap = percepts.sees, percepts.total, percepts.cap
    near_ref = percepts.near_ref
    start, observer_row, xs, ys = observers.start, observers.row, observers.x, observers.y
    lists = len(percepts.members)
    made_for, list_first, list_last = np.full(lists, -1), np.empty(lists, np.int64), np.empty(lists, np.int64)
    room = len(seen.row) + 2 * LANES  # for the longest list there may be
    some_x, some_y = np.empty(2 * room, np.float32), np.empty(2 * room, np.float32)
    some_row, some_key = np.empty(2 * room, np.int32), np.empty(2 * room, np.int32)
    area = cells.nx * cells.ny
    slots = found.shape[1] // (last_channel - first_channel)
    for cell in range(area):
        used = 0
        for g in range(observer_groups):
            for o in range(start[g * area + cell], start[g * area + cell + 1]):
                i = observer_row[o]
                if every > 1 and (uid[i] + phase) % every != 0 and not is_new(b, i):
                    continue
                x, y, me = xs[o], ys[o], np.int32(i if same else -1)
                for c in range(first_channel, last_channel):
                    q = sees[c, kind[i]]
                    if q < 0:
                        continue
                    if made_for[q] != cell:
                        cy, cx = cell // cells.nx, cell % cells.nx
                        if used + room > len(some_row):
                            some_row, some_x = _longer(some_row, used, room), _longer(some_x, used, room)
                            some_key, some_y = _longer(some_key, used, room), _longer(some_y, used, room)
                        end = gather(seen, cells, percepts.members[q], cx, cy, some_row, some_x, some_y, used)
                        if end - used > SPAN:
                            _sort_by_row(some_row, some_x, some_y, used, end)
                        if percepts.by[q] >= 0:
                            _rank(seen_f[percepts.by[q]], some_row, used, end, some_key)
                        made_for[q], list_first[q], list_last[q] = cell, used, end
                        used = end + LANES
                    first, last = list_first[q], list_last[q]
                    at_slot = (c - first_channel) * slots
                    if near_ref[c] >= 0 or total[c] >= 0:
                        count, nearest, row = nearest_of(
                            some_x, some_y, some_row, some_key, first, min(last, first + SPAN), x, y, limit, me
                        )
                        while first + SPAN < last and not (
                            (near_ref[c] < 0 or nearest == 0) and (total[c] < 0 or count > cap[c])
                        ):
                            first += SPAN
                            more, bits, at = nearest_of(
                                some_x, some_y, some_row, some_key, first, min(last, first + SPAN), x, y, limit, me
                            )
                            count += more
                            if bits < nearest:  # not if equal: the rows of a long list rise
                                nearest, row = bits, at
                        found[o, at_slot], found[o, at_slot + 1], found[o, at_slot + 2] = row, nearest, count
                    if percepts.weak_ref[c] >= 0:
                        _, key, weak = least_of(
                            some_x, some_y, some_row, some_key, list_first[q], last, x, y, limit, me
                        )
                        if key < NONE:
                            dx, dy = seen_f[0, weak] - x, seen_f[1, weak] - y
                            key = np.float32(dx * dx + dy * dy).view(np.int32)
                        found[o, at_slot + 3], found[o, at_slot + 4] = weak, key


@float_kernel
def write_percepts(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    b: NDArray[np.uint8],
    every: int,
    phase: int,
    place: NDArray[np.uint32],
    found: NDArray[np.int32],
    percepts: PerceptTable,
    first_channel: int,
    last_channel: int,
) -> None:
    """Write what was :func:`perceive`d of the agents ``observers.row[place[i]] = i`` to their columns."""
    width = np.int64(found.shape[1])
    slots = width // (last_channel - first_channel)
    for i in range(len(place)):
        if every > 1 and (uid[i] + phase) % every != 0 and not is_new(b, i):
            continue
        if i + 16 < len(place):
            fetch(found, np.int64(place[i + 16]) * width)  # it is anywhere, and the processor cannot guess where
        o, k = place[i], kind[i]
        for c in range(first_channel, last_channel):
            if percepts.sees[c, k] < 0:
                continue
            at = np.uint32((c - first_channel) * slots)
            if percepts.near_ref[c] >= 0:
                nearest = found[o, at + 1]
                some = nearest != NONE
                r[percepts.near_ref[c], i] = found[o, at] if some else -1
                f[percepts.near_distance[c], i] = np.sqrt(np.int32(nearest).view(np.float32)) if some else INFINITY
            if percepts.total[c] >= 0:
                count, cap = found[o, at + 2], percepts.cap[c]
                f[percepts.total[c], i] = min(count, cap)
                f[percepts.saturated[c], i] = np.float32(count > cap)
            if percepts.weak_ref[c] >= 0:
                nearest = found[o, at + 4]
                some = nearest != NONE
                r[percepts.weak_ref[c], i] = found[o, at + 3] if some else -1
                f[percepts.weak_distance[c], i] = np.sqrt(np.int32(nearest).view(np.float32)) if some else INFINITY


@njit(cache=True, fastmath=EXACT)
def look(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    b: NDArray[np.uint8],
    count: int,
    every: int,
    phase: int,
    seen_f: NDArray[np.float32],
    seen_kind: NDArray[np.int16],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
) -> None:
    """Sort who looks and what is seen into a grid for each radius, and :func:`perceive`. One call, because a grid that
    passes through Python costs a small game more than the looking."""
    groups = int(percepts.group.max()) + 1
    first = 0
    while first < len(percepts.radius):
        radius = percepts.radius[first]
        last = first + 1
        while last < len(percepts.radius) and percepts.radius[last] == radius:
            last += 1
        # A little more than the radius: d2 is rounded, and so is the division into cells.
        cells = lay_cells(seen_f, seen_count, groups, np.float64(radius) * (1 + 1e-6) + 1e-9)
        seen = sort_rows(seen_f, seen_kind, percepts.group, groups, seen_count, cells)
        observers = seen
        if not same:
            observers = sort_rows(f, kind, np.zeros(64, np.int32), 1, count, cells)
        slots = 5 if percepts.weak_ref[first:last].max() >= 0 else 3
        found = np.empty((len(observers.place), (last - first) * slots), np.int32)
        perceive(
            kind, uid, b, every, phase, observers, groups if same else 1, cells, seen_f, seen, same, percepts,
            first, last, found,
        )  # fmt: skip
        write_percepts(f, r, kind, uid, b, every, phase, observers.place, found, percepts, first, last)
        first = last
