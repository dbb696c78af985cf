"""Action: each agent's running step. Stock actions are run here; custom ones are only started and resolved.

Agents are taken a block of rows at a time, and in a block those of one step together: so the processor can guess which
way its branches go, which in the order of rows takes it longer than the work. What they do to others is put down in the
order of rows all the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .columns import (
    AMMO,
    AT_AGENT,
    AT_HOME,
    AT_PLACE,
    AT_RESOLVED,
    AT_THING,
    AWAY,
    DONE,
    FAILED,
    HOME_X,
    HOME_Y,
    KEEP,
    RUNNING,
    STAMINA,
    STAY,
    TOWARDS,
    VX,
    VY,
    WANDER,
    Actions,
    Agents,
    Plans,
    Targets,
    Things,
    X,
    Y,
)
from .compiling import float_kernel, kernel, together_kernel
from .lanes import fetch
from .planning import is_legal
from .sharing import block_done, take_block, wait_for_blocks
from .work import BLOCK, ROUNDING_S, Work, by_step, put_down

WANDER_PERIOD_S = 2.0
AHEAD = 16


@kernel
def _draw(uid: int, salt: np.int64) -> np.float32:
    """A number in [-1, 1) from (uid, salt): no generator's state, so the order of rows does not matter."""
    h = (np.uint64(uid) << np.uint64(32)) ^ np.uint64(salt)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return np.float32(np.float64(h >> np.uint64(11)) * (2.0 / 9007199254740992.0) - 1.0)


@kernel
def _cool_down(f: NDArray[np.float32], columns: NDArray[np.int32], first: int, last: int, dt: float) -> None:
    """Count the cooldown columns (seconds left) down to 0. What is left because ticks were rounded is nothing."""
    for q in range(len(columns)):
        for i in range(first, last):
            left = f[columns[q], i] - np.float32(dt)
            f[columns[q], i] = left if left > ROUNDING_S else np.float32(0)


@float_kernel
def _run_steps(
    agents: Agents, things: Things, actions: Actions, targets: Targets, work: Work, block: int, dt: float, now: float,
    seed: int,
) -> None:  # fmt: skip
    """Start and run the steps of a block's rows; of those with nothing to put down ``work.step`` becomes -1."""
    f, r = agents.f, agents.r
    begin, order, steps, ends = work.begin[block], work.order, work.step, work.ends
    dt32 = np.float32(dt)
    leg = np.int64(now / WANDER_PERIOD_S) * 4 + seed * 2654435761
    for s in range(len(begin) - 1):
        if begin[s] == begin[s + 1]:
            continue
        a, t = s // len(targets.sort), s % len(targets.sort)
        sort, index, farthest = targets.sort[t], targets.index[t], actions.range[a]
        motion, custom, gain = actions.motion[a], actions.custom[a], actions.gain_column[a]
        cooldown, hits = actions.cooldown_column[a], actions.hit_column[a] >= 0 and not actions.takes[a]
        near = actions.near[a] if motion == TOWARDS or motion == KEEP else np.float32(0)
        for k in range(begin[s], begin[s + 1]):
            i = order[k]
            x, y = f[X, i], f[Y, i]
            found = True
            tx, ty = x, y
            if sort == AT_AGENT:
                if k + AHEAD < begin[s + 1]:  # who it is there is anywhere, and the processor cannot guess where
                    ahead = r[index, order[k + AHEAD]]
                    if ahead >= 0:
                        fetch(f, np.int64(X * f.shape[1] + ahead))
                        fetch(f, np.int64(Y * f.shape[1] + ahead))
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
                if not found or not is_legal(agents, things, actions, targets, i, a, t) or distance > farthest:
                    outcome = FAILED
            else:
                agents.elapsed[i] += dt32
                if not found:
                    outcome = DONE if actions.done_lost[a] else FAILED
                elif custom == 0 and (
                    distance > farthest or (actions.line_of_sight[a] and not f[targets.visible[t], i] > 0)
                ):
                    outcome = FAILED
            agents.outcome[i] = outcome
            if outcome != RUNNING:
                f[VX, i] = f[VY, i] = 0
                steps[i], ends[i] = -1, 1
                continue
            if custom:
                if starting:
                    f[VX, i] = f[VY, i] = 0  # not where the step before was going
                    if cooldown >= 0:
                        f[cooldown, i] = actions.cooldown[a]
                continue

            if motion == WANDER:
                u, v = _draw(agents.uid[i], leg), _draw(agents.uid[i], leg + 1)  # in a square, bent to a disc
                dx += actions.radius[a] * u * np.sqrt(1 - v * v / 2)
                dy += actions.radius[a] * v * np.sqrt(1 - u * u / 2)
                distance = np.sqrt(dx * dx + dy * dy)
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
            acts = False
            if actions.done_near[a] and arrived:
                agents.outcome[i] = DONE
                acts = actions.takes[a] != 0
            elif hits and (cooldown < 0 or f[cooldown, i] <= 0):
                if f[AMMO, i] < actions.ammunition[a] or f[STAMINA, i] < actions.stamina[a]:
                    agents.outcome[i] = FAILED
                else:
                    f[AMMO, i] -= actions.ammunition[a]
                    f[STAMINA, i] -= actions.stamina[a]
                    if cooldown >= 0:
                        f[cooldown, i] = actions.cooldown[a]
                    acts = True
            if not acts:
                steps[i] = -1
            if gain >= 0:
                if f[gain, i] < actions.limit[a]:
                    f[gain, i] = min(f[gain, i] + actions.gain_rate[a] * dt32, actions.limit[a])
                if f[gain, i] >= actions.limit[a]:
                    agents.outcome[i] = DONE
            ends[i] |= agents.outcome[i] != RUNNING


@kernel
def act(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, cooldowns: NDArray[np.int32],
    work: Work, count: int, dt: float, now: float, seed: int, counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """Count the ``cooldowns`` (columns) down, then start and run the step of every agent: velocities, effects on
    itself, events for effects on others.

    ``outcome`` becomes what the step came to in this tick. Each block of rows writes its events, and its custom rows,
    from the place of its first row on; :func:`close_up` joins them.
    """
    blocks = (count + BLOCK - 1) // BLOCK
    block = take_block(counters, 0)
    while block < blocks:
        first, last = block * BLOCK, min(block * BLOCK + BLOCK, count)
        _cool_down(agents.f, cooldowns, first, last, dt)
        by_step(agents, plans, len(targets.sort), work, block, first, last, dt)
        _run_steps(agents, things, actions, targets, work, block, dt, now, seed)
        work.found[0, block], work.found[1, block] = put_down(agents, actions, targets, work, first, last)
        block_done(counters, 0)
        block = take_block(counters, 0)
    wait_for_blocks(counters, 0, blocks)


@together_kernel
def act_together(
    agents: Agents, things: Things, actions: Actions, targets: Targets, plans: Plans, cooldowns: NDArray[np.int32],
    work: Work, count: int, dt: float, now: float, seed: int, counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """:func:`act`, on as many threads as call it with the same arguments."""
    act(agents, things, actions, targets, plans, cooldowns, work, count, dt, now, seed, counters)
