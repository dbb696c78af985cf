"""How models behind HTTP are asked: one exchange at a time, by a client that does not trust the server.

What a server sends is bounded before it is read, in bytes on the wire and after decompression. Redirects are not
followed, what is on this machine is asked without a proxy, and no error repeats the key or the password.

aiohttp, because the gateway shares the cores with the game and an answer comes in dozens of pieces: its parser and its
streams are C, where httpx hands each piece up through five generators, for about twice the CPU time a request.
httpx over aiohttp (httpx-aiohttp) calls a lost connection a time-out. uvloop would save a little more, but cannot be
told to let others go first (``idling.py``). ``python -m astrasim.perf.gateway_load`` measures what a request costs.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
import zlib
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from .models import ModelError
from .spec import ModelSpec, login_secrets

MAX_BODY_BYTES = 512 * 1024
"""Of a body, whole or streamed. A streamed answer of 512 tokens takes about 150 KiB."""
ERROR_CHARS = 300


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
    """The connections to one server, as many as there are requests at a time; kept for 15 s. To be used inside one
    event loop, with which they are closed."""

    def __init__(self, spec: ModelSpec) -> None:
        """
        Raises:
            ModelError: ``no_model``, where proxy or certificates, as the environment has them, cannot be used.
        """
        self._place = str(spec)
        parts = urlsplit(spec.base_url)
        self._proxy = None if is_loopback(spec.base_url) else _proxy(parts.scheme, parts.hostname or "")
        key = spec.api_key.get_secret_value() if spec.api_key else ""
        self._hide = spec.hide
        self._proxy_secrets = sorted(login_secrets(self._proxy or ""), key=len, reverse=True)
        # Bodies are asked for uncompressed: they are small, and decompressing them is work and risk.
        accept = {"Accept": "application/json, text/event-stream", "Accept-Encoding": "identity"}
        self._headers = {**accept, "Content-Type": "application/json"}
        # Not among the session's headers: aiohttp sends those to the proxy too, in the clear, before TLS to the server.
        self._authorization: dict[str, str] = {}
        if spec.login is not None:
            self._authorization["Authorization"] = f"Basic {b64encode(':'.join(spec.login).encode()).decode()}"
        elif key:
            self._authorization["Authorization"] = f"Bearer {key}"
        self._tls = _verifying() if parts.scheme == "https" else True
        self._sessions = self._open()
        self._session: aiohttp.ClientSession | None = None

    async def _open(self) -> AsyncGenerator[aiohttp.ClientSession]:
        """One session, as a generator: event loops end these when they end, and so close the connections."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls, socket_factory=_new_socket),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),  # or each request would carry whatever a server had us keep
            auto_decompress=False,  # it would decompress each piece whole: 64 KiB of gzip can hold 64 MiB
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # each request has one deadline, the game's
            trust_env=False,  # besides proxies it would have .netrc's passwords sent
            proxy=self._proxy,
        ) as session:
            yield session

    async def ask(self, method: str, url: str, content: bytes | None = None) -> bytes:
        """The body of a response with status 200. ``content`` is JSON.

        Raises:
            ModelError: ``unreachable``, ``proxy_refused``, ``connection_lost``, ``too_large`` or ``bad_response`` (a
                compression that cannot be read).
            HttpError: ``http_<status>``.
        """
        if self._session is None:
            self._session = await anext(self._sessions)
        try:
            try:
                response = await self._exchange(self._session, method, url, content)
            except _Stale:
                response = await self._exchange(self._session, method, url, content, may_be_stale=False)
        except aiohttp.ClientHttpProxyError as error:  # whose text holds the proxy's address, password and all
            self.fail("proxy_refused", f"the proxy answered {error.status}")
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, UnicodeError) as error:  # the last: no host's name
            self.fail("unreachable", f"{self._place}: {error}")
        except (aiohttp.ClientError, OSError) as error:
            self.fail("connection_lost", f"{type(error).__name__}: {error}")
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
        for secret in self._proxy_secrets:
            detail = detail.replace(secret, "***")
        return self._hide(detail)[:ERROR_CHARS]

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, url: str, content: bytes | None, may_be_stale: bool = True
    ) -> _Response:
        """What the server answers. Leaving early, by an error or by cancellation, closes the connection.

        Raises:
            _Stale: if ``may_be_stale``, and a connection kept since an earlier request was closed before any answer.
        """
        opened: list[str] = []
        _opened.set(opened)
        try:
            response = await session.request(
                method, url, data=content, headers=self._authorization,
                allow_redirects=False,  # a redirect could take prompt and key to another server
            )  # fmt: skip
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            if may_be_stale and not opened:
                raise _Stale from None
            raise
        try:
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) > MAX_BODY_BYTES:
                self.fail("too_large", f"the server announced {length} bytes; at most {MAX_BODY_BYTES} are read")
            body, received = bytearray(), 0
            decoder = self._decoder(response.headers.get("Content-Encoding", "identity"))
            while piece := await response.content.readany():
                received += len(piece)
                try:
                    body += piece if decoder is None else decoder.decompress(piece, MAX_BODY_BYTES + 1 - len(body))
                except zlib.error as error:
                    self.fail("bad_response", f"the body cannot be decompressed: {error}")
                if max(received, len(body)) > MAX_BODY_BYTES:
                    self.fail("too_large", f"the body has more than the {MAX_BODY_BYTES} bytes that are read")
            return _Response(response.status, bytes(body), seconds_to_wait(response.headers.get("Retry-After", "")))
        finally:
            response.close()  # of one read to its end, the connection was kept already

    def _decoder(self, encoding: str) -> zlib._Decompress | None:
        match encoding.strip().lower():
            case "identity" | "":
                return None
            case "gzip" | "x-gzip" | "deflate":
                return zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: finds out by itself which of them it is
        self.fail("bad_response", f"the body comes in content-encoding {encoding[:40]!r}, which was not asked for")


_opened: ContextVar[list[str]] = ContextVar("_opened")
"""The hosts to which a request had to open a connection, because none was kept. (aiohttp's tracing tells the same, for
a tenth more CPU time a request.)"""


def _new_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, host, _ = address
    _opened.get().append(host)
    return socket.socket(family, kind, protocol)


def _verifying() -> ssl.SSLContext:
    """What believes in the authorities of certifi, or of SSL_CERT_FILE and SSL_CERT_DIR, on every system."""
    from httpx import create_ssl_context

    try:
        context = create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        detail = f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}"
        raise ModelError("no_model", detail) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that environment or system name for such addresses, if any."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if (kind := urlsplit(proxy).scheme) not in ("http", "https"):
        raise ModelError("no_model", f"a {kind} proxy is set: set an HTTP proxy, or add {host} to NO_PROXY")
    return proxy


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
    if (seconds := retry_after.strip()).isdecimal():
        return float(seconds[:9])
    try:
        date = parsedate_to_datetime(retry_after)
        return min(max(0.0, date.timestamp() - time.time()), 1e8)  # a number that the game takes from the gateway
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
