"""Who decides without a model: roles and heuristics. Each is called once for a situation, and remembered.

A plan starts at its first step that is legal then, so a list is also an order of preference. Each list names what else
somebody sensible might do there: that is what a model chooses from. What it chooses comes first and the rest follows,
so nothing that leads the other way may take as long as what leads on, or its agent would go to and fro.
"""

from __future__ import annotations

from astrasim import Situation

from .domain import game
from .orders import SHOOTING, Steps, understand

__all__ = ["game"]

game.role("companion", kinds="companion", default="wait self",
          persona="You are Ash, the player's companion. Keep the player alive and the village standing; an order from "
                  "the player comes first.")
game.role("raider", kinds="minion", default="charge bridge",
          actions=["charge", "slash", "rally", "hide", "raze", "retreat"],
          persona="You are a raider. You want to get over the bridge and plunder the village.")
game.role("thrower", kinds="minion", default="charge bridge",
          actions=["charge", "throw", "rally", "hide", "raze", "retreat"],
          persona="You throw stones from behind the others, and plunder the village when you can.")
game.role("captain", kinds="boss", default="march bridge",
          persona="You lead a band of raiders. You shoot from behind your people and advance with them.")
game.role("warlord", kinds="boss", default="march bridge",
          persona="You are the warlord. You fear nobody: you walk over the bridge and burn the village down.")
game.role("player", kinds="player", actions="wait", persona="You are moved by a human player.")
game.role("folk", kinds="folk", default="wait self", persona="You live in the country around and keep out of the war.")


@game.heuristic("companion")
def companion_sense(s: Situation) -> Steps:
    """Its order, if the rules understand it; else what it thinks best."""
    rule = understand(s.order) if s.order else None
    if rule is not None and (steps := rule.steps(s)):
        return steps
    if s.health == 0 and s.supplies < 2:
        return ["fetch pack 10", "hide cover 1.5" if s.danger <= 2 else "defend village 3"]
    if s.health == 0:
        return ["hide cover 2", *SHOOTING, "defend village 3"] if s.danger <= 2 else ["defend village 3"]
    if s.danger == 0:
        return [*SHOOTING, "retreat foe 0.7"] if s.many <= 1 else ["retreat foe 0.7", *SHOOTING]
    if s.danger == 1:
        back = "hide cover 0.7" if s.health == 1 and s.clear_shot == 1 else "guard bridge 0.5"
        return [*SHOOTING, "advance foe 1", back]
    if s.danger == 2 and s.player_distance < 2:
        return ["advance foe 1", "guard bridge 1"] if s.many == 1 else ["follow player 1", "guard bridge 1"]
    if s.supplies == 0 and s.health < 2:
        return ["fetch pack 10", "guard bridge 2"]
    if s.player_distance == 2:
        return ["follow player 2"]
    # Nobody is near: it looks out over the river, or after its player.
    return ["guard bridge 3", "advance east_bank 1" if s.player_distance == 0 else "follow player 1.5"]


@game.heuristic("raider")
def raider_sense(s: Situation) -> Steps:
    goal = "bridge" if s.side == 2 else "village"
    if s.danger == 0:  # strike, or run past
        return ["slash foe 3", "charge foe 1", f"charge {goal} 1"]
    if s.village_distance == 0:
        return ["raze village 3", "charge foe 2"] if s.danger <= 2 else ["raze village 3"]
    if s.health == 0 and s.band == 0:
        return ["retreat foe 1.5", "hide cover 1", "charge village 2"] if s.danger <= 1 else ["charge village 2"]
    if s.danger == 3:
        return [f"charge {goal} 2", "rally leader 1"]
    if s.side == 2:
        return ["charge bridge 1.5", "hide cover 0.8" if s.health < 2 and s.clear_shot == 1 else "charge foe 1"]
    if s.danger == 1 and s.clear_shot == 1:
        return ["charge foe 1", "slash foe 2", "charge village 1.5"]
    return ["charge village 2", "raze village 3", "charge foe 1"]


@game.heuristic("thrower")
def thrower_sense(s: Situation) -> Steps:
    goal = "bridge" if s.side == 2 else "village"
    if s.danger == 0:
        return ["retreat foe 1", "throw foe 3"] if s.many < 2 else ["throw foe 3", "retreat foe 0.7"]
    if s.village_distance == 0 and s.danger > 1:
        return ["raze village 3", "charge foe 1"] if s.danger == 2 else ["raze village 3"]
    if s.danger == 1 and s.clear_shot == 1:
        return ["throw foe 3", "charge foe 1", "hide cover 0.8"] if s.band > 0 else ["throw foe 3", "charge foe 1"]
    if s.danger == 1:
        return ["charge foe 1", f"charge {goal} 1"]
    return [f"charge {goal} 2", "raze village 3", "rally leader 1" if s.danger == 3 else "charge foe 1"]


@game.heuristic("captain")
def captain_sense(s: Situation) -> Steps:
    if s.danger == 0:
        return ["crush foe 2", "blast foe 2", "hide cover 1"] if s.health == 0 else ["crush foe 2", "blast foe 2"]
    if s.health == 0 and s.danger == 1 and s.band > 0:
        return ["hide cover 2", "blast foe 2"]
    if s.danger == 1:
        return ["blast foe 2.5", "march foe 1"]
    if s.village_distance == 0:
        return ["raze village 3", "march foe 1"] if s.danger == 2 else ["raze village 3"]
    if s.side == 2:
        bridge = ["march bridge 2"] if s.band > 0 or s.danger > 2 else ["march east_bank 2"]
        return [*bridge, "march foe 1" if s.danger == 2 else "wait self 0.7"]
    return ["march village 3", "march foe 1" if s.danger == 2 else "wait self 0.7"]


@game.heuristic("warlord")
def warlord_sense(s: Situation) -> Steps:
    goal = "bridge" if s.side == 2 else "village"
    if s.danger == 0:
        return ["crush foe 2", "march foe 1", f"march {goal} 1"]
    if s.village_distance == 0:
        return ["raze village 3", "march foe 1"] if s.danger <= 2 else ["raze village 3"]
    if s.danger == 1:
        return ["blast foe 1.5", f"march {goal} 1", "march foe 1"]
    return [f"march {goal} 2", "march foe 1" if s.danger == 2 else "wait self 0.7"]


@game.heuristic("folk")
def folk_sense(s: Situation) -> Steps:
    if s.strength == 0:
        return ["rest self 6"]
    if s.others == 0:
        return ["stroll home 4", "rest self 2"]
    return ["visit neighbour 3", "stroll home 4"] if s.strength == 2 else ["rest self 3", "stroll home 4"]
