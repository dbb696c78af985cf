"""The search for the largest number of agents at 60 frames a second, each try in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from astrasim import SettingsError
from astrasim.capacity import Search, Verdict, found, judge
from astrasim.frames import MIN_FRAMES

from .apart import measure_apart
from .stress import Run

MOST = 2_000_000
KEPT = ("frame_ms", "missed", "planning_ms", "rss_mb", "requests")
"""Figures of every try."""
Figures = dict[str, Any]


def find(
    run: Run,
    runs: int = 1,
    most: int = MOST,
    told: Callable[[str], None] = lambda _: None,
    measured: Callable[[Run], Figures | None] = measure_apart,
) -> Figures:
    """Search ``runs`` times, beginning at ``run.agents``, and return the figures of the search in the middle.

    They are those of the run that confirmed its number, with ``find`` beside them
    (:func:`~astrasim.capacity.found`). Where not even one agent is sustained, ``median`` is 0 and the figures are
    those of the last try.

    Args:
        told: is given a line before and after every try.
        measured: one run; None if its process died.

    Raises:
        SettingsError: for fewer than 600 frames, no search at all, or a budget of 0.
    """
    if run.frames < MIN_FRAMES:
        raise SettingsError(f"frames={run.frames}: a number is sustained over {MIN_FRAMES} frames; give that or more")
    if runs < 1:
        raise SettingsError(f"runs={runs}: give 1 or more")
    if not run.budget_ms:
        raise SettingsError("budget_ms=0: nobody plans then, and a search is for agents that do; give it more than 0")
    searches: list[tuple[Search, Figures]] = []
    first = max(1, run.agents)
    for number in range(runs):
        prefix = f"search {number + 1} of {runs}: " if runs > 1 else ""
        searches.append(_search(replace(run, agents=first), most, prefix, told, measured))
        first = max(1, searches[0][0].best * 7 // 10)  # near, so that the bracket takes a few looks less
    find = found([search for search, _ in searches])
    middle = next(figures for search, figures in searches if search.best == find["median"])
    return middle | {"find": find}


def _search(
    run: Run, most: int, prefix: str, told: Callable[[str], None], measured: Callable[[Run], Figures | None]
) -> tuple[Search, Figures]:
    search, last = Search(run.agents, most, frames=run.frames), None
    while (trial := search.trial) is not None:
        what = f"{prefix}{trial.agents:,} agents, {trial.frames} frames"
        told(f"{what} ({trial.stage}{_between(search)}) ...")
        figures = measured(replace(run, agents=trial.agents, frames=trial.frames))
        verdict = Verdict(kept=False, clear=True) if figures is None else judge(
            figures["frame_ms"]["p50"], figures["frame_ms"]["p99"], figures["planning_ms"]["cpu_p99"], run.budget_ms
        )  # fmt: skip
        told(f"{what}: {_in_words(figures, verdict)}")
        search.tell(verdict, {"died": True} if figures is None else {name: figures[name] for name in KEPT})
        last = figures or last
    if last is None:
        raise SettingsError("every run's process died, with one agent too; `astrasim stress --agents 1` may say why")
    return search, last


def _between(search: Search) -> str:
    kept = f"; {search.low:,} kept to the frame" if search.low else ""
    return kept + (f", {search.high:,} did not" if search.high is not None else "")


def _in_words(figures: Figures | None, verdict: Verdict) -> str:
    if figures is None:
        return "its process died, for want of memory perhaps"
    frame, planning = figures["frame_ms"], figures["planning_ms"]
    said = f"p50 {frame['p50']:.2f}, p99 {frame['p99']:.2f} ms, planning p99 {planning['cpu_p99']:.2f} ms of CPU time"
    return f"{said}: {'kept' if verdict.kept else 'not kept'}{'' if verdict.clear else ', but close'}"
