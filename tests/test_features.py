"""What agents know: buckets, hysteresis, interrupts, and features that are the game's own code."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim import ActionError, Agent, Domain, Rows, Settings, Simulation, Situation

Simulate = Callable[..., Simulation]
QUICK = Settings(model="none", capacity=8, cache_entries=64, strict=True)


def make_oven(edges: list[float], hysteresis: float | None = None) -> Domain:
    """One number, known three ways."""
    oven = Domain("oven", ["cook"])
    oven.column("heat")
    words = [f"bucket {letter}" for letter in "abcdefgh"[: len(edges) + 1]]
    oven.feature("by_column", column="heat", edges=edges, words=words, hysteresis=hysteresis)

    @oven.feature(edges=edges, words=words, hysteresis=hysteresis)
    def by_handle(me: Agent) -> Any:
        return me.heat

    @oven.feature(edges=edges, words=words, hysteresis=hysteresis, vectorised=True)
    def by_columns(me: Rows) -> Any:
        return me.heat

    return oven


def buckets(sim: Simulation, agent: Agent, heat: float) -> tuple[int, ...]:
    sim.agents.heat[agent.row] = heat  # handles refuse NaN, columns take anything
    sim.tick()
    return tuple(sim.situation(agent).buckets.values())


def test_a_bucket_begins_at_its_edge(simulate: Simulate) -> None:
    oven = make_oven([10, 20])
    sim = simulate(oven)
    heats = [9.99, 10, 19.99, 20, 1e30, -1e30, math.inf, -math.inf]
    cooks = [sim.spawn("cook") for _ in heats]
    for cook, heat in zip(cooks, heats, strict=True):
        cook.heat = heat
    sim.tick()
    assert [sim.situation(cook).by_column for cook in cooks] == [0, 1, 1, 2, 2, 0, 2, 0]


def test_a_value_that_trembles_around_an_edge_does_not_flicker(simulate: Simulate) -> None:
    sim = simulate(make_oven([10, 20], hysteresis=1))
    cook = sim.spawn("cook")
    seen = [buckets(sim, cook, heat)[0] for heat in [9, 10.5, 9.5, 10.5, 9.01, 10, 9, 8.9, 9.9, 9.99, 10]]
    assert seen == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1]


def test_a_jump_over_several_buckets_lands_right(simulate: Simulate) -> None:
    sim = simulate(make_oven([10, 20, 30, 40], hysteresis=2))
    cook = sim.spawn("cook")
    seen = [buckets(sim, cook, heat)[0] for heat in [0, 45, 9, 39, 8, 19, 50, 18.5, 17.9]]
    assert seen == [0, 4, 1, 3, 1, 1, 4, 2, 1], "on the way down 9 still counts as past 10, and 18.5 as past 20"


def test_whole_numbers_work_as_edges(simulate: Simulate) -> None:
    sim = simulate(make_oven([1, 3]))
    cook = sim.spawn("cook")
    assert [buckets(sim, cook, number)[0] for number in [0, 1, 2, 3, 2, 1, 0, 3]] == [0, 1, 1, 2, 1, 1, 0, 2]


def test_a_value_that_is_no_number_counts_as_the_first_bucket(simulate: Simulate) -> None:
    sim = simulate(make_oven([10, 20]))
    cook = sim.spawn("cook")
    assert [buckets(sim, cook, heat) for heat in [math.nan, 30, math.nan, 15]] == [
        (0, 0, 0), (2, 2, 2), (0, 0, 0), (1, 1, 1),
    ]  # fmt: skip


grid = st.integers(-40, 80).map(lambda n: n / 4)
values = st.one_of(grid, st.floats(-20, 40, width=32), st.sampled_from([math.nan, math.inf, -math.inf, 3e38, -3e38]))


@settings(max_examples=settings().max_examples // 2)
@given(
    edges=st.lists(st.integers(-8, 16), min_size=1, max_size=7, unique=True).map(sorted),
    hysteresis=st.sampled_from([None, 0, 0.25, 0.3, 1.5, 7]),
    heats=st.lists(values, min_size=1, max_size=25),
)
def test_after_any_values_the_bucket_is_as_defined_and_the_same_three_ways(
    edges: list[float], hysteresis: float | None, heats: list[float]
) -> None:
    oven = make_oven(edges, hysteresis)
    margin = np.float32(oven.declared.features["by_column"].hysteresis)
    with Simulation(oven, QUICK) as sim:
        cook, before = sim.spawn("cook"), 0
        for heat in heats:
            known = buckets(sim, cook, heat)
            assert len(set(known)) == 1
            [bucket] = set(known)
            value, plain = np.float32(heat), sum(heat >= edge for edge in edges)
            assert bucket >= plain, "a value at an edge is past it"
            if bucket > plain:
                assert bucket <= before, "more than the value says it is only on the way down"
                assert value >= np.float32(edges[bucket - 1]) - margin, "and within the hysteresis"
            elif plain < before:
                assert not value >= np.float32(edges[plain]) - margin, "it falls only past the hysteresis"
            before = bucket


def test_the_default_hysteresis_leaves_every_bucket_reachable() -> None:
    def margin(*edges: float) -> float:
        return make_oven(list(edges)).declared.features["by_column"].hysteresis

    assert margin(0, 50, 100) == 2
    assert margin(0, 0.1, 100) == pytest.approx(0.025)
    assert margin(0.3) == pytest.approx(0.006)
    assert margin(0) == 0.02


def test_only_the_kinds_that_have_a_feature_are_asked_for_it(simulate: Simulate) -> None:
    farm = Domain("farm", ["hen", "fox"])
    asked = set()

    @farm.feature(kinds="hen", edges=[1], words=["no egg", "eggs"])
    def eggs(me: Agent) -> int:
        asked.add(me.kind)
        return 2

    farm.percept("prey", nearest="hen", seen_by="fox", radius=9)
    farm.feature("hunger", column="prey_distance", edges=[5], words=["prey is near", "no prey is near"])
    sim = simulate(farm)
    hen, fox = sim.spawn("hen"), sim.spawn("fox")
    sim.tick()
    assert asked == {"hen"}
    assert sim.situation(hen).buckets == {"eggs": 1}
    assert sim.situation(fox).buckets == {"hunger": 0}


def test_features_are_evaluated_in_the_agents_turn_only(simulate: Simulate) -> None:
    farm = Domain("farm", ["hen", "fox"])
    asked: list[int] = []

    @farm.feature(kinds="hen", edges=[1], words=["no egg", "eggs"])
    def eggs(me: Agent) -> int:
        asked.append(me.uid)
        return 2

    @farm.feature(kinds="fox", edges=[1], words=["slow", "sly"])
    def wits(me: Agent) -> int:
        return eggs(me)

    sim = simulate(farm, settings={"every": 4})
    hens = sim.spawn_many("hen", 8)
    foxes = sim.spawn_many("fox", 8)
    sim.tick()
    assert sorted(asked) == [agent.uid for agent in [*hens, *foxes]], "the first look is at once"
    asked.clear()
    for _ in range(8):
        sim.tick()
    assert sorted(asked) == sorted([agent.uid for agent in [*hens, *foxes]] * 2)


def test_a_vectorised_feature_is_not_called_for_nobody(simulate: Simulate) -> None:
    farm = Domain("farm", ["hen", "fox"])

    @farm.feature(kinds="hen", edges=[1], words=["poor", "rich"], vectorised=True)
    def share(me: Rows) -> Any:
        return me.hp / me.hp.max()  # raises for no rows

    sim = simulate(farm)
    sim.spawn("fox")
    sim.tick()
    assert not sim.errors


# Interrupts


@pytest.fixture
def meadow() -> Domain:
    meadow = Domain("meadow", ["sheep"])
    meadow.column("danger")
    meadow.column("hunger")
    meadow.feature("alarm", column="danger", edges=[1], words=["all is calm", "a wolf is here"], interrupt=True)
    meadow.feature("appetite", column="hunger", edges=[1], words=["you are full", "you are hungry"])
    meadow.stock("hold", targets=["home"], seconds=10)
    meadow.stock("patrol", targets=["home"], speed=1, seconds=10)

    @meadow.heuristic("sheep")
    def sense(situation: Situation) -> str:
        return "patrol home" if situation.alarm or situation.appetite else "hold home"

    return meadow


def doing(sim: Simulation, agent: Agent) -> str:
    return sim.why(agent).split("plan: ")[1].split(" ")[0]


def test_a_plan_is_dropped_when_an_interrupt_feature_changes(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    sim.tick()
    assert doing(sim, dolly) == "hold"
    dolly.danger = 1
    sim.tick()
    assert doing(sim, dolly) == "patrol"
    dolly.danger = 0
    sim.tick()
    assert doing(sim, dolly) == "hold"


def test_another_feature_matters_only_for_the_next_plan(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep")
    sim.tick()
    dolly.hunger = 1
    for _ in range(590):
        sim.tick()
        assert doing(sim, dolly) == "hold"
    for _ in range(15):
        sim.tick()
    assert doing(sim, dolly) == "patrol"


def test_the_first_look_interrupts_nothing(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    dolly = sim.spawn("sheep", danger=1)
    for _ in range(3):
        sim.tick()
    assert doing(sim, dolly) == "patrol"
    assert sim.stats().plans.dropped["interrupted"] == 0


# Code that fails


def make_farm(eggs: Callable[[Any], Any], vectorised: bool = False) -> Domain:
    farm = Domain("farm", ["hen"])
    farm.column("laid", default=3)
    farm.feature("eggs", edges=[1, 2, 3], words=list("abcd"), vectorised=vectorised)(eggs)
    return farm


@pytest.mark.parametrize("vectorised", [False, True], ids=["one handle", "columns"])
def test_a_feature_that_raises_is_reported_once_and_keeps_its_last_value(
    simulate: Simulate, caplog: pytest.LogCaptureFixture, vectorised: bool
) -> None:
    healthy = True

    def eggs(me: Any) -> Any:
        if not healthy:
            raise LookupError("no nest")
        return me.laid

    sim = simulate(make_farm(eggs, vectorised), settings={"strict": False})
    hen = sim.spawn("hen")
    sim.tick()
    healthy, hen.laid = False, 0
    with caplog.at_level(logging.ERROR, "astrasim"):
        for _ in range(5):
            sim.tick()
    assert sim.situation(hen).eggs == 3
    assert [record.message.split(" (")[0] for record in caplog.records] == ["feature eggs: LookupError: no nest"]
    assert sim.errors == {"feature eggs: LookupError: no nest": 5}
    healthy = True
    sim.tick()
    assert sim.situation(hen).eggs == 0


@pytest.mark.parametrize("vectorised", [False, True], ids=["one handle", "columns"])
def test_strict_mode_raises_what_a_feature_raises(simulate: Simulate, vectorised: bool) -> None:
    def eggs(me: Any) -> Any:
        raise LookupError("no nest")

    sim = simulate(make_farm(eggs, vectorised))
    sim.spawn("hen")
    with pytest.raises(ActionError, match="feature eggs: raised LookupError") as caught:
        sim.tick()
    assert isinstance(caught.value.__cause__, LookupError)


def test_one_agent_whose_feature_raises_does_not_cost_the_others_theirs(simulate: Simulate) -> None:
    def eggs(me: Agent) -> float:
        return 2 if me.laid else 1 / me.laid

    sim = simulate(make_farm(eggs), settings={"strict": False})
    hens = [sim.spawn("hen", laid=laid) for laid in (1, 0, 1)]
    sim.tick()
    assert [sim.situation(hen).eggs for hen in hens] == [2, 0, 2]


@pytest.mark.parametrize("nonsense", [None, "3", "many", [], [1, 2], object], ids=repr)
def test_a_feature_that_returns_no_number_is_reported(simulate: Simulate, nonsense: object) -> None:
    sim = simulate(make_farm(lambda me: 3 if sim.ticks == 1 else nonsense), settings={"strict": False})
    hen = sim.spawn("hen")
    sim.tick()
    sim.tick()
    assert sim.situation(hen).eggs == 3
    assert len(sim.errors) == 1 and "feature eggs: " in next(iter(sim.errors))


@pytest.mark.parametrize("number", [True, np.float32(1), np.int64(1), np.array(1.0), 1], ids=repr)
def test_whatever_is_a_number_will_do(simulate: Simulate, number: Any) -> None:
    sim = simulate(make_farm(lambda me: number))
    hen = sim.spawn("hen")
    sim.tick()
    assert sim.situation(hen).eggs == 1


@pytest.mark.parametrize("huge", [1e300, 10**300, math.inf], ids=["1e300", "10**300", "inf"])
def test_a_number_beyond_float32_counts_as_infinite(simulate: Simulate, huge: float) -> None:
    sim = simulate(make_farm(lambda me: huge))
    hen = sim.spawn("hen")
    with np.errstate(all="raise"):
        sim.tick()
    assert sim.situation(hen).eggs == 3


def test_a_vectorised_feature_of_the_wrong_shape_is_reported(simulate: Simulate) -> None:
    sim = simulate(make_farm(lambda me: np.ones(len(me) + 1), vectorised=True), settings={"strict": False})
    sim.spawn_many("hen", 3)
    sim.tick()
    assert [name.split(":")[0] for name in sim.errors] == ["feature eggs"]
