"""Obstacles: a grid of cells that block movement and sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DomainError


@dataclass(frozen=True)
class Obstacles:
    """``blocked[row, column]`` covers y from row * cell and x from column * cell, in world units. Empty: none."""

    blocked: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    cell: float = 1.0


def obstacle_grid(blocked: Any, cell: float) -> Obstacles:
    """Obstacles from any 2-d array of truth values.

    Raises:
        DomainError: if it is not 2-d, or the cell's side is not a finite number above 0.
    """
    try:
        grid = np.ascontiguousarray(np.asarray(blocked) != 0, dtype=np.uint8)
    except ValueError as error:  # rows of different lengths
        raise DomainError(f"obstacles: expected an array of shape (rows, columns): {error}") from None
    if grid.ndim != 2:
        raise DomainError(f"obstacles: expected an array of shape (rows, columns), got shape {grid.shape}")
    if not 0 < cell < float("inf"):
        raise DomainError(f"obstacles: cell={cell!r} must be a finite number above 0, in world units")
    return Obstacles(grid, float(cell))
