"""What `astrasim tune` is made of: the design, the surfaces over it, and intervals that hold what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from astrasim import SettingsError
from astrasim.perf.choosing import choose
from astrasim.perf.design import CENTRES, Setting, Space, central_composite
from astrasim.perf.surface import LEVEL, Surface, repeated, up_to_the_most

Logarithms = NDArray[np.float64]
SPACE = Space(agents=(1000, 16_000), every=(1, 8), budget_ms=(0.25, 4), rate=(5, 100))


def _ranges(least: st.SearchStrategy[float], more: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(least, more).map(lambda each: (each[0], each[0] + each[1]))


spaces = st.builds(
    Space, agents=_ranges(st.integers(1, 3000), st.integers(0, 9000)),
    every=_ranges(st.integers(1, 8), st.integers(0, 9)),
    budget_ms=_ranges(st.floats(0.1, 4), st.floats(0, 8)), rate=_ranges(st.floats(1, 50), st.floats(0, 90)),
)  # fmt: skip


@given(spaces, st.integers(0, 9))
def test_a_design_reaches_all_ends_and_leaves_none(space: Space, seed: int) -> None:
    design = central_composite(space, seed)
    for name in Setting._fields:
        low, high = space.range(name)
        values = [getattr(at, name) for at in design]
        assert all(low <= value <= high for value in values)
        assert not design or (min(values), max(values)) == (low, high)
    varied = len(space.varied)
    assert len(design) == (2**varied + (2 * varied if varied > 1 else 0) + CENTRES if varied else 0)
    assert design == central_composite(space, seed)


@given(spaces)
def test_settings_lie_where_their_place_says(space: Space) -> None:
    grid = space.grid(3)
    places = space.places(grid)
    assert places.shape == (len(grid), len(space.varied))
    assert np.all(np.abs(places) <= 1 + 1e-9)
    for at in grid:
        assert all(space.range(name)[0] <= getattr(at, name) <= space.range(name)[1] for name in Setting._fields)


def test_the_order_is_random_and_the_centre_comes_from_beginning_to_end() -> None:
    design, other = (central_composite(SPACE, seed) for seed in (1, 2))
    centre = SPACE.setting({})
    places = [q for q, at in enumerate(design) if at == centre]
    assert places == [0, 9, 18, 27] and len(design) == 28
    assert design != other and sorted(design) == sorted(other)


@pytest.mark.parametrize(
    ("name", "given_range"),
    [("agents", (0, 10)), ("agents", (20, 10)), ("agents", (1.5, 2)), ("every", (1, 61)), ("budget_ms", (0, 1)),
     ("rate", (-1, 5)), ("rate", (0, 5)), ("budget_ms", (math.nan, 1))],
)  # fmt: skip
def test_a_range_that_is_none_is_refused_in_words(name: str, given_range: tuple[float, float]) -> None:
    fixed: dict[str, Any] = {"agents": (1, 1), "every": (1, 1), "budget_ms": (1, 1), "rate": (1, 1), name: given_range}
    with pytest.raises(SettingsError, match=f"{name}="):
        Space(**fixed)


def _true(at: Setting, share: bool) -> float:
    """Inside the family of surfaces."""
    n, k, b, r = (math.log(each) for each in at)
    y = -3 + 0.4 * n - 0.2 * k + 0.1 * b + 0.1 * r - 0.05 * k * n + 0.03 * r * r
    return 1 / (1 + math.exp(-y)) if share else math.exp(y)


@pytest.mark.parametrize("share", [False, True])
def test_a_surface_finds_what_a_figure_depends_on(share: bool) -> None:
    design = central_composite(SPACE, 0)
    surface = Surface(SPACE, design, [_true(at, share) for at in design], share)
    elsewhere = [at for at in SPACE.grid(4) if at not in design]
    expected, low, high = surface.at(elsewhere)
    np.testing.assert_allclose(expected, [_true(at, share) for at in elsewhere], rtol=1e-6)
    np.testing.assert_allclose(high, low, rtol=1e-4)


def test_as_many_further_runs_lie_in_a_surface_s_interval_as_are_promised() -> None:
    rng, design, inside = np.random.default_rng(5), central_composite(SPACE, 0), []
    elsewhere = SPACE.grid(3)[::5]
    for _ in range(60):
        noisy = [_true(at, False) * math.exp(rng.normal(0, 0.2)) for at in design]
        _, low, high = Surface(SPACE, design, noisy, False).at(elsewhere)
        again = np.array([_true(at, False) * math.exp(rng.normal(0, 0.2)) for at in elsewhere])
        inside.append(((low <= again) & (again <= high)).mean())
    assert LEVEL - 0.03 < np.mean(inside) < LEVEL + 0.03


def _even(rng: np.random.Generator, runs: int) -> Logarithms:
    return rng.normal(0, 0.3, runs)


def _with_bursts(rng: np.random.Generator, runs: int) -> Logarithms:
    """Every eighth run is held up."""
    return rng.normal(0, 0.1, runs) + (rng.random(runs) < 0.12) * rng.exponential(0.4, runs)


def _drifting(rng: np.random.Generator, runs: int) -> Logarithms:
    """Half of the noise stays from run to run."""
    steps = rng.normal(0, 1, runs)
    for q in range(1, runs):
        steps[q] = 0.8 * steps[q - 1] + 0.6 * steps[q]
    return 0.15 * (steps + rng.normal(0, 1, runs))


@pytest.mark.parametrize(
    ("noise", "least", "most"), [(_even, LEVEL - 0.03, LEVEL + 0.03), (_with_bursts, 0.85, 1), (_drifting, 0.8, 1)]
)
def test_as_many_further_runs_lie_in_the_interval_of_repeated_ones(
    noise: Callable[[np.random.Generator, int], Logarithms], least: float, most: float
) -> None:
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(1000):
        *values, further = np.exp(1 + noise(rng, 6)).tolist()
        inside.append(repeated(values, [np.exp(3 + noise(rng, 4)).tolist()]).holds(further))
    assert least < np.mean(inside) < most


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=8), st.lists(st.floats(0, 1e4), max_size=4), st.booleans())
def test_an_interval_reaches_as_far_up_as_down_and_holds_what_is_expected(
    values: list[float], others: list[float], is_share: bool
) -> None:
    if is_share:
        values, others = ([value / 1e4 for value in each] for each in (values, others))
    told = repeated(values, [others], is_share)
    assert told.low <= told.value <= told.high <= (1 if is_share else math.inf)
    if told.is_most:
        assert told.holds(max(values)) and told.low == 0
    elif told.low > 0 and not (is_share and told.high == 1):
        assert told.high - told.value == pytest.approx(told.value - told.low)
        assert told.width is not None and told.width > 0.149


def test_no_interval_pretends_to_know_what_the_next_hour_brings() -> None:
    assert repeated([2.0, 2.0, 2.0], [], least=0.1) == pytest.approx((2.0, 1.8, 2.2, False))
    assert repeated([0.99, 0.99], [], is_share=True).high == 1.0
    assert up_to_the_most([0, 3, 1]) == (1.0, 0.0, 3.0, True)
    assert up_to_the_most([0, 3, 1]).width is None


def test_nothing_as_heavy_as_what_was_lost_is_chosen() -> None:
    design = central_composite(SPACE, 0)
    surfaces = {
        "frame_p99_ms": Surface(SPACE, design, [at.agents / 1000 for at in design], False),
        "model_share": Surface(SPACE, design, [0.5] * len(design), True),
    }
    first, _ = choose(SPACE, surfaces, 16.67)
    second, keeps = choose(SPACE, surfaces, 16.67, [first])
    assert first.agents > 14_000 and keeps
    assert second.agents < first.agents or second.budget_ms < first.budget_ms or second.every > first.every
