"""The end of a tick's actions: what agents did to others is applied, and steps that came to an end are ended."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .columns import (
    APPLIED,
    CACHE,
    DONE,
    DROPPED_ILLEGAL,
    DROPPED_INTERRUPTED,
    DROPPED_ORDER,
    FAILED,
    FRESH,
    HEURISTIC,
    IS_SECOND_TRY,
    LLM,
    NEED_AT_ONCE,
    NEED_END,
    NEED_FAILED,
    NEED_NONE,
    NEED_ORDER,
    REACHED_SECOND,
    RUNNING,
    SECOND_TRY,
    STEPS_DONE,
    STEPS_FAILED,
    THING_AMOUNT,
    TICKS_HEURISTIC,
    WAIT_PLAN,
    Actions,
    Agents,
    Events,
    Plans,
    Targets,
    Things,
)
from .compiling import kernel
from .lookup import RECALLED, Entries
from .planning import begin_plan, end_life, is_legal, list_rows
from .work import BLOCK, ROUNDING_S, Work

AT_ONCE_S = 0.1
"""A plan that failed within so long (no step may last shorter) and a tick of its beginning failed at once."""


@kernel
def apply_events(agents: Agents, things: Things, events: Events, first: int, count: int) -> None:
    """Apply what agents did to others, in the order of the rows that did it. A thing goes to the first who takes it."""
    for k in range(first, count):
        source, target, column = events.source[k], events.target[k], events.column[k]
        if events.thing[k]:
            if things.taken[target]:
                agents.outcome[source] = FAILED
                continue
            things.taken[target] = 1
            amount = events.amount[k]
            agents.f[column, source] += amount if amount > 0 else things.f[THING_AMOUNT, target]
        else:
            value = agents.f[column, target] + events.amount[k]
            if events.amount[k] > 0:
                value = max(min(value, events.limit[k]), agents.f[column, target])
            agents.f[column, target] = value


@kernel
def finish(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries, work: Work,
    count: int, default_plan: NDArray[np.int32], dt: float, now: float, counters: NDArray[np.int64],
    life: NDArray[np.float64],
) -> None:  # fmt: skip
    """End the steps that came to an end, of rows that ``work`` says may: the next step, the model's plan that waited
    for this moment, or a need.

    An agent whose plan is over stands at its role's default plan until the planner serves it, so none is ever without.
    Its ``entry`` then keeps, as -2 - entry, where it waited for the model's plan.
    """
    for block in range((count + BLOCK - 1) // BLOCK):
        for source in range(3):
            counters[TICKS_HEURISTIC + source] += work.found[2 + source, block]
    for k in range(list_rows(work.ends, 0, count, work.order, 0)):
        i = np.int64(work.order[k])
        plan, step = agents.plan[i], agents.step[i]
        outcome = agents.outcome[i]
        if agents.fresh[i] & FRESH and outcome != FAILED:
            agents.fresh[i] &= ~FRESH
            counters[APPLIED] += 1
        timed_out = outcome == RUNNING and agents.elapsed[i] + ROUNDING_S >= plans.seconds[plan, step]
        if timed_out:
            outcome = DONE
        if outcome == RUNNING:
            continue
        agents.state[i] = outcome
        counters[STEPS_DONE if outcome == DONE else STEPS_FAILED] += 1
        e = np.int64(agents.entry[i])
        if e >= 0 and entries.model[e] == plan and entries.key[e] == agents.plan_key[i]:
            entries.done[e] += outcome == DONE
            entries.failed[e] += outcome != DONE
        coming = np.int64(agents.next_plan[i])
        if coming >= 0:
            action, target = np.int64(plans.action[coming, 0]), np.int64(plans.target[coming, 0])
            agents.next_plan[i] = -1
            if agents.need[i] == NEED_ORDER:
                counters[DROPPED_ORDER] += 1
            elif agents.interrupt_key[i] != agents.plan_interrupt_key[i]:
                counters[DROPPED_INTERRUPTED] += 1
            elif not is_legal(agents, things, actions, targets, i, action, target):
                counters[DROPPED_ILLEGAL] += 1
            else:
                by, made_for = CACHE if e >= 0 and entries.flags[e] & RECALLED else LLM, agents.plan_key[i]
                begin_plan(agents, plans, i, coming, np.int64(0), np.int64(by), e, now, counters, life)
                agents.plan_key[i] = made_for
                continue
            agents.plan_key[i] = -1  # waits no more
        if outcome == DONE and step + 1 < plans.length[plan]:
            agents.step[i] = step + 1
            agents.fresh[i] |= REACHED_SECOND
            continue
        end_life(agents, i, now, counters, life)
        default = default_plan[agents.scope[i]]
        # A stock action that is done at once had nothing to do (full of stamina, near already). The game's own may well
        # do all they have to do in a tick, and want to be run again in the next.
        ended = plans.action[plan, step]
        idle = not timed_out and actions.custom[ended] == 0 and actions.takes[ended] == 0
        at_once = (outcome == FAILED or idle) and now - agents.plan_start[i] < AT_ONCE_S + dt
        if agents.need[i] == NEED_NONE:
            if at_once:
                again = SECOND_TRY if agents.fresh[i] & IS_SECOND_TRY else 0
                agents.need[i] = NEED_AT_ONCE + step + again
            else:
                agents.need[i] = NEED_END if outcome == DONE else NEED_FAILED
        if agents.entry[i] >= 0:
            agents.entry[i] = -2 - agents.entry[i] if agents.source[i] == HEURISTIC else -1
        agents.last_plan[i] = plan
        agents.plan[i] = WAIT_PLAN if at_once and plan == default else default
        agents.step[i], agents.source[i], agents.fresh[i], agents.plan_start[i] = 0, HEURISTIC, 0, now
