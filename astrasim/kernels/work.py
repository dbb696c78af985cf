"""Where acting keeps its work: the rows of each block by step, and what they do to others by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import FRESH, RUNNING, Actions, Agents, Events, Plans, Targets, no_events
from .compiling import kernel

BLOCK = 2048
"""Rows of which two threads take the next."""
ROUNDING_S = 1e-4


class Work(NamedTuple):
    """Room for what :func:`act` finds out, for so many agents and domains of so many steps."""

    events: Events
    custom: NDArray[np.int32]
    """Rows with a custom action that may run, of shape (3, agents): row, action, target."""
    found: NDArray[np.int32]
    """By block: events, custom rows, and agents by the source of their plan; shape (5, blocks)."""
    order: NDArray[np.int32]
    """Rows by block, then by step."""
    step: NDArray[np.int32]
    """Of each row: action * targets + target; once it has run, -1 where there is nothing to put down."""
    ends: NDArray[np.uint8]
    """Of each row: 1 if its step may end in this tick, or its plan be applied by it; the others are not looked at."""
    begin: NDArray[np.int32]
    """By block, where in ``order`` the rows of each step begin; shape (blocks, steps + 1)."""


def make_work(agents: int, steps: int) -> Work:
    """Room for so many agents, and for (action, target) of so many sorts."""
    blocks = (agents + BLOCK - 1) // BLOCK
    return Work(
        events=no_events(agents), custom=np.zeros((3, agents), np.int32), found=np.zeros((5, blocks), np.int32),
        order=np.zeros(agents, np.int32), step=np.zeros(agents, np.int32), ends=np.zeros(agents, np.uint8),
        begin=np.zeros((blocks, steps + 1), np.int32),
    )  # fmt: skip


@kernel
def by_step(
    agents: Agents, plans: Plans, targets: int, work: Work, block: int, first: int, last: int, dt: float
) -> None:
    """Put the rows first..last into ``order``, by step and then rising (a counting sort); see who may end, and count
    the sources of plans.
    """
    begin, order, steps = work.begin[block], work.order, work.step
    # More than a tick, and than float32 rounds a sum: whoever ends is among these, and finish looks closer.
    ahead = dt + 2 * ROUNDING_S
    begin[:] = 0
    for source in range(3):
        work.found[2 + source, block] = 0
    for i in range(first, last):
        plan, step = agents.plan[i], agents.step[i]
        s = np.int32(plans.action[plan, step]) * np.int32(targets) + plans.target[plan, step]
        steps[i] = s
        begin[s + 1] += 1
        passed = np.float64(agents.elapsed[i]) if agents.state[i] == RUNNING else 0.0
        timed_out = passed * 1.000001 + ahead >= plans.seconds[plan, step]
        work.ends[i] = np.uint8(timed_out) | (agents.fresh[i] & np.uint8(FRESH))
        work.found[2 + agents.source[i], block] += 1
    at = first
    for s in range(len(begin)):
        at += begin[s]
        begin[s] = at
    for i in range(first, last):
        s = steps[i]
        order[begin[s]] = i
        begin[s] += 1
    # Each is now where the next begins.
    for s in range(len(begin) - 1, 0, -1):
        begin[s] = begin[s - 1]
    begin[0] = first


@kernel
def put_down(
    agents: Agents, actions: Actions, targets: Targets, work: Work, first: int, last: int
) -> tuple[int, int]:
    """What the rows first..last do to others, and which have a custom action: from place ``first`` on, in their order.

    Returns:
        (number of events, number of custom rows).
    """
    events, custom = work.events, work.custom
    emitted = listed = first
    for i in range(first, last):
        s = work.step[i]
        if s < 0:
            continue
        work.ends[i] = 1  # by the game's code, or by somebody else who was there first
        a, t = s // len(targets.sort), s % len(targets.sort)
        if actions.custom[a]:
            custom[0, listed], custom[1, listed], custom[2, listed] = i, a, t
            listed += 1
            continue
        events.source[emitted], events.target[emitted] = i, agents.r[targets.index[t], i]
        events.thing[emitted], events.limit[emitted] = actions.takes[a], actions.limit[a]
        events.column[emitted], events.amount[emitted] = actions.hit_column[a], actions.hit_amount[a]
        emitted += 1
    return emitted - first, listed - first


@kernel
def close_up(work: Work, count: int) -> tuple[int, int]:
    """Join what the blocks of :func:`act` wrote, in the order of rows.

    Returns:
        (number of events, number of custom rows).
    """
    events, custom, found = work.events, work.custom, work.found
    emitted = listed = 0
    for block in range((count + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        for k in range(first, first + found[0, block]):
            events.source[emitted], events.target[emitted] = events.source[k], events.target[k]
            events.column[emitted], events.amount[emitted] = events.column[k], events.amount[k]
            events.limit[emitted], events.thing[emitted] = events.limit[k], events.thing[k]
            emitted += 1
        for k in range(first, first + found[1, block]):
            for q in range(3):
                custom[q, listed] = custom[q, k]
            listed += 1
    return emitted, listed
