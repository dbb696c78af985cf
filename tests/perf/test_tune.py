"""`astrasim tune`: its runs and their time, what goes on after an end, and the answer, on machines made up for it."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from astrasim import Settings, SettingsError
from astrasim.cli import app
from astrasim.figures import machine
from astrasim.perf import journal, making, tuning
from astrasim.perf.design import Setting
from astrasim.perf.question import Question
from astrasim.perf.stress import Run
from astrasim.perf.tuning import check, tune


def made_up(noise: float = 0.05, full_at: float = 20_000) -> Callable[[Run], dict[str, Any]]:
    """A machine whose frame is full with ``full_at`` agents that look every tick, and whose figures differ from run to
    run by ``noise``. Budgets above 1 ms bring nothing; a larger interval costs plans."""

    def measured(run: Run) -> dict[str, Any]:
        chance = random.Random(f"{run}")

        def noisy(value: float) -> float:
            return value * math.exp(chance.gauss(0, noise))

        p99 = noisy(16.67 * run.agents / full_at / run.every**0.5 + 0.2)
        asked = 0.0 if run.model == "none" else run.rate * min(1, run.budget_ms)
        share = noisy(asked / (asked + 40) * run.every**-0.2)
        return {
            "agents": run.agents, "frames": run.frames, "missed": int(run.frames * max(0.0, p99 / 16.67 - 1)),
            "frame_ms": {"p50": p99 / 1.3, "p99": p99}, "planning_ms": {"cpu_p99": noisy(0.5 * run.budget_ms)},
            "agent_ticks": {"llm": share / 4, "cache": share * 3 / 4, "heuristic": 1 - share},
            "plans": {"age_s": noisy(2.0) if asked else None, "wait_s": 0.02 / run.budget_ms},
            "requests": {"answered": noisy(asked) * run.frames / 60, "failed": 0, "sent": 1000, "reasons": {}},
            "seconds": run.frames / 60, "gateway": "made up",
            "latency_ms": {"p50": sum(run.latency_ms) / 2},
            "rss_mb": 200.0, "machine": machine(), "settings": {"max_in_flight": 32},
        }  # fmt: skip

    return measured


def test_the_setting_chosen_has_the_most_agents_on_model_plans_for_the_least(tmp_path: Path) -> None:
    result = tune(Question(agents=(1000, 40_000)), tmp_path, measured=made_up())
    at = Setting(**result["recommended"])
    assert result["keeps"]
    assert 0.5 <= at.budget_ms <= 2  # more than 1 ms brings nothing
    assert at.rate == 100 and at.every > 1 and at.agents > 20_000
    p99 = result["predicted"]["frame_p99_ms"]
    assert p99["low"] < p99["value"] < p99["high"] <= 20
    assert 0 < p99["width"] < 0.3


def test_what_is_recommended_does_as_it_was_said_in_four_of_five_tries_and_more(tmp_path: Path) -> None:
    inside: Counter[str] = Counter()
    for seed in range(12):
        question = Question(agents=(8000, 8000), every=(1, 1), rate=(20, 20), seed=100 * seed)
        result = tune(question, tmp_path, fresh=True, measured=made_up(noise=0.12))
        inside.update(check(result, 10, measured=made_up(noise=0.12))["inside"])
        assert all(each["width"] is None or each["width"] < 0.45 for each in result["predicted"].values())
    assert len(inside) == 7 and min(inside.values()) >= 0.8 * 120, inside


def test_where_no_setting_keeps_to_the_frame_that_is_said(tmp_path: Path) -> None:
    result = tune(Question(agents=(9000, 9000)), tmp_path, measured=made_up(full_at=1000))
    assert not result["keeps"]
    assert result["recommended"]["every"] == 8


def test_without_a_model_the_most_agents_are_sought(tmp_path: Path) -> None:
    result = tune(Question(model="none", agents=(1000, 10_000)), tmp_path, measured=made_up())
    assert result["recommended"]["agents"] == 10_000 and result["recommended"]["every"] == 1
    assert result["recommended"]["rate"] == 0
    assert "plan_age_s" not in result["predicted"]


def test_how_many_agents_there_can_be_is_found_where_it_is_not_given(tmp_path: Path) -> None:
    result = tune(Question(), tmp_path, find_agents=True, measured=made_up())
    low, high = result["agents"]
    assert 16 <= high / low < 17 and 20_000 < high < 60_000  # every 3rd tick, in the centre
    at = Setting(**result["recommended"])
    assert abs(math.log(result["find"]["median"] / (19_700 * at.every**0.5))) < 0.2


@pytest.mark.parametrize("full_at", [3, 200, 10_000_000])
def test_a_game_of_any_size_has_its_range(tmp_path: Path, full_at: int) -> None:
    low, high = tune(Question(), tmp_path, measured=made_up(full_at=full_at))["agents"]
    assert 1 <= low < high <= max(16, 4 * full_at)


def test_a_run_whose_process_dies_costs_one_run(tmp_path: Path) -> None:
    whole = made_up()
    told: list[str] = []
    result = tune(Question(agents=(1000, 9000)), tmp_path, told.append,
                  measured=lambda run: None if run.agents == 9000 and run.every == 1 else whole(run))  # fmt: skip
    assert result["keeps"] and sum("ended without figures" in line for line in told) == 4
    with pytest.raises(SettingsError, match="ended without figures"):
        tune(Question(agents=(5, 5)), tmp_path, fresh=True, measured=lambda run: None)


def test_a_model_that_answers_nothing_is_told_after_the_first_run(tmp_path: Path) -> None:
    nothing = {"answered": 0, "failed": 7, "sent": 7, "reasons": {"unreachable": 7}}
    heuristics = {"llm": 0.0, "cache": 0.0, "heuristic": 1.0}
    with pytest.raises(SettingsError, match=r"answered nothing in the first run \(unreachable\)"):
        tune(Question(agents=(5, 9)), tmp_path,
             measured=lambda run: made_up()(run) | {"requests": nothing, "agent_ticks": heuristics})  # fmt: skip
    assert tune(Question(agents=(5, 9)), tmp_path, measured=made_up())["keeps"]  # when the model is there


def test_a_small_game_that_has_asked_all_it_can_before_a_run_is_tuned_like_any_other(tmp_path: Path) -> None:
    silent = {"answered": 0, "failed": 0, "sent": 0, "reasons": {}}
    question = Question(agents=(5, 5), every=(1, 1), rate=(5, 5))
    result = tune(question, tmp_path, measured=lambda run: made_up()(run) | {"requests": silent})
    assert result["keeps"] and result["predicted"]["answers_per_second"]["value"] == pytest.approx(0, abs=1e-5)


class AModel:
    """A made-up machine whose model answers in 2 to 3 s once it has calibrated itself for two roles, a run each."""

    def __init__(self, ever: bool = True) -> None:
        self.made: list[Run] = []
        self._ever = ever

    def __call__(self, run: Run) -> dict[str, Any]:
        self.made.append(run)
        figures = made_up()(run) | {"latency_ms": {"p50": 2000.0, "p95": 3000.0}}
        if len(self.made) < 3 or not self._ever:
            figures["requests"] = {"answered": 1, "failed": 9, "sent": 10, "reasons": {"calibrating": 9}}
        return figures


def test_a_real_model_is_asked_until_it_is_calibrated_and_runs_wait_for_its_first_answers(tmp_path: Path) -> None:
    model, told = AModel(), list[str]()
    result = tune(Question(model="embedded", agents=(50, 50), rate=(1, 20)), tmp_path, told.append, measured=model)
    assert [run["stage"] for run in result["runs"]][:4] == ["ask", "ask", "ask", "sweep"]
    assert model.made[2].warm_up == 0 and all(run.warm_up >= 2 * 3 * 60 for run in model.made[3:])
    assert "the model answered in 2000 ms (p50), 3000 ms (p95)" in told
    tries = check(result, 1, measured=model)
    assert tries["runs"] and model.made[-1].warm_up == model.made[4].warm_up  # what is tried is what was confirmed


def test_a_model_that_does_not_get_ready_in_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_CALIBRATED_S", -1)
    with pytest.raises(SettingsError, match=r"not calibrated itself within .* the same command"):
        tune(Question(model="embedded", agents=(50, 50)), tmp_path, measured=AModel(ever=False))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as runs take them."""
    now_s = [0.0]
    monkeypatch.setattr(journal, "monotonic", lambda: now_s[0])
    return now_s


def lasting(start_s: float, clock: list[float]) -> Callable[[Run], dict[str, Any]]:
    """A machine on which a run takes so long besides its frames."""
    whole = made_up()

    def measured(run: Run) -> dict[str, Any]:
        clock[0] += start_s + (run.warm_up + run.frames) / 60
        return whole(run)

    return measured


@pytest.mark.parametrize(("start_s", "times"), [(1.5, 8), (2.8, 7), (4.2, 5)])
def test_all_four_factors_take_less_than_ten_minutes_and_what_is_left_of_them_goes_to_what_is_recommended(
    tmp_path: Path, clock: list[float], start_s: float, times: int
) -> None:
    told: list[str] = []
    result = tune(Question(), tmp_path, told.append, measured=lasting(start_s, clock))
    confirmed = [run for run in result["runs"] if run["stage"] == "confirm"]
    assert clock[0] < 600 and len(confirmed) == times
    (foreseen,) = (line for line in told if "28 runs of the sweep" in line)
    assert int(foreseen.removesuffix(" min").rpartition(" ")[2]) in (9, 10)
    again = tune(Question(), tmp_path, measured=lambda run: pytest.fail("nothing is left to run"))
    assert again == result


def test_a_machine_too_slow_for_ten_minutes_makes_the_fewest_runs_that_do(tmp_path: Path, clock: list[float]) -> None:
    left_s: list[float] = []
    result = tune(Question(agents=(100, 5000)), tmp_path, progress=lambda what, done, left: left_s.append(done + left),
                  measured=lasting(9.0, clock))  # fmt: skip
    assert sum(run["stage"] == "confirm" for run in result["runs"]) == making.CONFIRMED
    assert clock[0] > 600 and left_s[-3] == pytest.approx(clock[0], rel=0.05)  # it learns how slow the machine is


class Stopped(Exception):
    pass


def test_a_tuning_that_is_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    question, made, whole = Question(agents=(1000, 9000), seed=3), list[Run](), made_up()
    left = 12

    def measured(run: Run) -> dict[str, Any]:
        if len(made) == left:
            raise Stopped
        made.append(run)
        return whole(run)

    with pytest.raises(Stopped):
        tune(question, tmp_path, measured=measured)
    file = tmp_path / "tune.jsonl"
    file.write_text(file.read_text()[:-30])  # the program ended in the middle of a line
    left = 1000
    result = tune(question, tmp_path, measured=measured)
    assert made[11] == made[12] and len(made) == len(result["runs"]) + 1
    again = tune(question, tmp_path, measured=lambda run: pytest.fail("nothing is left to run"))
    assert again == result == tune(question, tmp_path, fresh=True, measured=whole)


def test_another_question_does_not_take_these_runs_for_its_own(tmp_path: Path) -> None:
    tune(Question(agents=(10, 10), every=(1, 1), budget_ms=(1, 1), rate=(5, 5)), tmp_path, measured=made_up())
    other = Question(agents=(20, 20), every=(1, 1), budget_ms=(1, 1), rate=(5, 5))
    with pytest.raises(SettingsError, match=r"another question \(agents \[10, 10\], now \[20, 20\]\).*--fresh"):
        tune(other, tmp_path, measured=made_up())
    assert tune(other, tmp_path, fresh=True, measured=made_up())["agents"] == [20, 20]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"workload": "chess"}, "no workload 'chess'; there are: arena, herd; or a game of your own"),
        ({"frames": 0}, "frames=0"),
        ({"frame_ms": 20.0}, "frame_ms=20"),
        ({"latency_ms": (12_000.0, 12_000.0)}, "answers in 12 s, with deadline_s=10"),
        ({"latency_ms": (2000.0, 1000.0)}, "a latency of 2 to 1 s"),
        ({"every": (0, 4)}, "every=0:4"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_first_run(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        Question(**wrong)


@pytest.fixture
def on_a_made_up_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs ``astrasim tune`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    whole, real_tune, real_check = made_up(), tuning.tune, tuning.check
    monkeypatch.setattr(tuning, "tune", partial(real_tune, measured=whole))
    monkeypatch.setattr(tuning, "check", partial(real_check, measured=whole))
    return lambda *arguments: CliRunner().invoke(app, ["tune", *arguments])


def test_the_command_answers_in_words_and_writes_settings_figures_and_a_picture(
    on_a_made_up_machine: Callable[..., Any], tmp_path: Path
) -> None:
    done = on_a_made_up_machine("--agents", "500", "--latency-s", "1.5", "--frames", "60", "--find-agents")
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for words in (
        "500 agents and a model that answers in 1.5 s", "agents keep 60 frames a second", "requests_per_second = ",
        "agent-ticks on a model's plan", "in four of five tries", "ms of planning a tick:", "after a minute",
    ):  # fmt: skip
        assert words in said, words
    result = json.loads((tmp_path / "tune/tune.json").read_text())
    assert result["question"]["latency_ms"] == [1500, 1500] and result["question"]["agents"] == [500, 500]
    assert (tmp_path / "tune/frontier.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "tune/astrasim.toml").read_text()
    assert "# " in text and "±" not in text.splitlines()[-1]
    (tmp_path / "astrasim.toml").write_text(text)
    settings = Settings()
    chosen = result["recommended"]
    assert (settings.budget_ms, settings.every) == (chosen["budget_ms"], chosen["every"])
    assert settings.requests_per_second == chosen["rate"]


def test_a_check_says_how_many_tries_were_inside(on_a_made_up_machine: Callable[..., Any], tmp_path: Path) -> None:
    assert on_a_made_up_machine("--agents", "500", "--every", "1", "--budget-ms", "1").exit_code == 0
    done = on_a_made_up_machine("--check", "5")
    (made,) = json.loads((tmp_path / "tune/tune.json").read_text())["checks"]
    assert len(made["runs"]) == 5 and set(made["inside"]) >= {"frame_p99_ms", "model_share", "missed"}
    assert done.exit_code == (0 if min(made["inside"].values()) >= 4 else 1)
    assert f"{made['inside']['frame_p99_ms']} of 5" in done.output


def test_figures_outside_their_interval_are_told(on_a_made_up_machine: Callable[..., Any], tmp_path: Path) -> None:
    on_a_made_up_machine("--agents", "500", "--every", "1", "--budget-ms", "1", "--rate", "5")
    file = tmp_path / "tune/tune.json"
    result = json.loads(file.read_text())
    result["predicted"]["frame_p99_ms"] |= {"low": 100.0, "high": 200.0}
    file.write_text(json.dumps(result))
    done = on_a_made_up_machine("--check", "2")
    assert done.exit_code == 1 and "0 of 2" in done.output


def test_settings_of_the_user_s_own_are_not_written_over(
    on_a_made_up_machine: Callable[..., Any], tmp_path: Path
) -> None:
    own = tmp_path / "astrasim.toml"
    own.write_text("budget_ms = 3\n")
    done = on_a_made_up_machine("--agents", "500", "--out", ".")
    assert isinstance(done.exception, SettingsError) and "give another folder" in str(done.exception)
    assert own.read_text() == "budget_ms = 3\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--agents", "many"], "--agents 'many' is not a number, nor LOW:HIGH"),
        (["--model", "none", "--latency-s", "1"], "--latency-s is the stub's"),
        (["--find-agents", "--frame-ms", "8"], "leave out --frame-ms"),
    ],
)
def test_wrong_arguments_of_the_command_are_explained(
    on_a_made_up_machine: Callable[..., Any], arguments: list[str], words: str
) -> None:
    done = on_a_made_up_machine(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())


def test_a_check_of_nothing_says_what_to_do_first(on_a_made_up_machine: Callable[..., Any]) -> None:
    assert "run `astrasim tune` first" in str(on_a_made_up_machine("--check", "5").exception)


@pytest.mark.slow
def test_a_whole_tuning_of_a_game_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_game.py").write_text("from astrasim.perf.arena import build_arena as make\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["--agents", "40", "--every", "1", "--budget-ms", "0.5:2", "--rate", "20", "--frames", "30"]
    done = CliRunner().invoke(app, ["tune", "--game", "tiny_game:make", *arguments])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "tune/tune.json").read_text())
    assert result["predicted"]["model_share"]["value"] > 0 and result["predicted"]["plan_age_s"]["value"] > 0
