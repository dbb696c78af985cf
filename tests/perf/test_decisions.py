"""The labelled situations, the rules that labelled them, and the arithmetic of their figures."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources

import pytest

from astrasim import Settings, Simulation
from astrasim.perf.arena import make_arena
from astrasim.perf.decisions import (
    KIND,
    Row,
    _figures,
    examples_shown,
    few_of_each,
    in_two_stages,
    situations,
    with_examples,
)
from astrasim.perf.paired import paired
from astrasim.prompts import json_prompt


@pytest.mark.parametrize("part", ["tune", "report"])
def test_each_action_is_right_nine_times_and_every_right_step_is_possible(part: str) -> None:
    sim = Simulation(make_arena(100), Settings(model="none", warmup=False))
    scope = sim.compiled.scope(KIND, sim.compiled.roles[KIND], "", "test")
    given = situations(part, sim.compiled.vocabulary, scope)
    assert set(Counter(each.right.split()[0] for each in given).values()) == {9}
    assert len({each.key for each in given}) == len(given) == 72
    for each in given:
        assert each.right in each.possible and len(each.possible) >= 2
        assert each.short and set(each.short) <= set(each.possible)
    row = Row("all right", [each.right for each in given])
    assert _figures(row, given)["step_right"] == 72
    assert set(Counter(each.right.split()[0] for each in few_of_each(given, 4)).values()) == {4}


def test_the_two_parts_share_no_situation() -> None:
    sim = Simulation(make_arena(100), Settings(model="none", warmup=False))
    scope = sim.compiled.scope(KIND, sim.compiled.roles[KIND], "", "test")
    words = sim.compiled.vocabulary
    tune, report = ({each.key for each in situations(part, words, scope)} for part in ("tune", "report"))
    assert not tune & report


def label(**bucket: int) -> tuple[str, int]:
    """The right step in a situation, and the number of the rule that says so: the rules as code."""
    in_reach, reach_or_near, in_sight = (bucket["foe_range"] < edge for edge in (1, 2, 3))
    outnumbered = bucket["foe_count"] > bucket["friend_count"]
    friend_beside, friend_in_sight, alone = (bucket["friend_range"] == place for place in range(3))
    at_flag, near_flag = (bucket["flag_distance"] == place for place in range(2))
    badly_hurt, weapon_ready = bucket["hurt"] == 0, bucket["weapon"] == 0
    exhausted, tired = (bucket["stamina_left"] == left for left in range(2))
    no_ammunition, little_ammunition = (bucket["ammunition"] == left for left in range(2))
    many_foes = bucket["foe_count"] >= 2
    rules = [
        (badly_hurt and reach_or_near, "flee foe"),
        (no_ammunition and reach_or_near, "flee foe"),
        (alone and many_foes and reach_or_near, "flee foe"),
        ((badly_hurt or exhausted or (tired and not in_sight)) and not reach_or_near, "rest self"),
        (no_ammunition or (little_ammunition and not in_sight), "reload self"),
        (in_reach and weapon_ready, "attack foe"),
        (in_reach, "hold self"),
        (in_sight and outnumbered and friend_beside, "follow friend"),
        (in_sight and outnumbered and friend_in_sight, "approach friend"),
        (in_sight and outnumbered, "patrol home"),
        (in_sight and not weapon_ready, "hold self"),
        (in_sight and at_flag, "hold flag"),
        (in_sight, "approach foe"),
        (at_flag, "hold flag"),
        (near_flag, "patrol flag"),
        (friend_beside, "follow friend"),
        (friend_in_sight, "approach flag"),
        (True, "patrol home"),
    ]
    return next((step, number) for number, (holds, step) in enumerate(rules, 1) if holds)


def test_each_label_follows_from_the_rules_as_they_are_written() -> None:
    told = json.loads(resources.files("astrasim.perf").joinpath("decisions_labelled.json").read_text(encoding="utf-8"))
    used = set()
    for each in told["situations"]:
        step, number = label(**dict(zip(told["features"], each["buckets"], strict=True)))
        assert (each["right"], each["rule"]) == (step, number)
        assert f": {step}" in told["rules"][number - 1]
        used.add(number)
    assert len(told["rules"]) == 18 and used == set(range(1, 19))


def test_the_prompt_with_examples_shows_eight_and_the_one_for_plans_four() -> None:
    sim = Simulation(make_arena(100), Settings(model="none", warmup=False))
    scope = sim.compiled.scope(KIND, sim.compiled.roles[KIND], "", "test")
    assert len(examples_shown(sim.words, scope)) == 8
    assert with_examples(sim.words, scope)(0).count("\nAction: ") == 8
    assert json_prompt(sim.words, scope, 0).system.count("Situation: ") == 4
    with pytest.raises(ValueError, match="no examples"):
        with_examples(sim.compiled.vocabulary, scope)


def test_in_two_stages_the_targets_of_an_action_do_not_count_against_it() -> None:
    logs = {"hold flag": -1.6, "hold self": -1.7, "rest self": -1.5}
    options = ("rest self", "hold self", "hold flag")
    assert in_two_stages(logs, options, None) == "hold flag"
    assert in_two_stages(logs, options, {"hold": -0.1, "rest": -3.0}) == "rest self"


def test_mcnemars_exact_test() -> None:
    ours, theirs = [True] * 10 + [False] * 2 + [True] * 5, [False] * 10 + [True] * 2 + [True] * 5
    assert paired(ours, theirs)[:2] == (10, 2)
    assert paired(ours, theirs).p == pytest.approx(0.0386, abs=1e-4)
    assert paired(theirs, ours)[:2] == (2, 10)
    assert paired([True, False], [False, True]).p == paired([True], [True]).p == 1.0
