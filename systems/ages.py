"""How old percepts are: measured, not worked out from the settings."""

from __future__ import annotations

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim.membership import inside
from astrasim.simulation import Simulation

from .perception import Perception


def percept_age(sim: Simulation) -> dict[str, float] | None:
    """Let some ticks pass (three rounds of perceiving, as fast as they go) and watch who perceives in them.

    Before perception each count that an agent perceives is made NaN; who has a number after it has perceived, and the
    others get theirs back before anybody reads it. So what happens is what would have happened anyway.

    Returns:
        ``p50`` and ``max``, in ticks, over all agents and the ``ticks`` watched; 0 is an agent that perceived in that
        very tick. None where no agent perceives a count.
    """
    agents, counts = sim.agents, _counts(sim)
    ages: NDArray[np.int64] = np.zeros(0, np.int64)  # by uid: rows are reused
    watched: list[NDArray[np.int64]] = []
    with inside(sim.world):
        perception = esper.get_processor(Perception)
    assert isinstance(perception, Perception)
    perceive = perception.process

    def watch(dt: float | None = None) -> None:
        nonlocal ages
        sim.notice_deletions()  # perception would move rows otherwise, and with them what is to be given back
        n = agents.count
        kept = {column: agents.f[column, :n].copy() for column in set(counts.values())}
        for column in kept:
            agents.f[column, :n] = np.nan
        perceive(dt)
        seen, can = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        for kind, column in counts.items():
            own = agents.kind[:n] == kind
            can |= own
            seen |= own & ~np.isnan(agents.f[column, :n])
        for column, values in kept.items():
            now = agents.f[column, :n]
            np.copyto(now, values, where=np.isnan(now))
        uid = agents.uid[:n]
        if n and uid.max() >= len(ages):
            ages = np.concatenate([ages, np.zeros(int(uid.max()) + 1 - len(ages), np.int64)])
        ages[uid] = np.where(seen, 0, ages[uid] + 1)
        watched.append(ages[uid[can]])

    ticks = 3 * sim.pace.every
    perception.process = watch  # type: ignore[method-assign]  # of this one object, for some ticks
    try:
        for _ in range(ticks):
            sim.tick()
    finally:
        del perception.process
    found = np.concatenate(watched)
    return {"p50": float(np.median(found)), "max": int(found.max()), "ticks": ticks} if len(found) else None


def _counts(sim: Simulation) -> dict[int, int]:
    """For each kind of agents that perceives a count, the column of one."""
    return {
        sim.agents.kind_names.index(kind): sim.agents.float_index[percept.name]
        for percept in sim.domain.declared.percepts.values()
        if percept.counts
        for kind in percept.sees
    }
