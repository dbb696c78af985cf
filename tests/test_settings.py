"""Settings: which source wins, and what is said of a value that cannot be used."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from astrasim import GatewayPolicy, Settings, SettingsError


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(an_empty_folder: Path) -> Any:
    def write(text: str) -> None:
        (an_empty_folder / "astrasim.toml").write_text(text)

    return write


def complaint(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    return str(caught.value)


def test_code_goes_before_environment_before_file_before_defaults(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().budget_ms == 2
    write("budget_ms = 3\nseed = 3")
    assert (Settings().budget_ms, Settings().seed) == (3, 3)
    monkeypatch.setenv("ASTRASIM_BUDGET_MS", "4")
    assert (Settings().budget_ms, Settings().seed) == (4, 3)
    assert (Settings(budget_ms=5).budget_ms, Settings(budget_ms=5).seed) == (5, 3)


@pytest.mark.parametrize(("setting", "variable"), [("base_url", "OPENAI_BASE_URL"), ("api_key", "OPENAI_API_KEY")])
def test_the_servers_variables_keep_their_own_names(
    write: Any, monkeypatch: pytest.MonkeyPatch, setting: str, variable: str
) -> None:
    def value(settings: Settings) -> str:
        found = getattr(settings, setting)
        return str(found if setting == "base_url" else found.get_secret_value())

    write(f'{setting} = "http://file"')
    assert value(Settings()) == "http://file"
    monkeypatch.setenv(variable, "http://env")
    assert value(Settings()) == "http://env"
    monkeypatch.setenv(f"ASTRASIM_{setting.upper()}", "http://ours")
    assert value(Settings()) == "http://ours", "a variable that is ours alone says more"
    assert value(Settings(**{setting: "http://code"})) == "http://code"


@pytest.mark.parametrize(("text", "use"), [("0", False), ("false", False), ("1", True), ("on", True), ("", True)])
def test_one_variable_switches_the_model_off(monkeypatch: pytest.MonkeyPatch, text: str, use: bool) -> None:
    monkeypatch.setenv("ASTRASIM_USE_LLM", text)
    assert Settings().use_llm is use


@pytest.mark.parametrize("name", ["budget_ms", "budget_units", "requests_per_second", "retry_after_s", "seed"])
def test_zero_means_zero(monkeypatch: pytest.MonkeyPatch, write: Any, name: str) -> None:
    assert getattr(Settings(**{name: 0}), name) == 0
    write(f"{name} = 0")
    assert getattr(Settings(), name) == 0
    write("")
    monkeypatch.setenv(f"ASTRASIM_{name.upper()}", "0")
    assert getattr(Settings(), name) == 0


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASTRASIM_MODEL", "ASTRASIM_EVERY", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "")
    assert Settings() == Settings(model="auto", every=1, base_url="", api_key=None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"budget_ms": -1}, ["budget_ms=-1", "at least 0 and at most 1000"]),
        ({"budget_ms": 1001}, ["budget_ms=1001", "at least 0 and at most 1000"]),
        ({"budget_ms": float("nan")}, ["budget_ms=nan", "finite"]),
        ({"budget_ms": "much"}, ["budget_ms='much'", "number"]),
        ({"every": 0}, ["every=0", "at least 1 and at most 60"]),
        ({"every": 2.5}, ["every=2.5", "integer"]),
        ({"tick_s": 0}, ["tick_s=0", "above 0 and at most 1"]),
        ({"seed": 2**31}, ["seed=2147483648", "at least 0 and below 2147483648"]),
        ({"max_in_flight": 0}, ["max_in_flight=0", "at least 1 and at most 1024"]),
        ({"use_llm": "perhaps"}, ["use_llm='perhaps'", "boolean"]),
        ({"bugdet_ms": 3}, ["no setting 'bugdet_ms'; did you mean 'budget_ms'? There are: ", "seed"]),
        ({"every": 0, "seed": -1}, ["every=0", "; setting seed=-1"]),
    ],
    ids=str,
)
def test_a_bad_value_is_named_with_what_is_allowed(values: dict[str, Any], said: list[str]) -> None:
    text = complaint(**values)
    assert all(part in text for part in said), text


def test_the_policy_of_the_gateway_is_made_of_settings(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().policy == GatewayPolicy()
    write("rest_s = 2")
    monkeypatch.setenv("ASTRASIM_RETRIES", "0")
    policy = Settings(deadline_s=3).policy
    assert policy == GatewayPolicy(rest_s=2, retries=0, deadline_s=3)
    with pytest.raises(ValidationError):
        policy.retries = 1
    assert "setting retries=-1: " in complaint(retries=-1) and "at least 0 and at most 10" in complaint(retries=-1)


def test_a_bad_value_says_where_it_came_from(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write("every = 99")
    assert "setting every=99 (from astrasim.toml): " in complaint()
    monkeypatch.setenv("ASTRASIM_EVERY", "98")
    assert "setting every='98' (from ASTRASIM_EVERY): " in complaint()
    assert "setting every=97: " in complaint(every=97)


def test_a_misspelt_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRASIM_BUGDET_MS", "3")
    assert "environment: no setting 'ASTRASIM_BUGDET_MS'; did you mean 'ASTRASIM_BUDGET_MS'?" in complaint()


def test_a_misspelt_name_in_the_file_is_not_passed_over(write: Any) -> None:
    write("bugdet_ms = 3")
    assert "astrasim.toml: no setting 'bugdet_ms'; did you mean 'budget_ms'?" in complaint()


def test_a_broken_file_is_named(write: Any) -> None:
    write("every = = 3")
    assert "astrasim.toml is no TOML file: " in complaint()


def test_variables_of_our_own_processes_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRASIM_GATEWAY_PROCESS", "1")
    monkeypatch.setenv("ASTRASIM_SMOLLM_KEY", "x")
    Settings()


def test_the_key_appears_nowhere(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(api_key="s3cret")
    assert settings.api_key is not None and settings.api_key.get_secret_value() == "s3cret"
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    for values in ({"api_key": ["s3cret"]}, {"api_keey": "s3cret"}, {"api_key": "s3cret", "every": 0}):
        try:
            Settings(**values)
        except SettingsError as error:
            shown += [str(error), "".join(traceback.format_exception(error))]
    write('api_key = ["s3cret"]')
    shown.append(complaint())
    write("")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    shown += [repr(Settings()), complaint(every=0)]
    assert not [text for text in shown if "s3cret" in text]


def test_settings_do_not_change_once_made() -> None:
    settings = Settings()
    with pytest.raises(SettingsError, match=r"settings do not change once made; make others: Settings\(every=...\)"):
        settings.every = 2
    assert settings.every == 1
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize("word", ["none", "None"])
def test_near_look_ups_can_be_switched_off_from_a_file_and_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "astrasim.toml").write_text("near_bound = 0.08\n")
    assert Settings().near_bound == 0.08
    monkeypatch.setenv("ASTRASIM_NEAR_BOUND", word)
    assert Settings().near_bound is None
    monkeypatch.delenv("ASTRASIM_NEAR_BOUND")
    (tmp_path / "astrasim.toml").write_text(f'near_bound = "{word}"\n')
    assert Settings().near_bound is None
    with pytest.raises(SettingsError, match=r"near_bound=0: .*it must be above 0 and at most 100"):
        Settings(near_bound=0)
