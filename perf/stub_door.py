"""How the stub is reached: uvicorn on the loopback, in a way that lets faults reach the connections themselves."""

from __future__ import annotations

import asyncio
import os
import socket

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .stub_faults import TRANSPORT


class _Protocol(H11Protocol):
    """uvicorn's own, which hands the connection on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        whole = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = transport
            await whole(scope, receive, send)

        self.app = app


class Door:
    """Serves an application on a socket that listens."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._config = uvicorn.Config(
            app, http=_Protocol, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1,
            server_header=False,
        )  # fmt: skip
        self._server = uvicorn.Server(self._config)
        self._is_open = True

    async def serve(self) -> None:
        """Until interrupted."""
        await self._server.serve(sockets=[self._listener])

    async def open(self, is_open: bool) -> None:
        """Whether connections are taken from now on. Where they are not, those that there are end."""
        if is_open == self._is_open:
            return
        self._is_open = is_open
        server = self._server
        if is_open:
            state, loop = server.server_state, asyncio.get_running_loop()
            again = await loop.create_server(lambda: _Protocol(self._config, state, {}), sock=listen(self._port))
            server.servers = [again]
            return
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()


def listen(port: int) -> socket.socket:
    """A socket that listens on the loopback, and nowhere else."""
    # The protocol is named because asyncio sets TCP_NODELAY only on such sockets: without it, answers came 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # on Windows the option would let two servers have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener
