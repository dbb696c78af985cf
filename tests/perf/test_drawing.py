"""Stress runs that draw, and profiles of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest

from astrasim import Settings, SettingsError, Source
from astrasim.demos.companion.app import Options, run_demo
from astrasim.perf.arena import build_arena
from astrasim.perf.profile import PARTS
from astrasim.perf.screen import COLOURS, Screen, WindowClosed, opened
from astrasim.perf.stress import Run, measure

STRESS = [
    sys.executable, "-c",
    "from astrasim.perf import stress; stress.WARM_UP_FRAMES = 2; from astrasim.cli import run; run()", "stress",
]  # fmt: skip


def test_everybody_is_drawn_in_the_colour_of_the_plan() -> None:
    with opened("dummy") as surface, build_arena(300, Settings(model="none", seed=4)) as sim:
        sim.tick()
        sim.agents.source[:] = np.arange(300) % 3
        Screen(surface, sim).draw()
        side, scale, left = 12 * 300**0.5, 720 / (12 * 300**0.5), 280
        inside = np.flatnonzero((sim.agents.x < side - 3) & (sim.agents.y < side - 3))
        right = 0
        for row in inside.tolist():
            at = int(sim.agents.x[row] * scale + left), int(sim.agents.y[row] * scale)
            right += tuple(surface.get_at(at))[:3] == COLOURS[Source(int(sim.agents.source[row]))]
        assert right > 0.95 * len(inside)  # some lie under others


def test_closing_the_window_ends_the_run() -> None:
    with opened("dummy") as surface, build_arena(3, Settings(model="none")) as sim:
        screen = Screen(surface, sim)
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        with pytest.raises(WindowClosed, match="no figures"):
            screen.draw()


def test_the_driver_that_was_chosen_before_is_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in ("dummy", None):
        if before is None:
            monkeypatch.delenv("SDL_VIDEODRIVER")
        else:
            monkeypatch.setenv("SDL_VIDEODRIVER", before)
        with opened("dummy"):
            pass
        assert os.environ.get("SDL_VIDEODRIVER") == before


@pytest.mark.parametrize("driver", ["dummy", "no such driver"])
def test_a_window_where_there_is_no_display_is_refused_in_words(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    remedy = "set DISPLAY, run it under xvfb-run, or draw with 'dummy'"
    with pytest.raises(SettingsError, match=remedy), opened("window"):
        pass


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_it_draws_in_a_window(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = ["xvfb-run", "-a", *STRESS, "--agents", "50", "--frames", "10", "--model", "none", "--draw", "window",
               "--json", str(out)]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    written = out.read_text(encoding="utf-8")
    assert '"draw": "window"' in written and '"driver": "x11"' in written


def test_a_profile_names_every_part_and_the_demo_gives_the_same_figures() -> None:
    figures = measure(Run(200, every=4, frames=30, model="none", draw="dummy", profile=True))
    assert list(figures["profile"]) == ["grid", *PARTS, "draw"]
    assert all(0 <= part["p50"] <= part["p99"] for part in figures["profile"].values())
    parts = sum(part["p50"] for part in figures["profile"].values())
    assert 0 < parts < 2 * figures["frame_ms"]["p99"]
    assert figures["percept_age"] == {"p50": pytest.approx(1.5, abs=0.5), "max": 3, "ticks": 12}
    assert figures["bytes_per_agent"] is not None

    demo = run_demo(Options(headless=True, seconds=0.2, paced=False, model="none")).figures
    assert figures.keys() - {"profile"} == demo.keys() - {"game"}
    assert demo["draw"] == demo["driver"] == "dummy"
    assert demo["percept_age"]["max"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--draw", "cinema"], "cannot draw 'cinema'"),
        (["--plot", "x.png"], "add --find"),
        (["--runs", "3"], "add --find"),
        (["--find", "--control"], "leave out --find"),
        (["--find", "--frames", "100"], "600 frames"),
    ],
)
def test_options_that_do_not_go_together_are_explained(
    command: Callable[..., tuple[object, str]], arguments: list[str], words: str
) -> None:
    code, said = command("stress", *arguments)
    assert code == 2
    assert words in said
