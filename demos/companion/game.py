"""The rules of the game: who fights, who falls, who wins. Nothing here draws, so it runs without a window."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim import Agent, Settings, Simulation, Thing

from . import valley
from .fetching import Fetching
from .footing import PRIORITY, Footing
from .keeper import Keeper
from .levers import ModelSwitch
from .minds import game as domain
from .player import Hands
from .waves import WAVES, Wave, Waves

VILLAGE_HP = 100.0
HEALING = 3.0
"""Health a second for the player and the companion, in the village and between waves."""
SPEECH_S = 4.5
SHOT_S = 0.16
_numbers = itertools.count(1)
REACH = 1.6
"""How near the player must be to a pack to take it."""


@dataclass(frozen=True)
class Shot:
    """A line for the eye: what it did is done already."""

    x0: float
    y0: float
    x1: float
    y1: float
    by: str
    time: float


@dataclass
class Speech:
    """What somebody says, until when."""

    who: Agent
    text: str
    until: float


@dataclass
class Log:
    """What happened, with the game's time: for the line at the top of the screen, and for tests."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def __contains__(self, text: str) -> bool:
        return any(text in line for _, line in self.lines)


class Game:
    """One game of "hold the bridge" in a simulation of its own. ``sim.tick()`` is all that drives it.

    Args:
        waves: who comes; tests send fewer. None at all: the game never ends.
    """

    def __init__(self, settings: Settings, waves: tuple[Wave, ...] = WAVES) -> None:
        self.sim = Simulation(domain, settings, world=f"bridge {next(_numbers)}", line_of_sight=valley.sees)
        self.sim.set_obstacles(valley.water(), cell=1.0)
        self._folk = self.sim.agents.kind_names.index("folk")
        self._wave_list = waves
        self.model_switch = ModelSwitch(self.sim)
        self.fetching: Fetching | None = None
        self.autopilot = False
        self.games = 0
        before = esper.current_world
        esper.switch_world(self.sim.world)
        esper.add_processor(Footing(self), priority=PRIORITY)
        esper.add_processor(Referee(self), priority=-10)
        esper.switch_world(before)
        self.enemies: list[Agent] = []
        self.packs: list[Thing] = []
        self._begin()

    def close(self) -> None:
        """End the simulation and its gateway, and delete its esper world."""
        self.sim.close()
        if self.sim.world in esper.list_worlds():
            esper.delete_world(self.sim.world)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        x, y = valley.WEST_BANK
        self.player = self.sim.spawn("player", x - 2, y + 2)
        self.companion = self.sim.spawn("companion", x - 4, y - 2, tier="hero")
        self.companion.home_x, self.companion.home_y = valley.VILLAGE
        self.companion.player = self.player
        self.hands = Hands(self)
        self.waves = Waves(self, self._wave_list)
        self.keeper = Keeper(self)
        self.log = Log()
        self.shots: list[Shot] = []
        self.speeches: list[Speech] = []
        self.state = "playing"
        self.village_hp = VILLAGE_HP
        self.bosses_beaten = self.beaten = self.packs_fetched = 0
        self.began_s = self.sim.time
        self._ended_s = 0.0
        self.games += 1
        self.stock_packs()

    def restart(self) -> None:
        """From the beginning, with the model, its cache and the crowd as they are."""
        for handle in [*self.enemies, *self.packs, self.player, self.companion]:
            self.sim.remove(handle)
        self.enemies, self.packs = [], []
        self._begin()

    # What others ask

    @property
    def now_s(self) -> float:
        """Seconds since this game began."""
        return self.sim.time - self.began_s

    @property
    def length_s(self) -> float:
        """How long the game has lasted, or lasted until it was over."""
        return self.now_s if self.state == "playing" else self._ended_s

    @property
    def has_model(self) -> bool:
        return self.sim.model is not None

    @property
    def has_writer(self) -> bool:
        """Whether there is a model that writes plans, and so can make something of any order."""
        return self.sim.model is not None and not self.sim.model.chooses

    def bosses(self) -> list[Agent]:
        return [enemy for enemy in self.enemies if enemy.kind == "boss"]

    def fighter_rows(self) -> NDArray[np.intp]:
        """The rows of all but the crowd."""
        return np.flatnonzero(self.sim.agents.kind != self._folk)

    def say(self, who: Agent, text: str) -> None:
        """A line over somebody's head; it replaces what that one said before."""
        self.speeches = [speech for speech in self.speeches if speech.who is not who]
        self.speeches.append(Speech(who, text, self.sim.time + SPEECH_S))
        self.log.lines.append((self.now_s, text))

    def tell(self, text: str) -> None:
        """A line at the top of the screen."""
        self.log.lines.append((self.now_s, text))

    def end(self, state: str, text: str) -> None:
        """It is over."""
        self.state, self._ended_s = state, self.now_s
        self.tell(text)

    def new_wave(self, number: int) -> None:
        self.stock_packs()
        self.tell(f"Wave {number} of {self.waves.total}")

    def stock_packs(self) -> None:
        """A pack at each spot that has none."""
        for x, y in valley.PACK_SPOTS:
            if all(math.hypot(pack.x - x, pack.y - y) > 1 for pack in self.packs):
                self.packs.append(self.sim.add_thing("pack", x=x, y=y))


class Referee(esper.Processor):
    """Runs after each tick: hits, deaths, packs, the village, the end."""

    def __init__(self, game: Game) -> None:
        self._game = game

    def process(self, dt: float | None = None) -> None:
        game = self._game
        self._see_shots()
        game.shots = [shot for shot in game.shots if game.sim.time - shot.time < SHOT_S]
        game.speeches = [s for s in game.speeches if s.who.alive and game.sim.time < s.until]
        if game.state != "playing":
            return
        tick_s = game.sim.agents.tick_s
        game.hands.act(tick_s)
        self._bury()
        self._plunder()
        self._heal(tick_s)
        self._find_quarry()
        game.waves.run(game.now_s)
        game.keeper.watch()
        self._judge()

    def _see_shots(self) -> None:
        """What agents did to each other in this tick, as lines; rows stay what they are until the next tick begins."""
        sim, game = self._game.sim, self._game
        events, agents = sim.events, sim.agents
        companion = game.companion.row if game.companion.alive else -1
        for k in range(len(events.source)):
            source, target = int(events.source[k]), int(events.target[k])
            if events.thing[k]:
                game.packs_fetched += source == companion
                continue
            a, b = agents.handles[source], agents.handles[target]
            game.shots.append(Shot(a.x, a.y, b.x, b.y, a.kind, sim.time))

    def _bury(self) -> None:
        game = self._game
        game.packs = [pack for pack in game.packs if pack.alive and not game.sim.things.taken[pack.row]]
        for enemy in [e for e in game.enemies if e.hp <= 0]:
            if enemy.kind == "boss":
                game.bosses_beaten += 1
                game.tell(f"The {game.sim.situation(enemy).role} is beaten")
            game.beaten += 1
            game.enemies.remove(enemy)
            game.sim.remove(enemy)
        companion = game.companion
        if companion.hp <= 0:
            companion.x, companion.y = companion.home_x, companion.home_y
            companion.hp = companion.hp_max / 2
            game.say(companion, "I was struck down and carried home.")

    def _plunder(self) -> None:
        agents = self._game.sim.agents
        rows = self._game.fighter_rows()
        self._game.village_hp = max(0.0, self._game.village_hp - float(agents.plunder[rows].sum()))
        agents.plunder[rows] = 0

    def _heal(self, tick_s: float) -> None:
        game = self._game
        for one in (game.player, game.companion):
            at_home = math.dist((one.x, one.y), valley.VILLAGE) < valley.VILLAGE_RADIUS
            if one.hp > 0 and (at_home or not game.enemies):
                one.hp += HEALING * tick_s
            one.hp = min(one.hp, one.hp_max)
        for pack in game.packs:
            if game.player.hp < game.player.hp_max and game.player.distance_to(pack) < REACH:
                game.player.hp = min(game.player.hp + pack.amount, game.player.hp_max)
                game.sim.remove(pack)
                game.packs.remove(pack)
                break

    def _find_quarry(self) -> None:
        game = self._game
        bosses = game.bosses()
        game.companion.quarry = min(bosses, key=game.companion.distance_to) if bosses else None

    def _judge(self) -> None:
        game = self._game
        if game.player.hp <= 0:
            game.end("lost", "You have fallen: the bridge is lost")
        elif game.village_hp <= 0:
            game.end("lost", "The village is plundered: the game is lost")
        elif game.waves.beaten():
            game.end("won", "The last wave is beaten: the bridge is held")
