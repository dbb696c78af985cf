"""The planner's budget of one tick: milliseconds, counted in units of work.

A unit is the smallest piece that is not cut: some agents served, 16,384 rows handed plans, one heuristic called,
one situation picked to be asked about, one request sent, one message read, one answer taken in. One is begun only if
there is time for what its kind takes, as a rule, so a tick takes longer than its budget only where a unit takes longer
than others of its kind. The first of its kind in a tick has an estimate of its own: the rest of the frame has swept the
processor's caches by then, and it takes up to five times what the next one does. The number of units done is what a
replay needs: a budget with ``units`` set stops there, whatever the clock says.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from .pace import Pace

# Windows counts a thread's time in steps of 16 ms, which says nothing about 2.
cpu_clock = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-4 else time.perf_counter

_FIRST_S, _UNIT_S = 1e-3, 1e-4
"""What the first unit of a kind may count as, and any at least: what a unit should take at most."""
_KEPT, _KEPT_FIRST = 0.95, 0.99
"""Of what a kind takes, after each unit that took less. What comes once a tick at most is remembered for longer, so
that one tick in a hundred is late and not one in twenty."""
_BORROWED = 0.5
"""Of a tick's budget, how much may be spent before it."""


class Budget:
    """``start`` a tick, begin a unit only while there is something ``left``, ``spend`` after it.

    Args:
        pace: how much: ``budget_ms`` milliseconds a tick, or ``budget_units`` units where they are set, whatever time
            they take. ``budget_ms=0`` means that no planning is done at all, whatever ``budget_units`` is.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.spent_units = 0
        self.took_s = 0.0
        """How long the last unit took; 0.0 where units are counted."""
        self._start_s = self._end_s = self._begun_s = self._close_s = 0.0
        self._first_s: dict[str, float] = {}
        self._further_s: dict[str, float] = {}
        self._done: set[str] = set()
        self._asked, self._begun_cpu_s = "", 0.0
        self._owed_s, self._owed_units = 0.0, 0
        self._fresh = True

    def start(self) -> None:
        """A tick begins. What was borrowed of its budget is spent, as if it had begun so much earlier. Half is left
        whatever it came to: all together is late by one unit at most, and a tick that can do nothing helps nobody."""
        budget_s, units = self._pace.budget_ms / 1000, self._pace.budget_units
        if units is not None:
            self._owed_units = min(self._owed_units, int(units * _BORROWED))
        self._fresh = True
        self._begin(budget_s + max(0.0, self._owed_s - budget_s * _BORROWED))
        self._owed_s, self._owed_units = 0.0, 0

    def borrow(self, kinds: Sequence[str]) -> bool:
        """Whether units of these kinds, which cannot wait for the next tick, should fit into the half of its budget
        that may be spent before it begins. If so they may be done now, and :meth:`owe` is called after them."""
        budget_s, units = self._pace.budget_ms / 1000, self._pace.budget_units
        if units is not None:
            fits = budget_s > 0 and self._owed_units + len(kinds) <= units * _BORROWED
        else:
            again = [kind for at, kind in enumerate(kinds) if kind in kinds[:at]]
            takes_s = sum(self._first_s.get(kind, 0.0) for kind in set(kinds))
            takes_s += sum(self._further_s.get(kind, 0.0) for kind in again)
            fits = self._owed_s + takes_s < budget_s * _BORROWED
        if fits:
            self._fresh = False
            self._begin(budget_s)
        return fits

    def owe(self) -> None:
        """What was done since :meth:`borrow` counts as done in the next tick."""
        self._owed_s, self._owed_units = time.perf_counter() - self._start_s, self.spent_units

    def _begin(self, budget_s: float) -> None:
        self._begun_s, self._begun_cpu_s = time.perf_counter(), cpu_clock()
        self._start_s = self._begun_s - self._owed_s
        self._end_s = self._start_s + budget_s
        self.spent_units = self._owed_units
        self._done.clear()

    def left(self, kind: str = "") -> bool:
        """Whether a unit of this kind may be begun. What a tick begins with may be in any case, or a kind that takes
        longer than the whole budget would never have its turn."""
        if self._pace.budget_ms <= 0:
            return False
        if self._pace.budget_units is not None:
            return self.spent_units < self._pace.budget_units
        self._begun_s, self._asked, self._begun_cpu_s = time.perf_counter(), kind, cpu_clock()
        if self._fresh:
            self._fresh = False
            return True
        takes_s = self._first_s.get(kind, 0.0)
        if kind in self._done:
            takes_s = self._further_s.get(kind, takes_s)
        return self._begun_s + takes_s + self._close_s < self._end_s

    def spend(self, kind: str = "") -> float:
        """One unit was done, begun when :meth:`left` was asked last. Returns which share of a tick's budget it took."""
        self.spent_units += 1
        self.took_s = 0.0
        if self._pace.budget_units is None:
            self.took_s = self._learn(kind)
            return self.took_s * 1000 / self._pace.budget_ms if self._pace.budget_ms else 0.0
        return 1 / self._pace.budget_units if self._pace.budget_units else 0.0

    def unneeded(self) -> None:
        """Nobody was there for what :meth:`left` allowed, so the next unit is what the tick begins with."""
        self._fresh = not self._done

    def looked(self) -> None:
        """No unit was done of the kind that :meth:`left` was asked about last, and that, too, took time."""
        if self._pace.budget_units is None:
            self._learn(self._asked)

    def _learn(self, kind: str) -> float:
        """What was done just now took so long, in seconds of CPU: what another program took meanwhile is not its own.
        Where the clock counts that as well it may be anything, so no more than twice what was usual is believed."""
        known_s, kept = (self._further_s, _KEPT) if kind in self._done else (self._first_s, _KEPT_FIRST)
        self._done.add(kind)
        took_s, before_s = cpu_clock() - self._begun_cpu_s, known_s.get(kind, 0.0)
        most_s = min(took_s, max(2 * before_s, _UNIT_S) if before_s else _FIRST_S)
        known_s[kind] = _estimate(most_s, before_s, kept)
        return most_s

    @property
    def is_counted(self) -> bool:
        """Whether it goes by units alone, and nothing may depend on the clock."""
        return self._pace.budget_units is not None

    def close(self, took_s: float) -> None:
        """What every tick ends with, however little is left, took so long: as much is set aside in the next."""
        self._close_s = _estimate(min(took_s, max(2 * self._close_s, _UNIT_S)), self._close_s, _KEPT_FIRST)

    @property
    def may_close(self) -> bool:
        """Whether there is time for what every tick ends with, by a unit's time too late at most."""
        return self.is_counted or time.perf_counter() + self._close_s < self._end_s + _UNIT_S

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self._start_s) * 1000

    def overrun(self) -> bool:
        """Whether the tick took longer than its budget. One that counts units has no time to overrun."""
        pace = self._pace
        return pace.budget_units is None and pace.budget_ms > 0 and self.elapsed_ms() > pace.budget_ms


def _estimate(took_s: float, before_s: float, kept: float) -> float:
    """Up at once, and down slowly: most must fit."""
    return took_s if took_s > before_s else kept * before_s + (1 - kept) * took_s
