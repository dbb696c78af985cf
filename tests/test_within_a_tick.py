"""What a game may do in the middle of a tick, from its own processors between any two of ours and from its actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import esper
import pytest

from astrasim import Agent, Domain, Simulation, Status, Thing

DT = 1 / 60
Simulate = Callable[..., Simulation]
ProcessorAt = Callable[[int, Callable[[], object]], None]
BETWEEN = [100, 45, 35, 25, 15, 5]
"""Priorities of the game's processor: before ours, after each of them."""


@pytest.mark.parametrize("priority", BETWEEN)
@pytest.mark.parametrize("immediate", [False, True])
def test_deleting_in_the_middle_of_a_tick_waits_for_the_next(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt, priority: int, immediate: bool
) -> None:
    sim = simulate(meadow)
    sim.spawn("wolf", 4, 0)
    flock = [sim.spawn("sheep", x, wool=x) for x in range(4)]
    sim.tick()

    def delete() -> None:
        for dolly in (flock[0], flock[2]):
            esper.delete_entity(dolly.entity, immediate=immediate)

    processor_at(priority, delete)
    sim.tick()
    sim.tick()
    assert [dolly.alive for dolly in flock] == [False, True, False, True]
    assert (flock[1].wool, flock[3].wool) == (1, 3)
    assert sim.agents.count == 3


@pytest.mark.parametrize("priority", BETWEEN)
def test_spawning_in_the_middle_of_a_tick_may_grow_the_table(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt, priority: int
) -> None:
    sim = simulate(meadow, settings={"capacity": 2})
    first = sim.spawn("sheep", wool=7)
    wolf = sim.spawn("wolf", 4, 0)
    sim.tick()
    born: list[Agent] = []
    things: list[Thing] = []

    def spawn() -> None:
        born.extend(sim.spawn_many("sheep", 50, x=1.0, wool=3))
        things.extend(sim.add_thing("clover", 1, 1) for _ in range(100))

    processor_at(priority, spawn)
    for _ in range(3):
        sim.tick()
    assert first.wool == 7
    assert [dolly.wool for dolly in born] == [3] * 50
    assert {dolly.threat for dolly in born} == {wolf}
    assert {dolly.food for dolly in born} <= set(things)
    assert all(dolly.vx < 0 for dolly in born)


@pytest.mark.parametrize("order", ["", "run"])
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("priority", BETWEEN)
def test_nobody_is_planned_for_before_it_has_looked_around(
    simulate: Simulate, processor_at: ProcessorAt, priority: int, every: int, order: str
) -> None:
    asked: list[tuple[str, ...]] = []
    domain = Domain("dark", kinds=["bat"])
    domain.column("light", default=5)
    domain.feature("sight", column="light", edges=[1, 9], words=["dark", "dim", "bright"])

    @domain.heuristic("bat")
    def bat_sense(situation: Any) -> str:
        asked.append(situation.words)
        return "wait self"

    sim = simulate(domain, settings={"every": every})
    asked.clear()  # the domain was checked
    born: list[Agent] = []

    def spawn() -> None:
        born.extend(sim.spawn_many("bat", 5))
        for bat in born:
            sim.order(bat, order)

    processor_at(priority, spawn)
    sim.tick()
    sim.tick()
    assert asked == [("dim",)]
    assert {sim.situation(bat).words for bat in born} == {("dim",)}
    assert not sim.agents.need.any()


@pytest.mark.parametrize("vectorised", [False, True])
def test_an_action_may_spawn_so_many_that_the_table_grows(simulate: Simulate, vectorised: bool) -> None:
    domain = Domain("hive", kinds=["queen", "bee"])
    domain.column("eggs", default=0)
    domain.stock("attack", targets=["rival"], kinds=["bee"], damage=1, range=100, cooldown=0)
    domain.percept("rival", nearest="queen", seen_by="bee", radius=100)

    @domain.action(targets=["self"], kinds=["queen"], seconds=1, vectorised=vectorised)
    def lay(me: Any, target: Any, dt: float) -> Status:
        me.eggs += 5
        born.extend(sim.spawn_many("bee", 5, x=1.0))
        return Status.DONE

    domain.role("ruler", kinds=["queen"], default="lay self")
    domain.heuristic("queen")(lambda situation: "lay self")
    domain.heuristic("bee")(lambda situation: "attack rival")

    sim = simulate(domain, settings={"capacity": 1})
    born: list[Agent] = []
    queen = sim.spawn("queen")
    for ticks in range(1, 9):
        sim.tick()
        assert len(born) == sim.agents.count - 1
        assert queen.eggs == 5 * ticks
    assert 100 - queen.hp == 5 * sum(range(8))  # every bee hits in each tick after the one in which it was born
    assert not sim.errors


def test_a_feature_may_spawn_so_many_that_the_table_grows(simulate: Simulate) -> None:
    domain = Domain("hive", kinds=["bee"])

    @domain.feature(edges=[0.5], words=["alone", "in company"])
    def company(me: Any) -> float:
        if sim.agents.count < 8:
            sim.spawn_many("bee", 4)
        return 1.0

    sim = simulate(domain, settings={"capacity": 1})
    first = sim.spawn("bee")
    sim.tick()
    assert sim.situation(first).words == ("in company",)


def test_an_action_may_delete_its_own_agent_and_others(simulate: Simulate) -> None:
    domain = Domain("arena", kinds=["bomb", "wall"])

    @domain.action(targets=["self"], kinds=["bomb"], seconds=1)
    def explode(me: Any, target: Any, dt: float) -> Status:
        esper.delete_entity(walls[0].entity, immediate=True)
        sim.remove(me)
        return Status.RUNNING

    domain.heuristic("bomb")(lambda situation: "explode self")
    sim = simulate(domain)
    walls = sim.spawn_many("wall", 2, x=5)
    bomb = sim.spawn("bomb")
    sim.tick()
    sim.tick()
    sim.tick()
    assert [handle.alive for handle in (bomb, *walls)] == [False, False, True]
    assert walls[1].x == 5


def test_a_reference_set_by_an_action_to_a_thing_that_it_just_made_is_followed(simulate: Simulate) -> None:
    domain = Domain("workshop", kinds=["smith"])
    domain.thing("sword")
    domain.percept("ware", nearest="sword", radius=5)

    @domain.action(targets=["self"], seconds=1)
    def forge(me: Any, target: Any, dt: float) -> Status:
        for _ in range(200):
            me.ware = sim.add_thing("sword", 3, 0)
        return Status.DONE

    domain.stock("approach", targets=["ware"], speed=1)
    domain.heuristic("smith")(lambda situation: ["forge self", "approach ware"])
    sim = simulate(domain)
    smith = sim.spawn("smith")
    for _ in range(30):
        sim.tick()
    assert smith.x > 0.3


@pytest.mark.parametrize("priority", [100, 45, 25, 15, 1])
def test_a_processor_may_end_the_scene_and_delete_its_world_in_the_middle_of_a_tick(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt, priority: int
) -> None:
    sim = simulate(meadow, world="level 1")
    dolly = sim.spawn("sheep", 0, 0)
    sim.add_thing("clover", 0, 0)
    sim.spawn("wolf", 3, 0)
    esper.switch_world("level 1")

    def end_the_scene() -> None:
        esper.switch_world("menu")
        esper.delete_world("level 1")

    processor_at(priority, end_the_scene)
    esper.process(DT)
    assert esper.current_world == "menu"
    assert "level 1" not in esper.list_worlds()
    sim.close()
    assert not dolly.alive


@pytest.mark.parametrize("priority", [100, 45, 15, 1])
def test_a_processor_may_switch_to_another_world_in_the_middle_of_a_tick(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt, priority: int
) -> None:
    sim = simulate(meadow)
    home = esper.current_world
    dolly, clover = sim.spawn("sheep"), sim.add_thing("clover")
    sim.tick()
    processor_at(priority, lambda: esper.switch_world("battle"))
    sim.tick()
    assert esper.current_world == "battle"
    esper.switch_world(home)
    sim.tick()
    assert dolly.alive
    assert clover.alive


@pytest.mark.parametrize("priority", BETWEEN)
def test_a_processor_may_close_the_simulation_in_the_middle_of_a_tick(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt, priority: int
) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    sim.spawn("wolf", 3)
    processor_at(priority, sim.close)
    esper.process(DT)
    esper.process(DT)
    assert not dolly.alive
    assert sim.ticks <= 1


def test_an_action_may_close_the_simulation(simulate: Simulate) -> None:
    domain = Domain("short", kinds=["hero"])

    @domain.action(targets=["self"], seconds=1)
    def quit_game(me: Any, target: Any, dt: float) -> Status:
        sim.close()
        return Status.DONE

    domain.heuristic("hero")(lambda situation: "quit_game self")
    sim = simulate(domain, settings={"strict": False})
    heroes = sim.spawn_many("hero", 3)
    esper.process(DT)
    esper.process(DT)
    assert not any(hero.alive for hero in heroes)
