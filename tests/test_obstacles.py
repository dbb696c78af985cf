"""Obstacles: cells that block sight (and movement, see test_movement.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Domain, DomainError, Simulation
from astrasim.obstacles import obstacle_grid

Simulate = Callable[..., Simulation]


@pytest.fixture
def city() -> Domain:
    city = Domain("city", kinds=["guard", "thief"])
    city.percept("suspect", nearest="thief", seen_by="guard", radius=100, line_of_sight=True)
    return city


@pytest.mark.parametrize(
    ("guard", "thief", "seen"),
    [
        ((0.5, 0.5), (9.5, 0.5), True),  # past the end of the wall
        ((0.5, 2.5), (9.5, 2.5), False),  # straight through it
        ((0.5, 0.5), (9.5, 4.5), False),  # at a slant
        ((0.5, 4.5), (9.5, 0.2), False),
        ((0.5, 2.5), (5.5, 2.5), True),  # who stands in a blocked cell is seen ...
        ((5.5, 2.5), (0.5, 2.5), True),  # ... and sees
        ((3.0, 0.5), (3.0, 4.5), True),  # beside it
        ((-50.0, 2.5), (-40.0, 2.5), True),  # beyond the grid nothing blocks
        ((-5.0, 2.5), (15.0, 2.5), False),  # but what is between two places beyond it does
    ],
)
def test_a_wall_blocks_the_line_of_sight(
    simulate: Simulate, city: Domain, guard: tuple[float, float], thief: tuple[float, float], seen: bool
) -> None:
    sim = simulate(city)
    blocked = np.zeros((5, 10), bool)
    blocked[1:5, 5] = True
    sim.set_obstacles(blocked, cell=1)
    watcher, suspect = sim.spawn("guard", *guard), sim.spawn("thief", *thief)
    sim.tick()
    assert watcher.suspect is suspect
    assert watcher.suspect_visible == seen


def is_clear(blocked: Any, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether no blocked cell lies between, step by step: the slow way."""
    cx, cy, ex, ey = (math.floor(v) for v in (x0, y0, x1, y1))
    dx, dy = x1 - x0, y1 - y0
    sx, sy = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    # Where on the way, from 0 to 1, the next border in x and in y is.
    next_x = ((cx + 1 if dx > 0 else cx) - x0) / dx if dx else math.inf
    next_y = ((cy + 1 if dy > 0 else cy) - y0) / dy if dy else math.inf
    for _ in range(abs(ex - cx) + abs(ey - cy)):
        if next_x < next_y:
            cx, next_x = cx + sx, next_x + sx / dx
        else:
            cy, next_y = cy + sy, next_y + sy / dy
        if (cx, cy) == (ex, ey):
            break
        if 0 <= cy < blocked.shape[0] and 0 <= cx < blocked.shape[1] and blocked[cy, cx]:
            return False
    return True


@pytest.mark.parametrize("shared_from", [0, 1 << 62])
def test_lines_of_sight_of_a_crowd_are_those_of_a_walk_from_cell_to_cell(
    simulate: Simulate, city: Domain, shared_from: int
) -> None:
    sim, rng = simulate(city), np.random.default_rng(5)
    sim.shared_from = shared_from
    blocked = rng.random((30, 40)) < 0.15
    sim.set_obstacles(blocked, cell=2)
    for kind, number in (("guard", 3000), ("thief", 40)):
        # Some outside the grid, and with quarters there are lines along borders and through corners.
        sim.spawn_many(kind, number, x=rng.integers(-20, 360, number) / 4, y=rng.integers(-20, 280, number) / 4)
    sim.tick(0.0)
    agents, seen = sim.agents, sim.agents.suspect
    assert (seen[:3000] >= 0).all()
    clear = [
        is_clear(blocked, *(float(v) / 2 for v in (agents.x[i], agents.y[i], agents.x[seen[i]], agents.y[seen[i]])))
        for i in range(3000)
    ]
    assert 0.2 < np.mean(clear) < 0.9
    assert np.array_equal(agents.suspect_visible[:3000], clear)


def test_without_obstacles_everything_is_seen(simulate: Simulate, city: Domain) -> None:
    sim = simulate(city)
    guard = sim.spawn("guard")
    sim.spawn("thief", 50, 50)
    sim.tick()
    assert guard.suspect_visible == 1


def test_a_game_may_judge_lines_of_sight_itself(simulate: Simulate, city: Domain) -> None:
    asked: list[Any] = []

    def in_fog(x0: Any, y0: Any, x1: Any, y1: Any) -> Any:
        asked.append([a.tolist() for a in (x0, y0, x1, y1)])
        return np.hypot(x1 - x0, y1 - y0) < 5

    sim = simulate(city, line_of_sight=in_fog)
    near, far = sim.spawn("guard", 8, 0), sim.spawn("guard", 1, 0)
    sim.spawn("thief", 10, 0)
    sim.tick()
    assert asked == [[[8, 1], [0, 0], [10, 10], [0, 0]]]
    assert (near.suspect_visible, far.suspect_visible) == (1, 0)


@pytest.mark.parametrize("given", [[[0, 1], [1, 0]], np.eye(2) == 0, np.array([[0.0, 0.5], [2.0, 0.0]])])
def test_any_array_of_truth_values_will_do(given: Any) -> None:
    obstacles = obstacle_grid(given, 2)
    assert obstacles.blocked.tolist() == [[0, 1], [1, 0]]
    assert obstacles.blocked.dtype == np.uint8
    assert obstacles.cell == 2.0


@pytest.mark.parametrize(
    ("blocked", "cell", "said"),
    [
        ([0, 1], 1, r"expected an array of shape \(rows, columns\), got shape \(2,\)"),
        (np.zeros((2, 2, 2)), 1, r"got shape \(2, 2, 2\)"),
        ([[0, 1], [0]], 1, r"expected an array of shape \(rows, columns\)"),
        ([[0]], 0, "cell=0 must be a finite number above 0"),
        ([[0]], -1, "cell=-1 must be"),
        ([[0]], float("nan"), "cell=nan must be"),
        ([[0]], float("inf"), "cell=inf must be"),
    ],
)
def test_obstacles_that_make_no_sense_are_refused(
    simulate: Simulate, city: Domain, blocked: Any, cell: float, said: str
) -> None:
    sim = simulate(city)
    before = sim.obstacles
    with pytest.raises(DomainError, match=said):
        sim.set_obstacles(blocked, cell)
    assert sim.obstacles is before
