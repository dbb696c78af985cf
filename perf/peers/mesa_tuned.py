"""The arena in Mesa, tuned: a KD-tree over the space's array of positions looks for all at once, and all move at once.
What is each agent's own to decide is still its method."""

from __future__ import annotations

from typing import Any

import mesa
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


class Fighter(mesa.Agent):
    """Its position is a row of the model's array, and, as plain numbers, ``x`` and ``y``."""

    def __init__(self, model: Battle, x: float, y: float, stamina: float) -> None:
        super().__init__(model)
        self.x, self.y, self.home_x, self.home_y = x, y, x, y
        self.hp, self.stamina, self.ammo, self.cooldown = 100.0, stamina, model.fight.ammunition, 0.0

    def act(
        self, foe: Fighter, foe_distance: float, foes: int, friend: Fighter, friends: int, tick_s: float
    ) -> tuple[float, float]:
        self.cooldown = max(0.0, self.cooldown - tick_s)
        action = choose(self.hp, self.stamina, self.ammo, foe_distance, foes, friends)
        target, speed, near, stamina_rate, ammo_rate = CONDUCT[action]
        if action == FIGHT and foe_distance <= REACH and self.cooldown <= 0:
            self.ammo -= 1
            self.stamina -= BLOW_STAMINA
            self.cooldown = COOLDOWN_S
            self.model.struck.append(foe)
        if stamina_rate:
            self.stamina = min(100.0, max(0.0, self.stamina + stamina_rate * tick_s))
        if ammo_rate:
            self.ammo = min(self.model.fight.ammunition, self.ammo + ammo_rate * tick_s)
        if target == FOE:
            x, y = foe.x, foe.y
        elif target == FRIEND:
            x, y = friend.x, friend.y
        elif target == FLAG:
            x = y = self.model.flag
        elif target == HOME:
            x, y = self.home_x, self.home_y
        else:
            return 0.0, 0.0
        return velocity(x - self.x, y - self.y, speed, near, tick_s)


class Battle(mesa.Model):
    def __init__(self, fight: Fight) -> None:
        super().__init__(rng=fight.seed)
        self.fight = fight
        self.flag = fight.side / 2
        self.struck: list[Any] = []
        x, y, stamina = fight.start()
        self.positions = np.stack((x, y), axis=1)
        Fighter.create_agents(self, fight.agents, x.tolist(), y.tolist(), stamina.tolist())
        # Nobody joins or leaves, so that an agent's place in this list is its row.
        self.fighters: list[Any] = list(self.agents)
        self.seen = look(self.positions, fight.reds, fight.radius)

    def step(self) -> None:
        fight, fighters = self.fight, self.fighters
        if not fighters:
            return
        self.seen = look(self.positions, fight.reds, fight.radius)
        foe, foe_distance, foes, friend, _, friends = (column.tolist() for column in self.seen)
        velocities = [
            me.act(fighters[f], d, nf, fighters[a], na, fight.tick_s)
            for me, f, d, nf, a, na in zip(fighters, foe, foe_distance, foes, friend, friends, strict=True)
        ]
        for fighter in self.struck:
            fighter.hp -= DAMAGE
        self.struck.clear()
        self.positions += np.array(velocities) * fight.tick_s
        np.clip(self.positions, 0, fight.side, out=self.positions)
        for row, me in enumerate(fighters):
            if me.hp <= 0:
                self.positions[row] = self.rng.uniform(0, fight.side, 2)
                me.hp, me.stamina, me.ammo = 100.0, 100.0, fight.ammunition
        self.show_positions()

    def show_positions(self) -> None:
        for me, (x, y) in zip(self.fighters, self.positions.tolist(), strict=True):
            me.x, me.y = x, y


class MesaTuned:
    def __init__(self, fight: Fight) -> None:
        self.model = Battle(fight)

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.model.positions[:] = np.stack((x, y), axis=1)
        self.model.show_positions()

    def tick(self) -> None:
        self.model.step()

    def percepts(self) -> Percepts:
        return self.model.seen

    def state(self) -> NDArray[np.float64]:
        own = np.array([(f.hp, f.stamina, f.ammo, f.cooldown) for f in self.model.fighters]).reshape(-1, 4)
        return np.concatenate((self.model.positions, own), axis=1).T

    def close(self) -> None:
        self.model.remove_all_agents()
