"""The plans that the gateway keeps: who makes room, what is too old, and what is near."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.errors import AstraSimError
from astrasim.gateway.keeping import Keeping
from astrasim.gateway.store import Store
from astrasim.gateway.vectors import centre
from astrasim.vocabulary import ActionWords, FeatureWords, Scope, Vocabulary

FLEE, REST = ((0, 0, 2.0),), ((1, 1, 3.0),)
FIELDS = Vocabulary(
    domain="fields", ruleset="1", kinds=("hare",),
    features=(
        FeatureWords(name="alarm", kinds=("hare",), words=("quiet", "loud"), interrupt=True),
        FeatureWords(name="hunger", kinds=("hare",), words=tuple("abcdefgh")),
        FeatureWords(name="noise", kinds=("hare",), words=tuple("abcd"), weight=0.0),
    ),
    actions=(
        ActionWords(name="flee", kinds=("hare",), targets=("fox",), seconds=2.0),
        ActionWords(name="rest", kinds=("hare",), targets=("home",), seconds=3.0),
    ),
    targets=("fox", "home"), min_seconds=0.5, max_seconds=30.0,
)  # fmt: skip


def hare(order: str = "", role: str = "hare") -> Scope:
    return Scope(
        kind="hare", role=role, persona="", order=order, actions=("flee", "rest"), domain="fields", ruleset="1",
        model="test",
    )  # fmt: skip


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def make(**rules: Any) -> tuple[Store, Clock]:
    clock = Clock()
    store = Store(FIELDS, Keeping(**({"near_bound": 0.08} | rules)), clock)
    store.intern(hare())
    return store, clock


def key(alarm: int = 0, hunger: int = 0, noise: int = 0) -> int:
    return FIELDS.pack("hare", {"alarm": alarm, "hunger": hunger, "noise": noise})


def put(store: Store, at: int, steps: Any = FLEE) -> None:
    store.put(0, at, centre(FIELDS, "hare", at), steps)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "use", "drop"]), st.integers(0, 40)), max_size=120))
def test_the_least_recently_used_makes_room(moves: list[tuple[str, int]]) -> None:
    store, _ = make(entries=5)
    model: OrderedDict[int, None] = OrderedDict()
    for move, at in moves:
        kept = store.get(0, at)
        assert (kept is not None) is (at in model)
        if move == "put":
            put(store, at)
            model.pop(at, None)
            model[at] = None
            if len(model) > 5:
                model.popitem(last=False)
        elif kept is not None and move == "use":
            store.use(kept)
            model.move_to_end(at)
        elif move == "drop":
            store.drop(0, at)
            model.pop(at, None)
        assert [kept.key for kept in store] == list(model)


def test_what_is_too_old_is_gone_and_use_does_not_help() -> None:
    store, clock = make(ttl_s=10)
    put(store, 1)
    kept = store.get(0, 1)
    assert kept is not None
    clock.now_s += 6
    store.use(kept)
    assert store.remaining_s(kept) == pytest.approx(4)
    clock.now_s += 4
    assert store.get(0, 1) is None and store.expiries == 1 and len(store) == 0


def test_unless_it_is_asked_for() -> None:
    store, clock = make(ttl_s=10, ttl_renews=True)
    put(store, 1)
    clock.now_s += 6
    kept = store.get(0, 1)
    assert kept is not None
    store.use(kept)
    clock.now_s += 6
    assert store.get(0, 1) is kept


def test_a_ttl_of_nought_keeps_nothing() -> None:
    store, _ = make(ttl_s=0)
    put(store, 1)
    assert store.get(0, 1) is None


def test_near_is_by_vector_and_weight_with_equal_interrupt_features() -> None:
    store, _ = make()
    put(store, key(hunger=3, noise=0))
    there = centre(FIELDS, "hare", key(hunger=3, noise=3))
    assert store.near(0, key(hunger=3, noise=3), there, 0.01) is not None, "noise has no weight"
    assert store.near(0, key(hunger=4), centre(FIELDS, "hare", key(hunger=4)), 0.1) is None
    assert store.near(0, key(hunger=4), centre(FIELDS, "hare", key(hunger=4)), 0.13) is not None
    assert store.near(0, key(alarm=1, hunger=3), there, 100.0) is None, "the alarm differs"
    assert store.near(store.intern(hare("run")), key(hunger=3), there, 100.0) is None, "another scope"


def test_where_no_near_look_ups_are_wanted_nothing_is_made_ready_for_them() -> None:
    store, _ = make(near_bound=None)
    put(store, key(hunger=3))
    assert store.near(0, key(hunger=3), centre(FIELDS, "hare", key(hunger=3)), 1.0) is None
    assert not store._around and not store._by_number
    store.drop(0, key(hunger=3))
    assert len(store) == 0


def test_a_near_plan_must_be_what_the_plans_of_the_scope_let_expect() -> None:
    store, _ = make(near_bound=0.3)
    for noise in range(4):  # it has no weight, so these four know nothing of each other but their hunger
        for hunger in (0, 1, 2, 5, 6, 7):
            put(store, key(hunger=hunger, noise=noise), FLEE if hunger < 4 else REST)
    store.drop(0, key(hunger=2))

    def near(hunger: float) -> object:
        return store.near(0, key(hunger=2), np.array([0.25, hunger, 0.0], np.float32), 0.3)

    assert near(0.4) is None, "before there is a tree"
    store.wait()
    found = near(2.6 / 8)
    assert found is not None and found.kept.steps == FLEE  # type: ignore[attr-defined]
    assert near(4.2 / 8) is None, "the nearest flees, and rest is to be expected"


def test_what_is_near_but_too_old_is_passed_over_for_the_next() -> None:
    store, clock = make(ttl_s=10)
    put(store, key(hunger=3))
    clock.now_s += 8
    put(store, key(hunger=4))
    clock.now_s += 4
    found = store.near(0, key(hunger=3), centre(FIELDS, "hare", key(hunger=3)), 0.2)
    assert found is not None and found.kept.key == key(hunger=4)


def test_a_vector_that_makes_no_sense_is_refused() -> None:
    store, _ = make()
    with pytest.raises(AstraSimError, match="finite"):
        store.put(0, 1, np.array([0, np.nan, 0], np.float32), FLEE)
    assert store.get(0, 1) is None


def test_the_same_situation_has_one_plan() -> None:
    store, _ = make()
    put(store, 1)
    put(store, 1, REST)
    kept = store.get(0, 1)
    assert kept is not None and kept.steps == REST and len(store) == 1
