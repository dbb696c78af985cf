"""How fighters walk: the player by its own hands, all others as their steps want, round what stands in their way.

A processor of the game's own, between AstraSim's Action (which says where an agent wants to go) and Move (which
integrates): all it does is to change velocities. The numbers are few, so numpy over all pairs is quick enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import esper
import numpy as np
from numpy.typing import NDArray

from . import valley

if TYPE_CHECKING:
    from .game import Game

PRIORITY = 15
ELBOW_ROOM = 1.9
PUSH = 3.0
_EDGE = 0.5

Floats = NDArray[np.float64]


class Footing(esper.Processor):
    """Keeps fighters on the bridge, out of each other's way and in the valley."""

    def __init__(self, game: Game) -> None:
        self._game = game

    def process(self, dt: float | None = None) -> None:
        game, agents = self._game, self._game.sim.agents
        player = game.player
        if player.alive:
            player.vx, player.vy = game.hands.velocity
        rows = game.fighter_rows()
        if not len(rows):
            return
        at: Floats = np.stack([agents.x[rows], agents.y[rows]], -1).astype(np.float64)
        wanted: Floats = np.stack([agents.vx[rows], agents.vy[rows]], -1).astype(np.float64)
        wanted[~np.isfinite(wanted)] = 0
        steered = rows == (player.row if player.alive else -1)
        speed = np.hypot(wanted[:, 0], wanted[:, 1])
        velocity = np.where(steered[:, None], wanted, _to_the_bridge(at, wanted, speed))
        velocity = _around_cover(at, velocity, speed)
        velocity += _elbow_room(at) * np.where(steered, 0.0, 1.0)[:, None]
        tick_s = max(agents.tick_s, 1e-3)
        low, high = np.array([_EDGE, _EDGE]), np.array([valley.WIDTH - _EDGE, valley.HEIGHT - _EDGE])
        velocity = (np.clip(at + velocity * tick_s, low, high) - at) / tick_s
        agents.vx[rows], agents.vy[rows] = velocity[:, 0], velocity[:, 1]


def _to_the_bridge(at: Floats, wanted: Floats, speed: Floats) -> Floats:
    """Whoever would walk into the water goes along the bank to the bridge, and on the bridge straight over it."""
    gap = at[:, 0] - (valley.BRIDGE[0] + 3.2 * np.sin((at[:, 1] - valley.BRIDGE[1]) / 13))
    aside = at[:, 1] - valley.BRIDGE[1]
    crossing, near = gap * wanted[:, 0] < 0, np.abs(gap) < valley.BRIDGE_REACH
    into_it = crossing & near & (np.abs(aside) > valley.BRIDGE_HALF) & (speed > 0.1)
    mouth = np.where(gap[:, None] < 0, valley.WEST_BANK, valley.EAST_BANK)
    way = mouth - at
    way *= (speed / np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-6))[:, None]
    on_it = (np.abs(aside) <= valley.BRIDGE_HALF) & ((np.abs(gap) < valley.RIVER_HALF + 1) | (crossing & near))
    off_it = on_it & (np.abs(aside + 0.2 * wanted[:, 1]) > valley.BRIDGE_HALF - 0.8) & (speed > 0.1)
    along = np.stack([np.sign(wanted[:, 0]) * speed, np.clip(-2 * aside, -speed / 2, speed / 2)], -1)
    return np.where(into_it[:, None], way, np.where(off_it[:, None], along, wanted))


def _around_cover(at: Floats, velocity: Floats, speed: Floats) -> Floats:
    """Slide round rocks, trunks and houses: what of a velocity leads into one is turned aside."""
    away = at[:, None] - valley.COVER[None, :, :2]
    distance = np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-6)
    nearest = np.argmin(distance - valley.COVER[None, :, 2], axis=1)
    pick = np.arange(len(at)), nearest
    normal = away[pick] / distance[pick][:, None]
    gap = distance[pick] - valley.COVER[nearest, 2] - valley.BODY
    inwards = (velocity * normal).sum(-1)
    blocked = (gap < 0.4) & (inwards < 0)
    slide = velocity - inwards[:, None] * normal
    tangent = np.stack([-normal[:, 1], normal[:, 0]], -1)
    turn = np.where((slide * tangent).sum(-1) < 0, -1.0, 1.0)[:, None]
    around = tangent * turn * speed[:, None] + normal * np.maximum(-gap, 0)[:, None] * 6
    return np.where(blocked[:, None], around, velocity)


def _elbow_room(at: Floats) -> Floats:
    """Apart from those who stand too near."""
    away = at[:, None] - at[None, :]
    distance = np.hypot(away[..., 0], away[..., 1])
    # Two on one spot: apart by their order, or they would stay there.
    away[..., 0] += np.where(distance < 1e-6, np.sign(np.arange(len(at))[:, None] - np.arange(len(at))[None]), 0) * 0.1
    room = np.clip(ELBOW_ROOM - distance, 0, None) / np.maximum(distance, 0.3)
    push: Floats = PUSH * (away * room[..., None]).sum(1)
    return np.clip(push, -4, 4)
