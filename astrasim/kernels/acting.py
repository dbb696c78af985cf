"""Action: each agent's running step. Stock actions are run here; custom ones are only started and resolved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .columns import (
    AMMO,
    APPLIED,
    AT_AGENT,
    AT_HOME,
    AT_PLACE,
    AT_RESOLVED,
    AT_THING,
    AWAY,
    CACHE,
    DONE,
    DROPPED_ILLEGAL,
    DROPPED_INTERRUPTED,
    DROPPED_ORDER,
    FAILED,
    FRESH,
    HEURISTIC,
    HOME_X,
    HOME_Y,
    IS_SECOND_TRY,
    KEEP,
    LLM,
    NEED_AT_ONCE,
    NEED_END,
    NEED_FAILED,
    NEED_NONE,
    NEED_ORDER,
    REACHED_SECOND,
    RUNNING,
    SECOND_TRY,
    STAMINA,
    STAY,
    STEPS_DONE,
    STEPS_FAILED,
    THING_AMOUNT,
    TICKS_HEURISTIC,
    TOWARDS,
    VX,
    VY,
    WAIT_PLAN,
    WANDER,
    Actions,
    Agents,
    Events,
    Plans,
    Targets,
    Things,
    X,
    Y,
)
from .compiling import float_kernel, kernel, together_kernel
from .lanes import fetch
from .lookup import RECALLED, Entries
from .planning import begin_plan, end_life, is_legal
from .sharing import block_done, take_block, wait_for_blocks

WANDER_PERIOD_S = 2.0
AHEAD = 16
BLOCK = 2048
"""Rows of which two threads take the next."""
ROUNDING_S = 1e-4
AT_ONCE_S = 0.1
"""A plan that failed within so long (no step may last shorter) and a tick of its beginning failed at once."""


@kernel
def cool_down(f: NDArray[np.float32], columns: NDArray[np.int32], count: int, dt: float) -> None:
    """Count the cooldown columns (seconds left) down to 0. What is left because ticks were rounded is nothing."""
    for q in range(len(columns)):
        for i in range(count):
            left = f[columns[q], i] - np.float32(dt)
            f[columns[q], i] = left if left > ROUNDING_S else np.float32(0)


@kernel
def _draw(uid: int, salt: np.int64) -> np.float32:
    """A number in [-1, 1) from (uid, salt): no generator's state, so the order of rows does not matter."""
    h = (np.uint64(uid) << np.uint64(32)) ^ np.uint64(salt)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return np.float32(np.float64(h >> np.uint64(11)) * (2.0 / 9007199254740992.0) - 1.0)


@float_kernel
def _act_block(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, events: Events,
    begin: int, count: int, dt: float, now: float, seed: int, custom: NDArray[np.int32],
) -> tuple[int, int]:  # fmt: skip
    """:func:`act` for the rows begin..count, whose events and custom rows are written from ``begin`` on."""
    f, r = agents.f, agents.r
    dt32 = np.float32(dt)
    emitted = listed = begin
    for i in range(begin, count):
        if i + AHEAD < count:  # whoever is the target there is anywhere, and the processor cannot guess where
            ahead = plans.target[agents.plan[i + AHEAD], agents.step[i + AHEAD]]
            j = r[targets.index[ahead], i + AHEAD] if targets.sort[ahead] == AT_AGENT else -1
            if j >= 0:
                fetch(f, np.int64(X * f.shape[1] + j))
                fetch(f, np.int64(Y * f.shape[1] + j))
        plan, step = agents.plan[i], agents.step[i]
        a, t = plans.action[plan, step], plans.target[plan, step]
        x, y = f[X, i], f[Y, i]
        sort, index = targets.sort[t], targets.index[t]
        j = -1
        found = True
        tx, ty = x, y
        if sort == AT_AGENT:
            j = r[index, i]
            found = j >= 0
            if found:
                tx, ty = f[X, j], f[Y, j]
        elif sort == AT_PLACE:
            tx, ty = targets.x[t], targets.y[t]
        elif sort == AT_THING:
            j = r[index, i]
            found = j >= 0 and things.taken[j] == 0
            if found:
                tx, ty = things.f[X, j], things.f[Y, j]
        elif sort == AT_HOME:
            tx, ty = f[HOME_X, i], f[HOME_Y, i]
        elif sort == AT_RESOLVED:
            tx, ty = f[index, i], f[index + 1, i]
        dx, dy = tx - x, ty - y
        distance = np.sqrt(dx * dx + dy * dy)
        found = found and distance < np.inf  # not so where a position is no number
        starting = agents.state[i] != RUNNING
        outcome = RUNNING
        if starting:
            agents.state[i] = RUNNING
            agents.elapsed[i] = dt32
            if not found or not is_legal(agents, things, actions, targets, i, a, t) or distance > actions.range[a]:
                outcome = FAILED
        else:
            agents.elapsed[i] += dt32
            if not found:
                outcome = DONE if actions.done_lost[a] else FAILED
            elif actions.custom[a] == 0 and (
                distance > actions.range[a] or (actions.line_of_sight[a] and not f[targets.visible[t], i] > 0)
            ):
                outcome = FAILED
        agents.outcome[i] = outcome
        if outcome != RUNNING:
            f[VX, i] = f[VY, i] = 0
            continue
        cooldown = actions.cooldown_column[a]
        if actions.custom[a]:
            if starting:
                f[VX, i] = f[VY, i] = 0  # not where the step before was going
                if cooldown >= 0:
                    f[cooldown, i] = actions.cooldown[a]
            custom[0, listed], custom[1, listed], custom[2, listed] = i, a, t
            listed += 1
            continue

        motion = actions.motion[a]
        if motion == WANDER:
            leg = np.int64(now / WANDER_PERIOD_S) * 4 + seed * 2654435761
            u, v = _draw(agents.uid[i], leg), _draw(agents.uid[i], leg + 1)  # in a square, bent to a disc
            dx += actions.radius[a] * u * np.sqrt(1 - v * v / 2)
            dy += actions.radius[a] * v * np.sqrt(1 - u * u / 2)
            distance = np.sqrt(dx * dx + dy * dy)
        near = actions.near[a] if motion == TOWARDS or motion == KEEP else np.float32(0)
        # As near as float32 can tell, or it would go on for ever with what is left too little to move it.
        arrived = distance <= near + np.float32(1e-4) + np.float32(1e-6) * (abs(x) + abs(y))
        if motion == STAY or (arrived and motion != AWAY):
            f[VX, i] = f[VY, i] = 0
        else:
            speed = actions.speed[a]
            if actions.stamina_rate[a] > 0:
                f[STAMINA, i] = max(f[STAMINA, i] - actions.stamina_rate[a] * dt32, np.float32(0))
                if f[STAMINA, i] <= 0:
                    speed *= np.float32(0.5)
            if motion == AWAY:
                if distance < 1e-6:  # on the same spot: any way out will do
                    dx, dy = _draw(agents.uid[i], np.int64(1)), _draw(agents.uid[i], np.int64(2))
                    distance = max(np.sqrt(dx * dx + dy * dy), np.float32(1e-6))
                dx, dy = -dx, -dy
            elif dt32 > 0:
                speed = min(speed, (distance - near) / dt32)  # do not overshoot
            f[VX, i], f[VY, i] = speed * dx / distance, speed * dy / distance
        if actions.done_near[a] and arrived:
            agents.outcome[i] = DONE
            if actions.takes[a]:
                events.source[emitted], events.target[emitted], events.thing[emitted] = i, j, 1
                events.column[emitted], events.amount[emitted] = actions.hit_column[a], actions.hit_amount[a]
                emitted += 1
        elif actions.hit_column[a] >= 0 and not actions.takes[a] and (cooldown < 0 or f[cooldown, i] <= 0):
            if f[AMMO, i] < actions.ammunition[a] or f[STAMINA, i] < actions.stamina[a]:
                agents.outcome[i] = FAILED
            else:
                f[AMMO, i] -= actions.ammunition[a]
                f[STAMINA, i] -= actions.stamina[a]
                if cooldown >= 0:
                    f[cooldown, i] = actions.cooldown[a]
                events.source[emitted], events.target[emitted], events.thing[emitted] = i, j, 0
                events.column[emitted], events.amount[emitted] = actions.hit_column[a], actions.hit_amount[a]
                events.limit[emitted] = actions.limit[a]
                emitted += 1
        gain = actions.gain_column[a]
        if gain >= 0:
            if f[gain, i] < actions.limit[a]:
                f[gain, i] = min(f[gain, i] + actions.gain_rate[a] * dt32, actions.limit[a])
            if f[gain, i] >= actions.limit[a]:
                agents.outcome[i] = DONE
    return emitted - begin, listed - begin


@kernel
def act(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, events: Events,
    count: int, dt: float, now: float, seed: int, custom: NDArray[np.int32], found: NDArray[np.int32],
    counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """Start and run the step of every agent: velocities, effects on itself, events for effects on others.

    ``outcome`` becomes what the step came to in this tick; rows with a custom action that may run go to ``custom``,
    of shape (3, count): row, action, target. Each block of rows writes its events, and its custom rows, from the place
    of its first row on, and how many these are to ``found``, of shape (2, blocks); :func:`close_up` joins them.
    """
    blocks = (count + BLOCK - 1) // BLOCK
    block = take_block(counters, 0)
    while block < blocks:
        begin = block * BLOCK
        found[0, block], found[1, block] = _act_block(
            agents, things, actions, targets, plans, events, begin, min(begin + BLOCK, count), dt, now, seed, custom
        )
        block_done(counters, 0)
        block = take_block(counters, 0)
    wait_for_blocks(counters, 0, blocks)


@together_kernel
def act_together(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, events: Events,
    count: int, dt: float, now: float, seed: int, custom: NDArray[np.int32], found: NDArray[np.int32],
    counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """:func:`act`, on as many threads as call it with the same arguments."""
    act(agents, things, actions, targets, plans, events, count, dt, now, seed, custom, found, counters)


@kernel
def close_up(events: Events, custom: NDArray[np.int32], found: NDArray[np.int32], count: int) -> tuple[int, int]:
    """Join what the blocks of :func:`act` wrote, in the order of rows.

    Returns:
        (number of events, number of custom rows).
    """
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
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, entries: Entries, count: int,
    default_plan: NDArray[np.int32], dt: float, now: float, counters: NDArray[np.int64], life: NDArray[np.float64],
) -> None:  # fmt: skip
    """End the steps that came to an end: the next step, the model's plan that waited for this moment, or a need.

    An agent whose plan is over stands at its role's default plan until the planner serves it, so none is ever without.
    Its ``entry`` then keeps, as -2 - entry, where it waited for the model's plan.
    """
    for i in range(count):
        counters[TICKS_HEURISTIC + agents.source[i]] += 1
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
        e = agents.entry[i]
        if e >= 0 and entries.model[e] == plan and entries.key[e] == agents.plan_key[i]:
            entries.done[e] += outcome == DONE
            entries.failed[e] += outcome != DONE
        coming = agents.next_plan[i]
        if coming >= 0:
            agents.next_plan[i] = -1
            if agents.need[i] == NEED_ORDER:
                counters[DROPPED_ORDER] += 1
            elif agents.interrupt_key[i] != agents.plan_interrupt_key[i]:
                counters[DROPPED_INTERRUPTED] += 1
            elif not is_legal(agents, things, actions, targets, i, plans.action[coming, 0], plans.target[coming, 0]):
                counters[DROPPED_ILLEGAL] += 1
            else:
                source = CACHE if e >= 0 and entries.flags[e] & RECALLED else LLM
                begin_plan(agents, plans, i, coming, 0, source, e, now, counters, life)
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
