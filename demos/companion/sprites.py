"""Pictures of the few who fight, painted once for each size."""

from __future__ import annotations

import math

import pygame

from astrasim import Source

from . import palette as p

COLOURS = {"player": p.PLAYER, "companion": p.COMPANION, "raider": p.RAIDER, "thrower": p.THROWER,
           "captain": p.CAPTAIN, "warlord": p.WARLORD}  # fmt: skip
RADII = {"player": 1.1, "companion": 1.1, "raider": 0.92, "thrower": 0.88, "captain": 1.4, "warlord": 1.8}
_FINE = 4


class Sprites:
    """Pictures by role, for one scale."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._pictures: dict[str, pygame.Surface] = {}
        self._marks: dict[Source, pygame.Surface] = {}

    def radius(self, role: str) -> float:
        """In pixels."""
        return max(2.5, RADII[role] * self._scale)

    def of(self, role: str) -> pygame.Surface:
        """The picture of a role, or of a ``pack``; centred."""
        if role not in self._pictures:
            self._pictures[role] = _pack(self._scale) if role == "pack" else _figure(role, self.radius(role))
        return self._pictures[role]

    def mark(self, source: Source, ui: float) -> pygame.Surface:
        """The mark of a plan's source: the model's are larger than the heuristic's."""
        if source not in self._marks:
            radius = max(2.0, ui * (2.4 if source is Source.HEURISTIC else 3.6)) * _FINE
            size = math.ceil(2 * radius + 3 * _FINE)
            big = pygame.Surface((size, size), pygame.SRCALPHA)
            pygame.draw.circle(big, (28, 34, 34), (size / 2, size / 2), radius + _FINE)
            pygame.draw.circle(big, p.SOURCES[source], (size / 2, size / 2), radius)
            self._marks[source] = pygame.transform.smoothscale(big, (size // _FINE, size // _FINE))
        return self._marks[source]


def _figure(role: str, radius: float) -> pygame.Surface:
    """A round figure from above: shadow, body, light from the upper left, and a sign of its role."""
    colour, r = COLOURS[role], radius * _FINE
    size = math.ceil(r * 3.2)
    big, c = pygame.Surface((size, size), pygame.SRCALPHA), size / 2
    pygame.draw.circle(big, (20, 28, 22, 90), (c + r * 0.18, c + r * 0.24), r * 1.1)
    if role in ("captain", "warlord"):
        for side in (-1, 1):
            horn = [(c + side * r * x, c - r * y) for x, y in ((0.45, 0.7), (1.15, 1.3), (0.95, 0.3))]
            pygame.draw.polygon(big, (236, 224, 196), horn)
    pygame.draw.circle(big, _shade(colour, 0.55), (c, c), r)
    pygame.draw.circle(big, colour, (c, c), r * 0.86)
    pygame.draw.circle(big, _shade(colour, 1.25), (c - r * 0.18, c - r * 0.2), r * 0.52)
    if role in ("player", "companion"):
        pygame.draw.circle(big, (250, 250, 246), (c, c), r, max(1, round(r * 0.16)))
    if role == "companion":
        _star(big, (250, 250, 246), c, c, r * 0.5)
    if role == "thrower":
        pygame.draw.circle(big, (70, 54, 44), (c, c), r * 0.32)
    return pygame.transform.smoothscale(big, (size // _FINE, size // _FINE))


def _pack(scale: float) -> pygame.Surface:
    side = max(8.0, 1.7 * scale) * _FINE
    size = math.ceil(side * 1.4)
    big, c = pygame.Surface((size, size), pygame.SRCALPHA), size / 2
    corner = round(side / 5)
    pygame.draw.rect(big, (20, 28, 22, 90), (c - side * 0.42, c - side * 0.4, side, side), border_radius=corner)
    pygame.draw.rect(big, p.PACK, (c - side / 2, c - side / 2, side, side), border_radius=corner)
    for w, h in ((0.62, 0.22), (0.22, 0.62)):
        pygame.draw.rect(big, (206, 70, 66), (c - side * w / 2, c - side * h / 2, side * w, side * h))
    return pygame.transform.smoothscale(big, (size // _FINE, size // _FINE))


def _star(surface: pygame.Surface, colour: tuple[int, int, int], x: float, y: float, radius: float) -> None:
    corners = [(radius * (1, 0.42)[k % 2], k * math.pi / 5) for k in range(10)]
    points = [(x + far * math.sin(angle), y - far * math.cos(angle)) for far, angle in corners]
    pygame.draw.polygon(surface, colour, points)


def _shade(colour: tuple[int, int, int], by: float) -> tuple[int, int, int]:
    r, g, b = (min(255, round(part * by)) for part in colour)
    return r, g, b
