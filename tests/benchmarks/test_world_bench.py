"""What it costs that agents come and go, at 100,000 of them (run with --benchmark-only)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import esper
import numpy as np
import pytest

from astrasim import Domain, Simulation

N = 100_000
Simulate = Callable[..., Simulation]


@pytest.fixture
def arena() -> Domain:
    """Six references, as many as a domain of some size has: they are what a deletion has to look through."""
    arena = Domain("arena", kinds=["red", "blue"], size=(3800, 3800))
    arena.relation("enemy", [("red", "blue")], mutual=True)
    arena.relation("ally", [("red", "red"), ("blue", "blue")])
    arena.thing("pack", amount=25)
    arena.reference("leader")
    arena.percept("nearest_enemy", nearest="enemy", radius=30)
    arena.percept("weakest_enemy", weakest="enemy", radius=30)
    arena.percept("nearest_ally", nearest="ally", radius=30)
    arena.percept("weakest_ally", weakest="ally", radius=30)
    arena.percept("enemies", count="enemy", radius=30)
    arena.percept("allies", count="ally", radius=30)
    arena.percept("pack_near", nearest="pack", radius=30)
    return arena


def fill(sim: Simulation) -> None:
    places = np.random.default_rng(1).uniform(0, 3800, (2, N))
    for half, kind in enumerate(("red", "blue")):
        rows = slice(half * N // 2, (half + 1) * N // 2)
        sim.spawn_many(kind, N // 2, x=places[0, rows], y=places[1, rows])


@pytest.fixture
def sim(simulate: Simulate, arena: Domain) -> Simulation:
    sim = simulate(arena, settings={"strict": False, "capacity": 2 * N})
    fill(sim)
    sim.tick()  # so that percepts refer to somebody
    return sim


def test_noticing_that_nobody_left(benchmark: Any, sim: Simulation) -> None:
    benchmark(sim.notice_deletions)


@pytest.mark.parametrize("leaving", [1, 100, 10_000])
def test_noticing_who_left(benchmark: Any, sim: Simulation, leaving: int) -> None:
    rng = np.random.default_rng(2)

    def delete() -> None:
        fill_up = leaving - (sim.agents.count - N + leaving)
        if fill_up > 0:
            sim.spawn_many("red", fill_up)
        for row in rng.choice(sim.agents.count, leaving, replace=False).tolist():
            esper.delete_entity(sim.agents.handles[row].entity, immediate=True)

    benchmark.pedantic(sim.notice_deletions, setup=delete, rounds=20 if leaving > 1 else 200)
    assert sim.agents.count == N - leaving


def test_spawning_them_all_at_once(benchmark: Any, simulate: Simulate, arena: Domain) -> None:
    sim = simulate(arena, settings={"strict": False, "capacity": N})

    def clear() -> None:
        esper.clear_database()
        sim.notice_deletions()

    benchmark.pedantic(fill, args=(sim,), setup=clear, rounds=5)
    assert sim.agents.count == N


def test_spawning_one_by_one(benchmark: Any, sim: Simulation) -> None:
    benchmark.pedantic(sim.spawn, args=("red", 1.0, 2.0), rounds=1000)


def test_growing(benchmark: Any, simulate: Simulate, arena: Domain) -> None:
    """The one spawn in a game's life that doubles the table."""

    def make() -> tuple[tuple[str], dict[str, Any]]:
        made = simulate(arena, settings={"strict": False, "capacity": N}, world=f"world {next(worlds)}")
        fill(made)
        sims.append(made)
        return ("red",), {}

    sims: list[Simulation] = []
    worlds = iter(range(100))
    benchmark.pedantic(lambda kind: sims.pop().spawn(kind), setup=make, rounds=3)


def test_a_column_through_a_handle(benchmark: Any, sim: Simulation) -> None:
    agent = sim.agents.handles[0]

    def hurt() -> None:
        agent.hp -= 1

    benchmark(hurt)


def test_a_column_of_all(benchmark: Any, sim: Simulation) -> None:
    def hurt() -> None:
        sim.agents.hp -= 1

    benchmark(hurt)
