"""Where Ollama is, and whether it is there. Nothing here needs more than the standard library or an event loop."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import re
import threading
import time
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

DEFAULT_PORT = 11434
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_LIST_BYTES = 512 * 1024
_SPACE = " \t\n\v\f\r\x85\xa0"  # what Go's strings.TrimSpace takes off, of Latin-1


def ollama_url(text: str) -> str:
    """The address that ``text``, the value of OLLAMA_HOST, means to a client: as Ollama itself reads it.

    The scheme may be left out (``http``), the port (11434; 80 or 443 if a scheme is given), or the host (this machine);
    a path stays; a port that is none becomes the default; an address to listen on everywhere (``0.0.0.0``, ``[::]``)
    leads to this machine. Never raises: what is no host name becomes an address where nobody answers. Only schemes that
    are neither ``http`` nor ``https`` differ from Ollama, which keeps them and then cannot connect: they become
    ``http``.
    """
    text = text.strip(_SPACE).strip("\"'").strip(_SPACE)
    scheme, separator, rest = text.partition("://")
    port = DEFAULT_PORT
    if not separator:
        scheme, rest = "http", text
        if text == "ollama.com":
            scheme, port = "https", 443
    else:
        port = _DEFAULT_PORTS.get(scheme, DEFAULT_PORT)  # "HTTP" is no default of Ollama's either
        scheme = scheme.lower() if scheme.lower() in _DEFAULT_PORTS else "http"
    place, _, path = rest.partition("/")
    host, given = _split_host_port(place)
    if given is not None and re.fullmatch(r"[+-]?[0-9]{1,20}", given) and 0 <= int(given) <= 65535:
        port = int(given)
    path = quote(path.strip("/"), safe="/:@!$&'()*+,;=~", errors="replace")
    return f"{scheme}://{_for_client(host)}:{port}" + (f"/{path}" if path else "")


def _split_host_port(place: str) -> tuple[str, str | None]:
    """As Go's net.SplitHostPort, and what Ollama makes of its errors: (host, None)."""
    head, colon, port = place.rpartition(":")
    if place.startswith("["):
        inside, bracket, behind = place[1:].partition("]")
        if bracket and behind == ":" + port and not {"[", "]"} & set(inside + port):
            return inside, port
    elif colon and not {":", "[", "]"} & set(head) and not {"[", "]"} & set(port):
        return head, port
    return place.strip("[]") if _address(place.strip("[]")) else place, None


def _for_client(host: str) -> str:
    """``host`` as it stands in a URL, for someone who wants to connect to it."""
    address = _address(host)
    if not host or (address is not None and address.is_unspecified):
        return "[::1]" if address is not None and address.version == 6 else "127.0.0.1"
    if address is None:
        return _quoted(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped) if mapped else f"[{address}]" if address.version == 6 else str(address)


def _quoted(host: str) -> str:
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = host
    return quote(ascii_host, safe="", errors="replace")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in host else ipaddress.ip_address(host)
    except ValueError:
        return None


def model_names(body: bytes) -> list[str]:
    """The models that the answer of ``/api/tags`` or ``/api/ps`` lists and that can chat, in its order.

    Raises:
        ValueError: if it is no such answer.
    """
    try:
        listed = json.loads(body)["models"] or []
        found = [(str(each.get("name") or each["model"]), each.get("details") or {}) for each in listed]
        return [name for name, details in found if not _only_embeds(name, str(details.get("family")))]
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"this is no list of models: {type(error).__name__}: {error}") from None


def _only_embeds(name: str, family: str) -> bool:
    # Nothing in the list says it outright; the server refuses to chat with these ("does not support chat").
    return "bert" in family.lower() or "embed" in name.lower()


def probe_ollama(base_url: str, timeout_s: float = 0.3) -> list[str] | None:
    """The names of the models that can chat, of the Ollama at ``base_url``; None if none answers in time.

    It is asked directly, whatever proxies are set. Takes ``timeout_s`` seconds at most, in all: a thread asks, because
    looking up a name can take longer than any timeout allows.
    """
    found: list[list[str]] = []

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):  # nobody there, or somebody else
            found.append(model_names(_list_of_models(base_url, timeout_s)))

    thread = threading.Thread(target=ask, name="astrasim-probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else None


def _list_of_models(base_url: str, timeout_s: float) -> bytes:
    until = time.monotonic() + timeout_s
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if parts.username or parts.password:
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/tags", headers=headers)
        response = connection.getresponse()
        body = b""
        while response.status == 200 and (piece := response.read1(64 * 1024)):
            body += piece
            if len(body) > _MAX_LIST_BYTES or time.monotonic() > until:
                return b""
        return body
    finally:
        connection.close()
