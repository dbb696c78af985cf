"""Tiers: who may ask a model, how often, with which prompt and share of the budget, and agents that change theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim import Agent, AgentGone, DomainError, Settings, SettingsError, Simulation, Source, Tier, WorldError
from astrasim.admission import Admission
from astrasim.gateway.policy import GatewayPolicy
from astrasim.pace import Pace

if TYPE_CHECKING:
    from tests.conftest import Yard

Simulate = Callable[..., Simulation]


def source(agent: Agent, sim: Simulation) -> Source:
    return Source(int(sim.agents.source[agent.row]))


def waiting(sim: Simulation) -> int:
    return int((sim.agents.need > 0).sum())


CLASSICAL = Tier(name="minion", requests_per_second=0)
BOSS = Tier(name="boss")


# Who may ask


def test_bosses_ask_the_model_and_minions_never_do_but_follow_what_was_made_for_bosses(
    yard: Yard, stand_in: Any
) -> None:
    sim = yard.start(CLASSICAL, BOSS)
    minions = sim.spawn_many("cow", 10, mood=range(10))
    bosses = sim.spawn_many("cow", 2, mood=[3, 20], tier="boss")
    yard.run(sim, 1)
    assert sorted(yard.moods(sim)) == [3, 20]
    for number in (1, 2):
        stand_in.answer(sim, number, "guard barn 900")
    yard.run(sim, 0.5)
    late = sim.spawn("cow", mood=20)
    yard.run(sim, 30)
    assert not stand_in.asked, "nothing more was asked, however long they waited"
    assert [source(agent, sim) for agent in bosses] == [Source.LLM] * 2
    assert source(late, sim) is Source.CACHE, "it came to a boss's situation"
    told = {int(agent.mood): source(agent, sim) for agent in minions}
    assert told.pop(3) is Source.LLM, "it was in the same situation as a boss, and waited with it"
    assert set(told.values()) == {Source.HEURISTIC}
    cache = sim.stats().cache
    assert cache.wanted == 0 and cache.unasked == {"stale": 0, "crowded_out": 0}
    assert "nobody in it may ask a model (tier minion: requests_per_second 0)" in sim.why(minions[0])


def test_a_world_full_of_classical_minions_does_not_crowd_a_boss_out(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(CLASSICAL, BOSS, max_waiting=8)
    stand_in.is_ready = False
    sim.spawn_many("cow", 190, mood=np.arange(190))
    boss = sim.spawn("cow", mood=195, tier="boss")
    for turn in range(60):  # they keep wanting plans, and their situations grow old
        sim.agents.alarm[:190] = turn % 2
        yard.run(sim, 1)
        boss.alarm = turn % 2
    yard.run(sim, 0.2)
    stand_in.is_ready = True
    yard.run(sim, 0.2)
    assert set(yard.moods(sim)) == {195}


def test_each_tier_asks_as_often_as_it_may(yard: Yard) -> None:
    sim = yard.start(Tier(name="crowd", requests_per_second=2), Tier(name="captain"), max_in_flight=200)
    crowd = sim.spawn_many("cow", 50, mood=np.arange(50))
    sim.spawn_many("cow", 20, mood=np.arange(100, 120), tier="captain")
    yard.run(sim, 3)
    asked = yard.moods(sim)
    assert sorted(mood for mood in asked if mood >= 100) == list(range(100, 120))
    assert 5 <= sum(mood < 100 for mood in asked) <= 7, "3 seconds, at 2 a second"
    minion = next(agent for agent in crowd if int(agent.mood) not in asked)
    assert "2 requests a second go out for the tier crowd" in sim.why(minion)


@given(
    rates=st.lists(st.one_of(st.none(), st.floats(0, 30)), min_size=1, max_size=4),
    pauses_s=st.lists(st.floats(0, 2), max_size=40),
)
def test_no_tier_passes_its_rate_and_none_the_rate_of_all(rates: list[float | None], pauses_s: list[float]) -> None:
    tiers = [Tier(name=f"t{number}", requests_per_second=rate) for number, rate in enumerate(rates)]
    admission = Admission(GatewayPolicy(), Pace(requests_per_second=20.0), tiers)
    admission.pass_time(1000.0)
    sent, passed_s = [0] * len(tiers), 0.0
    for pause_s in pauses_s:
        passed_s += pause_s
        admission.pass_time(1000.0 + passed_s)
        while may_ask := admission.decide(True, 0, 32):
            assert may_ask & ~admission.everyone == 0
            tier = may_ask.bit_length() - 1
            admission.sent(sum(sent), 1000.0 + passed_s, tier)
            sent[tier] += 1
    for number, rate in [*zip(sent, rates, strict=True), (sum(sent), 20.0)]:
        if rate is not None:
            assert number <= max(1.0, rate / 10) + rate * passed_s + 1e-6 if rate else number == 0


def test_orders_go_one_ahead_of_their_tiers_own_rate_and_a_classical_tiers_are_not_asked_about(
    yard: Yard, stand_in: Any
) -> None:
    sim = yard.start(CLASSICAL, Tier(name="guard", requests_per_second=1), max_in_flight=64)
    minion = sim.spawn("cow", mood=50)
    guards = sim.spawn_many("cow", 10, mood=range(10), tier="guard")
    yard.run(sim, 0.3)
    assert len(stand_in.asked) == 1
    sim.order(minion, "come here")
    for number, guard in enumerate(guards):
        sim.order(guard, f"to the barn, {number}")
    yard.run(sim, 0.1)
    assert [stand_in.scopes[scope].order for scope, _ in stand_in.asked.values()][1:] == ["to the barn, 0"]
    yard.run(sim, 9)
    asked = [stand_in.scopes[scope].order for scope, _ in stand_in.asked.values()]
    assert len(asked) == 10 and "come here" not in asked and all(asked[1:])


# With which prompt


def test_a_tier_has_a_prompt_of_its_own_and_shares_plans_only_where_it_is_the_same(yard: Yard, stand_in: Any) -> None:
    crowd = Tier(name="crowd", prompt="simplified")
    sim = yard.start(crowd, Tier(name="captain"), Tier(name="hero"), prompt="compressed")
    for tier in ("crowd", "captain", "hero"):
        sim.spawn("cow", mood=5, tier=tier)
    yard.run(sim, 0.5)
    assert [stand_in.scopes[scope].prompt for scope, _ in stand_in.asked.values()] == ["compressed", "simplified"]


# Agents that change tier


def test_agents_change_tier_as_the_player_comes_near_and_their_requests_rank_higher(
    yard: Yard, stand_in: Any
) -> None:
    sim = yard.start(requests_per_second=5.0)
    stand_in.is_ready = False
    sim.spawn_many("cow", 3 * 50, mood=np.repeat(np.arange(50), 3), x=np.repeat(np.arange(50), 3) * 100.0)
    lonely = sim.spawn("cow", mood=60, x=10_000)
    yard.run(sim, 0.3)
    for player in (9_000.0, 10_000.0):  # the player comes near the lonely one
        near = abs(sim.agents.x - player) < 50
        sim.set_tier(near, "hero")
        sim.set_tier(~near, "minion")
    assert [agent.tier for agent in (lonely, sim.agents.handles[0])] == ["hero", "minion"]
    stand_in.is_ready = True
    yard.run(sim, 0.6)
    assert yard.moods(sim)[0] == 60, "though three minions wait in each other mood"
    herd = abs(sim.agents.x - 2000) < 50
    sim.set_tier(herd, "hero")
    yard.run(sim, 0.6)
    assert 20 in yard.moods(sim)[-3:]


def test_who_is_promoted_from_a_tier_that_asks_nothing_is_asked_about_at_once(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(CLASSICAL, BOSS)
    cow, other = sim.spawn_many("cow", 2, mood=[1, 2])
    yard.run(sim, 20)
    assert not stand_in.asked
    cow.tier = "boss"
    yard.run(sim, 0.3)
    assert yard.moods(sim) == [1] and (cow.tier, other.tier) == ("boss", "minion")
    cow.tier = "minion"
    stand_in.answer(sim, 1, "go home 500")
    yard.run(sim, 0.3)
    assert source(cow, sim) is Source.LLM, "what was asked for it is still its plan"


def test_a_change_of_tier_changes_the_scope_only_where_the_prompt_is_another(yard: Yard, stand_in: Any) -> None:
    sim = yard.start(Tier(name="crowd", prompt="simplified"), Tier(name="captain"), Tier(name="hero"), prompt="full")
    cow = sim.spawn("cow", mood=1)
    sim.order(cow, "stay here")
    yard.run(sim, 0.3)
    plan = sim.agents.plan[cow.row]
    scopes = []
    for tier in ("captain", "hero", "crowd"):
        cow.tier = tier
        sim.tick()
        scopes.append(sim.planner.scopes[int(sim.agents.scope[cow.row])])
        assert sim.agents.plan[cow.row] == plan, "it goes on with what it does"
    assert [scope.prompt for scope in scopes] == ["full", "full", "simplified"]
    assert {scope.order for scope in scopes} == {"stay here"}
    cow.tier, cow.alarm = "hero", 1
    yard.run(sim, 0.3)
    assert [stand_in.scopes[scope].prompt for scope, _ in stand_in.asked.values()] == ["simplified", "full"]


def test_a_wrong_change_of_tier_says_why_and_changes_nothing(simulate: Simulate, yard: Yard) -> None:
    sim, other = simulate(yard.domain()), simulate(yard.domain(), world="elsewhere")
    cow, gone = sim.spawn_many("cow", 2)
    sim.remove(gone)
    sim.tick()
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: sim.set_tier(cow, "king"), DomainError, "no tier 'king'; there are: minion, leader, boss, hero"),
        (lambda: sim.set_tier([cow, gone], "hero"), AgentGone, "was deleted"),
        (lambda: sim.set_tier(other.spawn("cow"), "hero"), WorldError, "no agent of this simulation"),
        (lambda: sim.set_tier(np.ones(5, np.bool_), "hero"), DomainError, r"a mask of bool, shape \(1,\)"),
        (lambda: sim.set_tier(np.zeros(1), "hero"), DomainError, "an array of float64"),
        (lambda: setattr(cow, "tier", "king"), DomainError, "no tier 'king'"),
    ]
    for do, error, said in wrong:
        with pytest.raises(error, match=said):
            do()
    assert cow.tier == "minion"


# The share of the budget


def serve_until_all_have_plans(sim: Simulation, of: slice) -> int:
    """How many ticks it takes until all these rows have a plan."""
    for ticks in range(1, 2000):
        sim.tick()
        if not sim.agents.need[of].any():
            return ticks
    raise AssertionError("some were never served")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_share_of_the_budget_is_kept_for_a_tier_that_has_needs(
    simulate: Simulate, yard: Yard, share: float, named: bool
) -> None:
    tiers = [Tier(name="minion"), Tier(name="hero", budget_share=share)]
    if not named:  # who is spawned without a tier is of the first
        tiers.reverse()
    sim = simulate(yard.domain(), settings={"budget_units": 4, "strict": False, "tiers": tuple(tiers)})
    sim.spawn_many("cow", 200, mood=np.arange(200), tier="minion")
    yard.run(sim, 30)  # every heuristic was called
    sim.spawn_many("cow", 9_000, mood=np.arange(9_000) % 200, tier="minion")
    heroes = sim.spawn_many("cow", 512, mood=np.arange(512) % 200, tier="hero" if named else None)
    first = heroes[0].row
    ticks = serve_until_all_have_plans(sim, slice(first, first + 512))
    assert ticks in (2, 3) if share else ticks > 15, "two of four units a tick are theirs; else they come in row order"


def test_what_a_tier_does_not_need_of_its_share_others_use(simulate: Simulate, yard: Yard) -> None:
    served = []
    for share in (0.0, 0.9):
        tiers = (Tier(name="minion"), Tier(name="hero", budget_share=share))
        settings = {"budget_units": 4, "strict": False, "tiers": tiers}
        sim = simulate(yard.domain(), settings=settings, world=f"share {share}")
        sim.spawn_many("cow", 1, tier="hero")
        sim.spawn_many("cow", 5_000)
        yard.run(sim, 0.5)
        served.append(5_000 - waiting(sim))
    assert served[1] >= served[0] - 128 > 0


@pytest.mark.parametrize("units", [1, 3])
def test_minions_have_their_turn_however_much_heroes_need(simulate: Simulate, yard: Yard, units: int) -> None:
    tiers = (Tier(name="minion"), Tier(name="boss", budget_share=0.2), Tier(name="hero", budget_share=0.5))
    sim = simulate(yard.domain(), settings={"budget_units": units, "strict": False, "tiers": tiers})
    sim.spawn_many("cow", 1_000, mood=np.arange(1_000) % 10)
    high = sim.spawn_many("cow", 2_000, mood=np.arange(2_000) % 10, tier="hero")
    sim.set_tier(high[::2], "boss")
    served = np.zeros(3_000, np.bool_)
    for turn in range(600 // units):
        sim.agents.alarm[1_000:] = turn % 2  # they need another plan, always
        sim.tick()
        served |= sim.agents.need == 0
    assert served.all()


# What is declared


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([], r"tiers.*there are 0; declare 1 to 16"),
        ([{"name": "a"}, {"name": "a"}], "two are called 'a'"),
        ([{"name": "a", "budget_share": 0.5}, {"name": "b", "budget_share": 0.5}], "adds up to 1; 0.9 at most"),
        ([{"name": "a", "deadline_s": 0}], r"tiers\.0\.deadline_s=0: Input should be greater than 0"),
        ([{"name": "a"}, {"name": "b", "prompt": "long"}], r"tiers\.1\.prompt='long': .*'full', 'compressed' or"),
        ([{"name": "two words"}], r"tiers\.0\.name='two words'"),
        ([{"name": "a", "dedline_s": 3}], r"no field of a tier 'dedline_s'; did you mean 'deadline_s'\?"),
        ([{"slots": 3}], r"tiers\.0\.name=.*Field required"),
        ("hero", "tiers='hero'"),
    ],
)
def test_tiers_that_cannot_be_are_refused_with_what_is_allowed(tiers: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings(tiers=tiers)


def test_tiers_stand_in_the_file_or_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("astrasim.toml").write_text(
        '[[tiers]]\nname = "crowd"\nrequests_per_second = 0\n[[tiers]]\nname = "captain"\nprompt = "simplified"\n'
    )
    crowd, captain = Tier(name="crowd", requests_per_second=0), Tier(name="captain", prompt="simplified")
    assert Settings().tiers == (crowd, captain)
    monkeypatch.setenv("ASTRASIM_TIERS", '[{"name": "solo"}]')
    assert Settings().tiers == (Tier(name="solo"),)
    assert Settings(tiers=[captain]).tiers == (captain,)
    monkeypatch.setenv("ASTRASIM_TIERS", "solo")
    with pytest.raises(SettingsError, match=r"tiers.*write JSON there"):
        Settings()


def test_a_game_that_declares_no_tiers_has_four_and_spawns_the_least(simulate: Simulate, yard: Yard) -> None:
    sim = simulate(yard.domain())
    assert sim.spawn("cow").tier == "minion" and sim.agents.tier_names == ("minion", "leader", "boss", "hero")
    crowd = simulate(yard.domain(), settings={"tiers": (Tier(name="crowd"), BOSS)}, world="two")
    assert crowd.spawn("cow").tier == "crowd"
    with pytest.raises(DomainError, match="no tier 'hero'; there are: crowd, boss"):
        crowd.spawn("cow", tier="hero")
