"""Wilson's interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim.intervals import wilson


def test_wilsons_interval() -> None:
    assert wilson(36, 72) == pytest.approx((0.3873, 0.6127), abs=1e-3)
    assert wilson(0, 72)[0] == pytest.approx(0.0, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_it_holds_the_share_and_stays_within_0_and_1(count: int, more: int) -> None:
    low, high = wilson(count, count + more)
    share = count / (count + more) if count + more else 0.5
    assert 0.0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1.0
