"""Whether a model server may be asked at all.

    WORKING ──► RESTING ──► PROBING      RESTING: after 5 failures in a row, or where the server asked for a pause
       ▲           ▲  ▲────────┤         PROBING: the rest is over, and one request is under way to see
       └───────────┴───────────┘         back to WORKING by any success, to RESTING (twice as long) if the probe fails

A success of any request closes the breaker, the probe's or an older one's: the server answers. Failures of older
requests during a rest say nothing new. A probe that ends without a verdict (it was cancelled, or the gateway process
died) leaves its place to the next request; so does one that hangs for longer than the longest rest, lest a server that
is back waits for the deadline of a request that it lost.
"""

from __future__ import annotations

import math
from enum import Enum
from weakref import WeakValueDictionary

from .policy import GatewayPolicy
from .spec import ModelSpec

LONGEST_ASKED_S = 300.0
"""A server that asks for a longer pause (``Retry-After``) is tried after this one."""


class BreakerState(Enum):
    WORKING = "working"
    RESTING = "resting"
    PROBING = "probing"


class Breaker:
    """One server's. Times are the callers' clock, in seconds; all who share a breaker use the same."""

    def __init__(self, policy: GatewayPolicy) -> None:
        self._limit = policy.rest_after_failures
        self._first_s, self._longest_s = policy.rest_s, max(policy.rest_s, policy.longest_rest_s)
        self.state = BreakerState.WORKING
        self._failures = 0
        self._rest_s = self._first_s
        self._until = 0.0  # when the next request may go out, unless it is WORKING

    def may_ask(self, now: float) -> bool:
        """Whether a request may go out now."""
        return self.state is BreakerState.WORKING or now >= self._until

    def asked(self, now: float) -> bool:
        """A request goes out, for which :meth:`may_ask` said yes. True if it is a probe; its verdict must say so."""
        if self.state is BreakerState.WORKING:
            return False
        self.state, self._until = BreakerState.PROBING, now + self._longest_s
        return True

    def succeeded(self) -> bool:
        """The server answered. True if it had been given up until now."""
        was_away = self.state is not BreakerState.WORKING
        self.state, self._failures, self._rest_s = BreakerState.WORKING, 0, self._first_s
        return was_away

    def failed(self, now: float, *, probe: bool, asked_for_s: float = 0.0) -> bool:
        """A request failed by the server's fault. True if that begins the first rest of a row.

        Args:
            asked_for_s: the pause that the server asked for, 0 for none; it rests at once, for that long at least.
        """
        was_working = self.state is BreakerState.WORKING
        if was_working:
            self._failures += 1
            if self._failures < self._limit and asked_for_s <= 0:
                return False
        elif self.state is BreakerState.RESTING or not probe:
            return False
        self.state = BreakerState.RESTING
        self._until = now + max(self._rest_s, min(asked_for_s, LONGEST_ASKED_S))
        self._rest_s = min(2 * self._rest_s, self._longest_s)
        return was_working

    def withdrawn(self, now: float, *, probe: bool) -> None:
        """A request ended without saying anything about the server."""
        if probe and self.state is BreakerState.PROBING:
            self.state, self._until = BreakerState.RESTING, now

    def describe(self, now: float) -> str:
        """What players may be told while the server is not asked; "" while it is."""
        if self.state is BreakerState.WORKING:
            return ""
        left_s = self._until - now
        if self.state is BreakerState.PROBING:
            when = "trying it now"
        else:
            when = f"next try in {math.ceil(left_s)} s" if left_s > 0 else "the next request tries again"
        return f"model unavailable, heuristics in charge, {when}"


_BY_SERVER: WeakValueDictionary[tuple[str, str], Breaker] = WeakValueDictionary()


def breaker_of(spec: ModelSpec, policy: GatewayPolicy) -> Breaker:
    """The breaker of the server that ``spec`` names: the same for all gateways of this process that ask it (with the
    same key), made by the first one's policy. A model that is no server (embedded, function) shares with nobody."""
    if not spec.base_url:
        return Breaker(policy)
    key = spec.api_key.get_secret_value() if spec.api_key else ""
    return _BY_SERVER.setdefault((spec.base_url.rstrip("/"), key), Breaker(policy))
