"""With a budget of units and no model, a run depends on the seed and on nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Agent, Domain, Rows, Settings, Simulation, Status
from astrasim.perf.arena import build_arena

Simulate = Callable[..., Simulation]
TICKS = 300


def mixed_world(nap_s: float = 0.0) -> Domain:
    """Hunters and hares, with actions of every sort; heuristics take their time on a slow machine."""
    domain = Domain("mixed", ["hunter", "hare"], size=(80, 80))
    domain.thing("clover", amount=20)
    domain.column("fear")
    domain.percept("prey", nearest="hare", seen_by="hunter", radius=30)
    domain.percept("threat", nearest="hunter", seen_by="hare", radius=15, line_of_sight=True)
    domain.percept("food", nearest="clover", seen_by="hare", radius=50)
    domain.feature("danger", column="threat_distance", edges=[5, 10], words=["here", "near", "far"], interrupt=True)
    domain.feature("chance", column="prey_distance", edges=[3, 15], words=["here", "near", "far"], interrupt=True)
    domain.feature("strength", column="stamina", edges=[20, 60], words=["weak", "tired", "fresh"])
    domain.place("meadow", 40, 40)
    domain.stock("attack", name="bite", targets=["prey"], damage=15, range=2, speed=3, cooldown=0.5)
    domain.stock("approach", name="chase", targets=["prey"], speed=5, stamina_rate=20)
    domain.stock("patrol", name="roam", targets=["meadow", "home"], speed=3, radius=20)
    domain.stock("rest", targets=["self"], rate=40)
    domain.stock("take", name="eat", targets=["food"], speed=2)

    @domain.action(targets=["threat"], kinds="hare", seconds=1)
    class bolt:
        turn = 0

        def update(self, me: Agent, target: Any, dt: float) -> Status:
            self.turn += 1
            me.steer_away(target, speed=4 + self.turn % 3)
            return Status.RUNNING

    @domain.action(targets=["self"], kinds="hare", vectorised=True, seconds=0.5)
    def freeze(us: Rows, targets: Rows, dt: float) -> Status:
        us.fear = us.fear * 0.9 + 1
        return Status.RUNNING

    @domain.heuristic("hunter")
    def hunt(situation: Any) -> list[str]:
        time.sleep(nap_s)
        return ["bite prey 1", "chase prey 2", "roam meadow"] if situation.strength else ["rest self"]

    @domain.heuristic("hare")
    def hide(situation: Any) -> list[str]:
        time.sleep(nap_s)
        return ["bolt threat", "freeze self"] if situation.danger == 0 else ["eat food 3", "roam home 2", "freeze self"]

    return domain


def state_of(sim: Simulation) -> dict[str, Any]:
    """A copy of every column of every agent and thing, and the planner's counters."""
    n = sim.agents.count
    state = {name: sim.agents.column(name).copy() for name, _, _ in sim.agents.fixed}
    state |= {"f": sim.agents.f[:, :n].copy(), "r": sim.agents.r[:, :n].copy(), "b": sim.agents.b[:, :n].copy()}
    state |= {"things": sim.things.f[:, : sim.things.count].copy(), "counters": sim.planner.counters.copy()}
    return state


def play(
    simulate: Simulate, seed: int, *, nap_s: float = 0.0, units: int = 4, every: int = 1, shared_from: int = 1 << 62
) -> dict[str, Any]:
    """Every column of every agent after some hundred ticks with births and deaths."""
    settings = {"seed": seed, "budget_units": units, "every": every, "capacity": 64, "cache_entries": 64}
    sim = simulate(mixed_world(nap_s), settings=settings)
    sim.shared_from = shared_from
    rng = np.random.default_rng(99)
    sim.set_obstacles(rng.random((20, 20)) < 0.1, 4)
    for kind, number in (("hunter", 15), ("hare", 60)):
        sim.spawn_many(kind, number, x=rng.uniform(0, 80, number), y=rng.uniform(0, 80, number))
    for tick in range(TICKS):
        if tick % 5 == 0:
            sim.add_thing("clover", *rng.uniform(0, 80, 2).tolist())
            sim.spawn("hare", *rng.uniform(0, 80, 2).tolist())
        for row in np.flatnonzero(sim.agents.hp <= 0).tolist():
            sim.remove(sim.agents.handles[row])
        sim.tick()
    assert sim.stats().steps_failed > 0 and sim.agents.count > 40
    state = state_of(sim)
    sim.close()
    return state


def same(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The names of what differs."""
    return [name for name in a if not np.array_equal(a[name], b[name], equal_nan=True)]


@pytest.mark.parametrize(("units", "every"), [(4, 1), (100, 3)])
def test_the_same_seed_gives_the_same_world(simulate: Simulate, units: int, every: int) -> None:
    first = play(simulate, seed=1, units=units, every=every)
    again = play(simulate, seed=1, units=units, every=every, nap_s=0.001)
    assert same(first, again) == []


def test_another_seed_gives_another_world(simulate: Simulate) -> None:
    assert "f" in same(play(simulate, seed=1), play(simulate, seed=2))


@pytest.mark.parametrize("every", [1, 3])
def test_two_threads_come_to_the_same_as_one(simulate: Simulate, every: int) -> None:
    alone, together = (play(simulate, 5, every=every, shared_from=at) for at in (1 << 62, 0))
    assert same(alone, together) == []


def test_two_threads_come_to_the_same_as_one_in_a_crowd_of_many_blocks() -> None:
    states = []
    for threads in (1, 2):
        settings = Settings(model="none", seed=3, budget_units=40, every=2, capacity=40_000, threads=threads)
        with build_arena(40_000, settings) as sim:
            for _ in range(16):
                sim.tick()
            states.append(state_of(sim))
    assert same(*states) == []


def test_a_second_thread_that_fails_or_may_not_choose_its_core_costs_nothing(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise PermissionError("not in this container")

    if hasattr(os, "sched_setaffinity"):
        monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    alone, together = (play(simulate, 6, shared_from=at) for at in (1 << 62, 0))
    assert same(alone, together) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_second_thread_of_its_own(simulate: Simulate) -> None:
    play(simulate, 7, shared_from=0)
    child = os.fork()
    if not child:
        try:
            play(simulate, 7, shared_from=0)
            names = [thread.name for thread in threading.enumerate()]
            os._exit(0 if names.count("astrasim kernels") == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
