"""The arena: the workload of all capacity figures. Two teams fight on a square world, through the public domain.

The square's side is 12·√N, so that each agent has about 20 others within its perception radius of 30, whatever N is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim import Domain, Rows, Settings, Simulation, Situation

RADIUS = 30.0
TEAMS = ("red", "blue")
TERRAIN_CELL = 24.0
AMMUNITION = 12


def side_of(agents: int) -> float:
    """The side of the square world, in world units."""
    return 12.0 * math.sqrt(max(1, agents))


Sense = Callable[[Situation], list[str]]


def make_arena(agents: int, sense: Sense | None = None) -> Domain:
    """The domain: 12 features, 8 kinds of action. ``sense`` is the heuristic; default: :func:`common_sense`."""
    side = side_of(agents)
    arena = Domain("arena", {"red": {"ammo": AMMUNITION}, "blue": {"ammo": AMMUNITION}}, size=(side, side))
    arena.relation("enemy", [("red", "blue")], mutual=True)
    arena.relation("ally", [("red", "red"), ("blue", "blue")])
    arena.percept("foe", nearest="enemy", radius=RADIUS)
    arena.percept("foes", count="enemy", radius=RADIUS, cap=15)
    arena.percept("friend", nearest="ally", radius=RADIUS)
    arena.percept("friends", count="ally", radius=RADIUS, cap=15)
    arena.place("flag", x=side / 2, y=side / 2)
    _features(arena, side)
    _actions(arena)
    for team in TEAMS:
        arena.heuristic(team)(sense or common_sense)
    return arena


def _features(arena: Domain, side: float) -> None:
    arena.feature("contact", column="foe_distance", edges=[9], hysteresis=1.5, interrupt=True,
                  words=["an enemy is upon you", "no enemy is upon you"])
    arena.feature("hurt", column="hp", edges=[30], hysteresis=5, interrupt=True,
                  words=["you are badly hurt", "you can fight"])
    arena.feature("health", column="hp", edges=[50, 75], words=["health is low", "health is fair", "health is good"])
    arena.feature("foe_range", column="foe_distance", edges=[8, 16, 31],
                  words=["an enemy is in reach", "an enemy is near", "an enemy is in sight", "no enemy in sight"])
    arena.feature("foe_count", column="foes", edges=[1, 4, 12],
                  words=["no enemies around", "a few enemies around", "many enemies around", "enemies everywhere"])
    arena.feature("friend_range", column="friend_distance", edges=[6, 31],
                  words=["a friend is beside you", "a friend is in sight", "you are alone"])
    arena.feature("friend_count", column="friends", edges=[1, 4, 12],
                  words=["no friends around", "a few friends around", "many friends around", "friends everywhere"])
    arena.feature("weapon", column="attack_cooldown", edges=[0.05], words=["weapon ready", "weapon not ready yet"])
    arena.feature("ammunition", column="ammo", edges=[1, 4],
                  words=["no ammunition", "little ammunition", "enough ammunition"])
    arena.feature("stamina_left", column="stamina", edges=[20, 60], words=["exhausted", "tired", "rested"])

    near_and_far = ["at the flag", "not far from the flag", "far from the flag"]

    @arena.feature(edges=[0.12, 0.35], words=near_and_far, vectorised=True)
    def flag_distance(me: Rows) -> NDArray[Any]:
        dx, dy = me.x - side / 2, me.y - side / 2
        return np.sqrt(dx * dx + dy * dy) / side

    @arena.feature(edges=[1, 2], words=["in the open", "in a wood", "in a bog"], vectorised=True)
    def terrain(me: Rows) -> NDArray[Any]:
        return ground(me.x, me.y)


def ground(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """The terrain: 0 open, 1 wood, 2 bog, in patches fixed by position."""
    patch: NDArray[Any] = np.floor(x / TERRAIN_CELL) * 7 + np.floor(y / TERRAIN_CELL) * 13
    patch -= np.floor(patch / 10) * 10  # the remainder, in a fifth of the time that % takes on integers
    return (patch >= 6).astype(np.float32) + (patch >= 9)


def _actions(arena: Domain) -> None:
    arena.stock("attack", targets=["foe"], damage=9, range=8, speed=5, near=3, cooldown=0.9, ammunition=1, stamina=2,
                seconds=3.0,
                about="strike an enemy in reach")
    arena.stock("approach", targets=["foe", "flag", "friend"], speed=5, near=4, stamina_rate=2)
    arena.stock("flee", targets=["foe"], speed=6, stamina_rate=6, seconds=2.0)
    arena.stock("follow", targets=["friend"], speed=4.5, near=4, stamina_rate=1)
    arena.stock("hold", targets=["flag", "self"], speed=4, near=6)
    arena.stock("patrol", targets=["flag", "home"], speed=3, radius=40, seconds=5.0)
    arena.stock("reload", targets=["self"], rate=6, limit=AMMUNITION, seconds=2.0)
    arena.stock("rest", targets=["self"], rate=18, limit=100, seconds=4.0)


def common_sense(s: Situation) -> list[str]:
    """The arena's heuristic, for both teams."""
    if s.hurt == 0:
        return ["flee foe", "rest self", "patrol home"]
    if s.stamina_left == 0:
        return ["rest self", "hold self"]
    if s.ammunition == 0:
        return ["flee foe", "reload self"] if s.foe_range < 2 else ["reload self", "patrol flag"]
    if s.foe_range < 3:
        if s.foe_count > s.friend_count and s.health < 2:
            return ["follow friend", "attack foe"]
        return ["attack foe", "approach foe", "attack foe"]
    if s.friend_count == 0:
        return ["approach friend", "patrol home"]
    return ["patrol flag", "hold flag"] if s.flag_distance > 0 else ["hold flag", "patrol flag"]


class Referee(esper.Processor):
    """Puts the dead back, healed, at a place drawn anew. Runs after movement."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.deaths = 0

    def process(self, dt: float | None = None) -> None:
        agents = self._sim.agents
        dead = np.flatnonzero(agents.hp <= 0)
        if not len(dead):
            return
        self.deaths += len(dead)
        assert self._sim.domain.size is not None
        width, height = self._sim.domain.size
        agents.x[dead] = self._sim.rng.uniform(0, width, len(dead))
        agents.y[dead] = self._sim.rng.uniform(0, height, len(dead))
        agents.hp[dead], agents.stamina[dead], agents.ammo[dead] = 100, 100, AMMUNITION


def build_arena(agents: int, settings: Settings, sense: Sense | None = None) -> Simulation:
    """The arena with ``agents`` agents on it, in an esper world of its own; ``sense`` as in :func:`make_arena`."""
    sim = Simulation(make_arena(agents, sense), settings, world=f"arena {id(settings)}")
    width, _ = sim.domain.size or (0.0, 0.0)
    for team, number in zip(TEAMS, (agents - agents // 2, agents // 2), strict=True):
        sim.spawn_many(
            team, number, x=sim.rng.uniform(0, width, number), y=sim.rng.uniform(0, width, number),
            stamina=sim.rng.uniform(30, 100, number),
        )  # fmt: skip
    before = esper.current_world
    esper.switch_world(sim.world)
    esper.add_processor(Referee(sim), priority=-10)
    esper.switch_world(before)
    return sim
