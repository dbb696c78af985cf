"""The planner's work on rows: which plan fits, beginning and ending one, and handing out what arrived."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .columns import (
    AT_AGENT,
    AT_HOME,
    AT_PLACE,
    AT_RESOLVED,
    AT_SELF,
    CACHE,
    DROPPED_ILLEGAL,
    DROPPED_INTERRUPTED,
    DROPPED_ORDER,
    FRESH,
    HEURISTIC,
    HOME_X,
    HOME_Y,
    INTERRUPTED,
    LIVES,
    LLM,
    NEED_NONE,
    NEED_ORDER,
    REACHED_SECOND,
    RUNNING,
    SECOND_STEPS,
    UNCHANGED,
    Actions,
    Agents,
    Plans,
    Targets,
    Things,
    X,
    Y,
)
from .compiling import Int, kernel
from .lookup import RECALLED, Entries
from .packing import unpacks

unpack: Callable[[NDArray[np.int64]], tuple[Agents, Things, Actions, Targets, Plans, Entries]] = unpacks(
    Agents, Things, Actions, Targets, Plans, Entries
)
"""All tables that planning works on, see :class:`astrasim.handing.Tables`."""


@kernel
def is_legal(
    agents: Agents, things: Things, actions: Actions, targets: Targets, i: Int, action: Int, target: Int
) -> bool:
    """Whether agent ``i`` could start this step now: its target is there, and every precondition holds.

    A target found by the game's code is not known before the step starts; only the other preconditions count for it.
    """
    f = agents.f
    for q in range(actions.need_column.shape[1]):
        column = actions.need_column[action, q]
        if column >= 0 and not f[column, i] >= actions.need_least[action, q]:
            return False
    column = actions.cooldown_column[action]
    # For stock hits the cooldown is the pace of the blows: the step may start, its first blow waits.
    if column >= 0 and actions.hit_column[action] < 0 and f[column, i] > 0:
        return False
    sort, index = targets.sort[target], targets.index[target]
    if sort == AT_RESOLVED or sort == AT_SELF:
        return True
    if sort == AT_PLACE:
        x, y = targets.x[target], targets.y[target]
    elif sort == AT_HOME:
        x, y = f[HOME_X, i], f[HOME_Y, i]
    else:
        j = agents.r[index, i]
        if j < 0:
            return False
        if sort == AT_AGENT:
            x, y = f[X, j], f[Y, j]
        else:
            if things.taken[j]:
                return False
            x, y = things.f[X, j], things.f[Y, j]
        if actions.line_of_sight[action] and not f[targets.visible[target], i] > 0:
            return False
    dx, dy = x - f[X, i], y - f[Y, i]
    return dx * dx + dy * dy <= actions.range[action] * actions.range[action]


@kernel
def end_life(agents: Agents, i: Int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64]) -> None:
    """Count the end of agent ``i``'s plan. A default plan, at which it only stands until it is served, is none."""
    if agents.entry[i] >= 0:
        counters[LIVES] += 1
        counters[SECOND_STEPS] += (agents.fresh[i] & REACHED_SECOND) != 0
        life[0] += now - agents.plan_start[i]


@kernel
def begin_plan(
    agents: Agents, plans: Plans, i: Int, plan: Int, step: Int, source: Int, entry: Int, now: float,
    counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """Put agent ``i`` at ``step`` of ``plan``, which starts with the next action. A running step is interrupted."""
    end_life(agents, i, now, counters, life)
    if agents.state[i] == RUNNING:
        agents.state[i] = INTERRUPTED
    agents.plan[i], agents.step[i], agents.source[i], agents.entry[i] = plan, step, source, entry
    agents.plan_key[i], agents.plan_interrupt_key[i] = agents.key[i], agents.interrupt_key[i]
    agents.plan_start[i] = now
    agents.need[i] = NEED_NONE
    agents.next_plan[i] = -1
    agents.fresh[i] = FRESH if plans.from_model[plan] else 0


@kernel
def same_steps(plans: Plans, a: Int, b: Int) -> bool:
    """Whether two plans have the same actions with the same targets."""
    if a == b:
        return True
    if a < 0 or b < 0 or plans.length[a] != plans.length[b]:
        return False
    for s in range(plans.length[a]):
        if plans.action[a, s] != plans.action[b, s] or plans.target[a, s] != plans.target[b, s]:
            return False
    return True


@kernel
def list_rows(flags: NDArray[np.uint8], first: int, last: int, out: NDArray[np.int32], found: int) -> int:
    """Write those of the rows first..last whose flag is not 0 to ``out``, from place ``found`` on; returns how many are
    there then."""
    while first < last:
        chunk = flags[first : min(first + 64, last)]
        anyone = np.uint8(0)
        for i in range(len(chunk)):  # without branches, so a few instructions see to 64 rows
            anyone |= chunk[i]
        if anyone:
            for i in range(len(chunk)):
                if chunk[i] != 0:
                    if found == len(out):
                        return found
                    out[found] = first + i
                    found += 1
        first += len(chunk)
    return found


@kernel
def _is_any(entry: NDArray[np.int32], arrived: NDArray[np.int32], count: int) -> bool:
    """Whether one of ``entry`` is among the first ``count`` of those that ``arrived``; without branches, so that an
    instruction sees to 16 rows."""
    found = np.int32(0)
    for a in range(count):
        for k in range(len(entry)):
            found |= np.int32(entry[k] == arrived[a])
    return found != 0


@kernel
def hand_out(
    packed: NDArray[np.int64], first: int, last: int, arrived_entry: NDArray[np.int32],
    arrived_plan: NDArray[np.int32], count: int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """Give the first ``count`` of the plans that arrived to those of the rows first..last that wait for them and that
    they still fit.

    An agent waits if it runs the heuristic's plan for that very situation. The plan takes over at once if the running
    action lets it, else when its step ends.
    """
    agents, things, actions, targets, plans, entries = unpack(packed)
    while first < last:
        beyond = min(first + 64, last)
        if _is_any(agents.entry[first:beyond], arrived_entry, count):
            for i in range(first, beyond):
                for a in range(count):
                    if agents.entry[i] == arrived_entry[a]:
                        plan = np.int64(arrived_plan[a])
                        _take_over(agents, things, actions, targets, plans, entries, i, plan, now, counters, life)
                        break
        first = beyond


@kernel
def _take_over(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries, i: Int,
    plan: Int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """Let agent ``i`` follow the model's plan for its entry, if it waits for it and it fits."""
    e, doing = np.int64(agents.entry[i]), np.int64(agents.plan[i])
    action, target = np.int64(plans.action[plan, 0]), np.int64(plans.target[plan, 0])
    if agents.source[i] != HEURISTIC or entries.key[e] != agents.plan_key[i]:
        return
    if entries.scope[e] != agents.scope[i]:
        counters[DROPPED_ORDER] += agents.need[i] == NEED_ORDER
        agents.plan_key[i] = -1  # waits no more, and is counted once
    elif agents.interrupt_key[i] != agents.plan_interrupt_key[i]:
        counters[DROPPED_INTERRUPTED] += 1
        agents.plan_key[i] = -1
    elif not is_legal(agents, things, actions, targets, i, action, target):
        counters[DROPPED_ILLEGAL] += 1
        agents.plan_key[i] = -1
    else:
        # What another situation or an earlier run gave was not made while this agent waited.
        source = CACHE if entries.flags[e] & RECALLED else LLM
        if same_steps(plans, plan, doing):
            counters[UNCHANGED] += 1
            agents.plan[i], agents.source[i] = plan, source  # it does that already: no need to start again
        elif agents.state[i] == RUNNING and not actions.interruptible[plans.action[doing, agents.step[i]]]:
            agents.next_plan[i] = plan
        else:
            begin_plan(agents, plans, i, plan, np.int64(0), np.int64(source), e, now, counters, life)
            agents.plan_key[i] = entries.key[e]  # it was made for the situation in which the agent began to wait
