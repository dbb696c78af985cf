"""The planner's budget of one tick: milliseconds, counted in units of work.

A unit is the smallest piece that is not cut: up to 128 agents served, 16,384 rows handed plans, one heuristic called,
one request sent, one batch of messages read. One is begun only if there is time for another like the last, so a tick
takes longer than its budget only where a unit takes longer than the one before. The number of units done is what a
replay needs: a budget with ``units`` set stops there, whatever the clock says.
"""

from __future__ import annotations

import time


class Budget:
    """``start`` a tick, begin a unit only while there is something ``left``, ``spend`` after it.

    Args:
        budget_ms: milliseconds a tick; 0 means that no planning is done at all, whatever ``units`` is.
        units: stop after so many units instead, whatever time they take.
    """

    def __init__(self, budget_ms: float, units: int | None = None) -> None:
        self.budget_ms = budget_ms
        self.units = units
        self.spent_units = 0
        self._start_s = self._end_s = self._begun_s = self._unit_s = 0.0

    def start(self) -> None:
        self._start_s = self._begun_s = time.perf_counter()
        self._end_s = self._start_s + self.budget_ms / 1000
        self._unit_s = 0.0
        self.spent_units = 0

    def left(self) -> bool:
        """Whether another unit may be begun."""
        if self.budget_ms <= 0:
            return False
        if self.units is not None:
            return self.spent_units < self.units
        self._begun_s = time.perf_counter()
        return self._begun_s + self._unit_s < self._end_s

    def spend(self) -> None:
        """One unit was done."""
        self.spent_units += 1
        if self.units is None:
            self._unit_s = time.perf_counter() - self._begun_s

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._start_s) * 1000

    def overrun(self) -> bool:
        """Whether the tick took longer than its budget. One that counts units has no time to overrun."""
        return self.units is None and self.budget_ms > 0 and time.perf_counter() > self._end_s
