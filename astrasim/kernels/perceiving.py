"""Perception: who is near.

Rows are sorted by what they are and where: by groups of kinds that are always seen together, then by cell. So all that
those in one cell may see is in three lines of three cells for each group. It is brought together once for all of them,
and each then goes through it at sixteen candidates a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .compiling import float_kernel
from .grid import EXACT, INFINITY, Cells, Sorted
from .lanes import LANES, NEVER, bring_together, fetch, least_among, nearest_among
from .sharing import block_done, take_block, wait_for_blocks

SPAN = np.int64(4096)
"""After so many candidates an agent looks whether it needs more: ten thousand on one point all see at once that nobody
is nearer than at no distance, and enough to be counted."""
NONE = np.int32(NEVER)
CELLS, ROWS = 64, 2048
"""Blocks, of which two threads take the next: some tens of microseconds each."""
PERCEIVE, WRITE = 6, 7
"""Phases of the counters; those before are for sorting, twice."""
PARTY = 64
"""How many agents of a cell look at once, at most."""


class PerceptTable(NamedTuple):
    """Percepts. Those of equal relation and radius are merged into one channel; channels of like radii share a grid.

    Grid g, of cells of ``radius[grid[g]]``, is for the channels from ``grid[g]`` and the views from ``views[g]`` on.
    Columns are -1 where a channel does not have that output; ``near_ref`` and ``weak_ref`` index references, the others
    float columns. ``slot[c]``: where in its row of what is found a channel's part begins, ``width[g]``: how long that
    row is.

    ``view_of[c, k]``: what an observer of kind k looks at in channel c; -1: nothing. View v is of the groups of kinds
    ``members[v]``, one bit each (of agents, or ``of_things[v]``), within ``reach[v]``, and of their values in column
    ``by[v]`` (-1: these do not matter). ``group[k]``: the group of kind k of agents, ``thing_group[t]``: that of kind t
    of things, numbered on from those of agents. Kinds that no view tells apart are one group.
    """

    grid: NDArray[np.int32]
    views: NDArray[np.int32]
    width: NDArray[np.int32]
    radius: NDArray[np.float32]
    slot: NDArray[np.int32]
    near_ref: NDArray[np.int32]
    near_distance: NDArray[np.int32]
    total: NDArray[np.int32]
    saturated: NDArray[np.int32]
    cap: NDArray[np.int32]
    weak_ref: NDArray[np.int32]
    weak_distance: NDArray[np.int32]
    view_of: NDArray[np.int32]
    reach: NDArray[np.float32]
    by: NDArray[np.int32]
    members: NDArray[np.int64]
    of_things: NDArray[np.uint8]
    group: NDArray[np.int32]
    thing_group: NDArray[np.int32]


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
    cells: Cells,
    agents_f: NDArray[np.float32],
    things_f: NDArray[np.float32],
    seen: Sorted,
    percepts: PerceptTable,
    grid: int,
    found: NDArray[np.int32],
    counters: NDArray[np.int64],
) -> None:
    """Find what the agents whose ``turn`` it is see in the channels of one grid.

    The agents of a cell are anywhere in their table. To write all their columns here would be to wait for memory, so
    what they see is put down in the order of looking; :func:`write_percepts` goes through the table in its order.

    Args:
        seen: all agents, then all things, sorted into ``cells``, which are no smaller than any of the radii.
        found: for each agent, in the order of ``seen``, and each channel: the nearest row and the bits of its squared
            distance (NONE: nobody), then how many there are; then the weakest, in the same way as the nearest.
    """
    first_channel, last_channel = percepts.grid[grid], percepts.grid[grid + 1]
    view_of, slot, near_ref, weak_ref = percepts.view_of, percepts.slot, percepts.near_ref, percepts.weak_ref
    total, cap = percepts.total, percepts.cap
    begins, rows, xs, ys = seen.start, seen.row, seen.x, seen.y
    nx, ny = cells.nx, cells.ny
    area = nx * ny
    agents, groups = len(seen.place), np.int64(percepts.group.max()) + 1
    first_view, last_view = percepts.views[grid], percepts.views[grid + 1]
    views, room = last_view - first_view, PARTY * (last_channel - first_channel)
    # Of those of a cell who look now, for each view: who has it, and in which channel.
    looker, channel = np.empty((views, room), np.int32), np.empty((views, room), np.int32)
    lookers = np.zeros(views, np.int64)
    near_x, near_y = np.empty(len(rows) + LANES, np.float32), np.empty(len(rows) + LANES, np.float32)
    near_row, near_key = np.empty(len(rows) + LANES, np.int32), np.empty(len(rows) + LANES, np.int32)
    own, owns = np.empty((64, 2), np.int64), 0
    keys = np.empty((views, len(rows)), np.int32)  # where there are no weakest, never touched
    for v in range(first_view, last_view):
        if percepts.by[v] >= 0 and percepts.of_things[v]:
            _rank(things_f[percepts.by[v]], rows[agents:], keys[v - first_view, agents:], len(rows) - LANES - agents)
        elif percepts.by[v] >= 0:
            _rank(agents_f[percepts.by[v]], rows, keys[v - first_view], agents)
    look_count = np.zeros(view_of.shape[1], np.int64)
    look_view, look_channel = np.empty(view_of.T.shape, np.int64), np.empty(view_of.T.shape, np.int32)
    for c in range(first_channel, last_channel):
        for k in range(view_of.shape[1]):
            if view_of[c, k] >= 0:
                look_view[k, look_count[k]], look_channel[k, look_count[k]] = view_of[c, k] - first_view, c
                look_count[k] += 1
    only_kind = np.full(groups, -1, np.int64)
    for k in range(len(percepts.group)):
        g = percepts.group[k]
        only_kind[g] = k if only_kind[g] == -1 else -2
    blocks = (area + CELLS - 1) // CELLS
    block = take_block(counters, PERCEIVE)
    while block < blocks:
        for cell in range(block * CELLS, min(block * CELLS + CELLS, area)):
            g, o, end = 0, begins[cell], begins[cell + 1]
            while g < groups:
                size = 0
                low_x = low_y = INFINITY
                high_x = high_y = -INFINITY
                while size < PARTY:
                    if o >= end:
                        g += 1
                        if g >= groups:
                            break
                        o, end = begins[g * area + cell], begins[g * area + cell + 1]
                        continue
                    i = rows[o]
                    k = only_kind[g] if only_kind[g] >= 0 else kind[i]
                    if turn[i] and look_count[k]:
                        x, y = xs[o], ys[o]
                        # What is no number is never less. It sees nobody.
                        low_x, high_x = x if x < low_x else low_x, x if x > high_x else high_x
                        low_y, high_y = y if y < low_y else low_y, y if y > high_y else high_y
                        for j in range(look_count[k]):
                            v = look_view[k, j]
                            looker[v, lookers[v]], channel[v, lookers[v]] = o, look_channel[k, j]
                            lookers[v] += 1
                        size += 1
                    o += 1
                if size == 0:
                    break
                cy, cx = cell // nx, cell % nx
                left, right = -1 if cx > 0 else 0, 2 if cx + 1 < nx else 1
                low, high = cell - nx if cy > 0 else cell, cell + nx if cy + 1 < ny else cell
                for v in range(first_view, last_view):
                    party, lookers[v - first_view] = lookers[v - first_view], 0
                    if party == 0:
                        continue
                    limit = np.float32(percepts.reach[v] * percepts.reach[v])
                    keyed = percepts.by[v] >= 0
                    near, owns = np.int64(0), 0
                    members, shift = percepts.members[v], groups * area if percepts.of_things[v] else 0
                    while members:
                        for middle in range(low + shift, (high if members & 1 else low - 1) + shift + 1, nx):
                            # Cells of one line are neighbours in memory: one run of candidates a line. In a crowd it
                            # matters where in it those of this very cell are.
                            mine = middle == cell + shift
                            crowd = mine and begins[middle + right] - begins[middle + left] > SPAN
                            for part in range(3 if crowd else 1):
                                until = part if crowd and part < 2 else right
                                near = bring_together(
                                    xs, ys, rows, keys[v - first_view],
                                    np.int64(begins[middle + (part - 1 if part else left)]),
                                    np.int64(begins[middle + until]),
                                    near_x, near_y, near_row, near_key, near,
                                    low_x, high_x, low_y, high_y, limit, keyed,
                                )  # fmt: skip
                                if mine and part < 2:
                                    own[owns, part] = own[owns, 1] = near
                            owns += mine
                        members, shift = members >> 1, shift + area
                    for q in range(LANES):
                        near_x[near + q] = np.nan
                    for p in range(party):
                        me, c = looker[v - first_view, p], channel[v - first_view, p]
                        x, y, at = xs[me], ys[me], slot[c]
                        myself = np.int32(-1) if percepts.of_things[v] else rows[me]
                        if near_ref[c] >= 0 or total[c] >= 0:
                            first, last = np.int64(0), min(near, SPAN)
                            count, key, row = nearest_among(
                                near_x, near_y, near_row, near_row, first, last, x, y, limit, myself
                            )
                            while last < near:
                                if total[c] < 0 or count > cap[c]:
                                    # Nobody is nearer than at no distance, where only those of its own cell can be.
                                    enough = near_ref[c] < 0 or key == 0
                                    for q in range(owns if near_ref[c] >= 0 else 0):
                                        higher = own[q, 0] < own[q, 1] and near_row[max(last, own[q, 0])] > row
                                        enough &= last >= own[q, 1] or higher
                                    if enough:
                                        break
                                first, last = last, min(near, last + SPAN)
                                more, least, lowest = nearest_among(
                                    near_x, near_y, near_row, near_row, first, last, x, y, limit, myself
                                )
                                count += more
                                if least < key or (least == key and lowest < row):
                                    key, row = least, lowest
                            found[me, at], found[me, at + 1], found[me, at + 2] = row, key, count
                        if weak_ref[c] >= 0:
                            _, key, weak = least_among(
                                near_x, near_y, near_row, near_key, np.int64(0), near, x, y, limit, myself
                            )
                            if key < NONE:
                                f = things_f if percepts.of_things[v] else agents_f
                                dx, dy = f[0, weak] - x, f[1, weak] - y
                                key = np.float32(dx * dx + dy * dy).view(np.int32)
                            found[me, at + 3], found[me, at + 4] = weak, key
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
    grid: int,
    counters: NDArray[np.int64],
) -> None:
    """Write what was :func:`perceive`d of the agents ``seen.row[place[i]] = i`` to their columns."""
    blocks = (len(place) + ROWS - 1) // ROWS
    block = take_block(counters, WRITE)
    while block < blocks:
        _write_rows(f, r, kind, turn, place, found, percepts, grid, block * ROWS)
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
    grid: int,
    first: int,
) -> None:
    width = np.int64(found.shape[1])
    first_channel, last_channel = percepts.grid[grid], percepts.grid[grid + 1]
    for i in range(first, min(first + ROWS, len(place))):
        if i + 16 < len(place) and turn[i + 16]:
            ahead = np.int64(place[i + 16]) * width
            fetch(found, ahead)  # it is anywhere, and the processor cannot guess where
            if width > 8:
                fetch(found, ahead + width - 1)
        if not turn[i]:
            continue
        o, k = place[i], kind[i]
        for c in range(first_channel, last_channel):
            if percepts.view_of[c, k] < 0:
                continue
            at = np.uint32(percepts.slot[c])
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
