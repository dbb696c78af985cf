"""The herd: a second workload, unlike the arena. Grazers, predators and scavengers on a savanna with rocks.

Food is things that are eaten up and grow again, whoever dies is deleted and another is born, and rocks hide and stop
them. Through the public domain, like any game. The square's side is 12·√N, as the arena's.
"""

from __future__ import annotations

import math
from typing import Any

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim import Domain, Rows, Settings, Simulation, Situation, Status

SHARES = {"grazer": 0.7, "predator": 0.1, "scavenger": 0.2}
RADIUS = 30.0
ROCK_CELL = 8.0
ROCKS = 0.06
"""The share of cells that are rock."""
GRASS = 0.25
"""Tufts of grass for each agent."""
LIFE_S = 120.0
HUNGER_A_SECOND = 1.5


def side_of(agents: int) -> float:
    """The side of the square world, in world units."""
    return 12.0 * math.sqrt(max(1, agents))


def make_herd(agents: int) -> Domain:
    """The domain: 3 kinds, 2 sorts of food, 14 features (4 of them functions, 3 that interrupt), 11 actions."""
    side = side_of(agents)
    herd = Domain("savanna", {"grazer": {}, "predator": {"hp": 140}, "scavenger": {"hp": 70}}, size=(side, side))
    herd.thing("grass", amount=35)
    herd.thing("carcass", amount=60)
    herd.column("food", default=70.0)
    herd.column("age")
    herd.place("water", x=side * 0.3, y=side * 0.6)
    herd.relation("fears", [("grazer", "predator"), ("scavenger", "predator")])
    herd.relation("mate", [(kind, kind) for kind in SHARES])
    herd.relation("hunts", [("predator", "grazer"), ("predator", "scavenger")])
    herd.percept("threat", nearest="fears", radius=RADIUS, line_of_sight=True)
    herd.percept("threats", count="fears", radius=RADIUS, cap=7)
    herd.percept("mate_near", nearest="mate", radius=20)
    herd.percept("mates", count="mate", radius=20, cap=15)
    herd.percept("prey", nearest="hunts", radius=RADIUS, line_of_sight=True)
    herd.percept("weak_prey", weakest="hunts", radius=RADIUS)
    herd.percept("tuft", nearest="grass", seen_by="grazer", radius=RADIUS)
    herd.percept("carrion", nearest="carcass", seen_by=["predator", "scavenger"], radius=40)
    _features(herd, side)
    _actions(herd)
    herd.heuristic("grazer")(grazer_sense)
    herd.heuristic("predator")(predator_sense)
    herd.heuristic("scavenger")(scavenger_sense)
    return herd


def _features(herd: Domain, side: float) -> None:
    herd.feature("danger", column="threat_distance", edges=[9, 20, 31], hysteresis=1.5,
                 words=["a predator is upon you", "a predator is near", "a predator is about", "no predator in sight"])
    herd.feature("stalked", column="threat_visible", edges=[0.5], words=["unseen by predators", "a predator sees you"])
    herd.feature("pack", column="threats", edges=[2], words=["at most one predator around", "several predators around"])
    herd.feature("starving", column="food", edges=[8], hysteresis=3, interrupt=True,
                 words=["you are starving", "you can go on"])
    herd.feature("hunger", column="food", edges=[35, 70], words=["hungry", "peckish", "full"])
    herd.feature("wounds", column="hp", edges=[40, 90], words=["badly wounded", "wounded", "sound"])
    herd.feature("breath", column="stamina", edges=[20, 60], words=["out of breath", "tired", "rested"])
    herd.feature("company", column="mates", edges=[1, 4, 10],
                 words=["alone", "with a few of your kind", "in a herd", "in a great herd"])
    herd.feature("grass_range", column="tuft_distance", edges=[4, 31],
                 words=["grass at your feet", "grass in sight", "no grass in sight"])
    herd.feature("prey_range", column="prey_distance", edges=[4, 14, 31],
                 words=["prey in reach", "prey near", "prey in sight", "no prey in sight"])

    # Who is behind a rock seems farther away than it is.
    @herd.feature(edges=[11], words=["run for it", "no need to run"], kinds=["grazer", "scavenger"], hysteresis=3,
                  interrupt=True, vectorised=True)
    def panic(me: Rows) -> NDArray[Any]:
        return me.threat_distance + np.where(me.threat_visible > 0, 0, 4)

    @herd.feature(edges=[10], words=["an easy kill", "no opening"], kinds="predator", hysteresis=3, interrupt=True,
                  vectorised=True)
    def opening(me: Rows) -> NDArray[Any]:
        return me.prey_distance + np.where(me.prey_visible > 0, 0, 4)

    @herd.feature(edges=[0.1, 0.3], words=["at the water", "not far from water", "far from water"], vectorised=True)
    def thirst(me: Rows) -> NDArray[Any]:
        dx, dy = me.x - side * 0.3, me.y - side * 0.6
        return np.sqrt(dx * dx + dy * dy) / side

    @herd.feature(edges=[0.15, 0.8], words=["young", "grown up", "old"], vectorised=True)
    def years(me: Rows) -> NDArray[Any]:
        return me.age / LIFE_S


def _actions(herd: Domain) -> None:
    prey = ["grazer", "scavenger"]
    herd.stock("flee", name="bolt", kinds=prey, targets=["threat"], speed=8, stamina_rate=9, seconds=2)
    herd.stock("take", name="graze", kinds="grazer", targets=["tuft"], speed=2.5, column="food")
    herd.stock("take", name="scavenge", targets=["carrion"], speed=5, column="food")
    herd.stock("attack", name="bite", kinds="predator", targets=["prey"], damage=25, range=4, speed=8, near=1,
               cooldown=1.2, stamina=6, line_of_sight=True)
    herd.stock("approach", name="stalk", kinds="predator", targets=["prey", "weak_prey"], speed=8, near=3,
               stamina_rate=3, seconds=4)
    herd.stock("follow", name="keep_up", targets=["mate_near"], speed=4, near=4, seconds=4)
    herd.stock("patrol", name="roam", targets=["water", "home"], speed=3, radius=60, seconds=5)
    herd.stock("hold", name="lurk", kinds="predator", targets=["self"])
    herd.stock("rest", name="lie_down", targets=["self"], rate=15, seconds=3)

    @herd.action(kinds=prey, targets=["mate_near"], seconds=3, vectorised=True, about="move with the herd")
    def flock(me: Rows, target: Rows, dt: float) -> Status:
        dx, dy, there = target.x - me.x, target.y - me.y, np.maximum(me.mate_near_distance, 1e-3)
        pull = np.where(there < 5, -1.0, 1.0) / there  # keeps its distance, and goes where the other goes
        me.vx = 0.7 * target.vx + pull * dx
        me.vy = 0.7 * target.vy + pull * dy
        return Status.RUNNING

    @herd.action(targets=["self"], needs={"food": 30}, seconds=4, vectorised=True, about="digest and heal")
    def digest(me: Rows, target: Rows, dt: float) -> NDArray[Any]:
        me.stop()
        me.food = me.food - 4 * dt
        me.hp = hp = np.minimum(me.hp + 8 * dt, 100)
        return np.where(hp >= 100, Status.DONE, Status.RUNNING)


def grazer_sense(s: Situation) -> list[str]:
    """The heuristic of the grazers."""
    if s.panic == 0:
        return ["bolt threat", "flock mate_near", "keep_up mate_near"]
    if s.hunger < 2 and s.grass_range < 2:
        return ["graze tuft", "flock mate_near"]
    if s.breath == 0:
        return ["lie_down self"]
    if s.wounds < 2:
        return ["digest self", "flock mate_near"]
    return ["flock mate_near", "roam water"] if s.company > 0 else ["roam home"]


def predator_sense(s: Situation) -> list[str]:
    """The heuristic of the predators."""
    if s.opening == 0:
        return ["bite prey", "stalk prey", "bite prey"]
    if s.hunger == 2:
        return ["digest self", "lie_down self"] if s.wounds < 2 else ["lie_down self", "lurk self"]
    if s.starving == 0:
        return ["scavenge carrion", "stalk weak_prey", "roam home"]
    if s.prey_range < 3:
        return ["stalk prey", "bite prey"] if s.breath > 0 else ["lie_down self"]
    return ["scavenge carrion", "roam water"]


def scavenger_sense(s: Situation) -> list[str]:
    """The heuristic of the scavengers."""
    if s.panic == 0:
        return ["bolt threat", "lie_down self"]
    if s.hunger < 2:
        return ["scavenge carrion", "roam home"]
    if s.wounds < 2:
        return ["digest self", "keep_up mate_near"]
    return ["keep_up mate_near", "roam water"] if s.breath > 0 else ["lie_down self"]


class Seasons(esper.Processor):
    """Hunger, age, deaths and births, carcasses and grass. Runs after movement."""

    def __init__(self, sim: Simulation, tufts: int) -> None:
        self._sim = sim
        self._tufts = tufts
        self.deaths = 0
        self._grass = list(sim.domain.declared.things).index("grass")

    def process(self, dt: float | None = None) -> None:
        sim, dt = self._sim, dt or 0.0
        agents = sim.agents
        agents.age += dt
        food = agents.food
        np.clip(food - HUNGER_A_SECOND * dt, 0, 100, out=food)
        agents.hp -= (6 * dt) * (food <= 0)
        # A bite feeds who bites: as much as the wound, in this tick's events.
        bites = np.flatnonzero(sim.events.thing == 0)
        food[sim.events.source[bites]] += 20
        self._bury(np.flatnonzero((agents.hp <= 0) | (agents.age > LIFE_S)))
        self._grow()

    def _bury(self, dead: NDArray[np.intp]) -> None:
        """Delete the dead, leave a carcass of every second, and let as many of each kind be born elsewhere."""
        sim = self._sim
        self.deaths += len(dead)
        kinds = sim.agents.kind[dead]
        left = dead[::2]
        sim.add_things("carcass", len(left), x=sim.agents.x[left], y=sim.agents.y[left])
        sim.remove(*[sim.agents.handles[row] for row in dead.tolist()])
        for number, kind in enumerate(sim.domain.kinds):
            if born := int(np.count_nonzero(kinds == number)):
                sim.spawn_many(kind, born, **self._anywhere(born))

    def _grow(self) -> None:
        things, sim = self._sim.things, self._sim
        missing = self._tufts - int(np.count_nonzero(things.kind == self._grass))
        if missing > 0:
            sim.add_things("grass", missing, **self._anywhere(missing))
        rotten = np.flatnonzero(things.kind != self._grass)
        sim.remove(*[things.handles[row] for row in rotten[: max(0, len(rotten) - self._tufts // 4)].tolist()])

    def _anywhere(self, number: int) -> dict[str, Any]:
        assert self._sim.domain.size is not None
        width, height = self._sim.domain.size
        return {"x": self._sim.rng.uniform(0, width, number), "y": self._sim.rng.uniform(0, height, number)}


def build_herd(agents: int, settings: Settings) -> Simulation:
    """The savanna with ``agents`` agents on it, in an esper world of its own."""
    sim = Simulation(make_herd(agents), settings, world=f"herd {id(settings)}")
    width, _ = sim.domain.size or (0.0, 0.0)
    cells = math.ceil(width / ROCK_CELL)
    sim.set_obstacles(sim.rng.random((cells, cells)) < ROCKS, ROCK_CELL)
    for kind, number in numbers_of(agents).items():
        sim.spawn_many(
            kind, number, x=sim.rng.uniform(0, width, number), y=sim.rng.uniform(0, width, number),
            age=sim.rng.uniform(0, LIFE_S, number), food=sim.rng.uniform(20, 90, number),
        )  # fmt: skip
    before = esper.current_world
    esper.switch_world(sim.world)
    esper.add_processor(Seasons(sim, tufts=round(agents * GRASS)), priority=-10)
    esper.switch_world(before)
    return sim


def numbers_of(agents: int) -> dict[str, int]:
    """How many there are of each kind."""
    numbers = {kind: round(agents * share) for kind, share in SHARES.items() if kind != "grazer"}
    return {"grazer": agents - sum(numbers.values()), **numbers}
