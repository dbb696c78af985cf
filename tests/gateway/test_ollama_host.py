"""Where Ollama is, and whether it is there."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from astrasim.gateway import ModelSpec
from astrasim.gateway.ollama_host import model_names, ollama_url, probe_ollama

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

# Ollama's own table of OLLAMA_HOST (its envconfig/config_test.go), as a client sees it: an address to listen on
# everywhere, and one without a host, lead to this machine (its ConnectableHost, and how Go dials ":1234").
READ_AS_OLLAMA_DOES = [
    ("", "http://127.0.0.1:11434"),
    ("1.2.3.4", "http://1.2.3.4:11434"),
    (":1234", "http://127.0.0.1:1234"),
    ("1.2.3.4:1234", "http://1.2.3.4:1234"),
    ("example.com", "http://example.com:11434"),
    ("example.com:1234", "http://example.com:1234"),
    (":0", "http://127.0.0.1:0"),
    (":66000", "http://127.0.0.1:11434"),
    (":-1", "http://127.0.0.1:11434"),
    ("[::1]", "http://[::1]:11434"),
    ("[::]", "http://[::1]:11434"),
    ("::1", "http://[::1]:11434"),
    ("[::1]:1337", "http://[::1]:1337"),
    (" 1.2.3.4 ", "http://1.2.3.4:11434"),
    ('"1.2.3.4"', "http://1.2.3.4:11434"),
    (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
    ("'1.2.3.4'", "http://1.2.3.4:11434"),
    ("http://1.2.3.4", "http://1.2.3.4:80"),
    ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
    ("https://1.2.3.4", "https://1.2.3.4:443"),
    ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
    ("https://example.com/ollama", "https://example.com:443/ollama"),
    ("ollama.com", "https://ollama.com:443"),
    ("0.0.0.0", "http://127.0.0.1:11434"),
    ("0.0.0.0:8080", "http://127.0.0.1:8080"),
    ("http://[::]:8080/", "http://[::1]:8080"),
]
BY_ITS_RULES = [
    ("localhost/", "http://localhost:11434"),
    ("localhost:", "http://localhost:11434"),
    ("localhost:port", "http://localhost:11434"),
    ("localhost:+80", "http://localhost:80"),
    ("HTTP://localhost", "http://localhost:11434"),  # to Ollama only "http" in small letters has the port 80
    ("http://", "http://127.0.0.1:80"),
    ("::ffff:1.2.3.4", "http://1.2.3.4:11434"),
    ("example.com/a b?c", "http://example.com:11434/a%20b%3Fc"),
    ("bücher.example", "http://xn--bcher-kva.example:11434"),
    ("ftp://1.2.3.4", "http://1.2.3.4:11434"),
    ("no host", "http://no%20host:11434"),
]


@pytest.mark.parametrize(("text", "url"), READ_AS_OLLAMA_DOES + BY_ITS_RULES)
def test_ollama_host_is_read_as_ollama_reads_it(text: str, url: str) -> None:
    assert ollama_url(text) == url


@given(st.text(max_size=40) | st.text("[]:/.@%?#\"' 01ahtps\\", max_size=40))
@example("[" * 3 + "]:1")
@example("\ud800")
@example("a" * 300 + ".example")
def test_whatever_stands_in_ollama_host_becomes_an_address(text: str) -> None:
    url = ollama_url(text)
    parts = urlsplit(url)
    assert parts.scheme in ("http", "https") and parts.hostname and parts.port is not None
    ModelSpec(kind="ollama", base_url=url)
    httpx.URL(url)


# Recorded from Ollama's documentation (docs/api.md, "List Local Models").
TAGS = {
    "models": [
        {
            "name": "codellama:13b",
            "modified_at": "2023-11-04T14:56:49.277302595-07:00",
            "size": 7365960935,
            "digest": "9f438cb9cd581fc025612d27f7c1a6669ff83a8bb0ed86c94fcf4c5440555697",
            "details": {
                "format": "gguf",
                "family": "llama",
                "families": None,
                "parameter_size": "13B",
                "quantization_level": "Q4_0",
            },
        },
        {
            "name": "llama3:latest",
            "modified_at": "2023-12-07T09:32:18.757212583-08:00",
            "size": 3825819519,
            "digest": "fe938a131f40e6f6d40083c9f0f430a515233eb2edaa6d72eb85c50d64f2300e",
            "details": {
                "format": "gguf",
                "family": "llama",
                "families": None,
                "parameter_size": "7B",
                "quantization_level": "Q4_0",
            },
        },
    ]
}


def test_the_models_are_those_that_can_chat() -> None:
    embeds = [{"name": "all-minilm:latest", "details": {"family": "bert"}}, {"name": "nomic-embed-text:latest"}]
    assert model_names(json.dumps(TAGS).encode()) == ["codellama:13b", "llama3:latest"]
    assert model_names(json.dumps({"models": embeds + TAGS["models"]}).encode()) == ["codellama:13b", "llama3:latest"]
    assert model_names(b'{"models": null}') == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"models": [1]}', b'{"models": [{}]}', b"[" * 100_000]
)
def test_what_is_no_list_of_models_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        model_names(body)


def test_a_probe_finds_the_models(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answers(lambda path, asked: (200, TAGS))
    assert probe_ollama(server.url, timeout_s=5.0) == ["codellama:13b", "llama3:latest"]
    assert probe_ollama(server.url + "/behind/", timeout_s=5.0) is not None
    assert probe_ollama(server.url.replace("//", "//shepherd:p%3Aw@"), timeout_s=5.0) is not None
    assert server.paths == ["/api/tags", "/behind/api/tags", "/api/tags"]
    assert server.headers[2]["authorization"] == "Basic c2hlcGhlcmQ6cDp3"


@pytest.mark.parametrize(
    ("status", "said"), [(404, "404 page not found"), (200, "<html>"), (302, TAGS), (200, b" " * 600_000)]
)
def test_a_probe_of_something_else_finds_nothing(server: StubServer, status: int, said: object) -> None:
    server.answers(lambda path, asked: (status, said))
    assert probe_ollama(server.url, timeout_s=5.0) is None


def test_a_probe_that_nobody_answers_is_over_in_time(server: StubServer) -> None:
    server.hangs()
    start = time.monotonic()
    assert probe_ollama(server.url, timeout_s=0.2) is None
    assert time.monotonic() - start < 2.0


@pytest.mark.parametrize("url", ["http://no%20host:1", "http://[::1", "nonsense", "http://h:port"])
def test_a_probe_of_no_address_finds_nothing(url: str) -> None:
    assert probe_ollama(url) is None


def test_a_probe_where_nobody_listens_finds_nothing() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert probe_ollama(f"http://127.0.0.1:{unused.getsockname()[1]}") is None
