"""Serving in rows: who needs a plan, how long they have waited, and giving each the model's or its heuristic's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .columns import (
    CACHE,
    DROPPED_ILLEGAL,
    DROPPED_INTERRUPTED,
    DROPPED_MOVED_ON,
    DROPPED_ORDER,
    HEURISTIC,
    HITS,
    IS_SECOND_TRY,
    MISSES,
    NEED_AT_ONCE,
    NEED_INTERRUPT,
    NEED_NONE,
    NEED_ORDER,
    NEGATIVE_HITS,
    RUNNING,
    SECOND_TRY,
    SHARED,
    STOPGAPS,
    UNCHANGED,
    WAIT_PLAN,
    Agents,
)
from .compiling import Int, kernel
from .lanes import fetch
from .lookup import AHEAD, IN_FLIGHT, ORDERED, Entries, fetch_entry, find, insert, mixed
from .planning import begin_plan, is_legal, same_steps, unpack
from .wanting import want


@kernel
def list_needs(
    need: NDArray[np.uint8], tier: NDArray[np.uint8], least: int, most: int, first: int, last: int,
    out: NDArray[np.int32],
) -> tuple[int, int]:  # fmt: skip
    """Write those of the rows first..last that need a plan, and are of the tiers from ``least`` to ``most``, to
    ``out``.

    Returns:
        (how many, the row to go on with: ``last`` if there was room for all).
    """
    low, high, found = np.uint8(least), np.uint8(most), 0
    while first < last:
        needs, tiers = need[first : min(first + 64, last)], tier[first : min(first + 64, last)]
        anyone = np.uint8(0)
        for i in range(len(needs)):  # without branches, so a few instructions see to 64 rows
            anyone |= needs[i] if tiers[i] >= low else np.uint8(0)
        if anyone:
            for i in range(len(needs)):
                if needs[i] != NEED_NONE and low <= tiers[i] <= high:
                    if found == len(out):
                        return found, first + i
                    out[found] = first + i
                    found += 1
        first += len(needs)
    return found, last


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
def _count_left_behind(agents: Agents, entries: Entries, i: Int, e: int, counters: NDArray[np.int64]) -> None:
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
def _fetch_agent(agents: Agents, i: Int) -> None:
    """Have what serving will need of agent ``i`` brought near the processor: those served are far apart, as a rule."""
    fetch(agents.scope, i)
    fetch(agents.key, i)
    fetch(agents.entry, i)
    fetch(agents.plan, i)
    fetch(agents.last_plan, i)
    fetch(agents.next_plan, i)
    fetch(agents.plan_key, i)
    fetch(agents.interrupt_key, i)
    fetch(agents.plan_interrupt_key, i)
    fetch(agents.plan_start, i)
    fetch(agents.state, i)
    fetch(agents.step, i)
    fetch(agents.source, i)
    fetch(agents.fresh, i)
    fetch(agents.tier, i)


@kernel
def _can_follow_model(packed: NDArray[np.int64], i: Int, e: Int, need: Int) -> bool:
    """Whether agent ``i``, in a situation for which no heuristic was called yet, can have the model's plan for it."""
    agents, things, actions, targets, plans, entries = unpack(packed)
    plan = np.int64(entries.model[e])
    if plan < 0 or need >= NEED_AT_ONCE:
        return False
    action, target = np.int64(plans.action[plan, 0]), np.int64(plans.target[plan, 0])
    return is_legal(agents, things, actions, targets, i, action, target)


@kernel
def _wait_for_model(
    agents: Agents, entries: Entries, i: Int, e: Int, need: Int, ranks: NDArray[np.int32], wanted: NDArray[np.int32],
    wanted_count: int, now_ms: int, counters: NDArray[np.int64],
) -> int:  # fmt: skip
    """Agent ``i`` waits for the model's plan at entry ``e``, if there is none; returns the new length of ``wanted``."""
    if entries.model[e] >= 0:
        return wanted_count
    rank = ranks[agents.tier[i]]
    entries.demand[e] += 1
    entries.tier[e] = max(entries.tier[e], rank)
    entries.row[e] = i
    counters[NEGATIVE_HITS] += entries.blocked[e] > now_ms
    if entries.flags[e] & IN_FLIGHT:
        counters[SHARED] += 1
        return wanted_count
    if need == NEED_ORDER and rank >= 0:
        entries.flags[e] |= ORDERED
    return want(entries, e, wanted, wanted_count, now_ms)


@kernel
def serve(
    packed: NDArray[np.int64], rows: NDArray[np.int32], default_plan: NDArray[np.int32],
    style_plan: NDArray[np.int32], patience: int,
    ranks: NDArray[np.int32], wanted: NDArray[np.int32], wanted_count: int, noted: NDArray[np.uint64],
    unknown: NDArray[np.int32], now_ms: int, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Give each of ``rows`` that still needs one a plan: the model's from the cache, else its heuristic's.

    Rows whose situation has neither yet keep their need, unless they were left over for ``patience`` ticks:
    those get a stopgap, which is their role's style in the place of the heuristic's plan, and wait for the model's like
    all others. One row of each such situation goes to ``unknown``, as far as there is room.

    A plan that ended as soon as it began, because it failed or there was nothing to do, is not begun again at once, or
    its agent would plan every tick: the same plan goes on after the step that ended, another plan is tried once, and
    then the agent waits a second.

    Args:
        packed: all tables of planning, see :class:`astrasim.handing.Tables`.
        ranks: by tier, its rank among those that ask models, -1 for one that does not.
        noted: situations of which a row went to ``unknown`` already, each where its hash says; a power of 2 of them.
            Two that share a place may be noted twice.

    Returns:
        (how many keep their need, number of unknown rows, new length of ``wanted``, entries made for stopgaps, those
        that had to go for them).
    """
    agents, things, actions, targets, plans, entries = unpack(packed)
    left = missing = made = evicted = 0
    for k in range(len(rows)):
        i = np.int64(rows[k])
        if k + 2 * AHEAD < len(rows):
            _fetch_agent(agents, np.int64(rows[k + 2 * AHEAD]))
        if k + AHEAD < len(rows):
            fetch_entry(entries, np.int64(agents.scope[rows[k + AHEAD]]), agents.key[rows[k + AHEAD]])
        need = np.int64(agents.need[i])
        if need == NEED_NONE:
            continue
        scope = np.int64(agents.scope[i])
        e = find(entries, scope, agents.key[i])
        if e < 0 or (entries.heuristic[e] < 0 and not _can_follow_model(packed, i, e, need)):
            situation = mixed(scope, agents.key[i]) | np.uint64(1 << 63)  # 0 stands for none
            place = situation & np.uint64(len(noted) - 1)
            if noted[place] != situation and missing < len(unknown):
                noted[place] = situation
                unknown[missing] = i
                missing += 1
            if agents.waited[i] < patience:
                left += 1
                continue
            plan, step = np.int64(style_plan[scope]), np.int64(0)
            while step < plans.length[plan] and not is_legal(
                agents, things, actions, targets, i, np.int64(plans.action[plan, step]),
                np.int64(plans.target[plan, step]),
            ):  # fmt: skip
                step += 1
            if step == plans.length[plan]:
                plan, step = np.int64(default_plan[scope]), np.int64(0)
            if e < 0:
                e, another_went = insert(entries, scope, agents.key[i], now_ms)
                made += e >= 0
                evicted += another_went
            _count_left_behind(agents, entries, i, e, counters)
            begin_plan(agents, plans, i, plan, step, np.int64(HEURISTIC), e, now, counters, life)
            counters[STOPGAPS] += 1
            if e >= 0:
                entries.used[e] = now_ms
                wanted_count = _wait_for_model(
                    agents, entries, i, e, need, ranks, wanted, wanted_count, now_ms, counters
                )
            continue
        _count_left_behind(agents, entries, i, e, counters)
        entries.used[e] = now_ms
        entries.seen[e] += 1
        before = np.int64(agents.plan[i] if agents.entry[i] >= 0 else agents.last_plan[i])
        running = np.int64(agents.plan[i] if agents.state[i] == RUNNING else -1)
        at = np.int64(agents.step[i])
        at_once = need >= NEED_AT_ONCE
        second_try = at_once and (need - NEED_AT_ONCE) & SECOND_TRY != 0

        plan = np.int64(entries.model[e])
        if plan >= 0 and not (at_once and (second_try or plan == agents.last_plan[i])):
            action, target = np.int64(plans.action[plan, 0]), np.int64(plans.target[plan, 0])
            if is_legal(agents, things, actions, targets, i, action, target):
                counters[HITS + entries.level[e]] += 1
                goes_on = same_steps(plans, plan, running)
                step = at if goes_on else np.int64(0)
                begin_plan(agents, plans, i, plan, step, np.int64(CACHE), e, now, counters, life)
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
        wanted_count = _wait_for_model(agents, entries, i, e, need, ranks, wanted, wanted_count, now_ms, counters)

        plan, step = np.int64(entries.heuristic[e]), np.int64(0)
        if at_once and plan == agents.last_plan[i]:
            step += ((need - NEED_AT_ONCE) & 7) + 1
        elif second_try:
            step += plans.length[plan]
        second_try = at_once and (second_try or plan != agents.last_plan[i])
        while step < plans.length[plan] and not is_legal(
            agents, things, actions, targets, i, np.int64(plans.action[plan, step]), np.int64(plans.target[plan, step])
        ):
            step += 1
        if step == plans.length[plan]:
            plan, step = np.int64(WAIT_PLAN if at_once else default_plan[scope]), np.int64(0)
        goes_on = step == at and same_steps(plans, plan, running)
        begin_plan(agents, plans, i, plan, step, np.int64(HEURISTIC), e, now, counters, life)
        if goes_on:
            agents.state[i] = RUNNING
        if second_try:
            agents.fresh[i] |= IS_SECOND_TRY
    return left, missing, wanted_count, made, evicted
