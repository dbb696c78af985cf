"""Situations with the plan that is right in each: what the plan cache's near look-ups are judged by.

``draw(seed)`` makes 1,500 situations of one guard of a watch. The generator and the rule were written, and committed,
before the near look-ups. What is tuned is tuned on ``TUNING_SEEDS``; ``REPORT_SEEDS`` are for reports and nothing
else, and are looked at once. ``SPENT_SEEDS`` were for reports, of near look-ups that were changed afterwards because of
what they said; they are tuned on as little, and no figure about them proves anything any more.

A game comes back to the same few scenes with slightly different numbers, and now and then to something new. So each
seed has 60 scenes, whose frequencies fall as in Zipf's law; four situations in five are one of them, each number moved
by about 4% of its range; the fifth is drawn afresh. Half of a scene's numbers are at an end of their range, mostly the
upper (unhurt, rested, nobody in sight), and stay there.

The rule's thresholds are not the edges of the buckets: of two situations with the same key, one may be on this side of
the rule and one on the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from astrasim import Domain

SITUATIONS = 1500
TUNING_SEEDS = (*range(11, 36), *range(1000, 1075))
REPORT_SEEDS = (707, 808, 909)
SPENT_SEEDS = (101, 202, 303, 404, 505, 606)

SCENES = 60
FROM_A_SCENE = 0.8
AT_AN_END = 0.5
AT_THE_UPPER = 0.75
NOISE = 0.04
SIGHT = 50.0
RANGES = {
    "health": (1.0, 100.0), "foe_distance": (0.0, SIGHT), "foes": (0.0, 12.0), "friends": (0.0, 12.0),
    "rounds": (0.0, 30.0), "breath": (0.0, 100.0), "post_distance": (0.0, 100.0), "alarm": (0.0, 1.0),
}  # fmt: skip
"""Lowest and highest of each number."""
WHOLE = ("foes", "friends", "rounds", "alarm")


class Labelled(NamedTuple):
    """Situations: ``values``, shape (situations, numbers of ``RANGES``), float32; ``right``, the step right in each."""

    values: NDArray[np.float32]
    right: list[str]


def make_watch() -> Domain:
    """The domain of the guards: ten features over eight numbers."""
    watch = Domain("watch", ["guard"], size=(400, 400))
    for name in RANGES:
        watch.column(name)
    feature = watch.feature
    feature("alert", column="alarm", edges=[0.5], interrupt=True, words=["all is quiet", "the alarm bell rings"])
    feature("contact", column="foe_distance", edges=[9], interrupt=True,
            words=["an enemy is upon you", "no enemy is upon you"])
    feature("wounds", column="health", edges=[30], interrupt=True, words=["you are badly hurt", "you can fight"])
    feature("vigour", column="health", edges=[50, 75], words=["health is low", "health is fair", "health is good"])
    feature("foe_range", column="foe_distance", edges=[16, 30, 45],
            words=["an enemy is near", "an enemy is in range", "an enemy is in sight", "no enemy in sight"])
    feature("foe_count", column="foes", edges=[1, 4, 8],
            words=["no enemies around", "a few enemies around", "many enemies around", "enemies everywhere"])
    feature("friend_count", column="friends", edges=[1, 4, 8],
            words=["no friends around", "a few friends around", "many friends around", "friends everywhere"])
    feature("ammunition", column="rounds", edges=[1, 10],
            words=["no ammunition", "little ammunition", "enough ammunition"])
    feature("wind", column="breath", edges=[20, 60], words=["exhausted", "tired", "rested"])
    feature("post_range", column="post_distance", edges=[15, 50],
            words=["at your post", "not far from your post", "far from your post"])
    watch.place("post", 200, 200)
    watch.reference("foe")
    watch.reference("friend")
    watch.stock("attack", targets=["foe"], damage=9, range=8)
    watch.stock("approach", targets=["foe", "post"], speed=5)
    watch.stock("flee", targets=["foe"], speed=6)
    watch.stock("follow", targets=["friend"], speed=5)
    watch.stock("hold", targets=["self", "post"])
    watch.stock("patrol", targets=["post"], speed=3)
    watch.stock("reload", targets=["self"], rate=6, limit=30)
    watch.stock("rest", targets=["self"], rate=18)
    return watch


def right_step(health: float, foe_distance: float, foes: float, friends: float, rounds: float, breath: float,
               post_distance: float, alarm: float) -> str:  # fmt: skip
    """What a sensible guard does: the first line that holds."""
    close, in_reach = foe_distance < 6, foe_distance < 23
    if health < 24 and in_reach:
        return "flee foe"
    if rounds < 3:
        return "flee foe" if foe_distance < 12 else "reload self"
    if close:
        return "attack foe"
    if in_reach and foes > friends + 3:
        return "follow friend" if friends >= 2 else "flee foe"
    if in_reach:
        return "approach foe" if breath >= 33 else "hold self"
    if health < 41 or breath < 13:
        return "rest self"
    if alarm:
        return "approach post" if post_distance >= 28 else "hold post"
    if post_distance >= 64:
        return "approach post"
    return "follow friend" if friends >= 10 else "patrol post"


def draw(seed: int, situations: int = SITUATIONS) -> Labelled:
    """The situations of one seed, in the order in which they come."""
    rng = np.random.default_rng(seed)
    scenes, at_end = _afresh(rng, SCENES)
    shares = 1.0 / np.arange(1, SCENES + 1)
    which = rng.choice(SCENES, situations, p=shares / shares.sum())
    moved = scenes[which] + np.where(at_end[which], 0.0, rng.normal(0.0, NOISE, (situations, len(RANGES))))
    others, _ = _afresh(rng, situations)
    share = np.where((rng.random(situations) < FROM_A_SCENE)[:, None], moved, others).clip(0.0, 1.0)
    low, high = (np.array(ends) for ends in zip(*RANGES.values(), strict=True))
    values = low + share * (high - low)
    names = list(RANGES)
    for name in WHOLE:
        values[:, names.index(name)] = values[:, names.index(name)].round()
    nobody = values[:, names.index("foes")] == 0
    values[nobody, names.index("foe_distance")] = SIGHT
    unseen = values[:, names.index("foe_distance")] >= SIGHT
    values[unseen, names.index("foes")] = 0
    values = values.astype(np.float32)
    return Labelled(values, [right_step(*row) for row in values.tolist()])


def _afresh(rng: np.random.Generator, number: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Situations as shares of the ranges, and which of their numbers are at an end of it."""
    at_end = rng.random((number, len(RANGES))) < AT_AN_END
    return np.where(at_end, rng.random(at_end.shape) < AT_THE_UPPER, rng.random(at_end.shape)), at_end
