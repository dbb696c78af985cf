"""How models behind HTTP are asked: one exchange at a time, by a client that does not trust the server.

What a server sends is bounded before it is read, in bytes on the wire and after decompression. Redirects are not
followed, what is on this machine is asked without a proxy, and no error repeats the key or the password.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import time
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote, urlsplit

import httpx

from .models import ModelError
from .spec import ModelSpec

MAX_BODY_BYTES = 512 * 1024
"""Of a body, whole or streamed. A streamed answer of 512 tokens takes about 150 KiB."""
ERROR_CHARS = 300
CONNECTIONS_A_CLIENT = 16


class HttpError(ModelError):
    """A server answered with another status than 200; ``reason`` is ``http_<status>``.

    Attributes:
        status: the status.
        body: what came with it, for whoever looks for the cause; unlike ``detail`` it may repeat the key.
    """

    def __init__(self, status: int, detail: str, body: bytes, wait_s: float = 0.0) -> None:
        super().__init__(f"http_{status}", detail, wait_s)
        self.status = status
        self.body = body


class _Response(NamedTuple):
    status: int
    body: bytes
    wait_s: float


class _Stale(Exception):
    """A server ends connections that nobody used for a while; one that it ends just now answers nothing. The request
    may be sent again, once."""


class HttpClient:
    """The connections to one server; at most ``max_in_flight`` requests at a time wait for no other."""

    def __init__(self, spec: ModelSpec, max_in_flight: int) -> None:
        self._place = str(spec)
        key = spec.api_key.get_secret_value() if spec.api_key else ""
        password = urlsplit(spec.base_url).password or ""
        self._secrets = [secret for secret in (key, password, unquote(password)) if secret]
        # Bodies are asked for uncompressed: they are small, and decompressing them is work and risk.
        accept = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity"}
        headers = {**accept, "Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        # False: plain HTTP, no TLS
        verify = httpx.create_ssl_context() if spec.base_url.startswith("https:") else False
        # One pool of hundreds of connections costs 11 ms of CPU a request (it walks all of them), pools of 16 cost 2.
        self._clients = [
            httpx.AsyncClient(
                headers=headers,
                verify=verify,
                timeout=None,  # each request has one deadline, the game's, kept outside
                follow_redirects=False,  # a redirect could take prompt and key to another server
                trust_env=not is_loopback(spec.base_url),  # a proxy cannot reach what is on this machine
                limits=httpx.Limits(
                    max_connections=CONNECTIONS_A_CLIENT, max_keepalive_connections=CONNECTIONS_A_CLIENT
                ),
            )
            for _ in range(-(-max_in_flight // CONNECTIONS_A_CLIENT))
        ]
        self._busy = [0] * len(self._clients)

    async def ask(self, method: str, url: str, request: Mapping[str, Any] | None = None) -> bytes:
        """The body of a response with status 200.

        Raises:
            ModelError: ``unreachable``, ``connection_lost``, ``too_large`` or ``bad_response`` (a compression that
                cannot be read).
            HttpError: ``http_<status>``.
        """
        content = None if request is None else json.dumps(request).encode()
        index = self._busy.index(min(self._busy))
        self._busy[index] += 1
        client = self._clients[index]
        try:
            try:
                response = await self._exchange(client, method, url, content)
            except _Stale:
                response = await self._exchange(client, method, url, content, may_be_stale=False)
        except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            self.fail("unreachable", f"{self._place}: {error}")
        except httpx.HTTPError as error:
            self.fail("connection_lost", f"{type(error).__name__}: {error}")
        finally:
            self._busy[index] -= 1
        status, body, wait_s = response
        if status != 200:
            raise HttpError(status, self.clean(error_message(body)), body, wait_s)
        return body

    def fail(self, reason: str, detail: str, wait_s: float = 0.0) -> NoReturn:
        """Raise a ModelError whose detail is short and holds no secret."""
        raise ModelError(reason, self.clean(detail), wait_s)

    def clean(self, detail: str) -> str:
        """``detail``, short and without the secrets: servers like to repeat a wrong key, and it must not get into
        panels and logs."""
        for secret in self._secrets:
            detail = detail.replace(secret, "***")
        return detail[:ERROR_CHARS]

    async def _exchange(
        self, client: httpx.AsyncClient, method: str, url: str, content: bytes | None, may_be_stale: bool = True
    ) -> _Response:
        """What the server answers. Leaving early, by an error or by cancellation, closes the connection.

        Raises:
            _Stale: if ``may_be_stale``, and a connection kept since an earlier request was closed before any answer.
        """
        kept = may_be_stale

        async def trace(event: str, info: object) -> None:
            nonlocal kept
            kept = kept and not event.startswith("connection.connect")

        request = client.build_request(method, url, content=content, extensions={"trace": trace})
        try:
            response = await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if kept:
                raise _Stale from None
            raise
        async with contextlib.aclosing(response):
            client.cookies.clear()  # or each request would carry whatever a server had us keep
            length = response.headers.get("content-length", "")
            if length.isdecimal() and int(length) > MAX_BODY_BYTES:
                self.fail("too_large", f"the server announced {length} bytes; at most {MAX_BODY_BYTES} are read")
            body, received = bytearray(), 0
            decoder = self._decoder(response.headers.get("content-encoding", "identity"))
            # Raw, because httpx would decompress each piece whole: 64 KiB of gzip can hold 64 MiB.
            async for piece in response.aiter_raw():
                received += len(piece)
                try:
                    body += piece if decoder is None else decoder.decompress(piece, MAX_BODY_BYTES + 1 - len(body))
                except zlib.error as error:
                    self.fail("bad_response", f"the body cannot be decompressed: {error}")
                if max(received, len(body)) > MAX_BODY_BYTES:
                    self.fail("too_large", f"the body has more than the {MAX_BODY_BYTES} bytes that are read")
            wait_s = seconds_to_wait(response.headers.get("retry-after", ""))
            return _Response(response.status_code, bytes(body), wait_s)

    def _decoder(self, encoding: str) -> zlib._Decompress | None:
        match encoding.strip().lower():
            case "identity" | "":
                return None
            case "gzip" | "x-gzip" | "deflate":
                return zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: finds out by itself which of them it is
        self.fail("bad_response", f"the body comes in content-encoding {encoding[:40]!r}, which was not asked for")


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


def seconds_to_wait(retry_after: str) -> float:
    """What a ``Retry-After`` header asks for, in seconds (RFC 9110, 10.2.3: seconds, or a date); 0 for what is neither,
    or past."""
    if retry_after.strip().isdecimal():
        return float(retry_after[:9])
    try:
        date = parsedate_to_datetime(retry_after)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def measured(value: object, scale: float = 1.0) -> float:
    """A count or a time that a server gives, times ``scale``; 0 for what is no sensible number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        return 0.0
    return min(value * scale, 1e8)


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
