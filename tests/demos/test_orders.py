"""What the companion makes of orders in plain words, and what it says to those that come to nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from astrasim.demos.companion.app import Outcome
from astrasim.demos.companion.orders import EXAMPLES, understand
from astrasim.demos.companion.view import View
from astrasim.demos.companion.waves import Wave
from astrasim.model_choice import embedded_spec

Play = Callable[..., Outcome]
NOBODY: tuple[Wave, ...] = ()


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        ("cancel", "relieve"),
        ("cancel the attack", "relieve"),
        ("stand down", "relieve"),
        ("never mind", "relieve"),
        ("carry on", "relieve"),
        ("carry on, Ash", "relieve"),
        ("flee", "fall_back"),
        ("Run!", "fall_back"),
        ("run away from the boss", "fall_back"),
        ("get out of here", "fall_back"),
        ("run to me", "follow"),
        ("run to the bridge", "hold_bridge"),
        ("escort me", "follow"),
        ("watch my back", "follow"),
        ("carry on holding the bridge", "hold_bridge"),
        ("never mind the boss, hold the bridge", "hold_bridge"),
        ("ignore the boss and hold the bridge", "hold_bridge"),
        ("take cover from the captain", "hide"),
        ("take the captain down", "attack_boss"),
        ("get the boss", "attack_boss"),
        ("stop following me and attack", "attack"),
        ("stop attacking and follow me", "follow"),
        ("keep attacking", "attack"),
        ("stop", "stay"),
        ("Ash, stop right there, please", "stay"),
        ("no, follow me", "follow"),
        ("go to the bridge and don't let anyone pass", "hold_bridge"),
        ("let nobody get across!", "hold_bridge"),
        ("come back to the bridge", "hold_bridge"),
        ("come back", "follow"),
        ("come back to me", "follow"),
        ("come over to the village", "fall_back"),
        ("help me!", "follow"),
        ("help me hold the bridge", "hold_bridge"),
        ("regroup", "follow"),
        ("focus the captain", "attack_boss"),
        ("kill that big purple one", "attack_boss"),
        ("go on the offensive", "attack"),
        ("keep out of sight", "hide"),
        ("get down!", "hide"),
        ("don't move", "stay"),
        ("do whatever you think is right", "relieve"),
        ("that's enough, you decide", "relieve"),
    ],
)
def test_an_order_in_plain_words_is_understood(order: str, rule: str) -> None:
    found = understand(order)
    assert found is not None and found.name == rule


@pytest.mark.parametrize(
    "order",
    [
        "get away from the bridge", "stay away from the bridge", "leave the bridge", "get off the bridge",
        "get away from the boss", "avoid the boss", "do not attack", "don’t attack", "dont attack", "you can't hold it",
        "neither attack nor follow", "cease fire", "hold your fire", "stop attacking", "stop following me",
        "stop shooting", "quit", "quit following", "attack without the boss", "follow me but never attack",
        "go to the village instead of the bridge", "don't forget to hold the bridge", "keep clear of the bridge",
    ],
)  # fmt: skip
def test_what_forbids_or_takes_back_is_not_turned_into_its_opposite(order: str) -> None:
    assert understand(order) is None


def test_without_a_model_it_says_what_it_does_not_understand(play: Play) -> None:
    done = play("1 order sing a song\n", 2, waves=NOBODY)
    assert "I do not understand that: say what I should do." in done.game.log


def test_a_model_that_only_chooses_is_not_left_to_make_something_of_an_order(play: Play) -> None:
    def look(view: View) -> None:
        view.sim.model = embedded_spec()
        view.game.keeper.give("sing a song")
        view.sim.model = None

    done = play("", 0.5, look, waves=NOBODY)
    assert "I do not understand that: say what I should do." in done.game.log
    assert "Let me think about that." not in done.game.log


def test_a_model_that_writes_plans_gets_what_the_rules_do_not_understand(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "singing_mind.py").write_text("def decide(prompt, schema):\n    return '{}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = play("1 order sing a song\n", 2, waves=NOBODY, model="function:singing_mind:decide")
    assert "Let me think about that." in done.game.log


@pytest.mark.parametrize("nonsense", ["attack the boss", "sing a song"])
def test_an_order_that_comes_to_nothing_says_that_the_old_one_stands(play: Play, nonsense: str) -> None:
    done = play(f"1 order hold the bridge\n2 order {nonsense}\n", 3, waves=NOBODY)
    assert "“hold the bridge” still stands." in done.game.log
    assert done.figures["game"]["order"] == "hold the bridge"


def test_no_order_is_taken_when_the_game_is_over(play: Play) -> None:
    def look(view: View) -> None:
        assert view.game.state == "lost"
        assert view.typing is None
        assert "R plays again" in view.notice[0]

    script = "0.5 hold d 30\n29 press 1\n29.5 order follow me\n"
    done = play(script, 30, look, to_the_end=True, waves=(Wave(12, 0),))
    assert "The game is over: R plays again" in done.game.log
    assert done.figures["game"]["order"] == ""


@pytest.mark.parametrize("number", range(1, len(EXAMPLES) + 1))
def test_each_number_key_gives_the_order_of_its_number(play: Play, number: int) -> None:
    said: list[str] = []
    play(f"0.2 press {number}\n", 0.5, lambda view: said.extend(line for _, line in view.game.log.lines), waves=NOBODY)
    rule = understand(EXAMPLES[number - 1])
    assert rule is not None
    assert said == [rule.says if rule.name != "attack_boss" else "There is no boss to fight."]
