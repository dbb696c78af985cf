"""Gathers the figures of a simulation, as a :class:`~astrasim.statistics.Statistics` or for JSON."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from .kernels import columns as c
from .statistics import AgentTicks, Lookups, Planning, PlanUse, Requests, Statistics

if TYPE_CHECKING:
    from .frames import FrameTimes
    from .planner import Planner
    from .simulation import Simulation


def gather(sim: Simulation) -> Statistics:
    """All figures; takes about a millisecond, so call it between frames or a few times a second."""
    planner = sim.planner
    n = planner.counters.tolist()
    by_source = [n[c.TICKS_LLM], n[c.TICKS_CACHE], n[c.TICKS_HEURISTIC]]
    return Statistics(
        ticks=sim.tick_ms.count,
        agents=sim.agents.count,
        tick_ms=sim.tick_ms.percentiles(),
        planning=Planning(
            planner.planning_ms.percentiles(), planner.planning_cpu_ms.percentiles(), sim.pace.budget_ms,
            planner.overruns, planner.budget.spent_units,
        ),
        waiting=planner.waits.statistics(n[c.STOPGAPS]),
        requests=requests(planner),
        lookups=lookups(planner),
        cache=planner.cache.statistics(),
        memory=planner.recalling.memory_statistics(),
        looks=planner.recalling.statistics(),
        agent_ticks=AgentTicks(*(ticks / (sum(by_source) or 1) for ticks in by_source)),
        plans=plan_use(planner),
        steps_failed=n[c.STEPS_FAILED],
        errors=dict(sim.errors),
        gateway=gateway(planner),
    )  # fmt: skip


def requests(planner: Planner) -> Requests:
    n, counts = planner.counters.tolist(), planner.counts
    return Requests(
        counts.sent, counts.answered, counts.failed, counts.rejected, counts.cancelled, counts.refused, counts.late,
        n[c.SHARED], counts.obvious, len(planner.requests), planner.latency_ms.percentiles(), dict(counts.reasons),
        counts.usage, counts.retries,
    )  # fmt: skip


def lookups(planner: Planner) -> Lookups:
    n = planner.counters.tolist()
    return Lookups(n[c.HITS], n[c.NEAR_HITS], n[c.ORDER_HITS], n[c.MISSES], n[c.NEGATIVE_HITS])


def plan_use(planner: Planner) -> PlanUse:
    n = planner.counters.tolist()
    return PlanUse(
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
    )


def gateway(planner: Planner) -> str:
    """How the model's side does, in words."""
    return "no model" if planner.gateway is None else planner.gateway.describe()


def memory_bytes() -> int:
    """What this process holds in memory now (its resident set)."""
    return int(psutil.Process().memory_info().rss)


def measured(sim: Simulation, times: FrameTimes, memory_before: int) -> dict[str, Any]:
    """What ``--json`` writes: the figures of a run in paced frames. Units are in the names.

    Args:
        memory_before: :func:`memory_bytes` with the kernels loaded and no simulation made.
    """
    memory = memory_bytes()
    s = gather(sim)
    latency, planning = s.requests.latency_ms, s.planning.ms
    return {
        "agents": s.agents,
        "every": sim.pace.every,
        "frames": len(times.work_ms),
        "seconds": round(times.seconds, 2),
        "model": sim.model_tag,
        "seed": sim.settings.seed,
        "frame_ms": _rounded(times.percentiles()._asdict()),
        "missed": int(times.missed),
        "sustained": bool(times.sustained()),
        "planning_ms": {
            **_rounded({"p50": planning.p50, "p99": planning.p99, "max": planning.max}),
            **_rounded({"cpu_p50": s.planning.cpu_ms.p50, "cpu_p99": s.planning.cpu_ms.p99}),
            "budget": s.planning.budget_ms,
            "overruns": int(s.planning.overruns),
        },
        "waiting": {
            "agents": _rounded({"mean": s.waiting.mean_agents, **s.waiting.agents._asdict()}),
            "wait_s": _rounded(s.waiting.wait_s._asdict()),
            "plans": _rounded(s.waiting.plans._asdict()),
            "put_off": s.waiting.put_off,
            "stopgaps": s.waiting.stopgaps,
        },
        "requests": {
            "sent": s.requests.sent,
            "answered": s.requests.answered,
            "failed": s.requests.failed,
            "rejected": s.requests.rejected,
            "shared": s.requests.shared,
            "per_second": round(s.requests.sent / times.seconds, 2) if times.seconds else 0.0,
            "obvious": s.requests.obvious,
            "retries": s.requests.retries,
            "reasons": s.requests.reasons,
        },
        "tokens": {
            "prompt": s.requests.usage.prompt_tokens,
            "written": s.requests.usage.tokens,
            "per_second": round(s.requests.usage.tokens_per_s, 1),
            "load_s": round(s.requests.usage.load_s, 3),
        },
        "latency_ms": _rounded({"p50": latency.p50, "p95": latency.p95, "p99": latency.p99}),
        "cache": {
            "exact_hits": s.lookups.exact_hits,
            "near_hits": s.lookups.near_hits,
            "order_hits": s.lookups.order_hits,
            "negative_hits": s.lookups.negative_hits,
            "misses": s.lookups.misses,
            "hit_rate": round(s.lookups.hit_rate, 4),
            "distinct_keys": s.cache.distinct_keys,
            "top10_share": round(s.cache.top10_share, 4),
            "unasked": s.cache.unasked,
            "evictions": s.cache.evictions,
            "expired": s.cache.expired,
            "retired": s.cache.retired,
            "shadows": s.looks.shadows,
            "look_ticks": _rounded({"p50": s.looks.ticks.p50, "p95": s.looks.ticks.p95}),
            "memory": s.memory._asdict() | {
                name: {role: truth._asdict() for role, truth in getattr(s.memory, name).items()}
                for name in ("truth", "orders")
            },
        },
        "agent_ticks": _rounded(s.agent_ticks._asdict(), 4),
        "plans": {
            "applied": s.plans.applied,
            "unchanged": s.plans.unchanged,
            "dropped": s.plans.dropped,
            "mean_life_s": round(s.plans.mean_life_s, 3),
            "second_step_share": round(s.plans.second_step_share, 4),
        },
        "gateway": s.gateway,
        "rss_mb": round(memory / 2**20, 1),
        "bytes_per_agent": round((memory - memory_before) / s.agents) if s.agents else None,
        "machine": machine(),
    }


def write_json(file: Path, figures: Any) -> None:
    """Write figures, as every command that measures does.

    Raises:
        OSError: nothing can be written there.
    """
    file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


VERSIONS = ("astrasim", "esper", "numba", "numpy", "aiohttp")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in VERSIONS},
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _rounded(values: dict[str, float], digits: int = 3) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in values.items()}
