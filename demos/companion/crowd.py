"""The crowd in the country around, and the search for how many agents this machine sustains at 60 frames a second.

The crowd perceives, plans and acts like everybody else. It comes and goes a few hundred a frame, so that doubling it
costs no frame; at 40 square units each it reaches 1,130 units into the country at 100,000.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from astrasim import Agent, FrameTimes
from astrasim.frames import MIN_FRAMES, PERIOD_MS

from . import valley

if TYPE_CHECKING:
    from .game import Game

MOST = 100_000
FIRST = 100
A_FRAME = 250
_CLEARING, _ROOM = 66.0, 40.0
_GOLDEN = math.pi * (3 - math.sqrt(5))


class Crowd:
    """``wanted`` is set by keys and by the search; ``run`` once a frame brings the crowd there."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._people: list[Agent] = []
        self.wanted = 0

    def __len__(self) -> int:
        return len(self._people)

    def more(self) -> None:
        """Twice as many, up to 100,000 agents."""
        self.wanted = min(MOST, max(FIRST, 2 * self.wanted))

    def fewer(self) -> None:
        """Half as many, down to none."""
        self.wanted = self.wanted // 2 if self.wanted > FIRST else 0

    @property
    def radius(self) -> float:
        """How far the crowd that is wanted reaches, from the middle of the valley."""
        return math.sqrt(_CLEARING**2 + max(self.wanted, len(self)) * _ROOM / math.pi)

    def run(self) -> bool:
        """Let some come or go; whether all have."""
        now = len(self)
        if now < self.wanted:
            number = min(A_FRAME, self.wanted - now)
            x, y = _places(now, number) + self._game.sim.rng.uniform(-2.5, 2.5, (2, number))
            stamina = 20 + 80 * ((np.arange(now, now + number) * 0.618) % 1)
            self._people += self._game.sim.spawn_many("folk", number, x=x, y=y, stamina=stamina)
        elif now > self.wanted:
            number = min(A_FRAME, now - self.wanted)
            for agent in self._people[-number:]:
                self._game.sim.remove(agent)
            del self._people[-number:]
        return len(self) == self.wanted

    def rows(self) -> NDArray[np.int64]:
        """Their rows in the agent table."""
        agents = self._game.sim.agents
        return np.flatnonzero(agents.kind == agents.kind_names.index("folk"))


def _places(first: int, number: int) -> NDArray[np.float64]:
    """Where number ``first`` and the following live: x and y on a spiral around the valley, not in the river."""
    n = np.arange(first, first + number) + 0.5
    far, angle = np.sqrt(_CLEARING**2 + n * _ROOM / math.pi), n * _GOLDEN
    x, y = valley.WIDTH / 2 + far * np.cos(angle), valley.HEIGHT / 2 + far * np.sin(angle)
    gap = x - (valley.BRIDGE[0] + 3.2 * np.sin((y - valley.BRIDGE[1]) / 13))
    return np.stack([np.where(np.abs(gap) < 8, x + np.where(gap < 0, -8, 8), x), y])


class Search:
    """Looks for the largest crowd at which p99 of the frames stays within 16.67 ms. Call ``frame`` after each."""

    GROW, SETTLE_FRAMES, LOOK_FRAMES, TRIES = 1.3, 45, 180, 3
    """Three tries, because other programs take the processor now and then."""

    def __init__(self, crowd: Crowd, first: int = 2000) -> None:
        self._crowd = crowd
        self.best = 0
        """The largest crowd that kept to the frame in a short look."""
        self.phase = "growing"
        self.result: FrameTimes | None = None
        """Of the run that confirmed the figure, once done."""
        self.conditions = ""
        """The settings of that run, in words."""
        self.confirming = False
        self._work: list[float] = []
        self._missed = self._settled = self._failed = 0
        crowd.wanted = max(first, crowd.wanted)

    @property
    def done(self) -> bool:
        return self.phase == "done"

    def frame(self, work_ms: float, arrived: bool) -> str:
        """One frame's work; what begins with it ("measure", "done"), or ""."""
        if self.done:
            return ""
        if not arrived:
            self._work.clear()
            self._settled = self._missed = 0
            self.phase = "growing"
            return ""
        self._settled += 1
        if self._settled <= self.SETTLE_FRAMES:
            return "measure" if self._settled == self.SETTLE_FRAMES else ""
        self.phase = "confirming" if self.confirming else "measuring"
        self._work.append(work_ms)
        self._missed += work_ms > PERIOD_MS
        needed = MIN_FRAMES if self.confirming else self.LOOK_FRAMES
        hopeless = self._missed > needed // 100 + 3
        if len(self._work) < needed and not hopeless:
            return ""
        return self._judge(float(np.percentile(self._work, 99)) <= PERIOD_MS and not hopeless)

    def _judge(self, kept: bool) -> str:
        now, work, missed = self._crowd.wanted, np.array(self._work), self._missed
        self._work.clear()
        self._missed = self._settled = 0
        self._failed = 0 if kept else self._failed + 1
        if self.confirming and (kept or now == 0):
            self.phase, self.best = "done", now
            self.result = FrameTimes(work, missed, len(work) / 60)
            return "done"
        if not kept and self._failed < self.TRIES:
            return ""
        self._failed = 0
        if self.confirming:
            self._crowd.wanted = int(now * 0.85) // 50 * 50
        elif kept and now < MOST:
            self.best = now
            self._crowd.wanted = min(MOST, int(now * self.GROW) // 50 * 50)
        else:
            self.confirming = True
            self._crowd.wanted = now if kept else self.best or now // 2
        return ""

    def __str__(self) -> str:
        """How it stands, in a line."""
        if self.result is not None:
            p99 = self.result.percentiles().p99
            return f"Sustained: {self.best:,} in the crowd, p99 {p99:.1f} ms over {MIN_FRAMES} frames"
        sure = f", sure of {self.best:,}" if self.best else ""
        return f"Capacity: {self.phase} at {self._crowd.wanted:,}{sure}"
