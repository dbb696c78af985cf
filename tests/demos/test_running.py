"""How a run of the demo begins and ends, and what it says of itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from astrasim import Settings, SettingsError
from astrasim.demos.companion import report
from astrasim.demos.companion.app import Options, Outcome, _prepare, run_demo, why_no_window
from astrasim.demos.companion.fetching import Fetching
from astrasim.demos.companion.hud import order_text
from astrasim.demos.companion.panel import gateway_in_words
from astrasim.demos.companion.view import View, size_on
from astrasim.demos.companion.waves import Wave
from astrasim.gateway import weights
from astrasim.governor import Governor
from astrasim.model_choice import embedded_spec

Play = Callable[..., Outcome]
NOBODY: tuple[Wave, ...] = ()


# The search for capacity


def test_a_search_for_capacity_goes_on_from_a_pause(play: Play) -> None:
    def look(view: View) -> None:
        assert view.searching and not view.paused

    play("0.2 press p\n0.5 press c\n", 1, look, waves=NOBODY)


@pytest.mark.parametrize("key", ["p", "n", "[", "]", "g", "z", "m", "k"])
def test_while_it_runs_it_ignores_the_keys_that_would_falsify_it_and_says_so(play: Play, key: str) -> None:
    def look(view: View) -> None:
        assert view.searching and view.country
        assert not view.paused and not view.one_step
        assert view.sim.pace.budget_units == 16
        assert view.notice[0] == "Not while the search for capacity runs (C ends it)"

    play(f"0.2 press c\n0.5 press {key}\n", 1, look, waves=NOBODY)


def test_at_budget_0_it_refuses(play: Play) -> None:
    def look(view: View) -> None:
        assert view.search is None
        assert view.notice[0].startswith("No search for capacity: at budget 0 nobody plans")

    off = "".join(f"0.{frame} press [\n" for frame in range(1, 8))
    play(f"{off}1 press c\n", 1.5, look, waves=NOBODY)
    with pytest.raises(SettingsError, match="a search for capacity needs a planning budget"):
        run_demo(Options(headless=True, capacity=True), Settings(model="none", budget_ms=0))


def test_one_that_was_not_finished_is_named_in_the_summary(play: Play) -> None:
    done = play("0.2 press c\n", 1, waves=NOBODY)
    assert "the search for capacity was not finished: Capacity: " in report.summary(done)


# The budget


def test_where_units_rule_keys_and_figures_speak_of_units(play: Play) -> None:
    def look(view: View) -> None:
        assert view.notice[0] == "Planning budget 8 units a tick"

    done = play("0.2 press [\n", 0.5, look, waves=NOBODY)
    assert done.figures["settings"]["budget"] == "8 units"


def test_at_budget_0_the_order_line_says_that_planning_is_off(play: Play) -> None:
    texts: list[str] = []
    off = "".join(f"0.{frame} press [\n" for frame in range(1, 8))
    play(off, 1, lambda view: texts.append(order_text(view, 900)), waves=NOBODY)
    play(f"{off}1 press 1\n", 1.5, lambda view: texts.append(order_text(view, 900)), waves=NOBODY)
    assert texts[0].startswith("Planning is off")
    assert texts[1] == "Ash’s order: “hold the bridge”  (understood: hold bridge; planning is off)"


def test_with_the_fetched_model_planning_goes_by_the_clock(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find", lambda: None)
    monkeypatch.setattr(weights, "find_or_fetch", lambda *_: None)
    monkeypatch.setattr("astrasim.demos.companion.fetching.find_spec", lambda _: True)
    # What joins in here answers nothing: no weights are needed to see that it was asked for.
    monkeypatch.setattr("astrasim.simulation.Simulation.set_model", lambda sim, model: asked.append(model))
    asked: list[str] = []

    def look(view: View) -> None:
        assert view.sim.pace.budget_units is None
        assert view.notice[0] == "The model has joined"
        assert report.describe(view).endswith("; the model has joined")

    play("", 1, look, model="embedded", waves=NOBODY)
    assert asked == ["embedded"]


def test_units_that_were_asked_for_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = Fetching.__new__(Fetching)
    fetching.frees_planning, fetching.joined, fetching._done = False, False, True

    def watch(view: View, frame: int) -> None:
        monkeypatch.setattr(view.sim, "set_model", lambda model: model)
        assert fetching.join_in(view.sim) == (frame == 0)
        assert view.sim.pace.budget_units == 5

    run_demo(Options(headless=True, seconds=0.1, paced=False, watch=watch), Settings(model="none", budget_units=5))


# The governor


def watched(script: str, seconds: float, tmp_path: Path, look: Callable[[View, int], None], **settings: object) -> None:
    """Play with settings of one's own, by the clock."""
    keys = tmp_path / "keys.txt"
    keys.write_text(script, encoding="utf-8")
    chosen = Settings(model="none", **settings)
    run_demo(Options(headless=True, seconds=seconds, keys=keys, paced=False, waves=NOBODY, watch=look), chosen)


def test_in_a_window_the_governor_is_on_unless_it_was_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def begins(headless: bool = False, capacity: bool = False) -> bool:
        return _prepare(Options(model="none", headless=headless, capacity=capacity), None)[0].governor

    assert begins() and begins(headless=True, capacity=True)
    assert not begins(headless=True), "two such runs are the same"
    monkeypatch.setenv("ASTRASIM_GOVERNOR", "0")
    assert not begins()
    assert not _prepare(Options(), Settings(model="none"))[0].governor


def test_it_is_told_each_frame_and_g_switches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, str]] = []
    told: list[float] = []
    monkeypatch.setattr(Governor, "frame", lambda governor, work_ms: told.append(work_ms))

    def look(view: View, frame: int) -> None:
        seen.append((view.sim.governor.on, view.notice[0]))
        assert len(told) == frame + 1 and told[-1] > 0

    watched("0.2 press g\n0.4 press g\n", 0.6, tmp_path, look, governor=True, target_fps=30)
    assert seen[2] == (True, "")
    assert seen[13] == (False, "The governor is off: everything as set")
    assert seen[25] == (True, "The governor holds 30 frames a second")


def test_a_budget_by_hand_switches_it_off(tmp_path: Path) -> None:
    seen: list[tuple[bool, float, str]] = []

    def look(view: View, frame: int) -> None:
        seen.append((view.sim.governor.on, view.sim.pace.budget_ms, view.notice[0]))

    watched("0.1 press [\n0.3 press [\n", 0.5, tmp_path, look, governor=True, target_fps=1)
    assert seen[0] == (True, 2.0, "")
    assert seen[10] == (False, 1.0, "Planning budget 1 ms a tick; the governor is off")
    assert seen[25] == (False, 0.5, "Planning budget 0.5 ms a tick")


def test_a_search_for_capacity_runs_without_it_and_gives_it_back(tmp_path: Path) -> None:
    seen: list[bool] = []
    watched("0.1 press c\n0.3 press c\n", 0.5, tmp_path, lambda view, _: seen.append(view.sim.governor.on),
            governor=True, target_fps=1)  # fmt: skip
    assert seen[4] and not seen[12] and seen[25]


# The end


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process there")
def test_ctrl_c_ends_it_like_quitting(play: Play, tmp_path: Path) -> None:
    picture, figures = tmp_path / "last.png", tmp_path / "out.json"
    before = signal.getsignal(signal.SIGINT)

    def look(view: View) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    done = play("1 quit\n", 0.5, look, waves=NOBODY, screenshot=picture, json_file=figures, paced=True)
    assert report.summary(done)
    assert picture.exists() and figures.exists()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("size", [(99_999, 99_999), (799, 720), (-5, 720)])
def test_a_size_that_cannot_be_is_refused_in_words(size: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="it must be at least 800x500 and at most 7680x4320"):
        run_demo(Options(headless=True, size=size))


@pytest.mark.parametrize(
    ("desktop", "size"),
    [((1366, 768), (1280, 720)), ((1920, 1080), (1280, 720)),
     ((3840, 2160), (2560, 1440)), ((3440, 1440), (1707, 960))],
)
def test_a_window_on_a_large_screen_is_larger(desktop: tuple[int, int], size: tuple[int, int]) -> None:
    assert size_on(desktop) == size


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_time_that_cannot_be_is_refused_in_words(seconds: float) -> None:
    with pytest.raises(SettingsError, match="give a number of seconds"):
        run_demo(Options(headless=True, seconds=seconds))


@pytest.mark.parametrize("line", ["inf press p", "nan quit", "-1 press p", "1 hold p inf", "1 hold p nan"])
def test_a_line_of_a_script_with_no_time_is_refused_in_words(play: Play, line: str) -> None:
    with pytest.raises(SettingsError, match="is no time; it must be a number of seconds, at least 0"):
        play(f"{line}\n", 1)


def test_a_script_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    keys = tmp_path / "keys.bin"
    keys.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="this is no text in UTF-8"):
        run_demo(Options(headless=True, keys=keys))


@pytest.mark.parametrize("driver", ["dummy", "offscreen"])
def test_a_driver_without_a_window_is_noticed(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    assert why_no_window()  # "offscreen" is not in every build of SDL: then it is the reason why none can be opened


# What is drawn


@pytest.mark.parametrize("size", [(800, 500), (1280, 720), (1000, 900)])
def test_what_was_understood_is_whole_at_every_width(play: Play, size: tuple[int, int]) -> None:
    def look(view: View) -> None:
        room = view.camera.width - 150 * view.ui
        text = order_text(view, room)
        assert text.endswith("”  (understood: hold bridge)") and "…" in text
        assert view.lettering.font(15).size(text)[0] <= room

    words = "hold the bridge " + "as long as you possibly can " * 6
    play(f"0.2 order {words}\n", 1, look, size=size, waves=NOBODY)


def test_the_gateway_is_shown_with_its_latency_and_without_code_words(play: Play) -> None:
    def look(view: View) -> None:
        view.sim.planner.latency_ms.add(600.0)
        s = view.sim.stats()
        s = s._replace(requests=s.requests._replace(answered=1, latency_ms=view.sim.planner.latency_ms.percentiles()))
        said = f"{embedded_spec()}: ready, 2 in flight"
        assert gateway_in_words(s._replace(gateway=said)) == f"{said}, 0.6 s"
        away = "openai at box: model unavailable, heuristics in charge, next try in 8 s"
        resting = f"{away}; the last request failed: unreachable: connection refused"
        assert gateway_in_words(s._replace(gateway=resting)) == f"{away}; the last request failed: connection refused"
        lost = f"{embedded_spec()}: starting; the last request failed: gateway_lost: the process ended"
        assert gateway_in_words(s._replace(gateway=lost)).endswith("; the last request failed: the process ended")

    play("", 0.2, look, waves=NOBODY)
