"""The table of prices: what is compared does the same work, and the advice follows from the figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from astrasim import Simulation
from astrasim.perf import prices
from astrasim.perf.prices import WAYS, Price, build, vectorise_from


def after_some_ticks(way: prices.Way, read: Callable[[Simulation], object]) -> object:
    sim = build(way, 50)
    for _ in range(20):
        sim.tick()
    found = read(sim)
    sim.close()
    return found


def test_all_ways_to_write_a_feature_know_the_same() -> None:
    def buckets(sim: Simulation) -> list[int]:
        last = len(sim.domain.declared.features) - 1
        assert last >= 2
        return sim.agents.b[last, :50].tolist()  # type: ignore[no-any-return]  # numpy's tolist

    ways = [way for way in WAYS if way.what == "feature"]
    assert [way.name for way in ways] == ["over a column", "vectorised, numba", "vectorised, numpy", "over a handle"]
    found = [after_some_ticks(way, buckets) for way in ways]
    assert found[0] == found[1] == found[2] == found[3]
    assert set(found[0]) == {0, 1, 2}  # type: ignore[call-overload]  # a list


def test_all_ways_to_write_an_action_or_a_target_move_alike() -> None:
    def velocity(sim: Simulation) -> tuple[float, float]:
        return round(float(sim.agents.vx.min()), 2), round(float(np.abs(sim.agents.vy).max()), 2)

    ways = [way for way in WAYS if way.what in ("action", "target")]
    assert [way.name for way in ways] == ["stock", "vectorised", "function", "class", "resolver"]
    assert [after_some_ticks(way, velocity) for way in ways] == [(3.0, 0.0)] * 5


def test_the_advice_follows_from_the_figures() -> None:
    plain = Price("feature", "over a handle", few_ns=500, many_ns=500)
    # 10 µs a tick and 5 ns an agent: at 20 agents 505 ns each, at 20,000 5.5 ns.
    vectorised = Price("feature", "vectorised", few_ns=505, many_ns=5.5)
    assert plain.agents_in_1_ms == 2000
    assert vectorised.fixed_ns == pytest.approx(10_000)
    assert vectorised.agents_in_1_ms == pytest.approx(198_000, rel=0.001)
    assert vectorise_from(plain, vectorised) == 21
    assert vectorise_from(vectorised, plain) == 1
    assert vectorise_from(Price("", "", 4, 4), Price("", "", 900, 9)) is None


def test_the_table_is_printed_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    monkeypatch.setattr(prices, "MANY", 200)
    monkeypatch.setattr(sys, "argv", ["prices", "--rounds", "3", "--json", str(file)])
    prices.main()
    printed = capsys.readouterr().out
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert [(p["what"], p["way"]) for p in figures["prices"]] == [(w.what, w.name) for w in WAYS if w.what]
    assert all(p["ns_at_20"] and p["ns_at_200"] for p in figures["prices"])
    assert figures["heuristic_us_a_situation"] > 0
    for words in ("resolver", "agents in 1 ms", "A heuristic costs", "cheaper way"):
        assert words in printed
