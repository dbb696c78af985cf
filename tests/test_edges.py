"""A world at its edges: nobody in it, everybody on one point, everybody gone, a tenth new in every tick, and beyond."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import esper
import numpy as np
import pytest

from astrasim import Agent, Domain, Rows, Simulation, Status

Simulate = Callable[..., Simulation]

SIZE = 200.0
RADIUS = 25.0


@pytest.fixture
def field() -> Domain:
    """Hares and foxes with every sort of percept, feature, action and target."""
    field = Domain("field", ["hare", "fox"], size=(SIZE, SIZE))
    field.thing("clover", amount=10)
    field.relation("fears", [("hare", "fox")])
    field.percept("threat", nearest="fears", radius=RADIUS, line_of_sight=True)
    field.percept("prey", nearest="hare", seen_by="fox", radius=RADIUS)
    field.percept("easy_prey", weakest="hare", seen_by="fox", radius=RADIUS)
    field.percept("mate", nearest="hare", seen_by="hare", radius=RADIUS)
    field.percept("mates", count="hare", seen_by="hare", radius=RADIUS, cap=10)
    field.percept("clover_near", nearest="clover", seen_by="hare", radius=RADIUS)
    field.reference("mother")
    field.place("burrow", x=SIZE / 2, y=SIZE / 2)
    field.feature("danger", column="threat_distance", edges=[8, 26], words=["near", "in sight", "none"], interrupt=True)
    field.feature("vigour", edges=[0.4], words=["tired", "rested"])(lambda me: me.stamina / 100)
    field.feature("where", edges=[50], words=["here", "there"], vectorised=True)(lambda me: np.abs(me.x))
    field.stock("flee", kinds="hare", targets=["threat"], speed=6)
    field.stock("take", name="eat", kinds="hare", targets=["clover_near"], speed=3)
    field.stock("attack", kinds="fox", targets=["prey", "easy_prey"], damage=20, range=3, speed=7)
    field.stock("patrol", targets=["burrow", "home"], speed=3, radius=30)

    @field.target
    def edge(me: Any) -> Any:
        return None if math.isnan(me.x) else me

    @field.action(kinds="hare", targets=["mate", "mother"], seconds=1, vectorised=True)
    def flock(me: Rows, target: Rows, dt: float) -> Status:
        me.steer_to(target, 4)
        return Status.RUNNING

    @field.action(targets=["edge"], seconds=1)
    def look(me: Any, target: Any, dt: float) -> Status:
        me.stop()
        return Status.DONE

    field.heuristic("hare")(
        lambda s: ["flee threat"] if s.danger < 2 else ["eat clover_near", "flock mate", "look edge", "patrol home"]
    )
    field.heuristic("fox")(lambda s: ["attack prey", "look edge", "patrol burrow"])
    return field


def fill(sim: Simulation, hares: int, foxes: int) -> None:
    for kind, number in (("hare", hares), ("fox", foxes)):
        sim.spawn_many(kind, number, x=sim.rng.uniform(0, SIZE, number), y=sim.rng.uniform(0, SIZE, number))


def nearest(sim: Simulation, looks: str, sees: str, x: Any, y: Any) -> tuple[Any, Any]:
    """For each agent of one kind, the row of the nearest of the other (-1: none), by brute force; and who looks."""
    kinds, kind = list(sim.domain.kinds), sim.agents.kind
    rows = np.flatnonzero(kind == kinds.index(looks))
    dx, dy = x[rows, None] - x, y[rows, None] - y
    with np.errstate(over="ignore", invalid="ignore"):
        d2 = dx * dx + dy * dy
    d2[:, kind != kinds.index(sees)] = np.inf
    d2[np.arange(len(rows)), rows] = np.inf
    d2[~(d2 <= RADIUS * RADIUS)] = np.inf
    return np.where(np.isfinite(d2.min(axis=1)), d2.argmin(axis=1), -1), rows


def assert_exact(sim: Simulation) -> None:
    """Look again: percepts are what brute force finds, from where everybody is before the tick."""
    x, y = sim.agents.x.copy(), sim.agents.y.copy()
    sim.tick(0.0)
    for percept, looks, sees in (("threat", "hare", "fox"), ("prey", "fox", "hare"), ("mate", "hare", "hare")):
        found, rows = nearest(sim, looks, sees, x, y)
        assert np.array_equal(sim.agents.column(percept)[rows], found), percept
        distance = sim.agents.column(f"{percept}_distance")[rows]
        assert np.array_equal(np.isfinite(distance), found >= 0), percept


# ---- few


def test_nobody(simulate: Simulate, field: Domain) -> None:
    sim = simulate(field)
    for _ in range(3):
        sim.tick()
    sim.add_thing("clover", 5, 5)
    sim.spawn_many("hare", 0)
    for _ in range(3):
        sim.tick()
    stats = sim.stats()
    assert (stats.agents, stats.ticks, sim.things.count) == (0, 6, 1)
    assert len(sim.agents.hp) == 0
    assert esper.get_component(Agent) == []
    fill(sim, 20, 5)
    sim.tick()
    assert_exact(sim)


@pytest.mark.parametrize("kind", ["hare", "fox"])
@pytest.mark.parametrize("every", [1, 4])
def test_one_agent_sees_nobody_and_still_has_a_plan_that_it_follows(
    simulate: Simulate, field: Domain, kind: str, every: int
) -> None:
    sim = simulate(field, settings={"every": every})
    only = sim.spawn(kind, 50, 50)
    for _ in range(120):
        sim.tick()
    assert (only.threat, only.prey, only.mate, only.mates) == (None, None, None, 0)
    assert only.threat_distance == math.inf
    assert "patrol" in sim.why(only)
    assert (only.x, only.y) != (50, 50)


def test_all_die_and_others_come(simulate: Simulate, field: Domain) -> None:
    sim = simulate(field)
    fill(sim, 150, 50)
    for _ in range(5):
        sim.tick()
    old = sim.agents.handles.copy()
    sim.remove(*old)
    sim.tick()
    assert sim.agents.count == 0 and not any(agent.alive for agent in old)
    sim.tick()
    fill(sim, 150, 50)
    for _ in range(30):
        sim.tick()
    assert sim.agents.uid.min() > 200, "numbers are not used again"
    assert_exact(sim)


# ---- many


def test_ten_thousand_on_one_point(simulate: Simulate, field: Domain) -> None:
    """Whoever looks sees the first of the others there, and all of them go on."""
    sim = simulate(field, settings={"capacity": 10_000})
    sim.spawn_many("hare", 5000, x=70, y=30)
    sim.spawn_many("fox", 5000, x=70, y=30)
    sim.agents.hp[4321] = 1
    sim.tick(0.0)
    agents = sim.agents
    assert (agents.threat[:5000] == 5000).all() and (agents.threat_distance[:5000] == 0).all()
    assert (agents.threat_visible[:5000] == 1).all()
    assert (agents.prey[5000:] == 0).all() and (agents.easy_prey[5000:] == 4321).all()
    assert agents.mate[0] == 1 and (agents.mate[1:5000] == 0).all()
    assert (agents.mates[:5000] == 10).all() and (agents.mates_saturated[:5000] == 1).all()
    for _ in range(3):
        sim.tick()
    assert np.isfinite(agents.x).all() and np.isfinite(agents.y).all()
    hares = np.column_stack([agents.x, agents.y])[:5000]
    assert len(np.unique(hares, axis=0)) > 4000, "they fled, each its own way"


def test_a_crowd_of_several_kinds_on_one_point_with_neighbours(simulate: Simulate) -> None:
    """Kinds that are told apart elsewhere are looked for one after the other, and the lowest row may be the other's."""
    town = Domain("town", ["cat", "dog", "owl"])
    town.thing("bone")
    town.percept("pet", nearest=["cat", "dog"], radius=8)
    town.percept("dogs", count="dog", radius=8, cap=5000)
    town.percept("found", nearest="bone", radius=16)
    sim = simulate(town, settings={"capacity": 16_384})
    sim.spawn_many("cat", 100, x=52, y=50)  # near, and first in the table
    for _ in range(2):
        sim.spawn_many("dog", 3000, x=50, y=50)
        sim.spawn_many("cat", 3000, x=50, y=50)
    owl, aside = sim.spawn("owl", x=50, y=50), sim.spawn("owl", x=44, y=50)
    sim.add_things("bone", 5000, x=30, y=50)
    sim.add_things("bone", 5000, x=42, y=50)
    sim.tick(0.0)
    agents = sim.agents
    assert agents.pet[owl.row] == 100 and owl.pet_distance == 0
    assert agents.pet[100] == 101 and (agents.pet[101:12_100] == 100).all()
    assert agents.pet[aside.row] == 100 and aside.pet_distance == 6
    assert agents.pet[0] == 1 and (agents.pet[1:100] == 0).all()
    assert (owl.dogs, owl.dogs_saturated) == (5000, 1)
    assert agents.found[owl.row] == 5000 and owl.found_distance == 8
    assert agents.found[aside.row] == 5000 and aside.found_distance == 2


@pytest.mark.parametrize("every", [1, 3])
def test_a_tenth_dies_and_is_born_in_every_tick(simulate: Simulate, field: Domain, every: int) -> None:
    sim = simulate(field, settings={"every": every})
    fill(sim, 300, 100)
    sim.add_things("clover", 100, x=sim.rng.uniform(0, SIZE, 100), y=sim.rng.uniform(0, SIZE, 100))
    known = {agent.uid: agent for agent in sim.agents.handles}
    for _ in range(60):
        for row in sim.rng.choice(sim.agents.count, 40, replace=False).tolist():
            agent = sim.agents.handles[row]
            sim.agents.handles[row - 1].mother = agent
            if row % 2:
                sim.remove(agent)
            else:
                esper.delete_entity(agent.entity, immediate=row % 4 == 0)
        fill(sim, 30, 10)
        sim.tick()
        agents = sim.agents
        assert agents.count == 400
        known |= {agent.uid: agent for agent in agents.handles}
        assert [agent.row for agent in agents.handles] == list(range(400))
        assert sum(agent.alive for agent in known.values()) == 400
        for reference in ("threat", "prey", "easy_prey", "mate", "mother"):
            assert agents.column(reference).max() < 400, reference
    assert len(known) == 400 + 60 * 40
    assert len(esper.get_component(Agent)) == 400
    if every == 1:
        assert_exact(sim)


# ---- outside


def test_agents_outside_the_world_are_seen_there_and_come_back_in(simulate: Simulate, field: Domain) -> None:
    sim = simulate(field)
    fill(sim, 100, 40)
    outside = [(-500.0, 70.0), (-500.0, 75.0), (1e6, 1e6), (1e6, 1e6 + 4), (70.0, -1e30), (3e38, 3e38)]
    for number, (x, y) in enumerate(outside):
        sim.agents.x[number * 2], sim.agents.y[number * 2] = x, y
        sim.agents.x[100 + number], sim.agents.y[100 + number] = x, y
    assert_exact(sim)  # a tick looks before it moves
    assert sim.agents.x.min() >= 0 and sim.agents.x.max() <= SIZE
    assert sim.agents.y.min() >= 0 and sim.agents.y.max() <= SIZE
    for _ in range(30):
        sim.tick()
    assert_exact(sim)


@pytest.mark.parametrize("nowhere", [math.nan, math.inf, -math.inf])
def test_who_is_nowhere_is_seen_by_nobody_and_disturbs_nobody(
    simulate: Simulate, field: Domain, nowhere: float
) -> None:
    """A game's own arithmetic may write such positions to a column. Once put somewhere they take part again."""
    with_ghosts, without = simulate(field, world="ghosts"), simulate(field, world="none")
    for sim in (with_ghosts, without):
        fill(sim, 60, 20)
    ghosts = [with_ghosts.spawn(kind) for kind in ("hare", "fox") for _ in range(3)]
    for ghost in ghosts:
        with_ghosts.agents.x[ghost.row] = nowhere
    for _ in range(60):
        with_ghosts.tick()
        without.tick()
    rows = slice(0, 80)
    for column in ("x", "y", "hp", "key", "threat_distance", "prey_distance"):
        assert np.array_equal(with_ghosts.agents.column(column)[rows], without.agents.column(column)), column
    for reference in ("threat", "prey", "mate", "easy_prey"):
        seen = with_ghosts.agents.column(reference)
        assert seen[rows].max() < 80 and seen[80:].max() == -1, reference
    for ghost in ghosts:
        ghost.x = ghost.y = 40.0
    with_ghosts.tick(0.0)
    assert ghosts[0].threat is not None
    assert_exact(with_ghosts)
