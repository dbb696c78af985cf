"""Measuring waits: what the watch sees, and what is said of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from astrasim import Settings
from astrasim.perf.arena import build_arena
from astrasim.perf.waits import SECONDS, Watch, play, show

TICK_S = 1 / 60


def test_waits_are_seen_from_outside_agent_by_agent() -> None:
    with build_arena(40, Settings(model="none", warmup=False, budget_ms=0.0)) as sim:
        watch = Watch(sim)
        for _ in range(6):  # nobody is served
            sim.tick()
        sim.pace.budget_ms = 1000.0
        for _ in range(4):
            sim.tick()
        found = watch.figures()
    assert found["longest_s"] == pytest.approx(6 * TICK_S, abs=1e-4) == found["wait_s"]["p50"]
    assert found["longest_wall_s"] > 0 and found["left_over"]["max"] == 1 and found["wait_still"] == 0


def test_every_phase_is_played_and_with_budget_enough_the_bound_holds() -> None:
    with build_arena(200, Settings(model="none", warmup=False, budget_ms=1000.0)) as sim:
        watch = Watch(sim)
        rows: list[dict[str, Any]] = [play(sim, watch, event, 0.05) for event in SECONDS]
        assert sim.agents.count == 200, "as many are spawned as die"
    assert [row["event"] for row in rows] == list(SECONDS) and all(row["held"] for row in rows)
    assert all(row["longest_s"] == 0 and row["left_over"]["mean"] == 0 for row in rows)


def test_what_is_over_the_bound_is_seen_in_the_table() -> None:
    row = {
        "agents": 7, "every": 1, "budget_ms": 2.0, "event": "spawned", "wait_s": {"p50": 0.1, "p95": 0.2, "p99": 0.3},
        "longest_s": 0.6, "held": False, "longest_wall_s": 0.5, "stopgaps": 3, "missed": 1,
        "frames": 2, "left_over": {"mean": 0.1, "max": 1.0}, "wait_still": 0,
    }  # fmt: skip
    machine = {"processor": "P", "cores": 2, "python": "3", "numba": "0"}
    said = io.StringIO()
    rows = [row, {**row, "held": True}]
    show({"rows": rows, "seconds": 1.0, "machine": machine}, Console(file=said, width=200))
    assert "OVER" in said.getvalue() and "held in 1 of 2" in said.getvalue()
