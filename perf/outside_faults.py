"""The faults that come from outside, to the gateway, its disk, its ports and the model's server, one entry each."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from threading import Event
from urllib.parse import urlsplit

import psutil

from .processes import ServerProcess
from .stub_server import stub_process

EVERY_S = 5.0
"""How often the gateway is killed."""
_LOOK_S = 0.02
_LIES = (b"", b"\0" * 64, b"\xff" * 512, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b'\0\0\0\x12{"secret":"guess"}')


class Stage:
    """The processes of a fault run: the game (with its gateway, whichever that is now) and the model's server."""

    def __init__(self, stack: ExitStack, seed: int, latency_ms: tuple[float, float]) -> None:
        self._stack, self._seed, self._latency_ms = stack, seed, latency_ms
        self.stub = stack.enter_context(stub_process(seed, latency_ms))
        self.game: ServerProcess

    def kill_stub(self) -> None:
        os.kill(self.stub.pid, signal.SIGKILL)

    def bring_stub_back(self) -> None:
        """Another one, at the same address."""
        port = urlsplit(self.stub.url).port or 0
        self.stub = self._stack.enter_context(stub_process(self._seed, self._latency_ms, port))

    def gateway(self) -> psutil.Process | None:
        """None while there is none."""
        with suppress(psutil.Error):
            alive = [p for p in psutil.Process(self.game.pid).children() if p.status() != psutil.STATUS_ZOMBIE]
            return max(alive, key=lambda p: p.create_time(), default=None)
        return None

    def signal_gateway(self, number: int) -> None:
        """Without effect where there is none."""
        if (gateway := self.gateway()) is not None:
            with suppress(psutil.Error):
                gateway.send_signal(number)

    def ports(self) -> Iterator[int]:
        """All on which one of these processes listens now."""
        for owner in (psutil.Process(self.game.pid), self.gateway(), psutil.Process(self.stub.pid)):
            if owner is not None:
                with suppress(psutil.Error):
                    yield from (c.laddr.port for c in owner.net_connections("tcp") if c.status == psutil.CONN_LISTEN)


Strike = Callable[[Stage, Event], None]
"""Makes the fault until the event is set, and then ends it."""


@dataclass(frozen=True)
class OutsideFault:
    about: str
    reasons: tuple[str, ...]
    """Under which the requests may be counted that it costs."""
    counted: str
    """Which figure must show it; "": the requests under these reasons."""
    strike: Strike
    seconds: float = 10.0
    """How long it lasts."""
    quick_s: float = 1.0
    flood: bool = False
    possible: bool = True
    """On this system."""


def _kill(stage: Stage, over: Event) -> None:
    while True:
        stage.signal_gateway(signal.SIGKILL)
        if over.wait(EVERY_S):
            return


def _stop(stage: Stage, over: Event) -> None:
    stage.signal_gateway(signal.SIGSTOP)
    over.wait()
    stage.signal_gateway(signal.SIGCONT)


def _break(stage: Stage, over: Event) -> None:
    stage.signal_gateway(signal.SIGUSR1)
    over.wait()


def _kill_server(stage: Stage, over: Event) -> None:
    stage.kill_stub()
    over.wait()
    stage.bring_stub_back()


def _fill_disk(stage: Stage, over: Event) -> None:
    """The gateway may not write to any file, as to one on a full disk."""
    import resource

    gateway = stage.gateway()
    if gateway is None:
        raise ProcessLookupError("there is no gateway whose files could be closed to it")
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    over.wait()
    with suppress(ProcessLookupError):
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _probe(stage: Stage, over: Event) -> None:
    """Knocks at every port and lies; some knock and say nothing. The gateway is ended first, or none would be open."""
    stage.signal_gateway(signal.SIGKILL)
    knocking: list[socket.socket] = []
    while not over.wait(_LOOK_S):
        for port, lie in ((port, lie) for port in stage.ports() for lie in _LIES):
            with suppress(OSError):
                knocking.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
                knocking[-1].sendall(lie)
        while len(knocking) > 4 * len(_LIES):
            knocking.pop(0).close()
    for knock in knocking:
        knock.close()


_POSIX, _LINUX = hasattr(signal, "SIGSTOP"), sys.platform == "linux"

FAULTS: dict[str, OutsideFault] = {
    "stop": OutsideFault(
        "the gateway is stopped (SIGSTOP)", ("deadline", "expired"), "silent", _stop, 12.0, 3.0, possible=_POSIX
    ),
    "outbox-full": OutsideFault(
        "it is stopped, and the game's outbox is full", ("deadline", "expired"), "full", _stop, 12.0, 2.2,
        flood=True, possible=_POSIX,
    ),
    "server-killed": OutsideFault(
        "the model's server is killed, and brought back", ("unreachable", "connection_lost"), "retries", _kill_server,
        possible=_POSIX,
    ),
    "disk-full": OutsideFault(
        "nothing can be written to the cache file", (), "unsaved", _fill_disk, possible=_LINUX, quick_s=2.0
    ),
    "mid-message": OutsideFault(
        "the gateway is killed in the middle of a message", ("gateway_lost",), "restarts", _break, possible=_POSIX
    ),
    "stranger": OutsideFault(
        "a stranger at every port, while the gateway starts", ("gateway_lost",), "strangers", _probe, possible=_POSIX,
        quick_s=3.0,  # after other losses a gateway is not started at once
    ),
    "kill": OutsideFault(
        f"the gateway is killed (SIGKILL) every {EVERY_S:g} s", ("gateway_lost",), "restarts", _kill, 60.0, 2.0,
        possible=_POSIX,
    ),
}  # fmt: skip
