"""A late reply never reaches an agent that did not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import esper
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from astrasim import Agent, Domain, Settings, Simulation, Source
from astrasim.kernels.columns import NEED_ORDER

Simulate = Callable[..., Simulation]
PLACES = 8


def make_castle() -> Domain:
    """Guards whose heuristic waits, on what they know (an alarm, which interrupts, and a mood, which does not)."""
    castle = Domain("castle", kinds=["guard"])
    castle.column("alarm")
    castle.column("mood")
    castle.feature("danger", column="alarm", edges=[1], words=["all is quiet", "the bell rings"], interrupt=True)
    castle.feature("spirits", column="mood", edges=[1], words=["you are gloomy", "you are merry"])
    for number in range(PLACES):
        castle.place(f"tower{number}", 100 + number, 100)
    castle.stock("approach", targets=[f"tower{number}" for number in range(PLACES)], speed=0.01, seconds=10)
    castle.stock("wait", name="brace", targets=["self"], seconds=0.1, interruptible=False)
    castle.heuristic("guard")(
        lambda situation: "wait self 10" if situation.spirits == 0 else ["brace self", "wait self"]
    )
    return castle


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any) -> Simulation:
    sim = simulate(make_castle(), settings={"requests_per_second": 1000, "budget_ms": 1000, "deadline_s": 600})
    sim.planner.gateway = stand_in
    return sim


def plan_of(sim: Simulation, agent: Agent) -> tuple[str, Source]:
    table = sim.agents
    return str(sim.planner.plans[int(table.plan[agent.row])].steps[0]), Source(int(table.source[agent.row]))


WAITS = ("wait self (10 s)", Source.HEURISTIC)


def asked_by(sim: Simulation, stand_in: Any, **columns: Any) -> tuple[Agent, int]:
    """A new agent, and the request made for it, when it has been sent."""
    agent = sim.spawn("guard", **columns)
    before = set(stand_in.asked)
    for _ in range(3):
        sim.tick()
    (request,) = set(stand_in.asked) - before
    return agent, request


def test_who_waits_gets_the_plan(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    assert plan_of(sim, bert) == WAITS
    stand_in.answer(sim, request, "approach tower1")
    sim.tick()
    assert plan_of(sim, bert) == ("approach tower1 (10 s)", Source.LLM)


def test_the_one_who_got_the_row_of_the_dead_does_not_get_its_plan(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    other, _ = asked_by(sim, stand_in, alarm=1)
    row = bert.row
    sim.remove(bert)
    sim.tick()
    assert other.row == row
    stand_in.answer(sim, request, "approach tower1")
    for _ in range(10):
        sim.tick()
        assert plan_of(sim, other) == WAITS


@pytest.mark.parametrize("end", ["delete", "clear", "in the same tick"])
def test_one_born_into_the_row_of_the_dead_does_not_get_its_plan(sim: Simulation, stand_in: Any, end: str) -> None:
    bert, request = asked_by(sim, stand_in)
    row = bert.row
    if end == "clear":
        esper.clear_database()
    else:
        esper.delete_entity(bert.entity, immediate=True)
    if end == "in the same tick":
        stand_in.answer(sim, request, "approach tower1")
    heir = sim.spawn("guard", alarm=1)
    assert heir.row == row
    sim.tick()
    if end != "in the same tick":
        stand_in.answer(sim, request, "approach tower1")
    for _ in range(10):
        sim.tick()
        assert plan_of(sim, heir) == WAITS


def test_one_who_waits_in_that_very_situation_gets_the_plan_that_another_asked_for(
    sim: Simulation, stand_in: Any
) -> None:
    bert, request = asked_by(sim, stand_in)
    sim.remove(bert)
    sim.tick()
    heir = sim.spawn("guard")
    sim.tick()
    assert len(stand_in.asked) == 1
    stand_in.answer(sim, request, "approach tower1")
    sim.tick()
    assert plan_of(sim, heir) == ("approach tower1 (10 s)", Source.LLM)


def test_one_who_comes_into_that_situation_later_finds_the_plan_in_the_cache(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    sim.remove(bert)
    stand_in.answer(sim, request, "approach tower1")
    sim.tick()
    heir = sim.spawn("guard")
    sim.tick()
    assert plan_of(sim, heir) == ("approach tower1 (10 s)", Source.CACHE)


def test_who_has_another_order_by_then_does_not_get_it(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    sim.order(bert, "Hold the gate")
    stand_in.answer(sim, request, "approach tower1")
    for _ in range(5):
        sim.tick()
        assert plan_of(sim, bert) == WAITS
    (request,) = stand_in.asked
    assert stand_in.scopes[stand_in.asked[request][0]].order == "hold the gate"
    stand_in.answer(sim, request, "approach tower2")
    sim.tick()
    assert plan_of(sim, bert) == ("approach tower2 (10 s)", Source.LLM)


def test_a_plan_for_an_old_order_does_not_take_over_when_the_step_ends(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in, mood=1)
    while plan_of(sim, bert)[0] != "brace self (0.1 s)" or sim.agents.state[bert.row] != 0:
        sim.tick()
    stand_in.answer(sim, request, "approach tower1")
    sim.tick()
    assert plan_of(sim, bert) == ("brace self (0.1 s)", Source.HEURISTIC)
    sim.order(bert, "hold the gate")
    for _ in range(20):
        sim.tick()
        assert plan_of(sim, bert)[1] is Source.HEURISTIC
    assert sim.stats().plans.dropped["order"] == 1


def test_the_same_order_again_disturbs_nobody(sim: Simulation, stand_in: Any) -> None:
    bert = sim.spawn("guard")
    sim.order(bert, "hold the gate")
    for _ in range(3):
        sim.tick()
    (request,) = stand_in.asked
    lookups = sim.stats().lookups
    for _ in range(5):
        sim.order(bert, "  Hold the GATE ")
        sim.tick()
    assert sim.stats().lookups == lookups
    elapsed = float(sim.agents.elapsed[bert.row])
    assert elapsed > 0.1
    stand_in.answer(sim, request, "approach tower1")
    sim.order(bert, "hold the gate")
    sim.tick()
    assert plan_of(sim, bert) == ("approach tower1 (10 s)", Source.LLM)


@pytest.mark.parametrize("ticks", [0, 1, 3])
def test_who_was_interrupted_by_then_does_not_get_it(sim: Simulation, stand_in: Any, ticks: int) -> None:
    bert, request = asked_by(sim, stand_in)
    bert.alarm = 1
    for _ in range(ticks):
        sim.tick()
    stand_in.answer(sim, request, "approach tower1")
    for _ in range(5):
        sim.tick()
        assert plan_of(sim, bert) == WAITS


def test_who_knows_something_else_that_does_not_interrupt_gets_it_all_the_same(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    bert.mood = 1
    sim.tick()
    stand_in.answer(sim, request, "approach tower1")
    sim.tick()
    assert plan_of(sim, bert) == ("approach tower1 (10 s)", Source.LLM)


def test_a_reply_that_nobody_waits_for_any_more_is_counted(sim: Simulation, stand_in: Any) -> None:
    bert, request = asked_by(sim, stand_in)
    stand_in.answer(sim, request, "approach tower1")
    stand_in.asked[request] = (0, 0)
    stand_in.answer(sim, request, "approach tower2")
    sim.tick()
    assert plan_of(sim, bert) == ("approach tower1 (10 s)", Source.LLM)
    assert sim.stats().requests.late == 1


worlds = count()


class Castle(RuleBasedStateMachine):
    """Guards come, go, are given orders and learn things, while a model answers late and in any order. Every situation
    has a plan of its own, so that whose plan an agent follows can be seen."""

    make_gateway: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.world = f"castle {next(worlds)}"
        esper.switch_world(self.world)
        chosen: dict[str, Any] = {"requests_per_second": 1000, "budget_ms": 1000, "deadline_s": 600, "capacity": 2}
        # Room for all 12 situations: the invariant reads what a plan was for out of its entry, which is not used anew.
        self.sim = Simulation(make_castle(), Settings(model="none", strict=True, cache_entries=128, **chosen))
        self.sim.planner.gateway = self.make_gateway()
        self.guards: list[Agent] = []
        self.numbers: dict[tuple[int, int], int] = {}

    def teardown(self) -> None:
        self.sim.close()
        esper.switch_world("default")
        esper.delete_world(self.world)

    @property
    def gateway(self) -> Any:
        return self.sim.planner.gateway

    def plan_for(self, scope: int, key: int) -> str:
        number = self.numbers.setdefault((scope, key), len(self.numbers))
        return f"approach tower{number % PLACES} 1\napproach tower{number // PLACES} 1"

    @rule(alarm=st.sampled_from([0, 1]), mood=st.sampled_from([0, 1]))
    def spawn(self, alarm: int, mood: int) -> None:
        self.guards.append(self.sim.spawn("guard", alarm=alarm, mood=mood))

    @precondition(lambda self: self.guards)
    @rule(data=st.data(), at_once=st.booleans())
    def die(self, data: st.DataObject, at_once: bool) -> None:
        guard = self.guards.pop(data.draw(st.integers(0, len(self.guards) - 1)))
        esper.delete_entity(guard.entity, immediate=at_once)

    @precondition(lambda self: self.guards)
    @rule(data=st.data(), order=st.sampled_from(["", "hold", "hide"]))
    def order(self, data: st.DataObject, order: str) -> None:
        self.sim.order(data.draw(st.sampled_from(self.guards)), order)

    @precondition(lambda self: self.guards)
    @rule(data=st.data(), column=st.sampled_from(["alarm", "mood"]), value=st.sampled_from([0, 1]))
    def learn(self, data: st.DataObject, column: str, value: int) -> None:
        setattr(data.draw(st.sampled_from(self.guards)), column, value)

    @precondition(lambda self: self.gateway.asked)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.gateway.asked)))
        self.gateway.answer(self.sim, request, self.plan_for(*self.gateway.asked[request]))

    @rule(ticks=st.integers(1, 12))
    def tick(self, ticks: int) -> None:
        for _ in range(ticks):
            self.sim.tick()

    @invariant()
    def every_plan_of_the_model_is_for_the_situation_of_its_agent(self) -> None:
        table, planner = self.sim.agents, self.sim.planner
        entries = planner.cache.entries
        for row in range(table.count):
            if Source(int(table.source[row])) is Source.HEURISTIC or table.need[row] == NEED_ORDER:
                continue
            entry = int(table.entry[row])
            scope, key = int(entries.scope[entry]), int(entries.key[entry])
            steps = planner.plans[int(table.plan[row])].steps
            assert "\n".join(f"{s.action} {s.target} {s.seconds:g}" for s in steps) == self.plan_for(scope, key)
            assert scope == table.scope[row]
            words = self.sim.compiled.vocabulary
            assert words.interrupt_key("guard", key) == table.plan_interrupt_key[row]


def test_no_late_reply_ever_reaches_another(stand_in: Any) -> None:
    machine = type("Castle", (Castle,), {"make_gateway": type(stand_in)})
    as_many = settings(max_examples=settings().max_examples // 3, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=as_many)
