"""Whether two orders mean the same: paraphrases share plans, traps do not."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim.gateway.intents import ALIKE, frame, same_intent
from astrasim.vocabulary import normalise_order


def never(one: str, other: str) -> float:
    raise AssertionError("the embedding was asked")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hold the bridge", "please guard that crossing"),
        ("heal me", "patch me up"),
        ("attack the captain", "take the captain down"),
        ("light the beacon", "ignite the beacon"),
        ("don't attack the wolves", "leave the wolves alone"),
        ("go north", "march northwards"),
        ("attack if they cross the river", "attack when they cross the river"),
    ],
)
def test_the_same_in_other_words_is_the_same(one: str, other: str) -> None:
    assert same_intent(one, other, never) and same_intent(other, one, never)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("attack the captain", "do not attack the captain"),
        ("open the gate", "close the gate"),
        ("hold the bridge", "hold the gate"),
        ("go north", "go south"),
        ("heal me", "heal her"),
        ("retreat if you are hurt", "retreat unless you are hurt"),
        ("protect the king from the queen", "protect the queen from the king"),
        ("buy bread", "sell bread"),
        ("take two potions", "take five potions"),
        ("attaque le capitaine", "n'attaque pas le capitaine"),
        ("attack the wolf, don't attack the sheep", "don't attack the wolf, attack the sheep"),
        ("protect me from the guard", "protect the guard from me"),
        ("take me to the healer", "take the healer to me"),
        ("stop attacking the wolf", "stop, attack the wolf"),
        ("stop the attack on the wolf", "stop, attack the wolf"),
        ("go north, do not go south", "do not go north, go south"),
        ("move the crate by the door to the wall", "move the crate to the door by the wall"),
        ("hold fire", "hold, fire"),
    ],
)
def test_what_only_sounds_alike_is_not(one: str, other: str) -> None:
    assert not same_intent(one, other, lambda a, b: 1.0)


def test_a_verb_that_is_not_known_is_left_to_the_embedding() -> None:
    pair = "befriend the wolves", "hug the wolves"
    assert same_intent(*pair, lambda a, b: ALIKE) and not same_intent(*pair, lambda a, b: ALIKE - 0.01)
    assert not same_intent("befriend the wolves", "befriend the bears", lambda a, b: 1.0)


@pytest.mark.parametrize("half", ["tune", "report", "review"])
def test_seven_in_ten_labelled_paraphrases_share_and_hardly_a_trap(half: str) -> None:
    told = json.loads(resources.files("astrasim.perf").joinpath("orders_labelled.json").read_text(encoding="utf-8"))
    shared: dict[bool, list[bool]] = {True: [], False: []}
    for pair in told["pairs"]:
        if pair["set"] == half:
            # Without the embedder: what it would add is not needed for this.
            shared[pair["kind"] == "paraphrase"].append(same_intent(pair["a"], pair["b"], lambda a, b: 0.0))
    assert sum(shared[True]) / len(shared[True]) >= 0.7
    assert sum(shared[False]) / len(shared[False]) <= 0.02


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_has_a_frame_and_the_order_of_comparing_does_not_matter(one: str, other: str) -> None:
    one, other = normalise_order(one), normalise_order(other)
    assert frame(one) == frame(one)
    assert same_intent(one, other, lambda a, b: 0.9) == same_intent(other, one, lambda a, b: 0.9)
    assert same_intent(one, one, never)
