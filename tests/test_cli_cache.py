"""``astrasim cache``: what users see of the cache files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from astrasim import Domain, Settings, Simulation
from astrasim.cli_cache import app
from astrasim.errors import AstraSimError
from astrasim.gateway.keeping import CacheRefused
from astrasim.gateway.travel import figures

GAME = """
import json
from astrasim import Domain

garden = Domain("garden", ["gnome"])
garden.column("mood")
garden.feature("humour", column="mood", edges=[0.5, 1.5], words=["sad", "calm", "merry"])
garden.place("pond", 5, 5)
garden.stock("approach", name="go", targets=["pond"], speed=1)

def think(prompt, schema):
    if "merry" in prompt.user:
        return "no plan at all"
    return json.dumps({"steps": [{"action": "go", "target": "pond", "seconds": 4}]})

def mute(prompt, schema):
    raise RuntimeError("no words")
"""


@pytest.fixture(autouse=True)
def game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A game's module, of a name of its own for each test, in the folder that the commands run in."""
    name = f"game_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(GAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ASTRASIM_MODEL", f"function:{name}:think")
    return name


def run(*arguments: str, code: int = 0) -> str:
    result: Result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def warmed(game: str) -> None:
    run("warm", "plans", "--domain", f"{game}:garden")


def test_walking_a_domain_asks_about_each_situation_once(game: str) -> None:
    said = run("warm", "plans", "--domain", f"{game}:garden")
    assert "2 plans made, 0 were known, 1 failed (the last: not_json" in said
    assert "0 plans made, 2 were known, 1 failed" in run("warm", "plans", "--domain", f"{game}:garden", code=1)
    assert "garden" in run("stats", "plans")


def test_a_model_that_cannot_answer_is_told(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRASIM_MODEL", f"function:{game}:mute")
    assert "no words" in run("warm", "plans", "--domain", f"{game}:garden", code=1)


def test_a_game_takes_what_was_warmed(game: str, tmp_path: Path) -> None:
    warmed(game)
    import importlib

    domain: Domain = importlib.import_module(game).garden
    with Simulation(domain, Settings(cache_file=tmp_path / "plans", requests_per_second=0)) as sim:
        gnome = sim.spawn("gnome", mood=1)
        import time

        end = time.monotonic() + 20
        while sim.agents.source[gnome.row] == 0 and time.monotonic() < end:
            sim.tick()
            time.sleep(0.002)
        assert "go pond" in sim.why(gnome) and sim.stats().requests.sent == 0


def test_warming_from_a_run_asks_what_it_had_no_plan_for(game: str, tmp_path: Path) -> None:
    import importlib
    import time

    domain: Domain = importlib.import_module(game).garden
    with Simulation(domain, Settings(cache_file=tmp_path / "plans", requests_per_second=0)) as sim:
        sim.spawn("gnome", mood=1)
        end = time.monotonic() + 20
        while not sim.stats().looks.answered and time.monotonic() < end:
            sim.tick()
            time.sleep(0.002)
        while not any(each.wanted for each in figures(tmp_path / "plans")) and time.monotonic() < end:
            time.sleep(0.02)  # it is saved
    assert "1 plans made" in run("warm", "plans")
    with pytest.raises(AstraSimError, match="Name a --domain"):
        run("warm", "plans")


def test_plans_travel_as_json(game: str, tmp_path: Path) -> None:
    warmed(game)
    assert "2 plans written" in run("export", "out.json", "plans")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["plans"][0]["steps"] == [["go", "pond", 4.0]]
    assert "2 plans added" in run("import", "out.json", "others")
    assert "0 plans added" in run("import", "out.json", "others")
    run("export", "again.json", "others")
    again = json.loads((tmp_path / "again.json").read_text())
    assert [p["situation"] for p in again["plans"]] == [p["situation"] for p in told["plans"]]


def test_plans_that_make_no_sense_are_passed_over_and_told(game: str, tmp_path: Path) -> None:
    warmed(game)
    run("export", "out.json", "plans")
    told = json.loads((tmp_path / "out.json").read_text())
    told["plans"][0]["steps"][0][0] = "fly"
    told["plans"].append({"scope": 9})
    (tmp_path / "out.json").write_text(json.dumps(told))
    said = run("import", "out.json", "others", code=1)
    assert "1 plans added" in said


DEEP = "[" * 100_000
HUGE = "1" + "0" * 400


NO_NUMBERS = [
    ("made", "NaN"), ("made", "1e999"), ("made", '"7"'), ("uses", "1e999"), ("uses", "1.5"), ("uses", HUGE),
    ("uses", "-1"), ("situation", "[]"), ("situation", '{"humour": 1e999}'), ("scope", "1e999"), ("scope", "-1"),
    ("vector", f"[{HUGE}]"), ("steps", "7"), ("steps", '[["go", "pond", NaN]]'), ("steps", "[[[], {}, 4]]"),
]  # fmt: skip


def test_a_plan_whose_numbers_are_none_is_passed_over(game: str, tmp_path: Path) -> None:
    warmed(game)
    run("export", "out.json", "plans")
    told = json.loads((tmp_path / "out.json").read_text())
    plan = told["plans"][0]
    told["plans"] = [plan | {field: f"HERE {at}"} for at, (field, _) in enumerate(NO_NUMBERS)] + told["plans"]
    text = json.dumps(told)
    for at, (_, value) in enumerate(NO_NUMBERS):
        text = text.replace(f'"HERE {at}"', value)
    (tmp_path / "out.json").write_text(text)
    said = run("import", "out.json", "others", code=1)
    assert "2 plans added" in said and f"{len(NO_NUMBERS)} plans made no sense" in said
    assert "2 plans written" in run("export", "again.json", "others")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"form": "else"}', "\x00", DEEP])
def test_what_is_no_export_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text(text)
    with pytest.raises(AstraSimError, match=r"out\.json holds no exported plans"):
        run("import", "out.json", "plans")


def test_clearing_forgets_one_namespace_or_all(game: str) -> None:
    for namespace in ("one", "two"):
        run("warm", "plans", "--namespace", namespace, "--domain", f"{game}:garden")
    assert "2 plans forgotten" in run("clear", "plans", "--namespace", "one")
    assert "one" not in run("stats", "plans") and "two" in run("stats", "plans")
    assert "2 plans forgotten" in run("clear", "plans", "--all")
    assert "empty" in run("stats", "plans")


@pytest.mark.parametrize("command", [["stats"], ["clear"], ["export", "out.json"], ["warm"]])
def test_a_file_that_is_not_there_is_told(command: list[str]) -> None:
    with pytest.raises(CacheRefused, match="no file"):
        run(command[0], *command[1:], "nowhere")


def test_without_a_file_it_says_how_to_name_one() -> None:
    with pytest.raises(AstraSimError, match="ASTRASIM_CACHE_FILE"):
        run("stats")
