"""Spawning: what is wrong is refused, with what to do about it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import esper
import pytest

from astrasim import Domain, DomainError, Simulation

Simulate = Callable[..., Simulation]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda sim: sim.spawn("goat"), "no kind 'goat'; there are: sheep, wolf"),
        (lambda sim: sim.spawn("sheep", tier="king"), "no tier 'king'; there are: minion, leader, boss, hero"),
        (lambda sim: sim.spawn("sheep", role="spy"), "a sheep cannot have role 'spy'; it can have: sheep"),
        (lambda sim: sim.spawn("sheep", wol=3), r"no column 'wol'; they have: .*wool.*domain\.column\('wol'"),
        (lambda sim: sim.spawn("sheep", friend=None), r"'friend' is a reference, .*set it afterwards: handle\.friend"),
        (lambda sim: sim.spawn("sheep", x=float("nan")), "'x': nan has values that are not finite"),
        (lambda sim: sim.spawn("sheep", hp=float("inf")), "'hp': inf has values that are not finite"),
        (lambda sim: sim.spawn("sheep", hp=1e39), r"'hp': 1e\+39 has values that are not finite"),
        (lambda sim: sim.spawn("sheep", hp="much"), "'hp': 'much' is no number"),
        (lambda sim: sim.spawn("sheep", hp=[1, 2]), r"'hp': shape \(2,\), expected \(\) or \(1,\)"),
        (lambda sim: sim.spawn_many("sheep", 3, x=[1, 2]), r"'x': shape \(2,\), expected \(\) or \(3,\)"),
        (lambda sim: sim.spawn_many("sheep", 2, x=[1, None]), "'x': .*(no number|not finite)"),
        (lambda sim: sim.spawn_many("sheep", -1), "number=-1 of agents must be a whole number of at least 0"),
        (lambda sim: sim.spawn_many("sheep", 2.5), "number=2.5 of agents must be a whole number"),
        (lambda sim: sim.add_thing("rock"), "no thing 'rock'; there are: clover"),
        (lambda sim: sim.add_thing("clover", wool=3), r"things have no column 'wool'.*domain\.thing\(\.\.\., wool="),
        (lambda sim: sim.add_thing("clover", float("nan")), "thing column 'x': nan has values that are not finite"),
    ],
)
def test_a_spawn_that_is_wrong_says_why_and_leaves_no_trace(
    simulate: Simulate, meadow: Domain, wrong: Callable[[Simulation], object], said: str
) -> None:
    sim = simulate(meadow, settings={"capacity": 1})
    sim.spawn("sheep")
    before = list(esper.get_entities())
    with pytest.raises(DomainError, match=said):
        wrong(sim)
    assert list(esper.get_entities()) == before
    assert (sim.agents.count, sim.things.count, len(sim.agents.handles)) == (1, 0, 1)
    sim.tick()


def test_spawning_none_is_fine(simulate: Simulate, meadow: Domain) -> None:
    assert simulate(meadow).spawn_many("sheep", 0) == []


def test_many_things_may_come_at_once(simulate: Simulate, meadow: Domain) -> None:
    sim = simulate(meadow)
    clovers = sim.add_things("clover", 3, x=[1, 2, 3], y=7, amount=9)
    assert [(clover.x, clover.y, clover.amount) for clover in clovers] == [(1, 7, 9), (2, 7, 9), (3, 7, 9)]
    assert sim.add_things("clover", 0) == []
    wrong: list[Any] = [-1, 1.5, "three"]
    for number in wrong:
        with pytest.raises(DomainError, match=r"of things must be a whole number of at least 0"):
            sim.add_things("clover", number)
    assert sim.things.count == 3
