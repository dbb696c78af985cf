"""One thread for a model that can do one thing at a time: what requests want first, in the order in which they came;
background work, a small piece at a time, while nobody wants anything (and, so that it ends at all where somebody always
does, after every so many requests in a row)."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_IN_A_ROW = 4


class Lane:
    """The thread and its queue. Made, and asked, inside a running event loop. The thread ends with the process."""

    def __init__(self, name: str) -> None:
        self._wanted: deque[tuple[asyncio.Future[Any], Callable[[Callable[[], bool]], Any]]] = deque()
        self._background: deque[Iterator[None]] = deque()
        self._change = threading.Condition()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, job: Callable[[Callable[[], bool]], T]) -> T:
        """What ``job`` returns or raises. It is called with a function that says whether nobody waits any more; where
        the caller is cancelled, a job that did not start yet never does."""
        future: asyncio.Future[T] = self._loop.create_future()
        with self._change:
            self._wanted.append((future, job))
            self._change.notify()
        return await future

    def in_background(self, work: Iterator[None]) -> None:
        """Take ``work`` piece by piece, each up to its next ``yield``, while nothing else is wanted."""
        with self._change:
            self._background.append(work)
            self._change.notify()

    def call_in_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """From the lane's thread: have the event loop call ``function`` soon, unless it was closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        in_a_row = 0
        while not self._loop.is_closed():
            with self._change:
                while not self._wanted and not self._background:
                    self._change.wait()
                if not self._wanted or (self._background and in_a_row >= _IN_A_ROW):
                    future, job, in_a_row = None, None, 0
                else:
                    future, job = self._wanted.popleft()
            if future is None or job is None:
                self._one_piece()
            elif not future.cancelled():
                in_a_row += 1
                self._do(future, job)

    def _one_piece(self) -> None:
        try:
            next(self._background[0])
        except StopIteration:
            self._background.popleft()
        except Exception:  # a mistake of ours: this work is lost, requests go on
            traceback.print_exc()
            self._background.popleft()

    def _do(self, future: asyncio.Future[Any], job: Callable[[Callable[[], bool]], Any]) -> None:
        try:
            result = job(future.cancelled)
        except Exception as error:
            self.call_in_loop(_end, future, None, error)
        else:
            self.call_in_loop(_end, future, result, None)


def _end(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
