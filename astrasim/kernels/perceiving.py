"""Perception: who is near.

Rows are sorted by what they are and where: by groups of kinds that are always seen together, then by cell. So an agent
runs through three lines of three cells for each group that it looks for, at sixteen candidates a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .compiling import float_kernel
from .grid import EXACT, INFINITY, Cells, Sorted
from .lanes import LANES, NEVER, best_of, fetch, least_among, nearest_among
from .sharing import block_done, take_block, wait_for_blocks

SPAN = 4096
"""After so many candidates an agent looks whether it needs more: ten thousand on one point all see at once that nobody
is nearer than at no distance, and enough to be counted."""
NONE = np.int32(NEVER)
CELLS, ROWS = 64, 2048
"""Blocks, of which two threads take the next: some tens of microseconds each."""
PERCEIVE, WRITE = 6, 7
"""Phases of the counters; those before are for sorting, twice."""


class PerceptTable(NamedTuple):
    """Percepts over one table (agents or things), those of equal relation and radius merged into one channel.

    Channels are in the order of their radius. Columns are -1 where a channel does not have that output; ``near_ref``
    and ``weak_ref`` index references, the others float columns.

    ``weak_by[c]``: the column of the weakest's values. ``sees[c, k]``: which set of kinds an observer of kind k looks
    for in channel c; -1: nobody. ``members[s]``: the groups of kinds in set s, one bit each. ``group[k]``: the group of
    kind k. Kinds that no set tells apart are one group.
    """

    radius: NDArray[np.float32]
    near_ref: NDArray[np.int32]
    near_distance: NDArray[np.int32]
    total: NDArray[np.int32]
    saturated: NDArray[np.int32]
    cap: NDArray[np.int32]
    weak_ref: NDArray[np.int32]
    weak_distance: NDArray[np.int32]
    weak_by: NDArray[np.int32]
    sees: NDArray[np.int32]
    members: NDArray[np.int64]
    group: NDArray[np.int32]


@njit(cache=True, error_model="numpy")
def _rank(values: NDArray[np.float32], rows: NDArray[np.int32], keys: NDArray[np.int32], count: int) -> None:
    """Integers in the order of each row's value. Those of equal values are equal; what is no number never counts."""
    for k in range(count):
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
    turn: NDArray[np.uint8],
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
    counters: NDArray[np.int64],
) -> None:
    """Find what the agents whose ``turn`` it is see in channels of one radius.

    The agents of a cell are anywhere in their table. To write all their columns here would be to wait for memory, so
    what they see is put down in the order of looking; :func:`write_percepts` goes through the table in its order.

    Args:
        observers: the agents, sorted into ``cells``, which are no smaller than the radius of the channels.
        seen_f: float columns of the table whose rows ``seen`` sorts into the same cells.
        same: whether that is the observers' own table (nobody sees itself).
        found: for each observer and channel the nearest row, the bits of its squared distance (NONE: nobody), and how
            many there are; and where the weakest is wanted, its row and the bits of its squared distance.
    """
    radius = percepts.radius[first_channel]
    limit = np.float32(radius * radius)
    sees, near_ref, weak_by = percepts.sees, percepts.near_ref, percepts.weak_by
    total, cap = percepts.total, percepts.cap
    start, observer_row, observer_x, observer_y = observers.start, observers.row, observers.x, observers.y
    begins, rows, xs, ys = seen.start, seen.row, seen.x, seen.y
    so_far = np.empty(2 * LANES, np.int32)
    nx, ny = cells.nx, cells.ny
    area = nx * ny
    keys = np.empty((last_channel - first_channel, len(rows)), np.int32)  # where there are no weakest, never touched
    for c in range(first_channel, last_channel):
        if weak_by[c] >= 0:
            _rank(seen_f[weak_by[c]], rows, keys[c - first_channel], len(rows) - LANES)
    slots = found.shape[1] // (last_channel - first_channel)
    blocks = (area + CELLS - 1) // CELLS
    block = take_block(counters, PERCEIVE)
    while block < blocks:
        for cell in range(block * CELLS, min(block * CELLS + CELLS, area)):
            cx, cy = -1, -1
            for g in range(observer_groups):
                for o in range(start[g * area + cell], start[g * area + cell + 1]):
                    i = observer_row[o]
                    if not turn[i]:
                        continue
                    if cx < 0:
                        cy, cx = cell // nx, cell % nx
                        left, right = -1 if cx > 0 else 0, 2 if cx + 1 < nx else 1
                        low, high = cell - nx if cy > 0 else cell, cell + nx if cy + 1 < ny else cell
                    x, y, me = observer_x[o], observer_y[o], np.int32(i if same else -1)
                    for c in range(first_channel, last_channel):
                        q = sees[c, kind[i]]
                        if q < 0:
                            continue
                        slot = (c - first_channel) * slots
                        if near_ref[c] >= 0 or total[c] >= 0:
                            so_far[:] = NONE
                            count = np.int32(0)
                            members, shift = percepts.members[q], 0
                            while members:
                                for middle in range(low + shift, (high if members & 1 else low - 1) + shift + 1, nx):
                                    # Cells of one line are neighbours in memory: one run of candidates a line.
                                    first, last = begins[middle + left], begins[middle + right]
                                    while last - first > SPAN:
                                        count += nearest_among(
                                            xs, ys, rows, rows, first, first + SPAN, x, y, limit, me, so_far
                                        )
                                        first += SPAN
                                        if total[c] >= 0 and count <= cap[c]:
                                            continue
                                        bits, row = best_of(so_far)
                                        # Nobody is nearer than at no distance, where only those of its own cell can be.
                                        own = max(first, begins[cell + shift])
                                        if near_ref[c] < 0 or (
                                            bits == 0 and (own >= begins[cell + shift + 1] or rows[own] > row)
                                        ):
                                            first = last
                                    count += nearest_among(xs, ys, rows, rows, first, last, x, y, limit, me, so_far)
                                members, shift = members >> 1, shift + area
                            found[o, slot + 1], found[o, slot] = best_of(so_far)
                            found[o, slot + 2] = count
                        if weak_by[c] >= 0:
                            so_far[:] = NONE
                            members, shift = percepts.members[q], 0
                            while members:
                                for middle in range(low + shift, (high if members & 1 else low - 1) + shift + 1, nx):
                                    first, last = begins[middle + left], begins[middle + right]
                                    least_among(
                                        xs, ys, rows, keys[c - first_channel], first, last, x, y, limit, me, so_far
                                    )
                                members, shift = members >> 1, shift + area
                            key, weak = best_of(so_far)
                            if key < NONE:
                                dx, dy = seen_f[0, weak] - x, seen_f[1, weak] - y
                                key = np.float32(dx * dx + dy * dy).view(np.int32)
                            found[o, slot + 3], found[o, slot + 4] = weak, key
        block_done(counters, PERCEIVE)
        block = take_block(counters, PERCEIVE)
    wait_for_blocks(counters, PERCEIVE, blocks)


@float_kernel
def write_percepts(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    place: NDArray[np.uint32],
    found: NDArray[np.int32],
    percepts: PerceptTable,
    first_channel: int,
    last_channel: int,
    counters: NDArray[np.int64],
) -> None:
    """Write what was :func:`perceive`d of the agents ``observers.row[place[i]] = i`` to their columns."""
    blocks = (len(place) + ROWS - 1) // ROWS
    block = take_block(counters, WRITE)
    while block < blocks:
        _write_rows(f, r, kind, turn, place, found, percepts, first_channel, last_channel, block * ROWS)
        block_done(counters, WRITE)
        block = take_block(counters, WRITE)
    wait_for_blocks(counters, WRITE, blocks)

@float_kernel
def _write_rows(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    place: NDArray[np.uint32],
    found: NDArray[np.int32],
    percepts: PerceptTable,
    first_channel: int,
    last_channel: int,
    first: int,
) -> None:
    width = np.int64(found.shape[1])
    slots = width // (last_channel - first_channel)
    for i in range(first, min(first + ROWS, len(place))):
        if i + 16 < len(place) and turn[i + 16]:
            fetch(found, np.int64(place[i + 16]) * width)  # it is anywhere, and the processor cannot guess where
        if not turn[i]:
            continue
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
