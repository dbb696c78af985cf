"""How near is near enough: what the bound of a role learns from what it is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from astrasim.gateway.truth import FIRST_BOUND, TARGET, TIGHTEST, WIDEST, Truth


def told(*samples: tuple[float, bool, int]) -> Truth:
    truth = Truth()
    for distance, agreed, times in samples:
        for _ in range(times):
            truth.add(distance, agreed)
    return truth


def test_a_few_good_samples_are_not_enough_evidence() -> None:
    truth = told((0.05, True, 100))
    assert truth.bound == FIRST_BOUND
    assert truth.verdict() == (FIRST_BOUND, 100, 0, 0.0, truth.verdict().high, False)
    assert truth.verdict().high > TARGET


def test_with_enough_of_them_it_goes_wider() -> None:
    assert told((0.05, True, 400)).bound > FIRST_BOUND


def test_what_is_plainly_wrong_makes_it_tighter_at_once() -> None:
    truth = told((0.05, False, 20))
    assert (truth.bound < FIRST_BOUND and not truth.verdict().enough) or truth.verdict().samples


def test_it_settles_between_what_is_right_and_what_is_wrong() -> None:
    truth = Truth()
    for n in range(6000):
        distance = (n % 40) / 100
        truth.add(distance, distance < 0.2)
    assert 0.1 <= truth.bound < 0.25
    assert truth.verdict(0.19).false == 0


def test_what_is_beyond_the_bound_says_how_wide_it_could_be() -> None:
    assert told((0.5, True, 500)).bound >= 0.5


def test_only_the_samples_within_the_bound_count_for_it() -> None:
    truth = told((0.05, True, 10), (0.5, False, 300))
    assert truth.bound == FIRST_BOUND and truth.verdict()[1:3] == (10, 0)


def test_it_goes_on_where_another_run_was() -> None:
    truth, again = told((0.05, True, 250), (0.3, False, 50)), Truth()
    again.restore(truth.state())
    assert again.verdict() == truth.verdict() and again.verdict(1.0) == truth.verdict(1.0)


@given(st.floats(0, 100), st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=200))
def test_from_any_bound_and_with_any_samples_it_comes_to_an_end(
    bound: float, samples: list[tuple[float, bool]]
) -> None:
    truth = Truth(bound)
    for distance, agreed in samples:
        truth.add(distance, agreed)
    assert 0 <= truth.bound <= max(bound, WIDEST)


def test_with_a_bound_of_zero_the_twentieth_sample_does_not_go_on_for_ever() -> None:
    truth = Truth(0.0)
    for _ in range(100):
        truth.add(0.0, True)
    assert truth.verdict().samples == 100


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=500))
def test_the_bound_stays_within_its_limits(samples: list[tuple[float, bool]]) -> None:
    truth = Truth()
    for distance, agreed in samples:
        truth.add(distance, agreed)
        verdict = truth.verdict()
        assert TIGHTEST <= truth.bound <= WIDEST and 0 <= verdict.low <= verdict.high <= 1
