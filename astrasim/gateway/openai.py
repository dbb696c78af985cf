"""A model behind an HTTP server that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, LM Studio, Ollama).

The server is not trusted: what it sends is bounded before it is read, in bytes on the wire and after decompression.

Answers are asked for as streams. A whole answer is read as well, but only a stream lets a server notice that we have
hung up: llama.cpp stops generating a stream within 20 ms of that, and goes on with a whole answer until it is done.
"""

from __future__ import annotations

import ipaddress
import json
import zlib
from typing import Any, NoReturn
from urllib.parse import urlsplit

import anyio
import httpx

from ..prompts import Prompt
from .models import Completion, ModelError
from .spec import ModelSpec

MAX_BODY_BYTES = 512 * 1024
"""Of a body, whole or streamed. A streamed answer of 512 tokens takes about 150 KiB."""
ERROR_CHARS = 300
TEMPERATURE = 0.3
CONNECTIONS_A_CLIENT = 16


class OpenAIModel:
    """Asks ``/v1/chat/completions`` for JSON that fits the schema; see ``Model`` for what it is to the gateway."""

    def __init__(self, spec: ModelSpec, max_in_flight: int) -> None:
        self._name = spec.name
        self._naming = anyio.Lock()
        self._place = str(spec)
        self._key = spec.api_key.get_secret_value() if spec.api_key else ""
        self._url = endpoint(spec.base_url, "chat/completions")
        self._models_url = endpoint(spec.base_url, "models")
        # Bodies are asked for uncompressed: they are small, and decompressing them is work and risk.
        accept = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity"}
        headers = {**accept, "Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        verify = httpx.create_ssl_context() if self._url.startswith("https:") else False  # False: plain HTTP, no TLS
        # One pool of hundreds of connections costs 11 ms of CPU a request (it walks all of them), pools of 16 cost 2.
        self._clients = [
            httpx.AsyncClient(
                headers=headers,
                verify=verify,
                timeout=None,  # each request has one deadline, the game's, kept outside
                follow_redirects=False,  # a redirect could take prompt and key to another server
                trust_env=not _is_loopback(self._url),  # a proxy cannot reach what is on this machine
                limits=httpx.Limits(
                    max_connections=CONNECTIONS_A_CLIENT, max_keepalive_connections=CONNECTIONS_A_CLIENT
                ),
            )
            for _ in range(-(-max_in_flight // CONNECTIONS_A_CLIENT))
        ]
        self._busy = [0] * len(self._clients)

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        """The answer's text.

        Raises:
            ModelError: ``unreachable``, ``connection_lost``, ``http_<status>``, ``too_large``, ``bad_response``,
                ``server_error`` (said in mid-stream), ``refused`` (by the model), ``cut_off`` (at ``max_tokens``) or
                ``no_model`` (no name was given, and the server lists none).
        """
        request = {
            "model": await self._model_name(),
            "stream": True,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "temperature": TEMPERATURE,
            "max_tokens": max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "plan", "strict": True, "schema": schema},
            },
        }
        body = await self._ask("POST", self._url, json.dumps(request).encode())
        is_stream = body.lstrip().startswith((b"data:", b":", b"event:"))
        return Completion(self._read_stream(body) if is_stream else self._read(body))

    async def _model_name(self) -> str:
        """The name given, else the first that the server lists."""
        async with self._naming:
            if not self._name:
                try:
                    self._name = str(json.loads(await self._ask("GET", self._models_url, None))["data"][0]["id"])
                except (ValueError, LookupError, TypeError, RecursionError):
                    self._fail("no_model", f"{self._place} lists no model; name one (ASTRASIM_MODEL_NAME)")
            return self._name

    async def _ask(self, method: str, url: str, request: bytes | None) -> bytes:
        """The body of a response with status 200."""
        index = self._busy.index(min(self._busy))
        self._busy[index] += 1
        try:
            status, body = await self._exchange(self._clients[index], method, url, request)
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            self._fail("unreachable", f"{self._place}: {error}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fail("connection_lost", f"{type(error).__name__}: {error}")
        finally:
            self._busy[index] -= 1
        if status != 200:
            self._fail(f"http_{status}", error_message(body))
        return body

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, url: str, request: bytes | None
    ) -> tuple[int, bytes]:
        """Status and body. Leaving early, by an error or by cancellation, closes the connection."""
        async with client.stream(method, url, content=request) as response:
            length = response.headers.get("content-length", "")
            if length.isdecimal() and int(length) > MAX_BODY_BYTES:
                self._fail("too_large", f"the server announced {length} bytes; at most {MAX_BODY_BYTES} are read")
            body, received = bytearray(), 0
            decoder = self._decoder(response.headers.get("content-encoding", "identity"))
            # Raw, because httpx would decompress each piece whole: 64 KiB of gzip can hold 64 MiB.
            async for piece in response.aiter_raw():
                received += len(piece)
                try:
                    body += piece if decoder is None else decoder.decompress(piece, MAX_BODY_BYTES + 1 - len(body))
                except zlib.error as error:
                    self._fail("bad_response", f"the body cannot be decompressed: {error}")
                if max(received, len(body)) > MAX_BODY_BYTES:
                    self._fail("too_large", f"the body has more than the {MAX_BODY_BYTES} bytes that are read")
            return response.status_code, bytes(body)

    def _decoder(self, encoding: str) -> zlib._Decompress | None:
        match encoding.strip().lower():
            case "identity" | "":
                return None
            case "gzip" | "x-gzip" | "deflate":
                return zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: finds out by itself which of them it is
        self._fail("bad_response", f"the body comes in content-encoding {encoding[:40]!r}, which was not asked for")

    def _read(self, body: bytes) -> str:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._fail("bad_response", f"the body is no JSON: {type(error).__name__}: {error}")
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            finish, content, refusal = choice.get("finish_reason"), message.get("content"), message.get("refusal")
        except (LookupError, TypeError, AttributeError):
            self._fail("bad_response", "the body has no choices[0].message")
        if finish == "length":
            self._fail("cut_off", "the answer reached max_tokens before its end")
        if isinstance(content, str):
            return content
        if isinstance(refusal, str):
            self._fail("refused", refusal)
        self._fail("bad_response", f"choices[0].message.content is {type(content).__name__}, not text")

    def _read_stream(self, body: bytes) -> str:
        """The text of server-sent events: ``data: {...}`` a line, ``data: [DONE]`` last."""
        content, refusal, finish = [], [], None
        for line in body.splitlines():
            data = line[5:].strip() if line.startswith(b"data:") else b""
            if not data or data == b"[DONE]":
                continue
            try:
                chunk = json.loads(data)
            except (ValueError, RecursionError) as error:
                self._fail("bad_response", f"an event of the stream is no JSON: {type(error).__name__}: {error}")
            if not isinstance(chunk, dict):
                self._fail("bad_response", f"an event of the stream is a {type(chunk).__name__}, not an object")
            if "error" in chunk:
                self._fail("server_error", error_message(data))
            choices = chunk.get("choices")
            choice = choices[0] if isinstance(choices, list) and choices else None
            if not isinstance(choice, dict):
                continue  # the last chunk may hold the usage alone
            delta = choice.get("delta")
            if isinstance(delta, dict):
                content.append(delta.get("content") or "")
                refusal.append(delta.get("refusal") or "")
            finish = choice.get("finish_reason") or finish
        if not all(isinstance(text, str) for text in (*content, *refusal)):
            self._fail("bad_response", "a delta of the stream holds content that is no text")
        if finish == "length":
            self._fail("cut_off", "the answer reached max_tokens before its end")
        if finish is None:
            self._fail("connection_lost", "the stream ended before the answer did")
        if not any(content) and any(refusal):
            self._fail("refused", "".join(refusal))
        return "".join(content)

    def _fail(self, reason: str, detail: str) -> NoReturn:
        # Servers like to repeat a wrong key; it must not get into panels and logs.
        detail = detail.replace(self._key, "***") if self._key else detail
        raise ModelError(reason, detail[:ERROR_CHARS])


def endpoint(base_url: str, path: str) -> str:
    """Where ``path`` is asked for. A base without a path gets ``/v1``; one with a path is taken as it is."""
    base = base_url.rstrip("/")
    return f"{base}/{path}" if urlsplit(base).path else f"{base}/v1/{path}"


def error_message(body: bytes) -> str:
    """What a server says is wrong, in the shapes that servers use: ``{"error": {"message": ...}}``, ``{"error":
    ...}``, ``{"message": ...}``, ``{"detail": ...}``, or plain text."""
    text = body[: 8 * ERROR_CHARS].decode("utf-8", "replace")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(text.split())
    if isinstance(said, dict):
        for name in ("error", "message", "detail"):
            value = said.get(name)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, str) and value:
                return " ".join(value.split())
    return " ".join(text.split())


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
