"""One capacity run: N agents of the arena, paced at 60 Hz, measured.

The command line is ``astrasim stress``; :func:`measure` is the same for programs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psutil

from astrasim import Settings, SettingsError, Simulation
from astrasim.frames import PERIOD_MS, run_frames
from astrasim.gateway import Gateway, GatewayState

from .arena import build_arena
from .stub_server import stub_server

WARM_UP_FRAMES = 120
READY_S = 30.0
FAULTS = ("none", "kill", "stop")
STOPPED_FRAMES = 600
VERSIONS = ("astrasim", "esper", "numba", "numpy", "httpx")


@dataclass(frozen=True)
class Run:
    """What to measure. ``frames`` are counted after the warm-up.

    ``fault`` happens half-way: "kill" kills the gateway's process, "stop" stops it (SIGSTOP) for ten seconds.
    """

    agents: int
    every: int = 1
    frames: int = 600
    model: str = "stub"
    rate: float = 20.0
    budget_ms: float = 2.0
    seed: int = 0
    latency_ms: tuple[float, float] = (100.0, 500.0)
    fault: str = "none"

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise SettingsError(f"no fault {self.fault!r}; there are: {', '.join(FAULTS)}")
        if self.fault == "stop" and not hasattr(signal, "SIGSTOP"):
            raise SettingsError("fault 'stop' needs SIGSTOP, which this system does not have")
        if self.fault != "none" and self.model == "none":
            raise SettingsError(f"fault {self.fault!r} happens to the gateway, and model 'none' has none")

    def control(self) -> Run:
        """What to compare it with: the same without the fault; if it has none, the same without a model."""
        if self.fault != "none":
            return replace(self, fault="none")
        return replace(self, model="none", rate=0.0)


def measure(run: Run, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Run it and return the figures as one JSON-able object (README lists the fields)."""
    with _model(run) as settings:
        progress(f"{run.agents} agents, model {run.model}: building the arena")
        sim = build_arena(run.agents, settings)
        try:
            _wait_for_gateway(sim, progress)
            run_frames(lambda _: sim.tick(), WARM_UP_FRAMES)
            sim.reset_stats()
            progress(f"{run.agents} agents, model {run.model}: {run.frames} frames ({run.frames / 60:.0f} s)")

            def work(frame: int) -> None:
                sim.tick()
                if run.fault != "none":
                    _strike(run, sim, frame)

            times = run_frames(work, run.frames)
            return _figures(run, sim, times)
        finally:
            sim.close()


@contextlib.contextmanager
def _model(run: Run) -> Iterator[Settings]:
    def settings(**model: Any) -> Settings:
        return Settings(
            budget_ms=run.budget_ms, every=run.every, seed=run.seed, capacity=max(1, run.agents),
            requests_per_second=run.rate, **model,
        )  # fmt: skip

    if run.model == "stub":
        with stub_server(seed=run.seed, latency_ms=run.latency_ms) as url:
            yield settings(model="openai", base_url=f"{url}/v1", model_name="stub", api_key=None)
    else:
        yield settings(model=run.model)


def _wait_for_gateway(sim: Simulation, progress: Callable[[str], None]) -> None:
    gateway = sim.planner.gateway
    if not isinstance(gateway, Gateway):
        return
    progress("waiting for the gateway")

    def poll(_: int) -> None:
        gateway.poll()

    for _ in range(int(READY_S)):
        run_frames(poll, 60)
        if gateway.state is GatewayState.READY:
            return
    raise RuntimeError(f"the gateway did not come up in {READY_S:g} s: {gateway.describe()}")


def _strike(run: Run, sim: Simulation, frame: int) -> None:
    gateway = sim.planner.gateway
    if not isinstance(gateway, Gateway) or gateway.pid is None:
        return
    if frame == run.frames // 2:
        # Windows ends a process for any signal that it does not know.
        os.kill(gateway.pid, getattr(signal, "SIGKILL" if run.fault == "kill" else "SIGSTOP", signal.SIGTERM))
    elif run.fault == "stop" and frame == run.frames // 2 + STOPPED_FRAMES:
        os.kill(gateway.pid, getattr(signal, "SIGCONT", signal.SIGTERM))


def _figures(run: Run, sim: Simulation, times: Any) -> dict[str, Any]:
    s = sim.stats()
    frame = times.percentiles()
    lookups = s.lookups.exact_hits + s.lookups.misses
    return {
        "agents": run.agents,
        "every": run.every,
        "frames": run.frames,
        "seconds": round(times.seconds, 2),
        "draw": "none",
        "model": run.model,
        "seed": run.seed,
        "frame_ms": _rounded(frame._asdict()),
        "missed": int(times.missed),
        "sustained": bool(times.sustained()),
        "planning_ms": {
            **_rounded({k: v for k, v in s.planning.ms._asdict().items() if k != "p95"}),
            "budget": run.budget_ms,
            "overruns": int(s.planning.overruns),
        },
        "requests": {
            "sent": s.requests.sent,
            "answered": s.requests.answered,
            "failed": s.requests.failed,
            "rejected": s.requests.rejected,
            "shared": s.requests.shared,
            "per_second": round(s.requests.sent / times.seconds, 2),
            "reasons": s.requests.reasons,
        },
        "latency_ms": _rounded({k: v for k, v in s.requests.latency_ms._asdict().items() if k != "max"}),
        "cache": {
            "exact_hits": s.lookups.exact_hits,
            "near_hits": 0,
            "misses": s.lookups.misses,
            "hit_rate": round(s.lookups.exact_hits / lookups, 4) if lookups else 0.0,
            "distinct_keys": s.cache.distinct_keys,
            "top10_share": round(s.cache.top10_share, 4),
        },
        "agent_ticks": _rounded(s.agent_ticks._asdict(), 4),
        "plans": {
            "applied": s.plans.applied,
            "unchanged": s.plans.unchanged,
            "dropped": s.plans.dropped,
            "mean_life_s": round(s.plans.mean_life_s, 3),
            "second_step_share": round(s.plans.second_step_share, 4),
        },
        "rss_mb": round(psutil.Process().memory_info().rss / 2**20, 1),
        "gateway": s.gateway,
        "machine": machine(),
        "settings": {
            "rate": run.rate,
            "latency_ms": list(run.latency_ms) if run.model == "stub" else None,
            "fault": run.fault,
            "warm_up_frames": WARM_UP_FRAMES,
            "deadline_s": sim.settings.deadline_s,
            "period_ms": round(PERIOD_MS, 2),
        },
    }


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
