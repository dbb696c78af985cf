"""The planner's work on rows: who needs a plan, which plan fits, and handing out what arrived."""

from __future__ import annotations

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
    DROPPED_MOVED_ON,
    DROPPED_ORDER,
    FRESH,
    HEURISTIC,
    HITS,
    HOME_X,
    HOME_Y,
    INTERRUPTED,
    IS_SECOND_TRY,
    LIVES,
    LLM,
    MISSES,
    NEED_AT_ONCE,
    NEED_INTERRUPT,
    NEED_NONE,
    NEED_ORDER,
    NEGATIVE_HITS,
    REACHED_SECOND,
    RUNNING,
    SECOND_STEPS,
    SECOND_TRY,
    SHARED,
    STOPGAPS,
    UNCHANGED,
    WAIT_PLAN,
    Actions,
    Agents,
    Plans,
    Targets,
    Things,
    X,
    Y,
)
from .compiling import kernel
from .lookup import IN_FLIGHT, ORDERED, RECALLED, Entries, find, want


@kernel
def is_legal(
    agents: Agents, things: Things, actions: Actions, targets: Targets, i: int, action: int, target: int
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
def end_life(agents: Agents, i: int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64]) -> None:
    """Count the end of agent ``i``'s plan. A default plan, at which it only stands until it is served, is none."""
    if agents.entry[i] >= 0:
        counters[LIVES] += 1
        counters[SECOND_STEPS] += (agents.fresh[i] & REACHED_SECOND) != 0
        life[0] += now - agents.plan_start[i]


@kernel
def begin_plan(
    agents: Agents, plans: Plans, i: int, plan: int, step: int | np.int64, source: int, entry: int, now: float,
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
def same_steps(plans: Plans, a: int, b: int) -> bool:
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
def collect_needs(need: NDArray[np.uint8], count: int, start: int, out: NDArray[np.int32]) -> int:
    """Write the rows that need a plan to ``out``, from row ``start`` on and around; returns how many there are."""
    found = list_rows(need, start, count, out, 0)
    return list_rows(need, 0, start, out, found)


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
def collect_tiers(
    need: NDArray[np.uint8], tier: NDArray[np.uint8], least: int, most: int, count: int, start: int,
    out: NDArray[np.int32],
) -> int:  # fmt: skip
    """As :func:`collect_needs`, of the tiers from ``least`` to ``most`` only."""
    found = _collect_tiers(need, tier, least, most, start, count, out, 0)
    return _collect_tiers(need, tier, least, most, 0, start, out, found)


@kernel
def _collect_tiers(
    need: NDArray[np.uint8], tier: NDArray[np.uint8], least: int, most: int, first: int, last: int,
    out: NDArray[np.int32], found: int,
) -> int:  # fmt: skip
    low, high = np.uint8(least), np.uint8(most)
    while first < last:
        needs, tiers = need[first : min(first + 64, last)], tier[first : min(first + 64, last)]
        anyone = np.uint8(0)
        for i in range(len(needs)):
            anyone |= needs[i] if tiers[i] >= low else np.uint8(0)
        if anyone:
            for i in range(len(needs)):
                if needs[i] != NEED_NONE and low <= tiers[i] <= high:
                    if found == len(out):
                        return found
                    out[found] = first + i
                    found += 1
        first += len(needs)
    return found


@kernel
def count_waiting(need: NDArray[np.uint8], waited: NDArray[np.uint16], count: int) -> tuple[int, int]:
    """Planning is over for this tick: it is one tick more for each who still needs a plan, and none for the others.

    Returns:
        (how many still need one, the ticks that the longest of them has waited; 65,535 stands for more).
    """
    waiting, longest = 0, np.uint16(0)
    for i in range(count):
        more = min(waited[i], np.uint16(65_534)) + np.uint16(1)
        ticks = np.uint16(more) if need[i] != NEED_NONE else np.uint16(0)
        waited[i] = ticks
        longest = max(longest, ticks)
        waiting += need[i] != NEED_NONE
    return waiting, int(longest)


@kernel
def _count_left_behind(agents: Agents, entries: Entries, i: int, e: int, counters: NDArray[np.int64]) -> None:
    """Count the model's plan that agent ``i`` waits for, if it now goes on to another situation ``e``."""
    waited = agents.entry[i]
    if waited < -1:
        waited = -2 - waited  # its plan ended meanwhile
    elif agents.source[i] != HEURISTIC:
        return
    if waited < 0 or waited == e:
        return
    asked = entries.flags[waited] & IN_FLIGHT and entries.key[waited] == agents.plan_key[i]
    if asked or agents.next_plan[i] >= 0:
        if agents.need[i] == NEED_ORDER:
            counters[DROPPED_ORDER] += 1
        elif agents.need[i] == NEED_INTERRUPT:
            counters[DROPPED_INTERRUPTED] += 1
        else:
            counters[DROPPED_MOVED_ON] += 1


@kernel
def serve(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries,
    rows: NDArray[np.int32], first: int, last: int, default_plan: NDArray[np.int32], style_plan: NDArray[np.int32],
    patience: int, ranks: NDArray[np.int32], wanted: NDArray[np.int32], wanted_count: int, unknown: NDArray[np.int32],
    now_ms: int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> tuple[int, int]:  # fmt: skip
    """Give each of ``rows[first:last]`` that still needs one a plan: the model's from the cache, else its heuristic's.

    Rows whose situation has no heuristic plan yet go to ``unknown``; they keep their need, unless they were left over
    for ``patience`` ticks: those follow their role's style until they need a plan again.

    A plan that ended as soon as it began, because it failed or there was nothing to do, is not begun again at once, or
    its agent would plan every tick: the same plan goes on after the step that ended, another plan is tried once, and
    then the agent waits a second.

    Args:
        ranks: by tier, its rank among those that ask models, -1 for one that does not.

    Returns:
        (number of unknown rows, new length of ``wanted``).
    """
    missing = 0
    for k in range(first, last):
        i = rows[k]
        need = np.int64(agents.need[i])
        if need == NEED_NONE:
            continue
        e = find(entries, agents.scope[i], agents.key[i])
        if e < 0 or entries.heuristic[e] < 0:
            unknown[missing] = i
            missing += 1
            if agents.waited[i] >= patience:
                plan, step = style_plan[agents.scope[i]], np.int64(0)
                while step < plans.length[plan] and not is_legal(
                    agents, things, actions, targets, i, plans.action[plan, step], plans.target[plan, step]
                ):
                    step += 1
                if step == plans.length[plan]:
                    plan, step = default_plan[agents.scope[i]], np.int64(0)
                _count_left_behind(agents, entries, i, -1, counters)
                begin_plan(agents, plans, i, plan, step, HEURISTIC, -1, now, counters, life)
                counters[STOPGAPS] += 1
            continue
        _count_left_behind(agents, entries, i, e, counters)
        entries.used[e] = now_ms
        entries.seen[e] += 1
        before = agents.plan[i] if agents.entry[i] >= 0 else agents.last_plan[i]
        running = agents.plan[i] if agents.state[i] == RUNNING else -1
        at = agents.step[i]
        at_once = need >= NEED_AT_ONCE
        second_try = at_once and (need - NEED_AT_ONCE) & SECOND_TRY != 0

        plan = entries.model[e]
        if plan >= 0 and not (at_once and (second_try or plan == agents.last_plan[i])):
            if is_legal(agents, things, actions, targets, i, plans.action[plan, 0], plans.target[plan, 0]):
                counters[HITS + entries.level[e]] += 1
                goes_on = same_steps(plans, plan, running)
                begin_plan(agents, plans, i, plan, at if goes_on else 0, CACHE, e, now, counters, life)
                if goes_on:
                    agents.state[i] = RUNNING
                if same_steps(plans, plan, before):
                    counters[UNCHANGED] += 1
                    agents.fresh[i] = 0
                if at_once:
                    agents.fresh[i] |= IS_SECOND_TRY
                continue
            counters[DROPPED_ILLEGAL] += 1
        counters[MISSES] += 1
        if plan < 0:
            entries.demand[e] += 1
            entries.tier[e] = max(entries.tier[e], ranks[agents.tier[i]])
            entries.row[e] = i
            counters[NEGATIVE_HITS] += entries.blocked[e] > now_ms
            if entries.flags[e] & IN_FLIGHT:
                counters[SHARED] += 1
            else:
                if need == NEED_ORDER and ranks[agents.tier[i]] >= 0:
                    entries.flags[e] |= ORDERED
                wanted_count = want(entries, e, wanted, wanted_count, now_ms)

        plan, step = entries.heuristic[e], np.int64(0)
        if at_once and plan == agents.last_plan[i]:
            step += ((need - NEED_AT_ONCE) & 7) + 1
        elif second_try:
            step += plans.length[plan]
        second_try = at_once and (second_try or plan != agents.last_plan[i])
        while step < plans.length[plan] and not is_legal(
            agents, things, actions, targets, i, plans.action[plan, step], plans.target[plan, step]
        ):
            step += 1
        if step == plans.length[plan]:
            plan, step = WAIT_PLAN if at_once else default_plan[agents.scope[i]], np.int64(0)
        goes_on = step == at and same_steps(plans, plan, running)
        begin_plan(agents, plans, i, plan, step, HEURISTIC, e, now, counters, life)
        if goes_on:
            agents.state[i] = RUNNING
        if second_try:
            agents.fresh[i] |= IS_SECOND_TRY
    return missing, wanted_count


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
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries,
    first: int, last: int, arrived_entry: NDArray[np.int32], arrived_plan: NDArray[np.int32], count: int, now: float,
    counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """Give the first ``count`` of the plans that arrived to those of the rows first..last that wait for them and that
    they still fit.

    An agent waits if it runs the heuristic's plan for that very situation. The plan takes over at once if the running
    action lets it, else when its step ends.
    """
    while first < last:
        beyond = min(first + 64, last)
        if _is_any(agents.entry[first:beyond], arrived_entry, count):
            for i in range(first, beyond):
                for a in range(count):
                    if agents.entry[i] == arrived_entry[a]:
                        _take_over(
                            agents, things, actions, targets, plans, entries, i, arrived_plan[a], now, counters, life
                        )
                        break
        first = beyond


@kernel
def _take_over(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries, i: int,
    plan: int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """Let agent ``i`` follow the model's plan for its entry, if it waits for it and it fits."""
    e = agents.entry[i]
    if agents.source[i] != HEURISTIC or entries.key[e] != agents.plan_key[i]:
        return
    if entries.scope[e] != agents.scope[i]:
        counters[DROPPED_ORDER] += agents.need[i] == NEED_ORDER
        agents.plan_key[i] = -1  # waits no more, and is counted once
    elif agents.interrupt_key[i] != agents.plan_interrupt_key[i]:
        counters[DROPPED_INTERRUPTED] += 1
        agents.plan_key[i] = -1
    elif not is_legal(agents, things, actions, targets, i, plans.action[plan, 0], plans.target[plan, 0]):
        counters[DROPPED_ILLEGAL] += 1
        agents.plan_key[i] = -1
    else:
        # What another situation or an earlier run gave was not made while this agent waited.
        source = CACHE if entries.flags[e] & RECALLED else LLM
        if same_steps(plans, plan, agents.plan[i]):
            counters[UNCHANGED] += 1
            agents.plan[i], agents.source[i] = plan, source  # it does that already: no need to start again
        elif agents.state[i] == RUNNING and not actions.interruptible[plans.action[agents.plan[i], agents.step[i]]]:
            agents.next_plan[i] = plan
        else:
            begin_plan(agents, plans, i, plan, 0, source, e, now, counters, life)
