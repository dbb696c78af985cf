"""`astrasim stress --find`: what a search returns, on machines made up for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from astrasim import SettingsError
from astrasim.cli import app
from astrasim.figures import machine
from astrasim.perf.apart import measure_apart
from astrasim.perf.finding import find
from astrasim.perf.plot import plot
from astrasim.perf.stress import Run, measure

MACHINE = machine()


def made_up(limit: int, planning_ms: float = 1.0) -> Callable[[Run], dict[str, Any]]:
    """A machine that sustains exactly ``limit`` agents."""

    def measured(run: Run) -> dict[str, Any]:
        p99 = 16.6 * run.agents / limit
        return {
            "agents": run.agents, "every": run.every, "frames": run.frames, "draw": run.draw, "driver": None,
            "workload": run.workload, "model": run.model, "seed": run.seed,
            "frame_ms": {"p50": p99 / 1.2, "p95": p99, "p99": p99, "max": p99},
            "missed": 0, "planning_ms": {"cpu_p99": planning_ms, "budget": run.budget_ms}, "rss_mb": 300.0,
            "requests": {}, "settings": {"rate": run.rate}, "machine": MACHINE,
        }  # fmt: skip

    return measured


def test_a_search_gives_the_confirming_run_and_all_that_was_tried() -> None:
    told: list[str] = []
    figures = find(Run(1000), told=told.append, measured=made_up(30_000))
    found = figures["find"]
    assert 28_500 <= found["median"] <= 30_000
    assert figures["agents"] == found["median"] == found["least"] == found["most"]
    (tried,) = found["tried"]
    assert [each["agents"] for each in tried[:6]] == [1000, 2000, 4000, 8000, 16_000, 32_000]
    assert tried[-1]["stage"] == "confirm" and tried[-1]["frames"] == figures["frames"] == 600
    assert all(each["kept"] == (each["agents"] <= 30_000) for each in tried)
    assert len(told) == 2 * len(tried)
    assert told[0] == "1,000 agents, 180 frames (bracket) ..."
    assert told[-1].endswith("kept, but close")


def test_of_three_searches_the_one_in_the_middle_counts_and_the_spread_is_told() -> None:
    limits = {"search 1 of 3": 30_000, "search 2 of 3": 20_000, "search 3 of 3": 40_000}
    told: list[str] = []

    def measured(run: Run) -> dict[str, Any]:
        return made_up(limits[told[-1].partition(":")[0]])(run)

    figures = find(Run(1000), runs=3, told=told.append, measured=measured)
    found = figures["find"]
    assert [round(each / 10_000) for each in found["agents"]] == [2, 3, 4]
    assert found["median"] == figures["agents"] == found["agents"][1]
    assert (found["least"], found["most"]) == (found["agents"][0], found["agents"][2])
    assert len(found["tried"]) == 3


def test_frames_that_are_kept_by_planning_too_long_do_not_count() -> None:
    figures = find(Run(100), measured=made_up(30_000, planning_ms=2.5), most=1000)
    assert figures["find"]["median"] == 0


def test_a_process_that_dies_is_a_number_that_is_not_sustained() -> None:
    def measured(run: Run) -> dict[str, Any] | None:
        return made_up(10**9)(run) if run.agents < 5000 else None

    figures = find(Run(1000), measured=measured)
    assert 4700 <= figures["find"]["median"] < 5000
    assert any(each.get("died") for each in figures["find"]["tried"][0])


def test_a_try_in_a_process_of_its_own_measures_what_it_was_told_to() -> None:
    figures = measure_apart(Run(30, every=3, frames=5, model="none", warm_up=2))
    assert figures is not None
    assert (figures["agents"], figures["every"], figures["frames"]) == (30, 3, 5)


def test_what_a_process_of_its_own_refuses_is_said_here() -> None:
    with pytest.raises(SettingsError, match="no model 'gpt'"):
        measure_apart(Run(30, frames=5, model="gpt"))


@pytest.mark.skipif(sys.platform == "win32", reason="no such program there")
def test_one_that_dies_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert measure_apart(Run(30, frames=5, model="none")) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_it_does_not_outlive_who_started_it() -> None:
    code = (
        "from astrasim.perf.apart import measure_apart; from astrasim.perf.stress import Run; "
        "measure_apart(Run(30, frames=36_000, model='none'))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        while not (children := psutil.Process(parent.pid).children()):
            time.sleep(0.05)
        parent.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


@pytest.mark.parametrize(
    ("run", "runs", "words"),
    [
        (Run(10, frames=599), 1, "frames=599: a number is sustained over 600 frames"),
        (Run(10), 0, "runs=0"),
        (Run(10, budget_ms=0), 1, "budget_ms=0"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_in_words(run: Run, runs: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        find(run, runs, measured=made_up(100))


def test_the_command_shows_a_search_and_writes_figures_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = measure(Run(20, frames=5, model="none", profile=True))
    machine = made_up(30_000)
    kept = {name: one[name] for name in ("planning_ms", "requests", "settings")}
    quick = partial(find, measured=lambda run: one | machine(run) | kept)
    monkeypatch.setattr("astrasim.perf.finding.find", quick)
    figures, picture = tmp_path / "out.json", tmp_path / "out.png"
    arguments = ["stress", "--find", "--runs", "3", "--json", str(figures), "--plot", str(picture)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(figures.read_text(encoding="utf-8"))["find"]
    assert f"sustained at 60 FPS: {found['median']:,} agents (to within 5%), median of 3 searches" in done.output
    assert "what the parts of a frame cost" in done.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_what_was_on_or_off(tmp_path: Path) -> None:
    limits = {1: 30_000, 4: 90_000}
    searches = [find(Run(1000, every=k, rate=100), measured=made_up(limit)) for k, limit in limits.items()]
    plot(searches, tmp_path / "two.svg")
    drawn = (tmp_path / "two.svg").read_text(encoding="utf-8")
    for words in ("16.67 ms", "model stub", "100 requests a second", "budget 2 ms", "nothing drawn", "600 frames"):
        assert words in drawn
    for search, every in zip(searches, ("every tick", "every 4th tick"), strict=True):
        assert f"perceiving {every}: {search['find']['median']:,} agents" in drawn
    plot(searches[:1], tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_what_is_no_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="astrasim stress --find"):
        plot([made_up(10)(Run(10))], tmp_path / "no.png")
    with pytest.raises(SettingsError, match=r"no\.cake"):
        plot([find(Run(10), measured=made_up(100))], tmp_path / "no.cake")
