"""The plan cache and the store of plans: fixed memory, exact look-ups, never a wrong plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim import Domain, Simulation, Source
from astrasim.cache import PlanCache
from astrasim.compiled import compile_domain
from astrasim.gateway import Answer, Failure
from astrasim.plans import Origin, PlanStore
from astrasim.vocabulary import Scope, Vocabulary

WAYS = 8


def look_up(cache: PlanCache, scope: int, key: int, now: int) -> int:
    entry = cache.find(scope, key)
    if entry >= 0:
        cache.entries.used[entry] = now
    return entry


# One set


@given(st.lists(st.tuples(st.sampled_from(["look", "send", "end"]), st.integers(0, 14)), max_size=120))
def test_within_a_set_the_least_recently_used_that_is_not_in_flight_makes_room(moves: list[tuple[str, int]]) -> None:
    cache = PlanCache(WAYS)
    model: OrderedDict[int, bool] = OrderedDict()  # key → whether it is in flight; least recently used first
    for now, (move, key) in enumerate(moves):
        if move == "look":
            if look_up(cache, 1, key, now) < 0:
                free = next((k for k, in_flight in model.items() if not in_flight), None)
                assert (cache.put_heuristic(1, key, 100 + key, now) >= 0) is (len(model) < WAYS or free is not None)
                if len(model) == WAYS and free is not None:
                    del model[free]
                if len(model) < WAYS:
                    model[key] = False
            else:
                model.move_to_end(key)
        elif key in model:
            entry = cache.find(1, key)
            if move == "send":
                cache.sent(entry)
            else:
                cache.unanswered(entry, 0)
            model[key] = move == "send"
        assert {k for k in range(15) if cache.find(1, k) >= 0} == set(model)
        assert all(cache.entries.heuristic[cache.find(1, k)] == 100 + k for k in model)
    assert cache.inserted - cache.evictions == len(model)


def test_an_entry_used_anew_keeps_nothing_of_what_it_was() -> None:
    cache = PlanCache(WAYS)
    for key in range(WAYS):
        entry = cache.put_heuristic(0, key, key, now_ms=key)
        cache.sent(entry)
        cache.answered(entry, 50 + key)
        cache.handed_out(np.array([entry], np.int32))
        cache.entries.demand[entry] = cache.entries.tier[entry] = cache.entries.seen[entry] = 9
    entry = cache.put_heuristic(0, 99, 7, now_ms=20)
    e = cache.entries
    assert (e.heuristic[entry], e.model[entry], e.flags[entry]) == (7, -1, 0)
    assert (e.demand[entry], e.tier[entry], e.seen[entry], e.blocked[entry]) == (0, -1, 0, 0)


# Many sets


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**62 - 1)), max_size=30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=300),
)
def test_whatever_is_found_is_of_that_very_scope_and_key(
    large: list[tuple[int, int]], small: list[tuple[int, int]]
) -> None:
    cache = PlanCache(64)
    for now, (scope, key) in enumerate([*small, *large, *small]):
        if look_up(cache, scope, key, now) < 0:
            cache.put_heuristic(scope, key, 0, now)
        entry = cache.find(scope, key)
        assert (cache.entries.scope[entry], cache.entries.key[entry]) == (scope, key)
        assert entry not in (cache.find(scope, key + 1), cache.find(scope + 1, key))


def test_keys_that_count_up_spread_over_the_sets() -> None:
    cache = PlanCache(8192)
    for key in range(4096):
        cache.put_heuristic(3, key, 0, 0)
    assert cache.evictions < 200, "half full"


@pytest.mark.parametrize(("asked", "made"), [(1, 8), (8, 8), (9, 16), (1000, 1000), (1001, 1008)])
def test_its_size_is_rounded_up_to_whole_sets(asked: int, made: int) -> None:
    assert PlanCache(asked).statistics().capacity == made


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 5)), min_size=2, max_size=60), st.integers(0, 20))
def test_where_too_many_are_wanted_those_stay_that_deserve_a_request_most(
    wanted: list[tuple[int, int]], most: int
) -> None:
    cache = PlanCache(1024)
    for key, (tier, demand) in enumerate(wanted):
        entry = cache.put_heuristic(0, key, 0, now_ms=0)
        cache.entries.tier[entry], cache.entries.demand[entry] = tier, demand
        cache.put_back(entry)
    crowded = cache.crowd_out(0, most)
    assert crowded is (len(wanted) > most)
    stay = (most + 1) // 2 if crowded else len(wanted)
    deserving = sorted(((tier, demand if tier >= 0 else demand - 10) for tier, demand in wanted), reverse=True)
    picked = []
    while (entry := cache.pick(0)) >= 0:
        picked.append((int(cache.entries.tier[entry]), int(cache.entries.demand[entry])))
    assert picked == [each for each in deserving[:stay] if each[0] >= 0]
    assert cache.unasked["crowded_out"] == sum(tier >= 0 for tier, _ in deserving[stay:])


def test_its_statistics_add_up() -> None:
    cache = PlanCache(WAYS)
    for key in range(12):
        entry = cache.put_heuristic(0, key, 0, now_ms=key)
        cache.entries.seen[entry] = 1
    cache.answered(cache.find(0, 11), 3)
    cache.entries.seen[cache.find(0, 11)] = 93
    figures = cache.statistics()
    assert (figures.entries, figures.with_model_plan, figures.distinct_keys, figures.evictions) == (8, 1, 12, 4)
    assert figures.top10_share == 1.0


# With agents


class Scripted:
    """Stands in for the gateway. It answers each key with ``go north`` for a time that says which key it was."""

    is_ready, chooses, max_in_flight, memory = True, False, 32, None

    def __init__(self, vocabulary: Vocabulary, patience: int = 3) -> None:
        self._north = vocabulary.action_index["go"], vocabulary.target_index["north"]
        self._due: list[tuple[int, Answer | Failure]] = []
        self._polls, self._patience = 0, patience
        self.most_in_flight = 0

    def declare_scope(self, scope_id: int, scope: Scope) -> None: ...
    def cancel(self, request_id: int) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...

    def ask(self, request_id: int, scope_id: int, key: int, deadline_s: float, *rest: object) -> bool:
        answer = Answer(request_id, ((*self._north, model_seconds(scope_id, key)),), "raw", 1.0)
        self._due.append((self._polls + self._patience, answer))
        self.most_in_flight = max(self.most_in_flight, len(self._due))
        return True

    def exchange(self) -> None: ...

    def read(self, max_messages: int = 64) -> list[Answer | Failure]:
        self._polls += 1
        due = [message for at, message in self._due if at <= self._polls][:max_messages]
        self._due = [(at, message) for at, message in self._due if message not in due]
        return due

    def describe(self) -> str:
        return "scripted"


def model_seconds(scope: int, key: int) -> float:
    return 0.5 + (key + 100 * scope) / 1000


def heuristic_seconds(key: int) -> float:
    return 0.3 + key / 1000


def moody_world() -> Domain:
    domain = Domain("test", ["unit"])
    domain.column("mood")
    edges = [i + 0.5 for i in range(99)]
    domain.feature("humour", column="mood", edges=edges, words=[str(i) for i in range(100)], hysteresis=0)
    domain.place("north", 0, 10_000)
    domain.stock("approach", name="go", targets=["north"], speed=1)
    domain.heuristic("unit")(lambda situation: f"go north {heuristic_seconds(situation.key)}")
    return domain


def right_plan(sim: Simulation, row: int) -> bool:
    """Whether the plan of an agent is one that was made for the situation in which it took it."""
    agents = sim.agents
    source = Source(int(agents.source[row]))
    # At none: its default plan, until it is served. Or its role's style, as the heuristic could not be called in time.
    if agents.entry[row] < 0 or agents.plan[row] == sim.planner.scopes.style_plan[agents.scope[row]]:
        return source is Source.HEURISTIC
    [step] = sim.planner.plans[int(agents.plan[row])].steps
    if source is Source.HEURISTIC:
        return step.action == "wait" or step.seconds == heuristic_seconds(int(agents.plan_key[row]))
    return step.seconds == model_seconds(int(agents.scope[row]), int(agents.plan_key[row]))


@pytest.mark.parametrize("entries", [8, 16, 64, 1024])
@pytest.mark.parametrize("budget_units", [8, 1000])
def test_nobody_ever_has_a_plan_made_for_another_situation(
    simulate: Callable[..., Simulation], entries: int, budget_units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cache much too small, a store of plans that is always full, and a budget that is always spent."""
    monkeypatch.setattr("astrasim.plans.MIN_LIMIT", 16)
    sim = simulate(
        moody_world(),
        settings={
            "tick_s": 0.1, "cache_entries": entries, "budget_units": budget_units, "requests_per_second": 100.0,
            "max_in_flight": 64,
        },
    )  # fmt: skip
    model = sim.planner.gateway = Scripted(sim.compiled.vocabulary)
    rng = np.random.default_rng(entries)
    agents = sim.spawn_many("unit", 40)
    by_model = 0
    for tick in range(300):
        sim.agents.mood[:] = np.where(rng.random(40) < 0.05, rng.integers(0, 100, 40), sim.agents.mood)
        if tick % 10 == 0:
            sim.order(agents[int(rng.integers(40))], f"order {rng.integers(5)}")
        served = sim.agents.need == 0
        sim.tick()
        wrong = [row for row in range(40) if served[row] and not right_plan(sim, row)]
        assert not wrong
        by_model += int((sim.agents.source > 0).sum())
    assert by_model > 100 and model.most_in_flight >= min(entries / 2, 8)
    assert len(sim.planner.plans) <= 40 * 3 + 2 * entries + 200
    figures = sim.stats()
    assert figures.requests.answered > 50 and figures.cache.entries <= entries


def test_agents_are_served_where_a_set_is_full_of_requests(simulate: Callable[..., Simulation]) -> None:
    sim = simulate(
        moody_world(),
        settings={"cache_entries": 8, "requests_per_second": 10_000.0, "max_in_flight": 64, "budget_ms": 1000.0},
    )
    sim.planner.gateway = Scripted(sim.compiled.vocabulary, patience=10_000)
    sim.spawn_many("unit", 50, mood=np.arange(50))
    for _ in range(30):
        sim.tick()
    assert len(sim.planner.requests) == 4, "half the places stay for new situations"
    late = sim.spawn("unit", mood=77)
    while sim.agents.need[late.row] and sim.ticks < 60:
        sim.tick()
    assert sim.agents.need[late.row] == 0 and right_plan(sim, late.row)


# The store of plans


@pytest.fixture
def store() -> PlanStore:
    return PlanStore(compile_domain(moody_world()).vocabulary)


def plan(seconds: float, length: int = 1) -> Any:
    return tuple((1, 2, seconds + i) for i in range(length))


def forget_but(store: PlanStore, *kept: int) -> None:
    store.look_through()
    store.keep(np.array([-1, *kept], np.int32))
    store.keep(np.array([], np.int32))
    store.forget_others()


def test_equal_plans_of_one_origin_are_one(store: PlanStore) -> None:
    first = store.intern(plan(1.0), Origin.MODEL)
    assert store.intern(plan(1.0), Origin.MODEL) == first
    assert store.intern(plan(1.0), Origin.HEURISTIC) != first
    assert store.intern(plan(1.5), Origin.MODEL) != first
    assert len(store) == 3


def test_a_store_whose_plans_are_all_in_use_grows(store: PlanStore) -> None:
    numbers = [store.intern(plan(i, 1 + i % 8), Origin.MODEL) for i in range(3000)]
    forget_but(store, *numbers)
    assert numbers == list(range(3000)) and not store.is_full
    for i, number in enumerate(numbers):
        assert [step.seconds for step in store[number].steps] == [i + k for k in range(1 + i % 8)]
        assert store.table.seconds[number, : store.table.length[number]].tolist() == [i + k for k in range(1 + i % 8)]


def test_a_store_forgets_what_nobody_refers_to(store: PlanStore) -> None:
    kept = [store.intern(plan(i), Origin.HEURISTIC) for i in range(100)]
    most = 0
    for i in range(20_000):
        if store.is_full:
            forget_but(store, *kept)
        store.intern(plan(1000 + i, 1 + i % 8), Origin.MODEL)
        most = max(most, len(store))
    assert most <= 1024 and len(store.table.length) <= 2048
    assert [store[number].steps[0].seconds for number in kept] == [float(i) for i in range(100)]
    last = store.intern(plan(1000 + 19_999, 8), Origin.MODEL)
    assert store[last].origin is Origin.MODEL and store.table.from_model[last] and store.table.length[last] == 8


def test_what_is_made_or_comes_again_while_the_store_is_looked_through_stays(store: PlanStore) -> None:
    numbers = [store.intern(plan(i), Origin.MODEL) for i in range(1024)]
    store.look_through()
    store.keep(np.array(numbers[:10], np.int32))
    again, new = store.intern(plan(500), Origin.MODEL), store.intern(plan(9000), Origin.MODEL)
    store.keep(np.array([new], np.int32))
    store.forget_others()
    for i in range(1013):
        assert store.intern(plan(5000 + i), Origin.MODEL) not in (again, new, *numbers[:10])
    assert (store[again].steps[0].seconds, store[new].steps[0].seconds) == (500, 9000)


def test_a_plan_that_comes_again_before_its_number_is_reused_is_not_lost(store: PlanStore) -> None:
    numbers = [store.intern(plan(i), Origin.MODEL) for i in range(1024)]
    assert store.is_full
    forget_but(store)
    again = store.intern(plan(5), Origin.MODEL)
    assert again == numbers[5]
    for i in range(1023):
        assert store.intern(plan(5000 + i), Origin.MODEL) != again
    assert store[again].steps[0].seconds == 5
