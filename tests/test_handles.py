"""Handles: agents and things as plain Python objects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from astrasim import Agent, AgentGone, Domain, Simulation, Spot, Status, Thing

Simulate = Callable[..., Simulation]


@pytest.fixture
def harbour() -> Domain:
    harbour = Domain("harbour", kinds={"sailor": {}, "gull": {"hp": 5, "stamina": 40}})
    harbour.thing("barrel", amount=12, weight=3)
    harbour.column("thirst", default=2)
    harbour.reference("captain")
    harbour.percept("pest", nearest="gull", seen_by="sailor", radius=10, line_of_sight=True)
    harbour.percept("drink", nearest="barrel", radius=10)
    harbour.percept("crowd", count="sailor", radius=10)
    return harbour


@pytest.fixture
def sim(simulate: Simulate, harbour: Domain) -> Simulation:
    return simulate(harbour)


def test_columns_are_attributes_and_plain_numbers(sim: Simulation) -> None:
    jack = sim.spawn("sailor", 3, 4, thirst=1.5)
    jack.hp -= 25
    jack.thirst += 1
    assert (jack.x, jack.y, jack.home_x, jack.hp, jack.thirst) == (3, 4, 3, 75, 2.5)
    assert all(type(value) is float for value in (jack.x, jack.hp, jack.thirst))
    assert sim.agents.hp.tolist() == [75]


def test_a_kind_has_its_own_values_and_a_spawn_may_change_them(sim: Simulation) -> None:
    assert [(g.hp, g.stamina) for g in (sim.spawn("gull"), sim.spawn("gull", hp=9))] == [(5, 40), (9, 40)]
    barrel = sim.add_thing("barrel", 1, 2, weight=8)
    assert (barrel.x, barrel.y, barrel.amount, barrel.weight) == (1, 2, 12, 8)


def test_home_is_where_it_was_spawned_unless_told_otherwise(sim: Simulation) -> None:
    jack, jill = sim.spawn_many("sailor", 2, x=[1, 2], y=5)
    stray = sim.spawn("sailor", 7, 7, home_x=0)
    assert [(s.home_x, s.home_y) for s in (jack, jill, stray)] == [(1, 5), (2, 5), (0, 7)]


def test_what_it_is(sim: Simulation) -> None:
    jack, barrel = sim.spawn("sailor"), sim.add_thing("barrel")
    assert (jack.kind, barrel.kind) == ("sailor", "barrel")
    assert isinstance(jack, Agent)
    assert isinstance(barrel, Thing)
    assert (repr(jack), repr(barrel)) == (f"sailor {jack.entity}", f"barrel {barrel.entity}")
    assert (jack.row, barrel.row, jack.alive) == (0, 0, True)


def test_percepts_are_handles_or_none(sim: Simulation) -> None:
    jack = sim.spawn("sailor")
    sim.tick()
    assert (jack.pest, jack.pest_distance, jack.pest_visible, jack.drink, jack.crowd) == (
        None,
        float("inf"),
        0,
        None,
        0,
    )
    gull, barrel = sim.spawn("gull", 3, 4), sim.add_thing("barrel", 0, 2)
    jill = sim.spawn("sailor", 9)
    sim.tick()
    assert (jack.pest, jack.pest_distance, jack.pest_visible) == (gull, 5, 1)
    assert (jack.drink, jack.drink_distance, jack.crowd) == (barrel, 2, 1)
    assert jill.pest is gull


def test_references_are_set_to_handles(sim: Simulation) -> None:
    jack, jill = sim.spawn("sailor"), sim.spawn("sailor")
    assert jack.captain is None
    jack.captain = jill
    jill.captain = jill
    assert jack.captain is jill.captain is jill
    jack.captain.hp = 1
    assert jill.hp == 1
    jack.captain = None
    assert jack.captain is None


@pytest.mark.parametrize(
    ("name", "other", "error", "said"),
    [
        ("captain", "Jill", TypeError, "captain = 'Jill' must be a handle or None"),
        ("captain", 3, TypeError, "captain = 3 must be a handle or None"),
        ("captain", "a barrel", TypeError, r"captain refers to agents .* which barrel \d+ is not"),
        ("drink", "a sailor", TypeError, r"drink refers to things .* which sailor \d+ is not"),
        ("captain", "a stranger", TypeError, r"agents of its own simulation, which sailor \d+ is not"),
        ("captain", "the drowned", AgentGone, r"sailor \d+ was deleted"),
    ],
)
def test_a_reference_to_something_else_is_refused(
    simulate: Simulate, harbour: Domain, name: str, other: Any, error: type[Exception], said: str
) -> None:
    sim, elsewhere = simulate(harbour), simulate(harbour, world="elsewhere")
    drowned = sim.spawn("sailor")
    sim.remove(drowned)
    sim.tick()
    jack = sim.spawn("sailor")
    others = {
        "a barrel": sim.add_thing("barrel"), "a sailor": sim.spawn("sailor"),
        "a stranger": elsewhere.spawn("sailor"), "the drowned": drowned,
    }  # fmt: skip
    with pytest.raises(error, match=said):
        setattr(jack, name, others.get(other, other))
    assert getattr(jack, name) is None


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (float("nan"), ValueError, r"sailor \d+: thirst cannot be NaN"),
        (None, TypeError, r"sailor \d+: thirst = None is no number"),
        ("much", TypeError, "thirst = 'much' is no number"),
        ([1, 2], TypeError, r"thirst = \[1, 2\] is no number"),
    ],
)
def test_a_value_that_is_no_number_is_refused(sim: Simulation, value: Any, error: type[Exception], said: str) -> None:
    jack = sim.spawn("sailor")
    with pytest.raises(error, match=said):
        jack.thirst = value
    assert jack.thirst == 2


def test_reading_what_it_does_not_have_suggests_what_was_meant(sim: Simulation) -> None:
    jack, barrel = sim.spawn("sailor"), sim.add_thing("barrel")
    with pytest.raises(AttributeError, match="Agent has no column 'thrist'; did you mean 'thirst'"):
        jack.thrist  # noqa: B018
    with pytest.raises(AttributeError, match=r"Agent has no column 'zzz'; it has: .*captain, .*hp"):
        jack.zzz  # noqa: B018
    with pytest.raises(AttributeError, match="Thing has no column 'wieght'; did you mean 'weight'"):
        barrel.wieght  # noqa: B018
    with pytest.raises(AttributeError):
        barrel.hp  # noqa: B018


def test_writing_what_it_does_not_have_is_refused(sim: Simulation) -> None:
    jack = sim.spawn("sailor")
    with pytest.raises(AttributeError, match="thrist"):
        jack.thrist = 3
    with pytest.raises(AttributeError, match="kind"):
        jack.kind = "gull"  # type: ignore[misc]


def test_two_domains_do_not_share_columns(simulate: Simulate, harbour: Domain) -> None:
    desert = Domain("desert", kinds=["camel"])
    desert.column("humps", default=2)
    jack = simulate(harbour, world="sea").spawn("sailor")
    camel = simulate(desert, world="sand").spawn("camel")
    assert camel.humps == 2
    for handle, name in ((jack, "humps"), (camel, "thirst")):
        with pytest.raises(AttributeError):
            getattr(handle, name)


def test_a_handle_of_the_dead_says_who_it_was_on_everything_but_alive(sim: Simulation) -> None:
    jack, barrel = sim.spawn("sailor"), sim.add_thing("barrel")
    entity = jack.entity
    sim.remove(jack)
    sim.remove(barrel)
    sim.tick()
    assert not jack.alive
    assert not barrel.alive
    assert repr(jack) == f"entity {entity} (deleted)"
    uses: list[Callable[[], object]] = [
        lambda: jack.hp, lambda: jack.thirst, lambda: jack.captain, lambda: jack.pest_distance, lambda: jack.kind,
        lambda: jack.row, lambda: jack.distance_to(Spot("here", 0, 0)), lambda: jack.steer_to(Spot("here", 0, 0), 1),
        lambda: setattr(jack, "hp", 3), lambda: setattr(jack, "captain", None), jack.stop,
        lambda: sim.order(jack, "climb"), lambda: sim.situation(jack), lambda: sim.why(jack),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(AgentGone, match=f"sailor {entity} was deleted; test handle.alive before using a handle"):
            use()
    with pytest.raises(AgentGone, match="barrel"):
        barrel.weight  # noqa: B018


def test_a_handle_can_be_kept_in_sets_and_copied_by_mistake(sim: Simulation) -> None:
    jack, jill = sim.spawn("sailor"), sim.spawn("sailor")
    crew = {jack: "mate", jill: "cook"}
    sim.remove(jack)
    sim.tick()
    assert crew[jack] == "mate"
    assert not copy.deepcopy(jack).alive


def test_distances_are_to_anything_with_a_position(sim: Simulation) -> None:
    jack, gull = sim.spawn("sailor", 1, 1), sim.spawn("gull", 4, 5)
    assert jack.distance_to(gull) == 5
    assert jack.distance_to(Spot("pier", 1, 3)) == 2
    assert jack.distance_to(SimpleNamespace(x=1, y=0)) == 1
    assert repr(Spot("pier", 1, 2.5)) == "Spot(pier, 1, 2.5)"


def test_steering_sets_the_velocity(sim: Simulation) -> None:
    jack = sim.spawn("sailor")
    jack.steer_to(Spot("pier", 30, 40), speed=5)
    assert (jack.vx, jack.vy) == (3, 4)
    jack.steer_away(Spot("pier", 30, 40), speed=5)
    assert (jack.vx, jack.vy) == (-3, -4)
    jack.stop()
    assert (jack.vx, jack.vy) == (0, 0)
    jack.steer_to(jack, speed=5)
    assert (jack.vx, jack.vy) == (0, 0)
    jack.steer_away(jack, speed=5)
    assert abs(jack.vx) == 5  # from the same spot any way out will do


@pytest.mark.parametrize("dt", [1 / 60, 0.1, 0.5])
@pytest.mark.parametrize("vectorised", [False, True])
def test_steering_never_overshoots_whatever_the_length_of_the_tick(
    simulate: Simulate, dt: float, vectorised: bool
) -> None:
    domain = Domain("lane", kinds=["runner"])
    domain.place("goal", 1.2, 0)

    @domain.action(targets=["goal"], seconds=10, vectorised=vectorised)
    def run(me: Any, target: Any, dt: float) -> Status:
        me.steer_to(target, speed=4)
        return Status.RUNNING

    domain.heuristic("runner")(lambda situation: "run goal 10")
    sim = simulate(domain)
    runner = sim.spawn("runner")
    for _ in range(int(2 / dt)):
        sim.tick(dt)
        assert runner.x <= 1.2001
    assert runner.x == pytest.approx(1.2)
