"""Draws the many: a square for each agent, straight into a surface's memory.

Sprite blits cost 26 ms at 30,000 agents, this a twentieth of it. It knows no drawing library, only memory, so that the
demo and the stress run share it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _splat(
    pixels: NDArray[np.uint32], width: int, height: int, x: NDArray[np.float32], y: NDArray[np.float32],
    rows: NDArray[np.int64], scale: float, left: float, top: float, side: int, of: NDArray[np.uint8],
    colours: NDArray[np.uint32],
) -> None:  # fmt: skip
    for k in range(len(rows)):
        i = rows[k]
        px, py = x[i] * scale + left, y[i] * scale + top
        if not (0 <= px < width - side and 0 <= py < height - side):  # not so for NaN either
            continue
        first, line, colour = int(px), int(py), colours[of[i]]
        for v in range(side):
            for u in range(side):
                pixels[line + v, first + u] = colour


def draw_squares(
    surface: Any,
    agents: Any,
    rows: NDArray[np.int64],
    place: tuple[float, float, float],
    size: tuple[int, int],
    side: int,
    colours: NDArray[np.uint32],
) -> None:
    """A square of ``side`` pixels for each of ``rows``, in the colour of its plan's source.

    Args:
        surface: pygame's, of 32 bits a pixel.
        agents: the agent table.
        place: scale, left and top: point (x, y) is at pixel (x * scale + left, y * scale + top).
        size: width and height of the part that is drawn on, from the upper left.
        colours: by the value of ``Source``, as the surface maps them; shape (3,).
    """
    # The surface is locked for as long as the array lives: until this returns.
    pixels = np.frombuffer(surface.get_buffer(), np.uint32).reshape(surface.get_height(), surface.get_pitch() // 4)
    _splat(pixels, *size, agents.x, agents.y, rows, *place, side, agents.source, colours)
