"""The sweep over budgets: what it says of ticks that it was given, and how it times planning."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from astrasim import Settings
from astrasim.perf.arena import build_arena
from astrasim.perf.budgets import UNIT_MS, Tick, Watch, row, show


def ticks(cpu_ms: float, wall_ms: float, number: int, preempted: int = 0) -> list[Tick]:
    return [Tick(cpu_ms, wall_ms, preempted, 3)] * number


def test_a_budget_is_kept_if_planning_used_at_most_a_unit_more_in_99_of_100_ticks() -> None:
    within, beyond = ticks(1.0 + UNIT_MS, 1.2, 1), ticks(1.5, 1.5, 1)
    assert row(1.0, within * 996 + beyond * 4, {})["kept"]
    assert not row(1.0, within * 900 + beyond * 100, {})["kept"]


def test_the_clock_on_the_wall_stands_beside_it_with_the_ticks_that_lost_the_processor() -> None:
    found = row(1.0, ticks(0.5, 0.6, 90) + ticks(0.5, 6.0, 10, preempted=2), {"serve": 0.1, "send": 0.2})
    assert found["kept"] and found["used"] == 0.5 and found["left_over"] == {"mean": 3.0, "max": 3}
    assert found["overruns"] == 10 and found["overshoot_ms"]["max"] == 5.0
    assert found["preempted_ticks"] in (10, None) and found["overruns_preempted"] in (10, None)
    assert list(found["longest_pieces_ms"]) == ["send", "serve"], "the longest first"


def test_planning_is_timed_from_outside_and_its_pieces_only_when_asked() -> None:
    with build_arena(300, Settings(model="none", warmup=False, budget_ms=2.0)) as sim:
        watch = Watch(sim)
        for _ in range(5):
            sim.tick()
        assert len(watch.ticks) == 5 and not watch.pieces and all(tick.cpu_ms > 0 for tick in watch.ticks)
        watch.time_pieces(True)
        for _ in range(5):
            sim.tick()
        assert {"start", "serve"} <= watch.pieces.keys() and all(ms >= 0 for ms in watch.pieces.values())
        watch.time_pieces(False)
        watch.pieces.clear()
        sim.tick()
        assert not watch.pieces and len(watch.ticks) == 11


def test_what_is_not_kept_is_seen_in_the_table() -> None:
    rows: list[dict[str, Any]] = [
        row(budget_ms, ticks(1.0, 1.0, 20), {"serve": 0.05}) | {"answers_per_second": 99.0} for budget_ms in (0.5, 2.0)
    ]
    machine = {"processor": "P", "cores": 2, "python": "3", "numba": "0"}
    said = io.StringIO()
    show({"crowds": [{"agents": 7, "rows": rows}], "seconds": 1.0, "machine": machine}, Console(file=said, width=220))
    assert "OVER" in said.getvalue() and "1 of 2 keep their budget" in said.getvalue()
