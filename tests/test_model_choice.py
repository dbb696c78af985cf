"""Which model is asked, and the reason that people are given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from astrasim import Settings, SettingsError, model_choice
from astrasim.gateway import weights
from astrasim.model_choice import choose_model


@pytest.fixture(autouse=True)
def weights_file(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """Where the embedded model's weights are, in a list of one: None, until a test says otherwise."""
    file: list[Path | None] = [None]
    monkeypatch.setattr(weights, "find", lambda: file[0])
    monkeypatch.setattr(model_choice, "find_spec", lambda name: object())  # as if xllamacpp were installed
    return file


class StubOllama(ThreadingHTTPServer):
    """Lists the models that it was given."""

    models: tuple[str, ...] = ("llama3.2:latest", "qwen3:4b")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, StubOllama) and self.path == "/api/tags"
        body = json.dumps({"models": [{"name": name} for name in self.server.models]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubOllama]:
    """An Ollama with two models."""
    stub = StubOllama(("127.0.0.1", 0), Handler)
    threading.Thread(target=stub.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("OLLAMA_HOST", stub.url)
    yield stub
    stub.shutdown()
    stub.server_close()


SERVER = {"base_url": "http://localhost:8080/v1", "model_name": "tiny"}


def chosen(**values: Any) -> str:
    spec, reason = choose_model(Settings(**values))
    assert reason
    return "none" if spec is None else str(spec)


def complaint(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        choose_model(Settings(**values))
    return str(caught.value)


def test_without_any_settings_there_is_no_model_and_the_reason_says_what_to_set() -> None:
    spec, reason = choose_model(Settings())
    assert spec is None
    assert "heuristics decide" in reason
    assert "OPENAI_BASE_URL" in reason


@pytest.mark.parametrize("model", ["auto", "openai"])
def test_a_server_and_a_name_make_a_model(model: str) -> None:
    assert chosen(model=model, **SERVER) == "openai at http://localhost:8080/v1"


def test_auto_takes_ollama_first_if_it_has_a_model(ollama: StubOllama) -> None:
    spec, reason = choose_model(Settings(**SERVER))
    assert spec is not None and (spec.kind, spec.name, spec.base_url) == ("ollama", "llama3.2:latest", ollama.url)
    assert reason == f"auto: Ollama answers at {ollama.url}, with llama3.2:latest"


def test_auto_takes_the_model_of_ollama_that_was_named(ollama: StubOllama) -> None:
    assert chosen(ollama_model="qwen3:4b") == f"ollama at {ollama.url}"
    spec, reason = choose_model(Settings(ollama_model="mistral"))
    assert spec is None and "ollama pull mistral" in reason


def test_an_ollama_without_models_is_passed_over(ollama: StubOllama) -> None:
    ollama.models = ()
    assert chosen(**SERVER) == "openai at http://localhost:8080/v1"
    assert "ollama pull" in choose_model(Settings(**SERVER))[1]


def test_auto_takes_a_named_server_before_the_embedded_model(weights_file: list[Path | None]) -> None:
    weights_file[0] = Path("there")
    assert chosen(**SERVER) == "openai at http://localhost:8080/v1"
    assert chosen() == "embedded model"


def test_what_the_embedded_model_lacks_is_told(
    weights_file: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "astrasim model install" in complaint(model="embedded")
    weights_file[0] = Path("there")
    assert chosen(model="embedded") == "embedded model"
    monkeypatch.setattr(model_choice, "find_spec", lambda name: None)
    assert "pip install 'astrasim[embedded]'" in complaint(model="embedded")


def test_ollama_can_be_asked_for_before_it_runs() -> None:
    assert chosen(model="ollama", ollama_url="box:99") == "ollama at http://box:99"


def test_a_server_without_the_name_of_a_model_is_asked_which_it_has() -> None:
    spec, _ = choose_model(Settings(base_url=SERVER["base_url"]))
    assert spec is not None and spec.name == ""


def test_openai_without_a_server_is_refused_with_the_variable_to_set() -> None:
    text = complaint(model="openai", model_name="tiny")
    assert "needs a server" in text and "OPENAI_BASE_URL" in text


def test_a_key_alone_sends_nothing_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    assert chosen(model="auto", model_name="gpt") == "none"


def test_the_variable_of_the_server_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    assert chosen() == "openai at http://localhost:9/v1"
    assert chosen(model="none") == "none"
    monkeypatch.setenv("ASTRASIM_USE_LLM", "0")
    spec, reason = choose_model(Settings(model="openai"))
    assert spec is None and "ASTRASIM_USE_LLM" in reason


def test_a_function_of_the_game_is_a_model() -> None:
    assert chosen(model="function:mygame.brain:decide") == "function mygame.brain:decide"
    assert chosen(model="function:mygame.brain:decide", use_llm=False) == "none"


@pytest.mark.parametrize("name", ["", "mygame.brain", "mygame.brain:", ":decide", "my game:decide", "a:b:c", "1:2"])
def test_a_function_that_has_no_such_name_is_refused(name: str) -> None:
    text = complaint(model=f"function:{name}")
    assert "'module:function', such as 'mygame.minds:think'" in text and repr(name) in text


def test_the_embedded_model_is_named_by_its_weights(weights_file: list[Path | None]) -> None:
    weights_file[0] = Path("there")
    spec, _ = choose_model(Settings(model="embedded"))
    assert spec is not None and (spec.kind, spec.name, spec.chooses) == ("embedded", weights.NAME, True)


def test_a_model_that_does_not_exist_is_refused() -> None:
    text = complaint(model="opnai")
    assert text == (
        "setting model: no model 'opnai'; did you mean 'openai'? There are: auto, none, ollama, openai, embedded, "
        "function:MODULE:NAME. (a model of Ollama's is named by OLLAMA_MODEL, one of a server by ASTRASIM_MODEL_NAME)"
    )


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://x:y/v1", "http://x/v1?key=s3cret"])
@pytest.mark.parametrize("model", ["auto", "openai"])
def test_an_address_that_is_none_is_refused(url: str, model: str) -> None:
    text = complaint(model=model, base_url=url, model_name="tiny")
    assert "OPENAI_BASE_URL (base_url) is no address of a server; one is http://localhost:8080/v1" in text
    assert "s3cret" not in text


def test_neither_key_nor_password_is_shown() -> None:
    spec, reason = choose_model(Settings(base_url="http://me:s3cret@localhost/v1", api_key="s3cret", model_name="tiny"))
    assert "localhost" in reason and "s3cret" not in f"{spec} {reason}"
