"""Who waits how long: what the budget of a tick left over is counted, and how old it is."""

from __future__ import annotations

from collections import Counter, deque

from .handing import Turn
from .kernels.serving import count_waiting
from .statistics import Waiting, Window

_TICKS = 4096


class Waits:
    """Asked once at the end of each tick's planning. It looks at the agents only where some are left over."""

    def __init__(self) -> None:
        self._agents, self._wait_s, self._plans = (Window(_TICKS) for _ in range(3))
        self.put_off: Counter[str] = Counter()
        """By kind of work, how many ticks ended before it had its turn."""
        self._ticks_s: deque[float] = deque(maxlen=_TICKS)
        self._left = 0
        self.longest = 0
        """For how many ticks the one who has waited longest was left over."""
        self.reset()

    def reset(self) -> None:
        for window in (self._agents, self._wait_s, self._plans):
            window.clear()
        self.put_off.clear()
        self._sum = 0

    def count(self, turn: Turn, has_served_all: bool, plans: int) -> None:
        """Count who is left over.

        Args:
            has_served_all: nobody is.
            plans: the model's plans that are still being handed out.
        """
        tick_s = turn.now_s - self._ticks_s[-1] if self._ticks_s else 0.0
        self._ticks_s.append(turn.now_s)
        self.longest = 0
        if self._left or not has_served_all:
            self._left, self.longest = count_waiting(turn.agents.need, turn.agents.waited, turn.rows)
        self._sum += self._left
        self._agents.add(self._left)
        # Whoever was left over for the first time in this tick waits until the next.
        ticks = min(self.longest, len(self._ticks_s))
        self._wait_s.add(turn.now_s - self._ticks_s[-ticks] + tick_s if ticks else 0.0)
        self._plans.add(plans)

    def statistics(self, stopgaps: int) -> Waiting:
        return Waiting(
            self._agents.percentiles(), self._sum / self._agents.count if self._agents.count else 0.0,
            self._wait_s.percentiles(), self._plans.percentiles(), dict(self.put_off), stopgaps,
        )  # fmt: skip
