"""Keys and words: what packs a situation into one integer, and what normalises an order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim import Domain, DomainError, Settings, Simulation
from astrasim.vocabulary import MAX_KEY, ORDER_MAX_CHARS, FeatureWords, Vocabulary, normalise_order

Simulate = Callable[..., Simulation]
KINDS = ("ant", "bee", "cat")


@st.composite
def vocabularies(draw: st.DrawFn) -> Vocabulary:
    features = []
    for number in range(draw(st.integers(0, 12))):
        kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True))
        words = tuple(f"{number}, bucket {bucket}" for bucket in range(draw(st.integers(2, 30))))
        features.append(FeatureWords(name=f"f{number}", kinds=tuple(kinds), words=words, interrupt=draw(st.booleans())))
    return Vocabulary(
        domain="d",
        ruleset="1",
        kinds=KINDS,
        features=tuple(features),
        actions=(),
        targets=(),
        min_seconds=1,
        max_seconds=9,
    )


@given(vocabularies(), st.sampled_from(KINDS), st.data())
def test_packing_is_one_to_one_and_words_follow_the_buckets(
    vocabulary: Vocabulary, kind: str, data: st.DataObject
) -> None:
    own = [f for f in vocabulary.features if kind in f.kinds]
    buckets = {f.name: data.draw(st.integers(0, len(f.words) - 1), f.name) for f in own}
    key = vocabulary.pack(kind, buckets)
    assert 0 <= key < vocabulary.key_space(kind)
    assert vocabulary.buckets(kind, key) == buckets
    assert vocabulary.words(kind, key) == tuple(f.words[buckets[f.name]] for f in own)
    steady = {f.name: buckets[f.name] if f.interrupt else 0 for f in own}
    assert vocabulary.buckets(kind, vocabulary.interrupt_key(kind, key)) == steady
    other = data.draw(st.integers(0, vocabulary.key_space(kind) - 1), "another key")
    assert (vocabulary.words(kind, other) == vocabulary.words(kind, key)) == (other == key)


def test_each_kind_has_a_key_space_of_its_own_features() -> None:
    def feature(name: str, buckets: int, *kinds: str) -> FeatureWords:
        return FeatureWords(name=name, kinds=kinds, words=tuple("abcdefg"[:buckets]))

    vocabulary = Vocabulary(
        domain="d", ruleset="1", kinds=KINDS, actions=(), targets=(), min_seconds=1, max_seconds=9,
        features=(feature("f", 3, "ant"), feature("g", 4, "ant", "bee"), feature("h", 5, "bee")),
    )  # fmt: skip
    assert [vocabulary.key_space(kind) for kind in KINDS] == [12, 20, 1]
    assert vocabulary.pack("bee", {"g": 2, "h": 1}) == 6
    assert vocabulary.words("cat", 0) == ()


@pytest.mark.parametrize(
    ("buckets", "said"),
    [
        ({"hungr": 1}, "a ant has no feature 'hungr'; it has: hunger"),
        ({"hunger": 2}, "feature 'hunger' has buckets 0 to 1, not 2"),
        ({"hunger": -1}, "feature 'hunger' has buckets 0 to 1, not -1"),
    ],
)
def test_packing_what_is_no_situation_raises(buckets: dict[str, int], said: str) -> None:
    hunger = FeatureWords(name="hunger", kinds=("ant",), words=("full", "hungry"))
    vocabulary = Vocabulary(
        domain="d", ruleset="1", kinds=KINDS, features=(hunger,), actions=(), targets=(), min_seconds=1, max_seconds=9
    )
    with pytest.raises(DomainError) as caught:
        vocabulary.pack("ant", buckets)
    assert str(caught.value) == said


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[int, tuple[str, ...], bool]]:
    """(number of edges, kinds, interrupt) of each feature."""
    kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True).map(tuple)
    return draw(st.lists(st.tuples(st.integers(1, 6), kinds, st.booleans()), max_size=14))


@settings(max_examples=settings().max_examples // 3)
@given(shapes(), st.integers(0, 2**31))
def test_keys_made_in_the_tick_are_those_that_the_vocabulary_packs(
    features: list[tuple[int, tuple[str, ...], bool]], seed: int
) -> None:
    zoo = Domain("zoo", KINDS)
    for number, (edges, kinds, interrupt) in enumerate(features):
        zoo.column(f"c{number}")
        zoo.feature(
            f"f{number}", column=f"c{number}", kinds=kinds, interrupt=interrupt,
            edges=range(1, edges + 1), words=[f"word {chr(97 + w)}" for w in range(edges + 1)],
        )  # fmt: skip
    with Simulation(zoo, Settings(model="none", capacity=8, cache_entries=64)) as sim:
        agents = [agent for kind in KINDS for agent in sim.spawn_many(kind, 5)]
        for number in range(len(features)):
            sim.agents.column(f"c{number}")[:] = sim.rng.integers(0, 8, len(agents))
        sim.tick()
        vocabulary = sim.compiled.vocabulary
        for agent in agents:
            buckets = {
                f"f{number}": min(int(getattr(agent, f"c{number}")), edges)
                for number, (edges, kinds, _) in enumerate(features)
                if agent.kind in kinds
            }
            key = vocabulary.pack(agent.kind, buckets)
            assert sim.situation(agent).key == key
            assert sim.situation(agent).buckets == buckets
            assert sim.agents.interrupt_key[agent.row] == vocabulary.interrupt_key(agent.kind, key)


def make_brain(features: int, buckets: int = 4) -> Domain:
    brain = Domain("brain", ["mind", "stone"])
    for number in range(features):
        brain.column(f"c{number}")
        brain.feature(
            f"f{number}", column=f"c{number}", kinds="mind", edges=range(1, buckets), words=list("abcdefgh"[:buckets])
        )
    return brain


def test_key_spaces_may_be_as_large_as_2_to_the_62(simulate: Simulate) -> None:
    sim = simulate(make_brain(31))
    assert sim.compiled.vocabulary.key_space("mind") == MAX_KEY
    highest: Any = {f"c{number}": 3 for number in range(31)}
    mind = sim.spawn("mind", **highest)
    sim.tick()
    assert sim.situation(mind).key == MAX_KEY - 1
    assert set(sim.situation(mind).buckets.values()) == {3}
    assert sim.situation(sim.spawn("stone")).key == 0


@pytest.mark.parametrize("features", [32, 40, 300])
def test_larger_key_spaces_are_refused(features: int) -> None:
    with pytest.raises(DomainError, match=rf"a mind has {features} features, .* more than 2\^62 situations; use fewer"):
        Simulation(make_brain(features), Settings(model="none"))


def test_a_million_situations_are_served_like_any_other(simulate: Simulate) -> None:
    sim = simulate(make_brain(10), settings={"cache_entries": 1024})
    drawn: Any = {f"c{number}": sim.rng.integers(0, 4, 2000) for number in range(10)}
    minds = sim.spawn_many("mind", 2000, **drawn)
    for _ in range(5):
        sim.tick()
    assert sim.compiled.vocabulary.key_space("mind") > 10**6
    assert len({sim.situation(mind).key for mind in minds}) > 1900
    assert not sim.errors


# Orders


@given(st.text(max_size=400))
def test_an_order_is_one_line_of_bounded_length_whatever_was_typed(typed: str) -> None:
    order = normalise_order(typed)
    assert len(order) <= ORDER_MAX_CHARS
    assert order.isprintable()
    assert order == " ".join(order.split())
    order.encode()  # no half of a character is left over


@pytest.mark.parametrize(
    "typed",
    [
        "Hold  the BRIDGE",
        "\thold the\r\nbridge\x00",
        " hold\u2028the\u202e bridge",
        "ｈｏｌｄ the bridge",
        "hold\x1b the bridge",
    ],
)
def test_orders_that_say_the_same_are_the_same(typed: str) -> None:
    assert normalise_order(typed) == "hold the bridge"


def test_accents_typed_in_two_ways_are_the_same() -> None:
    assert normalise_order("garde l'abbe\u0301") == normalise_order("garde l'abb\u00e9")


def test_a_pasted_book_costs_no_frame() -> None:
    assert normalise_order("  " * 10**6 + "go " * 10**6) == ("go " * 67)[:200].rstrip()


@pytest.mark.parametrize("order", [None, 3, b"hold"])
def test_what_is_no_text_is_no_order(order: Any) -> None:
    with pytest.raises(DomainError, match="an order is a string"):
        normalise_order(order)


def test_vectors_stand_where_the_buckets_stand(simulate: Simulate) -> None:
    """Each feature of a situation as a float from 0 to 1, rising with its value."""
    sim = simulate(make_brain(1))
    mind = sim.spawn("mind")
    places: list[float] = []
    for value in np.linspace(-2, 6, 30):
        mind.c0 = value
        sim.tick()
        places += sim.situation(mind).vector
    assert all(0 <= a <= b <= 1 for a, b in pairwise(places))
    assert (places[0], places[-1]) == (0, 1)
