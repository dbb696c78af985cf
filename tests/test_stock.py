"""Every stock verb and every parameter of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from astrasim import Agent, Domain, DomainError, Simulation
from astrasim.stock import VERBS

TICK_S = 0.1
Play = Callable[..., Simulation]


@pytest.fixture
def play(simulate: Callable[..., Simulation]) -> Play:
    """A simulation whose every unit follows one plan over and over, 10 ticks a second."""

    def make(domain: Domain, *plan: str, **settings: Any) -> Simulation:
        domain.heuristic("unit")(lambda situation: list(plan))
        return simulate(domain, settings={"tick_s": TICK_S, "budget_ms": 1000.0, **settings})

    return make


def world() -> Domain:
    """Units who refer to a foe and to a friend, and a kind that only stands about."""
    domain = Domain("test", ["unit", "post"])
    domain.column("shield", default=10)
    domain.reference("foe")
    domain.reference("friend")
    domain.place("camp", 30, 40)
    return domain


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def running(sim: Simulation, agent: Agent) -> str:
    plan = sim.planner.plans[int(sim.agents.plan[agent.row])]
    return plan.steps[int(sim.agents.step[agent.row])].action


def speed(agent: Agent) -> float:
    return math.hypot(agent.vx, agent.vy)


# Motion


def test_approach_goes_straight_to_its_target_and_is_done_when_near(play: Play) -> None:
    domain = world()
    domain.stock("approach", targets=["camp"], speed=10, near=5, seconds=10)
    sim = play(domain, "approach camp", "wait self 10")
    unit = sim.spawn("unit")
    sim.tick()
    assert (unit.vx, unit.vy) == pytest.approx((6, 8))
    run(sim, 4.4)
    assert unit.distance_to(sim_place(30, 40)) == pytest.approx(5, abs=1e-3), "it does not overshoot"
    run(sim, 0.3)
    assert running(sim, unit) == "wait" and speed(unit) == 0


def sim_place(x: float, y: float) -> Any:
    return type("Place", (), {"x": x, "y": y})


@pytest.mark.parametrize("verb", ["approach", "follow", "hold", "patrol", "flee", "take"])
def test_moving_costs_stamina_and_who_has_none_left_goes_at_half_speed(play: Play, verb: str) -> None:
    domain = world()
    domain.thing("pack", amount=1)
    domain.percept("pack_near", nearest="pack", seen_by="unit", radius=1000)
    target = {"flee": "foe", "take": "pack_near"}.get(verb, "camp")
    more: dict[str, Any] = {"radius": 0.0} if verb == "patrol" else {}
    domain.stock(verb, name="act", targets=[target], speed=4, stamina_rate=20, seconds=10, **more)
    sim = play(domain, f"act {target} 10")
    unit = sim.spawn("unit", stamina=20)
    unit.foe = sim.spawn("post", x=1)
    sim.add_thing("pack", 300, 400)
    run(sim, 0.5)
    assert unit.stamina == pytest.approx(10, abs=1e-3) and speed(unit) == pytest.approx(4)
    run(sim, 0.8)
    assert unit.stamina == 0 and speed(unit) == pytest.approx(2)


@pytest.mark.parametrize("verb", ["follow", "hold"])
def test_standing_costs_no_stamina(play: Play, verb: str) -> None:
    domain = world()
    domain.stock(verb, name="act", targets=["home"], speed=4, stamina_rate=20)
    sim = play(domain, "act home")
    unit = sim.spawn("unit", stamina=50)
    run(sim, 3)
    assert unit.stamina == 50


def test_flee_goes_away_and_is_done_when_its_target_is_gone(play: Play) -> None:
    domain = world()
    domain.stock("flee", targets=["foe"], speed=5, seconds=10)
    sim = play(domain, "flee foe", "wait self 5")
    unit, foe = sim.spawn("unit", x=3, y=4), sim.spawn("post")
    unit.foe = foe
    sim.tick()
    assert (unit.vx, unit.vy) == pytest.approx((3, 4))
    unit.foe = None
    sim.tick()
    sim.tick()
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 0


def test_flee_leaves_even_the_very_spot_of_its_target(play: Play) -> None:
    domain = world()
    domain.stock("flee", targets=["foe"], speed=5)
    sim = play(domain, "flee foe")
    unit = sim.spawn("unit")
    unit.foe = sim.spawn("post")
    sim.tick()
    assert speed(unit) == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize(("verb", "given", "near"), [("follow", {"speed": 3.0}, 3.0), ("hold", {}, 2.0)])
def test_follow_and_hold_stay_with_their_target_until_time_is_up(
    play: Play, verb: str, given: dict[str, Any], near: float
) -> None:
    domain = world()
    domain.stock(verb, name="act", targets=["friend"], seconds=10, **given)
    domain.stock(verb, name="cling", targets=["friend"], seconds=10, near=0.5, speed=9)
    sim = play(domain, "act friend 4", "cling friend 4", "wait self 9")
    unit, friend = sim.spawn("unit"), sim.spawn("post", x=8)
    unit.friend = friend
    sim.tick()
    assert unit.vx == given.get("speed", 4.0)
    run(sim, 3)
    assert unit.distance_to(friend) == pytest.approx(near, abs=1e-3) and speed(unit) == 0
    friend.x += 1
    sim.tick()
    assert unit.vx > 0 and running(sim, unit) == "act"
    run(sim, 2)
    assert running(sim, unit) == "cling"
    assert unit.distance_to(friend) == pytest.approx(0.5, abs=1e-3)
    run(sim, 3)
    assert running(sim, unit) == "wait"


def test_patrol_wanders_between_points_within_its_radius(play: Play) -> None:
    domain = world()
    domain.stock("patrol", targets=["camp"], speed=50, radius=7, seconds=10)
    sim = play(domain, "patrol camp 10")
    units = sim.spawn_many("unit", 50, x=30, y=40)
    stops = set()
    for _ in range(30):
        run(sim, 2)
        for unit in units:
            assert unit.distance_to(sim_place(30, 40)) <= 7.001
            stops.add((round(unit.x, 2), round(unit.y, 2)))
    assert len(stops) > 1000, "another point every 2 seconds, for each"
    assert max(math.dist(stop, (30, 40)) for stop in stops) > 6.5


@pytest.mark.parametrize("far", [70.0, 5_000.0, 1e6])
def test_who_approaches_arrives_however_far_from_the_origin(play: Play, far: float) -> None:
    domain = world()
    domain.stock("approach", targets=["foe"], speed=10, near=5, seconds=10)
    sim = play(domain, "approach foe", "wait self 9")
    units = sim.spawn_many("unit", 200, x=[far + i / 13 for i in range(200)], y=[far / 3 + i / 7 for i in range(200)])
    post = sim.spawn("post", x=far + 1, y=far / 3)
    for unit in units:
        unit.foe = post
    run(sim, 9)
    assert {running(sim, unit) for unit in units} == {"wait"}


def test_a_tick_of_no_time_moves_nobody_and_does_no_harm(play: Play) -> None:
    domain = world()
    domain.stock("approach", targets=["camp"], speed=10)
    sim = play(domain, "approach camp")
    unit = sim.spawn("unit")
    for _ in range(5):
        sim.tick(0)
    assert (unit.x, unit.y) == (0, 0)
    sim.tick()
    assert unit.x > 0


@pytest.mark.parametrize("where", [math.inf, 1e30])
def test_a_target_infinitely_far_away_is_no_target(play: Play, where: float) -> None:
    domain = world()
    domain.stock("approach", targets=["foe"], speed=10)
    sim = play(domain, "approach foe")
    unit, foe = sim.spawn("unit"), sim.spawn("post")
    unit.foe = foe
    foe.x = where
    run(sim, 1)
    assert (unit.x, unit.y, unit.vx, unit.vy) == (0, 0, 0, 0)


# Hitting


def arena(verb: str = "attack", **parameters: Any) -> Domain:
    domain = world()
    given = {"damage": 7, "range": 5} if verb == "attack" else {"amount": 7, "range": 5}
    domain.stock(verb, name="act", targets=["foe"], seconds=10, **(given | parameters))
    return domain


def duel(sim: Simulation, distance: float = 3, **columns: Any) -> tuple[Agent, Agent]:
    unit, foe = sim.spawn("unit", **columns), sim.spawn("post", x=distance, hp=100)
    unit.foe = foe
    return unit, foe


def test_attack_hits_when_it_starts_and_again_after_each_cooldown(play: Play) -> None:
    sim = play(arena(cooldown=0.5), "act foe")
    _, foe = duel(sim)
    left = []
    for _ in range(12):
        sim.tick()
        left.append(foe.hp)
    assert left == [93] * 5 + [86] * 5 + [79] * 2


def test_without_a_cooldown_it_hits_every_tick(play: Play) -> None:
    sim = play(arena(cooldown=0), "act foe")
    _, foe = duel(sim)
    run(sim, 1)
    assert foe.hp == 30


def test_attack_fails_when_its_target_goes_out_of_range(play: Play) -> None:
    sim = play(arena(), "act foe", "wait self 9")
    unit, foe = duel(sim, distance=5)
    run(sim, 1)
    assert foe.hp == 93
    foe.x = 5.01
    sim.tick()
    assert sim.stats().steps_failed == 1
    run(sim, 3)
    assert foe.hp == 93 and running(sim, unit) == "wait"


def test_attack_is_done_when_its_target_is_gone(play: Play) -> None:
    sim = play(arena(), "act foe", "wait self 9")
    unit, foe = duel(sim)
    run(sim, 0.5)
    sim.remove(foe)
    run(sim, 0.3)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 0


def test_a_shot_costs_ammunition_and_stamina_and_without_them_the_step_fails(play: Play) -> None:
    sim = play(arena(cooldown=0, ammunition=2, stamina=10), "act foe", "wait self 9")
    unit, foe = duel(sim, ammo=5, stamina=25)
    run(sim, 0.2)
    assert (foe.hp, unit.ammo, unit.stamina) == (86, 1, 5)
    sim.tick()
    assert sim.stats().steps_failed == 1
    run(sim, 1)
    assert foe.hp == 86 and running(sim, unit) == "wait"


def test_an_attack_closes_in_at_its_speed_until_near(play: Play) -> None:
    sim = play(arena(speed=2, near=1), "act foe")
    unit, foe = duel(sim, distance=5)
    sim.tick()
    assert unit.vx == 2 and foe.hp == 93
    run(sim, 4)
    assert unit.x == pytest.approx(4) and speed(unit) == 0


def test_an_attack_without_a_speed_stands_still(play: Play) -> None:
    sim = play(arena(), "act foe")
    unit, _ = duel(sim)
    unit.vx = 4
    run(sim, 1)
    assert (unit.x, unit.y) == (0, 0)


def test_damage_goes_to_the_column_that_is_named(play: Play) -> None:
    sim = play(arena(column="shield"), "act foe")
    _, foe = duel(sim)
    sim.tick()
    assert (foe.shield, foe.hp) == (3, 100)


def test_heal_raises_up_to_its_limit_and_never_lowers(play: Play) -> None:
    sim = play(arena("heal", cooldown=0, limit=90), "act foe")
    _, foe = duel(sim)
    run(sim, 0.5)
    assert foe.hp == 100
    foe.hp = 80
    sim.tick()
    assert foe.hp == 87
    sim.tick()
    assert foe.hp == 90


def test_heal_has_the_parameters_of_attack(play: Play) -> None:
    sim = play(arena("heal", cooldown=0.5, ammunition=1, stamina=10, speed=2, near=1, column="shield"), "act foe")
    unit, foe = duel(sim, distance=5, ammo=2)
    sim.tick()
    assert (unit.vx, unit.ammo, unit.stamina, foe.shield) == (2, 1, 90, 17)
    run(sim, 0.5)
    assert (unit.ammo, foe.shield) == (0, 24)


def test_two_who_hit_the_same_target_both_count(play: Play) -> None:
    sim = play(arena(), "act foe")
    unit, foe = duel(sim)
    other = sim.spawn("unit")
    other.foe = foe
    sim.tick()
    assert foe.hp == 86 and unit.hp == other.hp == 100


def test_hits_are_applied_in_the_order_of_rows(play: Play) -> None:
    """Damage 30 then healing up to 100 is not healing up to 100 then damage 30."""
    domain = Domain("test", ["biter", "medic", "post"])
    domain.reference("foe")
    domain.stock("attack", name="bite", kinds=["biter"], targets=["foe"], damage=30, range=5)
    domain.stock("heal", name="mend", kinds=["medic"], targets=["foe"], amount=50, range=5)
    domain.heuristic("biter")(lambda situation: "bite foe")
    domain.heuristic("medic")(lambda situation: "mend foe")
    for kinds, hp in ((("biter", "medic"), 100), (("medic", "biter"), 70)):
        sim = play(domain_copy(domain))
        foe = sim.spawn("post")
        for kind in kinds:
            sim.spawn(kind).foe = foe
        sim.tick()
        assert foe.hp == hp
        sim.close()


def domain_copy(domain: Domain) -> Domain:
    domain.declared.heuristics.pop("unit", None)
    domain.kinds.setdefault("unit", {})
    return domain


def test_a_hit_changes_nothing_but_its_targets_column(play: Play) -> None:
    sim = play(arena(), "act foe")
    _, foe = duel(sim)
    bystanders = sim.spawn_many("post", 5, x=3)
    sim.tick()
    before = sim.agents.f[:, : sim.agents.count].copy()
    run(sim, 1)
    before[sim.agents.float_index["hp"], foe.row] -= 7
    rows = [foe.row, *(agent.row for agent in bystanders)]
    assert (before[:, rows] == sim.agents.f[:, rows]).all()


# Gaining


@pytest.mark.parametrize(("verb", "column"), [("rest", "stamina"), ("reload", "ammo"), ("rest", "shield")])
def test_rest_and_reload_gain_up_to_a_limit_and_are_done_then(play: Play, verb: str, column: str) -> None:
    domain = world()
    domain.stock(verb, name="act", targets=["self"], rate=20, limit=50, seconds=10, column=column)
    sim = play(domain, "act self", "wait self 9")
    values: dict[str, Any] = {column: [30, 70]}
    unit, full = sim.spawn_many("unit", 2, **values)
    run(sim, 0.5)
    assert getattr(unit, column) == pytest.approx(40)
    run(sim, 0.5)
    assert getattr(unit, column) == 50 and getattr(full, column) == 70, "nobody loses by resting"
    sim.tick()
    assert running(sim, unit) == running(sim, full) == "wait"


def test_wait_stands_still(play: Play) -> None:
    sim = play(world(), "wait self 3")
    unit = sim.spawn("unit", vx=5)
    run(sim, 2)
    assert (unit.x, speed(unit)) == (0, 0)


# Taking


def market(**parameters: Any) -> Domain:
    domain = world()
    domain.thing("pack", amount=25)
    domain.percept("pack_near", nearest="pack", seen_by="unit", radius=100)
    domain.stock("take", targets=["pack_near"], seconds=10, **({"speed": 10} | parameters))
    return domain


def test_take_goes_to_a_thing_gains_its_amount_and_the_thing_leaves_the_world(play: Play) -> None:
    sim = play(market(near=2), "take pack_near", "wait self 9")
    unit, pack = sim.spawn("unit", hp=50), sim.add_thing("pack", 12, 0)
    sim.tick()
    assert unit.vx == 10
    run(sim, 1)
    assert unit.x == pytest.approx(10, abs=1e-3) and unit.hp == 75
    sim.tick()
    assert not pack.alive and sim.things.count == 0 and running(sim, unit) == "wait"


def test_take_gives_the_amount_and_the_column_that_it_names(play: Play) -> None:
    sim = play(market(amount=4, column="shield"), "take pack_near")
    unit = sim.spawn("unit")
    sim.add_thing("pack", 0.5, 0)
    sim.tick()
    assert (unit.shield, unit.hp) == (14, 100)


def test_of_two_who_take_the_same_thing_the_lower_row_gets_it_and_the_others_step_fails(play: Play) -> None:
    sim = play(market(), "take pack_near", "wait self 9")
    first, second = sim.spawn("unit", x=-0.5), sim.spawn("unit", x=0.5)
    sim.add_thing("pack", 0, 0)
    sim.tick()
    assert (first.hp, second.hp) == (125, 100)
    stats = sim.stats()
    assert stats.steps_failed == 1
    run(sim, 0.3)
    assert first.hp == 125 and second.hp == 100
    assert running(sim, first) == running(sim, second) == "wait"


def test_a_thing_taken_on_the_way_makes_the_others_step_fail(play: Play) -> None:
    sim = play(market(speed=3), "take pack_near", "wait self 9")
    near, far = sim.spawn("unit", x=2), sim.spawn("unit", x=8)
    sim.add_thing("pack", 0, 0)
    run(sim, 3)
    assert (near.hp, far.hp) == (125, 100) and far.x > 6


# Parameters


@pytest.mark.parametrize("verb", VERBS)
def test_a_parameter_that_a_verb_does_not_have_is_named(verb: str) -> None:
    domain = world()
    required: dict[str, Any] = {name: 1.0 for name, default in VERBS[verb].parameters.items() if default is None}
    with pytest.raises(DomainError, match="sped"):
        domain.stock(verb, name="act", targets=["self"], sped=1, **required)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if None in VERBS[verb].parameters.values()])
def test_a_parameter_that_is_missing_is_named(verb: str) -> None:
    missing = next(name for name, default in VERBS[verb].parameters.items() if default is None)
    with pytest.raises(DomainError, match=f"needs {missing}"):
        world().stock(verb, name="act", targets=["self"])
