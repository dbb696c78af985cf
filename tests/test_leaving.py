"""All ways in which an agent can leave the world, and that what is left stays right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import esper
import pytest

from astrasim import Agent, AgentGone, Domain, Simulation, WorldError

DT = 1 / 60
Simulate = Callable[..., Simulation]
Leave = Callable[[Simulation, Agent, Agent], None]
Frame = Callable[[Simulation], None]


@dataclass
class Inventory:
    apples: int = 0


def tick(sim: Simulation) -> None:
    sim.tick(DT)


def process(sim: Simulation) -> None:
    esper.process(DT)


def timed_process(sim: Simulation) -> None:
    esper.timed_process(DT)


FRAMES = [tick, process, timed_process]


def delete_later(sim: Simulation, agent: Agent, other: Agent) -> None:
    esper.delete_entity(agent.entity)


def delete_at_once(sim: Simulation, agent: Agent, other: Agent) -> None:
    esper.delete_entity(agent.entity, immediate=True)


def remove_the_component(sim: Simulation, agent: Agent, other: Agent) -> None:
    assert esper.remove_component(agent.entity, Agent) is agent


def try_to_remove_the_component(sim: Simulation, agent: Agent, other: Agent) -> None:
    esper.try_remove_component(agent.entity, Agent)


def put_another_handle_there(sim: Simulation, agent: Agent, other: Agent) -> None:
    esper.add_component(agent.entity, other, type_alias=Agent)


def ask_the_simulation(sim: Simulation, agent: Agent, other: Agent) -> None:
    sim.remove(agent)


WAYS = [
    delete_later, delete_at_once, remove_the_component, try_to_remove_the_component, put_another_handle_there,
    ask_the_simulation,
]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("leave", WAYS)
def test_an_agent_that_left_is_gone_from_the_next_tick_on(
    simulate: Simulate, meadow: Domain, leave: Leave, frame: Frame
) -> None:
    sim = simulate(meadow)
    flock = [sim.spawn("sheep", x, wool=x) for x in range(5)]
    for dolly, friend in zip(flock, flock[1:] + flock[:1], strict=True):
        dolly.friend = friend
    frame(sim)

    leave(sim, flock[1], flock[2])
    assert flock[1].alive
    assert flock[1].wool == 1
    frame(sim)

    assert not flock[1].alive
    with pytest.raises(AgentGone, match=r"sheep \d+ was deleted; test handle\.alive"):
        flock[1].wool  # noqa: B018
    rest = [flock[0], *flock[2:]]
    assert sim.agents.count == 4
    assert [dolly.wool for dolly in rest] == [0, 2, 3, 4]
    assert sorted(dolly.row for dolly in rest) == [0, 1, 2, 3]
    assert flock[0].friend is None
    assert [dolly.friend for dolly in rest[1:]] == [flock[3], flock[4], flock[0]]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("leave", WAYS)
def test_the_last_agent_may_leave_too(simulate: Simulate, meadow: Domain, leave: Leave, frame: Frame) -> None:
    sim = simulate(meadow)
    last = sim.spawn("sheep")
    frame(sim)
    leave(sim, last, Agent(0))
    frame(sim)
    assert not last.alive
    assert sim.agents.count == 0
    again = sim.spawn("wolf")
    frame(sim)
    assert again.alive
    assert again.row == 0


def test_a_thing_that_left_is_no_longer_perceived(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    near, far = sim.add_thing("clover", 1, 0), sim.add_thing("clover", 2, 0)
    sim.tick()
    assert dolly.food is near
    esper.delete_entity(near.entity)
    sim.tick()
    assert dolly.food is far
    assert not near.alive
    assert (far.row, sim.things.count) == (0, 1)


def test_a_component_taken_off_and_put_back_before_the_tick_is_still_there(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly, molly = sim.spawn("sheep"), sim.spawn("sheep")
    esper.remove_component(dolly.entity, Agent)
    esper.add_component(dolly.entity, dolly, type_alias=Agent)
    sim.tick()
    assert dolly.alive
    assert molly.alive


def test_removing_twice_does_no_harm(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly, clover = sim.spawn("sheep"), sim.add_thing("clover")
    for _ in range(2):
        sim.remove(dolly)
        sim.remove(clover)
    sim.tick()
    sim.remove(dolly)
    sim.remove(clover)
    sim.tick()
    assert sim.agents.count == sim.things.count == 0


def test_many_may_be_removed_at_once_or_none_if_one_is_a_stranger(simulate: Simulate, meadow: Domain) -> None:
    sim, elsewhere = simulate(meadow), simulate(meadow, world="elsewhere")
    flock, clover, stranger = sim.spawn_many("sheep", 5), sim.add_thing("clover"), elsewhere.spawn("sheep")
    with pytest.raises(WorldError, match="no agent of this simulation"):
        sim.remove(*flock, stranger)
    sim.tick()
    assert all(dolly.alive for dolly in flock)
    sim.remove(*flock[:4], flock[0], clover)
    sim.remove()
    sim.tick()
    assert [dolly.alive for dolly in flock] == [False] * 4 + [True]
    assert (sim.agents.count, sim.things.count) == (1, 0)


def test_removing_what_was_deleted_at_once_does_not_poison_the_next_frame(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    esper.delete_entity(dolly.entity, immediate=True)
    sim.remove(dolly)
    sim.tick()
    assert not dolly.alive


def test_a_deletion_is_noticed_before_anything_else_of_the_tick(
    simulate: Simulate, meadow: Domain, processor_at: Callable[[int, Callable[[], object]], None]
) -> None:
    sim = simulate(meadow)
    dolly, wolf = sim.spawn("sheep", 0, 0), sim.spawn("wolf", 3, 0)
    sim.tick()
    assert dolly.threat is wolf
    sim.remove(wolf)
    seen: list[Any] = []
    processor_at(45, lambda: seen.append((wolf.alive, dolly.threat, dolly.threat_distance)))
    sim.tick()
    assert seen == [(False, None, float("inf"))]


def test_a_tick_without_changes_looks_at_no_entity(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    sim.spawn_many("sheep", 100)
    sim.tick()

    class Counting(dict[int, Any]):
        looks = 0

        def get(self, *args: Any) -> Any:
            Counting.looks += 1
            return super().get(*args)

        def __getitem__(self, entity: int) -> Any:
            Counting.looks += 1
            return super().__getitem__(entity)

        def __iter__(self) -> Any:
            Counting.looks += 1
            return super().__iter__()

    esper._entities = Counting(esper._entities)
    sim.tick()
    assert Counting.looks == 0
    sim.remove(next(iter(sim.agents.handles)))
    Counting.looks = 0
    sim.tick()
    assert 0 < Counting.looks < 10


# ---- the database is cleared


def test_clearing_the_database_ends_all_and_spawning_again_starts_anew(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    old = sim.spawn_many("sheep", 3)
    pack = sim.add_thing("clover")
    sim.tick()
    esper.clear_database()
    sim.tick()
    assert not any(handle.alive for handle in [*old, pack])
    assert sim.agents.count == sim.things.count == 0

    new = sim.spawn("sheep", 7)
    assert new.entity == 1  # esper's numbers begin again
    sim.tick()
    assert (new.alive, new.x, new.row) == (True, 7, 0)
    assert not old[0].alive


@pytest.mark.parametrize("number", [1, 3, 5])
def test_agents_spawned_right_after_clearing_are_not_taken_for_the_old_ones(
    simulate: Simulate, meadow: Domain, number: int
) -> None:
    sim = simulate(meadow)
    old = sim.spawn_many("sheep", 3, wool=1)
    clover = sim.add_thing("clover")
    sim.tick()
    esper.clear_database()
    new = sim.spawn_many("sheep", number, wool=2)
    sim.tick()
    assert [dolly.alive for dolly in old] == [False, False, False]
    assert [dolly.wool for dolly in new] == [2] * number
    assert sim.agents.count == number
    assert not clover.alive


def test_an_entity_of_the_game_that_got_an_old_number_is_not_touched(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    sim.tick()
    esper.clear_database()
    entity = esper.create_entity(Inventory(3))
    assert entity == dolly.entity
    sim.remove(dolly)
    sim.tick()
    assert esper.component_for_entity(entity, Inventory) == Inventory(3)
    assert not dolly.alive
