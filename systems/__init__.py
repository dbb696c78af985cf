"""The esper processors; installed as astrasim.systems."""

if __name__ != "astrasim.systems":
    raise ImportError(
        f"'systems' was imported as {__name__!r}: write 'import astrasim.systems' instead. Under two names Python"
        " loads two copies of every class, and esper, finding components by class, silently misses those of the other. "
        "(If astrasim.systems is not found: pip install -e . in the source tree, or pip install astrasim.)"
    )

from .action import Action
from .movement import Move
from .perception import Perception
from .planning import Planning
from .situations import Situations

PIPELINE = (
    Perception,  # world → percepts: notice who left, look around
    Situations,  # percepts → features → keys; flag the plans that an interrupt feature ends
    Planning,  # within its budget: take in answers, ask, hand out model plans, serve who needs a plan
    Action,  # each agent's running step → velocities, events; events applied in row order
    Move,  # velocities → positions
)
"""One tick, in order. Each is an esper processor, made with the simulation; a game's own may run between any two."""

__all__ = ["PIPELINE", "Action", "Move", "Perception", "Planning", "Situations"]
