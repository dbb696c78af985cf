"""The search for the largest number of agents that this machine sustains at 60 frames a second.

It runs nothing itself: it says what to try next, and is told what came of it. Both users, ``astrasim stress --find``
and the demo, so search alike.

Other programs take the processor now and then, and that only ever makes frames longer. So a loss is never believed at
once, and no number counts on one run that was close: each is tried until two tries agree, but for those that are clear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .frames import MIN_FRAMES, PERIOD_MS

LOOK_FRAMES = 180
CLEAR = 0.8
"""A p99 below this share of a frame is no accident: noise makes frames longer, not shorter."""
TOLERANCE = 0.05
CONTRADICTIONS = 3
"""So many, and the machine is too noisy for the tolerance: to go on would be to wait for a lucky run."""
BUDGET_SLACK = 0.05
"""The last unit of work in a tick may take longer than the one before it."""


class Trial(NamedTuple):
    """What to run next: so many agents for so many frames after a warm-up.

    ``stage``: "bracket" (a short look, doubling), "bisect" or "confirm" (whole runs).
    """

    agents: int
    frames: int
    stage: str


class Verdict(NamedTuple):
    """``kept``: the frames were. ``clear``: another run like it would say the same."""

    kept: bool
    clear: bool


def judge(p50_ms: float, p99_ms: float, planning_p99_ms: float = 0.0, budget_ms: float = math.inf) -> Verdict:
    """Whether a run kept to the frame: p99 of its work within 16.67 ms, and p99 of its planning within the budget.

    Args:
        planning_p99_ms: in CPU time of the planning thread: on the wall, what interrupts it is counted too.
    """
    planned = planning_p99_ms <= budget_ms * (1 + BUDGET_SLACK)
    kept = p99_ms <= PERIOD_MS and planned
    return Verdict(kept, p99_ms <= CLEAR * PERIOD_MS and planned if kept else p50_ms > PERIOD_MS)


class Search:
    """Brackets by doubling with short looks, bisects with whole runs, confirms the number found with another.

    When done, ``best`` kept to the frame in a run made to confirm it, and a number at most ``tolerance`` above it did
    not in whole runs; 0 if even ``least`` did not. On a machine so noisy that runs contradict each other three times,
    it only goes down from there, through what had kept to the frame, until one is confirmed: then ``noisy`` is True,
    and the next number that did not may be further away.

    Args:
        first: where to begin.
        most: not to be passed; ``best`` may be it.
        frames: of a whole run.
    """

    def __init__(
        self, first: int, most: int, least: int = 1, tolerance: float = TOLERANCE, frames: int = MIN_FRAMES
    ) -> None:
        if not (1 <= least <= most and tolerance > 0):
            raise ValueError(f"least={least}, most={most}, tolerance={tolerance}: need 1 <= least <= most, above 0")
        self._most, self._least, self._frames = most, least, frames
        self.tolerance = tolerance
        self._kept: dict[int, bool] = {}
        """The numbers that kept to the frame; whether in whole runs."""
        self._lost: dict[int, bool] = {}
        self._votes = [0, 0]
        self._contradictions = 0
        self._first = min(max(first, least), most)
        self.best = 0
        self.tried: list[dict[str, Any]] = []
        """Every try in its order, for ``--json``: the trial, its verdict, and what ``tell`` was told besides."""
        self.trial: Trial | None = Trial(self._first, LOOK_FRAMES, "bracket")
        """What to run next; None when done."""

    @property
    def low(self) -> int:
        """The largest number so far that kept to the frame; 0: none yet."""
        return max(self._kept, default=0)

    @property
    def high(self) -> int | None:
        """The smallest number so far that did not; None: none yet."""
        return min(self._lost, default=None)

    @property
    def noisy(self) -> bool:
        """Whether runs contradicted each other too often."""
        return self._contradictions >= CONTRADICTIONS

    def tell(self, verdict: Verdict, figures: Mapping[str, Any] | None = None) -> None:
        """What came of ``trial``; sets the next one. ``figures`` are kept in ``tried``."""
        assert self.trial is not None, "the search is done"
        self.tried.append({**self.trial._asdict(), **verdict._asdict(), **(figures or {})})
        n, frames, stage = self.trial
        self._votes[verdict.kept] += 1
        # In a short look one win is enough: whole runs go over it again.
        needed = 1 if verdict.clear or (verdict.kept and stage == "bracket") else 2
        if self._votes[verdict.kept] < needed:
            return
        self._contradictions += all(self._votes)
        self._votes = [0, 0]
        whole = frames >= self._frames
        if not verdict.kept:
            # What was kept with more than that, or just before, was luck.
            self._contradictions += any(sure for kept, sure in self._kept.items() if kept >= n)
            self._kept = {kept: sure for kept, sure in self._kept.items() if kept < n}
            self._lost[n] = whole
        elif stage == "confirm":
            self.best, self.trial = n, None
            return
        else:
            self._contradictions += self.high is not None and self.high <= n
            self._lost = {lost: sure for lost, sure in self._lost.items() if lost > n}
            self._kept[n] = whole or self._kept.get(n, False)
        self.trial = self._down() if self.noisy else self._next()

    def _down(self) -> Trial | None:
        """Towards the end, whatever comes."""
        if self.low:
            return self._whole(self.low, "confirm")
        assert self.high is not None
        return self._whole(max(self._least, self.high // 2), "confirm") if self.high > self._least else None

    def _next(self) -> Trial | None:
        low, high = self.low, self.high
        if high is None:
            if low < self._most:
                return Trial(min(self._most, 2 * low), LOOK_FRAMES, "bracket")
        elif low == 0:
            if high > self._least:
                return Trial(max(self._least, high // 2), LOOK_FRAMES, "bracket")
            return None if self._lost[high] else self._whole(high)
        elif (middle := _rounded(math.sqrt(low * high), low, high)) and high > low * (1 + self.tolerance):
            return self._whole(middle)
        if not self._kept[low]:
            return self._whole(low)
        if high is not None and not self._lost[high]:
            return self._whole(high)
        return self._whole(low, "confirm")

    def _whole(self, agents: int, stage: str = "bisect") -> Trial:
        return Trial(agents, self._frames, stage)


def found(searches: Sequence[Search]) -> dict[str, Any]:
    """What searches that are done found, for ``--json``.

    ``agents``: by search, rising; ``median`` of them (of two, the lower), ``least`` and ``most``; ``tolerance``: the
    next number up that was tried and failed is at most so much more, but where the machine was ``noisy``;
    ``planning_slack``: so much over its budget
    planning's p99 may be; ``tried``: by search, every try in its order.
    """
    ordered = sorted(searches, key=lambda search: search.best)
    agents = [search.best for search in ordered]
    return {
        "agents": agents, "median": agents[(len(agents) - 1) // 2], "least": agents[0], "most": agents[-1],
        "tolerance": ordered[0].tolerance, "noisy": [s.noisy for s in ordered], "planning_slack": BUDGET_SLACK,
        "tried": [s.tried for s in ordered],
    }  # fmt: skip


def _rounded(value: float, low: int, high: int) -> int:
    """The whole number near ``value`` with the fewest digits, of two at least, that is nearer to it than to the ends; 0
    if there is none between them."""
    for digits in range(2, len(str(high)) + 1):
        unit = int(10 ** max(0, len(str(int(value))) - digits))
        rounded = round(value / unit) * unit
        if low < rounded < high and abs(rounded - value) <= (high - low) / 8:
            return rounded
    return (low + high) // 2 if high - low > 1 else 0
