"""What agents see: the kernels against brute force, and what a game can rely on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim import ActionError, Agent, Domain, Settings, Simulation, Situation

Simulate = Callable[..., Simulation]

QUICK = Settings(model="none", capacity=8, cache_entries=64, strict=True)
KINDS, THINGS = ("ant", "bee", "cat"), ("grain", "salt")
# What each of the things to look for is, to an observer of each kind: written out here, not asked of the domain.
SEEN: dict[str, Callable[[str], set[str]]] = {
    "ant": lambda me: {"ant"},
    "bee+cat": lambda me: {"bee", "cat"},
    "food": lambda me: {"ant": {"bee"}, "bee": {"cat"}}.get(me, set()),
    "rival": lambda me: {"ant": {"cat"}, "cat": {"ant", "cat"}}.get(me, set()),
    "ant+food": lambda me: {"ant"} | SEEN["food"](me),
    "grain": lambda me: {"grain"},
    "grain+salt": lambda me: {"grain", "salt"},
    "edible": lambda me: {"ant": {"grain"}, "bee": {"grain", "salt"}}.get(me, set()),
}


class Look(NamedTuple):
    """One percept to declare."""

    mode: str
    of: str
    radius: float
    seen_by: tuple[str, ...] | None
    cap: int

    def sees(self, kind: str) -> set[str]:
        return SEEN[self.of](kind) if self.seen_by is None or kind in self.seen_by else set()


class Body(NamedTuple):
    kind: str
    x: float
    y: float
    worth: float


def make_zoo(looks: list[Look]) -> Domain:
    zoo = Domain("zoo", KINDS)
    for thing in THINGS:
        zoo.thing(thing)
    zoo.relation("food", [("ant", "bee"), ("bee", "cat")])
    zoo.relation("rival", [("ant", "cat"), ("cat", "cat")], mutual=True)
    zoo.relation("edible", [("ant", "grain"), ("bee", "grain"), ("bee", "salt")])
    for number, look in enumerate(looks):
        options: dict[str, Any] = {look.mode: look.of.split("+"), "cap": look.cap}
        zoo.percept(f"p{number}", radius=look.radius, seen_by=look.seen_by, **options)
    return zoo


def exactly(look: Look, me: int, observers: list[Body], bodies: list[Body]) -> tuple[int | None, float, int]:
    """(row of the nearest or weakest, its distance, number seen), the slow way."""
    observer, found = observers[me], []
    for row, body in enumerate(bodies):
        if body.kind not in look.sees(observer.kind) or (bodies is observers and row == me):
            continue
        distance = math.hypot(body.x - observer.x, body.y - observer.y)
        if distance <= look.radius:  # False for what is not finite
            found.append((distance if look.mode == "nearest" else body.worth, row, distance))
    best = min((f for f in found if not math.isnan(f[0])), default=(0.0, None, math.inf))
    return best[1], best[2], len(found)


# A coarse grid, so that ties and distances of exactly the radius are frequent, in a few clusters far apart, so that
# there are more cells than rows; and what a game with a mistake in it may write.
steps = st.integers(0, 12).map(lambda n: n / 2)
places = st.one_of(
    st.tuples(steps, steps),
    st.just((3.0, 3.0)),
    st.tuples(steps, steps).map(lambda p: (p[0] - 200, p[1] + 1e6)),
    st.tuples(steps, steps).map(lambda p: (p[0] + 70, p[1] - 1e5)),
    st.tuples(steps, st.sampled_from([math.nan, math.inf, -math.inf, 1e38, -3e29])),
    st.tuples(st.sampled_from([math.nan, math.inf, -math.inf, -1e38, 1e29]), steps),
)


def bodies_of(kinds: tuple[str, ...], most: int) -> st.SearchStrategy[list[Body]]:
    worths = st.sampled_from([1.0, 2.0, 3.0, -1.0, math.inf, math.nan])
    body = st.tuples(st.sampled_from(kinds), places, worths).map(lambda b: Body(b[0], b[1][0], b[1][1], b[2]))
    return st.lists(body, max_size=most)


looks = st.builds(
    Look,
    mode=st.sampled_from(["nearest", "weakest", "count"]),
    of=st.sampled_from(list(SEEN)),
    radius=st.sampled_from([2.5, 2.5, 2.5, 0.5, 5.0, 6.5]),
    seen_by=st.sampled_from([None, None, ("ant",), ("ant", "bee")]),
    cap=st.sampled_from([1, 2, 255]),
).filter(lambda look: look.seen_by is None or all(SEEN[look.of](kind) for kind in look.seen_by))


@given(st.lists(looks, min_size=1, max_size=6), bodies_of(KINDS, 40), bodies_of(THINGS, 12))
def test_percepts_are_exactly_what_brute_force_finds(
    declared: list[Look], agents: list[Body], things: list[Body]
) -> None:
    with Simulation(make_zoo(declared), QUICK) as sim:
        handles = [sim.spawn(body.kind) for body in agents]
        lying = [sim.add_thing(body.kind) for body in things]
        for table, bodies, worth in ((sim.agents, agents, "hp"), (sim.things, things, "amount")):
            table.x[:] = [body.x for body in bodies]
            table.y[:] = [body.y for body in bodies]
            table.column(worth)[:] = [body.worth for body in bodies]
        sim.tick()
        for number, look in enumerate(declared):
            of_things = look.of.split("+")[0] in (*THINGS, "edible")
            seen_handles: list[Any] = list(lying) if of_things else list(handles)
            for row, handle in enumerate(handles):
                best, distance, count = exactly(look, row, agents, things if of_things else agents)
                if look.mode == "count":
                    assert getattr(handle, f"p{number}") == min(count, look.cap)
                    assert getattr(handle, f"p{number}_saturated") == (count > look.cap)
                else:
                    assert getattr(handle, f"p{number}") is (None if best is None else seen_handles[best])
                    assert getattr(handle, f"p{number}_distance") == pytest.approx(distance, rel=1e-6)


@settings(max_examples=settings().max_examples // 2)
@given(st.integers(1, 40), st.integers(2, 60), st.integers(0, 2**31))
def test_neighbours_at_a_fraction_of_the_cells_are_not_lost(tenth: int, number: int, seed: int) -> None:
    """Radii and positions that float32 cannot hold exactly: none may be in a cell not looked at."""
    rng = np.random.default_rng(seed)
    radius = tenth / 10
    field = Domain("field", ["ant"])
    field.percept("others", count="ant", radius=radius)
    field.percept("other", nearest="ant", radius=radius)
    x = (rng.integers(0, 30, number) * radius / 2).astype(np.float32)
    y = (rng.integers(0, 3, number) * radius / 2).astype(np.float32)
    with Simulation(field, QUICK) as sim:
        sim.spawn_many("ant", number, x=x, y=y)
        sim.tick()
        dx, dy = x[:, None] - x, y[:, None] - y
        d2 = dx * dx + dy * dy
        np.fill_diagonal(d2, np.inf)
        # Where rounding decides, either answer is right; all others must be exact.
        limit = np.float32(radius) ** 2
        surely, perhaps = d2 < limit * np.float32(1 - 1e-6), d2 <= limit * np.float32(1 + 1e-6)
        assert (surely.sum(1) <= sim.agents.others).all() and (sim.agents.others <= perhaps.sum(1)).all()
        on_axis = (d2 == limit) & ((dx == 0) | (dy == 0))  # nothing is rounded but the difference
        assert (sim.agents.others >= (surely | on_axis).sum(1)).all()


@pytest.fixture
def flock() -> Domain:
    flock = Domain("flock", ["sheep", "wolf"])
    flock.percept("threat", nearest="wolf", seen_by="sheep", radius=10)
    flock.percept("victim", weakest="sheep", seen_by="wolf", radius=10)
    flock.percept("pack", count="wolf", radius=10, cap=3)
    return flock


def test_the_edge_of_the_radius_is_within_it(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock)
    dolly, wolf = sim.spawn("sheep"), sim.spawn("wolf", x=6, y=8)
    sim.tick()
    assert dolly.threat is wolf
    assert dolly.threat_distance == 10
    wolf.y = np.nextafter(np.float32(8), np.float32(9))
    sim.tick()
    assert dolly.threat is None


def test_whoever_sees_nobody_has_none_at_an_infinite_distance(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock)
    dolly, lone_wolf = sim.spawn("sheep"), sim.spawn("wolf", x=50)
    sim.tick()
    assert (dolly.threat, dolly.threat_distance) == (None, math.inf)
    assert (lone_wolf.victim, lone_wolf.victim_distance) == (None, math.inf)
    assert (lone_wolf.pack, lone_wolf.pack_saturated) == (0, 0), "nobody sees itself"
    assert (lone_wolf.threat, lone_wolf.threat_distance) == (None, math.inf), "a percept of others"


def test_of_equals_the_lower_row_wins(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock)
    dolly = sim.spawn("sheep", hp=50)
    east, north = sim.spawn("wolf", x=3), sim.spawn("wolf", y=3)
    sim.spawn("sheep", x=1, hp=50)
    sim.tick()
    assert dolly.threat is east
    assert north.victim is dolly
    sim.remove(dolly)  # the last row moves into its place
    sim.tick()
    assert [sheep.threat for sheep in sim.agents.handles if sheep.kind == "sheep"] == [east]


def test_a_count_stops_at_its_cap_and_says_so(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock)
    dolly = sim.spawn("sheep")
    seen = []
    for _ in range(5):
        sim.tick()
        seen.append((dolly.pack, dolly.pack_saturated))
        sim.spawn("wolf")
    assert seen == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)]


def test_what_looks_for_the_weakest_goes_by_the_column_it_names(simulate: Simulate) -> None:
    bank = Domain("bank", ["thief", "guest"])
    bank.column("gold")
    bank.thing("purse")
    bank.percept("poorest", weakest="guest", by="gold", seen_by="thief", radius=10)
    bank.percept("smallest", weakest="purse", seen_by="thief", radius=10)
    sim = simulate(bank)
    thief = sim.spawn("thief")
    sim.spawn("guest", hp=1, gold=9)
    poor = sim.spawn("guest", x=9, gold=2)
    sim.spawn("guest", x=11, gold=1)
    sim.add_thing("purse", amount=5)
    light = sim.add_thing("purse", x=3, amount=2)
    sim.tick()
    assert thief.poorest is poor
    assert thief.smallest is light


@settings(max_examples=settings().max_examples // 5)
@given(
    every=st.integers(1, 7),
    capacity=st.sampled_from([8, 20_000]),  # in a large table many rows take their turn together
    herd=st.sampled_from([0, 600]),
    changes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=25, max_size=25),
)
def test_each_agent_looks_at_once_and_then_at_least_every_kth_tick(
    every: int, capacity: int, herd: int, changes: list[tuple[int, int]]
) -> None:
    crowd = Domain("crowd", ["ant"])
    crowd.percept("others", count="ant", radius=10)
    looks: dict[int, list[int]] = {}
    with Simulation(crowd, Settings(model="none", every=every, capacity=capacity, cache_entries=64, seed=1)) as sim:
        alive: list[Agent] = sim.spawn_many("ant", herd)
        for tick, (born, dead) in enumerate(changes):
            alive += sim.spawn_many("ant", born)
            looks.update({agent.uid: [] for agent in alive if agent.uid not in looks})
            for agent in [alive.pop(int(sim.rng.integers(len(alive)))) for _ in range(min(dead, len(alive)))]:
                sim.remove(agent)
            sim.agents.others[:] = -1
            sim.tick()
            for agent in alive:
                if agent.others >= 0:
                    looks[agent.uid].append(tick)
            assert all(looks[agent.uid] for agent in alive), "nobody waits for its first look"
            assert all((np.diff([*looks[agent.uid], tick]) <= every).all() for agent in alive)
        looked = sum(map(len, looks.values()))
    if not any(dead for _, dead in changes) and capacity == 8 and not herd:
        most = sum(1 + (len(changes) - tick) // every for tick, (born, _) in enumerate(changes) for _ in range(born))
        assert looked <= most + sum(born for born, _ in changes), "and hardly more often"


def test_nobody_plans_for_a_situation_that_it_never_saw(simulate: Simulate) -> None:
    field = Domain("field", ["sheep", "wolf"])
    field.percept("threat", nearest="wolf", seen_by="sheep", radius=10)
    field.feature("danger", column="threat_distance", edges=[5], words=["a wolf is near", "no wolf is near"])
    met = set()

    @field.heuristic("sheep")
    def sense(situation: Situation) -> str:
        met.add(situation.danger)
        return "wait self"

    sim = simulate(field, settings={"every": 30})
    met.clear()
    sim.spawn_many("sheep", 40)
    for _ in range(3):
        sim.tick()
    assert met == {1}, "there is no wolf in the world"


def test_what_has_left_is_no_longer_seen_though_the_next_look_is_far(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock, settings={"every": 60})
    dolly, wolf = sim.spawn("sheep"), sim.spawn("wolf", x=3)
    sim.tick()
    assert (dolly.threat, dolly.threat_distance) == (wolf, 3)
    sim.remove(wolf)
    sim.tick()
    assert (dolly.threat, dolly.threat_distance) == (None, math.inf)


def test_those_far_from_all_others_see_each_other(simulate: Simulate, flock: Domain) -> None:
    sim = simulate(flock, settings={"capacity": 2000})
    sim.spawn_many("sheep", 2000, x=sim.rng.uniform(0, 500, 2000), y=sim.rng.uniform(0, 500, 2000))
    for x, y in ((1e7, 1e7), (-1e28, 0.0), (0.0, 3e29)):
        stray, sheep = sim.spawn("wolf", x=x, y=y), sim.spawn("sheep", x=x, y=y)
        sim.tick()
        assert sheep.threat is stray, f"at ({x}, {y})"


def test_a_line_of_sight_that_raises_is_reported_and_hides(simulate: Simulate) -> None:
    def blind(*_: Any) -> Any:
        raise ZeroDivisionError("no eyes")

    field = Domain("field", ["sheep", "wolf"])
    field.percept("threat", nearest="wolf", seen_by="sheep", radius=10, line_of_sight=True)
    sim = simulate(field, settings={"strict": False}, line_of_sight=blind)
    dolly, _ = sim.spawn("sheep"), sim.spawn("wolf")
    sim.tick()
    sim.tick()
    assert dolly.threat_visible == 0
    assert list(sim.errors.items()) == [("line_of_sight: ZeroDivisionError: no eyes", 2)]
    with pytest.raises(ActionError, match="line_of_sight raised: ZeroDivisionError"):
        strict = simulate(field, world="strict", line_of_sight=blind)
        strict.spawn("sheep")
        strict.spawn("wolf")
        strict.tick()


def test_of_equal_distances_the_lower_row_wins_whatever_the_coordinates(simulate: Simulate) -> None:
    """Points and their mirror images are equally far: dx² + dy² and dy² + dx² must come to the same float."""
    field = Domain("field", ["eye", "post"])
    field.percept("near", nearest="post", seen_by="eye", radius=100)
    sim = simulate(field)
    eye, first, second = sim.spawn("eye"), sim.spawn("post"), sim.spawn("post")
    for x, y in np.random.default_rng(7).uniform(1, 60, (200, 2)).astype(np.float32).tolist():
        first.x, first.y, second.x, second.y = x, y, y, x
        sim.tick()
        assert eye.near is first, (x, y)


def test_counts_are_exact_in_float32_for_any_coordinates(simulate: Simulate) -> None:
    rng = np.random.default_rng(8)
    n = 3000
    x, y = (rng.uniform(0, 300, n).astype(np.float32) for _ in range(2))
    field = Domain("field", ["bug"])
    field.percept("near", nearest="bug", radius=20)
    field.percept("crowd", count="bug", radius=20, cap=5000)
    sim = simulate(field)
    sim.spawn_many("bug", n, x=x, y=y)
    sim.tick()
    dx, dy = x[:, None] - x[None, :], y[:, None] - y[None, :]
    d2 = dx * dx + dy * dy
    assert (sim.agents.crowd == (d2 <= np.float32(400)).sum(axis=1) - 1).all()
    d2[np.arange(n), np.arange(n)] = np.inf
    assert (sim.agents.near == d2.argmin(axis=1)).all()


def test_a_crowd_on_a_few_points_is_seen_exactly(simulate: Simulate) -> None:
    """More than an agent goes through at one go: who is at no distance has the lower row, wherever it stands."""
    rng = np.random.default_rng(9)
    n = 10_000
    field = Domain("field", ["ant", "bee"])
    field.percept("ant_near", nearest="ant", radius=20)
    field.percept("anyone", nearest=["ant", "bee"], radius=20)
    field.percept("ants", count="ant", radius=20, cap=15)
    field.percept("crowd", count=["ant", "bee"], radius=20, cap=n)
    field.percept("weak", weakest=["ant", "bee"], radius=20)
    sim = simulate(field, settings={"capacity": n})
    sim.spawn_many("bee", n // 2)
    sim.spawn_many("ant", n // 2)
    is_ant = rng.permutation(np.arange(n) < n // 2)
    sim.agents.kind[:] = np.where(is_ant, 0, 1)
    place = rng.choice(3, n, p=[0.9, 0.09, 0.01])
    sim.agents.x[:] = np.array([7, 19, 200])[place]
    sim.agents.hp[:] = rng.integers(5, 50, n)
    hp = sim.agents.hp.copy()
    sim.tick()

    def lowest(rows: Any, me: int) -> int:
        return next((int(row) for row in rows if row != me), -1)

    for me in rng.choice(n, 200, replace=False).tolist():
        here, seen = np.flatnonzero(place == place[me]), np.flatnonzero((place == 2) == (place[me] == 2))
        assert sim.agents.anyone[me] == lowest(here, me)
        assert sim.agents.ant_near[me] == lowest(here[is_ant[here]], me)
        ants = int(is_ant[seen].sum() - is_ant[me])
        assert (sim.agents.ants[me], sim.agents.ants_saturated[me]) == (min(ants, 15), ants > 15)
        assert sim.agents.crowd[me] == len(seen) - 1
        others = seen[seen != me]
        assert sim.agents.weak[me] == others[hp[others].argmin()]


def test_as_many_kinds_as_there_may_be(simulate: Simulate) -> None:
    rng = np.random.default_rng(10)
    kinds = [f"k{number}" for number in range(63)]
    zoo = Domain("zoo", kinds)
    zoo.relation("next", [(a, b) for a, b in zip(kinds, kinds[1:] + kinds[:1], strict=True)])
    zoo.relation("odd", [(a, b) for a in kinds for b in kinds[1::2]])
    zoo.percept("prey", nearest="next", radius=30)
    zoo.percept("odd_ones", count="odd", radius=15, cap=1000)
    sim = simulate(zoo)
    for kind in kinds:
        sim.spawn_many(kind, 20, x=rng.uniform(0, 150, 20), y=rng.uniform(0, 150, 20))
    sim.tick()
    agents = sim.agents
    dx, dy = agents.x[:, None] - agents.x[None, :], agents.y[:, None] - agents.y[None, :]
    d2 = dx * dx + dy * dy
    np.fill_diagonal(d2, np.inf)
    assert (agents.odd_ones == ((d2 <= 225) & (agents.kind % 2 == 1)).sum(axis=1)).all()
    d2[(agents.kind[:, None] + 1) % 63 != agents.kind[None, :]] = np.inf
    d2[d2 > 900] = np.inf
    assert (agents.prey == np.where(np.isfinite(d2.min(axis=1)), d2.argmin(axis=1), -1)).all()
