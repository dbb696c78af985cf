"""Near neighbours: numpy and hnswlib give the same answers, and nothing that is known to crash hnswlib reaches it."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from astrasim.errors import AstraSimError
from astrasim.gateway.nearby import AROUND, NEIGHBOURS, Near, Neighbours

WIDTH = 3
needs_hnswlib = pytest.mark.skipif(not find_spec("hnswlib"), reason="hnswlib is not installed: astrasim[semantic]")


def point(*values: float) -> NDArray[np.float32]:
    return np.array([values], np.float32)


def filled(points: NDArray[np.float32], marks: NDArray[np.int64], large: int = 10**9) -> Neighbours:
    neighbours = Neighbours(points.shape[1], large)
    neighbours.add(np.arange(len(points)), points, marks)
    return neighbours


def expected(points: dict[int, tuple[NDArray[np.float32], int]], at: NDArray[np.float32], bound: float) -> Near | None:
    away = {number: float(np.linalg.norm(p.astype(float) - at)) for number, (p, _) in points.items()}
    if not away or min(away.values()) > bound:
        return None
    best = min(away, key=away.__getitem__)
    nearest = sorted(away, key=away.__getitem__)[:NEIGHBOURS]
    around = {points[n][1] for n in nearest if away[n] <= AROUND * away[best]}
    return Near(best, away[best]) if len(around) == 1 else None


def test_the_nearest_within_the_bound_is_found() -> None:
    neighbours = filled(np.array([[0, 0, 0], [1, 0, 0]], np.float32), np.array([5, 6]))
    [found] = neighbours.find(point(0.95, 0, 0), 0.1)
    assert found is not None and found.number == 1 and found.distance == pytest.approx(0.05)
    assert neighbours.find(point(0.5, 0, 0), 0.1) == [None]
    assert Neighbours(WIDTH).find(point(0, 0, 0), 1.0) == [None]


def test_where_those_around_disagree_the_nearest_is_no_evidence() -> None:
    points = np.array([[0, 0, 0], [0.2, 0, 0]], np.float32)
    [found] = filled(points, np.array([5, 5])).find(point(0.08, 0, 0), 0.1)
    assert found is not None and found.number == 0
    assert filled(points, np.array([5, 6])).find(point(0.08, 0, 0), 0.1) == [None], "0.12 is not twice 0.08"
    assert filled(points, np.array([5, 6])).find(point(0.06, 0, 0), 0.1) != [None], "0.14 is more than twice 0.06"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_and_nothing_changes(bad: float) -> None:
    neighbours = filled(np.zeros((1, WIDTH), np.float32), np.array([1]))
    with pytest.raises(AstraSimError, match="finite"):
        neighbours.add(np.array([1]), point(0, bad, 0), np.array([1]))
    with pytest.raises(AstraSimError, match="finite"):
        neighbours.find(point(0, bad, 0), 1.0)
    assert len(neighbours) == 1


def test_another_width_is_refused() -> None:
    neighbours = filled(np.zeros((1, WIDTH), np.float32), np.array([1]))
    with pytest.raises(AstraSimError, match="3 features"):
        neighbours.find(np.zeros((1, WIDTH + 1), np.float32), 1.0)
    with pytest.raises(AstraSimError, match="3 features"):
        neighbours.add(np.array([1]), np.zeros((1, WIDTH - 1), np.float32), np.array([1]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(0, 8), st.integers(0, 1)), max_size=60),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_whatever_comes_and_goes_the_answer_is_that_of_a_plain_search(
    moves: list[tuple[bool, int, int, int]], at: tuple[int, int]
) -> None:
    neighbours = Neighbours(2)
    there: dict[int, tuple[NDArray[np.float32], int]] = {}
    for number, (comes, x, y, mark) in enumerate(moves):
        if comes or not there:
            # Never two at the same distance: of equals either may be found.
            vector = point(x + number / 1000, y + number / 777)
            neighbours.add(np.array([number]), vector, np.array([mark]))
            there[number] = vector[0], mark
        else:
            gone = list(there)[x % len(there)]
            neighbours.remove(gone)
            neighbours.remove(gone)
            del there[gone]
    assert len(neighbours) == len(there)
    [found] = neighbours.find(point(*at), 2.0)
    right = expected(there, np.array(at, float), 2.0)
    assert (found and found.number) == (right and right.number)


@needs_hnswlib
def test_hnswlib_takes_over_when_there_are_many_and_answers_the_same() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((3000, 8)).astype(np.float32)
    marks = (points[:, 0] > 0.5).astype(np.int64)
    small, large = filled(points, marks), filled(points, marks, large=1000)
    assert large.wait() and not small.has_index
    for neighbours in (small, large):  # also what comes and goes after it was built
        for number in range(0, 2000, 2):
            neighbours.remove(number)
        neighbours.add(np.arange(5000, 6500), points[:1500] + np.float32(0.01), marks[:1500])
    asked = rng.random((300, 8)).astype(np.float32)
    same = sum(a == b for a, b in zip(small.find(asked, 0.2), large.find(asked, 0.2), strict=True))
    assert same >= 297, "it is approximate, and nearly always right"


@needs_hnswlib
def test_while_it_is_being_built_nothing_is_missed() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((4000, 4)).astype(np.float32)
    neighbours = filled(points, np.zeros(4000, np.int64), large=1000)
    neighbours.remove(7)
    neighbours.add(np.array([9000]), point(5, 5, 5, 5), np.array([0]))
    assert neighbours.find(point(5, 5, 5, 5), 0.1) == [Near(9000, 0.0)]
    assert neighbours.wait()
    assert neighbours.find(point(5, 5, 5, 5), 0.1) == [Near(9000, 0.0)]
    [found] = neighbours.find(points[7:8], 0.5)
    assert found is not None and found.number != 7


@needs_hnswlib
@pytest.mark.parametrize("goes", [False, True])
def test_what_comes_or_goes_first_after_it_was_built_is_not_lost(goes: bool) -> None:
    rng = np.random.default_rng(5)
    neighbours = filled(rng.random((1000, 4)).astype(np.float32), np.zeros(1000, np.int64), large=1000)
    building = neighbours._building
    assert building is not None and building.done.wait(60)
    if goes:
        neighbours.remove(7)
    neighbours.add(np.array([5000]), point(5, 5, 5, 5), np.array([0]))
    assert neighbours.find(point(5, 5, 5, 5), 0.1) == [Near(5000, 0.0)] and neighbours.has_index
    assert len(neighbours) == 1001 - goes


@needs_hnswlib
def test_after_much_coming_and_going_it_is_built_anew() -> None:
    rng = np.random.default_rng(4)
    neighbours = filled(rng.random((1000, 4)).astype(np.float32), np.zeros(1000, np.int64), large=1000)
    assert neighbours.wait()
    first = neighbours._index
    for turn in range(1, 20):
        fresh = np.arange(1000 * turn, 1000 * (turn + 1))
        points = rng.random((1000, 4)).astype(np.float32)
        for number in range(1000 * (turn - 1), 1000 * turn):
            neighbours.remove(number)
        neighbours.add(fresh, points, np.zeros(1000, np.int64))
        assert neighbours.wait() and neighbours.find(points[7:8], 0.1)[0] == Near(1000 * turn + 7, 0.0)
    assert neighbours._index is not first


@needs_hnswlib
def test_it_may_lose_all_but_a_few_and_grow_again() -> None:
    rng = np.random.default_rng(3)
    neighbours = filled(rng.random((1200, 4)).astype(np.float32), np.zeros(1200, np.int64), large=1000)
    assert neighbours.wait()
    for number in range(1198):
        neighbours.remove(number)
    assert neighbours.find(point(0, 0, 0, 0), 9.0)[0] is not None
    for number in range(1198, 1200):
        neighbours.remove(number)
    assert neighbours.find(point(0, 0, 0, 0), 9.0) == [None]
    more = rng.random((9000, 4)).astype(np.float32)
    neighbours.add(np.arange(2000, 11_000), more, np.zeros(9000, np.int64))
    assert neighbours.find(more[8000:8001], 0.01)[0] == Near(10_000, 0.0)
