"""The map: a valley with a river, one bridge over it, a village to defend, and rocks and trees to hide behind.

In world units; the valley is 94 by 72, west is left. Beyond it lies open country, where only the crowd lives.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 94.0, 72.0
VILLAGE = (11.0, 36.0)
BRIDGE = (50.0, 36.0)
WEST_BANK, EAST_BANK = (41.5, 36.0), (58.5, 36.0)
CAMP = (90.0, 36.0)
RIVER_HALF, BRIDGE_HALF, BRIDGE_REACH = 4.0, 3.4, 6.5
VILLAGE_RADIUS = 8.0
PACK_SPOTS = ((33.0, 14.0), (33.0, 58.0), (65.0, 52.0), (67.0, 19.0))
HOUSES = ((5.0, 28.5), (11.5, 25.5), (4.5, 43.5), (11.5, 47.0), (18.0, 29.0), (18.0, 43.0), (4.0, 36.0))
FIELDS = ((2.5, 13.5, 9.0, 7.0), (2.5, 52.5, 7.0, 8.5), (11.0, 53.0, 6.0, 6.0))
"""Left, top, width, height; nobody minds being walked over."""
TENTS = ((91.5, 28.0), (91.0, 44.5), (87.5, 25.0))
BODY = 0.9
"""How near to the edge of a rock or a trunk somebody can stand."""


class Round(NamedTuple):
    """A rock or a trunk: it stops walkers and blocks sight."""

    x: float
    y: float
    radius: float


ROCKS = tuple(
    Round(*rock)
    for rock in (
        (41, 28, 1.6), (40, 44.5, 1.8), (33, 40.5, 1.4), (31, 30.5, 1.3), (60.5, 28.5, 1.7), (61.5, 43.5, 1.6),
        (68, 38.5, 1.5), (72, 30, 1.9), (74, 45, 1.8), (24, 21, 1.7), (25, 51.5, 1.6), (80, 22, 2.0), (81, 53, 1.7),
    )
)  # fmt: skip


def river_x(y: float) -> float:
    """Where the middle of the river is at ``y``; it goes on beyond the valley."""
    return BRIDGE[0] + 3.2 * math.sin((y - BRIDGE[1]) / 13)


def _trees() -> tuple[Round, ...]:
    """A wood of its own making, the same each time, that leaves road, river, village and packs free."""
    rng, trees = Random(4), list[Round]()
    while len(trees) < 44:
        x, y = rng.uniform(2, WIDTH - 2), rng.uniform(2, HEIGHT - 2)
        edge = min(y, HEIGHT - y)
        free = abs(y - BRIDGE[1]) > 8 and abs(x - river_x(y)) > RIVER_HALF + 3 and edge < rng.uniform(4, 26)
        free &= all(not (left - 3 < x < left + w + 3 and top - 3 < y < top + h + 3) for left, top, w, h in FIELDS)
        others = [*((*spot, 3.0) for spot in PACK_SPOTS), *((*spot, 3.0) for spot in (*HOUSES, *TENTS)), *ROCKS, *trees]
        if free and all(math.dist((x, y), other[:2]) > 4.4 for other in others):
            trees.append(Round(x, y, rng.uniform(0.6, 0.9)))
    return tuple(sorted(trees, key=lambda tree: tree.y))


TREES = _trees()
COVER: NDArray[np.float64] = np.array([*ROCKS, *TREES, *((x, y, 1.9) for x, y in HOUSES)])
"""All that stops walkers and blocks sight, shape (n, 3): x, y, radius."""


def water() -> NDArray[np.bool_]:
    """Cells of one unit that nobody walks on, for ``sim.set_obstacles``: the river, but for the bridge."""
    y, x = np.mgrid[0 : int(HEIGHT), 0 : int(WIDTH)] + 0.5
    middle = BRIDGE[0] + 3.2 * np.sin((y - BRIDGE[1]) / 13)
    wet: NDArray[np.bool_] = (np.abs(x - middle) < RIVER_HALF) & (np.abs(y - BRIDGE[1]) > BRIDGE_HALF)
    return wet


def sees(x0: Any, y0: Any, x1: Any, y1: Any) -> NDArray[np.bool_]:
    """Whether nothing of the cover lies between (x0, y0) and (x1, y1): the simulation's hook for lines of sight.

    Water hides nobody, so this is not left to the obstacles of the simulation.
    """
    start = np.stack([np.atleast_1d(x0), np.atleast_1d(y0)], -1).astype(np.float64)[:, None]
    way = np.stack([np.atleast_1d(x1), np.atleast_1d(y1)], -1).astype(np.float64)[:, None] - start
    to_cover = COVER[None, :, :2] - start
    length = np.maximum((way**2).sum(-1), 1e-9)
    along = np.clip((to_cover * way).sum(-1) / length, 0, 1)[..., None]
    gap = ((to_cover - along * way) ** 2).sum(-1)
    clear: NDArray[np.bool_] = (gap > COVER[None, :, 2] ** 2).all(1)
    return clear


def shelter_from(x: float, y: float, danger_x: float, danger_y: float) -> tuple[float, float] | None:
    """The nearest place behind a rock or a trunk, seen from the danger; None if there is none within 25 units."""
    away = COVER[:, :2] - (danger_x, danger_y)
    away /= np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-6)[:, None]
    spots = COVER[:, :2] + away * (COVER[:, 2] + BODY + 0.6)[:, None]
    distance = np.hypot(spots[:, 0] - x, spots[:, 1] - y)
    dry = np.abs(spots[:, 0] - BRIDGE[0] - 3.2 * np.sin((spots[:, 1] - BRIDGE[1]) / 13)) > RIVER_HALF + 1
    same_bank = (spots[:, 0] > BRIDGE[0]) == (x > BRIDGE[0])
    best = int(np.argmin(np.where(dry & same_bank, distance, np.inf)))
    return (float(spots[best, 0]), float(spots[best, 1])) if distance[best] < 25 else None
