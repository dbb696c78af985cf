"""The arena in esper as its users write it: small components, a processor for each concern, cells in a dictionary."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import product

import esper
import numpy as np
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


@dataclass(slots=True)
class Position:
    x: float
    y: float


@dataclass(slots=True)
class Velocity:
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class Home:
    x: float
    y: float


@dataclass(slots=True)
class Team:
    red: bool


@dataclass(slots=True)
class Body:
    stamina: float
    ammo: float
    hp: float = 100.0
    cooldown: float = 0.0


@dataclass(slots=True)
class Sight:
    """Entities are 0 where nobody is in sight: esper counts from 1."""

    foe: int = 0
    foe_distance: float = math.inf
    foes: int = 0
    friend: int = 0
    friend_distance: float = math.inf
    friends: int = 0


class Look(esper.Processor):
    def __init__(self, radius: float) -> None:
        self.radius = radius

    def process(self, dt: float) -> None:
        radius = self.radius
        limit = radius * radius
        cells = defaultdict(list)
        for entity, (position, team) in esper.get_components(Position, Team):
            cell = int(position.x // radius), int(position.y // radius)
            cells[cell].append((entity, team.red, position.x, position.y))
        for entity, (position, team, sight) in esper.get_components(Position, Team, Sight):
            x, y, red = position.x, position.y, team.red
            foe = friend = foes = friends = 0
            foe_d2 = friend_d2 = math.inf
            column, row = int(x // radius), int(y // radius)
            for cell in product((column - 1, column, column + 1), (row - 1, row, row + 1)):
                for other, other_red, other_x, other_y in cells.get(cell, ()):
                    d2 = (other_x - x) ** 2 + (other_y - y) ** 2
                    if d2 > limit:
                        continue
                    if other_red != red:
                        foes += 1
                        if d2 < foe_d2:
                            foe, foe_d2 = other, d2
                    elif other != entity:
                        friends += 1
                        if d2 < friend_d2:
                            friend, friend_d2 = other, d2
            sight.foe, sight.foe_distance, sight.foes = foe, math.sqrt(foe_d2), min(foes, CAP)
            sight.friend, sight.friend_distance, sight.friends = friend, math.sqrt(friend_d2), min(friends, CAP)


class Act(esper.Processor):
    def __init__(self, side: float, ammunition: float) -> None:
        self.flag = Position(side / 2, side / 2)
        self.ammunition = ammunition

    def process(self, dt: float) -> None:
        struck = []
        for entity, (position, speed, body, sight) in esper.get_components(Position, Velocity, Body, Sight):
            body.cooldown = max(0.0, body.cooldown - dt)
            action = choose(body.hp, body.stamina, body.ammo, sight.foe_distance, sight.foes, sight.friends)
            conduct = CONDUCT[action]
            target: Position | Home = position
            if conduct.target == FOE:
                target = esper.component_for_entity(sight.foe, Position)
            elif conduct.target == FRIEND:
                target = esper.component_for_entity(sight.friend, Position)
            elif conduct.target == FLAG:
                target = self.flag
            elif conduct.target == HOME:
                target = esper.component_for_entity(entity, Home)
            speed.x, speed.y = velocity(target.x - position.x, target.y - position.y, conduct.speed, conduct.near, dt)
            if action == FIGHT and sight.foe_distance <= REACH and body.cooldown <= 0:
                body.ammo -= 1
                body.stamina -= BLOW_STAMINA
                body.cooldown = COOLDOWN_S
                struck.append(sight.foe)
            body.stamina = min(100.0, max(0.0, body.stamina + conduct.stamina_rate * dt))
            body.ammo = min(self.ammunition, body.ammo + conduct.ammo_rate * dt)
        for entity in struck:
            esper.component_for_entity(entity, Body).hp -= DAMAGE


class Move(esper.Processor):
    def __init__(self, side: float) -> None:
        self.side = side

    def process(self, dt: float) -> None:
        for _, (position, speed) in esper.get_components(Position, Velocity):
            position.x = min(self.side, max(0.0, position.x + speed.x * dt))
            position.y = min(self.side, max(0.0, position.y + speed.y * dt))


class Referee(esper.Processor):
    def __init__(self, side: float, ammunition: float, seed: int) -> None:
        self.side, self.ammunition = side, ammunition
        self.random = random.Random(seed)

    def process(self, dt: float) -> None:
        for _, (position, body) in esper.get_components(Position, Body):
            if body.hp <= 0:
                position.x, position.y = self.random.uniform(0, self.side), self.random.uniform(0, self.side)
                body.hp, body.stamina, body.ammo = 100.0, 100.0, self.ammunition


class EsperPlain:
    def __init__(self, fight: Fight) -> None:
        self.tick_s = fight.tick_s
        self.world = f"esper plain {id(self)}"
        esper.switch_world(self.world)
        esper.add_processor(Look(fight.radius), priority=4)
        esper.add_processor(Act(fight.side, fight.ammunition), priority=3)
        esper.add_processor(Move(fight.side), priority=2)
        esper.add_processor(Referee(fight.side, fight.ammunition, fight.seed), priority=1)
        self.entities = [
            esper.create_entity(
                Position(x, y), Velocity(), Home(x, y), Team(number < fight.reds),
                Body(stamina, fight.ammunition), Sight(),
            )
            for number, (x, y, stamina) in enumerate(zip(*(start.tolist() for start in fight.start()), strict=True))
        ]

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        esper.switch_world(self.world)
        for entity, at_x, at_y in zip(self.entities, x.tolist(), y.tolist(), strict=True):
            position = esper.component_for_entity(entity, Position)
            position.x, position.y = at_x, at_y

    def tick(self) -> None:
        esper.switch_world(self.world)
        esper.process(self.tick_s)

    def percepts(self) -> Percepts:
        esper.switch_world(self.world)
        number = {entity: i for i, entity in enumerate(self.entities)} | {0: -1}
        seen = [
            (number[s.foe], s.foe_distance, s.foes, number[s.friend], s.friend_distance, s.friends)
            for s in (esper.component_for_entity(entity, Sight) for entity in self.entities)
        ]
        return Percepts(*(np.array(column) for column in zip(*seen, strict=True)))

    def state(self) -> NDArray[np.float64]:
        esper.switch_world(self.world)
        all_of = [esper.try_components(entity, Position, Body) for entity in self.entities]
        return np.array([(p.x, p.y, b.hp, b.stamina, b.ammo, b.cooldown) for p, b in filter(None, all_of)]).T

    def close(self) -> None:
        esper.switch_world("default")
        esper.delete_world(self.world)
