"""The companion keeps to an order until it is relieved, has done it, or cannot do it; then it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .domain import GOVERNED
from .orders import Rule, understand

if TYPE_CHECKING:
    from .game import Game

IS_OVER = "The game is over: R plays again"
_QUOTED = 40


class Keeper:
    """The companion's order, from the player's words to its end."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self.text = ""
        self.rule: Rule | None = None
        self._bosses = self._packs = 0

    def give(self, text: str) -> None:
        """What the player typed. It is acted on in the next tick."""
        game, text = self._game, " ".join(text.split())
        if not text or not game.companion.alive:
            return
        if game.state != "playing":
            game.tell(IS_OVER)
            return
        rule = understand(text)
        if rule is None and not game.has_writer:
            game.say(game.companion, f"I do not understand that: say what I should do.{self._as_before()}")
        elif rule is not None and (cannot := self._impossible(rule)):
            game.say(game.companion, cannot + self._as_before())
        elif rule is not None and rule.name == "relieve":
            self._end(rule.says)
        else:
            self.text, self.rule = text, rule
            self._bosses, self._packs = game.bosses_beaten, game.packs_fetched
            game.companion.post_x, game.companion.post_y = game.companion.x, game.companion.y
            self._rule_out(rule)
            game.sim.order(game.companion, text)
            game.say(game.companion, rule.says if rule else "Let me think about that.")

    def watch(self) -> None:
        """Called every tick: is the order finished, or impossible by now?"""
        if self.rule is None:
            return
        game, name = self._game, self.rule.name
        if name == "fetch" and game.packs_fetched > self._packs:
            self._end("That did me good. What now?")
        elif name == "attack_boss" and not game.bosses() and game.bosses_beaten > self._bosses:
            self._end("The boss is down.")
        elif name == "attack" and not game.enemies:
            self._end("That was the last of them.")
        elif cannot := self._impossible(self.rule):
            self._end(cannot)

    def _as_before(self) -> str:
        """An order that came to nothing leaves the one before it in force, and nobody should have to guess that."""
        if not self.text:
            return ""
        quoted = self.text if len(self.text) <= _QUOTED else self.text[: _QUOTED - 1].rstrip() + "…"
        return f" “{quoted}” still stands."

    def _rule_out(self, rule: Rule | None) -> None:
        """Let the companion do only what goes with the order."""
        for verb in GOVERNED:
            setattr(self._game.companion, f"may_{verb}", float(rule is None or verb in rule.allows))

    def _impossible(self, rule: Rule) -> str:
        game = self._game
        if rule.name == "fetch" and not game.packs:
            return "There is no health pack to be had."
        if rule.name == "attack_boss" and not game.bosses():
            return "There is no boss to fight."
        if rule.name == "attack" and not game.enemies:
            return "There is nobody to attack."
        return ""

    def _end(self, says: str) -> None:
        self.text, self.rule = "", None
        self._rule_out(None)
        self._game.sim.order(self._game.companion, "")
        self._game.say(self._game.companion, says)
