"""From the runs of a sweep to a setting: the surfaces, the choice, and what is to be expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .design import WHOLE, Setting, Space
from .surface import PREDICTED, WAIT, Figures, Interval, Surface, repeated, up_to_the_most

AS_GOOD = 0.95
"""A setting with so large a share of the best one's model-driven agents is as good, if it costs less."""
LONGEST_WAIT_S = 0.1
"""Agents that need a plan get one within so long, on average, or the budget is too small."""
SURE = 0.8
"""What is chosen keeps to the frame in nine of ten runs, as far as the surface knows: one in ten is above this
interval. Its own runs say more."""
_FITTED = ("frame_p99_ms", "model_share", "plan_age_s", "wait_s")


class Made(NamedTuple):
    """A run that was made. ``stage``: "look" (for the most agents), "sweep", "confirm" or "later"."""

    number: int
    stage: str
    setting: Setting
    figures: Figures


def fit(space: Space, made: Sequence[Made]) -> dict[str, Surface]:
    """A surface for each figure that enough runs have; p99 and share on model plans, the plans' age and the wait."""
    surfaces = {}
    for name in _FITTED:
        figure = PREDICTED.get(name, WAIT)
        known = [(run.setting, value) for run in made if (value := figure.read(run.figures)) is not None]
        if len({setting for setting, _ in known}) > 1:
            settings, values = zip(*known, strict=True)
            surface = Surface(space, settings, values, figure.is_share)
            if surface.freedom:
                surfaces[name] = surface
    return surfaces


def choose(
    space: Space, surfaces: dict[str, Surface], frame_ms: float, lost: Sequence[Setting] = ()
) -> tuple[Setting, bool]:
    """A setting, and whether it should keep to the frame.

    It has the most agents on model plans at a time (agents times share), and of those that have nearly as many it costs
    least: interval, budget and requests, each by where it lies in its range.

    Args:
        lost: settings that did not keep to the frame; nothing as heavy is chosen.
    """
    grid = [at for at in space.grid() if not any(_as_heavy(at, other) for other in lost)]
    if "frame_p99_ms" not in surfaces or not grid:
        return grid[0] if grid else space.grid()[0], bool(grid)  # nothing was varied, or nothing is left
    expected, _, most = surfaces["frame_p99_ms"].at(grid, SURE)
    fits = most <= frame_ms
    if not fits.any():
        return grid[int(np.argmin(expected))], False
    if "wait_s" in surfaces:
        prompt = fits & (surfaces["wait_s"].at(grid)[0] <= LONGEST_WAIT_S)
        fits = prompt if prompt.any() else fits
    share = surfaces["model_share"].at(grid)[0]
    driven = np.where(fits, share * np.array([at.agents for at in grid]), 0.0)
    good = np.flatnonzero(driven >= AS_GOOD * driven.max())
    costs = [q for q, name in enumerate(space.varied) if name != "agents"]
    cost = space.places([grid[q] for q in good])[:, costs].sum(axis=1)
    return grid[int(good[np.argmin(cost)])], True


def _as_heavy(at: Setting, lost: Setting) -> bool:
    return (at.agents >= lost.agents and at.every <= lost.every and at.budget_ms >= lost.budget_ms
            and at.rate >= lost.rate)  # fmt: skip


def read(figures: Figures) -> dict[str, float | None]:
    """The figures of a run that are predicted, by name."""
    return {name: figure.read(figures) for name, figure in PREDICTED.items()} | {"missed": float(figures["missed"])}


def expect(confirmed: Sequence[Made], centre: Sequence[Made]) -> dict[str, Interval]:
    """For each figure that all runs of a setting have, the interval of one more.

    Args:
        centre: the runs of the design's centre, from the beginning of the sweep to its end.
    """
    found = {}
    for name, figure in PREDICTED.items():
        values = [value for run in confirmed if (value := figure.read(run.figures)) is not None]
        others = [value for run in centre if (value := figure.read(run.figures)) is not None]
        if len(values) == len(confirmed):
            found[name] = repeated(values, [others], figure.is_share, figure.least)
    return found | {"missed": up_to_the_most([run.figures["missed"] for run in confirmed])}


def effects(space: Space, chosen: Setting, surfaces: dict[str, Surface]) -> dict[str, list[dict[str, Any]]]:
    """For each factor that was varied: what the surfaces expect at its least, at what was chosen, and at its most; and
    in which figures that stands out of the noise (``stands_out``)."""
    found = {}
    for name in space.varied:
        low, high = space.range(name)
        values = sorted({low, float(getattr(chosen, name)), high})
        settings = [Setting(**chosen._asdict() | {name: int(value) if name in WHOLE else value}) for value in values]
        expected = {figure: surface.at(settings)[0].tolist() for figure, surface in surfaces.items()}
        found[name] = [
            {"value": value, **{figure: each[q] for figure, each in expected.items()},
             "stands_out": [figure for figure, surface in surfaces.items() if surface.differ(settings[q], chosen)]}
            for q, value in enumerate(values)
        ]  # fmt: skip
    return found


def frontier(swept: Sequence[Made]) -> list[int]:
    """The numbers of the runs than which no other has as large a share on model plans at as small a p99, or better."""
    share_of, p99_of = (PREDICTED[name].read for name in ("model_share", "frame_p99_ms"))
    points = [(run.number, share_of(run.figures) or 0.0, p99_of(run.figures) or 0.0) for run in swept]
    return [
        number for number, share, p99 in points
        if not any(s >= share and p <= p99 and (s, p) != (share, p99) for _, s, p in points)
    ]  # fmt: skip
