"""The model can be changed while the game runs: no frame waits, old plans stay theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from astrasim import Domain, SettingsError, Simulation, Source
from astrasim.gateway import Gateway, ModelSpec

Simulate = Callable[..., Simulation]
FIRST = ModelSpec(kind="function", name="tests_minds:first")
SECOND = ModelSpec(kind="function", name="tests_minds:second")


@pytest.fixture
def yard() -> Domain:
    yard = Domain("yard", {"unit": {"home_x": 90}})
    yard.column("mood")
    yard.feature("humour", column="mood", edges=[0.5], words=["calm", "cross"], hysteresis=0)
    yard.stock("approach", name="go", targets=["home"], speed=1, seconds=2)
    yard.heuristic("unit")(lambda s: "go home")
    return yard


@pytest.fixture
def start(simulate: Simulate, stand_in: Any, yard: Domain, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A simulation whose gateways are never started as processes; the first one is a stand-in."""
    monkeypatch.setattr(Gateway, "start", lambda self: None)
    sim = simulate(yard, settings={"budget_ms": 1000.0, "requests_per_second": 1000})
    sim.set_model(FIRST)
    sim.planner.gateway = stand_in
    return sim, stand_in


def source(sim: Simulation, agent: Any) -> Source:
    return Source(int(sim.agents.source[agent.row]))


def ticks(sim: Simulation, number: int) -> None:
    for _ in range(number):
        sim.tick()


def test_plans_of_the_old_model_stay_with_those_who_follow_them(start: Any) -> None:
    sim, stand = start
    agent = sim.spawn("unit")
    ticks(sim, 2)
    stand.answer(sim, 1, "go home 9")
    ticks(sim, 1)
    assert source(sim, agent) is Source.LLM
    sim.set_model("none")
    ticks(sim, 60)
    assert source(sim, agent) is Source.LLM
    assert "go home (9 s)" in str(sim.planner.plans[int(sim.agents.plan[agent.row])])


def test_another_model_does_not_inherit_the_answers_of_the_first(start: Any) -> None:
    sim, stand = start
    sim.spawn("unit")
    ticks(sim, 2)
    stand.answer(sim, 1, "go home 2")
    ticks(sim, 1)
    sim.set_model(SECOND)
    later = sim.spawn("unit")
    ticks(sim, 2)
    assert source(sim, later) is Source.HEURISTIC
    assert sim.planner.scopes[int(sim.agents.scope[later.row])].model == "function:tests_minds:second"
    sim.set_model(FIRST)
    latest = sim.spawn("unit")
    ticks(sim, 2)
    assert source(sim, latest) is Source.CACHE


def test_every_agent_keeps_its_role_and_order(start: Any) -> None:
    sim, _ = start
    agents = [sim.spawn("unit") for _ in range(3)]
    sim.order(agents[1], "wait here")
    sim.set_model("none")
    orders = [sim.planner.scopes[int(sim.agents.scope[a.row])].order for a in agents]
    assert orders == ["", "wait here", ""]
    assert {sim.planner.scopes[int(sim.agents.scope[a.row])].model for a in agents} == {"none"}


def test_what_was_in_flight_is_cancelled_and_its_answer_reaches_nobody(start: Any) -> None:
    sim, stand = start
    agent = sim.spawn("unit")
    ticks(sim, 2)
    assert len(sim.planner.requests) == 1
    sim.set_model(SECOND)
    assert stand.cancelled == [1]
    assert not sim.planner.requests
    sim.planner.gateway = stand
    stand.answer(sim, 1, "go home 9")
    ticks(sim, 2)
    assert source(sim, agent) is Source.HEURISTIC


def test_the_old_gateway_is_closed(start: Any) -> None:
    sim, stand = start
    sim.set_model("none")
    for _ in range(100):
        if stand.closed:
            break
        ticks(sim, 1)
    assert stand.closed
    assert sim.stats().gateway == "no model"


def test_the_reason_is_told(start: Any) -> None:
    sim, _ = start
    assert sim.set_model("none") == sim.model_reason == "the setting model is 'none'"
    assert "tests_minds:second" in sim.set_model(SECOND)


def test_the_same_model_again_changes_nothing(start: Any) -> None:
    sim, stand = start
    sim.set_model(FIRST)
    assert sim.planner.gateway is stand and not stand.closed


def test_a_model_that_does_not_exist_changes_nothing(start: Any) -> None:
    sim, stand = start
    with pytest.raises(SettingsError, match="did you mean 'openai'"):
        sim.set_model("opnai")
    assert sim.planner.gateway is stand and sim.model == FIRST


def test_situations_that_waited_for_the_old_model_are_not_asked_in_its_name(start: Any, yard: Domain) -> None:
    sim, stand = start
    stand.is_ready = False
    sim.spawn("unit")
    ticks(sim, 3)
    assert sim.planner.cache.wanted_count == 1
    sim.set_model(SECOND)
    sim.planner.gateway = stand
    stand.is_ready = True
    sim.spawn("unit", mood=1)
    ticks(sim, 3)
    models = {sim.planner.scopes[scope].model for scope, _ in stand.asked.values()}
    assert models == {"function:tests_minds:second"}


def test_use_llm_0_holds_for_a_spec_too(simulate: Simulate, yard: Domain) -> None:
    sim = simulate(yard, settings={"use_llm": False})
    assert "ASTRASIM_USE_LLM" in sim.set_model(FIRST)
    assert sim.model is None


def test_none_is_a_model_that_can_be_set(start: Any) -> None:
    sim, _ = start
    assert sim.set_model(None) == "the game chose none"
    assert sim.model is None and sim.planner.gateway is None
