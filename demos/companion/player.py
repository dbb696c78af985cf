"""The player's hands: what keyboard and mouse want, done to the player's agent. The autopilot has the same hands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from astrasim import Agent

from . import valley

if TYPE_CHECKING:
    from .game import Game

SPEED = 8.5
RANGE = 19.0
DAMAGE = 12.0
PAUSE_S = 0.24
THICK = {"minion": 0.9, "boss": 1.5}


class Hands:
    """Set ``move``, ``firing`` and ``aim``; the rest happens in the game's tick."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self.move = (0.0, 0.0)
        """Where to, each -1 to 1."""
        self.firing = False
        self.aim: tuple[float, float] | None = None
        """Where the mouse points; None: at the nearest enemy in sight."""
        self._pause_s = 0.0

    @property
    def velocity(self) -> tuple[float, float]:
        """For the agent that these hands move."""
        if self._game.state != "playing":
            return 0.0, 0.0
        x, y = self.move
        length = math.hypot(x, y)
        return (x / length * SPEED, y / length * SPEED) if length > 0 else (0.0, 0.0)

    def act(self, tick_s: float) -> None:
        """One tick: shoot, if the trigger is pulled and the pause is over."""
        self._pause_s = max(0.0, self._pause_s - tick_s)
        if self._game.autopilot:
            self._think()
        if self.firing and not self._pause_s:
            self._shoot()

    def _shoot(self) -> None:
        from .game import Shot

        game, me = self._game, self._game.player
        target = self._nearest() if self.aim is None else None
        if self.aim is None and target is None:
            return
        self._pause_s = PAUSE_S
        x, y = self.aim if target is None and self.aim is not None else (target.x, target.y) if target else (me.x, me.y)
        if target is None:
            angle = math.atan2(y - me.y, x - me.x)
            target = self._hit(math.cos(angle), math.sin(angle))
            reach = RANGE if target is None else me.distance_to(target)
            x, y = me.x + reach * math.cos(angle), me.y + reach * math.sin(angle)
        if target is not None:
            target.hp -= DAMAGE
        game.shots.append(Shot(me.x, me.y, x, y, "player", game.sim.time))

    def _in_sight(self) -> list[Agent]:
        me = self._game.player
        near = [enemy for enemy in self._game.enemies if me.distance_to(enemy) <= RANGE]
        if not near:
            return []
        clear = valley.sees(
            np.full(len(near), me.x), np.full(len(near), me.y), [e.x for e in near], [e.y for e in near]
        )
        return [enemy for enemy, seen in zip(near, clear.tolist(), strict=True) if seen]

    def _nearest(self) -> Agent | None:
        return min(self._in_sight(), key=self._game.player.distance_to, default=None)

    def _hit(self, dx: float, dy: float) -> Agent | None:
        """The first enemy on a line from the player."""
        me, best, found = self._game.player, RANGE, None
        for enemy in self._in_sight():
            along = (enemy.x - me.x) * dx + (enemy.y - me.y) * dy
            aside = abs((enemy.x - me.x) * dy - (enemy.y - me.y) * dx)
            if 0 < along < best and aside < THICK[enemy.kind]:
                best, found = along, enemy
        return found

    def _think(self) -> None:
        """The autopilot: hold the west bank, shoot what comes near, keep away from blades, fetch a pack when hurt."""
        game, me = self._game, self._game.player
        foe = min(game.enemies, key=me.distance_to, default=None)
        self.firing, self.aim = True, None
        near = me.distance_to(foe) if foe is not None else math.inf
        packs = [pack for pack in game.packs if pack.x < valley.WEST_BANK[0]]
        if foe is not None and near < 5.5:
            goal = (2 * me.x - foe.x, 2 * me.y - foe.y + 0.5 * math.sin(game.now_s))
        elif me.hp < 45 and packs:
            pack = min(packs, key=me.distance_to)
            goal = (pack.x, pack.y)
        elif me.hp < 30 or (foe is not None and foe.x < 30):
            goal = (valley.VILLAGE[0] + 8, valley.VILLAGE[1] + 2)
        else:
            goal = (valley.WEST_BANK[0] - 1 - (3 if near < 11 else 0), valley.BRIDGE[1] + 4 * math.sin(game.now_s / 3))
        dx, dy = goal[0] - me.x, goal[1] - me.y
        self.move = (dx, dy) if math.hypot(dx, dy) > 0.7 else (0.0, 0.0)
