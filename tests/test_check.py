"""Domain.check(): what can only be wrong once all is declared, and what a model would be shown."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import pytest

from astrasim import Agent, Domain, DomainError, Settings, Simulation, Situation, Status

Simulate = Callable[..., Simulation]


def make_meadow() -> Domain:
    meadow = Domain("meadow", ["sheep", "wolf"])
    meadow.thing("clover")
    meadow.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    meadow.percept("food", nearest="clover", seen_by="sheep", radius=30)
    meadow.percept("prey", weakest="sheep", seen_by="wolf", radius=30)
    meadow.place("pasture", 5, 5)
    meadow.feature("danger", column="threat_distance", edges=[9], words=["a wolf is near", "no wolf in sight"])
    meadow.feature("hunger", column="stamina", edges=[50], words=["you are hungry", "you are full"])
    meadow.stock("hold", targets=["pasture", "home"], about="stay there")
    meadow.stock("approach", name="chase", targets="prey", speed=5)
    meadow.stock("flee", targets="threat", speed=5)
    return meadow


def complaint(domain: Domain) -> str:
    with pytest.raises(DomainError) as caught:
        domain.check()
    return str(caught.value)


NAMES: dict[str, tuple[Callable[[Any], object], str]] = {
    "an unknown column of a kind": (
        lambda m: m.kinds["wolf"].update(hpp=60),
        "kind 'wolf': no column 'hpp'; did you mean 'hp'? There are: x, y",
    ),
    "a percept's column as a kind's value": (
        lambda m: m.kinds["wolf"].update(prey=60),
        "kind 'wolf': 'prey' is a reference, not a number; there are: x, y",
    ),
    "an unknown column to go by": (
        lambda m: m.percept("poor", weakest="wolf", by="golf", radius=9),
        "percept 'poor': by: no column 'golf'; there are: x, y",
    ),
    "a column of agents to compare things by": (
        lambda m: m.percept("small", weakest="clover", by="stamina", radius=9),
        "percept 'small': by: no column of things 'stamina'; there are: x, y, amount",
    ),
    "a feature of an unknown column": (
        lambda m: m.feature("f", column="stmina", edges=[1], words=["a", "b"]),
        "feature 'f': column: no column 'stmina'; did you mean 'stamina'? There are: x, y",
    ),
    "a feature of a reference": (
        lambda m: m.feature("f", column="threat", edges=[1], words=["a", "b"]),
        "feature 'f': column: 'threat' is a reference, not a number",
    ),
    "a feature of those without the percept": (
        lambda m: m.feature("f", column="threat_distance", edges=[1], words=["a", "b"], kinds="wolf"),
        "feature 'f': a wolf has no column 'threat_distance': its percept is seen_by sheep",
    ),
    "an unknown target": (
        lambda m: m.stock("follow", targets=["home", "pasure"], speed=1),
        "action 'follow': no target 'pasure'; did you mean 'pasture'? There are: self, home, threat, food",
    ),
    "an unknown need": (
        lambda m: m.stock("follow", targets="home", speed=1, needs={"amo": 1}),
        "action 'follow': needs: no column 'amo'; did you mean 'ammo'?",
    ),
    "an unknown column to change": (
        lambda m: m.stock("rest", targets="home", rate=1, column="strength"),
        "action 'rest': column: no column 'strength'; there are: x, y",
    ),
    "a target without a line of sight": (
        lambda m: m.stock("follow", targets="prey", speed=1, line_of_sight=True),
        "action 'follow' needs line of sight to 'prey', which has none: declare it as a nearest or weakest percept "
        "with line_of_sight=True",
    ),
    "an attack on a place": (
        lambda m: m.stock("attack", targets="pasture", damage=1, range=1),
        "action 'attack' acts on agents, and 'pasture' is no reference to an agent",
    ),
    "taking an agent": (
        lambda m: m.stock("take", targets="prey", speed=1),
        "action 'take' takes things, and 'prey' is no percept of things",
    ),
    "an action of those without its targets": (
        lambda m: m.stock("follow", targets=["threat", "food"], speed=1, kinds=["sheep", "wolf"]),
        "action 'follow': a wolf has none of its targets (threat, food): it could never start",
    ),
    "an unknown action of a role": (
        lambda m: m.role("alpha", kinds="wolf", actions=["chse"]),
        "role 'alpha': no action 'chse'; did you mean 'chase'? There are: wait, hold, chase, flee",
    ),
    "an action that no kind of the role has": (
        lambda m: m.role("alpha", kinds="wolf", actions=["flee"]),
        "role 'alpha': none of its kinds (wolf) can 'flee'",
    ),
    "a role that takes the name of another's own": (
        lambda m: m.role("wolf", kinds="sheep"),
        "role 'wolf' is not for the kind of its name, whose plain role it is; add 'wolf' to its kinds=",
    ),
    "a heuristic for nobody": (
        lambda m: m.heuristic("shep")(lambda situation: "wait self"),
        "heuristic for 'shep': no kind or role 'shep'; did you mean 'sheep'? There are: sheep, wolf",
    ),
    "a feature without column or function": (
        lambda m: m.feature("f", edges=[1], words=["a", "b"]),
        "feature 'f' has no column= and is on no function",
    ),
    "an action on nothing": (
        lambda m: m.action(name="hop", targets="home"),
        "action 'hop' (targets='home') is on no function and no class",
    ),
    "a heuristic on nothing": (
        lambda m: m.heuristic("wolf"),
        "heuristic for 'wolf' is on no function; write @domain.heuristic(",
    ),
    "a default plan that is none": (
        lambda m: m.role("guard", kinds="sheep", default="hold pasure"),
        "role 'guard': default=['hold pasure'] is no plan for a sheep: unknown_target: 'pasure'; hold can have: ",
    ),
    "a default plan of another kind": (
        lambda m: m.role("any", default="chase prey"),
        "role 'any': default=['chase prey'] is no plan for a sheep: unknown_action: 'chase'",
    ),
    "a default plan whose target may be missing": (
        lambda m: m.role("guard", kinds="sheep", default=["hold home", "flee threat"]),
        "must always be possible, and 'threat' is not always there; use self, home or a place",
    ),
    "a default plan with preconditions": (
        lambda m: [
            m.stock("patrol", targets="home", speed=1, needs={"stamina": 5}),
            m.role("guard", kinds="sheep", default=["hold home", "patrol home"]),
        ],
        "must always be possible, and 'patrol' has preconditions",
    ),
}


@pytest.mark.parametrize("mistake", NAMES)
def test_a_mistake_is_found_before_the_first_frame(mistake: str) -> None:
    declare, said = NAMES[mistake]
    meadow = make_meadow()
    declare(meadow)
    text = complaint(meadow)
    assert text.startswith("domain 'meadow'") and said in text
    with pytest.raises(DomainError) as caught:
        Simulation(meadow, Settings(model="none"))
    assert str(caught.value) == text, "a simulation says the same"


def test_all_mistakes_are_listed_at_once() -> None:
    meadow = make_meadow()
    for mistake in ("an unknown target", "an unknown action of a role", "a heuristic for nobody"):
        NAMES[mistake][0](meadow)
    text = complaint(meadow)
    assert text.startswith("domain 'meadow' has 3 mistakes:\n- ")
    assert all(word in text for word in ("'pasure'", "'chse'", "'shep'"))


# Heuristics are tried


def with_heuristic(sense: Callable[[Situation], Any], kind: str = "sheep") -> Domain:
    meadow = make_meadow()
    meadow.heuristic(kind)(sense)
    return meadow


def test_a_heuristic_that_raises_in_some_bucket_is_found() -> None:
    def sense(situation: Situation) -> str:
        return ["flee threat", "hold home"][situation.danger + situation.hunger]

    text = complaint(with_heuristic(sense))
    assert "heuristic sense raised for Situation(sheep, key 3: no wolf in sight; you are full): IndexError" in text


def test_a_heuristic_that_misspells_a_feature_is_told_the_right_one() -> None:
    text = complaint(with_heuristic(lambda situation: "flee threat" if situation.dangr else "hold home"))
    assert "a situation of a sheep: no feature 'dangr'; did you mean 'danger'? There are: danger, hunger" in text


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returned None for Situation(sheep"),
        (3, "it must return 'action target [seconds]', or a list of up to 8 such lines"),
        ([("flee", "threat")], "it must return 'action target [seconds]'"),
        ("", "which is no plan: wrong_length: 0 steps, expected 1 to 8"),
        (["wait self"] * 9, "which is no plan: wrong_length: 9 steps"),
        ("flee", "which is no plan: wrong_shape: 'flee' is not 'action target'"),
        ("flea threat", "which is no plan: unknown_action: 'flea'; sheep can: wait, hold, flee"),
        ("chase prey", "which is no plan: unknown_action: 'chase'"),
        ("hold bridge", "which is no plan: unknown_target: 'bridge'; hold can have: pasture, home"),
        ("hold home long", "which is no plan: bad_duration: 'long' is no number of seconds"),
        ("hold home 11", "which is no plan: bad_duration: 11.0 s is not within 0.1 to 10"),
    ],
)
def test_a_heuristic_that_returns_no_plan_is_found(returned: Any, said: str) -> None:
    assert said in complaint(with_heuristic(lambda situation: returned))


@pytest.mark.parametrize(
    "returned",
    ["flee threat", ["flee threat", "hold home 2.5"], ("wait self",), iter(["wait self"] * 2), "hold home\nwait self"],
    ids=["a line", "a list", "a tuple", "an iterator", "lines in one"],
)
def test_lines_may_come_in_any_way(returned: Any) -> None:
    lines = list(returned) if not isinstance(returned, str) else returned
    with_heuristic(lambda situation: iter(lines) if isinstance(lines, list) else lines).check()


def test_a_heuristic_is_asked_about_every_bucket_of_every_feature() -> None:
    asked = []

    def sense(situation: Situation) -> str:
        asked.append((situation.danger, situation.hunger))
        return "wait self"

    with_heuristic(sense).check()
    assert set(asked[:4]) == {(0, 0), (0, 1), (1, 0), (1, 1)}, "before it is asked for examples"


def test_a_check_of_a_million_situations_takes_no_million_calls() -> None:
    meadow, asked = make_meadow(), []

    def sense(situation: Situation) -> str:
        asked.append(situation.key)
        return "wait self"

    for number in range(20):
        meadow.feature(f"f{number}", column="hp", edges=[1, 2, 3], words=list("abcd"))
    meadow.heuristic("wolf")(sense)
    meadow.check()
    assert 40 < len(asked) < 300


@pytest.mark.parametrize("raises", [True, False])
def test_in_the_game_a_heuristic_that_fails_leaves_the_style_to_decide(
    simulate: Simulate, caplog: pytest.LogCaptureFixture, raises: bool
) -> None:
    def sense(situation: Situation) -> str:
        return str(1 / 0) if raises else "fly away"

    with caplog.at_level(logging.WARNING, "astrasim"):
        sim = simulate(with_heuristic(sense), settings={"strict": False})
        dolly = sim.spawn("sheep")
        for _ in range(3):
            sim.tick()
    assert "plan: hold pasture" in sim.why(dolly)
    assert "heuristic sense" in caplog.text


# What it shows


def test_a_good_domain_shows_what_a_model_would_be_asked() -> None:
    report = make_meadow().check()
    assert (report.domain, report.warnings) == ("meadow", ())
    assert [(s.scope.kind, s.scope.role, s.situations) for s in report.shown] == [
        ("sheep", "sheep", 4),
        ("wolf", "wolf", 2),
    ]
    sheep, wolf = report.shown
    assert "- hold (stay there): pasture, home" in sheep.prompts["full"].system
    assert sheep.prompts["full"].user == "Situation: a wolf is near; you are hungry.\nWhat do you do?"
    assert json.loads(wolf.schema)["properties"]["steps"]["maxItems"] == 8
    assert 'step ::= "wait self" | "hold pasture" | "hold home" | "chase prey"' in wolf.grammar
    text = str(report)
    assert "domain meadow: no mistakes" in text
    for shown in report.shown:
        assert f"== {shown.scope.kind}, role {shown.scope.role}: {shown.situations} situations ==" in text
        assert all(part in text for part in (shown.schema, shown.grammar))
        assert list(shown.prompts) == ["full", "compressed", "simplified"]
        for length, prompt in shown.prompts.items():
            assert prompt.system in text and prompt.user in text
            tokens = math.ceil((len(prompt.system) + len(prompt.user)) / 3)
            assert f"prompt, {length}: {prompt.characters} characters, about {tokens} tokens (characters / 3)" in text


def test_what_is_odd_but_no_mistake_is_a_warning() -> None:
    odd = Domain("odd", ["stone", "sheep", "wolf"])
    odd.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    odd.percept("foe", nearest="wolf", seen_by=["sheep", "wolf"], radius=30)
    odd.feature("life", column="hp", kinds=["sheep", "wolf"], edges=[1, 2], words=list("abc"), hysteresis=3)
    odd.stock("flee", targets=["threat", "foe"], kinds=["sheep", "wolf"], speed=2)
    report = odd.check()
    assert sorted(report.warnings) == [
        "a stone has no action but to wait",
        "a stone has no features: all its situations are the same",
        "a wolf can never flee threat: it has no percept 'threat'",
        "feature 'life': its hysteresis of 3 is wider than one of its buckets",
    ]
    assert "warning: a stone has no action but to wait" in str(report)


def test_an_empty_game_is_no_mistake(simulate: Simulate) -> None:
    bare = Domain("bare", ["stone"])
    assert len(bare.check().warnings) == 2
    sim = simulate(bare)
    stone = sim.spawn("stone")
    sim.tick()
    assert "wait self" in sim.why(stone)


def test_checking_changes_nothing(simulate: Simulate) -> None:
    meadow = make_meadow()

    @meadow.action(targets="self")
    def dance(me: Agent, target: Any, dt: float) -> Status:
        return Status.DONE

    before = str(meadow.check())
    assert str(meadow.check()) == before
    simulate(meadow)
    assert str(meadow.check()) == before
