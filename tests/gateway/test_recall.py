"""What the gateway remembers, through the front door: look-ups out, plans in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim import Settings
from astrasim.gateway.disk import Disk
from astrasim.gateway.intents import same_intent
from astrasim.gateway.keeping import Keeping
from astrasim.gateway.recall import RETIRED_S, Level, Recall
from astrasim.gateway.recalled import Look, Memory, Recalled, answer_looks
from astrasim.gateway.store import Store
from tests.gateway.conftest import MEADOW, Game, grazer
from tests.gateway.test_store import FIELDS, FLEE, REST, hare

Play = Callable[..., Game]
NEAR = Keeping(near_bound=0.08)


def vector(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)


def memory_of(game: Any) -> Memory:
    memory = game.gateway.memory
    assert isinstance(memory, Memory)
    return memory


def look(game: Game, *looks: Look) -> list[Recalled]:
    assert memory_of(game).look(looks)
    found: list[Recalled] = []

    def come() -> bool:
        found.extend(memory_of(game).found())
        return len(found) >= len(looks)

    game.until(come)
    return found


def test_what_the_model_said_is_remembered_exactly_and_nearly(play_a_game: Play) -> None:
    game = play_a_game("situation", keeping=Keeping(near_bound=0.08)).up()
    assert look(game, Look(1, 5, vector(0.9, 0.9))) == [Recalled(1, 5, 0, None, None)]
    game.ask(1, key=5)
    steps = game.answer(1).steps
    found = look(game, Look(1, 5, None), Look(1, 4, vector(0.9, 0.85)), Look(1, 3, vector(0.1, 0.1)))
    assert found == [
        Recalled(1, 5, Level.EXACT, steps, None), Recalled(1, 4, Level.NEAR, steps, None), Recalled(1, 3, 0, None, None)
    ]  # fmt: skip


def test_it_is_there_in_the_next_run_if_there_is_a_file(play_a_game: Play, tmp_path: Path) -> None:
    keeping = Keeping(file=tmp_path / "plans")
    game = play_a_game("situation", keeping=keeping).up()
    game.ask(1, key=5)
    steps = game.answer(1).steps
    look(game, Look(1, 5, None))
    game.until(lambda: memory_of(game).statistics.entries == 1)  # a second later, so it is saved too
    game.gateway.close()
    again = play_a_game("situation", keeping=keeping).up()
    assert look(again, Look(1, 5, None))[0].steps == steps


def test_a_file_that_cannot_be_used_is_told_and_the_game_goes_on(play_a_game: Play, tmp_path: Path) -> None:
    (tmp_path / "plans").write_bytes(b"something else" * 100)
    game = play_a_game("situation", keeping=Keeping(file=tmp_path / "plans")).up()
    game.ask(1, key=5)
    assert game.answer(1).steps
    game.until(lambda: "cannot be used as a plan cache" in game.gateway.describe())
    assert look(game, Look(1, 5, None))[0].steps


def test_a_scope_that_nobody_declared_and_a_vector_that_makes_no_sense_harm_nobody(play_a_game: Play) -> None:
    game = play_a_game("situation", keeping=NEAR).up()
    game.ask(1, key=5)
    game.answer(1)
    found = look(game, Look(99, 5, None), Look(1, 5, vector(np.nan, 1.0)), Look(1, 4, vector(1.0)))
    assert [each.steps is not None for each in found] == [False, True, False]
    memory_of(game).used([(99, 1), (1, 77)])
    memory_of(game).retire([(99, 1), (1, 5)])
    assert look(game, Look(1, 5, None)) == [Recalled(1, 5, 0, None, None)]


def test_before_it_is_ready_nothing_is_looked_up(play_a_game: Play) -> None:
    assert not memory_of(play_a_game("situation", keeping=NEAR)).look([Look(1, 5, None)])


# Without the process


def recall(**rules: Any) -> Recall:
    memory = Recall(FIELDS, Keeping(**({"near_bound": 0.08, "orders": True} | rules)))
    memory.declare(1, hare())
    return memory


def key(hunger: int, alarm: int = 0) -> int:
    return FIELDS.pack("hare", {"hunger": hunger, "alarm": alarm})


def test_what_is_known_about_an_order_serves_another_that_means_the_same() -> None:
    memory = recall()
    for number, order in ((2, "hold the hill"), (3, "guard the hill"), (4, "do not hold the hill")):
        memory.declare(number, hare(order))
    memory.answered(2, key(3), REST)

    memory.look(3, key(3), None)
    end = time.monotonic() + 10
    while memory.look(3, key(3), None) is None and time.monotonic() < end:
        time.sleep(0.01)
    assert memory.look(3, key(3), None) == [Level.ORDER, REST, None]
    assert memory.look(4, key(3), None) is None and memory.look(1, key(3), None) is None
    assert memory.look(3, key(3, alarm=1), None) is None, "the situation is another"


def test_many_saved_orders_are_compared_without_each_being_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def same(one: str, other: str, _: object) -> bool:
        compared.append((one, other))
        return same_intent(one, other, lambda *_: 0.0)

    monkeypatch.setattr("astrasim.gateway.orders.same_intent", same)
    memory = recall()
    for number in range(400):
        memory.declare(number + 2, hare(f"hold post {number}"))
    memory.declare(1000, hare("guard post 7"))
    memory.answered(9, key(3), REST)
    end = time.monotonic() + 10
    while memory.look(1000, key(3), None) is None and time.monotonic() < end:
        time.sleep(0.01)
    assert memory.look(1000, key(3), None) == [Level.ORDER, REST, None]
    assert compared == [("guard post 7", "hold post 7")]


def test_orders_are_not_shared_where_that_is_switched_off() -> None:
    memory = recall(orders=False)
    memory.declare(2, hare("hold the hill"))
    memory.declare(3, hare("guard the hill"))
    memory.answered(2, key(3), REST)
    assert memory.look(3, key(3), None) is None


def test_a_game_that_asks_for_nothing_gets_no_plan_of_another_situation_or_order() -> None:
    assert (Settings().near_bound, Settings().share_orders) == (None, False)
    assert (Keeping().near_bound, Keeping().orders) == (None, False)


def test_no_near_look_ups_where_there_is_no_bound() -> None:
    memory = recall(near_bound=None)
    memory.answered(1, key(3), REST)
    assert memory.look(1, key(4), np.array([0.25, 0.4375, 0.125], np.float32)) is None
    assert memory.look(1, key(3), None) is not None


def test_the_model_disagreeing_with_near_plans_makes_the_bound_tighter() -> None:
    memory = recall(near_bound=0.2)
    memory.answered(1, key(3), FLEE)
    for _ in range(60):
        found = memory.look(1, key(4), None)
        if found is None:
            break
        assert found[:2] == [Level.NEAR, FLEE]
        memory.answered(1, key(4), REST)
        memory.store.drop(0, key(4))
    truth = memory.figures()["truth"]["hare"]
    assert truth[0] < 0.2 and memory.look(1, key(4), None) is None
    withdrawn = memory.withdrawn()
    assert set(map(str, withdrawn)) == {"(1, [1])"}, "near plans that the game has are given up, in that role's scopes"
    assert memory.withdrawn() == []


def test_answers_far_away_say_how_far_the_bound_could_be() -> None:
    memory = recall(near_bound=0.01)
    memory.answered(1, key(3), FLEE)
    for _ in range(400):
        memory.look(1, key(4), None)
        memory.answered(1, key(4), FLEE)
        memory.store.drop(0, key(4))
    assert memory.figures()["truth"]["hare"][0] >= 0.125


def test_a_plan_that_keeps_failing_is_forgotten_there_and_only_there() -> None:
    memory = recall(near_bound=0.2)
    for hunger in (3, 5):
        memory.answered(1, key(hunger), FLEE)
    assert memory.look(1, key(4), None) is not None
    memory.retire(1, key(4))
    assert memory.look(1, key(4), None) is None, "the model is asked before another neighbour's plan is tried"
    assert [memory.look(1, key(hunger), None) for hunger in (3, 5)] == [[Level.EXACT, FLEE, None]] * 2
    memory.answered(1, key(4), REST)
    assert memory.look(1, key(4), None) == [Level.EXACT, REST, None]
    memory.retire(1, key(4))
    assert memory.look(1, key(4), None) is None and memory.figures()["retired"] == 2


def test_some_time_after_one_failed_near_plans_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = recall(near_bound=0.2)
    memory.answered(1, key(3), FLEE)
    memory.retire(1, key(4))
    assert memory.look(1, key(4), None) is None
    soon_s = time.monotonic() + RETIRED_S
    monkeypatch.setattr(time, "monotonic", lambda: soon_s)
    assert memory.look(1, key(4), None) == [Level.NEAR, FLEE, None]


def test_use_in_the_game_keeps_a_plan() -> None:
    memory = recall(entries=2, near_bound=None)
    for hunger in (1, 2):
        memory.answered(1, key(hunger), FLEE)
    memory.used(1, key(1))
    memory.answered(1, key(3), FLEE)
    assert [memory.look(1, key(hunger), None) is not None for hunger in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize(
    ("rules", "said"), [({"entries": 2}, "2 of 3 plans loaded: cache_plans=2"), ({"ttl_s": 0}, "0 of 3")]
)
def test_plans_that_are_not_loaded_are_told(tmp_path: Path, rules: dict[str, int], said: str) -> None:
    file = tmp_path / "plans"
    store, disk = Store(FIELDS, Keeping()), Disk(file, "", FIELDS)
    disk.scopes, store.saver = store.scopes, disk
    for hunger in range(3):
        store.put(store.intern(hare()), key(hunger), np.zeros(3, np.float32), FLEE)
    disk.save()
    disk.close()
    memory = recall(file=file, **rules)
    memory.open()
    note = memory.notes.get_nowait()
    assert said in note and f"the others stay in {file}" in note


def test_a_mistake_of_ours_is_a_miss_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = recall()
    memory.answered(1, key(3), FLEE)
    ghosts: dict[str, int] = {}
    monkeypatch.setattr(memory.store, "near", lambda *_: ghosts["a ghost"])
    message = {"q": [[1, key(4), 0], [1, key(3), 0]], "v": ""}
    assert answer_looks(memory, message) == [[1, key(4)], [1, key(3), Level.EXACT, FLEE, None]]
    assert "a mistake in the plan cache" in memory.notes.get_nowait()


# Against a gateway gone mad

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(["found", "memory", "withdraw"]), json, json)
def test_no_message_raises_in_the_game(kind: str, answers: Any, other: Any) -> None:
    memory = Memory(MEADOW, {1: grazer()}, lambda message, pairs: True)
    fields = memory.statistics._asdict() | {"a": answers, "truth": other, "age_s": answers, "level": 1, "q": answers}
    memory.accept({"t": kind, **fields})
    for _, scopes in memory.withdrawn():
        np.array(scopes, np.int32)
    for found in memory.found():
        assert found.steps is None or 1 <= len(found.steps) <= 8
    assert isinstance(memory.statistics.truth, dict)


@pytest.mark.parametrize("answer", [[1, 2, 0, [[9, 0, 1.0]], None], [1, 2, 3, [[0, 0, 1.0]], None], [1], [True, 2]])
def test_answers_that_make_no_sense_are_thrown_away(answer: Any) -> None:
    memory = Memory(MEADOW, {1: grazer()}, lambda message, pairs: True)
    assert not memory.accept({"t": "found", "a": [answer, [1, 5]]})
    assert memory.found() == [Recalled(1, 5, 0, None, None)]


def test_scopes_are_told_before_what_is_asked_about_them(play_a_game: Play) -> None:
    game = play_a_game("situation", keeping=NEAR).up()
    game.gateway.declare_scope(2, grazer("another"))
    assert look(game, Look(2, 5, None)) == [Recalled(2, 5, 0, None, None)]
    game.ask(1, scope_id=2, key=5)
    assert look(game, Look(1, 5, None))[0].steps is None and game.answer(1).steps
