"""What a tuning is asked: the ranges of its factors, the model, and what of a frame may be taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

from astrasim import Settings, SettingsError
from astrasim.frames import FPS, PERIOD_MS

from .design import Range, Setting, Space
from .stress import WARM_UP_FRAMES, Run
from .surface import Figures

START_S = 3.0
"""What a run takes besides its frames."""
_CONFIRM = 4


@dataclass(frozen=True)
class Question:
    """What is asked. A range with equal ends fixes its factor.

    ``agents`` None: as many as there can be is part of the question. ``latency_ms``: of the stub; a real model's is
    found by asking it. ``frames``: of a run of the sweep. ``frame_ms``: what p99 of the simulation's work may take of a
    frame; less than 16.67 leaves room for what the game does besides.

    Raises:
        SettingsError: for what cannot be asked.
    """

    workload: str = "arena"
    model: str = "stub"
    latency_ms: tuple[float, float] = (100.0, 500.0)
    agents: Range | None = None
    every: Range = (1, 8)
    budget_ms: Range = (0.25, 4)
    rate: Range = (5, 100)
    frames: int = 300
    frame_ms: float = PERIOD_MS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 < self.frame_ms <= PERIOD_MS:
            raise SettingsError(
                f"frames={self.frames}, frame_ms={self.frame_ms:g}: need 1 or more, and above 0 up to {PERIOD_MS:.2f}"
            )
        low_ms, high_ms = self.latency_ms
        if not 0 <= low_ms <= high_ms < math.inf:
            raise SettingsError(f"a latency of {low_ms / 1000:g} to {high_ms / 1000:g} s: give LOW:HIGH, 0 or more")
        at = self.space(self.agents or (1, 2)).setting({})  # raises for what is no range
        self.run(at, self.frames, 0)  # ... and for what is no workload
        deadline_s = Settings().deadline_s
        if self.model == "stub" and low_ms >= deadline_s * 1000:
            raise SettingsError(
                f"a model that answers in {low_ms / 1000:g} s, with deadline_s={deadline_s:g}: every "
                "answer would be given up. Set deadline_s (ASTRASIM_DEADLINE_S, astrasim.toml) to twice the latency"
            )

    def space(self, agents: Range) -> Space:
        """What is swept, with so many agents."""
        return Space(agents, self.every, self.budget_ms, self.rate if self.model != "none" else (0, 0))

    @property
    def is_real(self) -> bool:
        """Whether the model is one whose latency has to be found out."""
        return self.model not in ("stub", "none")

    @property
    def warm_up(self) -> int:
        """Frames before those that count: the first answers are there by then."""
        return max(WARM_UP_FRAMES, math.ceil(2 * self.latency_ms[1] / 1000 * FPS) if self.model != "none" else 0)

    @property
    def confirm_frames(self) -> int:
        """Of a run of what is recommended. Machines are held up in bursts: where 10 s of them differ by 13%, 20 s
        differ by less."""
        return _CONFIRM * self.frames

    def run(self, at: Setting, frames: int, number: int, warm_up: int | None = None) -> Run:
        """The run of a setting. Each has another seed: the next game will have another, too."""
        return Run(
            at.agents, at.every, frames, self.model, at.rate, at.budget_ms, self.seed + number, self.latency_ms,
            self.workload, warm_up=self.warm_up if warm_up is None else warm_up,
        )  # fmt: skip

    def takes_s(self, frames: int, warm_up: int | None = None) -> float:
        """About how long a run takes."""
        return START_S + (frames + (self.warm_up if warm_up is None else warm_up)) / FPS


def asked_in(result: Figures) -> Question:
    """The question that a result answers."""
    asked = {name: value for name, value in result["question"].items() if name not in ("settings", "machine")}
    ranges: Figures = {name: tuple(each) if isinstance(each, list) else each for name, each in asked.items()}
    return Question(**ranges)
