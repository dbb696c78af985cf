"""The labelled situations, and the arithmetic of their figures."""

from __future__ import annotations

from collections import Counter

import pytest

from astrasim import Settings, Simulation
from astrasim.perf.arena import make_arena
from astrasim.perf.decisions import KIND, Row, _figures, few_of_each, interval, situations


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


def test_wilsons_interval() -> None:
    assert interval(36, 72) == pytest.approx((0.3873, 0.6127), abs=1e-3)
    assert interval(0, 72)[0] == pytest.approx(0.0, abs=1e-9)
