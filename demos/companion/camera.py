"""Where on the screen a point of the world is, for one size of window and one of two views."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import valley


@dataclass(frozen=True)
class Camera:
    """World point (x, y) is at pixel (x * scale + left, y * scale + top) of a field of ``width`` by ``height``."""

    width: int
    height: int
    scale: float
    left: float
    top: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a world point."""
        return x * self.scale + self.left, y * self.scale + self.top

    def world(self, pixel: tuple[float, float]) -> tuple[float, float]:
        """The world point of a pixel."""
        return (pixel[0] - self.left) / self.scale, (pixel[1] - self.top) / self.scale

    def size(self, units: float, least: float = 1.0) -> float:
        """So many units, in pixels."""
        return max(least, units * self.scale)


def valley_camera(width: int, height: int) -> Camera:
    """The whole valley."""
    return _camera(width, height, min(width / valley.WIDTH, height / valley.HEIGHT))


def country_camera(width: int, height: int, radius: float) -> Camera:
    """The country as far as ``radius`` around the valley; in steps, or a growing crowd were a new view each frame."""
    steps = math.ceil(math.log(max(radius, 1.0) / 50) / math.log(1.25))
    return _camera(width, height, min(width, height) / (2 * 50 * 1.25**steps))


def _camera(width: int, height: int, scale: float) -> Camera:
    return Camera(width, height, scale, width / 2 - valley.WIDTH / 2 * scale, height / 2 - valley.HEIGHT / 2 * scale)
