"""Whom the gateway talks to over TLS: a server whose certificate for that name somebody trusted has signed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from pydantic import SecretStr

from astrasim.gateway import ModelSpec
from astrasim.gateway.models import ModelError, is_chooser, open_model
from astrasim.gateway.ollama_host import probe_ollama
from astrasim.prompts import Prompt

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

Shield = Callable[..., str]
PLAIN = b'{"choices": [{"finish_reason": "stop", "message": {"content": "run"}}], "models": [{"name": "m"}]}'
OLLAMA = b'{"message": {"content": "run"}, "done": true, "models": [{"name": "m"}]}'
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def shield(
    server: StubServer, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shield:
    """Puts the server behind TLS, with a certificate for ``name``; returns its address."""
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    def serve(name: str = "127.0.0.1", *, trusted: bool, self_signed: bool = False, **options: Any) -> str:
        signer = trustme.CA() if self_signed else authority
        certificate = signer.issue_cert(name, **options)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        if trusted:
            authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        return server.url.replace("http:", "https:")

    return serve


async def ask(kind: Any, url: str) -> str:
    spec = ModelSpec(kind=kind, name="m", base_url=url, api_key=SecretStr("sk-very-secret"))
    model = await open_model(spec, 1, print)
    assert not is_chooser(model)
    return (await model.complete(Prompt("You are a sheep.", "A wolf is near."), {"type": "object"}, 64)).text


def test_a_server_with_a_good_certificate_is_asked(kind: Any, server: StubServer, shield: Shield) -> None:
    server.says(PLAIN if kind == "openai" else OLLAMA)
    assert anyio.run(partial(ask, kind, shield(trusted=True))) == "run"
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param({"trusted": False}, id="signed by nobody known"),
        pytest.param({"trusted": True, "self_signed": True}, id="signed by another"),
        pytest.param({"trusted": True, "name": "elsewhere.example"}, id="for another name"),
        pytest.param(
            {"trusted": True, "not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)}, id="over"
        ),
    ],
)
def test_a_server_with_another_certificate_hears_nothing(
    kind: Any, server: StubServer, shield: Shield, certificate: dict[str, Any]
) -> None:
    server.says(PLAIN if kind == "openai" else OLLAMA)
    url = shield(**certificate)
    with pytest.raises(ModelError, match="certificate verify failed") as caught:
        anyio.run(partial(ask, kind, url))
    assert caught.value.reason == "unreachable"
    assert probe_ollama(url, 5.0) is None
    assert server.paths == [] and server.headers == []


def test_looking_for_ollama_verifies_as_well(server: StubServer, shield: Shield) -> None:
    server.says(OLLAMA)
    assert probe_ollama(shield(trusted=True), 5.0) == ["m"]
