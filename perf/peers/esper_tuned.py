"""The arena in esper, tuned: one component, one processor, and a KD-tree that looks for all at once."""

from __future__ import annotations

import random
from dataclasses import dataclass

import esper
import numpy as np
from numpy.typing import NDArray

from .fight import (
    BLOW_STAMINA,
    CONDUCT,
    COOLDOWN_S,
    DAMAGE,
    FIGHT,
    FLAG,
    FOE,
    FRIEND,
    HOME,
    REACH,
    Fight,
    Percepts,
    choose,
    velocity,
)
from .kdtree import look


@dataclass(slots=True)
class Fighter:
    x: float
    y: float
    stamina: float
    ammo: float
    home_x: float
    home_y: float
    vx: float = 0.0
    vy: float = 0.0
    hp: float = 100.0
    cooldown: float = 0.0


class Arena(esper.Processor):
    """The whole tick. Nobody joins or leaves, so that a fighter's place in esper's list is its number."""

    def __init__(self, fight: Fight) -> None:
        self.fight = fight
        self.random = random.Random(fight.seed)
        self.seen = look(np.empty((0, 2)), 0, fight.radius)

    def process(self, dt: float) -> None:
        fight = self.fight
        fighters = [fighter for _, fighter in esper.get_component(Fighter)]
        if not fighters:
            return
        self.seen = look(np.array([(fighter.x, fighter.y) for fighter in fighters]), fight.reds, fight.radius)
        flag = fight.side / 2
        struck = []
        # As lists: numpy's own numbers make all arithmetic that follows slower.
        for me, foe, foe_distance, foes, friend, _, friends in zip(
            fighters, *(column.tolist() for column in self.seen), strict=True
        ):
            me.cooldown = max(0.0, me.cooldown - dt)
            action = choose(me.hp, me.stamina, me.ammo, foe_distance, foes, friends)
            target, speed, near, stamina_rate, ammo_rate = CONDUCT[action]
            if target == FOE:
                x, y = fighters[foe].x, fighters[foe].y
            elif target == FRIEND:
                x, y = fighters[friend].x, fighters[friend].y
            elif target == FLAG:
                x = y = flag
            elif target == HOME:
                x, y = me.home_x, me.home_y
            else:
                x, y = me.x, me.y
            me.vx, me.vy = velocity(x - me.x, y - me.y, speed, near, dt)
            if action == FIGHT and foe_distance <= REACH and me.cooldown <= 0:
                me.ammo -= 1
                me.stamina -= BLOW_STAMINA
                me.cooldown = COOLDOWN_S
                struck.append(fighters[foe])
            if stamina_rate:
                me.stamina = min(100.0, max(0.0, me.stamina + stamina_rate * dt))
            if ammo_rate:
                me.ammo = min(fight.ammunition, me.ammo + ammo_rate * dt)
        for fighter in struck:
            fighter.hp -= DAMAGE
        for me in fighters:
            me.x = min(fight.side, max(0.0, me.x + me.vx * dt))
            me.y = min(fight.side, max(0.0, me.y + me.vy * dt))
            if me.hp <= 0:
                me.x, me.y = self.random.uniform(0, fight.side), self.random.uniform(0, fight.side)
                me.hp, me.stamina, me.ammo = 100.0, 100.0, fight.ammunition


class EsperTuned:
    def __init__(self, fight: Fight) -> None:
        self.tick_s = fight.tick_s
        self.world = f"esper tuned {id(self)}"
        esper.switch_world(self.world)
        self.arena = Arena(fight)
        esper.add_processor(self.arena)
        self.fighters = [
            Fighter(x, y, stamina, fight.ammunition, x, y)
            for x, y, stamina in zip(*(start.tolist() for start in fight.start()), strict=True)
        ]
        for fighter in self.fighters:
            esper.create_entity(fighter)

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        for fighter, at_x, at_y in zip(self.fighters, x.tolist(), y.tolist(), strict=True):
            fighter.x, fighter.y = at_x, at_y

    def tick(self) -> None:
        esper.switch_world(self.world)
        esper.process(self.tick_s)

    def percepts(self) -> Percepts:
        return self.arena.seen

    def state(self) -> NDArray[np.float64]:
        return np.array([(f.x, f.y, f.hp, f.stamina, f.ammo, f.cooldown) for f in self.fighters]).T

    def close(self) -> None:
        esper.switch_world("default")
        esper.delete_world(self.world)
