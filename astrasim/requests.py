"""The life of a request: one question to a model about one (scope, key), asked once for everyone who waits for it.

    QUEUED ──► SENT ──► ANSWERED ──► STORED       the plan is in the cache, and with the agents it fits
       │         ├────► FAILED                    the model, the network or the gateway failed
       │         ├────► REJECTED                  the model answered, but no legal plan
       │         ├────► EXPIRED                   its deadline passed first
       └─────────┴────► CANCELLED                 nobody wants it any more
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from .errors import TransitionError


class RequestState(Enum):
    QUEUED = "queued"
    SENT = "sent"
    ANSWERED = "answered"
    STORED = "stored"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_S = RequestState
ALLOWED: dict[RequestState, frozenset[RequestState]] = {
    _S.QUEUED: frozenset({_S.SENT, _S.CANCELLED}),
    _S.SENT: frozenset({_S.ANSWERED, _S.FAILED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED}),
    _S.ANSWERED: frozenset({_S.STORED}),
    _S.STORED: frozenset(),
    _S.FAILED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}


@dataclass(slots=True)
class Request:
    """One request about the (scope, key) of the cache entry ``entry``.

    ``tier``: the highest that waited for it, -1 for a look at a plan that was lent. ``asked_at`` is ``perf_counter``
    when it was asked, ``deadline_s`` a time of the simulation's clock, in seconds.
    """

    id: int
    scope_id: int
    key: int
    entry: int
    tier: int
    waiting: int
    asked_at: float
    deadline_s: float
    state: RequestState = RequestState.QUEUED

    def move(self, to: RequestState) -> None:
        """Go on to the state ``to``.

        Raises:
            TransitionError: if that is not allowed from where the request stands.
        """
        if to not in ALLOWED[self.state]:
            allowed = ", ".join(sorted(s.name for s in ALLOWED[self.state])) or "nothing: it has ended"
            raise TransitionError(
                f"request {self.id} cannot go from {self.state.name} to {to.name}; from {self.state.name}: {allowed}"
            )
        self.state = to


class Change(NamedTuple):
    """A request came to ``state`` at ``at_s`` of ``perf_counter``. ``plan``: the number of what was STORED, else -1."""

    at_s: float
    request: Request
    state: RequestState
    reason: str
    plan: int
