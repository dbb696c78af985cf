"""What planning and acting cost at 100,000 agents (run with --benchmark-only). Divide by 100,000 for one agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from astrasim import Domain, Simulation, Status
from astrasim.handing import Tables, Turn
from astrasim.kernels.acting import act
from astrasim.kernels.columns import DONE, NEED_END, RUNNING
from astrasim.kernels.finishing import finish
from astrasim.kernels.lookup import find
from astrasim.kernels.planning import hand_out
from astrasim.kernels.serving import count_waiting, list_needs, serve
from astrasim.kernels.sharing import nothing_taken
from astrasim.kernels.work import make_work
from astrasim.plans import Origin

N = 100_000
KEYS = 5000


def make_world() -> Domain:
    """Agents in one of 5,000 situations, who walk, patrol and fight."""
    domain = Domain("bench", ["unit"])
    domain.column("mood")
    domain.column("whim")
    domain.reference("foe")
    hundred = [i + 0.5 for i in range(99)]
    fifty = hundred[:49]
    domain.feature("humour", column="mood", edges=hundred, words=[str(i) for i in range(100)], hysteresis=0)
    domain.feature("fancy", column="whim", edges=fifty, words=[str(i) for i in range(50)], hysteresis=0)
    domain.place("camp", 500, 500)
    domain.stock("attack", targets=["foe"], damage=1, range=30, speed=1, cooldown=1)
    domain.stock("approach", targets=["foe", "camp"], speed=4, stamina_rate=1, seconds=5)
    domain.stock("patrol", targets=["camp"], speed=3, radius=300, seconds=5)
    domain.stock("rest", targets=["self"], rate=5, seconds=5)
    plans = ["attack foe", "approach foe", "patrol camp", "rest self", "approach camp"]
    domain.heuristic("unit")(lambda situation: [plans[(situation.key + i) % 5] for i in range(4)])
    return domain


class Crowd:
    """A simulation of 100,000 agents who all have plans, and its tables as kernels take them."""

    def __init__(self, sim: Simulation) -> None:
        rng = np.random.default_rng(1)
        sim.spawn_many(
            "unit", N, x=rng.uniform(0, 1000, N), y=rng.uniform(0, 1000, N), mood=rng.integers(0, 100, N),
            whim=rng.integers(0, 50, N), stamina=rng.uniform(0, 90, N),
        )  # fmt: skip
        sim.agents.foe = rng.integers(0, N, N)
        for _ in range(50):
            sim.tick()
        assert (sim.agents.entry >= 0).mean() > 0.9 and sim.planner.cache.statistics().entries == KEYS
        self.sim, self.planner = sim, sim.planner
        self.agents, self.things, self.tables = sim.columns(), sim.thing_columns(), sim.compiled
        self.arrays: tuple[NDArray[Any], ...] = self.agents
        self.work = make_work(N, len(self.tables.actions.motion) * len(self.tables.targets.sort))
        self.entries, self.plans = self.planner.cache.entries, self.planner.plans.table
        self.counts = self.planner.counters, self.planner.life
        tables = Tables(self.tables, self.planner.cache, self.planner.plans)
        self.packed = tables.packed(Turn(self.agents, self.things, N, sim.time))

    def restore(self, saved: list[NDArray[Any]]) -> None:
        for array, old in zip(self.arrays, saved, strict=True):
            array[:] = old

    def act(self) -> None:
        sim, t = self.sim, self.tables
        act(
            self.agents, self.things, t.actions, t.targets, self.plans, t.cooldown_columns, self.work, N, 1 / 60,
            sim.time, 0, nothing_taken(),
        )  # fmt: skip

    def finish(self) -> None:
        t, default = self.tables, self.planner.scopes.default_plan
        finish(
            self.agents, self.things, t.actions, t.targets, self.plans, self.entries, self.work, N, default,
            1 / 60, self.sim.time, *self.counts,
        )  # fmt: skip

    def serve(self, rows: Any) -> None:
        cache, scopes = self.planner.cache, self.planner.scopes
        serve(
            self.packed, rows, scopes.default_plan, scopes.style_plan, 15, np.arange(4, dtype=np.int32), cache.wanted,
            0, np.zeros(64, np.uint64), np.zeros(len(rows), np.int32), 0, self.sim.time, *self.counts,
        )  # fmt: skip

    def hand_out(self, entry: Any, plan: Any) -> None:
        hand_out(self.packed, 0, N, entry, plan, len(entry), self.sim.time, *self.counts)


@pytest.fixture
def crowd(simulate: Callable[..., Simulation]) -> Crowd:
    return Crowd(simulate(make_world(), settings={"strict": False, "budget_ms": 1000.0, "capacity": N}))


@pytest.mark.parametrize("share", [1.0, 0.02])
def test_serve_those_who_need_a_plan(benchmark: Any, crowd: Crowd, share: float) -> None:
    """Everyone, or 2,000 here and there among the 100,000 (each of them costs some twenty cache misses then)."""
    rows = np.flatnonzero(np.random.default_rng(2).random(N) < share).astype(np.int32)
    elsewhere = np.zeros(50_000_000, np.uint8)

    def need() -> None:
        crowd.agents.need[:] = 0
        crowd.agents.need[rows] = NEED_END
        elsewhere[:] += 1  # other systems have used the cache meanwhile

    benchmark.pedantic(lambda: crowd.serve(rows), setup=need, rounds=20)
    benchmark.extra_info["agents"] = len(rows)
    assert (crowd.agents.need == 0).all()


def test_find_nobody_who_needs_a_plan(benchmark: Any, crowd: Crowd) -> None:
    crowd.agents.need[:] = 0
    out = np.zeros(256, np.int32)
    needs = crowd.agents.need, crowd.agents.tier
    assert benchmark(lambda: list_needs(*needs, 0, 255, 0, N, out)) == (0, N)


def test_find_nobody_of_a_high_tier_who_needs_a_plan(benchmark: Any, crowd: Crowd) -> None:
    """Though all minions need one."""
    crowd.agents.need[:] = NEED_END
    out = np.zeros(1, np.int32)
    needs = crowd.agents.need, crowd.agents.tier
    assert benchmark(lambda: list_needs(*needs, 1, 3, 0, N, out)) == (0, N)


def test_count_those_who_wait(benchmark: Any, crowd: Crowd) -> None:
    crowd.agents.need[:] = 0
    crowd.agents.need[::7] = NEED_END
    assert benchmark(lambda: count_waiting(crowd.agents.need, crowd.agents.waited, N))[0] == len(range(0, N, 7))


@pytest.mark.parametrize("waiting", ["few", "all"])
def test_hand_out_a_batch_of_plans(benchmark: Any, crowd: Crowd, waiting: str) -> None:
    """16 plans: to those of 16 situations among 5,000, or to all agents, as if they waited for one of them."""
    steps = ((crowd.tables.vocabulary.action_index["rest"], 0, 2.0),)
    plan = np.full(16, crowd.planner.plans.intern(steps, Origin.MODEL), np.int32)
    crowd.plans = crowd.planner.plans.table
    known = np.unique(crowd.agents.entry[crowd.agents.entry >= 0])[:16].astype(np.int32)
    saved = [np.copy(array) for array in crowd.arrays]

    def begin() -> None:
        crowd.restore(saved)
        crowd.agents.need[:] = 0
        if waiting == "all":
            crowd.agents.entry[:] = known[np.arange(N) % 16]
            crowd.agents.plan_key[:] = crowd.entries.key[crowd.agents.entry]
            crowd.agents.scope[:] = crowd.entries.scope[crowd.agents.entry]

    benchmark.pedantic(lambda: crowd.hand_out(known, plan), setup=begin, rounds=20)
    share = (crowd.agents.source > 0).mean()
    assert share > 0.9 if waiting == "all" else 0.001 < share < 0.02


def test_act(benchmark: Any, crowd: Crowd) -> None:
    benchmark.pedantic(crowd.act, rounds=30)


def test_finish_when_nothing_ends(benchmark: Any, crowd: Crowd) -> None:
    crowd.agents.outcome[:] = RUNNING
    crowd.agents.elapsed[:] = 0
    benchmark.pedantic(crowd.finish, rounds=30)


def test_finish_when_every_step_ends(benchmark: Any, crowd: Crowd) -> None:
    saved = [np.copy(array) for array in crowd.arrays]

    def begin() -> None:
        crowd.restore(saved)
        crowd.agents.outcome[:] = DONE

    benchmark.pedantic(crowd.finish, setup=begin, rounds=20)


@njit
def _find_all(entries: Any, scope: Any, key: Any) -> int:
    found = 0
    for i in range(len(key)):
        found += find(entries, scope[i], key[i]) >= 0
    return found


def test_look_up_everyones_situation(benchmark: Any, crowd: Crowd) -> None:
    assert benchmark(lambda: _find_all(crowd.entries, crowd.agents.scope, crowd.agents.key)) == N


def test_a_whole_tick_of_planning_where_nothing_is_to_do(benchmark: Any, crowd: Crowd) -> None:
    crowd.agents.need[:] = 0
    benchmark(lambda: crowd.planner.run(crowd.agents, crowd.things, N, crowd.sim.time))


def test_a_tick_of_twenty_agents_in_plain_python(benchmark: Any, simulate: Callable[..., Simulation]) -> None:
    """The game of an evening: a feature, a heuristic and an action over handles."""
    domain = Domain("evening", ["sheep", "wolf"], size=(100, 100))
    domain.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    domain.percept("prey", nearest="sheep", seen_by="wolf", radius=40)
    domain.feature("danger", column="threat_distance", edges=[5, 15], words=["here", "near", "far"], interrupt=True)
    domain.feature("vigour", edges=[0.3], words=["tired", "rested"])(lambda me: me.stamina / 100)

    @domain.action(kinds="sheep", targets=["threat"], seconds=2)
    def flee(me: Any, target: Any, dt: float) -> Status:
        me.steer_away(target, speed=6)
        return Status.RUNNING

    @domain.action(kinds="wolf", targets=["prey"], seconds=2)
    def chase(me: Any, target: Any, dt: float) -> Status:
        me.steer_to(target, speed=5)
        return Status.RUNNING

    domain.heuristic("sheep")(lambda situation: ["flee threat", "wait self"])
    domain.heuristic("wolf")(lambda situation: ["chase prey", "wait self"])
    sim = simulate(domain, settings={"strict": False})
    rng = np.random.default_rng(1)
    for kind, number in (("sheep", 15), ("wolf", 5)):
        sim.spawn_many(kind, number, x=rng.uniform(0, 100, number), y=rng.uniform(0, 100, number))
    benchmark(sim.tick)
