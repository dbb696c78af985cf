"""A key, or a password in an address, goes to its server in a header and turns up nowhere else, whatever the server
says: it repeats them in answers, errors and names here."""

from __future__ import annotations

import base64
import json
import logging
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from astrasim import Domain, Settings, SettingsError, Simulation
from astrasim.cli import app
from astrasim.gateway import ModelSpec
from astrasim.gateway.http import HttpClient
from astrasim.gateway.models import ModelError

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

KEY, PASSWORD = "sk-0123456789-geheim", "p%40ss:w0rd-geheim"
LOGIN = base64.b64encode(b"shepherd:p@ss:w0rd-geheim").decode()
SECRETS = (KEY, PASSWORD, "p@ss:w0rd-geheim", LOGIN)
PLAN = {"steps": [{"action": "flee", "target": "threat", "seconds": 3}]}


def told(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def parrot(server: StubServer) -> StubServer:
    """Repeats all headers that it gets: in the models that it lists, then in an answer, a rejected one and errors."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        number = len(server.bodies)
        said = f"{handler.headers} {KEY} {PASSWORD} {SECRETS[2]}"
        status: int
        body: dict[str, Any]
        if handler.path.endswith("/models"):
            status, body = 200, {"data": [{"id": f"m {said}"}]}
        elif number % 3 == 0:
            status, body = 401, {"error": {"message": f"wrong key: {said}"}}
        else:
            content = f"{said} {json.dumps(PLAN) if number % 3 == 1 else '{'}"
            status, body = 200, {"choices": [{"finish_reason": "stop", "message": {"content": content}}]}
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.send_header("X-Said", KEY)
        handler.end_headers()
        handler.wfile.write(text)

    server.reply = reply
    return server


def with_login(url: str) -> str:
    return url.replace("//", f"//shepherd:{PASSWORD}@")


@pytest.mark.parametrize("login", [False, True])
def test_a_key_that_the_server_repeats_is_shown_nowhere(
    parrot: StubServer, meadow_game: Domain, login: bool, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    files = {"log_exchanges": tmp_path / "exchanges.jsonl", "cache_file": tmp_path / "plans.db"}
    url = f"{with_login(parrot.url) if login else parrot.url}/v1"
    settings = Settings(model="openai", base_url=url, api_key=SecretStr(KEY), retry_after_s=0.1, retries=0,
                        requests_per_second=1000.0, **files)  # fmt: skip
    shown = [repr(settings), str(settings)]
    with Simulation(meadow_game, settings) as sim:
        sheep = [sim.spawn("sheep", x=x, y=0) for x in range(5)]
        wolf = sim.spawn("wolf", x=20, y=0)
        until = time.monotonic() + 20.0
        while not (sim.stats().requests.answered and sim.stats().requests.failed):
            assert time.monotonic() < until, sim.stats()
            sim.tick(1 / 60)
            wolf.x = 10.0 * (int(4 * sim.time) % 3)
            shown += [sim.why(agent) for agent in sheep]
            time.sleep(0.005)
        gateway: Any = sim.planner.gateway
        process = psutil.Process(gateway.pid)
        shown += [" ".join(process.cmdline()), repr(gateway), str(gateway.__dict__["_model"]), gateway.describe()]
        shown += [repr(sim.stats()), str(sim.stats()), sim.model_reason, sim.model_tag, repr(sim.planner.raw)]
    exchanges = map(json.loads, files["log_exchanges"].read_text(encoding="utf-8").splitlines())
    assert any("***" in (each["raw"] or "") for each in exchanges), "what the server said is there, but for the key"
    for file in tmp_path.iterdir():
        shown.append(file.read_bytes().decode("latin-1"))
    out, err = capfd.readouterr()
    shown += [out, err, caplog.text]
    secrets = SECRETS if login else (KEY,)
    assert [text for text in shown if any(secret in text for secret in secrets)] == []
    sent = parrot.headers[0]["authorization"]
    assert sent == (f"Basic {LOGIN}" if login else f"Bearer {KEY}")


@pytest.fixture
def meadow_game() -> Domain:
    meadow = Domain("meadow", kinds=["sheep", "wolf"])
    meadow.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    meadow.feature("danger", column="threat_distance", edges=[5, 15], words=["here", "near", "far"])
    meadow.stock("flee", targets=["threat"], kinds=["sheep"], speed=6)
    return meadow


def test_the_doctor_shows_no_key(parrot: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # so no weights are found
    monkeypatch.setenv("OPENAI_BASE_URL", with_login(parrot.url))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_HOST", with_login("http://127.0.0.1:9"))
    said = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "400"})
    assert "OpenAI-compatible server" in said.output and parrot.bodies
    assert told(said.output) == []


@pytest.mark.parametrize("model", ["openai", "ollama"])
def test_what_libraries_log_of_a_request_holds_no_password(
    parrot: StubServer, caplog: pytest.LogCaptureFixture, model: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    spec = ModelSpec(kind=model, name="m", base_url=with_login(parrot.url), api_key=SecretStr(KEY))

    async def ask() -> None:
        await HttpClient(spec).ask("POST", f"{spec.address}/v1/models", b"{}")

    anyio.run(ask, backend_options={"debug": True})
    assert parrot.bodies and caplog.records
    assert [record.getMessage() for record in caplog.records if told(record.getMessage())] == []


@pytest.mark.parametrize("key", ["schlüssel-geheim", "two\nlines-geheim", "nul\x00-geheim"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(SettingsError, match="no HTTP header can") as settings:
        Settings(api_key=SecretStr(key))
    with pytest.raises(ValidationError, match="no HTTP header can") as spec:
        ModelSpec(kind="openai", base_url="http://localhost", api_key=SecretStr(key))
    assert "geheim" not in f"{settings.value} {spec.value} {settings.value!r} {spec.value!r}"


def test_the_end_of_a_line_is_no_part_of_a_key() -> None:
    spec = ModelSpec(kind="openai", base_url="http://localhost", api_key=SecretStr(f" {KEY}\r\n"))
    assert spec.api_key is not None and spec.api_key.get_secret_value() == KEY


def test_keys_of_servers_that_want_none_are_not_struck_out_of_answers() -> None:
    spec = ModelSpec(kind="openai", base_url="http://localhost", api_key=SecretStr("none"))
    assert spec.hide("nonetheless", least=8) == "nonetheless"
    assert spec.hide("wrong key: none") == "wrong key: ***"


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_a_redirect_takes_the_key_nowhere(kind: Any, server: StubServer) -> None:
    elsewhere = type(server)()
    try:
        spec = ModelSpec(kind=kind, name="m", base_url=server.url, api_key=SecretStr(KEY))
        for status in (301, 302, 303, 307, 308):
            server.says(b"", status=status, location=f"{elsewhere.url}/v1/models")

            async def ask() -> None:
                await HttpClient(spec).ask("POST", f"{spec.address}/v1/models", b"{}")

            with pytest.raises(ModelError, match=f"http_{status}"):
                anyio.run(ask)
        assert len(server.paths) == 5 and elsewhere.paths == []
    finally:
        elsewhere.close()
