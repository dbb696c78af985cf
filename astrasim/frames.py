"""The paced frame loop: 60 frames a second, what each cost, and which were missed.

A frame's *work* is what the caller does in it. It is *missed* if its work ends more than one period after its scheduled
start; the schedule then goes on with the next period, as a display does.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import itertools
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .statistics import Percentiles

FPS = 60
PERIOD_S = 1 / FPS
PERIOD_MS = 1000 / FPS
MIN_FRAMES = 600
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_SPIN_S = 0.001
"""time.sleep may oversleep by this much; the rest of the wait is spent looking at the clock."""
_QUIET_S = 0.004
"""A frame with so much time left is a quiet moment, in which young garbage is collected."""


@dataclass
class FrameTimes:
    """``work_ms`` has one element a frame, in order."""

    work_ms: NDArray[np.float64]
    missed: int
    seconds: float

    def percentiles(self) -> Percentiles:
        if not len(self.work_ms):
            return Percentiles(0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = np.percentile(self.work_ms, [50, 95, 99])
        return Percentiles(float(p50), float(p95), float(p99), float(self.work_ms.max()))

    def __str__(self) -> str:
        p = self.percentiles()
        return (
            f"{len(self.work_ms)} frames in {self.seconds:.1f} s: p50 {p.p50:.2f} ms, p99 {p.p99:.2f} ms, "
            f"max {p.max:.2f} ms, {self.missed} missed"
        )

    def sustained(self) -> bool:
        """Whether the 99th percentile of the work stayed within 16.67 ms, over at least ``MIN_FRAMES`` frames."""
        return len(self.work_ms) >= MIN_FRAMES and self.percentiles().p99 <= PERIOD_MS


class Frame(NamedTuple):
    """What one frame was: how long its work took, whether it was missed, and how long there is until the next."""

    work_ms: float
    missed: bool
    spare_s: float


def run_frames(
    work: Callable[[int], object], frames: int | None, after: Callable[[Frame], object] | None = None
) -> FrameTimes:
    """Call ``work(frame)`` at 60 Hz for so many frames (None: for ever), or until it returns False, and measure it.

    Args:
        after: called after each frame's work, and no part of it. Beyond ``spare_s`` it makes the next frame late.
    """
    work_ms = array("d")
    missed = 0
    with quiet_gc():
        begun = scheduled = time.perf_counter()
        for frame in range(frames) if frames is not None else itertools.count():
            wait_until(scheduled)
            start = time.perf_counter()
            more = work(frame)
            end = time.perf_counter()
            work_ms.append((end - start) * 1000)
            late = end - scheduled
            missed += late > PERIOD_S
            scheduled += PERIOD_S * max(1, int(np.ceil(late / PERIOD_S)))
            if after is not None:
                after(Frame(work_ms[-1], late > PERIOD_S, scheduled - end))
                end = time.perf_counter()
            if scheduled - end > _QUIET_S:
                gc.collect(0)
            if more is False:
                break
        seconds = time.perf_counter() - begun
    return FrameTimes(np.array(work_ms), missed, seconds)


def wait_until(when_s: float) -> None:
    """Wait for ``perf_counter`` to reach ``when_s``, to within some microseconds."""
    if (left := when_s - time.perf_counter() - _SPIN_S) > 0:
        time.sleep(left)
    while time.perf_counter() < when_s:
        pass


@functools.cache
def keep_freed_memory() -> None:
    """Tell the C library to keep what arrays give back, for this process: a tick wants as much again at once.

    By itself glibc hands blocks of 128 KiB and more back to the system, which then clears each page of them anew when
    it is first touched: 1,400 pages a tick at 150,000 agents, a microsecond to five each. Elsewhere nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, 1 << 26)


@contextmanager
def quiet_gc() -> Iterator[None]:
    """No garbage collection by itself, and what lives now is never looked at: a full collection costs whole frames."""
    gc.collect()
    gc.freeze()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
