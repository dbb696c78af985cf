"""The dashboard: what it says, when it is drawn, and that it never stops a game."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from astrasim import Dashboard, Domain, Simulation, dashboard, run_frames
from astrasim.frames import Frame

Simulate = Callable[..., Simulation]


def terminal(width: int = 110) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None)


def said(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture
def sim(simulate: Simulate, meadow: Domain, stand_in: Any) -> Simulation:
    sim = simulate(meadow, settings={"budget_ms": 1000.0, "strict": False})
    sim.planner.gateway = stand_in
    return sim


def test_it_says_how_the_game_does(sim: Simulation, stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "DRAWN_S", 0.0)
    sim.spawn_many("sheep", 4, x=[0, 1, 2, 3])
    sim.spawn("wolf", x=3)
    sim.errors.report("feature mood", ZeroDivisionError("oh [red]no[/red]"))
    console = terminal()
    with Dashboard(sim, console) as board:
        for number in range(20):
            if number == 9:
                stand_in.answer(sim, 1, "flee threat 2")
            sim.tick()
            board.frame(Frame(5.0 + number / 10, number == 7, 1.0))
    last = said(console).rpartition("meadow")[2]
    for words in [
        ", 5 agents", "p50 5.95, p95 6.80", "missed 1 of 20", "budget 1000 ms", "1 answered, 0 failed", "in flight",
        "LLM ", "cache ", "heuristic ", "gateway     a stand-in", "oh [red]no[/red] (1 times)",
    ]:  # fmt: skip
        assert words in last, last


def test_the_shares_are_those_of_the_last_seconds(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(dashboard, "perf_counter", lambda: now_s)
    board = Dashboard(sim, terminal())
    sim.planner.counters[:3] = 70, 20, 10
    assert "LLM 0%, cache 0%, heuristic 0%" in board.line(), "nothing has happened since the first look"
    for _ in range(8):
        now_s += 1
        sim.planner.counters[1] += 50
        sim.planner.counts.sent += 3
    assert "requests 3.0 a second" in board.line() and "LLM 0%, cache 100%, heuristic 0%" in board.line()
    sim.reset_stats()
    assert "requests 0.0 a second" in board.line(), "counts that were set back are no negative rate"


def test_it_is_drawn_twice_a_second_at_most_and_only_where_there_is_time(
    sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(dashboard, "perf_counter", lambda: now_s)
    board = Dashboard(sim, terminal())
    drawn: list[float] = []

    def view() -> str:
        nonlocal now_s
        drawn.append(now_s)
        now_s += 0.004
        return "drawn"

    monkeypatch.setattr(board, "view", view)
    with board:
        for _ in range(60):
            now_s += 1 / 60
            board.frame(Frame(5.0, False, 0.010))
        often = len(drawn)
        assert 2 <= often <= 3
        for _ in range(80):
            now_s += 1 / 60
            board.frame(Frame(15.0, False, 0.001))
        assert len(drawn) == often, "there was no time"
        for _ in range(50):
            now_s += 1 / 60
            board.frame(Frame(15.0, False, 0.001))
        assert len(drawn) == often + 1, "but nobody looks at old figures for ever"


def test_where_there_is_no_terminal_it_prints_a_line_now_and_then(
    sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "PLAIN_S", 0.05)
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    sim.spawn("wolf")
    with Dashboard(sim, console) as board:
        run_frames(lambda _: sim.tick(), 15, after=board.frame)
    lines = said(console).splitlines()
    assert 2 <= len(lines) <= 6
    assert all("1 agents: frame p50" in line and "\x1b" not in line for line in lines)


def test_one_that_cannot_be_drawn_is_switched_off_and_the_game_goes_on(
    sim: Simulation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dashboard, "PLAIN_S", 0.0)
    console = Console(file=io.StringIO())
    with Dashboard(sim, console) as board:
        console.file.close()
        times = run_frames(lambda _: sim.tick(), 5, after=board.frame)
    assert len(times.work_ms) == 5
    assert [record.message for record in caplog.records if "switched off" in record.message] == [
        "the dashboard is switched off: I/O operation on closed file"
    ]


def test_a_terminal_that_can_only_go_on_writing_gets_lines(
    sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(dashboard, "PLAIN_S", 0.0)
    console = terminal()
    with Dashboard(sim, console) as board:
        board.frame(Frame(5.0, False, 1.0))
    assert "0 agents: frame p50" in said(console) and "\x1b" not in said(console)


@pytest.mark.parametrize("at", ["begin", "end"])
def test_a_terminal_that_is_gone_when_it_begins_or_ends_stops_nothing(
    sim: Simulation, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    console = terminal()
    if at == "begin":
        console.file.close()
    with Dashboard(sim, console) as board:
        board.frame(Frame(5.0, False, 1.0))
        console.file.close()
    assert "the dashboard is switched off" in caplog.text


def test_what_a_game_says_does_not_steer_the_terminal(sim: Simulation) -> None:
    sim.errors.report("feature mood", ZeroDivisionError("oh\x1b[2J no\nmore" + 200 * "!"))
    console = terminal(width=60)
    with Dashboard(sim, console):
        pass
    assert "oh [2J no more!" in said(console) and "\x1b[2J" not in said(console)
    assert "!!" not in said(console), "it is cut where the terminal ends"


def test_what_it_takes_is_no_part_of_a_frames_work_and_the_next_frame_keeps_time() -> None:
    def after(frame: Frame) -> None:
        assert 0 < frame.spare_s <= 1 / 60 and not frame.missed
        spares.append(frame.spare_s)
        __import__("time").sleep(0.005)

    spares: list[float] = []
    times = run_frames(lambda _: None, 12, after=after)
    assert len(spares) == 12 and float(sorted(times.work_ms)[6]) < 1.0
    assert 11 / 60 <= times.seconds < 12 / 60 + 0.15
