"""Plans reach agents: the default at once, then the heuristic's or a cached one, then the model's if it still fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from astrasim import ActionError, Agent, Domain, Simulation, Source, Status
from astrasim.gateway import Answer, Failure
from astrasim.reader import read_compact_plan
from astrasim.vocabulary import Scope

Simulate = Callable[..., Simulation]
TICK_S = 0.1


class Scripted:
    """Stands in for the gateway: what it answers, and when, is up to the test."""

    is_ready, chooses, memory = True, False, None

    def __init__(self, sim: Simulation) -> None:
        self.sim, self.ready, self.cancelled, self.closed = sim, True, list[int](), False
        self.max_in_flight = sim.settings.max_in_flight
        self.scopes: dict[int, Scope] = {}
        self.asked: dict[int, tuple[int, int]] = {}
        self._replies: list[Answer | Failure] = []
        sim.planner.gateway = self

    def declare_scope(self, scope_id: int, scope: Scope) -> None:
        assert scope_id not in self.scopes
        self.scopes[scope_id] = scope

    def ask(
        self, request_id: int, scope_id: int, key: int, deadline_s: float, options: Sequence[tuple[int, int]] = (),
        first: bool = False,
    ) -> bool:  # fmt: skip
        assert scope_id in self.scopes and request_id not in self.asked
        self.options = list(options)
        if self.ready:
            self.asked[request_id] = scope_id, key
        return self.ready

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)

    def flush(self) -> None: ...
    def close(self) -> None:
        self.closed = True

    def exchange(self) -> None: ...

    def read(self, max_messages: int = 64) -> list[Answer | Failure]:
        taken, self._replies = self._replies[:max_messages], self._replies[max_messages:]
        return taken

    def describe(self) -> str:
        return "scripted"

    def answer(self, request_id: int, *lines: str) -> None:
        scope = self.scopes[self.asked[request_id][0]]
        steps = read_compact_plan("\n".join(lines), self.sim.compiled.vocabulary, scope)
        self._replies.append(Answer(request_id, steps, "raw " + "; ".join(lines), 1.0))

    def fail(self, request_id: int, *, rejected: bool = False) -> None:
        self._replies.append(Failure(request_id, "not_json" if rejected else "http_503", "some text", rejected))


def world(heuristic: Callable[[Any], Any] | None = None) -> Domain:
    """``mood`` and ``alarm`` are what the game sets them to; only an alarm interrupts."""
    domain = Domain("test", {"unit": {"home_x": 5000}})
    domain.column("mood")
    domain.column("alarm")
    domain.feature("humour", column="mood", edges=[0.5, 1.5, 2.5], words=["a", "b", "c", "d"], hysteresis=0)
    domain.feature("danger", column="alarm", edges=[0.5], words=["calm", "alarm"], interrupt=True, hysteresis=0)
    domain.place("north", 0, 1000)
    domain.place("south", 0, -1000)
    domain.stock("approach", name="go", targets=["north", "south", "home"], speed=1, seconds=2)
    domain.stock("approach", name="march", targets=["north", "south"], speed=1, seconds=2, interruptible=False)
    domain.stock("hold", name="guard", targets=["home"], needs={"ammo": 1}, seconds=2)
    domain.heuristic("unit")(heuristic or (lambda situation: "go home" if situation.danger else "go north"))
    return domain


@pytest.fixture
def start(simulate: Simulate) -> Callable[..., tuple[Simulation, Scripted]]:
    """A simulation at 10 ticks a second, and its stand-in for the gateway."""

    def make(domain: Domain | None = None, **settings: Any) -> tuple[Simulation, Scripted]:
        sim = simulate(domain or world(), settings={"tick_s": TICK_S, "budget_ms": 1000.0, **settings})
        return sim, Scripted(sim)

    return make


Start = Callable[..., tuple[Simulation, Scripted]]


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def steps(sim: Simulation, agent: Agent) -> list[str]:
    plan = sim.planner.plans[int(sim.agents.plan[agent.row])]
    return [f"{step.action} {step.target}" for step in plan.steps]


def source(sim: Simulation, agent: Agent) -> Source:
    return Source(int(sim.agents.source[agent.row]))


def going_on(sim: Simulation, agent: Agent) -> float:
    """For how many seconds its step has run."""
    return float(sim.agents.elapsed[agent.row])


# Without a model


def test_every_agent_acts_in_its_first_tick(start: Start) -> None:
    sim, _ = start()
    first = sim.spawn("unit")
    sim.tick()
    assert first.vy == 1.0
    later = sim.spawn("unit", alarm=1, x=50)
    sim.tick()
    assert later.vx == 1.0


def test_an_agent_has_its_roles_default_plan_from_spawning_on(start: Start) -> None:
    domain = world()
    domain.role("scout", default=["go south", "go home"])
    sim, _ = start(domain)
    scout = sim.spawn("unit", role="scout")
    assert steps(sim, scout) == ["go south", "go home"]
    assert source(sim, scout) is Source.HEURISTIC
    plain = sim.spawn("unit")
    assert steps(sim, plain) == ["wait self"]


def test_the_heuristic_is_called_once_for_each_situation_that_occurs(start: Start) -> None:
    calls: list[tuple[int, str]] = []

    def think(situation: Any) -> str:
        calls.append((situation.key, situation.order))
        return "go north"

    sim, _ = start(world(think))
    calls.clear()  # a simulation tries the heuristics when it is made
    agents = sim.spawn_many("unit", 40, mood=[i % 4 for i in range(40)])
    run(sim, 5)
    assert len(calls) == len(set(calls)) == 4
    sim.order(agents[0], "hold the bridge")
    run(sim, 5)
    assert len(calls) == len(set(calls)) == 5


def test_a_plan_starts_at_its_first_legal_step(start: Start) -> None:
    sim, _ = start(world(lambda situation: ["guard home", "go south", "go home"]))
    armed, unarmed = sim.spawn("unit", ammo=1), sim.spawn("unit")
    sim.tick()
    assert sim.agents.step[armed.row] == 0
    assert sim.agents.step[unarmed.row] == 1 and unarmed.vy == -1


def test_where_no_step_is_legal_the_default_plan_runs(start: Start) -> None:
    domain = world(lambda situation: "guard home")
    domain.role("lazy", default="go south")
    sim, _ = start(domain)
    agent = sim.spawn("unit", role="lazy")
    sim.tick()
    assert steps(sim, agent) == ["go south"]


def test_interrupt_features_end_a_plan_and_others_do_not(start: Start) -> None:
    sim, _ = start()
    agent = sim.spawn("unit")
    run(sim, 0.5)
    agent.mood = 2
    sim.tick()
    assert steps(sim, agent) == ["go north"] and going_on(sim, agent) == pytest.approx(0.6)
    agent.alarm = 1
    sim.tick()
    assert steps(sim, agent) == ["go home"]
    agent.alarm = 0
    sim.tick()
    assert steps(sim, agent) == ["go north"] and going_on(sim, agent) == pytest.approx(0.1)


def test_other_features_count_when_the_next_plan_is_chosen(start: Start) -> None:
    sim, _ = start(world(lambda situation: "go south" if situation.humour else "go north"))
    agent = sim.spawn("unit")
    run(sim, 1)
    agent.mood = 1
    run(sim, 0.9)
    assert steps(sim, agent) == ["go north"]
    run(sim, 0.3)
    assert steps(sim, agent) == ["go south"]


def test_an_interrupt_that_leads_to_the_same_plan_lets_the_step_go_on(start: Start) -> None:
    sim, _ = start(world(lambda situation: ["guard home", "go south"]))
    agent = sim.spawn("unit")
    run(sim, 0.5)
    agent.alarm = 1
    sim.tick()
    assert going_on(sim, agent) == pytest.approx(0.6)
    agent.alarm, agent.ammo = 0, 1
    sim.tick()
    assert sim.agents.step[agent.row] == 0, "a step before the running one has become legal, and goes first"


def test_a_step_lasts_as_long_as_the_plan_says(start: Start) -> None:
    sim, _ = start(world(lambda situation: ["go north 0.5", "go south 0.3", "go home 1"]))
    agent = sim.spawn("unit", x=100, home_x=200)
    ways = []
    for _ in range(18):
        sim.tick()
        ways.append((round(agent.vx, 1), round(agent.vy, 1)))
    # 1 s at home is 10 ticks, then the plan starts again.
    north, south = ways[0], ways[5]
    assert north[1] > 0 > south[1]
    assert ways[:5] == [north] * 5 and ways[5:8] == [south] * 3
    assert all(way == (1.0, 0.0) or way[0] > 0.9 for way in ways[8:18])


def test_a_failed_step_leads_to_a_new_plan(start: Start) -> None:
    domain = world(lambda situation: ["hunt prey", "go south"])
    domain.reference("prey")
    domain.stock("approach", name="hunt", targets=["prey"], speed=1, seconds=5)
    sim, _ = start(domain)
    hunter, hare = sim.spawn("unit"), sim.spawn("unit", y=50)
    hunter.prey = hare
    run(sim, 1)
    assert hunter.vy == 1
    sim.remove(hare)
    sim.tick()
    sim.tick()
    assert hunter.vy == -1
    assert sim.stats().steps_failed == 1


# The model's plans


def test_the_models_plan_takes_over_at_once_where_the_action_lets_it(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 0.3)
    assert model.asked == {1: (sim.agents.scope[agent.row], sim.agents.key[agent.row])}
    model.answer(1, "go south 1", "go north")
    sim.tick()
    assert (steps(sim, agent), source(sim, agent), agent.vy) == (["go south", "go north"], Source.LLM, -1)
    assert sim.stats().plans.applied == 1


def test_it_waits_for_the_end_of_a_step_that_is_not_interruptible(start: Start) -> None:
    sim, model = start(world(lambda situation: ["march north", "go north"]))
    agent = sim.spawn("unit")
    run(sim, 0.3)
    model.answer(1, "go south")
    run(sim, 1.6)
    assert source(sim, agent) is Source.HEURISTIC and agent.vy == 1
    run(sim, 0.2)
    assert source(sim, agent) is Source.LLM and agent.vy == -1


def test_one_answer_serves_everyone_who_waits_and_everyone_who_comes(start: Start) -> None:
    sim, model = start()
    waiting = sim.spawn_many("unit", 30)
    other = sim.spawn("unit", mood=2)
    run(sim, 0.5)
    key = int(sim.agents.key[waiting[0].row])
    assert [k for _, k in model.asked.values()].count(key) == 1
    model.answer(next(r for r, (_, k) in model.asked.items() if k == key), "go south 1")
    sim.tick()
    assert all(source(sim, agent) is Source.LLM and agent.vy == -1 for agent in waiting)
    assert source(sim, other) is Source.HEURISTIC
    late = sim.spawn("unit")
    sim.tick()
    assert source(sim, late) is Source.CACHE and late.vy == -1
    run(sim, 1)
    assert source(sim, waiting[0]) is Source.CACHE, "when it comes to this situation again, nobody waits any more"
    stats = sim.stats()
    assert stats.requests.shared == 0 and stats.lookups.exact_hits == 32
    assert len([k for _, k in model.asked.values() if k == key]) == 1


def test_agents_that_come_while_it_is_asked_share_the_request(start: Start) -> None:
    sim, model = start()
    first = sim.spawn("unit")
    sim.tick()
    sim.tick()
    second = sim.spawn("unit")
    sim.tick()
    assert len(model.asked) == 1 and sim.stats().requests.shared == 1
    model.answer(1, "go south")
    sim.tick()
    assert source(sim, first) is source(sim, second) is Source.LLM


def test_a_plan_equal_to_the_running_one_does_not_start_it_again(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 1)
    model.answer(1, "go north 5")
    sim.tick()
    assert source(sim, agent) is Source.LLM
    assert going_on(sim, agent) == pytest.approx(1.1)
    assert (sim.stats().plans.unchanged, sim.stats().plans.applied) == (1, 0)
    run(sim, 4.5)
    assert source(sim, agent) is Source.CACHE and going_on(sim, agent) == pytest.approx(0.6)
    assert (sim.stats().plans.unchanged, sim.stats().plans.applied) == (2, 0), "it does again what it did before"


def test_an_interrupt_to_a_situation_whose_cached_plan_is_the_running_one_changes_nothing(start: Start) -> None:
    sim, model = start()
    sim.spawn("unit", alarm=1)
    agent = sim.spawn("unit")
    run(sim, 0.3)
    for request in model.asked:
        model.answer(request, "go south 1", "march north 5")
    run(sim, 1.5)
    assert agent.vy == 1 and sim.agents.step[agent.row] == 1
    ran = going_on(sim, agent)
    agent.alarm = 1
    sim.tick()
    assert sim.agents.step[agent.row] == 1 and going_on(sim, agent) == pytest.approx(ran + TICK_S)
    assert source(sim, agent) is Source.CACHE and sim.stats().plans.unchanged == 1


# Plans that do not fit any more


def dropped(sim: Simulation) -> dict[str, int]:
    return {reason: count for reason, count in sim.stats().plans.dropped.items() if count}


def test_a_plan_is_dropped_where_an_interrupt_feature_changed(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 0.3)
    agent.alarm = 1
    model.answer(1, "go south")
    sim.tick()
    assert steps(sim, agent) == ["go home"] and dropped(sim) == {"interrupted": 1}


def test_it_is_counted_once_whether_the_interrupt_or_the_answer_comes_first(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 0.3)
    agent.alarm = 1
    run(sim, 0.2)
    model.answer(1, "go south")
    run(sim, 0.2)
    assert steps(sim, agent) == ["go home"] and dropped(sim) == {"interrupted": 1}


def test_a_plan_is_dropped_whose_first_step_is_not_legal_now(start: Start) -> None:
    sim, model = start()
    agent, armed = sim.spawn("unit"), sim.spawn("unit", ammo=1)
    run(sim, 0.3)
    model.answer(1, "guard home", "go south")
    sim.tick()
    assert steps(sim, agent) == ["go north"] and dropped(sim) == {"illegal": 1}
    assert source(sim, armed) is Source.LLM
    run(sim, 2)
    assert source(sim, agent) is Source.HEURISTIC, "nor is it legal later, from the cache"
    assert dropped(sim) == {"illegal": 2}
    agent.ammo = 1
    run(sim, 2)
    assert source(sim, agent) is Source.CACHE


def test_a_plan_is_dropped_when_the_agent_has_moved_on(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 1)
    agent.mood = 2
    run(sim, 1.2)
    assert dropped(sim) == {"moved_on": 1}
    model.answer(1, "go south")
    sim.tick()
    assert source(sim, agent) is Source.HEURISTIC and dropped(sim) == {"moved_on": 1}


def test_whoever_comes_to_the_same_situation_again_has_not_moved_on(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 3)
    model.answer(1, "go south")
    sim.tick()
    assert source(sim, agent) is Source.LLM and dropped(sim) == {}


def test_a_new_order_is_never_answered_with_a_plan_for_another(start: Start) -> None:
    sim, model = start()
    agent, unordered = sim.spawn("unit"), sim.spawn("unit")
    run(sim, 0.3)
    sim.order(agent, "Go  HOME")
    model.answer(1, "go south")
    run(sim, 0.3)
    assert source(sim, agent) is Source.HEURISTIC and dropped(sim) == {"order": 1}
    assert source(sim, unordered) is Source.LLM
    assert [model.scopes[scope].order for scope, _ in model.asked.values()] == ["", "go home"]
    model.answer(2, "go home")
    sim.tick()
    assert source(sim, agent) is Source.LLM and steps(sim, agent) == ["go home"]
    sim.order(agent, "")
    sim.tick()
    assert source(sim, agent) is Source.CACHE and steps(sim, agent) == ["go south"]


def test_an_order_that_is_taken_back_at_once_is_none(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 0.3)
    sim.order(agent, "hold")
    sim.order(agent, "")
    model.answer(1, "go south")
    sim.tick()
    assert source(sim, agent) is not Source.HEURISTIC and steps(sim, agent) == ["go south"]
    assert dropped(sim) == {"order": 2}, "it was going to wait for two others meanwhile"


@pytest.mark.parametrize("reason", ["interrupted", "illegal", "order"])
def test_a_plan_that_waits_for_the_step_to_end_must_still_fit_then(start: Start, reason: str) -> None:
    sim, model = start(world(lambda situation: "march north"))
    agent = sim.spawn("unit", ammo=1)
    run(sim, 0.3)
    model.answer(1, "guard home")
    sim.tick()
    assert sim.agents.next_plan[agent.row] >= 0
    run(sim, 1.5)
    assert dropped(sim) == {}
    if reason == "interrupted":
        agent.alarm = 1
    elif reason == "order":
        sim.order(agent, "hold")
    else:
        agent.ammo = 0
    sim.tick()
    assert source(sim, agent) is Source.HEURISTIC and dropped(sim) == {reason: 1}


# Requests


def test_a_situation_whose_request_brought_no_plan_is_not_asked_about_for_a_while(start: Start) -> None:
    sim, model = start(world(lambda situation: "go north 0.5"), retry_after_s=3.0)
    sim.spawn("unit")
    run(sim, 0.2)
    for request, rejected in ((1, False), (2, True)):
        model.fail(request, rejected=rejected)
        run(sim, 2.9)
        assert len(model.asked) == request
        run(sim, 0.8)
        assert len(model.asked) == request + 1
    stats = sim.stats().requests
    assert (stats.failed, stats.rejected, stats.reasons) == (1, 1, {"http_503": 1, "not_json": 1})


def test_a_request_that_nobody_answers_expires(start: Start) -> None:
    sim, model = start(deadline_s=2.0, retry_after_s=1.0)
    sim.spawn("unit")
    run(sim, 3.1)
    assert model.cancelled == []
    run(sim, 0.2)
    assert model.cancelled == [1] and sim.stats().requests.failed == 1
    run(sim, 3)
    assert len(model.asked) == 2
    model.answer(1, "go south")
    sim.tick()
    assert sim.stats().requests.late == 1 and sim.stats().requests.answered == 0


def test_answers_that_nobody_asked_for_are_counted_and_ignored(start: Start) -> None:
    sim, model = start()
    agent = sim.spawn("unit")
    run(sim, 0.2)
    model.answer(1, "go south")
    model.answer(1, "go home")
    model.asked[99] = model.asked[1]
    model.answer(99, "go home")
    model.asked.pop(99)
    run(sim, 0.2)
    assert steps(sim, agent) == ["go south"]
    assert (sim.stats().requests.answered, sim.stats().requests.late) == (1, 2)


def test_no_more_requests_go_out_than_the_rate_allows(start: Start) -> None:
    sim, model = start(requests_per_second=2.0)
    sim.spawn_many("unit", 8, mood=[i % 4 for i in range(8)], alarm=[i // 4 for i in range(8)])
    run(sim, 0.2)
    assert len(model.asked) == 1, "no burst at the start"
    run(sim, 2)
    assert len(model.asked) == 5


def test_a_rate_of_zero_sends_nothing(start: Start) -> None:
    sim, model = start(requests_per_second=0.0)
    sim.spawn("unit")
    run(sim, 3)
    assert not model.asked


def test_a_pause_of_the_game_is_not_followed_by_a_burst(start: Start) -> None:
    sim, model = start(requests_per_second=10.0)
    sim.tick(60.0)
    sim.spawn_many("unit", 8, mood=[i % 4 for i in range(8)], alarm=[i // 4 for i in range(8)])
    sim.tick()
    sim.tick()
    assert len(model.asked) == 1


def test_the_rate_is_kept_by_time_not_by_ticks(start: Start) -> None:
    sim, model = start(requests_per_second=2.0)
    sim.spawn_many("unit", 8, mood=[i % 4 for i in range(8)], alarm=[i // 4 for i in range(8)])
    for _ in range(210):
        sim.tick(0.01)
    assert len(model.asked) == 5


def test_no_more_requests_are_in_flight_than_allowed(start: Start) -> None:
    sim, model = start(requests_per_second=1000.0, max_in_flight=3)
    sim.spawn_many("unit", 8, mood=[i % 4 for i in range(8)], alarm=[i // 4 for i in range(8)])
    run(sim, 1)
    assert len(model.asked) == 3 and sim.stats().requests.in_flight == 3
    model.fail(1)
    run(sim, 0.2)
    assert len(model.asked) == 4


def test_the_highest_tier_asks_first_then_the_commonest_situation_then_the_oldest(start: Start) -> None:
    sim, model = start(requests_per_second=1.0)
    model.ready = False
    sim.spawn("unit", mood=3)
    run(sim, 0.3)
    sim.spawn("unit", mood=2)
    sim.spawn_many("unit", 5, mood=1)
    sim.spawn("unit", mood=0, tier="hero")
    run(sim, 0.3)
    model.ready = True
    run(sim, 1.5)
    assert [sim.compiled.vocabulary.buckets("unit", key)["humour"] for _, key in model.asked.values()] == [0, 1]
    model.ready = False
    sim.spawn("unit", mood=2, alarm=1)
    run(sim, 0.2)
    sim.spawn("unit", mood=3, alarm=1)
    run(sim, 0.9)
    model.ready = True
    run(sim, 4)
    asked = [sim.compiled.vocabulary.buckets("unit", key) for _, key in model.asked.values()]
    assert [b["humour"] for b in asked if b["danger"]] == [2, 3]


def test_a_hero_is_heard_when_more_situations_wait_than_there_is_room_for(start: Start) -> None:
    sim, model = start(requests_per_second=10.0)
    sim.planner.cache.wanted = sim.planner.cache.wanted[:3].copy()
    model.ready = False
    sim.spawn_many("unit", 6, mood=[0, 1, 2, 3, 0, 1], alarm=[0, 0, 0, 0, 1, 1])
    run(sim, 0.3)
    sim.spawn("unit", mood=3, alarm=1, tier="hero")
    run(sim, 0.3)
    model.ready = True
    sim.tick()
    [(_, key)] = model.asked.values()
    assert sim.compiled.vocabulary.buckets("unit", key) == {"humour": 3, "danger": 1}


def test_a_request_that_the_gateway_refuses_is_made_again_later(start: Start) -> None:
    sim, model = start()
    model.ready = False
    sim.spawn("unit")
    run(sim, 1)
    assert not model.asked and sim.stats().requests.refused > 0 and sim.stats().requests.sent == 0
    model.ready = True
    sim.tick()
    assert len(model.asked) == 1


def test_a_situation_that_nobody_was_in_for_long_is_not_asked_about(start: Start) -> None:
    sim, model = start()
    model.ready = False
    agent = sim.spawn("unit", mood=3)
    run(sim, 1)
    agent.mood = 0
    run(sim, 13)
    model.ready = True
    run(sim, 1)
    assert [sim.compiled.vocabulary.buckets("unit", key)["humour"] for _, key in model.asked.values()] == [0]


# Heuristics that are wrong, and steps that fail and fail


def test_a_heuristic_that_raises_is_reported_and_the_roles_style_decides(start: Start) -> None:
    broken: list[bool] = []
    sim, _ = start(world(lambda situation: ["go south"][len(broken)]), strict=False)
    broken.append(True)
    agents = sim.spawn_many("unit", 3)
    run(sim, 1)
    assert [steps(sim, agent)[:2] for agent in agents] == [["go north", "march north"]] * 3
    [(error, times)] = sim.stats().errors.items()
    assert "heuristic <lambda> raised" in error and "IndexError" in error and times == 1


def test_strict_mode_raises_what_a_heuristic_raises(start: Start) -> None:
    broken: list[bool] = []
    sim, _ = start(world(lambda situation: ["go south"][len(broken)]))
    broken.append(True)
    sim.spawn("unit")
    with pytest.raises(ActionError, match="IndexError"):
        sim.tick()


def failing_world(tries: list[float], clock: Callable[[], float], *plan: str) -> Domain:
    """Its actions ``break1`` to ``break3`` fail at once, whenever they are tried."""
    domain = world(lambda situation: list(plan))
    for name in ("break1", "break2", "break3"):

        @domain.action(name=name, targets=["self"])
        def fail(me: Agent, target: Agent, dt: float) -> Status:
            tries.append(clock())
            return Status.FAILED

    return domain


@pytest.mark.parametrize("plan", [["break1 self"], ["break1 self", "break2 self"]])
def test_an_agent_whose_plan_fails_at_once_waits_before_it_tries_again(start: Start, plan: list[str]) -> None:
    tries: list[float] = []
    sim, _ = start(failing_world(tries, lambda: sim.time, *plan))
    sim.spawn("unit")
    run(sim, 20)
    assert 15 <= len(tries) / sum("break" in step for step in plan) <= 20, "about once a second, not ten times"


def test_after_a_step_that_fails_at_once_the_plan_goes_on_with_the_next(start: Start) -> None:
    tries: list[float] = []
    domain = failing_world(tries, lambda: sim.time, "break1 self", "guard home", "break2 self", "go south")
    sim, _ = start(domain)
    agent = sim.spawn("unit")
    run(sim, 0.3)
    assert len(tries) == 2 and agent.vy == -1


def test_a_models_plan_and_a_heuristic_that_both_fail_do_not_take_turns_every_tick(start: Start) -> None:
    tries: list[float] = []
    sim, model = start(failing_world(tries, lambda: sim.time, "break1 self"))
    sim.spawn("unit")
    run(sim, 2)
    model.answer(1, "break2 self", "go north")
    sim.tick()
    tries.clear()
    run(sim, 20)
    assert 15 <= len(tries) <= 40


def test_an_agent_whose_situation_flickers_between_failing_plans_waits_too(start: Start) -> None:
    tries: list[float] = []
    domain = failing_world(tries, lambda: sim.time, "go north")
    domain.declared.heuristics["unit"] = lambda situation: ["break1 self", "break2 self"][situation.humour % 2]
    sim, _ = start(domain)
    agent = sim.spawn("unit")
    for tick in range(200):
        agent.mood = tick % 2
        sim.tick()
    assert len(tries) <= 40


def test_a_default_plan_that_fails_at_once_is_not_tried_every_tick_either(start: Start) -> None:
    tries: list[float] = []
    domain = failing_world(tries, lambda: sim.time, "break1 self")
    domain.role("hopeless", default="break2 self")
    for budget_ms in (0.0, 1000.0):
        sim, _ = start(domain, budget_ms=budget_ms)
        agents = sim.spawn_many("unit", 1, role="hopeless")
        tries.clear()
        run(sim, 20)
        assert 10 <= len(tries) <= 41
        assert math.isfinite(agents[0].x)
        sim.close()


def test_an_agent_with_nothing_to_do_does_not_plan_every_tick(start: Start) -> None:
    sim, model = start(world(lambda situation: ["go home", "guard home"]))
    idle, busy = sim.spawn("unit", home_x=0), sim.spawn("unit")
    run(sim, 20)
    assert sim.stats().lookups.misses <= 2 * 20 + 10
    model.answer(1, "go home")
    run(sim, 20)
    assert sum(sim.stats().lookups[:4]) <= 4 * 20 + 20
    assert idle.x == 0 and busy.vx == 1
    idle.x = -3
    run(sim, 1.2)
    assert idle.vx == 1, "it notices within a second that there is something to do"


@pytest.mark.parametrize("seconds", [0.1, 0.2])
def test_a_short_plan_that_ran_its_time_is_begun_again_at_once(start: Start, seconds: float) -> None:
    sim, _ = start(world(lambda situation: f"go north {seconds}"))
    agent = sim.spawn("unit")
    run(sim, 5)
    assert agent.y == pytest.approx(5)


def test_what_failed_after_a_while_is_tried_again_at_once(start: Start) -> None:
    """A hunter whose prey slips away goes on hunting; only what fails as soon as it begins has to wait."""
    domain = world(lambda situation: ["bite prey", "hunt prey"])
    domain.reference("prey")
    domain.stock("attack", name="bite", targets=["prey"], damage=1, range=2, cooldown=0)
    domain.stock("approach", name="hunt", targets=["prey"], speed=4, near=1)
    sim, _ = start(domain)
    hunter, hare = sim.spawn("unit"), sim.spawn("unit", y=1, hp=10_000)
    hunter.prey = hare
    idle = 0
    for _ in range(300):
        hare.y += 0.3
        hunter.y = min(hunter.y, hare.y)
        sim.tick()
        idle += "wait self" in steps(sim, hunter) and sim.agents.state[hunter.row] == Status.RUNNING
    assert idle == 0 and hare.hp < 10_000


def test_more_plans_in_one_tick_than_the_store_has_room_for_reach_their_agents(simulate: Simulate) -> None:
    """The heuristics of one tick make the store's arrays grow while rows are being served from them."""
    domain = Domain("many", ["unit"])
    number = 700
    for name, buckets in (("mood", 28), ("whim", 25)):
        domain.column(name)
        words, edges = [str(i) for i in range(buckets)], [i + 0.5 for i in range(buckets - 1)]
        domain.feature(f"{name}_felt", column=name, edges=edges, words=words, hysteresis=0)
    domain.place("north", 0, 1000)
    domain.stock("approach", name="go", targets=["north"], speed=1)
    domain.heuristic("unit")(lambda s: f"go north {1 + (s.mood_felt * 25 + s.whim_felt) / 100:g}")
    sim = simulate(domain)
    agents = sim.spawn_many("unit", number, mood=[i // 25 for i in range(number)], whim=[i % 25 for i in range(number)])
    sim.tick()
    for i, agent in enumerate(agents):
        assert steps(sim, agent) == ["go north"]
        [step] = sim.planner.plans[int(sim.agents.plan[agent.row])].steps
        assert step.seconds == pytest.approx(1 + i / 100)
        assert Status(int(sim.agents.state[agent.row])) is Status.RUNNING
