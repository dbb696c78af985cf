"""The stub: a model server without a model, for load and tests. It is never a stand-in for a model's judgement.

    python -m astrasim.perf.stub_server --port 0 --seed 0 --latency-ms 100:500

It speaks both wires on the loopback, the OpenAI-compatible and Ollama's, streamed or whole. A plan is drawn at random,
but legally, from the JSON schema that the request carries; plan and latency are functions of (seed, messages), so a run
can be repeated. ``GET /stats`` says what became of the requests.

One request from end to end: its route counts it, `check` and `draw` make the plan, `Paced` sends it when its time has
come, unless the client has hung up by then.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import hashlib
import json
import math
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import processes

MODEL = "stub"
_LATENCY_MS = (100.0, 500.0)

# ---------------------------------------------------------------------------------------------------------------------
# Plans from a schema


class SchemaError(ValueError):
    """The stub cannot draw from this schema. The message names the place and the keyword."""


_KEYWORDS = {
    "object": {"type", "properties", "required", "additionalProperties"},
    "array": {"type", "items", "minItems", "maxItems"},
    "integer": {"type", "minimum", "maximum"},
    "number": {"type", "minimum", "maximum"},
    "string": {"type"},
    "boolean": {"type"},
}
_ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
_WORDS = ("hold", "on", "here", "they", "come", "stay", "close", "run", "for", "it", "now", "quiet")
_SHORT_PLAN = 4
_MOST_ITEMS = 1000
_ONE_OF_TRIES = 20


def check(schema: Any, where: str = "schema") -> None:
    """Raise SchemaError unless `draw` knows all of `schema`: const, enum, anyOf, oneOf, or a type of `_KEYWORDS`.

    The whole schema is looked at, so that a schema is refused always or never, not by the luck of the draw.
    """
    if not isinstance(schema, dict):
        raise SchemaError(f"{where} is {_short(schema)}; the stub needs an object with 'type', 'const', 'anyOf', ...")
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            _only(schema, {keyword}, where)
            _sized(schema[keyword], keyword, where)
            for index, branch in enumerate(schema[keyword]):
                check(branch, f"{where}.{keyword}[{index}]")
            return
    if "type" in schema and schema["type"] not in list(_KEYWORDS):
        raise SchemaError(f"{where}: 'type' is {_short(schema['type'])}; the stub knows {', '.join(_KEYWORDS)}")
    for keyword in ("const", "enum"):
        if keyword in schema:
            _only(schema, {keyword, "type"}, where)
            if keyword == "enum":
                _sized(schema["enum"], "enum", where)
            if not _options(schema):
                raise SchemaError(f"{where}: '{keyword}' holds no value of the 'type' {_short(schema['type'])}")
            return
    if "type" not in schema:
        raise SchemaError(f"{where}: keywords {sorted(schema)}; the stub needs 'type', const, enum, anyOf or oneOf")
    kind = schema["type"]
    _only(schema, _KEYWORDS[kind], where)
    if kind == "object":
        _check_object(schema, where)
    elif kind == "array":
        least, most = _bounds(schema, "minItems", "maxItems", where)
        if not (0 <= least <= _MOST_ITEMS and isinstance(least + most, int)):
            raise SchemaError(
                f"{where}: 'minItems' {least}, 'maxItems' {most}; need whole numbers, at most {_MOST_ITEMS}"
            )
        check(schema.get("items"), f"{where}.items")
    elif kind in ("integer", "number"):
        low, high = _bounds(schema, "minimum", "maximum", where)
        if kind == "integer" and math.ceil(low) > math.floor(high):
            raise SchemaError(f"{where}: no integer lies between 'minimum' {low} and 'maximum' {high}")


def _check_object(schema: dict[str, Any], where: str) -> None:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise SchemaError(f"{where}: 'properties' must be an object and 'required' an array")
    if not isinstance(schema.get("additionalProperties", False), bool):
        raise SchemaError(f"{where}: 'additionalProperties' must be true or false for the stub")
    for name in required:
        if name not in list(properties):
            raise SchemaError(f"{where}: 'required' names {_short(name)}, which 'properties' does not describe")
    for name, inner in properties.items():
        check(inner, f"{where}.{name}")


def _only(schema: dict[str, Any], known: set[str], where: str) -> None:
    for keyword in schema:
        if keyword not in known and keyword not in _ANNOTATIONS:
            raise SchemaError(f"{where}: the stub does not know the keyword '{keyword}' here, only {sorted(known)}")


def _sized(value: Any, keyword: str, where: str) -> None:
    if not isinstance(value, list) or not value:
        raise SchemaError(f"{where}: '{keyword}' is {_short(value)}; it must be an array that is not empty")


def _bounds(schema: dict[str, Any], lower: str, upper: str, where: str) -> tuple[Any, Any]:
    """Both bounds of a range. Where left out: numbers span 10 beside the other bound, arrays 0 to a short plan."""
    spread = _SHORT_PLAN if lower == "minItems" else 10
    for keyword in (lower, upper):
        value = schema.get(keyword, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
            raise SchemaError(f"{where}: '{keyword}' is {_short(value)}; it must be a number within 1e300 of 0")
    low = schema.get(lower, 0 if lower == "minItems" else min(0, schema.get(upper, spread) - spread))
    high = schema.get(upper, low + spread)
    if low > high:
        raise SchemaError(f"{where}: '{lower}' {low} is above '{upper}' {high}")
    return low, high


def _options(schema: dict[str, Any]) -> list[Any]:
    options = [schema["const"]] if "const" in schema else schema["enum"]
    return [option for option in options if "type" not in schema or _has_type(option, schema["type"])]


def _short(value: Any) -> str:
    return json.dumps(value)[:80]


def draw(schema: dict[str, Any], rng: random.Random) -> Any:
    """A random JSON value that obeys `schema`, which `check` has passed. Arrays favour 1 to 4 items, as plans do.

    Raises:
        SchemaError: values of one branch of a oneOf keep obeying another one too.
    """
    if "const" in schema or "enum" in schema:
        return rng.choice(_options(schema))
    if "anyOf" in schema:
        return draw(rng.choice(schema["anyOf"]), rng)
    if "oneOf" in schema:
        for _ in range(_ONE_OF_TRIES):
            value = draw(rng.choice(schema["oneOf"]), rng)
            if _obeys(value, schema):
                return value
        raise SchemaError(f"in {_ONE_OF_TRIES} tries no value obeyed exactly one branch of 'oneOf'; use 'anyOf'")
    kind = schema["type"]
    if kind == "object":
        required = schema.get("required", [])
        properties = schema.get("properties", {}).items()
        return {name: draw(inner, rng) for name, inner in properties if name in required or rng.random() < 0.5}
    if kind == "array":
        least, most = _bounds(schema, "minItems", "maxItems", "")
        low, high = max(least, 1), min(most, _SHORT_PLAN)
        if low > high or rng.random() < 0.1:
            low, high = least, min(most, _MOST_ITEMS)
        return [draw(schema["items"], rng) for _ in range(rng.randint(low, high))]
    if kind == "string":
        return " ".join(rng.choices(_WORDS, k=rng.randint(1, 5)))
    if kind == "boolean":
        return rng.random() < 0.5
    low, high = _bounds(schema, "minimum", "maximum", "")
    if kind == "integer":
        return rng.randint(math.ceil(low), math.floor(high))
    share = rng.random()
    # Weighed, because high - low can overflow; rounded, as a model would write it.
    return min(max(round(low * (1 - share) + high * share, 2), low), high)


def _obeys(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` obeys `schema`, which `check` has passed. Only oneOf needs to know."""
    if "const" in schema or "enum" in schema:
        return any(_plain(value) == _plain(option) for option in _options(schema))
    if "anyOf" in schema:
        return any(_obeys(value, branch) for branch in schema["anyOf"])
    if "oneOf" in schema:
        return sum(_obeys(value, branch) for branch in schema["oneOf"]) == 1
    if not _has_type(value, schema["type"]):
        return False
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= set(value) and all(
            _obeys(inner, properties[name]) if name in properties else others for name, inner in value.items()
        )
    if isinstance(value, list):
        fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
        return fits and all(_obeys(item, schema["items"]) for item in value)
    if schema["type"] in ("integer", "number"):
        return bool(schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf))
    return True


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == value // 1)
    return isinstance(value, {"object": dict, "array": list, "string": str}.get(kind, ()))


def _plain(value: Any) -> str:
    """Equal for values that JSON holds equal: 1 and 1.0 are, 1 and true are not, the order of properties is nothing."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


# ---------------------------------------------------------------------------------------------------------------------
# Answers, at their pace

_PIECES = 8  # of a streamed answer. A model sends one a token, which would cost the machine under test much CPU
_CHARACTERS_PER_TOKEN = 4


class Statistics:
    """What became of the requests since the start. `in_flight` is how many answers are due at this moment."""

    def __init__(self) -> None:
        self.requests: collections.Counter[str] = collections.Counter()  # by route
        self.answered = self.refused = self.cancelled = self.in_flight = 0


class Refusal(Exception):
    """A request that the stub answers at once with an HTTP error. The message says what to send instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Answer(NamedTuple):
    """A drawn plan as text, and what a real server would report with it."""

    text: str
    finish: str  # "stop", or "length" if the request's token limit cut it
    prompt_tokens: int
    tokens: int
    latency_s: float

    def pieces(self) -> list[str]:
        """The text in at most `_PIECES` parts."""
        size = max(1, math.ceil(len(self.text) / _PIECES))
        return [self.text[start : start + size] for start in range(0, len(self.text), size)]


class Paced:
    """An ASGI response whose chunks leave one by one, the first after half the latency and the last after all of it.

    Unlike Starlette's own responses it notices at once, while it waits, that the client has hung up, and stops.
    """

    def __init__(self, statistics: Statistics, latency_s: float, media_type: str, chunks: Sequence[str]) -> None:
        self._statistics = statistics
        self._latency_s = latency_s
        self._headers = [(b"content-type", media_type.encode())]
        self._chunks = [chunk.encode() for chunk in chunks]
        if len(chunks) == 1:
            self._headers.append((b"content-length", str(len(self._chunks[0])).encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start, last = asyncio.get_running_loop().time(), len(self._chunks) - 1
        complete = False
        self._statistics.in_flight += 1
        try:
            for index, chunk in enumerate(self._chunks):
                share = 0.5 + 0.5 * index / last if last else 1.0
                if await _client_left(receive, start + self._latency_s * share):
                    return
                if index == 0:
                    await send({"type": "http.response.start", "status": 200, "headers": self._headers})
                await send({"type": "http.response.body", "body": chunk, "more_body": index < last})
            complete = True
        finally:
            self._statistics.in_flight -= 1
            self._statistics.answered += complete
            self._statistics.cancelled += not complete


async def _client_left(receive: Receive, until: float) -> bool:
    """Wait for the loop time `until`; True, and at once, if the client hangs up before."""
    try:
        async with asyncio.timeout_at(until):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------------------
# The two wires


class Stub:
    """The stub as Starlette endpoints. Equal `seed`, messages and schema give equal answers after equal latencies."""

    def __init__(self, seed: int, latency_ms: tuple[float, float]) -> None:
        self._seed = seed
        self._latency_ms = latency_ms
        self.statistics = Statistics()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                self._route("GET", "/v1/models", self._openai_models, _openai_error),
                self._route("POST", "/v1/chat/completions", self._openai_chat, _openai_error),
                self._route("GET", "/api/tags", self._ollama_tags, _ollama_error),
                self._route("GET", "/api/version", self._ollama_version, _ollama_error),
                self._route("POST", "/api/chat", self._ollama_chat, _ollama_error),
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
                return await endpoint(request)
            except Refusal as refusal:
                self.statistics.refused += 1
                return JSONResponse(error(refusal), status_code=refusal.status)

        return Route(path, counted, methods=[method])

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
            return Paced(self.statistics, answer.latency_s, "application/json", [json.dumps(_openai_whole(answer))])
        with_usage = bool(_inner(body, "stream_options").get("include_usage"))
        return Paced(self.statistics, answer.latency_s, "text/event-stream", _openai_chunks(answer, with_usage))

    async def _ollama_tags(self, request: Request) -> JSONResponse:
        name = f"{MODEL}:latest"
        details = {"parent_model": "", "format": MODEL, "family": MODEL, "families": [MODEL]}
        details |= {"parameter_size": "0", "quantization_level": ""}
        model = {"name": name, "model": name, "modified_at": _now(), "size": 0, "digest": "0" * 64, "details": details}
        return JSONResponse({"models": [model]})

    async def _ollama_version(self, request: Request) -> JSONResponse:
        return JSONResponse({"version": f"0.0.0-{MODEL}"})

    async def _ollama_chat(self, request: Request) -> Paced:
        body = await _body(request, "model '{}' not found")
        answer = self._answer(body, body.get("format"), "format", _inner(body, "options").get("num_predict"))
        if not body.get("stream", True):  # Ollama streams unless told not to
            lines = [_ollama_line(answer, answer.text, last=True)]
            return Paced(self.statistics, answer.latency_s, "application/json", lines)
        lines = [_ollama_line(answer, piece) for piece in answer.pieces()] + [_ollama_line(answer, "", last=True)]
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
        tokens = math.ceil(len(text) / _CHARACTERS_PER_TOKEN)
        cut = isinstance(token_limit, int) and 0 < token_limit < tokens
        return Answer(
            text=text[: token_limit * _CHARACTERS_PER_TOKEN] if cut else text,
            finish="length" if cut else "stop",
            prompt_tokens=math.ceil(len(prompt) / _CHARACTERS_PER_TOKEN),
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


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _inner(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _openai_error(refusal: Refusal) -> dict[str, Any]:
    code = "model_not_found" if refusal.status == 404 else None
    return {"error": {"message": str(refusal), "type": "invalid_request_error", "param": None, "code": code}}


def _ollama_error(refusal: Refusal) -> dict[str, Any]:
    return {"error": str(refusal)}


def _openai_head(answer: Answer, kind: str) -> dict[str, Any]:
    name = hashlib.sha256(answer.text.encode()).hexdigest()[:24]
    created = int(datetime.now(UTC).timestamp())
    return {
        "id": f"chatcmpl-{MODEL}-{name}",
        "object": kind,
        "created": created,
        "model": MODEL,
        "system_fingerprint": MODEL,
    }


def _openai_usage(answer: Answer) -> dict[str, int]:
    total = answer.prompt_tokens + answer.tokens
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.tokens, "total_tokens": total}


def _openai_whole(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    return {**_openai_head(answer, "chat.completion"), "choices": [choice], "usage": _openai_usage(answer)}


def _openai_chunks(answer: Answer, with_usage: bool) -> list[str]:
    head = _openai_head(answer, "chat.completion.chunk")
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in answer.pieces())]
    finished: list[tuple[dict[str, str], str | None]] = [(delta, None) for delta in deltas] + [({}, answer.finish)]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in finished]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": _openai_usage(answer)})
    return [*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


def _ollama_line(answer: Answer, text: str, *, last: bool = False) -> str:
    line = {"model": MODEL, "created_at": _now(), "message": {"role": "assistant", "content": text}, "done": last}
    if last:
        total_ns = int(answer.latency_s * 1e9)
        load_ns, prompt_ns = total_ns // 10, total_ns * 4 // 10
        line |= {"done_reason": answer.finish, "total_duration": total_ns, "load_duration": load_ns}
        line |= {"prompt_eval_count": answer.prompt_tokens, "prompt_eval_duration": prompt_ns}
        line |= {"eval_count": answer.tokens, "eval_duration": total_ns - load_ns - prompt_ns}
    return json.dumps(line) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


# ---------------------------------------------------------------------------------------------------------------------
# The process


@contextmanager
def stub_server(seed: int = 0, latency_ms: tuple[float, float] = _LATENCY_MS) -> Iterator[str]:
    """A stub in a process of its own for the length of the block. Yields its base URL, without a path.

    Args:
        latency_ms: the least and the most time that an answer takes, in ms.

    Raises:
        ServerStartError: the process did not start; the message holds its stderr.
    """
    low, high = latency_ms
    arguments = ["--seed", str(seed), "--latency-ms", f"{low}:{high}"]
    with processes.server_process("astrasim.perf.stub_server", arguments) as url:
        yield url


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
    if options.exit_with_parent:
        processes.exit_with_parent()
    try:
        listener = _listener(options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"--port {options.port} cannot be had ({error}); take another, or 0 for any free one")
    # Announced before uvicorn runs, but the socket listens already: early clients queue up.
    processes.announce("stub server", f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Stub(options.seed, options.latency_ms).app()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listener(port: int) -> socket.socket:
    """A socket that listens on the loopback, and nowhere else."""
    # The protocol is named because asyncio sets TCP_NODELAY only on such sockets: without it, answers came 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # on Windows the option would let two servers have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


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
