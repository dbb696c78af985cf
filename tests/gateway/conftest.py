"""What the gateway's tests share: a small domain, gateways that are closed for sure, and an HTTP server to ask."""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from astrasim.gateway import Answer, Failure, Gateway, GatewayPolicy, GatewayState, ModelSpec, process
from astrasim.gateway.keeping import Keeping
from astrasim.vocabulary import ActionWords, FeatureWords, Scope, Vocabulary

HERE = Path(__file__).parent
PATIENCE_S = 20.0

MEADOW = Vocabulary(
    domain="meadow",
    ruleset="1",
    kinds=("sheep",),
    features=(
        FeatureWords(name="danger", kinds=("sheep",), words=("a wolf is upon you", "a wolf is near", "no wolf")),
        FeatureWords(name="vigour", kinds=("sheep",), words=("you are tired", "you are rested")),
    ),
    actions=(
        ActionWords(name="flee", kinds=("sheep",), targets=("threat",), seconds=2.0),
        ActionWords(name="rest", kinds=("sheep",), targets=("home", "pasture"), seconds=3.0),
    ),
    targets=("threat", "home", "pasture"),
    min_seconds=0.5,
    max_seconds=30.0,
)


def grazer(persona: str = "") -> Scope:
    return Scope(
        kind="sheep",
        role="grazer",
        persona=persona,
        order="",
        actions=("flee", "rest"),
        domain="meadow",
        ruleset="1",
        model="test",
    )


class Meadow:
    """The domain of these tests: its vocabulary and its scopes, which differ in their persona only."""

    vocabulary = MEADOW
    scope = staticmethod(grazer)


@pytest.fixture(scope="session")
def meadow() -> Meadow:
    return Meadow()


@pytest.fixture(params=["openai", "ollama"])
def kind(request: pytest.FixtureRequest) -> Any:
    """Each wire over which models are asked."""
    return request.param


class SkippingClock:
    """The real clock, which tests may put forward."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead_s

    def skip(self, seconds: float) -> None:
        self._ahead_s += seconds


class Game:
    """A gateway with its clock, and the loop that a game would be."""

    def __init__(
        self, model: ModelSpec, log_exchanges: Path | None = None, keeping: Keeping | None = None, **policy: Any
    ) -> None:
        self.clock = SkippingClock()
        self.gateway = Gateway(
            MEADOW, model, policy=GatewayPolicy(**policy), keeping=keeping, log_exchanges=log_exchanges,
            clock=self.clock,
        )  # fmt: skip
        self.gateway.declare_scope(1, grazer())
        self.results: list[Answer | Failure] = []

    def until(self, condition: Callable[[], object], skip_s: float = 0.0) -> None:
        """Poll until ``condition`` holds; each poll also puts the clock forward by ``skip_s``."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited {PATIENCE_S} s; {self.gateway.describe()}; {self.results}"
            self.results += self.gateway.poll()
            self.clock.skip(skip_s)
            time.sleep(0.002)

    def until_state(self, *states: GatewayState, skip_s: float = 0.0) -> None:
        self.until(lambda: self.gateway.state in states, skip_s)

    def until_sent(self) -> None:
        """Until all that was asked is on its way, and the gateway has had the time to start on it."""
        self.until(lambda: self.gateway._life.link is None or not self.gateway._life.link._outbox)
        time.sleep(0.1)

    def up(self) -> Game:
        self.gateway.start()
        self.until_state(GatewayState.READY)
        return self

    def ask(self, request_id: int, scope_id: int = 1, key: int = 0, deadline_s: float = PATIENCE_S) -> None:
        assert self.gateway.ask(request_id, scope_id, key, deadline_s), self.gateway.describe()

    def result(self, request_id: int) -> Answer | Failure:
        """The result of one request, waiting for it. Each request must have exactly one."""
        self.until(lambda: any(r.request_id == request_id for r in self.results))
        (result,) = (r for r in self.results if r.request_id == request_id)
        return result

    def failure(self, request_id: int) -> Failure:
        result = self.result(request_id)
        assert isinstance(result, Failure), result
        return result

    def answer(self, request_id: int) -> Answer:
        result = self.result(request_id)
        assert isinstance(result, Answer), result
        return result


def with_function(name: str) -> ModelSpec:
    return ModelSpec(kind="function", name=f"minds:{name}")


@pytest.fixture(scope="module")
def play_a_game() -> Iterator[Callable[..., Game]]:
    """Makes games, whose gateways are closed at the end. ``model`` is a spec, or a function's name in minds.py."""
    games: list[Game] = []

    def make(model: ModelSpec | str = "play", **options: Any) -> Game:
        spec = with_function(model) if isinstance(model, str) else model
        games.append(Game(spec, **options))
        return games[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield make
    for game in games:
        game.gateway.close()


@pytest.fixture
def fake_child(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes gateways start fake_child.py with the behaviour given."""

    def behave(behaviour: str) -> None:
        monkeypatch.setattr(process, "command", lambda: [sys.executable, str(HERE / "fake_child.py"), behaviour])

    return behave


class StubServer:
    """An HTTP server whose ``reply`` answers each request: it is called with the handler, the body read already."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.client_gone = threading.Event()
        self.reply: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub.paths.append(self.path)
                stub.headers.append({name.lower(): value for name, value in self.headers.items()})
                stub.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                try:
                    stub.reply(self)
                except OSError:
                    stub.client_gone.set()
                    self.close_connection = True

            do_GET = do_CONNECT = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that leave are what these tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def speaks_tls(self, certificate: Path) -> None:
        """From now on, with the certificate and the key of this file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def says(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer every request with this."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            if "content_length" not in headers and "transfer_encoding" not in headers:
                handler.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.reply = reply

    def answers(self, choose: Callable[[str, Any], tuple[int, object]]) -> None:
        """Answer each request with what ``choose`` makes of its path and its JSON: a status and a body (text, bytes, or
        what becomes JSON)."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            asked = self.bodies[-1]
            status, said = choose(handler.path, json.loads(asked) if asked else None)
            body = said if isinstance(said, bytes) else (said if isinstance(said, str) else json.dumps(said)).encode()
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        self.reply = reply

    def hangs(self) -> None:
        """Answer nothing, and see whether the client closes the connection."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            connection: socket.socket = handler.connection
            readable, _, _ = select.select([connection], [], [], PATIENCE_S)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                self.client_gone.set()
            handler.close_connection = True

        self.reply = reply


    def forget(self) -> None:
        """What it was asked so far."""
        self.bodies.clear()
        self.headers.clear()
        self.paths.clear()
        self.client_gone.clear()


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    yield stub
    stub.close()


@pytest.fixture(scope="module")
def _one_server() -> Iterator[StubServer]:
    stub = StubServer()
    yield stub
    stub.close()


@pytest.fixture
def same_server(_one_server: StubServer) -> StubServer:
    """One server for all tests of a file, for those whose gateway is one, too. It was asked nothing yet."""
    _one_server.forget()
    return _one_server


@pytest.fixture(scope="module")
def _one_game(play_a_game: Callable[..., Game], _one_server: StubServer) -> Game:
    spec = ModelSpec(kind="openai", name="m", base_url=_one_server.url, api_key=SecretStr("sk-0123"))
    return play_a_game(spec, retry_pause_ms=10, rest_after_failures=1000).up()


@pytest.fixture
def same_game(_one_game: Game, same_server: StubServer) -> Game:
    """One game for all tests of a file that do it no harm; the model of its gateway is ``same_server``. It has no
    results yet, and numbers of requests may be used again."""
    _one_game.results.clear()
    return _one_game
