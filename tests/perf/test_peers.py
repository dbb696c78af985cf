"""What the comparison compares: the peers see what AstraSim sees, and do all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from astrasim.perf.peers import OURS, PEERS, Contestant
from astrasim.perf.peers.astrasim_arena import fight_of
from astrasim.perf.peers.fight import CAP, CONDUCT, FOE, FRIEND, Fight, Peer, Percepts, choose, velocity

Positions = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(params=PEERS, ids=lambda contestant: contestant.name)
def peer(request: pytest.FixtureRequest) -> type[Peer]:
    contestant: Contestant = request.param
    try:
        return contestant.load()
    except ImportError as error:
        pytest.skip(f"{error}: {contestant.install}")


def positions(agents: int, seed: int, spread: float = 1.0) -> Positions:
    """On a lattice of eighths: float32 and float64 compute the same distances there, and some are just the radius."""
    draw = np.random.default_rng(seed).integers
    most = int(fight_of(agents).side * 8 * spread)
    return draw(0, most + 1, agents) / 8, draw(0, most + 1, agents) / 8


def looked(made: Peer, at: Positions) -> Percepts:
    with closing(made):
        made.place(*at)
        made.tick()
        return made.percepts()


def by_hand(fight: Fight, x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterator[tuple[float, int, float, int]]:
    """For each agent the distance and number of its enemies, and of its allies, by the plainest code there is."""
    for i in range(fight.agents):
        found = []
        for enemies in (True, False):
            near = [
                float(np.hypot(x[j] - x[i], y[j] - y[i]))
                for j in range(fight.agents)
                if j != i and ((j < fight.reds) != (i < fight.reds)) == enemies
            ]
            near = [distance for distance in near if distance <= fight.radius]
            found += [min(near, default=np.inf), min(len(near), CAP)]
        yield tuple(found)  # type: ignore[misc]  # four, by the loop


def assert_right(seen: Percepts, fight: Fight, at: Positions) -> None:
    expected = np.array(list(by_hand(fight, *at))).T
    for name, column in zip(("foe_distance", "foes", "friend_distance", "friends"), expected, strict=True):
        np.testing.assert_allclose(getattr(seen, name), column, rtol=1e-6, err_msg=name)
    x, y = at
    for rows, away, enemies in (
        (seen.foe, seen.foe_distance, True),
        (seen.friend, seen.friend_distance, False),
    ):
        someone = np.isfinite(away)
        assert (rows[~someone] == -1).all()
        me, them = np.flatnonzero(someone), rows[someone]
        assert (me != them).all()
        assert (((them < fight.reds) != (me < fight.reds)) == enemies).all()
        # Of equally near ones any will do.
        np.testing.assert_allclose(np.hypot(x[them] - x[me], y[them] - y[me]), away[someone], rtol=1e-6)


AGENTS = (1, 2, 3, 60, 200)


@pytest.mark.parametrize("agents", AGENTS)
def test_a_peer_sees_on_the_same_positions_what_plain_code_sees(peer: type[Peer], agents: int) -> None:
    fight, at = fight_of(agents), positions(agents, seed=agents)
    assert_right(looked(peer(fight), at), fight, at)


@pytest.mark.parametrize("agents", AGENTS)
def test_astrasim_sees_the_same(agents: int) -> None:
    fight, at = fight_of(agents), positions(agents, seed=agents)
    assert_right(looked(OURS.load()(fight), at), fight, at)


def test_a_crowd_is_counted_no_further_than_the_arena_counts(peer: type[Peer]) -> None:
    fight, at = fight_of(80), positions(80, seed=1, spread=0.05)
    assert_right(looked(peer(fight), at), fight, at)
    assert_right(looked(OURS.load()(fight), at), fight, at)


def test_a_peer_without_agents_ticks(peer: type[Peer]) -> None:
    with closing(peer(fight_of(0))) as made:
        made.tick()


def test_all_peers_come_to_the_same_fight(peer: type[Peer]) -> None:
    fight = fight_of(150)
    with closing(peer(fight)) as made, closing(PEERS[0].load()(fight)) as first:
        before = first.state()[2]
        for _ in range(90):
            made.tick()
            first.tick()
            hp = first.state()[2]
            assert (hp <= before).all(), "put back at a place that each draws for itself"
            before = hp
        assert (hp < 60).any()
        np.testing.assert_allclose(made.state(), first.state(), atol=1e-9)


def test_the_dead_are_put_back_healed_and_inside(peer: type[Peer]) -> None:
    fight = fight_of(40)
    with closing(peer(fight)) as made:
        x = np.where(np.arange(40) < fight.reds, 3.0, fight.side)
        x[fight.reds] = 0.0  # the one enemy in reach of all the reds
        made.place(x, x)
        made.tick()
        x, y, hp, stamina, ammo, cooldown = made.state()
        assert (cooldown[: fight.reds] > 0).all() and (ammo[: fight.reds] == fight.ammunition - 1).all()
        assert (hp[fight.reds :] == 100).all() and stamina[fight.reds] == 100 and ammo[fight.reds] == fight.ammunition
        assert max(x[fight.reds], y[fight.reds]) > 1 and max(x[fight.reds], y[fight.reds]) <= fight.side


@given(
    dx=st.floats(-100, 100), dy=st.floats(-100, 100), speed=st.floats(0, 10), near=st.floats(0, 10),
    tick_s=st.floats(0.001, 0.1),
)  # fmt: skip
def test_nobody_overshoots_what_it_goes_to(dx: float, dy: float, speed: float, near: float, tick_s: float) -> None:
    vx, vy = velocity(dx, dy, speed, near, tick_s)
    before, after = np.hypot(dx, dy), np.hypot(dx - vx * tick_s, dy - vy * tick_s)
    assert np.hypot(vx, vy) <= speed + 1e-9
    assert after <= before + 1e-9
    assert after >= min(before, near) - 1e-9


@given(
    hp=st.floats(1, 100), stamina=st.floats(0, 100), ammo=st.floats(0, 12), foes=st.integers(0, 15),
    friends=st.integers(0, 15), distance=st.floats(0, 30),
)  # fmt: skip
def test_nobody_goes_to_whom_it_does_not_see(
    hp: float, stamina: float, ammo: float, foes: int, friends: int, distance: float
) -> None:
    target = CONDUCT[choose(hp, stamina, ammo, distance if foes else np.inf, foes, friends)].target
    assert foes or target != FOE
    assert friends or target != FRIEND
