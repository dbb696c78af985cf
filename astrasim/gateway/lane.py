"""One thread for a model that can do one thing at a time: what requests want, in the order in which they came, and
background work, a small piece at a time. While there is both, they take turns: a request waits for one piece at most,
and where somebody always wants something, background work ends all the same. A lane that is held does nothing: what is
under way is told to stop, and begun again later."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[Callable[[], bool]], T]


class Stopped(Exception):
    """What work raises that was told to stop, and did not end."""


class Lane:
    """The thread and its queue. Made, and asked, inside a running event loop. The thread ends with the process."""

    def __init__(self, name: str) -> None:
        self._wanted: deque[tuple[asyncio.Future[Any], Job[Any]]] = deque()
        self._background: deque[Iterator[None]] = deque()
        self._holders = 0
        self._change = threading.Condition()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, job: Job[T]) -> T:
        """What ``job`` returns or raises. It is called with a function that says whether it should raise
        :class:`Stopped`: nobody waits any more, or the lane is held, and then it is called anew after that. Where the
        caller is cancelled, a job that did not start yet never does.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._change:
            self._wanted.append((future, job))
            self._change.notify()
        return await future

    @property
    def should_stop(self) -> bool:
        """Whether background work should raise :class:`Stopped` out of its piece, to be called again."""
        return self._holders > 0

    @property
    def is_wanted(self) -> bool:
        """Whether a request waits for its turn."""
        return bool(self._wanted)

    def hold(self) -> None:
        """Do nothing until :meth:`release` was called as often as this."""
        with self._change:
            self._holders += 1

    def release(self) -> None:
        """Undo one :meth:`hold`."""
        with self._change:
            self._holders -= 1
            self._change.notify()

    def in_background(self, work: Iterator[None]) -> None:
        """Take ``work`` piece by piece, each up to its next ``yield``, after all work that was given before."""
        with self._change:
            self._background.append(work)
            self._change.notify()

    def drop(self, work: Iterator[None]) -> None:
        """Forget ``work`` that was given and is not wanted any more. A piece that runs now ends; no other begins."""
        with self._change, suppress(ValueError):
            self._background.remove(work)

    def call_in_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """From the lane's thread: have the event loop call ``function`` soon, unless it was closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        background_next = False
        while not self._loop.is_closed():
            with self._change:
                while self._holders or not (self._wanted or self._background):
                    self._change.wait()
                has_turn = not self._background or (self._wanted and not background_next)
                wanted = self._wanted.popleft() if has_turn else None
                work = None if has_turn else self._background[0]
            if work is not None:
                self._one_piece(work)
                background_next = False
            elif wanted is not None and not wanted[0].cancelled():
                self._do(*wanted)
                background_next = True

    def _one_piece(self, work: Iterator[None]) -> None:
        try:
            next(work)
        except StopIteration:
            self.drop(work)
        except Exception:  # a mistake of ours: this work is lost, requests go on
            traceback.print_exc()
            self.drop(work)

    def _do(self, future: asyncio.Future[Any], job: Job[Any]) -> None:
        try:
            result = job(lambda: future.cancelled() or self.should_stop)
        except Stopped:
            with self._change:
                self._wanted.appendleft((future, job))
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
