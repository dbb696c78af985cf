"""What figures depend on, fitted; and the interval in which the next run's figure will lie.

A surface is a quadratic in the logarithms of the factors (with interactions), fitted by least squares to the logarithm
of a figure (of a share: its logit). Intervals are Student's, for one further run: a surface's holds the noise, how far
the surface is from the truth, and the uncertainty of the fit; one of repeated runs needs no surface.

That of repeated runs reaches as far up as down in the figure, not in its logarithm: of all that hold so many further
runs, it is the narrowest that can be told as "so much, give or take a quarter". With as many runs above as below, it
would be a sixth wider; of runs made up with bursts, with drift or with heavy tails, both held the same share.

Source: Myers, Montgomery, Anderson-Cook, "Response Surface Methodology"; Hahn and Meeker, "Statistical Intervals".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from astrasim.frames import PERIOD_S

from .design import Setting, Space

LEVEL = 0.9
"""How many of many tries fall inside an interval, if the machine stays as it was. More than four in five, because it
does not quite."""
WIDE = 0.3
"""An interval that reaches further than this from its figure is said to be wide."""
LEAST, LEAST_OF_TIMES = 0.15, 0.25
"""No interval reaches less far: some runs one after the other do not show what the next hour brings, and the speed of a
shared machine changes by half and more."""
_LEAST_SHARE, _LEAST_VALUE = 1e-4, 1e-6
_FURTHEST = 1e6

Figures = dict[str, Any]


class Interval(NamedTuple):
    """``value`` is what to expect; the next run lies between ``low`` and ``high``, ends included. ``is_most``: ``high``
    is the most that was seen."""

    value: float
    low: float
    high: float
    is_most: bool = False

    @property
    def width(self) -> float | None:
        """How far the ends are from the value, as a share of it; None where ``high`` is the most that was seen."""
        return None if self.is_most else max(self.high / self.value - 1, 1 - self.low / self.value)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def _waited_s(wait_s: float | None) -> float | None:
    """Less than a tick is no wait: whose plan ends in one has the next in the tick after it."""
    return None if wait_s is None else max(wait_s, PERIOD_S)


class Figure(NamedTuple):
    """A figure that is predicted. ``read`` gives it, or None where a run has none. ``least``: how far its interval
    reaches at least, as a share of it."""

    words: str
    form: str
    read: Callable[[Figures], float | None]
    is_share: bool = False
    least: float = LEAST


PREDICTED: dict[str, Figure] = {
    "frame_p50_ms": Figure(
        "work a frame, median", "{:.2f} ms", lambda f: f["frame_ms"]["p50"], least=LEAST_OF_TIMES
    ),
    "frame_p99_ms": Figure("work a frame, p99", "{:.2f} ms", lambda f: f["frame_ms"]["p99"], least=LEAST_OF_TIMES),
    "planning_p99_ms": Figure(
        "planning a tick, p99 (CPU time)", "{:.2f} ms", lambda f: f["planning_ms"]["cpu_p99"], least=LEAST_OF_TIMES
    ),
    "model_share": Figure(
        "agent-ticks on a model's plan", "{:.1%}", lambda f: f["agent_ticks"]["llm"] + f["agent_ticks"]["cache"], True
    ),
    "plan_age_s": Figure("age of those plans", "{:.2f} s", lambda f: f["plans"]["age_s"]),
    "answers_per_second": Figure("answers a second", "{:.1f}", lambda f: f["requests"]["answered"] / f["seconds"]),
}
"""The figures that a recommendation gives an interval for; missed frames are counted, see :func:`up_to_the_most`."""
WAIT = Figure("wait for the next plan", "{:.2f} s", lambda f: _waited_s(f["plans"]["wait_s"]))


class Surface:
    """A figure over a space, from runs at ``settings``. ``freedom``: runs beyond those that fix its terms; with none,
    nothing is known of how far it is from the truth."""

    def __init__(self, space: Space, settings: Sequence[Setting], values: Sequence[float], is_share: bool) -> None:
        self._space, self._is_share = space, is_share
        places = space.places(settings)
        # A factor with two levels has no square.
        self._squares = [q for q in range(places.shape[1]) if len(np.unique(places[:, q].round(6))) > 2]
        terms, y = self._terms(places), forward(np.array(values, np.float64), is_share)
        self._inverse = np.linalg.pinv(terms.T @ terms)
        self._weights = self._inverse @ terms.T @ y
        self.freedom = len(y) - int(np.linalg.matrix_rank(terms))
        residuals = y - terms @ self._weights
        self.sd = math.sqrt(float(residuals @ residuals) / self.freedom) if self.freedom else math.inf
        """Of a run around the surface, in the logarithm."""

    def _terms(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        factors = range(places.shape[1])
        columns = [np.ones(len(places)), *(places[:, q] for q in factors)]
        columns += [places[:, q] ** 2 for q in self._squares]
        columns += [places[:, p] * places[:, q] for p, q in itertools.combinations(factors, 2)]
        return np.array(columns).T

    def at(self, settings: Sequence[Setting], level: float = LEVEL) -> tuple[NDArray[np.float64], ...]:
        """What to expect, and the least and the most that a run there will give; shape (settings,) each."""
        terms = self._terms(self._space.places(settings))
        y = terms @ self._weights
        reach = _student(self.freedom, level) * self.sd * np.sqrt(1 + ((terms @ self._inverse) * terms).sum(axis=1))
        return tuple(backward(each, self._is_share) for each in (y, y - reach, y + reach))


    def differ(self, one: Setting, other: Setting) -> bool:
        """Whether the surface knows that two settings differ, as surely as intervals are."""
        a, b = self._terms(self._space.places([one, other]))
        noise = self.sd * math.sqrt(max(0.0, float((a - b) @ self._inverse @ (a - b))))
        return bool(abs(float((a - b) @ self._weights)) > _student(self.freedom, LEVEL) * noise)


def repeated(
    values: Sequence[float], others: Sequence[Sequence[float]], is_share: bool = False, least: float = LEAST
) -> Interval:
    """The interval of one further run like those that gave ``values``, two at least.

    Args:
        others: runs of other settings, each repeated; how they differ among themselves counts as well, which is how the
            machine's drift over the whole sweep gets into an interval from a few runs on end.
    """
    if not min(values):
        return up_to_the_most(values)
    # What is 0 has no logarithm, and says nothing of how figures differ where they are more.
    groups = [forward(np.array(group, np.float64), is_share) for group in (values, *others) if group and min(group)]
    y = groups[0]
    freedom = sum(len(group) - 1 for group in groups)
    sd = math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / freedom)
    sd *= math.sqrt(1 + 1 / len(y))
    value = float(backward(y.mean(), is_share))

    def ends(reach: float) -> tuple[float, float]:
        high = value * (1 + reach)
        return max(0.0, value * (1 - reach)), min(high, 1.0) if is_share else high

    def missing(reach: float) -> float:
        """The share of further runs that an interval with this reach would need besides."""
        low, high = ends(reach)
        places = (forward(np.array([low, high]), is_share) - y.mean()) / max(sd, _LEAST_VALUE)
        below, above = stdtr(freedom, places)
        return LEVEL - float((above if high < 1 or not is_share else 1.0) - (below if low > 0 else 0.0))

    if missing(_FURTHEST) > 0:
        return up_to_the_most(values)
    reach = least if missing(least) <= 0 else float(brentq(missing, least, _FURTHEST))
    return Interval(value, *ends(reach))


def up_to_the_most(values: Sequence[float]) -> Interval:
    """Of a figure that may well be 0: the next run has no more than the most so far, in n of n + 1 tries whatever it
    depends on."""
    return Interval(float(np.median(values)), 0.0, float(max(values)), is_most=True)


def _student(freedom: int, level: float) -> float:
    return float(stdtrit(freedom, (1 + level) / 2))


def forward(values: NDArray[np.float64], is_share: bool) -> NDArray[np.float64]:
    """A figure on the scale on which surfaces are added up: its logarithm, of a share its logit."""
    if is_share:
        shares = np.clip(values, _LEAST_SHARE, 1 - _LEAST_SHARE)
        return np.asarray(np.log(shares / (1 - shares)))
    return np.log(np.maximum(values, _LEAST_VALUE))


def backward(y: NDArray[np.float64], is_share: bool) -> NDArray[np.float64]:
    """The inverse of :func:`forward`."""
    return np.asarray(1 / (1 + np.exp(-y)) if is_share else np.exp(y))
