"""The stress run, small, by the command that users type."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_trace_format import opened, problems

Command = Callable[..., tuple[object, str]]

FIELDS = {
    "agents", "every", "frames", "seconds", "draw", "model", "seed", "frame_ms", "missed", "sustained", "planning_ms",
    "requests", "latency_ms", "cache", "agent_ticks", "plans", "rss_mb", "machine", "settings",
}  # fmt: skip


def test_plans_of_the_stub_arrive_and_are_used(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = "--agents", "300", "--frames", "90", "--rate", "80", "--control"
    code, said = command("stress", *run, "--json", str(out))
    assert code == 0, said
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures.keys() >= FIELDS
    assert figures["requests"]["answered"] > 30
    assert figures["requests"]["failed"] == figures["requests"]["rejected"] == 0
    assert figures["plans"]["applied"] > 0
    assert figures["agent_ticks"]["llm"] > 0 and figures["agent_ticks"]["cache"] > 0
    assert 0 < figures["plans"]["age_s"] < 10
    assert sum(figures["agent_ticks"].values()) == pytest.approx(1, abs=1e-3)
    assert 100 <= figures["latency_ms"]["p50"] <= 2000
    assert figures["control"]["model"] == "none"
    assert figures["control"]["requests"]["sent"] == 0
    assert figures["control"]["agent_ticks"]["heuristic"] == 1


def test_a_run_can_be_traced_and_watched(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("astrasim.dashboard.PLAIN_S", 0.5)
    trace = tmp_path / "trace.json"
    run = "--agents", "200", "--frames", "200", "--rate", "80", "--dashboard", "--trace", str(trace)
    code, said = command("stress", *run)
    assert code == 0, said
    assert "200 agents: frame p50" in said and "gateway: " in said, "no terminal: a line now and then"
    events = opened(trace.read_text(encoding="utf-8"))
    assert problems(events) == []
    slices = [event for event in events if event["ph"] == "X"]
    assert sum(event["name"] == "tick" for event in slices) == 200, "the measured frames, without the warm-up"
    assert {event["name"] for event in slices} >= {"Perception", "Planning", "Referee"}
    stored = {e["id"] for e in events if e["ph"] == "e" and e.get("args", {}).get("state") == "stored"}
    arrived = {event["bind_id"] for event in events if event.get("flow_in")}
    assert stored & arrived, "some plan can be followed from its request to an agent"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_costs_a_run_its_trace_and_not_its_figures(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = "--agents", "10", "--frames", "40", "--model", "none", "--trace", "/dev/full", "--json", str(out)
    code, said = command("stress", *run)
    assert code == 0 and "is not whole" in said and "No space left" in said and "perfetto.dev" not in said
    assert json.loads(out.read_text(encoding="utf-8"))["agents"] == 10


def test_nobody_at_all_is_a_run_too(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code, _ = command("stress", "--agents", "0", "--frames", "30", "--model", "none", "--json", str(out))
    assert code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["agents"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stub-latency-ms", "fast"], "LOW:HIGH"),
        (["--model", "gpt"], "no model 'gpt'"),
        (["--agents", "-1"], "agents"),
        (["--workload", "chess"], "no workload 'chess'; there are: arena, herd"),
        (["--faults", "flood"], "no fault 'flood'; there are: all, refused"),
        (["--faults", "all", "--find"], "leave out --find"),
        (["--quick"], "add --faults all"),
        (["--trace", "t.json", "--find"], "leave out --find"),
        (["--trace", "/no/such/folder/t.json"], "no folder"),
        (["--json", "/no/such/folder/out.json"], "no folder"),
    ],
)
def test_wrong_arguments_are_explained(command: Command, arguments: list[str], words: str) -> None:
    code, said = command("stress", *arguments)
    assert code == 2
    assert words in said
