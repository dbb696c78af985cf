"""The arena in Mesa as its users write it, after Mesa's own flocking example: agents in a continuous space that ask it
for their neighbours, activated by stage, so that all look before anybody moves."""

from __future__ import annotations

import math
from typing import Any

import mesa
import numpy as np
from mesa.experimental.continuous_space import ContinuousSpace, ContinuousSpaceAgent
from numpy.typing import NDArray

from .fight import (
    BLOW_STAMINA,
    CAP,
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


class Fighter(ContinuousSpaceAgent):
    def __init__(
        self, model: Battle, space: ContinuousSpace, position: NDArray[np.float64], red: bool, stamina: float
    ) -> None:
        super().__init__(space, model)
        self.position = position
        self.home = np.array(position)
        self.red = red
        self.hp, self.stamina, self.ammo, self.cooldown = 100.0, float(stamina), model.fight.ammunition, 0.0
        self.velocity = (0.0, 0.0)
        self.foe: Fighter | None = None
        self.friend: Fighter | None = None
        self.foe_distance = self.friend_distance = math.inf
        self.foes = self.friends = 0

    def look(self) -> None:
        self.foe = self.friend = None
        self.foe_distance = self.friend_distance = math.inf
        self.foes = self.friends = 0
        others, distances = self.get_neighbors_in_radius(self.model.fight.radius)
        for other, distance in zip(others, distances.tolist(), strict=True):
            if other.red != self.red:
                self.foes += 1
                if distance < self.foe_distance:
                    self.foe, self.foe_distance = other, distance
            else:
                self.friends += 1
                if distance < self.friend_distance:
                    self.friend, self.friend_distance = other, distance
        self.foes, self.friends = min(self.foes, CAP), min(self.friends, CAP)

    def act(self) -> None:
        fight = self.model.fight
        self.cooldown = max(0.0, self.cooldown - fight.tick_s)
        action = choose(self.hp, self.stamina, self.ammo, self.foe_distance, self.foes, self.friends)
        conduct = CONDUCT[action]
        x, y = self.position.tolist()
        target_x, target_y = self.place_of(conduct.target, x, y)
        self.velocity = velocity(target_x - x, target_y - y, conduct.speed, conduct.near, fight.tick_s)
        if action == FIGHT and self.foe_distance <= REACH and self.cooldown <= 0:
            self.ammo -= 1
            self.stamina -= BLOW_STAMINA
            self.cooldown = COOLDOWN_S
            self.model.struck.append(self.foe)
        self.stamina = min(100.0, max(0.0, self.stamina + conduct.stamina_rate * fight.tick_s))
        self.ammo = min(fight.ammunition, self.ammo + conduct.ammo_rate * fight.tick_s)

    def place_of(self, target: int, x: float, y: float) -> Any:
        if target == FOE and self.foe is not None:
            return self.foe.position.tolist()
        if target == FRIEND and self.friend is not None:
            return self.friend.position.tolist()
        if target == FLAG:
            return self.model.fight.side / 2, self.model.fight.side / 2
        return self.home.tolist() if target == HOME else (x, y)

    def move(self) -> None:
        fight = self.model.fight
        if self.hp <= 0:
            self.position = self.model.rng.uniform(0, fight.side, 2)
            self.hp, self.stamina, self.ammo = 100.0, 100.0, fight.ammunition
        elif self.velocity != (0.0, 0.0):
            moved = self.position + np.array(self.velocity) * fight.tick_s
            self.position = np.clip(moved, 0, fight.side)


class Battle(mesa.Model):
    def __init__(self, fight: Fight) -> None:
        super().__init__(rng=fight.seed)
        self.fight = fight
        self.struck: list[Any] = []
        self.space = ContinuousSpace(
            [[0, fight.side], [0, fight.side]], torus=False, random=self.random, n_agents=fight.agents
        )
        x, y, stamina = fight.start()
        red = np.arange(fight.agents) < fight.reds
        Fighter.create_agents(self, fight.agents, self.space, np.stack((x, y), axis=1), red.tolist(), stamina.tolist())

    def step(self) -> None:
        self.agents.do("look")
        self.agents.do("act")
        for fighter in self.struck:
            fighter.hp -= DAMAGE
        self.struck.clear()
        self.agents.do("move")


class MesaPlain:
    def __init__(self, fight: Fight) -> None:
        self.model = Battle(fight)
        self.fighters: list[Any] = list(self.model.agents)

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.model.space.agent_positions[:] = np.stack((x, y), axis=1)

    def tick(self) -> None:
        self.model.step()

    def percepts(self) -> Percepts:
        number: dict[Any, int] = {fighter: i for i, fighter in enumerate(self.fighters)} | {None: -1}
        seen = [
            (number[f.foe], f.foe_distance, f.foes, number[f.friend], f.friend_distance, f.friends)
            for f in self.fighters
        ]
        return Percepts(*(np.array(column) for column in zip(*seen, strict=True)))

    def state(self) -> NDArray[np.float64]:
        own = np.array([(f.hp, f.stamina, f.ammo, f.cooldown) for f in self.fighters]).reshape(-1, 4)
        return np.concatenate((self.model.space.agent_positions, own), axis=1).T

    def close(self) -> None:
        self.model.remove_all_agents()
