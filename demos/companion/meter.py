"""What the last frames cost, for the panel's graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT = 240


class Meter:
    """The last 240 frames: milliseconds of work, and seconds from one to the next."""

    def __init__(self) -> None:
        self._work: NDArray[np.float64] = np.zeros(KEPT)
        self._begun: NDArray[np.float64] = np.zeros(KEPT)
        self.count = 0

    def add(self, begun_s: float, work_ms: float) -> None:
        """A frame has ended."""
        self._work[self.count % KEPT] = work_ms
        self._begun[self.count % KEPT] = begun_s
        self.count += 1

    def work_ms(self) -> NDArray[np.float64]:
        """The oldest first."""
        return self._in_order(self._work)

    def fps(self) -> float:
        """Frames a second over the last second or so."""
        begun = self._in_order(self._begun)[-60:]
        return (len(begun) - 1) / (begun[-1] - begun[0]) if len(begun) > 1 and begun[-1] > begun[0] else 0.0

    def percentiles(self) -> tuple[float, float]:
        """p50 and p99 of the work."""
        work = self.work_ms()
        if not len(work):
            return 0.0, 0.0
        p50, p99 = np.percentile(work, [50, 99])
        return float(p50), float(p99)

    def _in_order(self, ring: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.count < KEPT:
            return ring[: self.count]
        return np.roll(ring, -(self.count % KEPT))
