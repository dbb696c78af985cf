"""Looking around: everybody into a grid, then :func:`~.perceiving.perceive`, grid by grid; on a thread or two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .grid import EXACT, Cells, Sorted, lay_cells, room_to_sort, sort_rows
from .lanes import LANES
from .perceiving import PerceptTable, perceive, write_percepts
from .sharing import COUNTERS, nothing_taken, together

PARTS = 2
"""In so many parts two threads sort: more would make for less waiting at the end, and more to be counted."""


class Ground(NamedTuple):
    """The cells of one grid, and room for who and what is in them and what is seen. Things are behind the agents."""

    cells: Cells
    agents: Sorted
    agent_counts: NDArray[np.int32]
    things: Sorted
    thing_counts: NDArray[np.int32]
    thing_group: NDArray[np.int32]
    found: NDArray[np.int32]


@njit(cache=True, fastmath=EXACT)
def lay_ground(
    f: NDArray[np.float32],
    count: int,
    things_f: NDArray[np.float32],
    things_count: int,
    percepts: PerceptTable,
    grid: int,
    parts: int,
) -> Ground:
    """The ground of one grid, on which rows are sorted in so many parts. Without things where nobody looks for any."""
    # A little more than the radius: d2 is rounded, and so is the division into cells.
    cell = np.float64(percepts.radius[percepts.grid[grid]]) * (1 + 1e-6) + 1e-9
    groups = int(percepts.group.max()) + 1
    # For a number as it is written numba would compile what is called once more.
    lying, others, kinds = int(np.int64(0)), int(np.int64(0)), percepts.thing_group - np.int32(groups)
    if percepts.of_things[percepts.views[grid] : percepts.views[grid + 1]].any():
        lying, others = things_count, int(kinds.max()) + 1
    cells = lay_cells(f, count, groups + others, cell)
    if lying:
        cells = _around_both(
            cells, lay_cells(things_f, things_count, groups + others, cell), count + lying, groups + others
        )
    row = np.empty(count + lying + LANES, np.int32)
    x, y = np.empty(count + lying + LANES, np.float32), np.empty(count + lying + LANES, np.float32)
    agents, agent_counts = room_to_sort(row, x, y, count, cells, groups, parts)
    things, thing_counts = room_to_sort(row[count:], x[count:], y[count:], lying, cells, others, parts)
    found = np.empty((count, percepts.width[grid]), np.int32)
    return Ground(cells, agents, agent_counts, things, thing_counts, kinds, found)


@njit(cache=True)
def _around_both(agents: Cells, things: Cells, count: int, groups: int) -> Cells:
    """Cells for the agents, and for the things that these might see: a cell further at most. If those were too many
    they are the agents'. What is outside is at the border."""
    cell = max(1 / agents.inverse, 1 / things.inverse)
    agents_x1, agents_y1 = agents.x0 + agents.nx / agents.inverse, agents.y0 + agents.ny / agents.inverse
    things_x1, things_y1 = things.x0 + things.nx / things.inverse, things.y0 + things.ny / things.inverse
    x0 = min(agents.x0, max(things.x0, float(np.float32(agents.x0 - cell))))
    y0 = min(agents.y0, max(things.y0, float(np.float32(agents.y0 - cell))))
    x1 = max(agents_x1, min(things_x1, agents_x1 + cell))
    y1 = max(agents_y1, min(things_y1, agents_y1 + cell))
    nx, ny = np.floor((x1 - x0) / cell) + 1.0, np.floor((y1 - y0) / cell) + 1.0
    if nx * ny > (4.0 * count + 1024.0) * min(1.0, 4.0 / groups):
        return agents
    return Cells(x0, y0, 1 / cell, int(nx), int(ny))


@njit(cache=True, nogil=True)
def look_around(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    count: int,
    things_f: NDArray[np.float32],
    things_kind: NDArray[np.int16],
    percepts: PerceptTable,
    grid: int,
    ground: Ground,
    counters: NDArray[np.int64],
) -> None:
    """Sort, :func:`perceive` and :func:`write_percepts`, on as many threads as call it with the same arguments."""
    cells, seen, things, found = ground.cells, ground.agents, ground.things, ground.found
    sort_rows(f, kind, percepts.group, count, cells, seen, ground.agent_counts, counters, int(np.int64(0)))
    if len(things.start) > 1:  # even if there is none at all, they are looked for
        sort_rows(
            things_f, things_kind, ground.thing_group, len(things.place), cells, things, ground.thing_counts, counters,
            int(np.int64(3)),
        )  # fmt: skip
        areas = len(seen.start) - 1
        start = np.empty(areas + len(things.start), np.int32)  # each thread has its own: they are few
        start[:areas], start[areas:] = seen.start[:areas], things.start + np.int32(count)
        seen = Sorted(start, seen.row, seen.x, seen.y, seen.place)
    perceive(kind, turn, cells, f, things_f, seen, percepts, grid, found, counters)
    write_percepts(f, r, kind, turn, seen.place, found, percepts, grid, counters)


@njit(cache=True, fastmath=EXACT)
def look(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    count: int,
    things_f: NDArray[np.float32],
    things_kind: NDArray[np.int16],
    things_count: int,
    percepts: PerceptTable,
) -> None:
    """What those see whose ``turn`` it is, grid by grid. One call, because a grid that passes through Python costs
    a small game more than the looking.
    """
    for grid in range(len(percepts.width)):
        ground = lay_ground(f, count, things_f, things_count, percepts, grid, int(np.int64(1)))
        look_around(
            f, r, kind, turn, count, things_f, things_kind, percepts, grid, ground, np.zeros(COUNTERS, np.int64)
        )


def look_together(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    turn: NDArray[np.uint8],
    count: int,
    things_f: NDArray[np.float32],
    things_kind: NDArray[np.int16],
    things_count: int,
    percepts: PerceptTable,
) -> None:
    """:func:`look` on two threads."""
    for grid in range(len(percepts.width)):
        ground = lay_ground(f, count, things_f, things_count, percepts, grid, PARTS)
        together(
            look_around, f, r, kind, turn, count, things_f, things_kind, percepts, grid, ground, nothing_taken()
        )
