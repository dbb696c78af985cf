"""The design of a sweep: which settings are run, in which order, and where the answer is looked for.

A face-centred central composite design over the logarithms of the factors: all corners, the middle of every face, and
the centre four times. That is what it takes to fit a surface with squares and interactions (``surface.py``), and the
centre, run again and again from the beginning to the end, says how much this machine differs from itself meanwhile. 28
runs for four factors; a grid with as many levels would be 81, and with five 625. The rest is in random order, so that a
machine that gets slower is not taken for what a factor does.

Source: Box and Wilson, "On the experimental attainment of optimum conditions", J. R. Stat. Soc. B 13 (1951); the
face-centred variant: Myers, Montgomery, Anderson-Cook, "Response Surface Methodology".
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from astrasim import SettingsError

Range = tuple[float, float]
"""The least and the most; equal: the factor is fixed."""
CENTRES = 4


class Setting(NamedTuple):
    """One point of the sweep. ``rate``: requests a second at most."""

    agents: int
    every: int
    budget_ms: float
    rate: float

    def __str__(self) -> str:
        return f"{self.agents:,} agents, every {self.every}, {self.budget_ms:g} ms, {requests(self.rate)} a second"


def requests(count: float) -> str:
    return f"{count:g} request{'' if count == 1 else 's'}"


WHOLE = ("agents", "every")
MOST: Mapping[str, float] = {"agents": 2_000_000, "every": 60, "budget_ms": 1000, "rate": 10_000}


@dataclass(frozen=True)
class Space:
    """What is swept: a range for each factor.

    Raises:
        SettingsError: for a range that is none.
    """

    agents: Range
    every: Range
    budget_ms: Range
    rate: Range

    def __post_init__(self) -> None:
        for name in Setting._fields:
            low, high = self.range(name)
            if low == high == 0 and name == "rate":
                continue  # no model
            if not 0 < low <= high <= MOST[name]:
                raise SettingsError(
                    f"{name}={low:g}:{high:g}: give a number, or LOW:HIGH, above 0 and up to {MOST[name]:,.0f}"
                )
            if name in WHOLE and not (low == int(low) and high == int(high)):
                raise SettingsError(f"{name}={low:g}:{high:g}: give whole numbers")

    def range(self, name: str) -> Range:
        low, high = getattr(self, name)
        return float(low), float(high)

    @property
    def varied(self) -> tuple[str, ...]:
        """The factors that are not fixed."""
        return tuple(name for name in Setting._fields if self.range(name)[0] < self.range(name)[1])

    def setting(self, at: Mapping[str, float]) -> Setting:
        """The setting at a place in the space: for each varied factor -1 (least) to 1 (most), in logarithms."""
        values = {name: _value(name, self.range(name), at.get(name, 0.0)) for name in Setting._fields}
        return Setting(int(values["agents"]), int(values["every"]), values["budget_ms"], values["rate"])

    def places(self, settings: Sequence[Setting]) -> NDArray[np.float64]:
        """Where settings lie, the inverse of :meth:`setting`; shape (settings, varied factors)."""
        columns = []
        for name in self.varied:
            low, high = np.log(self.range(name))
            logarithms = np.log([float(getattr(setting, name)) for setting in settings])
            columns.append(2 * (logarithms - low) / (high - low) - 1)
        return np.array(columns).T.reshape(len(settings), len(columns))

    def grid(self, levels: int = 13) -> list[Setting]:
        """Settings all over the space, so many levels a factor (fewer where there are not so many whole numbers)."""
        steps = [
            sorted({_value(name, self.range(name), at) for at in np.linspace(-1, 1, levels)})
            if name in self.varied else [self.range(name)[0]]
            for name in Setting._fields
        ]  # fmt: skip
        return [Setting(int(n), int(k), b, r) for n, k, b, r in itertools.product(*steps)]


def central_composite(space: Space, seed: int) -> list[Setting]:
    """The runs in their order; none if all factors are fixed."""
    varied = space.varied
    if not varied:
        return []
    corners = [dict(zip(varied, signs, strict=True)) for signs in itertools.product((-1.0, 1.0), repeat=len(varied))]
    faces = [{name: sign} for name in varied for sign in (-1.0, 1.0)] if len(varied) > 1 else []
    rest = [space.setting(at) for at in corners + faces]
    random.Random(seed).shuffle(rest)
    parts = CENTRES - 1
    order = [space.setting({})]
    for part in range(parts):
        order += rest[part * len(rest) // parts : (part + 1) * len(rest) // parts]
        order.append(space.setting({}))
    return order


def _value(name: str, ends: Range, at: float) -> float:
    """Rounded to two digits between the ends, which stay as they are."""
    low, high = ends
    if low == high or at <= -1:
        return low
    if at >= 1:
        return high
    value = low * math.exp((at + 1) / 2 * math.log(high / low))
    value = float(f"{value:.2g}")
    if name in WHOLE:
        value = round(value)
    return min(max(value, low), high)
