"""What observing costs, measured small."""

from __future__ import annotations

from astrasim.frames import PERIOD_MS
from astrasim.perf.observing import line, measure


def test_the_cost_of_observing_is_measured_in_frames_and_between_them() -> None:
    told: list[str] = []
    figures = measure(300, 2.0, 100.0, told.append)
    assert figures["frames"] == 120 and figures["answered"] > 0 and told
    for part in ("share", "in_frames", "between_frames"):
        assert figures[part]["low"] <= figures[part]["mean"] <= figures[part]["high"]
    assert figures["between_frames"]["low"] >= 0 and figures["tick_ms"] < 10 * PERIOD_MS
    assert line(figures).startswith("300 agents: observing takes ")
