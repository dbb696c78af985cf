"""The trace: what Perfetto reads in it, and one plan's life in it, from request to last step."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astrasim import Domain, Simulation, Trace, trace
from astrasim.gateway import Failure
from tests.test_trace_format import opened, problems

Simulate = Callable[..., Simulation]
Events = list[dict[str, Any]]
TICK_S = 0.1


def world() -> Domain:
    domain = Domain("test", ["unit"])
    domain.column("mood")
    domain.feature("humour", column="mood", edges=[0.5, 1.5], words=["a", 'b "quoted"', "c\\"], hysteresis=0)
    domain.place("north", 0, 1000)
    domain.place("south", 0, -1000)
    domain.stock("approach", name="go", targets=["north", "south"], speed=1, seconds=1)
    domain.heuristic("unit")(lambda situation: "go north 9")
    return domain


@pytest.fixture
def sim(simulate: Simulate, stand_in: Any) -> Simulation:
    sim = simulate(world(), settings={"tick_s": TICK_S, "deadline_s": 2.0, "requests_per_second": 1000.0})
    sim.planner.gateway = stand_in
    return sim


def run(sim: Simulation, seconds: float) -> None:
    for _ in range(round(seconds / TICK_S)):
        sim.tick()


def read(path: Path) -> Events:
    events = opened(path.read_text(encoding="utf-8"))
    assert problems(events) == []
    return events


def begun(events: Events, name: str) -> Events:
    return [event for event in events if event["ph"] in "bBX" and event["name"] == name]


def test_each_tick_is_a_slice_that_holds_its_systems(sim: Simulation, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    sim.observe(Trace(path))
    sim.spawn("unit")
    run(sim, 0.5)
    sim.close()
    events = read(path)
    ticks = begun(events, "tick")
    assert [tick["args"]["tick"] for tick in ticks] == [1, 2, 3, 4, 5]
    assert ticks[4]["args"]["time_s"] == 0.5
    for tick in ticks:
        inner = [e for e in events if e["ph"] == "X" and e is not tick
                 and tick["ts"] <= e["ts"] and e["ts"] + e["dur"] <= tick["ts"] + tick["dur"]]  # fmt: skip
        assert [e["name"] for e in inner] == ["Perception", "Situations", "Planning", "Action", "Move"]


def test_one_plan_is_followed_from_its_request_to_its_last_step(
    sim: Simulation, stand_in: Any, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    sim.observe(Trace(path))
    units = sim.spawn_many("unit", 5, mood=1)
    run(sim, 0.3)
    stand_in.answer(sim, 1, "go south 1\ngo north 2")
    run(sim, 4)
    name = repr(units[0])
    sim.close()
    events = read(path)

    (request,) = begun(events, "request")
    assert request["args"]["situation"] == 'b "quoted"' and request["args"]["waiting"] == 5
    track = [e for e in events if e.get("id") == request["id"]]
    assert [(e["ph"], e["name"]) for e in track] == [
        ("b", "request"), ("b", "sent"), ("e", "sent"), ("b", "handing out"), ("e", "handing out"), ("e", "request"),
    ]  # fmt: skip
    assert track[3]["args"]["plan"] == "go south (1 s), then go north (2 s)"
    assert track[-1]["args"]["agents"] == 5 and name in track[-1]["args"]["first"]

    plans = [e for e in events if e.get("bind_id") == request["bind_id"] and e.get("flow_in")]
    plan = plans[0]
    assert plan["name"] == "plan (LLM)" and track[0]["ts"] <= plan["ts"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert names[plan["tid"]] == name

    life = [e for e in events if e["tid"] == plan["tid"] and e["ph"] in "BE" and e["ts"] >= plan["ts"]][:6]
    assert [(e["ph"], e.get("name"), e.get("args", {}).get("status")) for e in life] == [
        ("B", "plan (LLM)", None), ("B", "go south (1 s)", None), ("E", None, "DONE"),
        ("B", "go north (2 s)", None), ("E", None, "DONE"), ("E", None, None),
    ]  # fmt: skip
    assert life[-1]["ts"] > life[0]["ts"]


def test_whatever_becomes_of_requests_and_agents_the_file_is_whole(
    sim: Simulation, stand_in: Any, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    units = sim.spawn_many("unit", 12)
    run(sim, 0.3)
    observer = Trace(path, agents=units[:3])  # requests are under way already
    sim.observe(observer)
    for turn in range(150):
        if (unit := units[turn % 12]).alive:
            unit.mood = sim.rng.integers(0, 3)
            sim.order(unit, f"order {sim.rng.integers(0, 40)}")
        if turn % 5 == 4 and stand_in.asked:
            number, _ = stand_in.asked.popitem()
            stand_in._results.append(Failure(number, 'said "no"', "", False))
        for number in list(stand_in.asked)[:: 2 if turn % 3 else 9] if not 85 < turn <= 90 else []:
            stand_in.answer(sim, number, "go south 1\ngo north 0.2")
        if turn == 70:
            sim.remove(units[0], units[5])
        if turn == 90:
            sim.planner.forget_requests(sim.time)
        sim.tick()
    run(sim, 4)
    sim.unobserve(observer)
    events = read(path)
    states = {e["args"]["state"] for e in events if e["ph"] == "e" and e["name"] == "request"}
    assert states >= {"stored", "cancelled", "failed"}
    assert observer.path == path and len(begun(events, "tick")) == 190
    sim.tick()
    assert len(read(path)) == len(events), "it is told no more"


def test_the_trace_of_a_game_that_was_killed_opens(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    game = (
        "import os, signal, sys, time\nfrom astrasim import Domain, Settings, Simulation, Trace\n"
        "domain = Domain('test', ['unit'])\n"
        "sim = Simulation(domain, Settings(model='none'))\nsim.observe(Trace(sys.argv[1]))\n"
        "end = time.monotonic() + 0.7\n"
        "while time.monotonic() < end: sim.tick()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", game, str(path)], check=False, timeout=240, stderr=subprocess.PIPE)
    if os.name != "nt":
        assert done.returncode == -signal.SIGKILL, done.stderr
    text = path.read_text(encoding="utf-8")
    assert not text.rstrip().endswith("]")
    events = json.loads(text + "]")  # which may be missing: the format says so, and both take it
    assert problems(events, cut=True) == []
    assert len(begun(events, "tick")) > 10


def test_a_file_that_is_cut_off_anywhere_opens_with_all_that_was_whole(
    sim: Simulation, stand_in: Any, tmp_path: Path
) -> None:
    sim.observe(Trace(tmp_path / "trace.json"))
    unit, _ = sim.spawn_many("unit", 2, mood=1)
    sim.order(unit, 'hold "the\\bridge" \N{SNOWMAN} \x1b[2J')
    run(sim, 0.3)
    stand_in.answer(sim, 1, "go south 1\ngo north 0.2")
    run(sim, 0.3)
    sim.close()
    text = (tmp_path / "trace.json").read_text(encoding="utf-8")
    events = opened(text)
    assert any("\N{SNOWMAN}" in str(event.get("args")) for event in events)
    for end in range(1, len(text)):
        left = opened(text[:end])
        assert left == events[: len(left)]
        assert problems(left, cut=True) == []
    assert len(left) == len(events), "but for the bracket it is whole"


def test_a_file_that_cannot_be_written_is_said_before_the_game_begins(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Trace(tmp_path / "nowhere" / "trace.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_the_trace_and_not_the_game(simulate: Simulate, caplog: pytest.LogCaptureFixture) -> None:
    sim = simulate(world(), settings={"strict": False})
    sim.spawn("unit")
    sim.observe(Trace("/dev/full"))
    with caplog.at_level(logging.ERROR):
        until_s = time.monotonic() + 20
        while sim.observation and time.monotonic() < until_s:  # the disk is found to be full by another thread
            sim.tick()
    sim.close()
    assert "No space left" in caplog.text and "switched off" in caplog.text
    assert not sim.observation


def test_a_trace_that_grew_too_large_is_ended_in_good_order(
    sim: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trace, "MAX_BYTES", 3000)
    monkeypatch.setattr(trace, "CHUNK_S", 0.0)
    sim.observe(observer := Trace(tmp_path / "trace.json"))
    sim.spawn_many("unit", 3)
    run(sim, 3)
    sim.unobserve(observer)
    events = read(tmp_path / "trace.json")
    assert 2 < len(begun(events, "tick")) < 12
    assert "is ended" in caplog.text
