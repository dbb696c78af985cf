"""A simulation in an esper world: its processors beside the game's own, its agents as entities, and the end of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import esper
import pytest

from astrasim import Agent, AgentGone, AstraSimError, Domain, Settings, Simulation, Thing, WorldError
from astrasim.gateway import Gateway
from astrasim.systems import PIPELINE

DT = 1 / 60
Simulate = Callable[..., Simulation]
ProcessorAt = Callable[[int, Callable[[], object]], None]


@dataclass
class Inventory:
    apples: int = 0


@dataclass
class Diary(esper.Processor):
    """A processor of the game that writes down what the world looks like to it."""

    sim: Simulation
    pages: list[Any] = field(default_factory=list)
    look: Callable[[Simulation], Any] = lambda sim: sim.ticks

    def process(self, dt: float) -> None:
        self.pages.append(self.look(self.sim))


# ---- beside the game's own


def test_agents_are_entities_that_carry_the_games_components_too(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly, molly = sim.spawn("sheep", 1, 2), sim.spawn("sheep", 3, 4)
    esper.add_component(dolly.entity, Inventory(apples=2))
    clover = sim.add_thing("clover", 1, 1)

    assert esper.get_components(Agent, Inventory) == [(dolly.entity, (dolly, Inventory(2)))]
    assert {handle for _, handle in esper.get_component(Agent)} == {dolly, molly}
    assert esper.get_component(Thing) == [(clover.entity, clover)]
    assert esper.component_for_entity(molly.entity, Agent) is molly


def test_the_systems_are_processors_with_room_for_the_games_own_between_them(
    simulate: Simulate, meadow: Domain
) -> None:
    simulate(meadow)
    ours = [esper.get_processor(system) for system in PIPELINE]
    assert [processor.priority for processor in ours if processor is not None] == [50, 40, 30, 20, 10]


def test_a_plain_esper_process_runs_them_all(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep", 0, 0)
    wolf = sim.spawn("wolf", 3, 0)
    for _ in range(60):
        esper.process(DT)
    assert sim.ticks == 60
    assert sim.time == pytest.approx(1.0)
    assert dolly.threat is wolf
    assert dolly.x == pytest.approx(-6, abs=0.2)


def test_processors_of_the_game_see_this_ticks_percepts_velocities_and_positions(
    simulate: Simulate, meadow: Domain, processor_at: ProcessorAt
) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep", 0, 0)
    sim.spawn("wolf", 3, 0)
    seen: list[Any] = []
    for priority in (100, 45, 15, 5):
        processor_at(priority, lambda: seen.append((dolly.threat_distance, dolly.vx, round(dolly.x, 3))))
    sim.tick(DT)
    assert seen == [(float("inf"), 0, 0), (3, 0, 0), (3, -6, 0), (3, -6, -0.1)]


def test_the_games_components_may_join_and_leave_an_agent_without_harm(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    flock = sim.spawn_many("sheep", 3)
    for dolly in flock:
        esper.add_component(dolly.entity, Inventory())
    sim.tick()
    esper.remove_component(flock[0].entity, Inventory)
    sim.tick()
    assert [dolly.alive for dolly in flock] == [True, True, True]


class Teleport(esper.Processor):
    """A last system of the game's own."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def process(self, dt: float | None = None) -> None:
        self._sim.agents.x += 10
        self._sim.end_tick()


def test_a_game_may_put_a_system_of_its_own_in_the_place_of_ours(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow, pipeline=[*PIPELINE[:-1], Teleport])
    dolly = sim.spawn("sheep")
    sim.tick()
    sim.tick()
    assert dolly.x == 20
    assert [type(processor) for processor in esper._processors] == [*PIPELINE[:-1], Teleport]
    sim.close()
    assert esper._processors == []


# ---- worlds


def test_the_simulation_works_in_its_world_while_the_game_is_in_another(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    home = esper.current_world
    dolly = sim.spawn("sheep")
    esper.switch_world("menu")
    button = esper.create_entity(Inventory())
    molly = sim.spawn("sheep", 3)
    sim.remove(dolly)
    sim.tick()
    assert esper.current_world == "menu"
    assert [entity for entity, _ in esper.get_component(Inventory)] == [button]
    assert esper.get_component(Agent) == []
    assert (dolly.alive, molly.alive, sim.agents.count) == (False, True, 1)
    esper.process(DT)
    assert sim.ticks == 1
    esper.switch_world(home)
    assert esper.get_component(Agent) == [(molly.entity, molly)]


def test_two_simulations_in_two_worlds_know_nothing_of_each_other(simulate: Simulate, meadow: Domain) -> None:
    left, right = simulate(meadow, world="left"), simulate(meadow, world="right")
    dolly, wolf = left.spawn("sheep", 0, 0), right.spawn("wolf", 3, 0)
    assert dolly.entity == wolf.entity == 1
    for _ in range(3):
        left.tick()
    right.tick()
    assert (left.ticks, right.ticks) == (3, 1)
    assert dolly.threat is None
    left.remove(dolly)
    left.tick()
    right.tick()
    assert (dolly.alive, wolf.alive) == (False, True)
    left.close()
    right.tick()
    assert wolf.alive


def test_a_second_simulation_in_one_world_is_refused_until_the_first_is_closed(
    simulate: Simulate, meadow: Domain
) -> None:
    first = simulate(meadow)
    dolly = first.spawn("sheep")
    with pytest.raises(WorldError, match=r"a simulation already; close that one \(sim\.close\(\)\) or give another"):
        simulate(meadow)
    first.tick()
    assert dolly.alive
    first.close()
    second = simulate(meadow)
    molly = second.spawn("sheep")
    second.tick()
    first.close()
    second.tick()
    assert molly.alive
    assert esper.get_component(Agent) == [(molly.entity, molly)]


def test_a_deleted_world_is_not_made_anew_by_accident(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow, world="level 1")
    dolly = sim.spawn("sheep")
    esper.delete_world("level 1")
    for use in (sim.tick, lambda: sim.spawn("sheep"), lambda: sim.add_thing("clover")):
        with pytest.raises(WorldError, match="'level 1' was deleted; make a new simulation"):
            use()
    sim.remove(dolly)
    assert "level 1" not in esper.list_worlds()
    sim.close()
    assert not dolly.alive


def test_a_world_deleted_and_made_anew_is_another_world(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow, world="level 1")
    dolly = sim.spawn("sheep")
    sim.tick()
    esper.delete_world("level 1")
    esper.switch_world("level 1")
    mine = esper.create_entity(Inventory())
    assert mine == dolly.entity
    for use in (sim.tick, lambda: sim.spawn("sheep")):
        with pytest.raises(WorldError, match="deleted and made anew"):
            use()
    sim.remove(dolly)
    sim.close()
    esper.process(DT)
    assert esper.entity_exists(mine)
    replacement = simulate(meadow, world="level 1")
    replacement.spawn("sheep")
    replacement.tick()


# ---- time


@pytest.mark.parametrize("dt", [-0.1, float("nan"), float("inf")])
def test_a_time_step_that_makes_no_sense_is_refused(simulate: Simulate, meadow: Domain, dt: float) -> None:
    sim = simulate(meadow)
    sim.spawn("sheep")
    with pytest.raises(ValueError, match="must be a finite number of seconds"):
        sim.tick(dt)
    sim.tick()
    assert sim.ticks == 1


def test_a_time_step_of_zero_moves_nothing(simulate: Simulate, meadow: Domain) -> None:
    # The first frame of a game has one, as pygame's clock gives it.
    meadow.stock("approach", targets=["food"], speed=3)
    meadow.role("hungry", kinds=["sheep"])
    meadow.heuristic("hungry")(lambda situation: "approach food")
    sim = simulate(meadow)
    dolly = sim.spawn("sheep", role="hungry")
    sim.add_thing("clover", 10, 0)
    for _ in range(3):
        esper.process(0.0)
    assert dolly.x == 0
    esper.process(DT)
    assert dolly.x > 0


def test_an_agent_of_another_simulation_is_refused(simulate: Simulate, meadow: Domain) -> None:
    left, right = simulate(meadow, world="left"), simulate(meadow, world="right")
    dolly, molly = left.spawn("sheep"), right.spawn("sheep")
    clover: Any = right.add_thing("clover")
    for use in (right.situation, right.why, right.remove, lambda handle: right.order(handle, "run")):
        with pytest.raises(WorldError, match=f"sheep {dolly.entity} is no agent of this simulation"):
            use(dolly)
    with pytest.raises(WorldError, match="clover 2 is no agent"):
        right.order(clover, "run")
    right.tick()
    assert molly.alive


# ---- the end


def test_closing_leaves_the_games_own_entities_and_processors(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    mine = esper.create_entity(Inventory())
    diary = Diary(sim)
    esper.add_processor(diary, priority=5)
    dolly, clover = sim.spawn("sheep"), sim.add_thing("clover")
    sim.tick()
    sim.close()
    sim.close()
    assert not dolly.alive
    assert not clover.alive
    assert list(esper.get_entities()) == [mine]
    esper.process(DT)
    assert diary.pages == [1, 1]
    assert sim.stats().ticks == 1


def test_a_closed_simulation_says_so(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    sim.close()
    for use in (sim.tick, lambda: sim.spawn("sheep"), lambda: sim.add_thing("clover")):
        with pytest.raises(WorldError, match="closed; make a new one"):
            use()
    with pytest.raises(AgentGone):
        sim.order(dolly, "run")
    sim.remove(dolly)


def test_closing_while_a_deletion_waits_does_not_poison_the_next_frame(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    sim.remove(sim.spawn("sheep"))
    sim.remove(sim.add_thing("clover"))
    sim.close()
    esper.process(DT)
    assert list(esper.get_entities()) == []


def test_an_error_inside_a_with_closes_it(meadow: Domain) -> None:
    with pytest.raises(RuntimeError, match="mine"), Simulation(meadow, Settings(model="none")) as sim:
        sim.spawn("sheep")
        raise RuntimeError("mine")
    assert list(esper.get_entities()) == []
    assert esper._processors == []


def test_a_simulation_that_could_not_start_leaves_its_world_to_another(
    simulate: Simulate, meadow: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(gateway: Gateway) -> None:
        raise AstraSimError("no process today")

    monkeypatch.setattr(Gateway, "start", start)
    with pytest.raises(AstraSimError, match="no process today"):
        simulate(meadow, settings={"model": "function:game:mind"})
    assert esper._processors == []
    simulate(meadow).tick()
