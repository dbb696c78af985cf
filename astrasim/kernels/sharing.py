"""Two threads at one kernel: each takes the next block until none is left, and leaves when all are done.

So one that comes late, or is held up, does less, and nobody waits for more than a block. What a block comes to does not
depend on who does it.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .lanes import intrinsic, types

log = logging.getLogger("astrasim")

_LINE = 8
"""Numbers apart, so that no two counters lie in one line of memory."""
PHASES = 8
"""So many a kernel may have, one after the other, and each has its blocks."""
COUNTERS = 2 * PHASES * _LINE
"""Of each phase: blocks taken, blocks done."""


def nothing_taken() -> NDArray[np.int64]:
    """Fresh counters. One job's are never another's: a thread that comes late must find its own job done."""
    return np.zeros(COUNTERS, np.int64)


@intrinsic
def _add(typing: Any, counters: Any, at: Any, amount: Any) -> Any:
    """Add to a counter, and return what it was; no other thread comes between."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, amount = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        return builder.atomic_rmw("add", builder.gep(data, [at]), amount, "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


@njit(cache=True, inline="always")
def take_block(counters: NDArray[np.int64], phase: int) -> int:
    """The number of the next block."""
    return _add(counters, np.int64(2 * _LINE * phase), np.int64(1))


@njit(cache=True, inline="always")
def block_done(counters: NDArray[np.int64], phase: int) -> None:
    _add(counters, np.int64(2 * _LINE * phase + _LINE), np.int64(1))


@njit(cache=True, inline="always")
def wait_for_blocks(counters: NDArray[np.int64], phase: int, blocks: int) -> None:
    """Until all blocks are done. All are taken by now, so it is at most what is left of one."""
    while _add(counters, np.int64(2 * _LINE * phase + _LINE), np.int64(0)) < blocks:
        pass


SHARED_FROM = 8192
"""Agents from which on a second thread is worth its waking: some 50 microseconds."""


def has_second_core() -> bool:
    """Whether this process may use more than one core."""
    return len(_cores()) > 1


def _cores() -> set[int]:
    """Those that the calling thread may use."""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):  # not Linux; or a container that does not tell
        return set(range(os.cpu_count() or 1))


def together(kernel: Callable[..., Any], *arguments: Any) -> None:
    """Run a kernel that shares its blocks and lets go of Python's lock on this thread and on another.

    If the other comes too late it finds nothing left to do.
    """
    job = _other().begin(kernel, arguments)
    kernel(*arguments)
    job.clear()


class _Other:
    """The other thread: one a process, started when it is first needed, and it never ends."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[list[Any]] = SimpleQueue()
        thread = threading.Thread(target=self._work, name="astrasim kernels", daemon=True)
        thread.start()
        self._id = thread.native_id
        self._current_core = getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None
        self._kept_off = -1

    def begin(self, kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
        """Offer a job. Whoever empties the list that is returned takes it back, if it was not begun."""
        if self._current_core and self._id and (core := self._current_core()) != self._kept_off:
            self._keep_off(core)
        job = [(kernel, arguments)]
        self._jobs.put(job)
        return job

    def _keep_off(self, core: int) -> None:
        """Woken where the game's thread runs, it would take a block and stand still with it, until the game's thread
        has waited for it for a whole slice of time."""
        assert self._id
        self._kept_off = core
        others = _cores() - {core}
        try:
            if others:
                os.sched_setaffinity(self._id, others)
        except OSError:  # some containers forbid it
            self._current_core = None

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                kernel, arguments = job.pop()
            except IndexError:  # too late
                continue
            try:
                kernel(*arguments)
            except Exception:  # the tables grew under a job that was begun too late: the game's thread has done it all
                log.debug("a kernel's second thread", exc_info=True)
            del kernel, arguments  # or a table would live until the next job


_other = functools.cache(_Other)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_other.cache_clear)  # the child has no such thread
