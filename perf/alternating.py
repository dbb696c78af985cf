"""Measuring several programs beside each other: a tick of one, a tick of the next, in one process.

A shared machine's speed changes within seconds. Ticks that alternate meet the same machine, so their ratios hold where
times do not.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astrasim.frames import PERIOD_MS, quiet_gc

Tick = Callable[[], object]
WARM_UP = 20
CLOSE = 1.05
"""A search ends when the largest that passed and the smallest that failed are so near."""
FEWEST, FIRST, GROWTH, UNKNOWN = 20, 200, 6.0, 10_000_000


def alternate(
    ticks: Mapping[str, Tick], laps: int, give_up: float | None = None, lap_done: Callable[[], object] = int
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each tick, by name, in the order of laps; the order within a lap turns round with each.

    Garbage is collected between laps only. With ``give_up``, who has more than this share of ``laps`` over 16.67 ms, or
    of the warm-up one half, stops there, so that its array is shorter.
    """
    taken: dict[str, list[float]] = {name: [] for name in ticks}
    running = dict(ticks)
    with quiet_gc():
        for lap in range(-WARM_UP, laps):
            if lap == 0:
                taken.update({name: [] for name in running})
            for name in list(running) if lap % 2 else list(reversed(running)):
                begun = time.perf_counter()
                running[name]()
                taken[name].append((time.perf_counter() - begun) * 1000)
                over = sum(ms > PERIOD_MS for ms in taken[name]) if taken[name][-1] > PERIOD_MS else 0
                if give_up is not None and over > (WARM_UP / 2 if lap < 0 else give_up * laps + 1):
                    del running[name]
            gc.collect(0)
            if lap >= 0:
                lap_done()
    return {name: np.array(ms) for name, ms in taken.items()}


def percentile(ms: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(ms, percent))


def passes(ms: NDArray[np.float64], laps: int, percent: float = 99) -> bool:
    """Whether all laps were run, and so many percent of the ticks took at most 16.67 ms."""
    return len(ms) == laps and percentile(ms, percent) <= PERIOD_MS


@dataclass
class Search:
    """About how many agents to confirm. Goes by p90 of a short run, which a busy machine's stalls do not decide."""

    low: int = 0
    high: int = UNKNOWN
    tried: dict[int, float] = field(default_factory=dict)
    """The p90 in milliseconds of each number that was measured."""

    @property
    def done(self) -> bool:
        return self.high <= max(FEWEST, self.low * CLOSE, self.low + 1)

    def guess(self) -> int:
        """What to measure next."""
        if not self.low:
            return FIRST if self.high == UNKNOWN else max(FEWEST, self.high // 4)
        if self.high == UNKNOWN:
            return math.ceil(self.low * min(GROWTH, max(CLOSE, 0.95 * PERIOD_MS / self.tried[self.low])))
        # Where a straight line, in logarithms, meets the limit; not too near either end, or it creeps.
        gap = math.log(self.high / self.low)
        rise = math.log(self.tried[self.high] / self.tried[self.low])
        share = math.log(PERIOD_MS / self.tried[self.low]) / rise if rise > 0 else 0.5
        return min(self.high - 1, max(self.low + 1, round(self.low * math.exp(min(0.8, max(0.2, share)) * gap))))

    def learn(self, agents: int, ms: NDArray[np.float64], laps: int) -> None:
        """Take in the milliseconds of a run of ``laps`` ticks, or of those until it was given up."""
        self.tried[agents] = percentile(ms, 90)
        if passes(ms, laps, 90):
            self.low = max(self.low, agents)
        else:
            self.high = min(self.high, agents)
