"""Observers: what they are told, and that nothing they do reaches the game."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import esper
import pytest

from astrasim import Agent, Domain, Observer, Simulation, Source, Status
from astrasim.gateway import Failure
from astrasim.records import PlanRecord, RequestRecord, StepRecord, TickRecord
from astrasim.requests import RequestState as S
from tests.conftest import moods

Simulate = Callable[..., Simulation]
TICK_S = 0.1


class Notes(Observer):
    """Writes down all that it is told."""

    def __init__(self, agents: Sequence[Agent] = (), follow: int = 0) -> None:
        self.agents, self.follow = agents, follow
        self.ticks: list[TickRecord] = []
        self.requests: list[RequestRecord] = []
        self.plans: list[PlanRecord] = []
        self.steps: list[StepRecord] = []
        self.closed = 0

    def tick(self, tick: TickRecord) -> None:
        self.ticks.append(tick)

    def request(self, request: RequestRecord) -> None:
        self.requests.append(request)

    def plan(self, plan: PlanRecord) -> None:
        self.plans.append(plan)

    def step(self, step: StepRecord) -> None:
        self.steps.append(step)

    def close(self) -> None:
        self.closed += 1

    def told_of_steps(self) -> list[tuple[str, str]]:
        return [(str(step.plan.steps[step.number]), step.status.name) for step in self.steps]


def world() -> Domain:
    return moods(lambda situation: "go north 9")


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any) -> Simulation:
    sim = simulate(world(), settings={"tick_s": TICK_S})
    sim.planner.gateway = stand_in
    return sim


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


class Slow(esper.Processor):
    def process(self, dt: float) -> None:
        end_s = perf_counter() + 0.002
        while perf_counter() < end_s:
            pass


class First(Slow): ...


def test_a_tick_is_told_with_every_processor_the_games_own_among_them(sim: Simulation) -> None:
    esper.add_processor(Slow(), priority=-10)
    sim.observe(notes := Notes())
    sim.tick()
    esper.add_processor(First(), priority=1000)
    run(sim, 0.2)
    esper.remove_processor(Slow)
    sim.tick()
    ours = ["Perception", "Situations", "Planning", "Action", "Move"]
    names = [[part.name for part in tick.parts] for tick in notes.ticks]
    assert names == [[*ours, "Slow"], [*ours, "Slow"], ["First", *ours, "Slow"], ["First", *ours]]
    for tick in notes.ticks:
        assert tick.start_s <= tick.parts[0].start_s and tick.parts[-1].end_s == tick.end_s
        assert all(a.end_s <= b.start_s for a, b in zip(tick.parts, tick.parts[1:], strict=False))
    slow = notes.ticks[2].parts[-1]
    assert slow.end_s - slow.start_s >= 0.002
    assert [tick.number for tick in notes.ticks] == [1, 2, 3, 4]
    assert notes.ticks[3].time_s == pytest.approx(0.4)


def test_a_request_is_told_from_its_birth_to_its_end(sim: Simulation, stand_in: Any) -> None:
    sim.observe(notes := Notes())
    sim.spawn_many("unit", 3)
    sim.spawn("unit", mood=1)
    run(sim, 0.3)
    assert [(r.id, r.state) for r in notes.requests] == [(1, S.QUEUED), (1, S.SENT), (2, S.QUEUED), (2, S.SENT)]
    asked = notes.requests[0]
    assert (asked.situation, asked.tier, asked.waiting, asked.scope.kind) == (("a", "calm"), "minion", 3, "unit")
    assert notes.ticks[-1].in_flight == 2
    notes.requests.clear()
    stand_in.answer(sim, 1, "go south 1")
    stand_in._results.append(Failure(2, "http_500", "", False))
    sim.tick()
    assert [(r.id, r.state, r.reason) for r in notes.requests] == [
        (1, S.ANSWERED, ""), (1, S.STORED, ""), (2, S.FAILED, "http_500"),
    ]  # fmt: skip
    assert str(notes.requests[1].plan) == "go south (1 s)"
    assert all(r.situation == ("b", "calm") for r in notes.requests[2:])
    times = [r.at_s for r in notes.requests]
    assert times == sorted(times)


def test_requests_that_are_called_off_are_told_of_too_even_at_the_very_end(sim: Simulation) -> None:
    sim.observe(notes := Notes())
    sim.spawn("unit")
    run(sim, 0.2)
    sim.close()
    assert [r.state for r in notes.requests] == [S.QUEUED, S.SENT, S.CANCELLED]
    assert notes.closed == 1


def test_a_plan_that_is_handed_out_is_told_with_who_took_it_and_which_request_brought_it(
    sim: Simulation, stand_in: Any
) -> None:
    sim.observe(notes := Notes())
    units = sim.spawn_many("unit", 20)
    sim.spawn("unit", mood=1)
    run(sim, 0.2)
    units[3].alarm = 1  # its plan ends, so the answer is not for it
    sim.tick()
    stand_in.answer(sim, 1, "go south 1")
    sim.tick()
    (handed,) = notes.plans
    assert (handed.request, str(handed.plan), handed.agents) == (1, "go south (1 s)", 19)
    assert list(handed.first) == [*units[:3], *units[4:17]]


def test_a_followed_agents_steps_are_told_from_first_to_last(sim: Simulation, stand_in: Any) -> None:
    unit = sim.spawn_many("unit", 2)[0]
    sim.observe(notes := Notes([unit]))
    run(sim, 0.2)
    stand_in.answer(sim, 1, "go south 1\ngo north 2")
    run(sim, 3.5)
    assert notes.told_of_steps()[:7] == [
        ("go north (9 s)", "RUNNING"), ("go north (9 s)", "INTERRUPTED"),
        ("go south (1 s)", "RUNNING"), ("go south (1 s)", "DONE"),
        ("go north (2 s)", "RUNNING"), ("go north (2 s)", "DONE"),
        ("go south (1 s)", "RUNNING"),
    ]  # fmt: skip
    assert [(s.source, s.request) for s in notes.steps[1:3]] == [(Source.HEURISTIC, None), (Source.LLM, 1)]
    assert (notes.steps[6].source, notes.steps[6].request) == (Source.CACHE, 1), "the request is still known"
    assert {step.agent for step in notes.steps} == {unit}


def test_those_who_take_a_plan_are_followed_until_they_are_done_with_it(sim: Simulation, stand_in: Any) -> None:
    sim.observe(notes := Notes(follow=3))
    units = sim.spawn_many("unit", 5)
    run(sim, 0.2)
    assert notes.steps == [], "nobody has a model's plan yet"
    stand_in.answer(sim, 1, "go south 1")
    sim.tick()
    assert [s.agent for s in notes.steps] == units[:2], "two of one plan, so that others have their turn"
    for unit in units:
        unit.mood = 2  # so that they go on with another plan
    run(sim, 2)
    assert notes.told_of_steps() == [("go south (1 s)", "RUNNING")] * 2 + [("go south (1 s)", "DONE")] * 2


def test_a_step_that_fails_in_the_tick_in_which_it_began_is_told(sim: Simulation, stand_in: Any) -> None:
    unit = sim.spawn("unit", stamina=2000)
    sim.observe(notes := Notes([unit]))
    run(sim, 0.2)
    stand_in.answer(sim, 1, "go south 1\nhold north 3")
    run(sim, 0.5)
    unit.stamina = 0
    run(sim, 0.8)
    assert notes.told_of_steps()[2:6] == [
        ("go south (1 s)", "RUNNING"), ("go south (1 s)", "DONE"), ("hold north (3 s)", "RUNNING"),
        ("hold north (3 s)", "FAILED"),
    ]  # fmt: skip


def test_a_followed_agent_may_die(sim: Simulation) -> None:
    unit, _ = sim.spawn_many("unit", 2)
    sim.observe(notes := Notes([unit]))
    run(sim, 0.2)
    sim.remove(unit)
    run(sim, 0.3)
    assert [s.status for s in notes.steps] == [Status.RUNNING, Status.INTERRUPTED]


def test_steps_are_told_in_pairs_whatever_happens(simulate: Simulate, stand_in: Any) -> None:
    sim = simulate(world(), settings={"tick_s": TICK_S})
    sim.planner.gateway = stand_in
    units = sim.spawn_many("unit", 30)
    sim.observe(notes := Notes(units[:20], follow=5))
    plans = ["go south 1\ngo north 1", "go north 2", "hold north 3", "go north 1\nhold north 1"]
    for turn in range(120):
        for unit in sim.rng.choice(30, 3):
            if units[unit].alive:
                units[unit].mood, units[unit].alarm = sim.rng.integers(0, 3), sim.rng.integers(0, 2)
                units[unit].stamina = 2000 * sim.rng.integers(0, 2)
        for number in list(stand_in.asked)[:2]:
            stand_in.answer(sim, number, plans[turn % 4])
        if turn % 40 == 39:
            sim.remove(units[turn // 40])
        sim.tick()
    assert len(notes.steps) > 200
    for agent in {step.agent for step in notes.steps}:
        running: Any = None
        for step in (s for s in notes.steps if s.agent is agent):
            if step.status is Status.RUNNING:
                if running is not None:  # it goes on under another plan
                    was, now = (each.plan.steps[each.number] for each in (running, step))
                    assert (was.action, was.target) == (now.action, now.target)
                running = step
            else:
                assert (step.plan, step.number) == (running.plan, running.number)
                running = None


class Broken(Notes):
    def __init__(self, *methods: str) -> None:
        super().__init__(follow=1)
        for method in methods:
            setattr(self, method, self.fail)

    def fail(self, *record: object) -> None:
        raise ZeroDivisionError("broken")


@pytest.mark.parametrize("method", ["tick", "request", "plan", "step", "close"])
def test_an_observer_that_raises_is_switched_off_and_logged_once_and_the_game_goes_on(
    simulate: Simulate, stand_in: Any, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    sim = simulate(world(), settings={"tick_s": TICK_S, "strict": False})
    sim.planner.gateway = stand_in
    sim.observe(broken := Broken(method))
    sim.observe(notes := Notes())
    sim.spawn("unit")
    with caplog.at_level(logging.ERROR):
        run(sim, 0.2)
        stand_in.answer(sim, 1, "go south 1")
        run(sim, 1)
        sim.close()
    (logged,) = [record for record in caplog.records if "observer Broken (switched off)" in record.message]
    assert logged.exc_info is not None and logged.exc_info[0] is ZeroDivisionError
    assert len(notes.ticks) == 12, "who did nothing wrong is told as before"
    assert notes.closed == 1 and broken.closed == (method != "close")
    assert list(sim.errors.values()) == [1]


def test_one_that_raises_at_the_first_thing_it_is_told_and_when_it_is_closed_is_off_all_the_same(
    simulate: Simulate, stand_in: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sim = simulate(world(), settings={"tick_s": TICK_S, "strict": False})
    sim.planner.gateway = stand_in
    sim.observe(broken := Broken("request", "tick", "close"))
    sim.spawn("unit")
    run(sim, 0.5)
    assert not sim.observation and broken.ticks == []
    assert sim.ticks == 5 and sum(sim.errors.values()) == 2, "once for what it was told, once for its end"
    sim.close()


def test_an_observer_may_take_itself_off_and_another_on_while_it_is_told(sim: Simulation) -> None:
    class Once(Notes):
        def tick(self, tick: TickRecord) -> None:
            super().tick(tick)
            sim.unobserve(self)
            sim.observe(next_)

    next_ = Notes()
    sim.observe(once := Once())
    sim.spawn("unit")
    run(sim, 0.3)
    assert [tick.number for tick in once.ticks] == [1] and once.closed == 1
    assert [tick.number for tick in next_.ticks] == [2, 3]
    assert len(next_.ticks[0].parts) == 5


def test_in_strict_mode_the_tick_raises_it_and_the_next_goes_on(sim: Simulation) -> None:
    sim.observe(Broken("tick"))
    sim.spawn("unit")
    with pytest.raises(ZeroDivisionError):
        sim.tick()
    sim.tick()
    assert sim.ticks == 2


def test_who_observes_no_more_leaves_no_trace(sim: Simulation, stand_in: Any) -> None:
    notes = Notes()
    own = [processor.process for processor in sim._world.all_processors()]
    sim.observe(notes)
    sim.observe(notes)
    sim.spawn("unit")
    sim.tick()
    assert len(notes.ticks) == 1, "observing twice is observing once"
    sim.unobserve(notes)
    sim.unobserve(notes)
    sim.tick()
    assert (len(notes.ticks), notes.closed) == (1, 1)
    assert [processor.process for processor in sim._world.all_processors()] == own
    assert not sim.observation and sim.planner.read_changes() == []


def test_a_processors_own_process_is_given_back(sim: Simulation) -> None:
    calls: list[float] = []
    slow = Slow()
    slow.process = calls.append  # type: ignore[method-assign, assignment]
    esper.add_processor(slow, priority=-10)
    own = slow.process
    sim.observe(notes := Notes())
    sim.tick()
    sim.unobserve(notes)
    assert slow.process is own and calls == [TICK_S]


def test_a_tick_in_which_the_game_raised_is_not_told_and_the_next_is_whole(
    sim: Simulation, processor_at: Callable[[int, Callable[[], object]], None]
) -> None:
    sim.observe(notes := Notes())
    processor_at(25, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        sim.tick()
    sim.tick()
    (tick,) = notes.ticks
    assert [part.name for part in tick.parts] == ["Perception", "Situations", "Planning", "Hook", "Action", "Move"]


def test_what_is_observed_changes_nothing(simulate: Simulate) -> None:
    def play(observed: bool) -> list[Any]:
        esper.switch_world(f"observed {observed}")
        sim = simulate(world(), settings={"tick_s": TICK_S})
        units = sim.spawn_many("unit", 50, mood=sim.rng.integers(0, 3, 50))
        if observed:
            sim.observe(Notes(units[:9], follow=5))
        run(sim, 12)
        return [sim.agents.y.tolist(), sim.agents.plan.tolist(), sim.stats().plans, sim.stats().lookups]

    assert play(observed=True) == play(observed=False)


def test_windows_keep_no_memory_that_a_tick_gave_them(sim: Simulation, stand_in: Any) -> None:
    sim.spawn_many("unit", 3)
    run(sim, 1)
    growing: list[float] = []
    kept = _kept(lambda: None, sim)
    grown = _kept(lambda: growing.append(sim.tick_ms.last), sim)
    assert kept < 2000, f"{kept} bytes in 300 ticks"
    assert grown > 6_000, "whatever kept one number a tick would be seen"


def _kept(also: Callable[[], object], sim: Simulation) -> int:
    """Bytes from astrasim/statistics.py, and this file, that are still in use after 300 ticks."""
    tracemalloc.start()
    try:
        for _ in range(300):
            sim.tick()
            also()
        here = [tracemalloc.Filter(True, f"*{name}") for name in ("statistics.py", "test_observing.py")]
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(here).traces)
    finally:
        tracemalloc.stop()
