"""The runs of a tuning, made one after the other; and how much time there is for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from astrasim import Settings, SettingsError
from astrasim.capacity import LOOK_FRAMES
from astrasim.frames import FPS

from .choosing import Made, read
from .design import MOST, Range, Setting
from .journal import Journal
from .question import Question
from .surface import Figures

WITHIN_S = 570
"""What is recommended is run as often as fits into so many seconds with all the rest, within these bounds. Not until
its figures agree: that would choose the times at which they do so by chance."""
CONFIRMED, CONFIRMED_AT_MOST = 5, 8
LATER_S = 60
FIRST_AGENTS, STEP, FULL = 64, 8.0, 0.7
"""Where the looks for the most agents begin, their steps, and the median frame at which they end, of what there is."""
_LOOKS = 6
"""So many there are, about."""
_CALIBRATED_S = 300
"""A model that calibrates itself for a game has so much time for it."""

Told = Callable[[str], None]
Progress = Callable[[str, float, float], None]
"""Is told what runs now, the seconds that runs took so far, and those that are left (a guess)."""


class Runs:
    """Makes the runs, and keeps what they gave."""

    def __init__(self, question: Question, journal: Journal, told: Told, progress: Progress) -> None:
        self._question, self.journal, self._told, self._progress = question, journal, told, progress
        self.made: list[Made] = []
        self.died: list[Setting] = []
        self._to_come: list[float] = []  # seconds that each run to come is thought to take
        self._extra_s: list[float] = []  # how much longer each run so far took than it was thought to

    def _last_s(self, runs: Sequence[float]) -> float:
        """What these runs will take, as far as is known by now: a slow machine starts every process slowly. The median,
        because the first run may have compiled kernels."""
        return sum(runs) + len(runs) * (median(self._extra_s) if self._extra_s else 0.0)

    def _plan(self, before: Sequence[float]) -> int:
        """What comes: these runs, as many of what is recommended as there is time for (returned), and a minute."""
        asked = self._question
        one_s, later_s = asked.takes_s(asked.confirm_frames), asked.takes_s(LATER_S * FPS, 0)
        room_s = WITHIN_S - self.journal.took_s - self._last_s([*before, later_s])
        times = min(max(int(room_s / self._last_s([one_s])), CONFIRMED), CONFIRMED_AT_MOST)
        self._to_come = [*before, *[one_s] * times, later_s]
        return times

    def confirming(self) -> int:
        """How often to run what was chosen."""
        return self._plan([])

    def of(self, stage: str, setting: Setting | None = None) -> list[Made]:
        """The runs of a stage, of one setting or of all."""
        return [run for run in self.made if run.stage == stage and setting in (None, run.setting)]

    def make(self, stage: str, at: Setting, frames: int, warm_up: int | None = None) -> Made | None:
        """One run; None if its process died.

        Raises:
            SettingsError: it was the first, and the stub answered nothing.
        """
        number, is_new = self.journal.taken, not self.journal.next_is_kept
        begun_s = self.journal.took_s
        self._progress(f"{stage}: {at}", begun_s, self._last_s(self._to_come))
        figures = self.journal.measured(self._question.run(at, frames, number, warm_up))
        self._extra_s.append(self.journal.took_s - begun_s - self._question.takes_s(frames, warm_up))
        del self._to_come[:1]
        if is_new:
            said = "it ended without figures: see above, or memory was short" if figures is None else in_short(figures)
            self._told(f"{number + 1}. {at}: {said}")
        if figures is None:
            self.died.append(at)
            return None
        if not self.made and self._question.model == "stub":
            self._look_for_answers(figures)
        self.made.append(Made(number, stage, at, figures))
        return self.made[-1]

    def ask_the_model(self) -> Question:
        """Find out after how long a real model answers. One that calibrates itself for the game is given time for it.

        Returns:
            the question, with the latency.

        Raises:
            SettingsError: it answered nothing.
        """
        asked = self._question
        if not asked.is_real:
            return asked
        agents = asked.agents or (FIRST_AGENTS, FIRST_AGENTS)
        frames = math.ceil(Settings().deadline_s * FPS)  # by then it has answered, or it has failed
        while True:
            made = self.make("ask", asked.space(agents).setting({}), frames, warm_up=0)
            if made is None:
                raise SettingsError("the first run ended without figures: see above, or memory was short")
            if "calibrating" not in made.figures["requests"]["reasons"]:
                break
            self._told("the model was still calibrating itself for a role of this game: it is asked again")
            if self.journal.took_s > _CALIBRATED_S:
                self.journal.forget()
                raise SettingsError(
                    f"the model has not calibrated itself within {_CALIBRATED_S} s; what it has done is kept, and with "
                    "the same command it goes on there"
                )
        self._look_for_answers(made.figures)
        latency = made.figures["latency_ms"]
        self._question = replace(asked, latency_ms=(latency["p50"], latency["p95"]))
        self._told("the model answered in {p50:.0f} ms (p50), {p95:.0f} ms (p95)".format(**latency))
        return self._question

    def _look_for_answers(self, figures: Figures) -> None:
        """Of the first run. One without answers is not kept: the same command asks again, when there is a model."""
        requests = figures["requests"]
        # A small game may have asked about all its situations before the frames that count.
        if not requests["answered"] and not read(figures)["model_share"]:
            self.journal.forget()
            why = ", ".join(requests["reasons"]) or figures["gateway"]
            raise SettingsError(f"the model answered nothing in the first run ({why}); `astrasim doctor` may say more")

    def foresee(self, swept: int) -> str:
        """What a sweep of so many runs takes, and all that comes with it."""
        question = self._question
        looks = [] if question.agents else [question.takes_s(LOOK_FRAMES)] * _LOOKS
        times = self._plan([*looks, *[question.takes_s(question.frames)] * swept])
        minutes = (self.journal.took_s + self._last_s(self._to_come)) / 60
        said = f"{swept} runs of the sweep, {times} of what it recommends, one of a minute: about {minutes:.0f} min"
        return f"some looks for the most agents, {said}" if looks else said

    def sweep(self, settings: list[Setting]) -> None:
        """Run the design."""
        self._plan([self._question.takes_s(self._question.frames)] * len(settings))
        for at in settings:
            self.make("sweep", at, self._question.frames)

    def most_agents(self) -> Range:
        """A range for the number of agents: up to where the median frame is nearly full, from a sixteenth of that."""
        limit_ms, n, kept, kept_ms = FULL * self._question.frame_ms, FIRST_AGENTS, 0, 0.0
        while True:
            run = self.make("look", self._question.space((n, n)).setting({}), LOOK_FRAMES)
            p50_ms = math.inf if run is None else run.figures["frame_ms"]["p50"]
            if p50_ms >= limit_ms or n == MOST["agents"]:
                break
            kept, kept_ms = n, p50_ms
            n = int(min(n * min(STEP, max(2.0, 1.4 * limit_ms / p50_ms)), MOST["agents"]))
        if not kept:
            most: float = n / 4
        elif limit_ms < p50_ms < math.inf:  # between the two, in logarithms
            most = kept * (n / kept) ** (math.log(limit_ms / kept_ms) / math.log(p50_ms / kept_ms))
        else:
            most = n if p50_ms <= limit_ms else kept
        most = max(2, int(float(f"{most:.2g}")))
        return max(1, most // 16), most


def in_short(figures: Figures) -> str:
    """A run in a line."""
    p99_ms, share, age_s = (read(figures)[name] for name in ("frame_p99_ms", "model_share", "plan_age_s"))
    age = "" if age_s is None else f", {age_s:.1f} s old"
    return f"p99 {p99_ms:.2f} ms, {figures['missed']} of {figures['frames']} missed, {share:.1%} on model plans{age}"
