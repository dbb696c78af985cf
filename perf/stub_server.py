"""The stub: a model server without a model, for load and tests. It is never a stand-in for a model's judgement.

    python -m astrasim.perf.stub_server --port 0 --seed 0 --latency-ms 100:500

It speaks both wires on the loopback, the OpenAI-compatible and Ollama's, streamed or whole. A plan is drawn at random,
but legally, from the JSON schema that the request carries; plan and latency are functions of (seed, messages), so a run
can be repeated. ``GET /stats`` says what became of the requests. A line ``fault NAME`` on its stdin, which only its
parent has, switches a fault of ``stub_faults.py`` on, and ``fault none`` off again.

One request from end to end: its route counts it, `check` and `draw` make the plan, `Paced` sends it when its time has
come, unless the client has hung up by then. A fault takes the place of one of these.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import random
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from astrasim.gateway.idling import event_loop

from . import processes
from .stub_door import Door, listen
from .stub_faults import ELSEWHERE, FAULTS, StubFault
from .stub_plans import SchemaError, check, draw
from .stub_wires import (
    CHARACTERS_PER_TOKEN,
    MODEL,
    Answer,
    Paced,
    Refusal,
    Statistics,
    now,
    ollama_error,
    ollama_line,
    ollama_loaded,
    ollama_model,
    openai_chunks,
    openai_error,
    openai_whole,
)

_LATENCY_MS = (100.0, 500.0)


class Stub:
    """The stub as Starlette endpoints. Equal `seed`, messages and schema give equal answers after equal latencies."""

    def __init__(self, seed: int, latency_ms: tuple[float, float]) -> None:
        self._seed = seed
        self._latency_ms = latency_ms
        self._context = 0  # as Ollama has it loaded; 0: not loaded
        self.statistics = Statistics()
        self.fault: StubFault | None = None
        self._chance = random.Random(seed)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                self._route("GET", "/v1/models", self._openai_models, openai_error),
                self._route("POST", "/v1/chat/completions", self._openai_chat, openai_error),
                self._route("GET", "/api/tags", self._ollama_tags, ollama_error),
                self._route("GET", "/api/ps", self._ollama_running, ollama_error),
                self._route("GET", "/api/version", self._ollama_version, ollama_error),
                self._route("POST", "/api/chat", self._ollama_chat, ollama_error),
                self._route("POST", ELSEWHERE, self._ollama_chat, ollama_error),
                Route("/stats", self._stats),  # not counted: looking must not change what is seen
            ]
        )

    def _route(
        self,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[ASGIApp]],
        error: Callable[[Refusal], dict[str, Any]],
    ) -> Route:
        async def counted(request: Request) -> ASGIApp:
            self.statistics.requests[f"{method} {path}"] += 1
            try:
                if (fault := await self._met(request)) is not None:
                    self.statistics.faulty += 1
                    if fault.refusal is not None:
                        raise fault.refusal
                    if fault.reply is not None:
                        return fault.reply
                return await endpoint(request)
            except Refusal as refusal:
                self.statistics.refused += 1
                return JSONResponse(error(refusal), status_code=refusal.status, headers=refusal.headers)

        return Route(path, counted, methods=[method])

    async def _met(self, request: Request) -> StubFault | None:
        """The fault that is on, if this request asks for an answer and, where only a share meets it, by chance."""
        if (fault := self.fault) is None or request.method != "POST":
            return None
        with suppress(ValueError, RecursionError):  # what is no JSON meets it too
            if _only_loads(json.loads(await request.body())):
                return None
        return fault if self._chance.random() < fault.share else None

    async def _stats(self, request: Request) -> JSONResponse:
        return JSONResponse(vars(self.statistics))

    async def _openai_models(self, request: Request) -> JSONResponse:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "astrasim-stub"}
        return JSONResponse({"object": "list", "data": [model]})

    async def _openai_chat(self, request: Request) -> Paced:
        body = await _body(request, "the model '{}' does not exist")
        given = _inner(_inner(body, "response_format"), "json_schema").get("schema")
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        answer = self._answer(
            body, given, "response_format.json_schema.schema, of response_format.type json_schema", limit
        )
        if not body.get("stream", False):
            return Paced(self.statistics, answer.latency_s, "application/json", [json.dumps(openai_whole(answer))])
        with_usage = bool(_inner(body, "stream_options").get("include_usage"))
        return Paced(self.statistics, answer.latency_s, "text/event-stream", openai_chunks(answer, with_usage))

    async def _ollama_tags(self, request: Request) -> JSONResponse:
        return JSONResponse({"models": [{**ollama_model(), "modified_at": now()}]})

    async def _ollama_running(self, request: Request) -> JSONResponse:
        running = {**ollama_model(), "expires_at": now(), "size_vram": 0, "context_length": self._context}
        return JSONResponse({"models": [running] if self._context else []})

    async def _ollama_version(self, request: Request) -> JSONResponse:
        return JSONResponse({"version": f"0.0.0-{MODEL}"})

    async def _ollama_chat(self, request: Request) -> Paced:
        body = await _body(request, "model '{}' not found")
        self._context = _inner(body, "options").get("num_ctx", 4096)
        if _only_loads(body):
            return Paced(self.statistics, 0.0, "application/json", [ollama_loaded()])
        answer = self._answer(body, body.get("format"), "format", _inner(body, "options").get("num_predict"))
        if not body.get("stream", True):  # Ollama streams unless told not to
            lines = [ollama_line(answer, answer.text, last=True)]
            return Paced(self.statistics, answer.latency_s, "application/json", lines)
        lines = [ollama_line(answer, piece) for piece in answer.pieces()] + [ollama_line(answer, "", last=True)]
        return Paced(self.statistics, answer.latency_s, "application/x-ndjson", lines)

    def _answer(self, body: dict[str, Any], schema: Any, schema_field: str, token_limit: Any) -> Answer:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
            raise Refusal(400, "'messages' must be an array of at least one object with 'role' and 'content'")
        if schema is None or isinstance(schema, str):  # Ollama's format "json" names no schema either
            raise Refusal(400, f"the stub cannot plan without a JSON schema; send one as {schema_field}")
        prompt = json.dumps([[message.get("role"), message.get("content")] for message in messages])
        try:
            check(schema)
            text = json.dumps(draw(schema, self._random("plan", prompt)), separators=(",", ":"))
        except SchemaError as error:
            raise Refusal(400, str(error)) from None
        if self.fault is not None and self.fault.text is not None:
            text, token_limit = self.fault.text(text), None
        tokens = math.ceil(len(text) / CHARACTERS_PER_TOKEN)
        cut = isinstance(token_limit, int) and 0 < token_limit < tokens
        return Answer(
            text=text[: token_limit * CHARACTERS_PER_TOKEN] if cut else text,
            finish="length" if cut else "stop",
            prompt_tokens=math.ceil(len(prompt) / CHARACTERS_PER_TOKEN),
            tokens=token_limit if cut else tokens,
            latency_s=self._random("latency", prompt).uniform(*self._latency_ms) / 1e3,
        )

    def _random(self, purpose: str, prompt: str) -> random.Random:
        """A generator for each purpose, so that another schema for the same prompt does not change its latency."""
        digest = hashlib.sha256(f"{purpose} {self._seed} {prompt}".encode()).digest()
        return random.Random(digest)


async def _body(request: Request, no_such_model: str) -> dict[str, Any]:
    try:
        body = json.loads(await request.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the request's body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the request's body must be a JSON object")
    if body.get("model") not in (MODEL, f"{MODEL}:latest"):
        raise Refusal(404, no_such_model.format(body.get("model")) + f" (this is a stub: its only model is '{MODEL}')")
    return body


def _only_loads(body: Any) -> bool:
    """Whether Ollama is to load the model, and is asked nothing: its client has that done beside the requests."""
    return isinstance(body, dict) and body.get("messages") == []


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _inner(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


@contextmanager
def stub_process(
    seed: int = 0, latency_ms: tuple[float, float] = _LATENCY_MS, port: int = 0
) -> Iterator[processes.ServerProcess]:
    """A stub in a process of its own for the length of the block, whose ``tell("fault NAME")`` switches faults.

    Args:
        latency_ms: the least and the most time that an answer takes, in ms.
        port: on the loopback; 0 takes a free one.

    Raises:
        ServerStartError: the process did not start; the message holds its stderr.
    """
    low, high = latency_ms
    arguments = ["--seed", str(seed), "--latency-ms", f"{low}:{high}", "--port", str(port)]
    with processes.server_process("astrasim.perf.stub_server", arguments) as server:
        yield server


@contextmanager
def stub_server(seed: int = 0, latency_ms: tuple[float, float] = _LATENCY_MS) -> Iterator[str]:
    """:func:`stub_process` without faults. Yields its base URL, without a path."""
    with stub_process(seed, latency_ms) as server:
        yield server.url


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.stub_server", description="The stub model server.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal answers (default 0)")
    parser.add_argument(
        "--latency-ms", type=_range, default=_LATENCY_MS, metavar="LOW:HIGH", help="an answer's time (default 100:500)"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin ends")
    options = parser.parse_args(arguments)
    processes.give_way()
    try:
        listener = listen(options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"--port {options.port} cannot be had ({error}); take another, or 0 for any free one")
    # Announced before uvicorn runs, but the socket listens already: early clients queue up.
    processes.announce("stub server", f"http://127.0.0.1:{listener.getsockname()[1]}")
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(_serve(Stub(options.seed, options.latency_ms), listener, options.exit_with_parent))


async def _serve(stub: Stub, listener: socket.socket, has_parent: bool) -> None:
    loop, door = asyncio.get_running_loop(), Door(stub.app(), listener)

    async def switch(name: str) -> None:
        if name != "none" and name not in FAULTS:
            print(f"no fault {name!r}; there are: none, {', '.join(FAULTS)}", flush=True)
            return
        stub.fault = FAULTS.get(name)
        await door.open(stub.fault is None or stub.fault.listens)
        print(f"fault {name}", flush=True)

    def told(line: str) -> None:
        asyncio.run_coroutine_threadsafe(switch(line.removeprefix("fault ")), loop).result()

    if has_parent:
        processes.exit_with_parent(told)
    await door.serve()


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW:HIGH in ms, such as 100:500") from None
    if not 0 <= low <= high <= 600_000:
        raise argparse.ArgumentTypeError(f"{text!r}: need 0 <= LOW <= HIGH <= 600000 (ten minutes)")
    return low, high


if __name__ == "__main__":
    main()
