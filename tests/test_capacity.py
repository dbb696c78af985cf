"""The search for capacity, on machines made up for it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim.capacity import BUDGET_SLACK, LOOK_FRAMES, Search, Trial, judge
from astrasim.frames import MIN_FRAMES, PERIOD_MS

Machine = Callable[[int], tuple[float, float]]
"""p50 and p99 of a frame in ms, for so many agents."""


def run(search: Search, machine: Machine, most_tries: int = 200) -> list[tuple[Trial, bool]]:
    """All that was tried, and whether it kept to the frame."""
    tried = []
    while (trial := search.trial) is not None:
        verdict = judge(*machine(trial.agents))
        tried.append((trial, verdict.kept))
        search.tell(verdict)
        assert len(tried) < most_tries, "the search does not end"
    return tried


def quiet(limit: int, power: float = 1.0) -> Machine:
    """Sustains exactly ``limit`` agents."""

    def frame(agents: int) -> tuple[float, float]:
        p99 = PERIOD_MS * (agents / (limit + 0.5)) ** power
        return p99 / 1.2, p99

    return frame


@given(limit=st.integers(1, 3_000_000), first=st.integers(1, 500_000), power=st.floats(0.3, 2.5))
def test_on_a_quiet_machine_it_finds_the_most_to_within_its_tolerance(limit: int, first: int, power: float) -> None:
    search = Search(first, most=5_000_000)
    tried = run(search, quiet(limit, power), most_tries=60)
    assert search.best <= limit <= search.best * (1 + search.tolerance) + 1
    assert tried[-1] == (Trial(search.best, MIN_FRAMES, "confirm"), True)


@given(
    limit=st.integers(50, 1_000_000), first=st.integers(1, 100_000), seed=st.integers(0, 10**6),
    jitter=st.floats(0, 0.1), spikes=st.floats(0, 0.25),
)  # fmt: skip
def test_on_a_noisy_machine_it_ends_with_a_number_that_was_confirmed(
    limit: int, first: int, seed: int, jitter: float, spikes: float
) -> None:
    """Runs are slower by up to ``jitter``, and some come to 1.7 times and more, as beside other programs."""
    dice, truth = random.Random(seed), quiet(limit)

    def machine(agents: int) -> tuple[float, float]:
        p50, p99 = truth(agents)
        noise = 1 + dice.uniform(0, jitter)
        return p50 * noise, p99 * (dice.uniform(1.7, 4) if dice.random() < spikes else noise)

    search = Search(first, most=4_000_000)
    tried = run(search, machine)
    kept = {trial for trial, was_kept in tried if was_kept}
    assert search.best <= limit  # noise makes nothing faster
    assert search.best == 0 or Trial(search.best, MIN_FRAMES, "confirm") in kept


def test_noise_that_comes_and_goes_costs_little_of_the_figure() -> None:
    found = []
    for seed in range(200):
        dice, truth = random.Random(seed), quiet(100_000)

        def machine(agents: int, dice: random.Random = dice, truth: Machine = truth) -> tuple[float, float]:
            p50, p99 = truth(agents)
            return p50, p99 * (2.5 if dice.random() < 0.1 else 1)

        search = Search(5000, most=1_000_000)
        run(search, machine)
        found.append(search.best)
    found.sort()
    assert found[len(found) // 2] > 94_000
    assert found[len(found) // 10] > 85_000


@given(seed=st.integers(0, 10**6), slope=st.floats(0.05, 1))
def test_where_runs_contradict_each_other_it_goes_down_to_one_that_is_confirmed(seed: int, slope: float) -> None:
    """As in a window on a busy machine: p99 says little, and hardly rises with the number."""
    dice, truth = random.Random(seed), quiet(20_000, slope)

    def machine(agents: int) -> tuple[float, float]:
        p50, p99 = truth(agents)
        return p50 / 2, p99 * dice.uniform(0.7, 1.5)

    search = Search(2000, most=100_000)
    tried = run(search, machine, most_tries=60)
    assert search.best and tried[-1] == (Trial(search.best, MIN_FRAMES, "confirm"), True)


@given(
    seed=st.integers(0, 10**6), fast=st.floats(0, 1), first=st.integers(-5, 10**7), least=st.integers(1, 100),
    span=st.integers(0, 10**6),
)  # fmt: skip
def test_whatever_it_is_told_it_stays_within_its_bounds_and_ends(
    seed: int, fast: float, first: int, least: int, span: int
) -> None:
    search, most, dice = Search(first, least + span, least), least + span, random.Random(seed)

    def machine(agents: int) -> tuple[float, float]:
        assert least <= agents <= most
        p50 = dice.uniform(0.1, 16) if dice.random() < fast else dice.uniform(10, 40)
        return p50, p50 * dice.uniform(1, 3)

    run(search, machine, most_tries=300)
    assert search.best == 0 or least <= search.best <= most


def test_where_everything_fits_it_stops_at_the_most_and_confirms_that() -> None:
    search = Search(1000, most=5000)
    tried = run(search, lambda _: (1.0, 2.0))
    assert search.best == 5000
    assert [trial.agents for trial, _ in tried] == [1000, 2000, 4000, 5000, 5000, 5000]
    assert [trial.frames for trial, _ in tried] == [LOOK_FRAMES] * 4 + [MIN_FRAMES] * 2


def test_where_nothing_fits_it_says_0() -> None:
    search = Search(1000, most=5000)
    tried = run(search, lambda _: (50.0, 60.0))
    assert search.best == 0
    assert tried[-1][0].agents == 1


def test_one_run_that_was_close_is_not_believed() -> None:
    search = Search(1000, most=1000)
    for stage, p99 in (("bracket", 1.0), ("bisect", 15.0), ("bisect", 17.0), ("bisect", 15.0)):
        assert search.trial is not None and search.trial.stage == stage
        search.tell(judge(1.0, p99))
    assert search.trial == Trial(1000, MIN_FRAMES, "confirm")


@pytest.mark.parametrize(("planning", "kept"), [(1.9, True), (2.0 * (1 + BUDGET_SLACK), True), (2.2, False)])
def test_planning_outside_its_budget_is_not_kept(planning: float, kept: bool) -> None:
    assert judge(3.0, 5.0, planning, budget_ms=2.0).kept is kept


def test_bounds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="least=5, most=4"):
        Search(1, most=4, least=5)
