"""What the edges cost: all on one point, two far from all others, and agents that come and go in every tick (run with
--benchmark-only)."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from astrasim import Domain, Settings, Simulation
from astrasim.frames import PERIOD_MS, quiet_gc, run_frames
from astrasim.perf.workloads import WORKLOADS

Build = Callable[[int, Settings], Simulation]
workloads = pytest.mark.parametrize("build", WORKLOADS.values(), ids=list(WORKLOADS))


@workloads
@pytest.mark.parametrize(("agents", "limit_ms"), [(10_000, 100), (100_000, 2000)])
def test_a_tick_of_a_crowd_on_one_point(benchmark: Any, build: Build, agents: int, limit_ms: float) -> None:
    sim = build(agents, Settings(model="none", capacity=agents + agents // 8))

    def gather() -> None:
        for columns in (sim.agents, sim.things):
            columns.x = columns.y = 100.0

    with quiet_gc():
        benchmark.pedantic(sim.tick, setup=gather, rounds=8, warmup_rounds=2)
    assert benchmark.stats["median"] * 1000 <= limit_ms
    sim.close()


@pytest.mark.parametrize("stray", [(1e7, 1e7), (-1e28, 0.0), (0.0, 3e29)])
def test_a_tick_with_two_far_from_all_others(benchmark: Any, stray: tuple[float, float]) -> None:
    """Cells stay as small as the crowd needs them, however large the world becomes."""
    flock = Domain("flock", ["sheep", "wolf"])
    flock.percept("threat", nearest="wolf", seen_by="sheep", radius=10)
    flock.percept("victim", weakest="sheep", seen_by="wolf", radius=10)
    sim = Simulation(flock, Settings(model="none", capacity=21_000))
    side = 12 * 20_000**0.5
    sim.spawn_many("sheep", 20_000, x=sim.rng.uniform(0, side, 20_000), y=sim.rng.uniform(0, side, 20_000))
    with quiet_gc():
        sim.tick()
        before_s = timeit.repeat(sim.tick, number=1, repeat=8)
        for kind in ("sheep", "wolf"):
            sim.spawn(kind, *stray)
        benchmark.pedantic(sim.tick, rounds=8, warmup_rounds=2)
    benchmark.extra_info["ms without"] = f"{median(before_s) * 1000:.2f}"
    assert benchmark.stats["median"] <= 8 * median(before_s)
    sim.close()


@pytest.mark.parametrize(("agents", "share"), [(50_000, 0.01), (10_000, 0.1)])
def test_frames_in_which_agents_come_and_go(benchmark: Any, agents: int, share: float) -> None:
    """The arena, paced; ``share`` of its agents die in every tick and as many are born."""
    sim = WORKLOADS["arena"](agents, Settings(model="none", capacity=agents + agents // 5))
    leaving = int(agents * share)
    width, _ = sim.domain.size or (0.0, 0.0)

    def change(frame: int) -> None:
        handles = sim.agents.handles
        sim.remove(*[handles[row] for row in sim.rng.integers(0, agents, leaving).tolist()])
        sim.tick()
        born = agents - sim.agents.count
        sim.spawn_many(
            "red" if frame % 2 else "blue", born, x=sim.rng.uniform(0, width, born), y=sim.rng.uniform(0, width, born)
        )

    run_frames(change, 60)
    times = benchmark.pedantic(run_frames, args=(change, 600), rounds=1)
    steady = run_frames(lambda _: sim.tick(), 300)
    benchmark.extra_info["ms a frame with, without"] = f"{times.percentiles().p50:.2f}, {steady.percentiles().p50:.2f}"
    benchmark.extra_info["frames"] = str(times)
    assert times.percentiles().p50 <= PERIOD_MS
    sim.close()
