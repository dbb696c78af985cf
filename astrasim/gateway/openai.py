"""A model behind an HTTP server that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, LM Studio, Ollama).

The server is not trusted: what it sends is bounded before it is read, in bytes on the wire and after decompression.
"""

from __future__ import annotations

import ipaddress
import json
import zlib
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from ..prompts import Prompt
from .models import ModelError
from .spec import ModelSpec

MAX_BODY_BYTES = 256 * 1024
ERROR_CHARS = 300
TEMPERATURE = 0.3
CONNECTIONS_A_CLIENT = 16


class OpenAIModel:
    """Asks ``/v1/chat/completions`` for JSON that fits the schema; see ``Model`` for what it is to the gateway."""

    def __init__(self, spec: ModelSpec, max_in_flight: int) -> None:
        self._name = spec.name
        self._place = str(spec)
        self._key = spec.api_key.get_secret_value() if spec.api_key else ""
        self._url = chat_url(spec.base_url)
        # Bodies are asked for uncompressed: they are small, and decompressing them is work and risk.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
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

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> str:
        """The answer's text.

        Raises:
            ModelError: ``unreachable``, ``connection_lost``, ``http_<status>``, ``too_large``, ``bad_response``,
                ``refused`` (by the model) or ``cut_off`` (at ``max_tokens``).
        """
        request = {
            "model": self._name,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "temperature": TEMPERATURE,
            "max_tokens": max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "plan", "strict": True, "schema": schema},
            },
        }
        index = self._busy.index(min(self._busy))
        self._busy[index] += 1
        try:
            status, body = await self._post(self._clients[index], json.dumps(request).encode())
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
            self._fail("unreachable", f"{self._place}: {error}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fail("connection_lost", f"{type(error).__name__}: {error}")
        finally:
            self._busy[index] -= 1
        if status != 200:
            self._fail(f"http_{status}", error_message(body))
        return self._read(body)

    async def _post(self, client: httpx.AsyncClient, request: bytes) -> tuple[int, bytes]:
        """Status and body. Leaving early, by an error or by cancellation, closes the connection."""
        async with client.stream("POST", self._url, content=request) as response:
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

    def _fail(self, reason: str, detail: str) -> NoReturn:
        # Servers like to repeat a wrong key; it must not get into panels and logs.
        detail = detail.replace(self._key, "***") if self._key else detail
        raise ModelError(reason, detail[:ERROR_CHARS])


def chat_url(base_url: str) -> str:
    """Where chat completions are asked for. A base without a path gets ``/v1``; one with a path is taken as it is."""
    base = base_url.rstrip("/")
    return f"{base}/chat/completions" if urlsplit(base).path else f"{base}/v1/chat/completions"


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
