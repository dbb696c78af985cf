"""Movement, and what stands in its way: bounds, blocked cells, and lines of sight through them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH
from .columns import VX, VY, X, Y


@njit(cache=True, fastmath=FASTMATH)
def integrate(
    f: NDArray[np.float32], count: int, dt: float, bounded: bool, width: float, height: float,
    blocked: NDArray[np.uint8], cell: float,
) -> None:  # fmt: skip
    """Move by velocity, stay inside the bounds, and slide along blocked cells (x and y are tried one after the other).

    Who stands in a blocked cell, because it was put there, may walk out. A velocity that is no number moves nobody.
    """
    dt32, w, h = np.float32(dt), np.float32(width), np.float32(height)
    rows = blocked.shape[0]
    for i in range(count):
        x, y = f[X, i] + f[VX, i] * dt32, f[Y, i] + f[VY, i] * dt32
        if not (abs(x) < np.inf and abs(y) < np.inf):
            continue
        if bounded:
            x, y = min(max(x, np.float32(0)), w), min(max(y, np.float32(0)), h)
        if rows > 0 and not _is_blocked(blocked, cell, f[X, i], f[Y, i]):
            if _is_blocked(blocked, cell, x, f[Y, i]):
                x = f[X, i]
            if _is_blocked(blocked, cell, x, y):
                y = f[Y, i]
        f[X, i], f[Y, i] = x, y


@njit(cache=True)
def _is_blocked(blocked: NDArray[np.uint8], cell: float, x: float, y: float) -> bool:
    cx, cy = int(np.floor(x / cell)), int(np.floor(y / cell))
    return 0 <= cy < blocked.shape[0] and 0 <= cx < blocked.shape[1] and blocked[cy, cx] != 0


@njit(cache=True)
def sight(
    f: NDArray[np.float32], seen_f: NDArray[np.float32], reference: NDArray[np.int32], looking: NDArray[np.int64],
    visible: int, blocked: NDArray[np.uint8], cell: float,
) -> None:  # fmt: skip
    """Write to float column ``visible`` whether no blocked cell lies between the agents ``looking`` and what each sees.

    Walks the cells on the way (Amanatides and Woo, "A fast voxel traversal algorithm for ray tracing", 1987). The two
    end cells do not block: who stands in cover sees out of it.
    """
    for i in looking:
        j = reference[i]
        if j < 0:
            f[visible, i] = 0
            continue
        f[visible, i] = 1
        if blocked.shape[0] == 0:
            continue
        x0, y0, x1, y1 = f[X, i] / cell, f[Y, i] / cell, seen_f[X, j] / cell, seen_f[Y, j] / cell
        if not (abs(x0) < 1e6 and abs(y0) < 1e6 and abs(x1) < 1e6 and abs(y1) < 1e6):
            f[visible, i] = 0
            continue
        cx, cy = int(np.floor(x0)), int(np.floor(y0))
        ex, ey = int(np.floor(x1)), int(np.floor(y1))
        dx, dy = x1 - x0, y1 - y0
        sx, sy = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
        delta_x = abs(1 / dx) if dx != 0 else np.inf
        delta_y = abs(1 / dy) if dy != 0 else np.inf
        next_x = ((cx + 1 - x0) if dx > 0 else (x0 - cx)) * delta_x if dx != 0 else np.inf
        next_y = ((cy + 1 - y0) if dy > 0 else (y0 - cy)) * delta_y if dy != 0 else np.inf
        for _ in range(abs(ex - cx) + abs(ey - cy)):
            if next_x < next_y:
                cx, next_x = cx + sx, next_x + delta_x
            else:
                cy, next_y = cy + sy, next_y + delta_y
            if cx == ex and cy == ey:
                break
            if 0 <= cy < blocked.shape[0] and 0 <= cx < blocked.shape[1] and blocked[cy, cx]:
                f[visible, i] = 0
                break
