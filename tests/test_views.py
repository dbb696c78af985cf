"""Rows: what a vectorised feature or action gets, under the same names as a handle has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from astrasim import Domain, Simulation
from astrasim.views import Rows, Spots

Simulate = Callable[..., Simulation]


@pytest.fixture
def sim(simulate: Simulate) -> Simulation:
    domain = Domain("pond", kinds=["duck"])
    domain.column("mud", default=1)
    domain.reference("mate")
    sim = simulate(domain)
    sim.spawn_many("duck", 5, x=np.arange(5), y=[0, 0, 3, 4, 0])
    return sim


@pytest.fixture
def some(sim: Simulation) -> Rows:
    return Rows(sim.agents, np.array([1, 3, 4]))


def test_reading_gives_the_values_of_these_rows(some: Rows) -> None:
    assert len(some) == 3
    assert some.x.tolist() == [1, 3, 4]
    assert some.index.tolist() == [1, 3, 4]
    assert some.mate.tolist() == [-1, -1, -1]


def test_writing_changes_these_rows_and_no_others(sim: Simulation, some: Rows) -> None:
    some.mud += [1, 2, 3]
    some.hp = 7
    assert sim.agents.mud.tolist() == [1, 2, 1, 3, 4]
    assert sim.agents.hp.tolist() == [100, 7, 100, 7, 7]


def test_a_column_that_does_not_exist_is_refused(some: Rows) -> None:
    with pytest.raises(AttributeError, match=r"agents have no column 'mudd'; they have: x, .*mud"):
        some.mudd  # noqa: B018
    with pytest.raises(AttributeError, match="agents have no column 'count'"):
        some.count = 3
    with pytest.raises(ValueError, match="shape"):
        some.mud = [1, 2]


def test_steering_is_the_same_as_with_handles(sim: Simulation, some: Rows) -> None:
    pier = Spots(np.array([1.0, 3.0, 50.0]), np.array([30.0, 4.0, 0.0]))
    some.steer_to(pier, speed=5)
    assert list(zip(some.vx, some.vy, strict=True)) == [(0, 5), (0, 0), (5, 0)]
    some.steer_away(pier, speed=5)
    assert list(zip(some.vx, some.vy, strict=True))[::2] == [(0, -5), (-5, 0)]
    assert abs(some.vx[1]) == 5  # from the same spot any way out will do
    assert sim.agents.vx[[0, 2]].tolist() == [0, 0]
    some.stop()
    assert some.vx.tolist() == some.vy.tolist() == [0, 0, 0]
    assert some.distance_to(pier).tolist() == [30, 0, 46]
