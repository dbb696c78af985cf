"""What must hold before a step starts, what while it runs, and where its symbolic target is."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from astrasim import ActionError, Agent, Domain, Simulation, Spot, Status

TICK_S = 0.1
Simulate = Callable[..., Simulation]


def world(*plan: str) -> Domain:
    """Posts stand about; units follow one plan over and over."""
    domain = Domain("test", ["unit", "post"])
    domain.column("mana")
    domain.thing("pack", amount=1)
    domain.place("camp", 30, 40)
    domain.reference("leader")
    domain.percept("foe", nearest="post", seen_by="unit", radius=100, line_of_sight=True)
    domain.percept("pack_near", nearest="pack", seen_by="unit", radius=100, line_of_sight=True)
    domain.heuristic("unit")(lambda situation: list(plan))
    return domain


def begin(simulate: Simulate, domain: Domain, **more: Any) -> Simulation:
    settings = {"tick_s": TICK_S, "budget_ms": 1000.0, **more.pop("settings", {})}
    return simulate(domain, settings=settings, **more)


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def running(sim: Simulation, agent: Agent) -> str:
    plan = sim.planner.plans[int(sim.agents.plan[agent.row])]
    return plan.steps[int(sim.agents.step[agent.row])].action


def custom(domain: Domain, name: str, **declared: Any) -> list[Any]:
    """An action in Python that notes the targets it was run with."""
    targets: list[Any] = []

    @domain.action(name=name, **declared)
    def act(me: Agent, target: Any, dt: float) -> Status:
        targets.append(target)
        return Status.RUNNING

    return targets


# Before a step starts: both sorts of action, each precondition

STOCK: dict[str, Any] = {"damage": 1, "cooldown": 0}


@pytest.mark.parametrize("sort", ["stock", "custom"])
@pytest.mark.parametrize(
    ("declared", "too_little", "enough"),
    [
        ({"range": 5}, {"x": -2.1}, {"x": -2.0}),
        ({"range": 50, "needs": {"ammo": 3}}, {"ammo": 2}, {"ammo": 3}),
        ({"range": 50, "needs": {"stamina": 20}}, {"stamina": 19.5}, {"stamina": 20}),
        ({"range": 50, "needs": {"mana": 1, "hp": 50}}, {"mana": 1, "hp": 49}, {"mana": 1, "hp": 50}),
        ({"range": 50, "needs": {"mana": 1, "hp": 50}}, {"mana": 0, "hp": 50}, {"mana": 2, "hp": 51}),
    ],
)
def test_an_action_is_legal_only_with_what_it_needs(
    simulate: Simulate, sort: str, declared: dict[str, Any], too_little: dict[str, Any], enough: dict[str, Any]
) -> None:
    domain = world("act foe", "wait self")
    if sort == "stock":
        domain.stock("attack", name="act", targets=["foe"], **STOCK, **declared)
    else:
        custom(domain, "act", targets=["foe"], **declared)
    sim = begin(simulate, domain)
    sim.spawn("post", x=3)
    able, unable = sim.spawn("unit", **enough), sim.spawn("unit", **too_little)
    sim.tick()
    assert (running(sim, able), running(sim, unable)) == ("act", "wait")


@pytest.mark.parametrize(("spent", "column"), [("ammunition", "ammo"), ("stamina", "stamina")])
def test_what_a_stock_action_spends_it_needs(simulate: Simulate, spent: str, column: str) -> None:
    domain = world("act foe", "wait self")
    cost: dict[str, Any] = {spent: 10}
    purses: dict[str, Any] = {column: [10, 9]}
    domain.stock("attack", name="act", targets=["foe"], range=5, damage=1, **cost)
    sim = begin(simulate, domain)
    sim.spawn("post")
    able, unable = sim.spawn_many("unit", 2, **purses)
    sim.tick()
    assert (running(sim, able), running(sim, unable)) == ("act", "wait")


def test_an_action_is_illegal_until_its_cooldown_is_over(simulate: Simulate) -> None:
    domain = world("act foe 0.2", "wait self 0.1")
    custom(domain, "act", targets=["foe"], cooldown=1)
    sim = begin(simulate, domain)
    sim.spawn("post")
    unit = sim.spawn("unit")
    acting = []
    for _ in range(21):
        was = float(unit.act_cooldown)
        sim.tick()
        acting.append(unit.act_cooldown > was)
    first, second = (tick for tick, started in enumerate(acting) if started)
    assert first == 0 and 10 <= second <= 12


def test_an_attack_may_begin_while_its_weapon_recovers_and_strikes_when_it_has(simulate: Simulate) -> None:
    domain = world("act foe 0.2")
    domain.stock("attack", name="act", targets=["foe"], range=5, damage=1, cooldown=1)
    sim = begin(simulate, domain)
    post = sim.spawn("post")
    sim.spawn("unit")
    hp = []
    for _ in range(24):
        sim.tick()
        hp.append(post.hp)
    blows = [tick for tick in range(1, 24) if hp[tick] < hp[tick - 1]]
    assert len(blows) == 2 and all(10 <= b - a <= 12 for a, b in pairwise([0, *blows]))


# While it runs


def test_a_stock_action_with_a_range_fails_when_its_target_leaves_it(simulate: Simulate) -> None:
    domain = world("act foe 9", "wait self 9")
    domain.stock("heal", name="act", targets=["foe"], range=5, amount=1)
    sim = begin(simulate, domain)
    post, unit = sim.spawn("post"), sim.spawn("unit", x=4)
    run(sim, 1)
    post.x = -2
    run(sim, 0.2)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 1


def test_what_a_custom_action_does_when_its_target_leaves_the_range_is_its_own_affair(simulate: Simulate) -> None:
    domain = world("act foe 9", "wait self 9")
    custom(domain, "act", targets=["foe"], range=5)
    sim = begin(simulate, domain)
    post, unit = sim.spawn("post"), sim.spawn("unit", x=4)
    run(sim, 1)
    post.x = -2
    run(sim, 1)
    assert running(sim, unit) == "act"


@pytest.mark.parametrize("sort", ["stock", "custom"])
def test_a_step_whose_target_is_gone_fails(simulate: Simulate, sort: str) -> None:
    domain = world("act leader 9", "wait self 9")
    if sort == "stock":
        domain.stock("follow", name="act", targets=["leader"], speed=1)
    else:
        custom(domain, "act", targets=["leader"])
    sim = begin(simulate, domain)
    unit, leader = sim.spawn("unit"), sim.spawn("post")
    unit.leader = leader
    run(sim, 1)
    assert running(sim, unit) == "act"
    sim.remove(leader)
    run(sim, 0.2)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 1


# Sight

WALL = np.zeros((10, 10))
WALL[:, 5] = 1


@pytest.mark.parametrize("sort", ["stock", "custom"])
def test_a_wall_blocks_an_action_that_needs_sight(simulate: Simulate, sort: str) -> None:
    domain = world("act foe 9", "wait self 0.1")
    if sort == "stock":
        domain.stock("attack", name="act", targets=["foe"], range=50, damage=1, line_of_sight=True, cooldown=0)
    else:
        custom(domain, "act", targets=["foe"], line_of_sight=True)
    sim = begin(simulate, domain)
    sim.set_obstacles(WALL, cell=1)
    sim.spawn("post", x=8.5, y=4.5)
    before, behind = sim.spawn("unit", x=2.5, y=4.5), sim.spawn("unit", x=6.5, y=4.5)
    run(sim, 1)
    assert (running(sim, before), running(sim, behind)) == ("wait", "act")
    assert (before.foe_visible, behind.foe_visible) == (0, 1)


def test_a_custom_action_that_needed_sight_to_start_goes_on_without(simulate: Simulate) -> None:
    domain = world("watch foe 9", "wait self 9")
    custom(domain, "watch", targets=["foe"], line_of_sight=True)
    sim = begin(simulate, domain)
    sim.spawn("post", x=8.5, y=4.5)
    watcher = sim.spawn("unit", x=2.5, y=4.5)
    run(sim, 1)
    sim.set_obstacles(WALL, cell=1)
    run(sim, 1)
    assert running(sim, watcher) == "watch"


def test_a_shot_does_not_go_through_a_wall_that_comes_between(simulate: Simulate) -> None:
    domain = world("shoot foe 9", "wait self 9")
    domain.stock("attack", name="shoot", targets=["foe"], range=50, damage=1, line_of_sight=True, cooldown=0.1)
    sim = begin(simulate, domain)
    post, unit = sim.spawn("post", x=8.5, y=4.5), sim.spawn("unit", x=2.5, y=4.5)
    run(sim, 1)
    hp = post.hp
    assert hp == 90
    sim.set_obstacles(WALL, cell=1)
    run(sim, 1)
    assert post.hp == hp and running(sim, unit) == "wait" and sim.stats().steps_failed == 1


def test_a_thing_behind_a_wall_is_not_seen_either(simulate: Simulate) -> None:
    domain = world("take pack_near", "wait self 0.1")
    domain.stock("take", targets=["pack_near"], speed=1, line_of_sight=True)
    sim = begin(simulate, domain)
    sim.set_obstacles(WALL, cell=1)
    sim.add_thing("pack", 8.5, 4.5)
    before, behind = sim.spawn("unit", x=2.5, y=4.5), sim.spawn("unit", x=6.5, y=3.5)
    run(sim, 0.3)
    assert (running(sim, before), running(sim, behind)) == ("wait", "take")


def test_a_game_brings_its_own_line_of_sight(simulate: Simulate) -> None:
    seen: list[tuple[Any, ...]] = []

    def only_level(x0: Any, y0: Any, x1: Any, y1: Any) -> NDArray[np.bool_]:
        seen.append((x0.shape, y0.shape, x1.shape, y1.shape))
        return np.asarray(y0 == y1)

    domain = world("act foe 9", "wait self 0.1")
    custom(domain, "act", targets=["foe"], line_of_sight=True)
    sim = begin(simulate, domain, line_of_sight=only_level)
    sim.set_obstacles(WALL, cell=1)
    sim.spawn("post", x=8.5, y=4.5)
    level, above = sim.spawn("unit", x=2.5, y=4.5), sim.spawn("unit", x=2.5, y=5.5)
    run(sim, 0.3)
    assert (running(sim, level), running(sim, above)) == ("act", "wait")
    assert ((2,),) * 4 in seen


def brute_force_sight(wall: NDArray[Any], x0: float, y0: float, x1: float, y1: float) -> bool:
    """Looks at many points of the way; the two end cells do not block."""
    ends = {(math.floor(y0), math.floor(x0)), (math.floor(y1), math.floor(x1))}
    for t in np.linspace(0, 1, 4001):
        cell = math.floor(y0 + t * (y1 - y0)), math.floor(x0 + t * (x1 - x0))
        inside = 0 <= cell[0] < wall.shape[0] and 0 <= cell[1] < wall.shape[1]
        if inside and wall[cell] and cell not in ends:
            return False
    return True


def test_sight_over_a_grid_is_that_of_a_straight_line(simulate: Simulate) -> None:
    rng = np.random.default_rng(3)
    wall = rng.random((12, 16)) < 0.12
    sim = begin(simulate, world("wait self"))
    sim.set_obstacles(wall, cell=1)
    post = sim.spawn("post", x=8.3, y=5.7)
    at = rng.uniform((-2, -2), (18, 14), (300, 2))
    units = sim.spawn_many("unit", 300, x=at[:, 0], y=at[:, 1])
    sim.tick()
    wrong = [
        unit for unit in units
        if bool(unit.foe_visible) != brute_force_sight(wall, unit.x, unit.y, post.x, post.y)
    ]  # fmt: skip
    assert len(wrong) <= 1, "a line that only just cuts a corner may be missed by the points"
    assert 50 < sum(bool(unit.foe_visible) for unit in units) < 250


# Where the target is


def test_every_sort_of_target_is_found(simulate: Simulate) -> None:
    domain = world("wait self")
    spot = SimpleNamespace(x=7.0, y=8.0)

    @domain.target
    def lookout(me: Agent) -> Any:
        return spot

    names = ["self", "home", "camp", "leader", "foe", "pack_near", "lookout"]
    seen: dict[str, list[Any]] = {}
    for name in names:
        seen[name] = custom(domain, f"use_{name}", targets=[name], kinds="unit")
        domain.role(f"user_{name}", kinds="unit", default="wait self")
        domain.heuristic(f"user_{name}")(lambda situation: f"use_{situation.role[5:]} {situation.role[5:]}")
    sim = begin(simulate, domain)
    post, pack = sim.spawn("post", x=9), sim.add_thing("pack", 5, 5)
    for name in names:
        unit = sim.spawn("unit", x=1, y=2, role=f"user_{name}")
        unit.leader = post
        if name == "self":
            me = unit
    sim.tick()
    found = {name: targets[0] for name, targets in seen.items()}
    assert found["self"] is me and found["leader"] is found["foe"] is post and found["pack_near"] is pack
    spots = {name: (target.name, target.x, target.y) for name, target in found.items() if isinstance(target, Spot)}
    assert spots == {"home": ("home", 1, 2), "camp": ("camp", 30, 40), "lookout": ("lookout", 7, 8)}


def lair_world(find: Callable[[Agent], Any], *plan: str) -> Domain:
    domain = world(*(plan or ("go lair", "wait self 9")))

    @domain.target
    def lair(me: Agent) -> Any:
        return find(me)

    domain.stock("approach", name="go", kinds="unit", targets=["lair"], speed=1, seconds=9)
    return domain


def test_a_target_found_by_code_is_looked_for_every_tick_and_only_for_those_who_use_it(simulate: Simulate) -> None:
    asked: list[Agent] = []
    spot = SimpleNamespace(x=100.0, y=0.0)

    def find(me: Agent) -> Any:
        asked.append(me)
        return spot

    sim = begin(simulate, lair_world(find))
    unit = sim.spawn("unit")
    sim.spawn("post")
    run(sim, 0.5)
    assert unit.vx == 1 and set(asked) == {unit} and len(asked) == 5
    spot.x = -100.0
    sim.tick()
    assert unit.vx == -1


@pytest.mark.parametrize("nowhere", [None, SimpleNamespace(x=math.nan, y=0), SimpleNamespace(x=math.inf, y=0)])
def test_a_step_whose_target_is_not_found_fails_and_the_plan_goes_on(simulate: Simulate, nowhere: Any) -> None:
    sim = begin(simulate, lair_world(lambda me: nowhere))
    unit = sim.spawn("unit")
    run(sim, 0.2)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 1 and not sim.errors
    assert (unit.x, unit.y) == (0, 0)


@pytest.mark.parametrize("wrong", ["raises", "no position"])
def test_code_that_finds_targets_and_fails_is_reported(simulate: Simulate, wrong: str) -> None:
    def find(me: Agent) -> Any:
        return (3, 4) if wrong == "no position" else me.leader.x

    sim = begin(simulate, lair_world(find), settings={"strict": False})
    unit = sim.spawn("unit")
    run(sim, 0.2)
    assert running(sim, unit) == "wait"
    [error] = sim.errors
    assert "target lair" in error and "unit" in error
    strict = begin(simulate, lair_world(find), world="strict")
    strict.spawn("unit")
    with pytest.raises(ActionError, match="target lair"):
        strict.tick()


# Moving


def test_agents_slide_along_walls_stay_in_bounds_and_walk_out_of_a_wall_they_were_put_in(simulate: Simulate) -> None:
    domain = Domain("test", ["unit"], size=(10, 10))
    domain.place("corner", 20, 20)
    domain.stock("approach", name="go", targets=["corner"], speed=2, seconds=10)
    domain.heuristic("unit")(lambda situation: "go corner")
    sim = begin(simulate, domain)
    wall = np.zeros((10, 10))
    wall[:8, 5] = 1
    sim.set_obstacles(wall, cell=1)
    free, inside = sim.spawn("unit", x=4.5, y=0.5), sim.spawn("unit", x=5.5, y=0.5)
    run(sim, 2)
    assert free.x < 5 and free.y > 3 and inside.x > 6
    run(sim, 10)
    assert (free.x, free.y) == (inside.x, inside.y) == (10, 10)


def test_a_velocity_that_is_no_number_moves_nobody(simulate: Simulate) -> None:
    domain = world("act self")

    @domain.action(targets=["self"])
    def act(me: Agent, target: Agent, dt: float) -> Status:
        me.vx = math.inf
        return Status.RUNNING

    sim = begin(simulate, domain)
    unit = sim.spawn("unit", x=3)
    run(sim, 1)
    assert unit.x == 3
