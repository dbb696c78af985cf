"""What the stub sends, and when: answers at their pace, in the shapes of both wires."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

MODEL = "stub"

_PIECES = 8  # of a streamed answer. A model sends one a token, which would cost the machine under test much CPU
CHARACTERS_PER_TOKEN = 4


class Statistics:
    """What became of the requests since the start. `in_flight` is how many answers are due at this moment."""

    def __init__(self) -> None:
        self.requests: collections.Counter[str] = collections.Counter()  # by route
        self.answered = self.refused = self.cancelled = self.in_flight = 0
        self.faulty = 0  # met the fault that was switched on


class Refusal(Exception):
    """A request that the stub answers at once with an HTTP error. The message says what to send instead."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


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
        loop = asyncio.get_running_loop()
        start, last = loop.time(), len(self._chunks) - 1
        complete = False
        self._statistics.in_flight += 1
        left = loop.create_task(client_left(receive))
        try:
            for index, chunk in enumerate(self._chunks):
                share = 0.5 + 0.5 * index / last if last else 1.0
                if (await asyncio.wait([left], timeout=max(0.0, start + self._latency_s * share - loop.time())))[0]:
                    return
                if index == 0:
                    await send({"type": "http.response.start", "status": 200, "headers": self._headers})
                await send({"type": "http.response.body", "body": chunk, "more_body": index < last})
            complete = True
        finally:
            left.cancel()
            self._statistics.in_flight -= 1
            self._statistics.answered += complete
            self._statistics.cancelled += not complete


async def client_left(receive: Receive) -> None:
    """Ends when the client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def openai_error(refusal: Refusal) -> dict[str, Any]:
    code = "model_not_found" if refusal.status == 404 else None
    return {"error": {"message": str(refusal), "type": "invalid_request_error", "param": None, "code": code}}


def ollama_error(refusal: Refusal) -> dict[str, Any]:
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


def openai_whole(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    return {**_openai_head(answer, "chat.completion"), "choices": [choice], "usage": _openai_usage(answer)}


def openai_chunks(answer: Answer, with_usage: bool) -> list[str]:
    head = _openai_head(answer, "chat.completion.chunk")
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in answer.pieces())]
    finished: list[tuple[dict[str, str], str | None]] = [(delta, None) for delta in deltas] + [({}, answer.finish)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in finished
    ]
    if with_usage:
        chunks.append({"choices": [], "usage": _openai_usage(answer)})
    told = json.dumps(head)[:-1]  # encoded once, and joined with what differs
    return [*(f"data: {told}, {json.dumps(chunk)[1:]}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


def ollama_line(answer: Answer, text: str, *, last: bool = False) -> str:
    line = {"model": MODEL, "created_at": now(), "message": {"role": "assistant", "content": text}, "done": last}
    if last:
        total_ns = int(answer.latency_s * 1e9)
        load_ns, prompt_ns = total_ns // 10, total_ns * 4 // 10
        line |= {"done_reason": answer.finish, "total_duration": total_ns, "load_duration": load_ns}
        line |= {"prompt_eval_count": answer.prompt_tokens, "prompt_eval_duration": prompt_ns}
        line |= {"eval_count": answer.tokens, "eval_duration": total_ns - load_ns - prompt_ns}
    return json.dumps(line) + "\n"


def ollama_loaded() -> str:
    message = {"role": "assistant", "content": ""}
    line = {"model": MODEL, "created_at": now(), "message": message, "done_reason": "load", "done": True}
    return json.dumps(line) + "\n"


def ollama_model() -> dict[str, Any]:
    name = f"{MODEL}:latest"
    details = {"parent_model": "", "format": MODEL, "family": MODEL, "families": [MODEL]}
    details |= {"parameter_size": "0", "quantization_level": ""}
    return {"name": name, "model": name, "size": 0, "digest": "0" * 64, "details": details}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
