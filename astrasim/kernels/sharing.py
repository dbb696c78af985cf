"""Two threads at one kernel: each takes the next block until none is left, and leaves when all are done.

So one that comes late, or is held up, does less, and nobody waits for more than a block. What a block comes to does not
depend on who does it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .lanes import intrinsic, types

_LINE = 8
"""Numbers apart, so that no two counters lie in one line of memory."""
COUNTERS = 4 * _LINE
"""Of the two phases that a kernel may have: blocks taken, blocks done."""


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
    """Until all blocks are done. All are taken by now, so it is the rest of one."""
    while _add(counters, np.int64(2 * _LINE * phase + _LINE), np.int64(0)) < blocks:
        pass


# The other thread: one a process, started when it is first needed.

SHARED_FROM = 8192
"""Agents from which on a second thread is worth its waking: some 50 microseconds."""


def has_second_core() -> bool:
    """Whether this process may use more than one core."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) > 1
    return (os.cpu_count() or 1) > 1


def together(kernel: Callable[..., Any], *arguments: Any) -> None:
    """Run a kernel that shares its blocks (``kernels/sharing.py``) and lets go of Python's lock, on two threads.

    If the other thread comes too late it finds nothing left to do.
    """
    _jobs().put((kernel, arguments))
    kernel(*arguments)


@functools.cache
def _jobs() -> SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """What the other thread has to do. The first call starts it."""
    jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
    threading.Thread(target=_work, args=(jobs,), name="astrasim kernels", daemon=True).start()
    return jobs


def _work(jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    while True:
        kernel, arguments = jobs.get()
        kernel(*arguments)
        del kernel, arguments  # or a table would live until the next job
