"""The comparison: alternating ticks, the search for how many agents fit, and the command."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from astrasim.perf import compare, peers
from astrasim.perf.alternating import CLOSE, FEWEST, WARM_UP, Search, alternate


def test_ticks_alternate_and_turn_round_with_each_lap() -> None:
    order = ""

    def tick(name: str) -> None:
        nonlocal order
        order += name

    taken = alternate({"a": lambda: tick("a"), "b": lambda: tick("b")}, 3)
    assert order.endswith("baabba")
    assert len(order) == 2 * (WARM_UP + 3)
    assert [len(ms) for ms in taken.values()] == [3, 3]


def test_who_is_too_slow_is_given_up_and_the_others_go_on() -> None:
    taken = alternate({"slow": lambda: time.sleep(0.018), "quick": lambda: None}, 10, give_up=0.1)
    assert len(taken["quick"]) == 10
    assert len(taken["slow"]) > 0
    assert (taken["slow"] > 16.67).all()


def test_without_giving_up_every_tick_is_measured() -> None:
    assert len(alternate({"slow": lambda: time.sleep(0.018)}, 2)["slow"]) == 2


@given(truth=st.integers(FEWEST, 500_000), power=st.floats(0.7, 2.2), overhead_ms=st.floats(0, 10))
def test_a_search_ends_close_below_what_fits(truth: int, power: float, overhead_ms: float) -> None:
    search, rounds = Search(), 0
    while not search.done:
        agents = search.guess()
        ms = overhead_ms + (16.6 - overhead_ms) * (agents / truth) ** power
        assert agents not in search.tried
        search.learn(agents, np.full(50, ms), 50)
        rounds += 1
    assert rounds < 40
    assert search.low <= truth * 1.02
    assert search.low == 0 or search.high >= truth * 0.98
    assert search.high <= max(FEWEST, search.low * CLOSE, search.low + 1)


def test_one_whose_ticks_are_all_too_long_ends_at_nothing() -> None:
    search = Search()
    while not search.done:
        search.learn(search.guess(), np.full(50, 40.0), 50)
    assert search.low == 0


LITTLE = compare.Effort(search=6, confirm=12, rounds=2, equal=5, sizes=(20,), starts=1)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Typer:
    """The command with little effort; the search is for what is measured, not here."""
    monkeypatch.setattr(compare, "QUICK", LITTLE)
    monkeypatch.setattr(compare, "PEERS", peers.PEERS[:1])
    monkeypatch.setattr(compare, "find_sizes", lambda makers, *_: {each.name: 25 for each in makers})
    app = Typer()
    app.command()(compare.main)
    return app


def test_the_command_tells_all_and_says_that_it_was_quick(command: Typer, tmp_path: Path) -> None:
    out = tmp_path / "compare.json"
    done = CliRunner().invoke(command, ["--quick", "--json", str(out)])
    assert done.exit_code == 0, done.output
    figures: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    names = set(figures["contestants"])
    assert {"AstraSim", "esper"} <= names
    assert names | set(figures["missing"]) == {each.name for each in (peers.OURS, peers.PEERS[0])}
    assert set(figures["largest"]) == set(figures["equal"]["20"]) == set(figures["start_up_s"]) == names
    assert all(len(largest["rounds"]) == 2 for largest in figures["largest"].values())
    assert all(largest["rounds"][0]["ticks"] == LITTLE.confirm for largest in figures["largest"].values())
    assert figures["largest"]["AstraSim"]["an_agent_costs"] == 1
    assert figures["equal"]["20"]["AstraSim"]["ratio_p50"] == 1
    assert figures["sustained_as_defined"] is False
    for said in ("AstraSim does more in its tick", "Where a peer is ahead", "fewer than the 600", *names):
        assert said in " ".join(done.output.split())


def test_a_missing_peer_is_named_with_what_to_do_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_mesa(name: str, package: str | None = None) -> Any:
        if "mesa" in name:
            raise ModuleNotFoundError("No module named 'mesa'", name="mesa")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_mesa)
    makers, missing = compare.load_contestants()
    assert {"AstraSim", "esper"} <= {each.name for each in makers}
    assert "No module named 'mesa'; to have it: pip install" in missing["Mesa"]
    assert "--no-deps mesa-frames" in missing["mesa-frames, tuned"]


@pytest.mark.parametrize(
    ("agents", "ratio", "start", "said"),
    [
        (900, 0.5, 2.0, ["esper's tick of 20 agents takes 0.50 of AstraSim's"]),
        (1100, 1.5, 2.0, ["esper sustains more agents (1,100)"]),
        (900, 1.5, 0.2, ["esper starts in 0.20 s, AstraSim in 1.00 s"]),
        (900, 1.5, 2.0, []),
    ],
)
def test_where_a_peer_wins_it_is_said(agents: int, ratio: float, start: float, said: list[str]) -> None:
    figures = {
        "largest": {"AstraSim": {"agents": 1000}, "esper": {"agents": agents}},
        "equal": {"20": {"AstraSim": {"ratio_p50": 1.0}, "esper": {"ratio_p50": ratio}}},
        "start_up_s": {"AstraSim": 1.0, "esper": start},
    }
    assert compare.wins(figures) == said


def test_a_file_in_no_folder_is_refused_before_anything_is_measured(command: Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--json", str(tmp_path / "none" / "x.json")])
    assert done.exit_code == 2
    assert "there is no folder" in " ".join(done.output.split())
