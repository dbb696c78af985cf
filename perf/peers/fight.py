"""The arena for frameworks without plans: what each of the peers does in a tick.

1. Everybody looks: nearest enemy and nearest ally with their distances, and how many there are of each, within the
   radius. The same percepts as the arena's.
2. Everybody chooses by :func:`choose`, anew in each tick: the arena's heuristic, short of plans, patrols and terrain.
3. Everybody does it: velocity, stamina, ammunition, and blows, which land when all have acted.
4. Everybody moves and is held inside the world. The dead are put back, healed, at a place drawn anew.

This imports nothing of AstraSim, so that a peer's start-up is its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

CAP = 15
"""Nobody counts further: as the arena's percepts."""

REACH, DAMAGE, COOLDOWN_S, BLOW_STAMINA = 8.0, 9.0, 0.9, 2.0
BADLY_HURT, HURT, EXHAUSTED, IN_REACH_SOON = 30.0, 75.0, 20.0, 16.0

FIGHT, FLEE, FOLLOW, HOLD, GO_HOME, RELOAD, REST = range(7)
FOE, FRIEND, FLAG, HOME, NOWHERE = range(5)


class Conduct(NamedTuple):
    """How an action is done. Speeds in world units a second, below 0 for away; rates a second."""

    target: int
    speed: float = 0.0
    near: float = 0.0
    stamina_rate: float = 0.0
    ammo_rate: float = 0.0


CONDUCT = (
    Conduct(FOE, speed=5.0, near=3.0),
    Conduct(FOE, speed=-6.0, stamina_rate=-6.0),
    Conduct(FRIEND, speed=4.5, near=4.0, stamina_rate=-1.0),
    Conduct(FLAG, speed=4.0, near=6.0),
    Conduct(HOME, speed=3.0),
    Conduct(NOWHERE, ammo_rate=6.0),
    Conduct(NOWHERE, stamina_rate=18.0),
)
"""By action."""


def choose(hp: float, stamina: float, ammo: float, foe_distance: float, foes: int, friends: int) -> int:
    """What to do. ``foe_distance`` is infinite where no enemy is in sight; the counts go up to ``CAP``."""
    in_sight = foe_distance < math.inf
    if hp < BADLY_HURT:
        return FLEE if in_sight else REST
    if stamina < EXHAUSTED:
        return REST
    if ammo < 1:
        return FLEE if foe_distance < IN_REACH_SOON else RELOAD
    if in_sight:
        return FOLLOW if foes > friends > 0 and hp < HURT else FIGHT
    return HOLD if friends else GO_HOME


def velocity(dx: float, dy: float, speed: float, near: float, tick_s: float) -> tuple[float, float]:
    """Towards what is (dx, dy) away, no nearer than ``near``; away from it for a speed below 0."""
    distance = math.hypot(dx, dy)
    if speed > 0:
        speed = min(speed, max(0.0, distance - near) / tick_s)
    return (speed * dx / distance, speed * dy / distance) if distance > 0 else (0.0, 0.0)


@dataclass(frozen=True)
class Fight:
    """A fight of two teams on a square world; the first half of the agents (the larger one) are red."""

    agents: int
    side: float
    radius: float
    ammunition: float
    tick_s: float = 1 / 60
    seed: int = 0

    @property
    def reds(self) -> int:
        """How many are red."""
        return self.agents - self.agents // 2

    def start(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Where everybody begins, x and y, and with how much stamina; shape (agents,) each."""
        draw = np.random.default_rng(self.seed).uniform
        return draw(0, self.side, self.agents), draw(0, self.side, self.agents), draw(30, 100, self.agents)


class Percepts(NamedTuple):
    """What everybody saw in the last tick; shape (agents,) each. Nobody is number -1, at an infinite distance."""

    foe: NDArray[np.int64]
    foe_distance: NDArray[np.float64]
    foes: NDArray[np.int64]
    friend: NDArray[np.int64]
    friend_distance: NDArray[np.float64]
    friends: NDArray[np.int64]


class Peer(Protocol):
    """The arena in one framework. Agents are numbered from 0; arrays have shape (agents,)."""

    def __init__(self, fight: Fight) -> None: ...

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Put everybody there."""

    def tick(self) -> None: ...

    def percepts(self) -> Percepts:
        """What everybody saw in the last tick."""

    def state(self) -> NDArray[np.float64]:
        """x, y, hp, stamina, ammo and cooldown of everybody, shape (6, agents)."""

    def close(self) -> None: ...
