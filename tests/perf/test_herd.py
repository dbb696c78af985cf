"""The herd: a workload that goes on, and uses what it declares."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import NamedTuple

import esper
import numpy as np
import pytest

from astrasim import Settings, Simulation
from astrasim.membership import inside
from astrasim.perf.herd import Seasons, build_herd, make_herd, numbers_of
from astrasim.perf.stress import Run, measure

AGENTS = 800


class Census(esper.Processor):
    """Counts each kind in the middle of each tick, when those who died in the last one have left."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.numbers: list[list[int]] = []

    def process(self, dt: float | None = None) -> None:
        self.numbers.append(np.bincount(self._sim.agents.kind, minlength=3).tolist())


class Savanna(NamedTuple):
    """A herd after 20 s."""

    sim: Simulation
    done: collections.Counter[str]
    """In how many agent-ticks each action was done."""
    numbers: list[list[int]]
    """Of each kind, in each tick."""
    deaths: int


@pytest.fixture(scope="module")
def savanna() -> Iterator[Savanna]:
    sim = build_herd(AGENTS, Settings(model="none", strict=True, budget_ms=1000.0, seed=3))
    names = [action.name for action in sim.compiled.declared_actions]
    times = np.zeros(len(names), np.int64)
    census = Census(sim)
    with inside(sim.world):
        esper.add_processor(census, priority=45)
        for _ in range(1200):
            sim.tick()
            plans, agents = sim.planner.plans.table, sim.agents
            times += np.bincount(plans.action[agents.plan, agents.step], minlength=len(names))
        seasons = esper.get_processor(Seasons)
    assert isinstance(seasons, Seasons)
    done = collections.Counter({name: n for name, n in zip(names, times.tolist(), strict=True) if n})
    yield Savanna(sim, done, census.numbers, seasons.deaths)
    sim.close()


def test_the_domain_has_no_mistakes() -> None:
    report = str(make_herd(100).check())
    assert "no mistakes" in report and "graze" in report


def test_however_many_die_as_many_are_born(savanna: Savanna) -> None:
    assert savanna.deaths > 50
    assert savanna.numbers == [list(numbers_of(AGENTS).values())] * 1200


def test_everything_an_agent_can_do_is_done(savanna: Savanna) -> None:
    assert set(savanna.done) == set(savanna.sim.domain.declared.actions)
    assert savanna.done["wait"] < 0.1 * savanna.done.total()


def test_food_is_eaten_and_grows_again(savanna: Savanna) -> None:
    things = savanna.sim.things
    assert things.uid.max() > 2 * things.count, "as many were eaten as there are now"
    assert np.bincount(things.kind).tolist()[0] == pytest.approx(AGENTS / 4, abs=10)


def test_rocks_hide_some_of_what_is_near(savanna: Savanna) -> None:
    agents = savanna.sim.agents
    near = agents.threat_distance < 30
    assert 0.05 < (agents.threat_visible[near] == 0).mean() < 0.95


@pytest.mark.parametrize("agents", [0, 1, 7])
def test_a_herd_may_be_small(agents: int) -> None:
    sim = build_herd(agents, Settings(model="none", strict=True))
    for _ in range(30):
        sim.tick()
    sim.close()


def test_it_can_be_measured_as_the_arena_can() -> None:
    figures = measure(Run(agents=60, frames=30, model="none", workload="herd"))
    assert (figures["workload"], figures["agents"], figures["frames"]) == ("herd", 60, 30)
