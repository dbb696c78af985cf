"""A model that is too small to write plans chooses: among the heuristic's steps that are legal now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from astrasim import Domain, PlanRejected, Simulation, Source
from astrasim.reader import read_choice

Simulate = Callable[..., Simulation]


@pytest.fixture
def yard() -> Domain:
    yard = Domain("yard", {"unit": {"home_x": 90, "ammo": 5}})
    yard.column("mood")
    yard.feature("humour", column="mood", edges=[0.5], words=["calm", "cross"], hysteresis=0)
    yard.place("gate", 0, 50)
    yard.stock("approach", name="go", targets=["gate", "home"], speed=1, seconds=2)
    yard.stock("hold", name="guard", targets=["gate"], needs={"ammo": 3}, seconds=2)
    yard.heuristic("unit")(lambda s: "go home" if s.humour else ["guard gate", "go gate", "guard gate", "go home 5"])
    return yard


@pytest.fixture
def chooser(simulate: Simulate, stand_in: Any, yard: Domain) -> tuple[Simulation, Any]:
    sim = simulate(yard, settings={"budget_ms": 1000.0})
    sim.planner.gateway = stand = stand_in
    stand.chooses = True
    return sim, stand


def options(sim: Simulation, stand: Any) -> list[list[str]]:
    words = sim.compiled.vocabulary
    return [[f"{words.actions[a].name} {words.targets[t]}" for a, t in asked] for asked in stand.options.values()]


def test_it_chooses_among_the_heuristics_steps_each_named_once(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    sim.spawn("unit")
    sim.tick()
    sim.tick()  # served in the first, asked about in the second
    assert options(sim, stand) == [["guard gate", "go gate", "go home"]]


def test_what_is_not_legal_now_is_no_option(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    sim.spawn("unit", ammo=2)
    sim.tick()
    sim.tick()  # served in the first, asked about in the second
    assert options(sim, stand) == [["go gate", "go home"]]


def test_what_is_legal_for_one_of_those_who_wait_is_an_option(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    sim.spawn("unit", ammo=2)
    sim.spawn("unit", ammo=4)
    sim.tick()
    sim.tick()  # served in the first, asked about in the second
    assert options(sim, stand) == [["guard gate", "go gate", "go home"]]


def test_where_there_is_one_thing_to_do_it_is_not_asked(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    agent = sim.spawn("unit", mood=1)
    for _ in range(60):
        sim.tick()
    sim.tick()  # served in the first, asked about in the second
    assert stand.options == {}
    assert sim.stats().requests.obvious > 0
    assert sim.stats().requests.sent == 0
    assert Source(int(sim.agents.source[agent.row])) is Source.HEURISTIC


def test_its_choice_comes_first_and_the_heuristics_other_steps_follow(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    agent = sim.spawn("unit")
    sim.tick()
    sim.tick()
    stand.answer(sim, 1, "go home")
    sim.tick()
    plan = str(sim.planner.plans[int(sim.agents.plan[agent.row])])
    assert plan == "go home (5 s), then guard gate (2 s), then go gate (2 s), then guard gate (2 s)"
    assert Source(int(sim.agents.source[agent.row])) is Source.LLM


def test_a_model_that_writes_plans_is_told_no_options(
    simulate: Simulate, stand_in: Any, yard: Domain
) -> None:
    sim = simulate(yard, settings={"budget_ms": 1000.0})
    sim.planner.gateway = stand = stand_in
    sim.spawn("unit", mood=1)
    sim.tick()
    sim.tick()  # served in the first, asked about in the second
    assert list(stand.options.values()) == [[]]


def test_a_choice_outside_the_options_is_no_plan(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard)
    words, scope = sim.compiled.vocabulary, sim.planner.scopes[0]
    given = ("go gate", "go home")
    assert read_choice("go home", given, words, scope) == read_choice(" go home\n", given, words, scope)
    for wrong in ("guard gate", "", "go", "go home 3", "go home\ngo gate"):
        with pytest.raises(PlanRejected) as rejected:
            read_choice(wrong, given, words, scope)
        assert rejected.value.reason == "not_an_option"


def test_a_gateway_that_is_not_ready_is_not_asked(chooser: tuple[Simulation, Any]) -> None:
    sim, stand = chooser
    stand.is_ready = False
    sim.spawn("unit")
    for _ in range(5):
        sim.tick()
    assert sim.stats().requests.refused == 0 and not stand.asked
    stand.is_ready = True
    sim.tick()
    assert len(stand.asked) == 1
