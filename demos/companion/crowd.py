"""The crowd in the country around, and the search for how many agents this machine sustains at 60 frames a second.

The crowd perceives, plans and acts like everybody else. It comes and goes a few hundred a frame, so that doubling it
costs no frame; at 40 square units each it reaches 1,130 units into the country at 100,000.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astrasim import Agent, FrameTimes, capacity
from astrasim.frames import PERIOD_MS

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

    def planning_ms(self) -> tuple[float, float]:
        """p99 of the planning's CPU time since figures were last reset, and the budget: none if units of work rule."""
        sim = self._game.sim
        budget_ms = sim.pace.budget_ms if sim.pace.budget_units is None else math.inf
        return sim.planner.planning_cpu_ms.percentiles().p99, budget_ms

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
    """Looks for the largest crowd that keeps to the frame (``astrasim/capacity.py``), inside the game's own loop.

    Call ``frame`` after each.
    """

    SETTLE_FRAMES, HOPELESS_FRAMES = 45, 30
    TOLERANCE = 0.1  # somebody watches and waits

    def __init__(self, crowd: Crowd, first: int = 2000) -> None:
        self._crowd = crowd
        self._search = capacity.Search(max(first, crowd.wanted), MOST, tolerance=self.TOLERANCE)
        self.phase = "growing"
        self.result: FrameTimes | None = None
        """Of the run that confirmed the figure, once done."""
        self.conditions = ""
        """The settings of that run, in words."""
        self._work: list[float] = []
        self._missed = self._settled = 0
        self._next()

    @property
    def best(self) -> int:
        """The largest crowd so far that kept to the frame."""
        return self._search.best if self.done else self._search.low

    @property
    def done(self) -> bool:
        return self._search.trial is None

    @property
    def found(self) -> dict[str, Any]:
        """How it was found, for ``--json``."""
        return capacity.found([self._search])

    def frame(self, work_ms: float, arrived: bool) -> str:
        """One frame's work; what begins with it ("measure", "done"), or ""."""
        trial = self._search.trial
        if trial is None:
            return ""
        if not arrived:
            self._next()
            return ""
        self._settled += 1
        if self._settled <= self.SETTLE_FRAMES:
            return "measure" if self._settled == self.SETTLE_FRAMES else ""
        self.phase = "confirming" if trial.stage == "confirm" else "measuring"
        self._work.append(work_ms)
        self._missed += work_ms > PERIOD_MS
        tried = len(self._work)
        hopeless = tried >= self.HOPELESS_FRAMES and self._missed > trial.frames // 100 + 3
        if tried < trial.frames and not hopeless:
            return ""
        times = FrameTimes(np.array(self._work), self._missed, tried / 60)
        ms, planning = times.percentiles(), self._crowd.planning_ms()
        rounded = {name: round(value, 3) for name, value in ms._asdict().items()}
        figures = {"frames": tried, "frame_ms": rounded, "missed": self._missed}
        self._search.tell(capacity.judge(ms.p50, ms.p99, *planning), figures)
        if not self.done:
            self._next()
            return ""
        self.phase, self.result = "done", times
        return "done"

    def _next(self) -> None:
        if self._search.trial is not None:
            self._crowd.wanted = self._search.trial.agents
        self._work.clear()
        self._settled = self._missed = 0
        self.phase = "growing"

    def __str__(self) -> str:
        """How it stands, in a line."""
        if self.result is not None:
            p99 = self.result.percentiles().p99
            return f"Sustained: {self.best:,} in the crowd, p99 {p99:.1f} ms over {len(self.result.work_ms)} frames"
        sure = f", sure of {self.best:,}" if self.best else ""
        return f"Capacity: {self.phase} at {self._crowd.wanted:,}{sure}"
