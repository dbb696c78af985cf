"""Columns for vectorised features and actions: the same names as a handle's, with arrays for values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DomainError
from .table import Table


class Rows:
    """Some rows of a table. ``rows.hp`` is a copy of their values, ``rows.hp = ...`` writes them back.

    Args:
        index: the rows, int array of shape (m,); every value is of shape (m,).
        part: the same as a slice, where they are one: quicker.
    """

    __slots__ = ("_part", "_table", "index")

    _table: Table
    _part: NDArray[Any] | slice
    index: NDArray[np.int64]

    def __init__(self, table: Table, index: NDArray[Any], part: slice | None = None) -> None:
        object.__setattr__(self, "_table", table)
        object.__setattr__(self, "_part", index if part is None else part)
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return len(self.index)

    def __getattr__(self, name: str) -> NDArray[Any]:
        column = self._column(name)
        return column.take(self.index) if self._part is self.index else column[self._part].copy()

    def __setattr__(self, name: str, value: Any) -> None:
        self._column(name)[self._part] = value

    def _column(self, name: str) -> NDArray[Any]:
        try:
            view: NDArray[Any] = self._table.view(name)
            return view
        except DomainError as error:
            raise AttributeError(str(error)) from None

    def steer_to(self, target: Any, speed: Any) -> None:
        """Set velocities towards ``target`` (anything with ``x`` and ``y``, arrays or numbers); no overshooting."""
        dx, dy, distance = self._way(target)
        speed = np.minimum(speed, distance / self._table.tick_s)
        self.vx, self.vy = speed * dx / distance, speed * dy / distance

    def steer_away(self, target: Any, speed: Any) -> None:
        """Set velocities away from ``target``."""
        dx, dy, distance = self._way(target)
        dx = np.where((dx == 0) & (dy == 0), 1e-6, dx)
        self.vx, self.vy = -speed * dx / distance, -speed * dy / distance

    def stop(self) -> None:
        """Set velocities to zero."""
        self.vx = self.vy = 0.0

    def distance_to(self, target: Any) -> NDArray[Any]:
        """Distances in world units."""
        distance: NDArray[Any] = np.hypot(target.x - self.x, target.y - self.y)
        return distance

    def _way(self, target: Any) -> tuple[Any, Any, Any]:
        dx, dy = target.x - self.x, target.y - self.y
        return dx, dy, np.maximum(np.hypot(dx, dy), 1e-6)


class Spots:
    """Positions, as the target of a vectorised action: arrays of shape (m,)."""

    __slots__ = ("x", "y")

    def __init__(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        self.x, self.y = x, y
