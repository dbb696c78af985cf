"""The companion demo, played headless from scripts of keys, as somebody at the keyboard would play it."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest

from astrasim import Agent, Settings, SettingsError, Situation
from astrasim.demos.companion import valley
from astrasim.demos.companion.app import Options, Outcome, run_demo
from astrasim.demos.companion.minds import game as domain
from astrasim.demos.companion.orders import EXAMPLES, understand
from astrasim.demos.companion.view import View
from astrasim.demos.companion.waves import Wave

Play = Callable[..., Outcome]
FIGHT = "0.5 hold space 400\n"
NOBODY: tuple[Wave, ...] = ()


def far(agent: Agent, place: tuple[float, float]) -> float:
    return math.dist((agent.x, agent.y), place)


def play_until(view: View, condition: Callable[[], bool]) -> None:
    """The game goes on, without frames, until something that takes its time has come."""
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, view.sim.stats().gateway
        view.sim.tick()
        time.sleep(1 / 60)


def until_a_model_answers(view: View) -> None:
    before = view.sim.stats().requests.answered
    play_until(view, lambda: view.sim.stats().requests.answered > before)


def test_who_fights_and_gives_orders_wins(play: Play) -> None:
    done = play(FIGHT + "1 order hold the bridge\n", 100, waves=(Wave(4, 0), Wave(3, 1)))
    assert done.figures["game"]["state"] == "won"
    assert "The last wave is beaten: the bridge is held" in done.game.log


@pytest.mark.slow
def test_all_five_waves_can_be_beaten_in_three_or_four_minutes(play: Play) -> None:
    done = play("0.5 press o\n1 order follow me\n", 300)
    assert done.figures["game"]["state"] == "won"
    assert 150 < done.figures["game"]["seconds"] < 250


def test_most_situations_leave_a_model_something_to_choose(play: Play) -> None:
    def look(view: View) -> None:
        planner = view.sim.planner
        entries = planner.cache.entries
        seen = {e: int(entries.seen[e]) for e in np.flatnonzero(entries.seen).tolist()}
        choices = sum(times for e, times in seen.items() if len(planner.choices.ideas(e)) > 1)
        assert choices > 0.7 * sum(seen.values())

    play("0.5 press o\n", 18, look)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_whatever_idea_a_model_prefers_a_wave_does_not_end_in_a_standoff(
    play: Play, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for role, sense in list(domain.declared.heuristics.items()):
        monkeypatch.setitem(domain.declared.heuristics, role, functools.partial(_with_another_first, sense, number))
    done = play("0.5 press o\n", 74, waves=(Wave(4, 4),))
    assert done.figures["game"]["state"] == "won"


def _with_another_first(sense: Callable[[Situation], list[str]], number: int, situation: Situation) -> list[str]:
    """The heuristic's plan as it is when a model chose the step of this number, or the last."""
    steps = sense(situation)
    at = min(number, len(steps) - 1)
    return [steps[at], *steps[:at], *steps[at + 1 :]]


def test_who_walks_into_the_raiders_loses(play: Play) -> None:
    done = play("0.5 hold d 60\n", 60)
    assert done.figures["game"]["state"] == "lost"
    assert "You have fallen: the bridge is lost" in done.game.log


@pytest.mark.slow
def test_a_village_that_nobody_defends_is_plundered(play: Play) -> None:
    away = "0.5 hold w 60\n0.6 hold a 1.5\n1 order follow me\n"
    done = play(away, 120, waves=(Wave(8, 0), Wave(8, 0), Wave(8, 0)))
    assert done.figures["game"]["state"] == "lost"
    assert "The village is plundered: the game is lost" in done.game.log


def test_two_runs_of_a_script_are_the_same(play: Play) -> None:
    one, two = (play(FIGHT + "1 order attack\n", 10) for _ in range(2))
    assert one.game.log.lines == two.game.log.lines
    assert one.figures["game"] == two.figures["game"]


@pytest.mark.parametrize(
    ("order", "place"), [("Hold the bridge!", valley.BRIDGE), ("fall back to the houses", valley.VILLAGE)]
)
def test_it_goes_where_it_is_ordered_and_stays(
    play: Play, order: str, place: tuple[float, float]
) -> None:
    def look(view: View) -> None:
        assert far(view.game.companion, place) < 4
        assert view.game.keeper.text == order

    play(f"1 order {order}\n2 hold a 4\n", 20, look, waves=NOBODY)


def test_it_may_be_relieved(play: Play) -> None:
    relieved = play("1 order hold the bridge\n3 order at ease\n", 4, waves=NOBODY)
    assert relieved.figures["game"]["order"] == ""
    assert "As you like. I do what I think best." in relieved.game.log


def test_it_follows_the_player(play: Play) -> None:
    def look(view: View) -> None:
        assert far(view.game.player, valley.WEST_BANK) > 15
        assert view.game.companion.distance_to(view.game.player) < 6

    play("1 order come with me\n2 hold a 3\n", 9, look, waves=NOBODY)


def test_it_stays_where_it_is_told_to(play: Play) -> None:
    def look(view: View) -> None:
        companion = view.game.companion
        assert far(companion, (companion.post_x, companion.post_y)) < 2.5
        assert companion.distance_to(view.game.player) > 10

    play("1 order stay here\n2 hold a 3\n", 9, look, waves=NOBODY)


def test_it_fetches_a_pack_and_says_so(play: Play) -> None:
    done = play("1 order get the health pack\n", 12, waves=NOBODY)
    assert "That did me good. What now?" in done.game.log
    assert done.figures["game"]["order"] == ""


def test_it_goes_for_the_boss_until_that_is_down(play: Play) -> None:
    done = play("6 order kill the captain\n", 60, waves=(Wave(0, 0), Wave(1, 0)))
    assert "I go for the boss." in done.game.log
    assert "The boss is down." in done.game.log


def test_what_cannot_be_done_is_refused_with_the_reason(play: Play) -> None:
    done = play("1 order attack the boss\n", 2, waves=NOBODY)
    assert "There is no boss to fight." in done.game.log
    assert done.figures["game"]["order"] == ""


def test_an_order_is_understood_at_once_and_acted_on_in_the_next_frame(play: Play) -> None:
    def look(view: View) -> None:
        situation = view.sim.situation(view.game.companion)
        plan = view.sim.planner.plans[int(view.sim.agents.plan[view.game.companion.row])]
        assert situation.order == "fall back"
        assert str(plan).startswith("defend village")

    # Typed in frames 60 to 62; the tick of frame 62 acts on it.
    play("1 order fall back\n", 63 / 60, look, waves=NOBODY)


def test_what_the_rules_do_not_understand_they_say_so(play: Play) -> None:
    done = play("1 order sing a song\n", 2, waves=NOBODY)
    assert "I do not understand that" in done.game.log
    assert understand("do not attack the boss") is None
    assert [rule.name for text in EXAMPLES if (rule := understand(text))] == [
        "hold_bridge", "follow", "attack_boss", "fall_back", "fetch", "stay", "hide", "relieve",
    ]  # fmt: skip


def test_a_pulled_cable_costs_no_plan(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bridge_mind.py").write_text(
        'def decide(prompt, schema):\n    return \'{"steps": [{"action": "wait", "target": "self", "seconds": 1}]}\'\n'
    )
    monkeypatch.syspath_prepend(tmp_path)

    def look(view: View) -> None:
        assert view.notice[0].startswith("Gateway process")
        assert view.sim.agents.count > 2
        assert not view.sim.errors
        play_until(view, lambda: "ready" in view.sim.stats().gateway)

    play("0.5 press o\n3 press k\n", 5, look, model="function:bridge_mind:decide", at={2: until_a_model_answers})


def test_keys_pause_step_and_change_what_is_shown(play: Play) -> None:
    def look(view: View) -> None:
        assert view.paused and view.show_help and not view.show_panel
        assert view.sim.ticks == 60 + 2
        assert view.sim.pace.budget_units == 32

    play("1 press p\n2 press n\n3 press n\n4 press f1\n4 press tab\n4 press ]\n", 5, look, waves=NOBODY)


def test_agents_come_and_go_by_the_hundred(play: Play) -> None:
    def look(view: View) -> None:
        assert len(view.crowd) == 200
        assert view.sim.agents.count == 202

    play("1 press +\n2 press +\n3 press +\n4 press -\n", 6, look, waves=NOBODY)


def test_a_click_selects_who_is_under_the_mouse(play: Play) -> None:
    def look(view: View) -> None:
        assert view.selected is view.game.player

    play(f"1 click {395} {380}\n", 2, look, waves=NOBODY)


@pytest.mark.parametrize("size", [(800, 500), (1280, 720), (1920, 1080)])
def test_the_picture_has_the_size_of_the_window(play: Play, tmp_path: Path, size: tuple[int, int]) -> None:
    picture = tmp_path / "last.png"
    play("", 1, size=size, screenshot=picture)
    assert pygame.image.load(picture).get_size() == size


@pytest.mark.parametrize("line", ["1 jump space", "soon press space", "1 press nokey", "1 hold space"])
def test_a_script_that_is_none_says_which_line_and_what_to_write(play: Play, line: str) -> None:
    with pytest.raises(SettingsError, match=r"keys\.txt, line 2: .*; write SECONDS, then press KEY"):
        play(f"# a comment\n{line}\n", 1)


def test_no_sound_device_is_needed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "no such driver")
    play("", 0.2)
    assert pygame.mixer.get_init() is None


def test_the_capacity_search_says_what_it_sustained() -> None:
    from astrasim.demos.companion.crowd import Crowd, Search

    class Nobody(Crowd):
        def __init__(self) -> None:
            self.wanted = 0

        def planning_ms(self) -> tuple[float, float]:
            return 1.0, 2.0

    crowd = Nobody()
    search = Search(crowd, first=1000)
    frames = 0
    while not search.done:  # a machine on which each agent costs 2 µs: 8,335 fit into a frame
        search.frame(crowd.wanted * 0.002, arrived=True)
        frames += 1
    assert search.result is not None and search.result.sustained()
    assert 8335 / 1.06 < search.best <= 8335
    assert str(search).startswith(f"Sustained: {search.best:,}")
    assert frames < 60 * 75


def test_settings_may_be_given(tmp_path: Path) -> None:
    options = Options(headless=True, seconds=0.2, paced=False)
    done = run_demo(options, Settings(model="none", budget_ms=1.0, every=2))
    assert done.figures["every"] == 2
    assert done.figures["planning_ms"]["budget"] == 1.0


def test_a_model_that_wants_otherwise_does_not_break_an_order(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stubborn_mind.py").write_text(
        'def decide(prompt, schema):\n'
        '    return \'{"steps": [{"action": "follow", "target": "player", "seconds": 5}]}\'\n'
    )
    monkeypatch.syspath_prepend(tmp_path)

    def look(view: View) -> None:
        assert far(view.game.companion, valley.BRIDGE) < 4

    script = "1 order hold the bridge\n2 hold a 2\n"
    heard = 0

    def until_it_is_heard_again(view: View) -> None:
        nonlocal heard
        play_until(view, lambda: ended(view) > heard)
        heard = ended(view)

    def ended(view: View) -> int:
        requests = view.sim.stats().requests
        return requests.answered + requests.rejected  # it may not want that under the order

    at = dict.fromkeys((0.9, 1.5), until_it_is_heard_again)
    play(script, 9, look, model="function:stubborn_mind:decide", at=at, waves=NOBODY)


def test_the_model_can_be_taken_away_and_given_back(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "calm_mind.py").write_text("def decide(prompt, schema):\n    return '{}'\n")
    monkeypatch.syspath_prepend(tmp_path)

    def off(view: View) -> None:
        assert not view.game.has_model
        assert "model is off" in view.notice[0]

    def on(view: View) -> None:
        assert view.game.has_model

    play("0.5 press m\n", 1, off, model="function:calm_mind:decide", waves=NOBODY)
    play("0.5 press m\n0.7 press m\n", 1, on, model="function:calm_mind:decide", waves=NOBODY)


def test_a_window_that_was_resized_is_laid_out_anew(tmp_path: Path) -> None:
    picture = tmp_path / "last.png"

    def watch(view: View, frame: int) -> None:
        if frame == 10:
            pygame.display.set_mode((1000, 640), pygame.RESIZABLE)
            pygame.event.post(pygame.event.Event(pygame.VIDEORESIZE, size=(1000, 640), w=1000, h=640))

    run_demo(Options(headless=True, seconds=0.5, paced=False, model="none", screenshot=picture, watch=watch))
    surface = pygame.image.load(picture)
    assert surface.get_size() == (1000, 640)
    assert len({tuple(surface.get_at((990, y))) for y in range(640)}) > 1, "the panel is at the new right edge"


def test_escape_closes_the_help_before_the_game(play: Play) -> None:
    done = play("0.2 press h\n0.5 press escape\n", 1, waves=NOBODY)
    assert len(done.times.work_ms) == 60
    done = play("0.2 press h\n0.5 press escape\n0.7 press escape\n", 1, waves=NOBODY)
    assert len(done.times.work_ms) == 43
