"""The fault run: what it counts as a failure, and a short one by the command that users type."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from astrasim import Domain, SettingsError, Simulation
from astrasim.perf.faults import FAULTS, Fault, Series, agreed, chosen, failures, together
from astrasim.perf.legality import Legality
from astrasim.plans import Origin


def test_all_means_all_and_a_name_given_twice_is_made_once() -> None:
    assert {fault.name for fault in chosen("all")} == {name for name, fault in FAULTS.items() if fault.possible}
    assert [fault.name for fault in chosen("prose, 404,prose")] == ["prose", "404"]


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="no fault 'flood'; there are: all, refused"):
        chosen("404,flood")


def test_the_guide_lists_every_fault_and_what_it_is_counted_as() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    rows = {name: line for line in guide.splitlines() for name in FAULTS if f"`{name}`" in line.partition(" | ")[0]}
    assert rows.keys() == FAULTS.keys()
    for name, fault in FAULTS.items():
        counted_as = rows[name].rpartition(" | ")[2]
        for reason in fault.reasons:
            general = "`http_<status>`" in counted_as and reason.startswith("http_")
            assert f"`{reason}`" in counted_as or general, (name, reason)


# What a row must be


def phase(**changes: Any) -> dict[str, Any]:
    return {
        "frames": 1000, "missed": 3, "planning_cpu_p99_ms": 1.0, "illegal_steps": 0, "without_plan": 0,
        "reasons": {"http_404": 9, "unwanted": 5}, "counted": {"answered": 20, "retries": 0, "restarts": 0},
        "frame_ms": {"p50": 1.0}, "gateway": "ready", "rss_mb": {"game": 300.0, "gateway": 80.0},
    } | changes  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    recovered_s = changes.pop("recovered_s", 1.0)
    control = phase(reasons={})
    return {
        "control": control, "fault": phase(**changes), "recovered_s": recovered_s, "first_rss_mb": control["rss_mb"]
    }  # fmt: skip


def test_a_fault_that_costs_requests_only_passes() -> None:
    assert failures(FAULTS["404"], row(), 2.0) == {}
    assert failures(FAULTS["404"], row(missed=4, planning_cpu_p99_ms=2.1, recovered_s=10.0), 2.0) == {}
    assert failures(FAULTS["404"], row(rss_mb={"game": 290.0, "gateway": None}), 2.0) == {}


@pytest.mark.parametrize(("deadlines", "failed"), [(5, set()), (6, {"reasons"})])
def test_what_the_control_counts_too_may_come_as_often_and_once_more(deadlines: int, failed: set[str]) -> None:
    of_the_machine = row(frames=2000, missed=0, reasons={"http_404": 9, "deadline": deadlines})
    of_the_machine["control"]["reasons"] = {"deadline": 2}
    assert failures(FAULTS["404"], of_the_machine, 2.0).keys() == failed


def test_another_reason_than_its_own_does_not_show_a_fault() -> None:
    of_the_machine = row(reasons={"deadline": 1})
    of_the_machine["control"]["reasons"] = {"deadline": 2}
    assert failures(FAULTS["404"], of_the_machine, 2.0).keys() == {"counted"}


def test_growth_that_each_control_hides_is_seen_beside_the_first() -> None:
    slowly = row(rss_mb={"game": 340.0, "gateway": 80.0})
    slowly["control"]["rss_mb"] = {"game": 325.0, "gateway": 80.0}
    assert "since the first control by 40 MB (game)" in failures(FAULTS["404"], slowly, 2.0)["memory"]


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({"missed": 5}, "frames", "missed 5 of 1000 frames, the control 3 of 1000"),
        ({"illegal_steps": 1}, "illegal", "1 illegal steps"),
        ({"without_plan": 2}, "no plan", "2 agents without a plan"),
        ({"planning_cpu_p99_ms": 2.2}, "budget", "2.20 ms of CPU time"),
        ({"reasons": {"http_404": 9, "deadline": 1}}, "reasons", "'deadline': 1"),
        ({"reasons": {"unwanted": 5}}, "counted", "not counted at all (http_404, no_model)"),
        ({"rss_mb": {"game": 320.0, "gateway": 80.0}}, "memory", "20 MB (game)"),
        ({"rss_mb": {"game": 300.0, "gateway": 120.0}}, "memory", "40 MB (gateway)"),
        ({"recovered_s": 10.5}, "recovery", "after 10.5 s only"),
        ({"recovered_s": None}, "recovery", "no plan came again"),
    ],
)
def test_whatever_else_it_costs_is_named(changes: dict[str, Any], what: str, words: str) -> None:
    failed = failures(FAULTS["404"], row(**changes), 2.0)
    assert failed.keys() == {what}
    assert words in failed[what]


@pytest.mark.parametrize(("name", "figure"), [("random-10", "retries"), ("fences", "answered"), ("kill", "restarts")])
def test_a_fault_that_may_cost_no_request_must_show_elsewhere(name: str, figure: str) -> None:
    nothing = {"answered": 0, "retries": 0, "restarts": 0}
    assert failures(FAULTS[name], row(reasons={}, counted=nothing | {figure: 1}), 2.0) == {}
    assert failures(FAULTS[name], row(reasons={}, counted=nothing), 2.0).keys() == {"counted"}


def test_the_recovery_counts_as_part_of_the_fault() -> None:
    during, after = phase(), phase(missed=1, illegal_steps=2, reasons={"deadline": 4, "http_404": 1})
    before = copy.deepcopy((during, after))
    both = together(during, after)
    assert (both["frames"], both["missed"], both["illegal_steps"]) == (2000, 4, 2)
    assert both["reasons"] == {"http_404": 10, "unwanted": 5, "deadline": 4}
    assert (during, after) == before


def test_an_answer_in_the_recovery_does_not_show_that_the_fault_was_got_over() -> None:
    unread = phase(reasons={}, counted={"answered": 0, "retries": 2, "restarts": 0})
    both = together(unread, phase(reasons={}))
    assert both["counted"] == {"answered": 0, "retries": 2, "restarts": 0}
    assert failures(FAULTS["fences"], row() | {"fault": both}, 2.0).keys() == {"counted"}


@pytest.mark.parametrize(
    ("during", "after", "most"),
    [(400.0, 300.0, 400.0), (300.0, 400.0, 400.0), (None, 300.0, 300.0), (None, None, None)],
)
def test_memory_is_what_there_was_at_most(during: float | None, after: float | None, most: float | None) -> None:
    phases = (phase(rss_mb={"game": 300.0, "gateway": mb}) for mb in (during, after))
    assert together(*phases)["rss_mb"] == {"game": 300.0, "gateway": most}


# A series of them


@pytest.mark.parametrize(
    ("passed", "counts"),
    [("F", None), ("P", None), ("FP", None), ("FF", 1), ("FPF", 2), ("FPP", 2)],
)
def test_two_tries_that_came_out_alike_decide(passed: str, counts: int | None) -> None:
    tries = [{"failed": {"P": {}, "F": {"frames": "missed"}}[one], "number": at} for at, one in enumerate(passed)]
    assert agreed(tries) == (None if counts is None else tries[counts])


def series(strike: Callable[[Any, Event], None], *, told: Callable[[dict[str, Any]], None] = lambda _: None) -> Series:
    """Of this fault and one that does nothing, played by a game to which all is always the same."""

    def tell(asked: str, reply_s: float) -> str:
        told(json.loads(asked))
        return json.dumps(phase(frames=100_000) | {"recovered_s": 1.0})

    faults = [
        Fault("", ("http_404",), "", strike, name="first"),
        Fault("", ("http_404",), "", lambda _, over: None, name="second"),
    ]
    stage: Any = SimpleNamespace(game=SimpleNamespace(tell=tell))
    return Series(stage, faults, 2.0, quick=True, begun=time.monotonic(), told=lambda _: None)


def test_a_fault_that_cannot_be_made_fails_and_the_others_are_made() -> None:
    def strike(stage: Any, over: Event) -> None:
        raise TimeoutError("the stub said nothing")

    first, second = series(strike).rows()
    assert first["failed"] == {"made": "could not be made: TimeoutError: the stub said nothing"}
    assert second["failed"] == {}


def test_the_game_plays_on_while_a_fault_is_being_ended() -> None:
    recovering = Event()
    ended_beside: list[bool] = []

    def strike(stage: Any, over: Event) -> None:
        over.wait()
        ended_beside.append(recovering.wait(5.0))

    series(strike, told=lambda asked: recovering.set() if asked["recovering"] else None).rows()
    assert ended_beside == [True]


# Illegal steps, and agents without a plan


@pytest.fixture
def pasture(simulate: Callable[..., Simulation], meadow: Domain) -> Simulation:
    meadow.stock("attack", targets=["prey"], kinds=["wolf"], column="hp", damage=1, range=2)
    meadow.percept("prey", nearest="sheep", seen_by="wolf", radius=30)
    sim = simulate(meadow)
    sim.spawn_many("sheep", 3)
    sim.spawn("wolf", x=10)
    sim.tick()
    return sim


def planted(sim: Simulation, action: str, target: str, seconds: float = 2.0) -> int:
    """A plan in the store that no reader has seen."""
    words = sim.compiled.vocabulary
    step = (words.action_index[action], words.target_index[target], seconds)
    return sim.planner.plans.intern((step,), Origin.MODEL)


def illegal(sim: Simulation) -> int:
    legality = Legality(sim)
    legality.look()
    return legality.illegal_steps


def test_plans_of_play_are_legal_and_everybody_has_one(pasture: Simulation) -> None:
    legality = Legality(pasture)
    for _ in range(30):
        pasture.tick()
        legality.look()
    assert (legality.illegal_steps, legality.without_plan) == (0, 0)


@pytest.mark.parametrize(
    ("action", "target", "seconds"),
    [("flee", "food", 2.0), ("flee", "threat", float("nan")), ("flee", "threat", 1e30), ("flee", "threat", 0.0)],
)
def test_an_illegal_step_in_the_store_is_found(pasture: Simulation, action: str, target: str, seconds: float) -> None:
    planted(pasture, action, target, seconds)
    assert illegal(pasture) == 1


def test_an_action_that_does_not_exist_is_found(pasture: Simulation) -> None:
    pasture.planner.plans.table.action[planted(pasture, "flee", "threat"), 0] = 99
    assert illegal(pasture) == 1


def test_an_action_of_another_kind_is_found_once_somebody_follows_it(pasture: Simulation) -> None:
    plan = planted(pasture, "attack", "prey")
    assert illegal(pasture) == 0
    pasture.agents.plan[0] = plan
    assert illegal(pasture) == 1


@pytest.mark.parametrize(("column", "value"), [("plan", -1), ("plan", 10_000), ("step", 8)])
def test_an_agent_without_a_plan_or_past_its_end_is_found(pasture: Simulation, column: str, value: int) -> None:
    getattr(pasture.agents, column)[1] = value
    legality = Legality(pasture)
    legality.look()
    assert legality.without_plan == 1


# A short run


def test_two_faults_of_a_small_game(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [
        sys.executable, "-c", "from astrasim.cli import run; run()", "stress", "--faults", "unknown-action,mid-message",
        "--quick", "--agents", "200", "--rate", "50", "--json", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert done.returncode == (1 if figures["failed"] else 0), done.stderr
    for made in figures["rows"]:  # what a busy machine costs is no matter here
        assert made["failed"].keys() <= {"frames", "budget", "recovery", "reasons"}, made
        assert made["recovered_s"] is not None and made["control"]["frames"] == 60
        assert made["name"] in done.stdout and f"{made['name']} " in done.stderr
    first, second = (made["fault"] for made in figures["rows"])
    assert first["reasons"]["unknown_action"] > 0 and not first["counted"]["restarts"]
    assert second["counted"]["restarts"] == 1, "it was killed, and started again"
