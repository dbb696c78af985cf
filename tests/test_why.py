"""``sim.why(agent)`` says in plain words what led to what an agent does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from astrasim import Agent, AgentGone, Domain, Simulation
from astrasim.gateway import Failure
from astrasim.prompts import json_prompt

Simulate = Callable[..., Simulation]
TICK_S = 0.1


def world() -> Domain:
    domain = Domain("farm", ["cow"])
    domain.column("mood")
    domain.column("alarm")
    domain.feature("humour", column="mood", edges=[0.5], words=["you are cross", "you are merry"], hysteresis=0)
    domain.feature("danger", column="alarm", edges=[0.5], words=["all is calm", "a bell rings"], interrupt=True)
    domain.place("barn", 0, 1000)
    domain.stock("approach", name="go", targets=["barn"], speed=1, seconds=2)
    domain.stock("hold", name="brace", targets=["home"], seconds=2, needs={"ammo": 1}, interruptible=False)
    domain.heuristic("cow")(lambda situation: ["brace home", "go barn"])
    return domain


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any) -> Simulation:
    sim = simulate(world(), settings={"tick_s": TICK_S, "budget_ms": 1000.0, "retry_after_s": 3.0})
    sim.planner.gateway = stand_in
    return sim


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def test_it_says_who_where_in_what_situation_with_what_plan_and_what_the_model_would_read(sim: Simulation) -> None:
    cow = sim.spawn("cow", mood=1)
    run(sim, 0.5)
    lines = sim.why(cow).splitlines()
    assert lines[:8] == [
        "cow 1, role cow, at (0.0, 0.5)",
        "situation 1: you are merry; all is calm",
        "order: none",
        "legal now: wait self, go barn",
        "plan: brace home (2 s), then go barn (2 s)",
        "step 2 of 2: go barn (2 s), RUNNING, 0.5 s so far",
        "source: HEURISTIC: made without the model",
        "planned 0.4 s ago",
    ]
    prompt = json_prompt(sim.words, sim.situation(cow).scope, 1)
    assert "Examples:" in prompt.system
    asked = f"what a model would be asked here (full prompt), system:\n{prompt.system}\nuser:\n{prompt.user}"
    assert sim.why(cow).endswith(asked)


def test_it_shows_the_prompt_in_the_length_that_is_set(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"prompt": "simplified"})
    cow = sim.spawn("cow")
    sim.tick()
    prompt = json_prompt(sim.words, sim.situation(cow).scope, 0, "simplified")
    assert f"(simplified prompt), system:\n{prompt.system}\nuser:\n" in sim.why(cow)


def test_it_works_before_the_first_tick_and_names_the_default_plan(sim: Simulation) -> None:
    cow = sim.spawn("cow")
    text = sim.why(cow)
    assert "made without the model; the role's default plan" in text and "waits for the planner" not in text


def test_it_says_so_where_there_is_no_model(simulate: Simulate) -> None:
    sim = simulate(world())
    cow = sim.spawn("cow")
    sim.tick()
    assert "model: none (the setting model is 'none')" in sim.why(cow)


def request_line(sim: Simulation, cow: Agent) -> str:
    [line] = [line for line in sim.why(cow).splitlines() if line.startswith("this situation: ")]
    return line.removeprefix("this situation: ")


def test_it_tells_how_far_the_question_to_the_model_has_come(
    sim: Simulation, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cow = sim.spawn("cow")
    assert request_line(sim, cow) == "no agent has needed a plan in it yet"
    monkeypatch.setattr(stand_in, "ask", lambda *request: False)
    sim.tick()
    sim.tick()
    assert request_line(sim, cow) == "waits for its turn to be asked"
    monkeypatch.undo()
    sim.tick()
    assert request_line(sim, cow) == "the model has been asked"
    stand_in._results.append(Failure(next(iter(stand_in.asked)), "not_json", "I would rather not", True))
    sim.tick()
    assert request_line(sim, cow) == "the last request brought no plan; not asked again for 3.0 s"
    assert "raw answer: I would rather not (not_json)" in sim.why(cow)
    run(sim, 3.1)
    stand_in.asked.pop(next(iter(stand_in.asked)))
    run(sim, 2)
    [request] = stand_in.asked
    stand_in.answer(sim, request, "go barn 7")
    sim.tick()
    assert request_line(sim, cow) == "the model's plan is: go barn (7 s)"
    assert "source: LLM: the model made it for this situation while the agent waited" in sim.why(cow)
    assert "raw answer: go barn 7" in sim.why(cow)
    late = sim.spawn("cow")
    sim.tick()
    assert "source: CACHE: the model made it for this situation earlier" in sim.why(late)


def test_it_says_when_a_request_was_called_off(sim: Simulation) -> None:
    cow = sim.spawn("cow")
    run(sim, 0.2)
    sim.planner.forget_requests(sim.time)
    assert request_line(sim, cow) == "the model has not been asked"


def test_it_names_the_plan_that_waits_for_the_step_to_end(sim: Simulation, stand_in: Any) -> None:
    cow = sim.spawn("cow", ammo=1)
    run(sim, 0.3)
    stand_in.answer(sim, 1, "go barn 7")
    sim.tick()
    assert "next, when this step ends: go barn (7 s)" in sim.why(cow)


NEEDS = ["its plan ended", "an interrupt feature changed", "a step failed", "it has a new order"]


@pytest.mark.parametrize("need", NEEDS)
def test_it_says_what_an_agent_waits_for(simulate: Simulate, need: str) -> None:
    sim = simulate(world(), settings={"tick_s": TICK_S, "budget_units": 3})
    cow = sim.spawn("cow", ammo=1, home_x=50)
    run(sim, 1)
    sim.pace.budget_units = 0  # from now on nobody is served
    if need == "an interrupt feature changed":
        cow.alarm = 1
        sim.tick()
    elif need == "it has a new order":
        sim.order(cow, "Come home")
        assert "order: come home" in sim.why(cow)
    elif need == "its plan ended":
        run(sim, 4)
    else:
        cow.home_x = float("inf")
        sim.tick()
    assert f"waits for the planner: {need}" in sim.why(cow)


def test_it_says_who_was_not_served_yet(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"budget_ms": 0.0})
    cow = sim.spawn("cow")
    sim.tick()
    assert "waits for the planner: it is new here" in sim.why(cow)


def test_it_says_when_a_plan_ended_at_once(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"tick_s": TICK_S, "budget_units": 3})
    cow = sim.spawn("cow", ammo=1, home_x=50)
    sim.tick()
    cow.home_x = float("inf")
    sim.tick()
    assert "waits for the planner: its plan ended as soon as it began" in sim.why(cow)


def test_an_agent_that_is_gone_has_no_why(sim: Simulation) -> None:
    cow = sim.spawn("cow")
    sim.tick()
    sim.remove(cow)
    sim.tick()
    with pytest.raises(AgentGone):
        sim.why(cow)
