"""Gathers the figures of a simulation into a :class:`~astrasim.statistics.Statistics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kernels import columns as c
from .statistics import AgentTicks, Lookups, Planning, PlanUse, Requests, Statistics

if TYPE_CHECKING:
    from .simulation import Simulation


def gather(sim: Simulation) -> Statistics:
    """All figures; takes about a millisecond, so call it between frames or a few times a second."""
    planner = sim.planner
    n = [int(value) for value in planner.counters]
    by_source = [n[c.TICKS_LLM], n[c.TICKS_CACHE], n[c.TICKS_HEURISTIC]]
    counts = planner.counts
    return Statistics(
        ticks=sim.tick_ms.count,
        agents=sim.agents.count,
        tick_ms=sim.tick_ms.percentiles(),
        planning=Planning(
            planner.planning_ms.percentiles(), planner.budget.budget_ms, planner.overruns, planner.budget.spent_units
        ),
        requests=Requests(
            counts.sent, counts.answered, counts.failed, counts.rejected, counts.cancelled, counts.refused, counts.late,
            n[c.SHARED], len(planner.requests), planner.latency_ms.percentiles(), dict(counts.reasons),
        ),
        lookups=Lookups(n[c.HITS], n[c.MISSES]),
        cache=planner.cache.statistics(),
        agent_ticks=AgentTicks(*(ticks / (sum(by_source) or 1) for ticks in by_source)),
        plans=PlanUse(
            applied=n[c.APPLIED],
            unchanged=n[c.UNCHANGED],
            dropped={
                "illegal": n[c.DROPPED_ILLEGAL],
                "interrupted": n[c.DROPPED_INTERRUPTED],
                "moved_on": n[c.DROPPED_MOVED_ON],
                "order": n[c.DROPPED_ORDER],
            },
            ended=n[c.LIVES],
            mean_life_s=float(planner.life[0]) / n[c.LIVES] if n[c.LIVES] else 0.0,
            second_step_share=n[c.SECOND_STEPS] / n[c.LIVES] if n[c.LIVES] else 0.0,
        ),
        steps_failed=n[c.STEPS_FAILED],
        errors=dict(sim.errors),
        gateway="no model" if planner.gateway is None else planner.gateway.describe(),
    )  # fmt: skip
