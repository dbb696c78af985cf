"""The faults of a model server, on demand: what the stub does wrong while one is switched on, one entry a fault.

Each enters by the door of the real thing: as a status, as another text of the answer, or as bytes on the connection.
Only what asks for an answer meets it. ``FAULTS`` says under which reason the game must count it (two where the wires
name it differently).
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .stub_wires import Refusal, client_left

TRANSPORT = "astrasim.transport"
"""In an ASGI scope: the connection, for what cannot be said in HTTP."""
ELSEWHERE = "/elsewhere"
"""Where the redirect leads. Nobody should ever ask there."""
_HUGE_BYTES = 50_000_000
_PIECE = b" " * 65_536
_STEPS = 1000
_NESTED = 30_000


@dataclass(frozen=True)
class StubFault:
    """One thing that can be wrong with a server: a status, a text made of the answer's, or a reply of its own."""

    about: str
    reasons: tuple[str, ...]
    """Under which of these the game must count it; none for what it should get over without losing a plan."""
    refusal: Refusal | None = None
    text: Callable[[str], str] | None = None
    reply: ASGIApp | None = None
    share: float = 1.0
    """Of the requests that meet it."""
    listens: bool = True


# The connection


async def _reset(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, "application/json", 1000)
    await send({"type": "http.response.body", "body": b'{"choices": [', "more_body": True})
    transport = scope[TRANSPORT]
    # With a linger of 0 s, closing sends a reset instead of an orderly end.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _hang(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drip(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, "text/event-stream")
    left = asyncio.ensure_future(client_left(receive))
    while not (await asyncio.wait([left], timeout=1.0))[0]:
        await send({"type": "http.response.body", "body": b":", "more_body": True})


async def _error_mid_stream(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].startswith("/api/"):
        kind, begin = "application/x-ndjson", {"message": {"role": "assistant", "content": '{"st'}, "done": False}
        lines = [json.dumps(said) + "\n" for said in (begin, {"error": "an error was encountered while running"})]
    else:
        delta = {"choices": [{"index": 0, "delta": {"content": '{"st'}, "finish_reason": None}]}
        kind, error = "text/event-stream", {"error": {"message": "the runner stopped", "type": "server_error"}}
        lines = [f"data: {json.dumps(said)}\n\n" for said in (delta, error)]
    await Response("".join(lines), media_type=kind)(scope, receive, send)


def _huge(announced: bool) -> ASGIApp:
    async def reply(scope: Scope, receive: Receive, send: Send) -> None:
        await _start(send, "application/json", _HUGE_BYTES if announced else None)
        for sent in range(0, _HUGE_BYTES, len(_PIECE)):
            await send({"type": "http.response.body", "body": _PIECE[: _HUGE_BYTES - sent], "more_body": True})
            if scope[TRANSPORT].is_closing():
                return
        await send({"type": "http.response.body", "body": b""})

    return reply


async def _gzip_bomb(scope: Scope, receive: Receive, send: Send) -> None:
    await _body(_bomb(), **{"content-encoding": "gzip"})(scope, receive, send)


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_HUGE_BYTES), 1)


async def _start(send: Send, media_type: str, length: int | None = None) -> None:
    headers = [(b"content-type", media_type.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _body(body: bytes | str, media_type: str = "application/json", **headers: str) -> ASGIApp:
    return Response(body, media_type=media_type, headers=headers)


# The answer's text, made of a legal one: {"steps": [{"action": ..., "target": ..., "seconds": ...}, ...]}


def _first(text: str) -> dict[str, Any]:
    step: dict[str, Any] = json.loads(text)["steps"][0]
    return step


def _steps(*steps: object) -> str:
    return json.dumps({"steps": steps}, separators=(",", ":"))


def _with(**changes: object) -> Callable[[str], str]:
    return lambda text: _steps(_first(text) | changes)


def _two_objects(text: str) -> str:
    step = _first(text)
    return f"{_steps(step)}\n{_steps(step, step)}"


def _overloaded(share: float) -> StubFault:
    refusal = Refusal(500, "out of memory")
    return StubFault(f"{share:.0%} of the requests fail, by chance", ("http_500",), refusal=refusal, share=share)


_LOGIN = "<!doctype html><title>Welcome</title><p>Please log in to use this network."
_FLAT = {"error": "the model runner has stopped"}
_NESTED_ERROR = {"error": {"message": "the model runner has stopped", "type": "server_error", "code": None}}

FAULTS: dict[str, StubFault] = {
    "refused": StubFault("connections are refused", ("unreachable", "connection_lost"), listens=False),
    "reset": StubFault("the connection is reset in the middle of an answer", ("connection_lost",), reply=_reset),
    "hang": StubFault("nothing comes", ("deadline",), reply=_hang),
    "drip": StubFault("an answer comes at a byte a second", ("deadline",), reply=_drip),
    "404": StubFault("model not found", ("http_404", "no_model"), refusal=Refusal(404, "model 'stub' not found")),
    "429": StubFault("too many requests", ("http_429",), refusal=Refusal(429, "too many requests")),
    "429-wait": StubFault(
        "too many requests, with Retry-After: 1", ("http_429",), refusal=Refusal(429, "too many", {"Retry-After": "1"})
    ),
    "500": StubFault("internal error", ("http_500",), refusal=Refusal(500, "internal server error")),
    "503-full": StubFault("its queue is full", ("http_503", "server_busy"), refusal=Refusal(503, "queue full")),
    "503-loading": StubFault("it loads the model", ("http_503", "server_busy"), refusal=Refusal(503, "Loading model")),
    "error-in-stream": StubFault("an error in mid-stream, under 200", ("server_error",), reply=_error_mid_stream),
    "error-nested": StubFault(
        "an error for an answer, under 200, as an object", ("server_error",), reply=_body(json.dumps(_NESTED_ERROR))
    ),
    "error-flat": StubFault(
        "an error for an answer, under 200, as a text", ("server_error",), reply=_body(json.dumps(_FLAT))
    ),
    "truncated": StubFault("the plan breaks off", ("cut_off",), text=lambda text: text[: len(text) // 2]),
    "prose": StubFault("prose for a plan", ("not_json",), text=lambda _: "I would run, for the enemy is near."),
    "fences": StubFault("a plan in fences and prose", (), text=lambda text: f"Here it is:\n```json\n{text}\n```\nOK?"),
    "two-objects": StubFault("two different plans", ("ambiguous",), text=_two_objects),
    "wrong-types": StubFault("a number for the steps", ("wrong_shape",), text=lambda _: '{"steps":7}'),
    "unknown-action": StubFault("an action that is none", ("unknown_action",), text=_with(action="sing")),
    "unknown-target": StubFault("a target that is none", ("unknown_target",), text=_with(target="the_moon")),
    "1000-steps": StubFault("1,000 steps", ("wrong_length",), text=lambda text: _steps(*[_first(text)] * _STEPS)),
    "nan": StubFault("a step of NaN seconds", ("bad_duration",), text=_with(seconds=float("nan"))),
    "1e308": StubFault("a step of 1e308 seconds", ("bad_duration",), text=_with(seconds=1e308)),
    "50-mb": StubFault("50 MB, announced", ("too_large",), reply=_huge(announced=True)),
    "50-mb-stream": StubFault("50 MB, not announced", ("too_large",), reply=_huge(announced=False)),
    "deep-plan": StubFault("a plan nested 30,000 deep", ("wrong_shape",), text=lambda _: "[" * _NESTED),
    "deep-body": StubFault("a body nested 30,000 deep", ("bad_response",), reply=_body("[" * _NESTED)),
    "invalid-utf-8": StubFault(
        "bytes that are no text", ("bad_response",), reply=_body(b'{"message": {"content": "\xff\xfe\xc3"}}')
    ),
    "gzip-bomb": StubFault("50 kB of gzip that hold 50 MB", ("too_large",), reply=_gzip_bomb),
    "redirect": StubFault("a redirect to elsewhere", ("http_307",), reply=RedirectResponse(ELSEWHERE)),
    "html": StubFault("200 and a page to log in", ("bad_response",), reply=_body(_LOGIN, "text/html")),
    "empty": StubFault("200 and an empty body", ("bad_response", "connection_lost"), reply=_body(b"")),
    "random-10": _overloaded(0.1),
    "random-30": _overloaded(0.3),
    "random-50": _overloaded(0.5),
    "random-70": _overloaded(0.7),
}
