"""The governor: holds the frame rate by moving the pace (``sim.pace``) between stated bounds.

**What it moves** is one thing, a ladder. The top rung is what the settings ask for; each rung down makes one of three
things cheaper, until all are at their bounds:

1. ``every``, doubled: perceiving and situations cost more than all else, so this is the largest lever by far, it works
   in the very next tick, and what it takes away (percepts some ticks old) is hardest to see.
2. ``budget_ms``, halved: it bounds the longest frames, and agents wait longer for their plans.
3. ``requests_per_second``, halved: last, because an answer costs the tick a tenth of a millisecond. The rest is paid by
   the gateway's process, which is in the frame's way only where cores are short, and plans by the model are what a game
   has a model for.

**Down** as soon as two of three frames are late. The first step is one rung, and steps double (1, 2, 4) for as long as
frames stay late: any rung of a ladder of n is reached in log2(n) steps, as by multiplicative decrease (Chiu and Jain,
"Analysis of the increase and decrease algorithms for congestion avoidance in computer networks", 1989), and yet a
slight overload costs one rung. A single late frame is somebody else's doing, as a rule, and is over already; one that
takes two periods costs a rung all the same, but only once in 64 s.

**Up** one rung at a time (their additive increase), after half a second in which all frames but one kept to 80% of the
period. Between that and being late nothing moves, but for what follows.

**It does not swing**, because it remembers the lowest rung that failed, as TCP CUBIC remembers the window at which
packets were lost (Ha, Rhee and Xu, 2008), and how much longer frames were there than after the fall. That rung is tried
again once so much more would fit; or three times what frames take now, for no rung costs more. Or else after a pause,
as is any rung where frames leave less than 20%: 8 s, doubled up to 64 s by each fall that comes soon after the last.

All of it is counted in frames, so equal frame times give equal decisions.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .decisions import PaceDecision, check_order
from .pace import Pace

if TYPE_CHECKING:
    from .settings import Settings

KEPT = 10_000
"""Decisions that are kept; at one a second these are almost three hours."""
_WINDOW_S = 0.5
_HEADROOM, _FITS = 0.8, 0.9
"""Of a period: what frames may take for a step up at once, and for one after a pause or to a rung that failed."""
_RATIO = 3
"""Neighbouring rungs differ in one of the three, by less than this factor; so do frames."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 8.0, 64.0
_STEADY = 8
"""After so many pauses without a fall, the next one is the first again."""

Rung = tuple[float, int, float]


class Governor:
    """Told once a frame what the frame's work took, it moves the pace. ``sim.governor`` is the simulation's.

    Args:
        pace: what is moved.
        settings: whether it is on to begin with (``governor``), ``target_fps`` and the bounds.

    Attributes:
        decisions: the last 10,000, oldest first. The first is the pace that it begins with.
        slow_ms: what all frames but one of the last half second kept to, in milliseconds.
    """

    def __init__(self, pace: Pace, settings: Settings) -> None:
        self._pace, self._settings = pace, settings
        self._period_ms = 1000 / settings.target_fps
        self._window = max(2, round(_WINDOW_S * settings.target_fps))
        self.decisions: deque[PaceDecision] = deque(maxlen=KEPT)
        self.slow_ms = 0.0
        self._coming: deque[PaceDecision] = deque()
        self._tick = 0
        self._is_told = False
        self._on = False
        self._begin()
        self.on = settings.governor

    def _begin(self) -> None:
        self._rungs = rungs(self._settings, moves_budget=self._pace.budget_units is None)
        self._level = len(self._rungs) - 1
        self._failed = len(self._rungs)  # none
        self._failed_ms = self._rest_ms = 0.0
        self._stride = 1
        self._pause = self._frames_of(_FIRST_PAUSE_S)
        self._longest_pause = self._since_hitch = self._frames_of(_LONGEST_PAUSE_S)
        self._since_fall = _STEADY * self._pause
        self._last_ms = self._before_ms = 0.0
        self._look_anew()

    def _look_anew(self) -> None:
        self._frames = 0
        self._slowest_ms = self._second_ms = 0.0

    def _frames_of(self, seconds: float) -> int:
        return max(1, round(seconds * self._settings.target_fps))

    @property
    def on(self) -> bool:
        """Whether it governs. Switched on or off, it sets the pace to what the settings ask for."""
        return self._on

    @on.setter
    def on(self, on: bool) -> None:
        if on == self._on:
            return
        self._on = on
        self._coming.clear()
        self._begin()
        self._go_to(self._level, "switched on" if on else "switched off")

    def frame(self, work_ms: float) -> None:
        """A frame has ended: call it once a frame. A game that never does is governed by what its ticks take.

        Args:
            work_ms: what the frame's work took (tick, drawing and all), without the wait for the next frame.

        Raises:
            ValueError: if it is negative or not finite.
        """
        if not 0 <= work_ms < math.inf:
            raise ValueError(f"work_ms={work_ms!r} must be a finite number of milliseconds, at least 0")
        self._is_told = True
        if self._on:
            self._judge(work_ms)

    def follow(self, decisions: Iterable[PaceDecision]) -> None:
        """Do as was decided in another run, tick by tick, whatever frames take: a replay. ``on = True`` ends it.

        ``decisions`` begins anew.

        Raises:
            SettingsError: if a tick is over already, or they are not in the order of their ticks. Nothing changes then.
        """
        coming = deque(decisions)
        check_order(coming, after=self._tick)
        self.on = False
        self.decisions.clear()
        self._coming = coming

    def begin_tick(self, tick: int) -> None:
        """Called by the simulation when tick number ``tick`` begins."""
        self._tick = tick
        while self._coming and self._coming[0].tick <= tick:
            self._decide(self._coming.popleft())

    def end_tick(self, took_ms: float) -> None:
        """Called by the simulation when a tick has ended."""
        if self._on and not self._is_told:
            self._judge(took_ms)

    def _judge(self, work_ms: float) -> None:
        period_ms, last_ms, before_ms = self._period_ms, self._last_ms, self._before_ms
        self._before_ms, self._last_ms = last_ms, work_ms
        self._frames += 1
        self._since_fall += 1
        if work_ms > self._slowest_ms:
            self._second_ms, self._slowest_ms = self._slowest_ms, work_ms
        elif work_ms > self._second_ms:
            self._second_ms = work_ms
        self._since_hitch += 1
        late = (work_ms > period_ms) + (last_ms > period_ms) + (before_ms > period_ms)
        if late >= 2:
            self._failed_ms = min(work_ms, max(last_ms, before_ms))
            self._fall(late)
        elif work_ms > 2 * period_ms and self._since_hitch >= self._longest_pause:
            self._since_hitch = 0
            self._fall(late)
        elif self._frames == self._window:
            self._rise()

    def _fall(self, late: int) -> None:
        work_ms = self.slow_ms = self._last_ms
        if self._level and late >= 2:
            if self._stride == 1:
                again = self._since_fall < _STEADY * self._pause
                longer = min(2 * self._pause, self._longest_pause)
                self._pause = longer if again else self._frames_of(_FIRST_PAUSE_S)
            self._failed, self._rest_ms, self._since_fall = self._level, 0.0, 0
        if self._level:
            lower = max(0, self._level - self._stride)
            self._stride *= 2
            self._go_to(lower, f"{late} of 3 frames late; the last took {work_ms:.1f} ms of {self._period_ms:.1f}")
        self._last_ms = self._before_ms = 0.0
        self._look_anew()

    def _rise(self) -> None:
        """Half a second without a fall is over."""
        slow_ms = self.slow_ms = self._second_ms
        self._stride = 1
        self._look_anew()
        if self._level == len(self._rungs) - 1:
            return
        if not self._rest_ms:
            self._rest_ms = slow_ms
        failed_before = self._level + 1 >= self._failed
        would_ms = min(slow_ms + self._failed_ms - self._rest_ms, _RATIO * slow_ms) if failed_before else 0.0
        has_room = slow_ms <= _HEADROOM * self._period_ms and would_ms <= _FITS * self._period_ms
        if has_room or (self._since_fall >= self._pause and slow_ms <= _FITS * self._period_ms):
            if failed_before:
                self._failed = len(self._rungs)
            self._go_to(self._level + 1, f"frames kept to {slow_ms:.1f} ms of {self._period_ms:.1f}")

    def _go_to(self, level: int, reason: str) -> None:
        self._level = level
        self._decide(PaceDecision(self._tick + 1, *self._rungs[level], reason))

    def _decide(self, decision: PaceDecision) -> None:
        pace = self._pace
        pace.budget_ms, pace.every = decision.budget_ms, decision.every
        pace.requests_per_second = decision.requests_per_second
        self.decisions.append(decision)

    def __str__(self) -> str:
        """What it does now, in a line, and what frames take: all but one of the last half second, or those late."""
        if self._coming:
            return f"follows a record; the next decision is for tick {self._coming[0].tick}"
        if not self._on:
            return "off"
        pace = self._pace
        looks = "every tick" if pace.every == 1 else f"every {pace.every} ticks"
        budget = f"{pace.budget_ms:g} ms" if pace.budget_units is None else f"{pace.budget_units} units"
        return f"{looks}, {budget}, {pace.requests_per_second:g}/s: frames {self.slow_ms:.1f} ms"


def rungs(settings: Settings, moves_budget: bool = True) -> list[Rung]:
    """The ladder, (budget_ms, every, requests_per_second) a rung, cheapest first; the last is what is set."""
    s = settings
    everies = [s.every]
    while 3 * everies[-1] <= s.most_every:  # or the last step would be a small one
        everies.append(2 * everies[-1])
    if s.most_every > s.every:
        everies.append(s.most_every)
    budgets = _halvings(s.budget_ms, s.least_budget_ms) if moves_budget else [s.budget_ms]
    rates = _halvings(s.requests_per_second, s.least_requests_per_second)
    down = [(budgets[0], every, rates[0]) for every in everies]
    down += [(budget_ms, everies[-1], rates[0]) for budget_ms in budgets[1:]]
    down += [(budgets[-1], everies[-1], rate) for rate in rates[1:]]
    return down[::-1]


def _halvings(most: float, least: float) -> list[float]:
    """From ``most`` down to ``least`` (if that is less), by halves but for the last: five values at most."""
    found = [most]
    while len(found) < 4 and found[-1] / 2 >= 1.5 * least and found[-1] > 0:
        found.append(found[-1] / 2)
    return [*found, least] if least < most else found
