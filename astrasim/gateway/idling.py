"""How the gateway process keeps off a core that a frame wants, on Linux.

To be of the lowest priority (SCHED_IDLE) is not enough. The scheduler (EEVDF) gives even such a thread its 0.3%, and
not in crumbs: once it has a core, nothing looks whether it should still have it before its slice of 3 ms has passed and
the next tick of the kernel's clock has come, and the game's thread stands still so long. So slices are made as short as
can be (`man sched_setattr`), and the process asks by itself, whenever it has dealt with what had come in, whether
somebody waits. ``python -m astrasim.perf.standstill`` counts: 6 to 15 times in 6 s beside a busy process of the lowest
priority, 0 to 3 times beside one that does both, as with nobody.

And how part of this process keeps off the other cores, while what is urgent runs there: there is no lower priority to
give it, and stopped it can not be.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import selectors
import sys
import threading
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

SLICE_NS = 100_000
"""The shortest that Linux gives, from 6.12 on; what is older takes no notice."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, for which neither Python nor the C library has a name."""

_LAST_CORE = 36
"""Where ``/proc/PID/stat`` says on which core it ran last, counted after the name."""


class _Attributes(ctypes.Structure):
    """``struct sched_attr``, as it was at first."""

    _fields_ = [
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime_ns", ctypes.c_uint64), ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    ]  # fmt: skip


def give_way() -> None:
    """From now on run only where nothing else wants a core. Threads started later inherit it.

    Not before all is loaded: on a machine whose cores are all taken that would never come to an end; and not where
    this process may use one core only, which the game may never leave.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return
    number = _SCHED_SETATTR.get(platform.machine())
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            if number is not None:
                asked = _Attributes(ctypes.sizeof(_Attributes), os.SCHED_IDLE, runtime_ns=SLICE_NS)
                ctypes.CDLL(None).syscall(number, thread, ctypes.byref(asked), 0)


def native_threads() -> frozenset[int]:
    """The numbers of this process's threads that Python did not start: those of libraries. None but on Linux."""
    if sys.platform != "linux":
        return frozenset()
    return frozenset(map(int, os.listdir("/proc/self/task"))) - {each.native_id for each in threading.enumerate()}


def step_aside(urgent: Set[int]) -> None:
    """From now on native threads run in what the game leaves of its own core, but for the ``urgent`` ones. Those have
    the other cores for themselves. Threads started later inherit it."""
    if not (others := native_threads() - urgent):
        return
    with suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8", errors="replace")
        core = int(stat.rpartition(")")[2].split()[_LAST_CORE])
        if core in (cores := os.sched_getaffinity(0)) and len(cores) > 1:
            _bind(others, {core})


def step_back() -> None:
    """Undo :func:`step_aside`."""
    if others := native_threads():
        _bind(others, os.sched_getaffinity(0))


def _bind(threads: Set[int], cores: Set[int]) -> None:
    for thread in threads:
        with suppress(OSError):  # it has ended
            os.sched_setaffinity(thread, cores)


def event_loop() -> asyncio.AbstractEventLoop:
    """An event loop that lets others go first whenever it has dealt with what had come in."""
    return asyncio.SelectorEventLoop(_Polite()) if sys.platform == "linux" else asyncio.new_event_loop()


class _Polite(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        os.sched_yield()
        return super().select(timeout)
