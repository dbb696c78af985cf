"""Five waves of raiders, each led from behind; when the last is beaten, the game is won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import valley

if TYPE_CHECKING:
    from .game import Game

PAUSE_S = 15.0
"""Between the end of a wave and the next."""
PATIENCE_S = 75.0
"""The next wave comes so long after the last one began, whether that is beaten or not."""
TRICKLE_S = 0.6
FIRST_S = 4.0


@dataclass(frozen=True)
class Wave:
    """Who comes: raiders, throwers, and captains or the warlord to lead them."""

    raiders: int
    throwers: int
    captains: int = 1
    warlord: bool = False

    def arrivals(self) -> list[str]:
        """Roles in the order in which they come: leaders in the middle of their band."""
        band = ["raider", "raider", "thrower"] * max(self.raiders, self.throwers)
        left = {"raider": self.raiders, "thrower": self.throwers}
        order = []
        for role in band:
            if left[role] > 0:
                left[role] -= 1
                order.append(role)
        leaders = ["captain"] * self.captains + ["warlord"] * self.warlord
        for number, leader in enumerate(leaders, start=1):
            order.insert(len(order) * number // (len(leaders) + 1), leader)
        return order


WAVES = (Wave(6, 0), Wave(8, 3), Wave(10, 4), Wave(12, 6, captains=2), Wave(12, 7, captains=2, warlord=True))


class Waves:
    """Sends them, one after the other."""

    def __init__(self, game: Game, waves: tuple[Wave, ...] = WAVES) -> None:
        self._game, self._waves = game, waves
        self.number = 0
        """Of the wave that is here, from 1; 0 before the first."""
        self._queue: list[str] = []
        self._next_s = FIRST_S
        self._arrival_s = self._begun_s = 0.0

    @property
    def total(self) -> int:
        return len(self._waves)

    def beaten(self) -> bool:
        """Whether all waves have come and nobody is left."""
        return self.number > 0 and self.number == len(self._waves) and not self._queue and not self._game.enemies

    def run(self, now_s: float) -> None:
        """Called every tick with the game's time."""
        if self._queue:
            if now_s >= self._arrival_s:
                self._arrival_s = now_s + TRICKLE_S
                self._spawn(self._queue.pop(0))
            return
        if self.number == len(self._waves):
            return
        if self.number and not self._game.enemies:
            self._next_s = min(self._next_s, now_s + PAUSE_S)
        if now_s >= self._next_s:
            wave = self._waves[self.number]
            self.number += 1
            self._queue = wave.arrivals()
            self._begun_s = self._arrival_s = now_s
            self._next_s = now_s + PATIENCE_S
            self._game.new_wave(self.number)

    def _spawn(self, role: str) -> None:
        game, rng = self._game, self._game.sim.rng
        x, y = valley.CAMP[0] + rng.uniform(-1, 2), valley.CAMP[1] + rng.uniform(-9, 9)
        boss = role in ("captain", "warlord")
        hp = {"raider": 36.0, "thrower": 26.0, "captain": 170.0, "warlord": 380.0}[role]
        game.enemies.append(
            game.sim.spawn("boss" if boss else "minion", x, y, role=role, tier="boss" if boss else "minion",
                           hp=hp, hp_max=hp)
        )  # fmt: skip
