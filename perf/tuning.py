"""Tuning: which budget, which perception interval, how many requests a second, and what it will look like.

One tuning from end to end: a real model is asked until it answers, so that it is known after how long; where the number
of agents is open, a few short looks find how many there can be at all; the design (``design.py``) is run; surfaces are
fitted and a setting chosen (``choosing.py``); that one is run again and again, as often as there is time for
(``making.py``), which gives the intervals; and once for a minute, because the plan cache fills as time goes by.

Every run is a process of its own: nothing that an earlier one left is in its memory, its caches or its frames, a game
with global state begins anew, and one that dies costs one run. That takes two or three seconds of each run's ten.

The command line is ``astrasim tune``; :func:`tune` is the same for programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

from astrasim import Settings, SettingsError
from astrasim.figures import machine
from astrasim.frames import FPS, MIN_FRAMES

from .apart import measure_apart
from .choosing import choose, effects, expect, fit, frontier, read
from .design import Setting, Space, central_composite
from .finding import find
from .journal import Journal
from .making import LATER_S, Progress, Runs, Told, in_short
from .question import Question, asked_in
from .stress import Run
from .surface import Figures, Interval, Surface

CHOICES = 3
"""So many settings are tried at most until one keeps to the frame."""
_OUTSIDE = {"api_key", "base_url", "ollama_url", "budget_ms", "every", "requests_per_second", "model", "cache_file"}

Measured = Callable[[Run], Figures | None]
"""The figures of a run; None if its process died."""


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
    runs = Runs(question, Journal(folder / "tune.jsonl", asked, measured, fresh), told, progress)
    if runs.journal.found:
        told(f"{runs.journal.found} runs were made already, see {folder / 'tune.jsonl'}; --fresh makes them anew")
    question = runs.ask_the_model()
    swept = len(central_composite(question.space(question.agents or (1, 16)), question.seed))
    told(f"{runs.foresee(swept)}{', and the search for the most agents' if find_agents else ''}")
    space = question.space(question.agents or runs.most_agents())
    runs.sweep(central_composite(space, question.seed))
    chosen, surfaces, keeps = _confirm(question, space, runs)
    later = runs.make("later", chosen, MIN_FRAMES, max(question.warm_up, LATER_S * FPS - MIN_FRAMES))
    found = None
    if find_agents:
        found = find(question.run(chosen, MIN_FRAMES, 0), told=told, measured=runs.journal.measured)["find"]
    predicted = expect(runs.of("confirm", chosen), runs.of("sweep", space.setting({})))
    return {
        "question": asked | {"latency_ms": list(question.latency_ms)},
        "agents": list(space.agents),
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
        run = question.run(Setting(**result["recommended"]), question.confirm_frames, first + number)
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


def _confirm(question: Question, space: Space, runs: Runs) -> tuple[Setting, dict[str, Surface], bool]:
    """Choose, and run what was chosen. Where that does not keep to the frame, its run joins the others, and another
    setting is chosen."""
    lost = list(runs.died)
    for _ in range(CHOICES):
        surfaces = fit(space, [*runs.of("sweep"), *runs.of("confirm")])
        chosen, should = choose(space, surfaces, question.frame_ms, lost)
        times = runs.confirming()
        first = runs.make("confirm", chosen, question.confirm_frames)
        lost.append(chosen)
        kept = first is not None and first.figures["frame_ms"]["p99"] <= question.frame_ms
        if kept or not should or not space.varied:
            break
    for _ in range(1, times):
        runs.make("confirm", chosen, question.confirm_frames)
    if len(runs.of("confirm", chosen)) < 2:
        raise SettingsError(f"{chosen}: its runs ended without figures: see above, or memory was short")
    p99_ms = median(run.figures["frame_ms"]["p99"] for run in runs.of("confirm", chosen))
    return chosen, surfaces, p99_ms <= question.frame_ms
