"""``python -m astrasim.perf.gateway_load``: what a plan through the gateway costs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from astrasim.perf import gateway_load


def test_plans_come_at_the_rate_and_their_cost_is_told(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(gateway_load.main)
    file = tmp_path / "load.json"
    arguments = ["--rate", "40", "--seconds", "1", "--latency-ms", "50", "--json", str(file)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    told = json.loads(file.read_text())
    assert told["plans"] >= 20, "of the 40 that were asked for: the machine may be busy"
    assert told["latency_ms"]["p50"] >= 50
    assert told["overhead_ms"]["p50"] == pytest.approx(told["latency_ms"]["p50"] - 50, abs=0.02)
    assert told["gateway_cpu_ms"] > 0 and told["stub_cpu_ms"] > 0
    assert f"{told['plans']} plans, " in " ".join(ended.output.split())


def test_what_failed_is_counted_by_its_reason() -> None:
    ended = gateway_load.Ended(2.0, 1, Counter(http_500=3), [210.0], [10.0])
    told = gateway_load.figures(ended, gateway_load.Cost(0.008, 0.004, 60.0), 100.0, 200.0)
    assert told["failed"] == {"http_500": 3} and told["refused"] == 1
    assert told["plans_per_second"] == 0.5
    assert (told["gateway_cpu_ms"], told["stub_cpu_ms"]) == (2.0, 1.0)  # each of the four requests that ended
    assert told["overhead_ms"]["p50"] == 10.0
