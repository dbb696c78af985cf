"""Movement: the default, which integrates velocities, and a game that moves its agents itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import esper
import pytest

from astrasim import Agent, Domain, Simulation, Status

Simulate = Callable[..., Simulation]


@pytest.fixture
def yard() -> Domain:
    """A yard of 20 by 10 whose robots run at the velocity (want_x, want_y)."""
    yard = Domain("yard", kinds=["robot"], size=(20, 10))
    yard.column("want_x")
    yard.column("want_y")

    @yard.action(targets=["self"], seconds=10)
    def drive(me: Any, target: Any, dt: float) -> Status:
        me.vx, me.vy = me.want_x, me.want_y
        return Status.RUNNING

    yard.role("driver", kinds=["robot"], default="drive self 10")
    yard.heuristic("robot")(lambda situation: "drive self 10")
    return yard


def drive(sim: Simulation, robot: Agent, seconds: float = 1.0) -> tuple[float, float]:
    for _ in range(round(seconds * 60)):
        sim.tick(1 / 60)
    return round(robot.x, 2), round(robot.y, 2)


def test_positions_follow_velocities(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard)
    robot = sim.spawn("robot", 5, 5, want_x=3, want_y=-1)
    assert drive(sim, robot) == (8, 4)


def test_nobody_leaves_the_domain(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard)
    robot = sim.spawn("robot", 5, 5, want_x=30, want_y=-10)
    assert drive(sim, robot) == (20, 0)
    robot.want_x, robot.want_y = -30, 30
    assert drive(sim, robot) == (0, 10)


def test_without_a_size_there_is_no_end(simulate: Simulate) -> None:
    plain = Domain("plain", kinds=["robot"])
    plain.place("star", 1e6, 0)
    plain.stock("approach", targets=["star"], speed=100, seconds=10)
    plain.heuristic("robot")(lambda situation: "approach star 10")
    sim = simulate(plain)
    assert drive(sim, sim.spawn("robot", -50, 0)) == pytest.approx((50, 0), abs=0.1)


WALL = [
    [0, 0, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 1, 0],
]


@pytest.mark.parametrize(
    ("start", "velocity", "end"),
    [
        ((3.0, 3.0), (6, 0), (3.98, 3.0)),  # stopped by the wall (which begins at x=4), within a tick's way of it
        ((3.0, 3.0), (6, -2), (7.0, 1.0)),  # slides up along it, and on once past its corner at y=2
        ((5.0, 1.0), (0, 6), (5.0, 1.95)),  # stopped from above
        ((1.0, 1.0), (0, 3), (1.0, 4.0)),  # free way
        ((7.0, 3.0), (-6, 0), (6.02, 3.0)),  # from the other side
    ],
)
def test_walls_stop_and_let_slide(
    simulate: Simulate,
    yard: Domain,
    start: tuple[float, float],
    velocity: tuple[float, float],
    end: tuple[float, float],
) -> None:
    sim = simulate(yard)
    sim.set_obstacles(WALL, cell=2)
    robot = sim.spawn("robot", *start, want_x=velocity[0], want_y=velocity[1])
    assert drive(sim, robot) == pytest.approx(end, abs=0.12)
    x, y = robot.x, robot.y
    assert not (4 <= x < 6 and 2 <= y < 6)


def test_walls_can_change_while_the_game_runs(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard)
    sim.set_obstacles(WALL, cell=2)
    robot = sim.spawn("robot", 3, 3, want_x=6)
    assert drive(sim, robot)[0] <= 4
    sim.set_obstacles([[0]], cell=2)
    assert drive(sim, robot)[0] > 9


def test_who_was_put_into_a_wall_can_walk_out(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard)
    sim.set_obstacles(WALL, cell=2)
    assert drive(sim, sim.spawn("robot", 5, 4, want_x=-3))[0] == pytest.approx(2, abs=0.1)


# ---- a game with a Position component of its own


@dataclass
class Position:
    x: float
    y: float


class OnRails:
    """The game owns positions: agents move at half the velocity that they want, along x only."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sync_in(self, sim: Simulation) -> None:
        self.calls.append("in")
        for _, (agent, position) in esper.get_components(Agent, Position):
            agent.x, agent.y = position.x, position.y

    def sync_out(self, sim: Simulation, dt: float) -> None:
        self.calls.append("out")
        for _, (agent, position) in esper.get_components(Agent, Position):
            position.x += agent.vx / 2 * dt


def test_a_game_may_own_positions(simulate: Simulate, yard: Domain) -> None:
    rails = OnRails()
    sim = simulate(yard, movement=rails)
    robot = sim.spawn("robot", want_x=4, want_y=4)
    place = Position(1, 2)
    esper.add_component(robot.entity, place)
    drive(sim, robot)
    assert (place.x, place.y) == pytest.approx((3, 2))
    assert rails.calls == ["in", "out"] * 60
    sim.tick()
    assert (robot.x, robot.y) == pytest.approx((3, 2))


def test_the_games_positions_are_what_agents_perceive(simulate: Simulate) -> None:
    domain = Domain("field", kinds=["dog", "cat"])
    domain.percept("cat_near", nearest="cat", seen_by="dog", radius=5)
    sim = simulate(domain, movement=OnRails())
    dog, cat = sim.spawn("dog"), sim.spawn("cat", 1, 0)
    far = Position(100, 0)
    esper.add_component(cat.entity, far)
    sim.tick()
    assert dog.cat_near is None
    far.x = 3
    sim.tick()
    assert dog.cat_near is cat
    assert dog.cat_near_distance == 3
