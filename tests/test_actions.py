"""Actions in the game's own code: functions, classes with a state for each agent, and functions over columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from astrasim import ActionError, Agent, AgentGone, Domain, Rows, Simulation, Status

TICK_S = 0.1
Simulate = Callable[..., Simulation]


def world(*plan: str) -> Domain:
    domain = Domain("test", ["unit", "post"])
    domain.column("tally")
    domain.column("alarm")
    domain.feature("danger", column="alarm", edges=[0.5], words=["calm", "alarm"], interrupt=True, hysteresis=0)
    domain.reference("mate")
    domain.place("camp", 30, 40)
    domain.heuristic("unit")(lambda situation: "wait self 9" if situation.danger else list(plan))
    return domain


def begin(simulate: Simulate, domain: Domain, strict: bool = True, **more: Any) -> Simulation:
    return simulate(domain, settings={"tick_s": TICK_S, "budget_ms": 1000.0, "strict": strict}, **more)


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def running(sim: Simulation, agent: Agent) -> str:
    plan = sim.planner.plans[int(sim.agents.plan[agent.row])]
    return plan.steps[int(sim.agents.step[agent.row])].action


# Functions


def test_a_function_runs_every_tick_until_it_is_done(simulate: Simulate) -> None:
    domain = world("work camp 9", "wait self 9")
    calls: list[tuple[Agent, float, float, float]] = []

    @domain.action(targets=["camp"], kinds="unit")
    def work(me: Agent, target: Any, dt: float) -> Status:
        calls.append((me, target.x, target.y, dt))
        me.tally += 1
        return Status.DONE if me.tally == 4 else Status.RUNNING

    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 0.4)
    assert calls == [(unit, 30, 40, TICK_S)] * 4
    sim.tick()
    assert running(sim, unit) == "wait" and len(calls) == 4


def test_a_function_runs_as_long_as_the_step_lasts(simulate: Simulate) -> None:
    domain = world("work self 0.5", "wait self 9")

    @domain.action(targets=["self"], kinds="unit")
    def work(me: Agent, target: Any, dt: float) -> Status:
        me.tally += 1
        return Status.RUNNING

    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 2)
    assert unit.tally == 5 and sim.stats().steps_failed == 0


def test_a_step_starts_at_rest_and_what_start_steers_goes_on(simulate: Simulate) -> None:
    domain = world("drift self 1", "idle self 1", "wait self 9")

    @domain.action(targets=["self"], kinds="unit")
    class drift:
        def start(self, me: Agent, target: Any) -> None:
            me.vx = 3.0

        def update(self, me: Agent, target: Any, dt: float) -> Status:
            return Status.RUNNING

    @domain.action(targets=["self"], kinds="unit")
    def idle(me: Agent, target: Any, dt: float) -> Status:
        return Status.RUNNING

    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 1)
    assert unit.x == pytest.approx(3)
    run(sim, 1)
    assert unit.x == pytest.approx(3) and running(sim, unit) in ("idle", "wait")


def test_a_function_that_returns_failed_fails_the_step(simulate: Simulate) -> None:
    domain = world("work self", "wait self 9")
    domain.action(name="work", targets=["self"], kinds="unit")(lambda me, target, dt: Status.FAILED)
    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 0.2)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 1 and not sim.errors


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "returned None: is there a way through it without a return?"),
    "interrupted": (lambda: Status.INTERRUPTED, "only the planner interrupts"),
    "true": (lambda: True, "Status.RUNNING, Status.DONE or Status.FAILED, not True"),
    "a word": (lambda: "done", "not 'done'"),
    "an error": (lambda: 1 / 0, "ZeroDivisionError"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_code_that_raises_or_returns_nonsense_fails_its_step_and_the_game_goes_on(
    simulate: Simulate, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    domain = world("work mate", "wait self 9")
    produce, complaint = WRONG[wrong]
    domain.action(name="work", targets=["mate"], kinds="unit")(lambda me, target, dt: produce())
    sim = begin(simulate, domain, strict=False)
    sim.spawn("post")
    unit, other = sim.spawn("unit"), sim.spawn("unit")
    unit.mate = other
    run(sim, 0.2)
    assert running(sim, unit) == "wait" and sim.stats().steps_failed == 1
    [(error, times)] = sim.stats().errors.items()
    assert times == 1 and complaint in error
    assert "action work" in error and "unit 2" in error and "plan: work mate (3 s), then wait self (9 s)" in error
    assert complaint in caplog.text


@pytest.mark.parametrize("wrong", WRONG)
def test_strict_mode_raises_it(simulate: Simulate, wrong: str) -> None:
    domain = world("work self")
    produce, complaint = WRONG[wrong]
    domain.action(name="work", targets=["self"], kinds="unit")(lambda me, target, dt: produce())
    sim = begin(simulate, domain)
    sim.spawn("unit")
    with pytest.raises(ActionError) as raised:
        sim.tick()
    assert complaint in str(raised.value) and "action work of unit 1" in str(raised.value)


def test_an_action_may_spawn_and_delete_while_it_runs(simulate: Simulate) -> None:
    domain = world("breed self", "wait self 9")
    domain.thing("egg", amount=1)
    domain.percept("foe", nearest="post", seen_by="unit", radius=50)
    domain.stock("attack", name="bite", kinds="unit", targets=["foe"], range=50, damage=5)
    domain.role("mother", kinds="unit")
    domain.role("biter", kinds="unit")
    domain.heuristic("biter")(lambda situation: "bite foe")

    @domain.action(targets=["self"], kinds="unit")
    def breed(me: Agent, target: Any, dt: float) -> Status:
        me.mate = sim.spawn_many("post", 40, x=5)[0]
        for _ in range(100):
            sim.add_thing("egg", 1, 1)
        sim.order(me, "an order that nobody gave before")
        sim.remove(sim.agents.handles[0])
        return Status.DONE

    sim = simulate(domain, settings={"tick_s": TICK_S, "budget_ms": 1000.0, "capacity": 4})
    victim = sim.spawn("post", x=1)
    mother, _ = sim.spawn("unit", role="mother"), sim.spawn("unit", role="biter")
    sim.tick()
    assert victim.hp == 95, "what was decided before the tables grew still happens"
    assert sim.agents.count == 43 and sim.things.count == 100
    run(sim, 0.5)
    assert not victim.alive and running(sim, mother) == "wait"


def test_a_target_that_anothers_action_took_away_in_the_same_tick_fails_the_step(simulate: Simulate) -> None:
    domain = world("part mate", "wait self 9")
    met: list[Any] = []

    @domain.action(targets=["mate"], kinds="unit")
    def part(me: Agent, target: Any, dt: float) -> Status:
        met.append(target)
        target.mate = None
        return Status.DONE

    sim = begin(simulate, domain)
    a, b = sim.spawn("unit"), sim.spawn("unit")
    sim.spawn("post")
    a.mate, b.mate = b, a
    sim.tick()
    assert met == [b] and sim.stats().steps_failed == 1


# Classes


class Diary:
    """What happened to the objects of an action class, in order, as (object's number, event)."""

    def __init__(self, domain: Domain, ends: Callable[[Agent, int], Status] | None = None) -> None:
        diary, self.lines, self.made = self, list[tuple[int, str]](), 0

        @domain.action(targets=["self", "mate"], kinds="unit", seconds=9)
        class dig:
            def __init__(self) -> None:
                diary.made += 1
                self.number, self.ticks = diary.made, 0

            def start(self, me: Agent, target: Any) -> None:
                diary.lines.append((self.number, "start"))

            def update(self, me: Agent, target: Any, dt: float) -> Status:
                self.ticks += 1
                return ends(me, self.ticks) if ends else Status.RUNNING

            def cancel(self, me: Agent) -> None:
                diary.lines.append((self.number, "cancel"))

    def events(self, event: str) -> int:
        return sum(line[1] == event for line in self.lines)


def test_each_agent_has_an_object_of_its_own_for_each_step(simulate: Simulate) -> None:
    domain = world("dig self", "wait self 0.2")
    diary = Diary(domain, ends=lambda me, ticks: Status.DONE if ticks == 3 else Status.RUNNING)
    sim = begin(simulate, domain)
    sim.spawn_many("unit", 2)
    run(sim, 1)
    assert diary.lines == [(1, "start"), (2, "start"), (3, "start"), (4, "start")]


@pytest.mark.parametrize("end", [Status.DONE, Status.FAILED])
def test_a_step_that_ends_itself_is_not_cancelled(simulate: Simulate, end: Status) -> None:
    domain = world("dig self", "wait self 9")
    diary = Diary(domain, ends=lambda me, ticks: end)
    sim = begin(simulate, domain)
    sim.spawn("unit")
    run(sim, 2)
    assert diary.lines == [(1, "start")]


def test_a_step_whose_time_is_up_is_cancelled_once(simulate: Simulate) -> None:
    domain = world("dig self 0.5", "wait self 9")
    diary = Diary(domain)
    sim = begin(simulate, domain)
    sim.spawn("unit")
    run(sim, 2)
    assert diary.lines == [(1, "start"), (1, "cancel")]


def test_two_steps_of_one_class_in_a_row_are_two_objects(simulate: Simulate) -> None:
    domain = world("dig self 0.5", "dig self 0.5", "wait self 9")
    diary = Diary(domain)
    sim = begin(simulate, domain)
    sim.spawn("unit")
    run(sim, 2)
    assert diary.lines == [(1, "start"), (1, "cancel"), (2, "start"), (2, "cancel")]


def test_an_interrupt_and_a_new_order_cancel_once(simulate: Simulate) -> None:
    domain = world("dig self")
    diary = Diary(domain)
    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 0.5)
    unit.alarm = 1
    run(sim, 0.5)
    assert diary.lines == [(1, "start"), (1, "cancel")]
    unit.alarm = 0
    run(sim, 0.5)
    sim.order(unit, "dig on")
    run(sim, 0.5)
    assert diary.lines[2:] == [(2, "start")], "the new order leads to the same step, which goes on"


def test_a_target_that_is_lost_cancels_once(simulate: Simulate) -> None:
    domain = world("dig mate", "wait self 9")
    diary = Diary(domain)
    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    unit.mate = sim.spawn("post")
    run(sim, 0.5)
    sim.remove(unit.mate)
    run(sim, 0.5)
    assert diary.lines == [(1, "start"), (1, "cancel")] and running(sim, unit) == "wait"


def test_code_that_raises_in_update_is_cancelled_and_what_raised_in_start_is_not(simulate: Simulate) -> None:
    domain = world("dig self", "slip self", "wait self 9")
    diary = Diary(domain, ends=lambda me, ticks: Status(1 // 0))
    lines: list[str] = []

    @domain.action(targets=["self"], kinds="unit")
    class slip:
        def start(self, me: Agent, target: Any) -> None:
            lines.append("start")
            raise RuntimeError("the stairs are wet")

        def update(self, me: Agent, target: Any, dt: float) -> Status:
            lines.append("update")
            return Status.RUNNING

        def cancel(self, me: Agent) -> None:
            lines.append("cancel")

    sim = begin(simulate, domain, strict=False)
    sim.spawn("unit")
    run(sim, 1)
    assert diary.lines == [(1, "start"), (1, "cancel")] and lines == ["start"]
    assert [("ZeroDivisionError" in error, "stairs" in error) for error in sim.errors] == [(True, False), (False, True)]


@pytest.mark.parametrize("everyone", [True, False])
def test_the_death_of_its_agent_cancels_a_step_once(simulate: Simulate, everyone: bool) -> None:
    domain = world("dig self")
    diary = Diary(domain)
    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    if not everyone:
        sim.spawn("post")
    run(sim, 0.5)
    sim.remove(unit)
    run(sim, 0.5)
    assert diary.lines == [(1, "start"), (1, "cancel")]


def test_a_cancel_that_would_stop_a_dead_agent_is_no_error_and_others_are(simulate: Simulate) -> None:
    domain = world("lean self")
    wrong: list[bool] = []

    @domain.action(targets=["self"], kinds="unit")
    class lean:
        def update(self, me: Agent, target: Any, dt: float) -> Status:
            return Status.RUNNING

        def cancel(self, me: Agent) -> None:
            if wrong:
                raise KeyError("nowhere")
            me.stop()

    sim = begin(simulate, domain, strict=False)
    first, second = sim.spawn_many("unit", 2)
    run(sim, 0.5)
    sim.remove(first)
    run(sim, 0.5)
    assert not sim.errors
    with pytest.raises(AgentGone):
        first.stop()
    wrong.append(True)
    second.alarm = 1
    run(sim, 0.5)
    [error] = sim.errors
    assert "cancel of action lean of unit 2" in error and "nowhere" in error


def test_a_class_needs_neither_start_nor_cancel(simulate: Simulate) -> None:
    domain = world("tread self 0.5", "wait self 9")

    @domain.action(targets=["self"], kinds="unit")
    class tread:
        ticks = 0

        def update(self, me: Agent, target: Any, dt: float) -> Status:
            self.ticks += 1
            me.tally = self.ticks
            return Status.RUNNING

    sim = begin(simulate, domain)
    unit = sim.spawn("unit")
    run(sim, 2)
    assert unit.tally == 5 and tread.ticks == 0


# Over columns


def test_a_vectorised_action_gets_all_its_agents_at_once(simulate: Simulate) -> None:
    domain = world("count self 0.5", "wait self 9")
    sizes: list[int] = []

    @domain.action(name="count", targets=["self"], kinds="unit", vectorised=True)
    def count_up(us: Rows, targets: Rows, dt: float) -> Status:
        sizes.append(len(us))
        us.tally += 1
        return Status.RUNNING

    sim = begin(simulate, domain)
    units = sim.spawn_many("unit", 20)
    sim.spawn("post")
    run(sim, 2)
    assert sizes == [20] * 5 and {unit.tally for unit in units} == {5}


@pytest.mark.parametrize("target", ["self", "home", "camp", "mate", "egg_near", "lair"])
def test_its_targets_are_columns_too(simulate: Simulate, target: str) -> None:
    domain = world(f"meet {target}")
    domain.thing("egg", amount=1)
    domain.percept("egg_near", nearest="egg", seen_by="unit", radius=50)

    @domain.target
    def lair(me: Agent) -> Agent | None:
        return post

    met: list[tuple[list[float], list[float]]] = []

    @domain.action(targets=[target], kinds="unit", vectorised=True)
    def meet(us: Rows, targets: Any, dt: float) -> Status:
        met.append((targets.x.tolist(), targets.y.tolist()))
        return Status.RUNNING

    sim = begin(simulate, domain)
    post = sim.spawn("post", x=11, y=12)
    sim.add_thing("egg", 21, 22)
    for x in (1, 2, 3):
        sim.spawn("unit", x=x, home_y=7).mate = post
    sim.tick()
    where: dict[str, tuple[list[float], list[float]]] = {
        "self": ([1, 2, 3], [0] * 3), "home": ([1, 2, 3], [7] * 3), "camp": ([30] * 3, [40] * 3),
        "mate": ([11] * 3, [12] * 3), "egg_near": ([21] * 3, [22] * 3), "lair": ([11] * 3, [12] * 3),
    }  # fmt: skip
    assert met == [where[target]]


def test_it_may_return_a_status_for_each_agent(simulate: Simulate) -> None:
    domain = world("sort self 9", "wait self 9")

    @domain.action(name="sort", targets=["self"], kinds="unit", vectorised=True)
    def decide(us: Rows, targets: Rows, dt: float) -> NDArray[Any]:
        return np.where(us.tally == 0, Status.RUNNING, np.where(us.tally == 1, Status.DONE, Status.FAILED))

    sim = begin(simulate, domain)
    units = sim.spawn_many("unit", 3, tally=[0, 1, 2])
    run(sim, 0.2)
    assert [running(sim, unit) for unit in units] == ["sort", "wait", "wait"]
    assert sim.stats().steps_failed == 1


WRONG_COLUMNS: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "returned None"),
    "too few": (lambda: np.zeros(2, np.uint8), "of shape (3,); this one returned uint8 of shape (2,)"),
    "truths": (lambda: np.ones(3, bool), "this one returned bool of shape (3,)"),
    "interrupted": (lambda: np.array([0, 3, 1]), "an array with [0, 1, 3]"),
    "below zero": (lambda: np.array([0, -1, 1]), "an array with [-1, 0, 1]"),
    "an error": (lambda: 1 / 0, "ZeroDivisionError"),
}


@pytest.mark.parametrize("wrong", WRONG_COLUMNS)
def test_columns_that_are_wrong_fail_the_steps_of_all(simulate: Simulate, wrong: str) -> None:
    domain = world("work self", "wait self 9")
    produce, complaint = WRONG_COLUMNS[wrong]
    domain.action(name="work", targets=["self"], kinds="unit", vectorised=True)(lambda us, targets, dt: produce())
    sim = begin(simulate, domain, strict=False)
    units = sim.spawn_many("unit", 3)
    run(sim, 0.2)
    assert {running(sim, unit) for unit in units} == {"wait"} and sim.stats().steps_failed == 3
    [error] = sim.errors
    assert complaint in error and "action work of 3 agents, the first: unit 1, plan: work self" in error
    strict = begin(simulate, domain, world="strict")
    strict.spawn_many("unit", 3)
    with pytest.raises(ActionError, match="action work of 3 agents"):
        strict.tick()


def test_a_target_lost_in_the_same_tick_fails_only_those_who_lost_it(simulate: Simulate) -> None:
    domain = world("part mate", "meet mate", "wait self 9")
    domain.role("parter", kinds="unit")
    domain.role("meeter", kinds="unit")
    domain.heuristic("meeter")(lambda situation: ["meet mate", "wait self 9"])
    met: list[int] = []

    @domain.action(targets=["mate"], kinds="unit")
    def part(me: Agent, target: Any, dt: float) -> Status:
        target.mate = None
        return Status.DONE

    @domain.action(targets=["mate"], kinds="unit", vectorised=True)
    def meet(us: Rows, targets: Any, dt: float) -> Status:
        met.append(len(us))
        return Status.RUNNING

    sim = begin(simulate, domain)
    parter, (lonely, friend) = sim.spawn("unit", role="parter"), sim.spawn_many("unit", 2, role="meeter")
    lonely.mate, friend.mate, parter.mate = friend, lonely, lonely
    sim.tick()
    assert met == [1] and sim.stats().steps_failed == 1
