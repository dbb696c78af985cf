"""Where plans change: the tree that near plans must agree with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.gateway.tree import FIRST, MOST, SMALLEST, Expectation, Marks, Tree, Vectors

rng = np.random.default_rng(1)


def test_a_turn_that_some_show_is_known_wherever_the_rest_stands() -> None:
    vectors = rng.random((400, 6)).astype(np.float32)
    tree = Tree(vectors, (vectors[:, 2] > 0.4) * 7)
    asked = rng.random((500, 6)).astype(np.float32)
    right = [tree.mark(vector) == 7 * (vector[2] > 0.4) for vector in asked]
    assert np.mean(right) > 0.98


def test_turns_within_turns_are_found() -> None:
    vectors = rng.random((2000, 4)).astype(np.float32)

    def plan(v: Vectors) -> Marks:
        return np.where(v[:, 0] < 0.3, 1 << 40, np.where(v[:, 1] < 0.5, 2, 3))

    asked = rng.random((500, 4)).astype(np.float32)
    tree = Tree(vectors, plan(vectors))
    assert np.mean([tree.mark(v) for v in asked] == plan(asked)) > 0.97


def test_one_odd_plan_is_no_turn() -> None:
    vectors = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    marks = np.ones(50, np.int64)
    marks[20] = 2
    assert Tree(vectors, marks).mark(vectors[20]) == 1


points = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(max_examples=settings().max_examples // 2)
@given(points, st.floats(-1e6, 1e6, width=32))
def test_whatever_it_is_grown_from_it_ends_and_gives_a_plan_that_is_known(
    rows: list[tuple[int, int, int]], at: float
) -> None:
    given_rows = np.array(rows)
    vectors, marks = given_rows[:, :2].astype(np.float32), given_rows[:, 2]
    tree = Tree(vectors, marks)
    assert tree.mark(np.array([at, -at], np.float32)) in marks
    if len(set(marks.tolist())) == 1:
        assert len(tree._nodes) == 1


numbers, sizes = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), st.integers(SMALLEST, 5)


@given(numbers, sizes, sizes)
def test_two_numbers_side_by_side_are_told_apart(low: float, below: int, above: int) -> None:
    high = np.nextafter(np.float32(low), np.float32(np.inf))
    vectors = np.array([low] * below + [high] * above, np.float32)[:, None]
    tree = Tree(vectors, np.array([1] * below + [2] * above))
    assert [tree.mark(vectors[0]), tree.mark(vectors[-1])] == [1, 2]


# As plans come


@pytest.mark.parametrize("turn", [0.25, 0.75])
def test_it_is_grown_anew_as_plans_come(turn: float) -> None:
    vectors = rng.random((200, 2)).astype(np.float32)
    expected, asked = Expectation(), np.array([0.5, 0.5], np.float32)

    def agrees(known: int, marks: object) -> bool:
        return expected.agrees(1, asked, known, lambda step: (vectors[:known:step], np.array(marks)[:known:step]))

    assert agrees(FIRST - 1, []), "too few to say anything"
    expected.added(100)
    assert not agrees(100, np.ones(100, np.int64)), "the first tree is being grown"
    expected.wait()
    assert agrees(100, [])
    expected.added(100)
    later = (vectors[:, 0] > turn).astype(np.int64)
    agrees(200, later)
    expected.wait()
    assert agrees(200, later) is (turn < 0.5)


def test_of_very_many_some_stand_for_all() -> None:
    steps: list[int] = []

    def gather(step: int) -> tuple[Vectors, Marks]:
        steps.append(step)
        return np.zeros((5, 2), np.float32), np.zeros(5, np.int64)

    expected = Expectation()
    expected.agrees(0, np.zeros(2, np.float32), 10 * MOST, gather)
    assert steps == [10]
    expected.wait()
