"""The game's vocabulary, declared once: kinds, what they look at and know, and what they can do.

Prompt, schema, key and kernels all come from here; ``minds.py`` has what each does without a model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrasim import Agent, Domain, Rows, Spot, Status

from . import valley

FIGHTERS = ("companion", "minion", "boss")
SIGHT = 24.0
FAR = 999.0

game = Domain(
    "the bridge",
    {
        "player": {"hp": 120, "hp_max": 120},
        "companion": {"hp": 150, "hp_max": 150},
        "minion": {"hp": 36, "hp_max": 36},
        "boss": {"hp": 170, "hp_max": 170},
        "folk": {},
    },
    ruleset="bridge 2",
)

# The world. No size: the country has no end; the game's own rules keep the fighters in the valley.

game.column("hp_max", default=100)
game.column("plunder")  # what somebody has broken in the village; the referee collects it
game.column("post_x")
game.column("post_y")
game.reference("player")  # the companion's player, wherever that is
game.reference("quarry")  # the nearest boss, wherever that is
game.thing("pack", amount=40)
for name, (x, y) in {"village": valley.VILLAGE, "bridge": valley.BRIDGE, "west_bank": valley.WEST_BANK,
                     "east_bank": valley.EAST_BANK}.items():  # fmt: skip
    game.place(name, x=x, y=y)
game.relation("enemy", [(us, them) for us in ("player", "companion") for them in ("minion", "boss")], mutual=True)
game.percept("foe", nearest="enemy", seen_by=FIGHTERS, radius=SIGHT, line_of_sight=True)
game.percept("foes", count="enemy", seen_by=FIGHTERS, radius=SIGHT, cap=15)
game.percept("boss_near", nearest="boss", seen_by="companion", radius=SIGHT, line_of_sight=True)
game.percept("friends", count=["minion", "boss"], seen_by=["minion", "boss"], radius=SIGHT, cap=15)
game.percept("leader", nearest="boss", seen_by="minion", radius=40)
game.percept("pack", nearest="pack", seen_by="companion", radius=150)
game.percept("neighbour", nearest="folk", seen_by="folk", radius=8)
game.percept("company", count="folk", seen_by="folk", radius=8, cap=15)


@game.target
def cover(me: Agent) -> Spot | None:
    """Behind the nearest rock or tree, seen from the nearest foe."""
    if me.foe is None:
        return None
    found = valley.shelter_from(me.x, me.y, me.foe.x, me.foe.y)
    return None if found is None else Spot("cover", *found)


@game.target
def post(me: Agent) -> Spot:
    """Where it was told to stay."""
    return Spot("post", me.post_x, me.post_y)


# What they know

# The last edge is well below how far they see: what is out of sight is infinitely far, which no hysteresis bridges.
game.feature("danger", column="foe_distance", edges=[4.5, 16.5, 21], hysteresis=1, kinds=FIGHTERS, interrupt=True,
             words=["an enemy is upon you", "an enemy is in reach", "an enemy is coming near", "no enemy is near"])
game.feature("clear_shot", column="foe_visible", edges=[0.5], kinds=FIGHTERS,
             words=["you have no clear shot", "you have a clear shot"])
game.feature("many", column="foes", edges=[1, 4, 9], kinds=FIGHTERS,
             words=["no enemies around", "a few enemies around", "many enemies around", "enemies everywhere"])
game.feature("band", column="friends", edges=[2, 6], kinds=["minion", "boss"],
             words=["you are nearly alone", "some of your band are around", "your band is around you"])


@game.feature(edges=[0.35, 0.75], words=["you are badly hurt", "you are wounded", "you are in good health"],
              kinds=FIGHTERS, interrupt=True, vectorised=True)
def health(me: Rows) -> NDArray[Any]:
    share: NDArray[Any] = me.hp / me.hp_max
    return share


WHERE = ["on the village's side of the river", "on the bridge", "on the far side of the river"]


@game.feature(edges=[43.5, 56.5], words=[f"you are {where}" for where in WHERE], kinds=FIGHTERS, hysteresis=0.5,
              vectorised=True)
def side(me: Rows) -> NDArray[Any]:
    return me.x


@game.feature(edges=[9, 30], words=["the village is here", "the village is near", "the village is far"],
              kinds=FIGHTERS, vectorised=True)
def village_distance(me: Rows) -> NDArray[Any]:
    away: NDArray[Any] = np.hypot(me.x - valley.VILLAGE[0], me.y - valley.VILLAGE[1])
    return away


@game.feature(edges=[7], words=["the bridge is here", "the bridge is elsewhere"], kinds="companion")
def bridge_distance(me: Agent) -> float:
    return float(np.hypot(me.x - valley.BRIDGE[0], me.y - valley.BRIDGE[1]))


@game.feature(edges=[15.5, SIGHT, FAR], kinds="companion",
              words=["a boss is in reach", "a boss is in sight", "a boss is on the field", "there is no boss"])
def boss_distance(me: Agent) -> float:
    return FAR if me.quarry is None else me.distance_to(me.quarry)


@game.feature(edges=[7, 22], kinds="companion",
              words=["the player is beside you", "the player is near", "the player is far off"])
def player_distance(me: Agent) -> float:
    return FAR if me.player is None else me.distance_to(me.player)


@game.feature(edges=[0.4], words=["the player is badly hurt", "the player is well"], kinds="companion")
def player_health(me: Agent) -> float:
    return 1.0 if me.player is None else me.player.hp / me.player.hp_max


game.feature("supplies", column="pack_distance", edges=[20, 151], kinds="companion",
             words=["a health pack is near", "a health pack is far off", "there is no health pack"])
game.feature("strength", column="stamina", edges=[30, 70], kinds="folk", words=["tired", "a little tired", "fresh"])
game.feature("others", column="company", edges=[1, 4], kinds="folk",
             words=["nobody is near", "somebody is near", "people are all around"])

# What they can do

GOVERNED = ("guard", "defend", "stay", "follow", "advance", "fetch", "hide", "retreat")
"""The companion's actions that an order may rule out, each by a column that is a precondition of it: whatever a model
makes of an order, no step of its plan that goes against the order ever starts."""
for verb in GOVERNED:
    game.column(f"may_{verb}", default=1)


def may(verb: str) -> dict[str, float]:
    """The precondition of an action that an order may rule out."""
    return {f"may_{verb}": 1}


game.stock("attack", name="shoot", kinds="companion", targets=["foe", "boss_near"], damage=11, range=16, cooldown=0.5,
           line_of_sight=True, seconds=2, about="shoot at an enemy in reach and in plain sight")
for verb, place in (("guard", "bridge"), ("defend", "village"), ("stay", "post")):
    game.stock("hold", name=verb, kinds="companion", targets=[place], speed=7.5, near=1.5, needs=may(verb),
               about="go there and hold the place")
game.stock("follow", kinds="companion", targets=["player"], speed=8, near=3.5, needs=may("follow"),
           about="stay at somebody's side")
game.stock("approach", name="advance", kinds="companion", targets=["foe", "quarry", "east_bank"], speed=7, near=5,
           seconds=3, needs=may("advance"), about="go towards an enemy, up to shooting distance")
game.stock("take", name="fetch", kinds="companion", targets=["pack"], speed=8, near=1.2, needs=may("fetch"),
           about="run to a health pack and use it")
game.stock("approach", name="hide", kinds=FIGHTERS, targets=["cover"], speed=6.5, near=0.5, seconds=3,
           needs=may("hide"), about="get behind the nearest rock or tree")
game.stock("flee", name="retreat", kinds=["companion", "minion"], targets=["foe"], speed=6.5, seconds=2,
           needs=may("retreat"), about="run from an enemy")
game.stock("attack", name="slash", kinds="minion", targets=["foe"], damage=5, range=3, speed=5, near=1.5, cooldown=0.9,
           about="strike at an enemy right beside you")
game.stock("attack", name="throw", kinds="minion", targets=["foe"], damage=4, range=12, cooldown=1.4, seconds=3,
           line_of_sight=True, about="throw a stone at an enemy in reach and in plain sight")
game.stock("approach", name="charge", kinds="minion", targets=["foe", "bridge", "village"], speed=4.8, near=1.5,
           seconds=4, about="run there")
game.stock("follow", name="rally", kinds="minion", targets=["leader"], speed=4.8, near=4, seconds=2,
           about="gather around the leader")
game.stock("attack", name="blast", kinds="boss", targets=["foe"], damage=8, range=15, cooldown=1.2, seconds=3,
           line_of_sight=True, about="shoot at an enemy in reach and in plain sight")
game.stock("attack", name="crush", kinds="boss", targets=["foe"], damage=16, range=4, speed=4, near=2, cooldown=1.3,
           about="strike down an enemy right beside you")
game.stock("approach", name="march", kinds="boss", targets=["foe", "bridge", "village", "east_bank"], speed=3.6, near=2,
           seconds=4, about="walk there")


@game.action(kinds=["minion", "boss"], targets=["village"], range=valley.VILLAGE_RADIUS + 2, seconds=3, vectorised=True)
def raze(me: Rows, target: Any, dt: float) -> Status:
    """break and burn what the village has"""
    me.plunder += 1.5 * dt
    me.stop()
    return Status.RUNNING


game.stock("patrol", name="stroll", kinds="folk", targets=["home"], speed=1.6, radius=7, stamina_rate=6, seconds=4,
           about="walk about")
game.stock("follow", name="visit", kinds="folk", targets=["neighbour"], speed=2, near=1.5, stamina_rate=4,
           about="keep somebody company")
game.stock("rest", kinds="folk", targets=["self"], rate=14, limit=100, seconds=5, about="sit down")
