"""AstraSim's own arena by the peers' protocol: the whole of it, planner and all, without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astrasim import Settings

from ..arena import AMMUNITION, RADIUS, build_arena, side_of
from .fight import Fight, Percepts


def fight_of(agents: int, seed: int = 0) -> Fight:
    """The arena's numbers for the peers."""
    return Fight(agents, side_of(agents), RADIUS, AMMUNITION, seed=seed)


class AstraSimArena:
    def __init__(self, fight: Fight) -> None:
        settings = Settings(model="none", every=1, seed=fight.seed, capacity=max(1, fight.agents))
        self.sim = build_arena(fight.agents, settings)
        self.tick_s = fight.tick_s
        agents = self.sim.agents
        agents.x, agents.y, agents.stamina = fight.start()
        agents.home_x, agents.home_y = agents.x, agents.y

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.sim.agents.x, self.sim.agents.y = x, y

    def tick(self) -> None:
        self.sim.tick(self.tick_s)

    def percepts(self) -> Percepts:
        return Percepts(*(self.sim.agents.column(name).copy() for name in Percepts._fields))

    def state(self) -> NDArray[np.float64]:
        names = ("x", "y", "hp", "stamina", "ammo", "attack_cooldown")
        return np.array([self.sim.agents.column(name) for name in names], np.float64)

    def close(self) -> None:
        self.sim.close()
