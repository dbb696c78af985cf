"""How old percepts get, by watching who perceives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from astrasim import Domain, Settings, Simulation
from astrasim.systems import Perception
from astrasim.systems.ages import percept_age


def herd(every: int, number: int = 60) -> Simulation:
    domain = Domain("herd", ["cow", "stone"], size=(50, 50))
    domain.percept("mates", count="cow", seen_by="cow", radius=10, cap=9)
    domain.feature("crowd", column="mates", edges=[2, 5], words=["alone", "some", "many"], interrupt=True)
    domain.stock("patrol", targets=["home"], speed=3)
    sim = Simulation(domain, Settings(model="none", every=every, seed=3, budget_units=50), world=f"herd {every}")
    sim.spawn_many("cow", number, x=sim.rng.uniform(0, 50, number), y=sim.rng.uniform(0, 50, number))
    sim.spawn("stone")
    return sim


@pytest.mark.parametrize("every", [1, 2, 4, 7])
def test_it_is_bounded_by_the_slices(every: int) -> None:
    with herd(every) as sim:
        for _ in range(20):
            sim.tick()
        age = percept_age(sim)
    assert age is not None
    assert age["max"] == every - 1
    assert age["p50"] == pytest.approx((every - 1) / 2, abs=1)


def test_it_is_measured_and_not_taken_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    look: Callable[..., None] = Perception.look
    monkeypatch.setattr(Perception, "look", lambda self, turn: look(self, turn * (self._sim.ticks % 2)))
    with herd(3) as sim:
        for _ in range(20):
            sim.tick()
        age = percept_age(sim)
    assert age is not None and age["max"] == 5


@pytest.mark.parametrize("every", [1, 4])
def test_watching_changes_nothing(every: int, fresh_world: str) -> None:
    def play(watched: bool) -> list[NDArray[Any]]:
        with herd(every) as sim:
            for _ in range(10):
                sim.tick()
            if watched:
                percept_age(sim)
            else:
                for _ in range(3 * every):
                    sim.tick()
            for _ in range(10):
                sim.tick()
            a = sim.agents
            return [a.f[:, : a.count].copy(), a.key[: a.count].copy(), a.plan[: a.count].copy()]

    for watched, alone in zip(play(True), play(False), strict=True):
        np.testing.assert_array_equal(watched, alone)


def test_those_who_come_and_go_meanwhile_do_no_harm() -> None:
    with herd(4) as sim:
        cows = [agent for agent in sim.agents.handles[: sim.agents.count] if agent.kind == "cow"]
        for _ in range(5):
            sim.tick()
        for cow in cows[::3]:
            sim.remove(cow)
        sim.spawn_many("cow", 200, x=5, y=5)
        age = percept_age(sim)
    assert age is not None and age["max"] == 3


def test_where_nobody_counts_there_is_no_age() -> None:
    domain = Domain("empty", ["cow"])
    with Simulation(domain, Settings(model="none")) as sim:
        sim.spawn("cow")
        assert percept_age(sim) is None
