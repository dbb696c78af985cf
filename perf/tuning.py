"""Tuning: which budget, which perception interval, how many requests a second, and what it will look like.

One tuning from end to end: where the number of agents is open, a few short looks find how many there can be at all; the
design (``design.py``) is run; surfaces are fitted and a setting chosen (``choosing.py``); that one is run again and
again, which gives the intervals; and once for a minute, because the plan cache fills as time goes by.

Every run is a process of its own: nothing that an earlier one left is in its memory, its caches or its frames, a game
with global state begins anew, and one that dies costs one run. That takes two or three seconds of each run's ten.

The command line is ``astrasim tune``; :func:`tune` is the same for programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import monotonic

from astrasim import Settings, SettingsError
from astrasim.capacity import LOOK_FRAMES
from astrasim.figures import machine
from astrasim.frames import FPS, MIN_FRAMES

from .apart import measure_apart
from .choosing import Made, choose, effects, expect, fit, frontier, read
from .design import MOST, Range, Setting, Space, central_composite
from .finding import find
from .journal import Journal
from .question import START_S, Question, asked_in
from .stress import Run
from .surface import WIDE, Figures, Interval, Surface

CONFIRMED, CONFIRMED_AT_MOST = 5, 8
CHOICES = 3
"""So many settings are tried at most until one keeps to the frame."""
LATER_S = 60
FIRST_AGENTS, STEP, FULL = 64, 8.0, 0.7
"""Where the looks for the most agents begin, their steps, and the median frame at which they end, of what there is."""
_OUTSIDE = {"api_key", "base_url", "ollama_url", "budget_ms", "every", "requests_per_second", "model", "cache_file"}

Measured = Callable[[Run], Figures | None]
"""The figures of a run; None if its process died."""
Told = Callable[[str], None]
Progress = Callable[[str, float, float], None]
"""Is told what runs now, the seconds that runs took so far, and those that are left (a guess)."""


def tune(
    question: Question,
    folder: Path,
    told: Told = lambda _: None,
    progress: Progress = lambda what, done_s, left_s: None,
    fresh: bool = False,
    find_agents: bool = False,
    measured: Measured = measure_apart,
) -> Figures:
    """Measure, choose, confirm; or go on with what ``folder`` holds of it.

    Args:
        told: is given a line after every run.
        fresh: forget what ``folder`` holds.
        find_agents: search for the most agents with the setting recommended, too.

    Returns:
        what ``tune.json`` holds: the question, the runs, the setting recommended and an interval for each figure.

    Raises:
        SettingsError: ``folder`` is about another question, a game cannot be built, or its process dies every time.
    """
    outside = {name: str(value) for name, value in Settings().model_dump(exclude_defaults=True).items()}
    asked = asdict(question) | {
        "settings": {name: value for name, value in outside.items() if name not in _OUTSIDE}, "machine": machine()
    }  # fmt: skip
    runs = _Runs(question, Journal(folder / "tune.jsonl", asked, measured, fresh), told, progress)
    if runs.journal.found:
        told(f"{runs.journal.found} runs were made already, see {folder / 'tune.jsonl'}; --fresh makes them anew")
    agents = question.agents or runs.most_agents()
    space = question.space(agents)
    runs.sweep(central_composite(space, question.seed))
    chosen, surfaces, keeps = _confirm(question, space, runs)
    later = runs.make("later", chosen, MIN_FRAMES, max(question.warm_up, LATER_S * FPS - MIN_FRAMES))
    found = None
    if find_agents:
        found = find(question.run(chosen, MIN_FRAMES, 0), told=told, measured=runs.journal.measured)["find"]
    predicted = expect(runs.of("confirm", chosen), runs.of("sweep", space.setting({})))
    return {
        "question": asked,
        "agents": list(agents),
        "recommended": chosen._asdict(),
        "keeps": keeps,
        "predicted": {name: each._asdict() | {"width": each.width} for name, each in predicted.items()},
        "later": None if later is None else read(later.figures),
        "effects": effects(space, chosen, surfaces),
        "surfaces": {name: {"sd": surface.sd, "freedom": surface.freedom} for name, surface in surfaces.items()},
        "frontier": frontier(runs.of("sweep")),
        "runs": [run._asdict() | {"setting": run.setting._asdict()} for run in runs.made],
        "find": found,
        "checks": [],
    }


def check(result: Figures, times: int, told: Told = lambda _: None, measured: Measured = measure_apart) -> Figures:
    """Run what was recommended so many times, and count in how many each figure lies in its interval.

    Returns:
        ``runs`` (the figures of each) and ``inside`` (by figure, in how many).

    Raises:
        SettingsError: a run's process died.
    """
    question = asked_in(result)
    first = len(result["runs"]) + sum(len(each["runs"]) for each in result["checks"])
    runs = []
    for number in range(times):
        run = question.run(Setting(**result["recommended"]), 2 * question.frames, first + number)
        figures = measured(run)
        if figures is None:
            raise SettingsError("the run ended without figures: see above, or memory was short")
        runs.append(read(figures))
        told(f"try {number + 1} of {times}: {in_short(figures)}")
    inside = {}
    for name, told_of in result["predicted"].items():
        interval = Interval(told_of["value"], told_of["low"], told_of["high"])
        inside[name] = sum(value is not None and interval.holds(value) for value in (run[name] for run in runs))
    return {"runs": runs, "inside": inside}


def in_short(figures: Figures) -> str:
    """A run in a line."""
    p99_ms, share, age_s = (read(figures)[name] for name in ("frame_p99_ms", "model_share", "plan_age_s"))
    age = "" if age_s is None else f", {age_s:.1f} s old"
    return f"p99 {p99_ms:.2f} ms, {figures['missed']} of {figures['frames']} missed, {share:.1%} on model plans{age}"


def _confirm(question: Question, space: Space, runs: _Runs) -> tuple[Setting, dict[str, Surface], bool]:
    """Choose, and run what was chosen. Where that does not keep to the frame, its run joins the others, and another
    setting is chosen. More runs than five where an interval is wide."""
    lost = list(runs.died)
    for _ in range(CHOICES):
        surfaces = fit(space, [*runs.of("sweep"), *runs.of("confirm")])
        chosen, should = choose(space, surfaces, question.frame_ms, lost)
        first = runs.make("confirm", chosen, 2 * question.frames)
        lost.append(chosen)
        kept = first is not None and first.figures["frame_ms"]["p99"] <= question.frame_ms
        if kept or not should or not space.varied:
            break
    for made in range(1, CONFIRMED_AT_MOST):
        if made >= CONFIRMED:
            predicted = expect(runs.of("confirm", chosen), runs.of("sweep", space.setting({})))
            if all(each.width is None or each.width <= WIDE for each in predicted.values()):
                break
        runs.make("confirm", chosen, 2 * question.frames)
        if made == CONFIRMED - 1 and len(runs.of("confirm", chosen)) < 2:
            raise SettingsError(f"{chosen}: its runs ended without figures: see above, or memory was short")
    p99_ms = median(run.figures["frame_ms"]["p99"] for run in runs.of("confirm", chosen))
    return chosen, surfaces, p99_ms <= question.frame_ms


class _Runs:
    """Makes the runs one after the other, and keeps what they gave."""

    def __init__(self, question: Question, journal: Journal, told: Told, progress: Progress) -> None:
        self._question, self.journal, self._told, self._progress = question, journal, told, progress
        self.made: list[Made] = []
        self.died: list[Setting] = []
        self._left_s = 5 * question.takes_s(LOOK_FRAMES) + self._takes_s(28)
        self._guessed_s = self._took_s = START_S  # of the runs so far, so that the next guess is better

    def _takes_s(self, swept: int) -> float:
        """What a sweep of so many runs takes, with what comes after it."""
        frames, takes_s = self._question.frames, self._question.takes_s
        return swept * takes_s(frames) + CONFIRMED * takes_s(2 * frames) + takes_s(LATER_S * FPS)

    def of(self, stage: str, setting: Setting | None = None) -> list[Made]:
        """The runs of a stage, of one setting or of all."""
        return [run for run in self.made if run.stage == stage and setting in (None, run.setting)]

    def make(self, stage: str, at: Setting, frames: int, warm_up: int | None = None) -> Made | None:
        """One run; None if its process died.

        Raises:
            SettingsError: it was the first, and the model answered nothing.
        """
        number, is_new = self.journal.taken, not self.journal.next_is_kept
        self._progress(f"{stage}: {at}", self._took_s, self._left_s * self._took_s / self._guessed_s)
        begun_s = monotonic()
        figures = self.journal.measured(self._question.run(at, frames, number, warm_up))
        guessed_s = self._question.takes_s(frames + (warm_up or self._question.warm_up) - self._question.warm_up)
        self._left_s = max(0.0, self._left_s - guessed_s)
        if is_new:
            self._guessed_s, self._took_s = self._guessed_s + guessed_s, self._took_s + monotonic() - begun_s
            said = "it ended without figures: see above, or memory was short" if figures is None else in_short(figures)
            self._told(f"{number + 1}. {at}: {said}")
        if figures is None:
            self.died.append(at)
            return None
        if not self.made and self._question.model != "none":
            _look_for_answers(figures)
        self.made.append(Made(number, stage, at, figures))
        return self.made[-1]

    def sweep(self, settings: list[Setting]) -> None:
        """Run the design."""
        self._left_s = self._takes_s(len(settings))
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


def _look_for_answers(figures: Figures) -> None:
    requests = figures["requests"]
    if not requests["answered"] and (requests["failed"] or not requests["sent"]):
        why = ", ".join(requests["reasons"]) or figures["gateway"]
        raise SettingsError(f"the model answered nothing in the first run ({why}); `astrasim doctor` may say more")
