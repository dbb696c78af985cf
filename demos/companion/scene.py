"""The ground: painted once for a size of window and a view, at twice the size, and scaled down to smooth the edges."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pygame

from . import palette as p
from . import valley
from .camera import Camera

FINE = 2
MAX_PIXELS = 4_000_000
"""A larger field is painted at its own size: smooth edges are not worth a second's wait."""

FAR_EAST = 1100
"""So far beyond the valley the road goes on: out of every view."""


def paint_ground(camera: Camera) -> pygame.Surface:
    """The ground of the whole field, in the screen's format."""
    fine = FINE if camera.width * camera.height <= MAX_PIXELS else 1
    big = Camera(
        camera.width * fine, camera.height * fine, camera.scale * fine, camera.left * fine, camera.top * fine
    )
    ground = pygame.Surface((big.width, big.height))
    _grass(ground, big)
    _river(ground, big)
    _road(ground, big)
    _bridge(ground, big)
    for field in valley.FIELDS:
        _field(ground, big, field)
    for x, y in valley.TENTS:
        _tent(ground, big, x, y)
    for x, y in valley.HOUSES:
        _house(ground, big, x, y)
    for rock in valley.ROCKS:
        _rock(ground, big, rock)
    for tree in valley.TREES:
        _tree(ground, big, tree)
    if fine > 1:
        ground = pygame.transform.smoothscale(ground, (camera.width, camera.height))
    return ground.convert()


def _grass(ground: pygame.Surface, camera: Camera) -> None:
    """Soft patches of three greens, drawn from a small picture of noise."""
    rng = np.random.default_rng(7)
    small = rng.random((26, 20, 1))
    for _ in range(2):
        small = (small + np.roll(small, 1, 0) + np.roll(small, 1, 1) + np.roll(small, (1, 1), (0, 1))) / 4
    small = (small - small.min()) / (small.max() - small.min())
    colours = np.array(p.GRASS_DARK) * (1 - small) + np.array(p.GRASS_LIGHT) * small
    noise = pygame.surfarray.make_surface(colours.astype(np.uint8))
    ground.blit(pygame.transform.smoothscale(noise, ground.get_size()), (0, 0))
    tuft, draw = Random(3), max(1, round(camera.scale * 0.07))
    for _ in range(int(700 * min(1.0, camera.scale / 12))):
        x, y = tuft.uniform(0, camera.width), tuft.uniform(0, camera.height)
        colour = tuft.choice((p.GRASS_DARK, p.GRASS_LIGHT))
        pygame.draw.line(ground, colour, (x, y), (x + tuft.uniform(-3, 3) * draw, y - 3 * draw), draw)


def _band(camera: Camera, half: float) -> list[tuple[float, float]]:
    """The river's outline, from above the field to below it."""
    _, top = camera.world((0, 0))
    _, bottom = camera.world((0, camera.height))
    step = max((bottom - top) / 120, 0.5)
    ys = np.arange(top - step, bottom + 2 * step, step).tolist()
    left = [camera.at(valley.river_x(y) - half, y) for y in ys]
    return left + [camera.at(valley.river_x(y) + half, y) for y in reversed(ys)]


def _river(ground: pygame.Surface, camera: Camera) -> None:
    pygame.draw.polygon(ground, p.SAND, _band(camera, valley.RIVER_HALF + 0.9))
    pygame.draw.polygon(ground, p.WATER, _band(camera, valley.RIVER_HALF))
    ripple, width = Random(11), max(1, round(camera.scale * 0.12))
    if camera.scale < 4:
        return
    for _ in range(70):
        y, aside = ripple.uniform(0, valley.HEIGHT), ripple.uniform(-3.2, 3.2)
        length = ripple.uniform(1.0, 2.6)
        points = [camera.at(valley.river_x(y + t) + aside, y + t) for t in np.linspace(0, length, 6).tolist()]
        pygame.draw.lines(ground, p.WATER_LIGHT, False, points, width)


def _road(ground: pygame.Surface, camera: Camera) -> None:
    x, y = camera.at(*valley.VILLAGE)
    pygame.draw.circle(ground, p.ROAD, (x, y), camera.size(6.5))
    for x0, x1 in ((valley.VILLAGE[0], valley.BRIDGE[0] - 5.5), (valley.BRIDGE[0] + 5.5, valley.WIDTH + FAR_EAST)):
        points = [
            camera.at(x, valley.BRIDGE[1] + 0.5 * math.sin(x / 6)) for x in np.arange(x0, x1, 0.7).tolist()
        ]
        for point in points:
            pygame.draw.circle(ground, p.ROAD, point, camera.size(1.7))
        pygame.draw.lines(ground, p.ROAD, False, points, max(1, round(camera.size(3.4))))


def _bridge(ground: pygame.Surface, camera: Camera) -> None:
    (x, y), half = valley.BRIDGE, valley.BRIDGE_HALF
    left, top = camera.at(x - 6, y - half)
    right, bottom = camera.at(x + 6, y + half)
    shadow = pygame.Rect(left, bottom, right - left, camera.size(0.7))
    pygame.draw.rect(ground, (70, 108, 130), shadow)
    pygame.draw.rect(ground, p.PLANK, pygame.Rect(left, top, right - left, bottom - top))
    if camera.scale > 3:
        for plank in np.arange(left, right, camera.scale * 0.8).tolist():
            pygame.draw.line(ground, p.PLANK_DARK, (plank, top), (plank, bottom), max(1, round(camera.scale * 0.08)))
    for rail in (top, bottom):
        pygame.draw.line(ground, p.PLANK_DARK, (left, rail), (right, rail), max(1, round(camera.size(0.5))))
        for post in np.linspace(left, right, 6).tolist():
            pygame.draw.circle(ground, p.PLANK_DARK, (post, rail), camera.size(0.42))


def _house(ground: pygame.Surface, camera: Camera, x: float, y: float) -> None:
    half, ridge = 1.9, 0.25
    left, top = camera.at(x - half, y - half * 0.85)
    width, height = camera.size(2 * half), camera.size(2 * half * 0.85)
    drop = camera.size(0.45)
    pygame.draw.rect(ground, p.SHADOW, (left + drop, top + drop, width, height), border_radius=round(drop / 2))
    pygame.draw.rect(ground, p.ROOF_LIGHT, (left, top, width, height / 2 + 1))
    pygame.draw.rect(ground, p.ROOF, (left, top + height / 2, width, height / 2))
    pygame.draw.rect(ground, p.ROOF_DARK, (left, top + height / 2 - camera.size(ridge) / 2, width, camera.size(ridge)))
    chimney = camera.at(x + 0.9, y - 0.9)
    pygame.draw.rect(ground, p.ROCK_DARK, (*chimney, camera.size(0.6), camera.size(0.6)))


def _field(ground: pygame.Surface, camera: Camera, field: tuple[float, float, float, float]) -> None:
    left, top, width, height = field
    box = pygame.Rect(*camera.at(left, top), camera.size(width), camera.size(height))
    pygame.draw.rect(ground, p.FIELD, box, border_radius=round(camera.size(0.5)))
    if camera.scale > 3:
        for y in np.arange(top + 0.6, top + height - 0.3, 0.9).tolist():
            ends = camera.at(left + 0.5, y), camera.at(left + width - 0.5, y)
            pygame.draw.line(ground, p.FIELD_DARK, *ends, max(1, round(camera.scale * 0.22)))


def _tent(ground: pygame.Surface, camera: Camera, x: float, y: float) -> None:
    pygame.draw.circle(ground, p.SHADOW, camera.at(x + 0.4, y + 0.5), camera.size(1.8))
    rim = [(x + 1.9 * math.cos(k * math.tau / 8), y + 1.9 * math.sin(k * math.tau / 8)) for k in range(8)]
    for k in range(8):
        points = [camera.at(x, y), camera.at(*rim[k]), camera.at(*rim[(k + 1) % 8])]
        pygame.draw.polygon(ground, (p.TENT, p.TENT_DARK)[k % 2], points)


def _rock(ground: pygame.Surface, camera: Camera, rock: valley.Round) -> None:
    rng = Random(round(rock.x * 100 + rock.y))
    outline = []
    for corner in range(9):
        angle, far = corner / 9 * math.tau, rock.radius * rng.uniform(0.9, 1.15)
        outline.append((rock.x + far * math.cos(angle), rock.y + far * math.sin(angle)))
    for colour, aside, size in ((p.SHADOW, 0.3, 1.02), (p.ROCK_DARK, 0.0, 1.0), (p.ROCK, -0.1, 0.86),
                                (p.ROCK_LIGHT, -0.35, 0.45)):  # fmt: skip
        points = [
            camera.at(rock.x + (x - rock.x) * size + aside, rock.y + (y - rock.y) * size + aside) for x, y in outline
        ]
        pygame.draw.polygon(ground, colour, points)


def _tree(ground: pygame.Surface, camera: Camera, tree: valley.Round) -> None:
    rng, crown = Random(round(tree.x * 100 + tree.y)), 2.1 * tree.radius
    x, y = camera.at(tree.x + 0.45, tree.y + 0.5)
    pygame.draw.circle(ground, p.SHADOW, (x, y), camera.size(crown))
    tufts = [(rng.uniform(0, math.tau), rng.uniform(0.45, 0.7)) for _ in range(6)]
    for colour, shift, size in ((p.LEAF_DARK, 0.0, 0.62), (p.LEAF, -0.18, 0.52), (p.LEAF_LIGHT, -0.42, 0.26)):
        for angle, far in tufts:
            x, y = tree.x + far * crown * math.cos(angle), tree.y + far * crown * math.sin(angle)
            pygame.draw.circle(ground, colour, camera.at(x + shift, y + shift), camera.size(size * crown))
        if size > 0.3:
            pygame.draw.circle(ground, colour, camera.at(tree.x + shift, tree.y + shift), camera.size(0.7 * crown))
