"""Every error that AstraSim raises, as one tree.

AstraSimError
 ├── DomainError          a declaration of the domain is wrong (raised where it is declared, or by ``check``)
 ├── SettingsError        a setting is out of range, or names something that does not exist
 ├── WorldError           the esper world is not as the simulation needs it (closed, shared by two simulations)
 ├── AgentGone            a handle was used after its agent or thing was deleted
 ├── TransitionError      a request or a step was moved along a way that its state machine does not have
 ├── PlanRejected         a plan (a model's or a heuristic's) breaks the domain's rules; ``reason`` is one word
 ├── WeightsError         a model's weights could not be fetched
 ├── FramingError         (gateway/framing.py) bytes on the gateway's socket that are no message
 ├── ModelError           (gateway/models.py) a model gave no answer; ``reason`` is one word
 └── ActionError          an action or feature written by the game raised (only raised in strict mode)
"""

from __future__ import annotations


class AstraSimError(Exception):
    """Base of all errors raised on purpose by AstraSim."""


class DomainError(AstraSimError):
    """A declaration is wrong. The message says what, where and what to write instead."""


class SettingsError(AstraSimError):
    """A setting cannot be used. The message gives its value and the remedy."""


class WorldError(AstraSimError):
    """The esper world is not in a state in which the simulation can run."""


class AgentGone(AstraSimError):
    """A handle was used after its agent (or thing) had left the world."""


class TransitionError(AstraSimError):
    """A state machine was asked for a transition that it does not have."""


class PlanRejected(AstraSimError):
    """A plan breaks the rules of its domain.

    Attributes:
        reason: one word that statistics count by, such as ``not_json`` or ``unknown_action``.
        detail: what exactly was wrong, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class WeightsError(AstraSimError):
    """The weights could not be fetched. The message says why, and how to go on without."""


class ActionError(AstraSimError):
    """Code that the game supplied (an action, a feature, a heuristic, a resolver) raised."""
