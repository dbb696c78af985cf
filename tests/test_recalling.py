"""What is known behind the gateway reaches the agents that wait for it, as any plan does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Domain, Observer, Simulation, Source
from astrasim.cache import Tended
from astrasim.gateway.recalled import Look, MemoryStatistics, Recalled
from astrasim.records import RequestRecord
from astrasim.requests import RequestState

Simulate = Callable[..., Simulation]


class Memory:
    """Stands in for the gateway's memory: knows what a test tells it, and answers in the next tick."""

    statistics = MemoryStatistics()

    def __init__(self) -> None:
        self.looked: list[Look] = []
        self.known: dict[int, tuple[int, str, float | None]] = {}
        self.retired: list[tuple[int, int]] = []
        self.sim: Simulation
        self._found: list[Recalled] = []
        self.gone: list[tuple[int, list[int]]] = []
        self.answers = True

    def look(self, looks: list[Look]) -> bool:
        self.looked += looks
        for look in looks if self.answers else ():
            level, text, remaining_s = self.known.get(look.key, (0, "", None))
            words, (action, target) = self.sim.compiled.vocabulary, text.split() if text else ("wait", "self")
            steps = ((words.action_index[action], words.target_index[target], 5.0),)
            self._found.append(Recalled(look.scope_id, look.key, level, steps if text else None, remaining_s))
        return True

    def found(self) -> list[Recalled]:
        found, self._found = self._found, []
        return found

    def withdrawn(self) -> list[tuple[int, list[int]]]:
        gone, self.gone = self.gone, []
        return gone

    def used(self, pairs: Any) -> None: ...
    def retire(self, pairs: list[tuple[int, int]]) -> None:
        self.retired += pairs


class Tiers(Observer):
    def __init__(self) -> None:
        self.of_requests: list[str] = []

    def request(self, request: RequestRecord) -> None:
        if request.state is RequestState.SENT:
            self.of_requests.append(request.tier)


def world(*ideas: str) -> Domain:
    domain = Domain("test", ["unit"])
    domain.column("mood")
    domain.reference("friend")
    domain.feature("humour", column="mood", edges=[i + 0.5 for i in range(9)], words=list("abcdefghij"), hysteresis=0)
    domain.place("north", 0, 10_000)
    domain.stock("approach", name="go", targets=["north"], speed=1)
    domain.stock("follow", targets=["friend"], speed=1)
    domain.heuristic("unit")(lambda situation: list(ideas or ["wait self 0.5"]))
    return domain


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any, memory: Memory) -> Simulation:
    return started(simulate, stand_in, memory)


def started(simulate: Simulate, stand_in: Any, memory: Memory, *ideas: str, **settings: Any) -> Simulation:
    sim = simulate(
        world(*ideas), settings={"tick_s": 0.1, "requests_per_second": 1000.0, "deadline_s": 600.0, **settings}
    )
    sim.planner.gateway, stand_in.memory, memory.sim = stand_in, memory, sim
    return sim


def run(sim: Simulation, ticks: int) -> None:
    for _ in range(ticks):
        sim.tick()


def doing(sim: Simulation, agent: Any) -> tuple[str, Source]:
    table = sim.agents
    return sim.planner.plans[int(table.plan[agent.row])].steps[0].action, Source(int(table.source[agent.row]))


@pytest.mark.parametrize(("level", "counted"), [(0, "exact_hits"), (1, "near_hits"), (2, "order_hits")])
def test_what_is_known_is_taken_without_asking_the_model(
    sim: Simulation, stand_in: Any, memory: Memory, level: int, counted: str
) -> None:
    memory.known[0] = level, "go north", None
    dolly = sim.spawn("unit")
    run(sim, 4)
    assert doing(sim, dolly) == ("go", Source.CACHE) and not stand_in.asked
    bella = sim.spawn("unit")
    run(sim, 2)
    assert doing(sim, bella) == ("go", Source.CACHE)
    assert getattr(sim.stats().lookups, counted) == 1 and sim.stats().lookups.hit_rate > 0
    looks = sim.stats().looks
    assert (looks.asked, looks.answered, looks.taken) == (1, 1, 1) and looks.ticks.max == 1


def test_only_what_is_not_known_is_asked_about(sim: Simulation, stand_in: Any, memory: Memory) -> None:
    memory.known[0] = 1, "go north", None
    sim.spawn("unit"), sim.spawn("unit", mood=1)
    run(sim, 5)
    assert [key for _, key in stand_in.asked.values()] == [1]
    assert {look.key for look in memory.looked} == {0, 1}


def test_an_order_between_two_ticks_is_looked_up_before_the_next(
    sim: Simulation, stand_in: Any, memory: Memory
) -> None:
    dolly = sim.spawn("unit")
    run(sim, 4)
    before = len(memory.looked)
    sim.order(dolly, "go")
    assert len(memory.looked) == before + 1 and not stand_in.first
    sim.tick()
    assert len(stand_in.first) == 1


def test_the_vector_is_that_of_an_agent_in_that_situation(sim: Simulation, memory: Memory) -> None:
    dolly = sim.spawn("unit", mood=2.25)
    run(sim, 2)
    [look] = memory.looked
    assert look.vector is not None and look.vector.tolist() == pytest.approx([0.275])
    assert sim.situation(dolly).vector == pytest.approx((0.275,))


def test_a_memory_that_never_answers_holds_the_model_up_for_a_moment_only(
    sim: Simulation, stand_in: Any, memory: Memory
) -> None:
    memory.answers = False
    sim.spawn("unit")
    run(sim, 2)
    assert memory.looked and not stand_in.asked
    run(sim, 3)
    assert len(stand_in.asked) == 1


def test_what_is_known_and_not_legal_now_is_not_taken(sim: Simulation, memory: Memory) -> None:
    memory.known[0] = 1, "follow friend", None  # there is none
    dolly = sim.spawn("unit")
    run(sim, 4)
    assert doing(sim, dolly) == ("wait", Source.HEURISTIC) and sim.stats().plans.dropped["illegal"] > 0


def test_who_moved_on_meanwhile_does_not_get_it(sim: Simulation, memory: Memory) -> None:
    memory.known[0] = 1, "go north", None
    dolly = sim.spawn("unit")
    sim.tick()
    dolly.mood = 5
    sim.agents.need[:] = 1
    run(sim, 4)
    assert doing(sim, dolly) == ("wait", Source.HEURISTIC)


def test_a_share_of_the_requests_asks_about_what_was_near(simulate: Simulate, stand_in: Any, memory: Memory) -> None:
    sim = started(simulate, stand_in, memory, shadow_share=0.4)
    memory.known = dict.fromkeys(range(5), (1, "go north", None))
    agents = [sim.spawn("unit", mood=mood) for mood in range(5)]
    run(sim, 40)
    assert not stand_in.asked, "a share of no requests is none, however many are allowed"
    sim.observe(tiers := Tiers())
    agents += [sim.spawn("unit", mood=mood) for mood in range(5, 10)]
    run(sim, 40)
    assert sorted(tiers.of_requests) == ["", ""] + ["minion"] * 5, "nobody waits where a plan was lent"
    assert sim.stats().looks.shadows == 2 and len(stand_in.asked) == 7, "5 that are not known, and 0.4 of all 7"
    request, key = next((request, key) for request, (_, key) in stand_in.asked.items() if key < 5)
    stand_in.answer(sim, request, "wait self 5")
    before = sim.stats().lookups.exact_hits
    run(sim, 80)
    assert sim.stats().lookups.exact_hits > before and doing(sim, agents[key])[0] == "wait", "the model's own it is now"


def test_a_model_that_only_chooses_is_asked_about_what_was_near_too(
    simulate: Simulate, stand_in: Any, memory: Memory
) -> None:
    sim = started(simulate, stand_in, memory, "wait self 0.5", "go north 0.5", shadow_share=0.5)
    stand_in.chooses = True
    memory.known = dict.fromkeys(range(5), (1, "go north", None))
    for mood in range(10):
        sim.spawn("unit", mood=mood)
    run(sim, 40)
    assert sim.stats().looks.shadows == 2, "as of a model that writes: half of the five requests, and no more than two"
    assert sum(key < 5 for _, key in stand_in.asked.values()) == 2


def test_what_is_not_trusted_any_more_is_given_up_and_looked_up_again(sim: Simulation, memory: Memory) -> None:
    memory.known[0], memory.known[1] = (1, "go north", None), (0, "go north", None)
    agents = sim.spawn("unit"), sim.spawn("unit", mood=1)
    run(sim, 4)
    assert [doing(sim, agent)[0] for agent in agents] == ["go", "go"]
    memory.known.clear()
    memory.gone = [(1, [int(sim.agents.scope[0])])]
    before = len(memory.looked)
    run(sim, 60)
    assert sim.stats().cache.with_model_plan == 1, "only what was near is gone"
    assert {look.key for look in memory.looked[before:]} == {0}


def test_without_a_share_nothing_is_asked_about_twice(simulate: Simulate, stand_in: Any, memory: Memory) -> None:
    sim = started(simulate, stand_in, memory, shadow_share=0.0)
    memory.known[0] = 1, "go north", None
    sim.spawn("unit")
    run(sim, 100)
    assert not stand_in.asked


def test_a_plan_may_be_used_as_long_as_it_is_good(simulate: Simulate, stand_in: Any, memory: Memory) -> None:
    sim = started(simulate, stand_in, memory, cache_ttl_s=3.0)
    sim.spawn("unit")
    run(sim, 4)
    stand_in.answer(sim, 1, "go north 1")
    run(sim, 20)
    assert sim.stats().lookups.exact_hits > 0 and sim.stats().cache.expired == 0 and not stand_in.asked
    run(sim, 40)
    assert sim.stats().cache.expired == 1 and len(stand_in.asked) == 1, "use did not help: it is asked about anew"


def test_what_is_known_lasts_as_long_as_the_gateway_says(sim: Simulation, stand_in: Any, memory: Memory) -> None:
    memory.known[0] = 1, "go north", 2.0
    sim.spawn("unit")
    run(sim, 10)
    assert sim.stats().cache.with_model_plan == 1
    memory.known.clear()
    run(sim, 25)
    assert sim.stats().cache.expired == 1


def test_a_plan_whose_steps_keep_failing_is_retired(sim: Simulation, stand_in: Any, memory: Memory) -> None:
    broken = sim.spawn_many("unit", 6)
    run(sim, 4)
    friend = sim.spawn("unit", mood=9)
    for agent in broken:
        agent.friend = friend
    stand_in.answer(sim, 1, "follow friend 10")
    run(sim, 3)
    assert doing(sim, broken[0]) == ("follow", Source.LLM)
    for _ in range(12):
        for agent in broken:
            agent.friend = None
        run(sim, 3)
        for agent in broken:
            agent.friend = friend
        run(sim, 3)
    assert sim.stats().cache.retired == 1 and memory.retired == [(int(sim.agents.scope[0]), 0)]


def test_with_one_unit_a_turn_what_is_wanted_is_looked_up_though_there_are_always_plans_that_were_of_use(
    simulate: Simulate, stand_in: Any, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    memory.used = lambda pairs: said.append(len(pairs))  # type: ignore[method-assign]
    sim = started(simulate, stand_in, memory, budget_units=1)
    sim.spawn("unit")
    of_use = Tended(np.zeros(0, np.int32), np.zeros(1, np.int32))
    monkeypatch.setattr(sim.planner.cache, "tend", lambda now_ms: of_use)
    run(sim, 100)
    assert memory.looked and sim.stats().looks.answered and stand_in.asked and said
