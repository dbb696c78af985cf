"""What kernels are handed: the columns of the agent table, and the domain as tables of numbers."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

_D = TypeVar("_D", bound=np.generic)
Matrix = np.ndarray[tuple[int, int], np.dtype[_D]]
"""Of two dimensions, which :mod:`.packing` must know."""

# Float columns that every agent has, by number.
X, Y, VX, VY, HOME_X, HOME_Y, HP, STAMINA, AMMO = range(9)
# Float columns that every thing has.
THING_X, THING_Y, THING_AMOUNT = range(3)

# ``source`` of an agent's plan.
HEURISTIC, CACHE, LLM = range(3)
# ``need``: why an agent waits for the planner. NEED_AT_ONCE and above: its plan ended as soon as it had begun, in the
# step ``(need - NEED_AT_ONCE) & 7``; plus SECOND_TRY if that plan had itself been put in the place of such a one.
NEED_NONE, NEED_END, NEED_INTERRUPT, NEED_FAILED, NEED_ORDER = range(5)
NEED_AT_ONCE, SECOND_TRY = 16, 8
# ``fresh``: bits. The model's plan has not run yet; the plan reached a second step; it is a second try (see ``need``).
FRESH, REACHED_SECOND, IS_SECOND_TRY = 1, 2, 4
# ``plan``: "wait self" is always the first plan of the store. No agent can fail at it.
WAIT_PLAN = 0
# ``state`` and ``outcome``: the values of steps.Status.
RUNNING, DONE, FAILED, INTERRUPTED = range(4)
# ``TargetTable.sort``.
AT_SELF, AT_PLACE, AT_AGENT, AT_THING, AT_HOME, AT_RESOLVED = range(6)
# ``ActionTable.motion``: the values of stock.Motion.
STAY, TOWARDS, AWAY, KEEP, WANDER = range(5)

# Counters, one int64 each.
(
    TICKS_HEURISTIC, TICKS_CACHE, TICKS_LLM, LIVES, SECOND_STEPS, APPLIED, UNCHANGED,
    DROPPED_INTERRUPTED, DROPPED_ILLEGAL, DROPPED_MOVED_ON, DROPPED_ORDER,
    HITS, NEAR_HITS, ORDER_HITS, MISSES, NEGATIVE_HITS, SHARED, STEPS_FAILED, STEPS_DONE, STOPGAPS,
) = range(20)  # fmt: skip
COUNTERS = 20


class Agents(NamedTuple):
    """Columns of the agent table; see ``population.AGENT_FIXED`` for what each holds."""

    f: Matrix[np.float32]
    r: Matrix[np.int32]
    kind: NDArray[np.int16]
    uid: NDArray[np.int64]
    scope: NDArray[np.int32]
    tier: NDArray[np.uint8]
    key: NDArray[np.int64]
    interrupt_key: NDArray[np.int64]
    need: NDArray[np.uint8]
    plan: NDArray[np.int32]
    step: NDArray[np.int32]
    state: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    elapsed: NDArray[np.float32]
    source: NDArray[np.uint8]
    entry: NDArray[np.int32]
    plan_key: NDArray[np.int64]
    plan_interrupt_key: NDArray[np.int64]
    plan_start: NDArray[np.float64]
    fresh: NDArray[np.uint8]
    last_plan: NDArray[np.int32]
    next_plan: NDArray[np.int32]
    waited: NDArray[np.uint16]


class Plans(NamedTuple):
    """The plan store: ``action``, ``target`` and ``seconds`` have shape (plans, 8), of which ``length`` are steps."""

    action: Matrix[np.int16]
    target: Matrix[np.int16]
    seconds: Matrix[np.float32]
    length: NDArray[np.int32]
    from_model: NDArray[np.uint8]


class Actions(NamedTuple):
    """One element an action. Columns are -1 where an action lacks that effect; ``range`` is infinite for none."""

    motion: NDArray[np.int32]
    custom: NDArray[np.uint8]
    interruptible: NDArray[np.uint8]
    done_near: NDArray[np.uint8]
    done_lost: NDArray[np.uint8]
    line_of_sight: NDArray[np.uint8]
    takes: NDArray[np.uint8]
    hit_column: NDArray[np.int32]
    gain_column: NDArray[np.int32]
    cooldown_column: NDArray[np.int32]
    need_column: Matrix[np.int32]
    need_least: Matrix[np.float32]
    speed: NDArray[np.float32]
    near: NDArray[np.float32]
    radius: NDArray[np.float32]
    hit_amount: NDArray[np.float32]
    limit: NDArray[np.float32]
    cooldown: NDArray[np.float32]
    ammunition: NDArray[np.float32]
    stamina: NDArray[np.float32]
    stamina_rate: NDArray[np.float32]
    gain_rate: NDArray[np.float32]
    range: NDArray[np.float32]


class Targets(NamedTuple):
    """One element a target. ``index``: a reference column, or the first of two float columns (resolved targets)."""

    sort: NDArray[np.int32]
    index: NDArray[np.int32]  # type: ignore[assignment]  # hides a method of tuples that nobody needs here
    visible: NDArray[np.int32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]


class Things(NamedTuple):
    """Columns of the thing table."""

    f: Matrix[np.float32]
    taken: NDArray[np.uint8]


class Events(NamedTuple):
    """What agents do to others in one tick, in row order; shape (agents,) each. ``thing`` marks takings."""

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    column: NDArray[np.int32]
    amount: NDArray[np.float32]
    limit: NDArray[np.float32]
    thing: NDArray[np.uint8]


def no_events(capacity: int) -> Events:
    """Empty buffers for so many events."""
    return Events(
        source=np.zeros(capacity, np.int32), target=np.zeros(capacity, np.int32), column=np.zeros(capacity, np.int32),
        amount=np.zeros(capacity, np.float32), limit=np.zeros(capacity, np.float32), thing=np.zeros(capacity, np.uint8),
    )  # fmt: skip
