"""Whether one more request may go out now, for whom, and if not, why: the one place where that is decided.

What waits is the cache's list of wanted situations; what is asked comes from its top. So nothing is ever refused that
could have waited, and what waits longest for nothing is dropped there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .gateway.policy import GatewayPolicy
from .pace import Pace
from .tiers import TIERS, Tier

_MINUTE_S = 60.0
_GUESS = 1000
"""Tokens that a request which is under way counts as, at least; a full prompt and a long answer take as many."""
_FORGET = 0.98
"""How much of what was dear is remembered after each request."""
ALMOST_1 = 1 - 1e-6
"""Ticks add up to a second, but for what they were rounded."""


@dataclass(slots=True)
class _Cost:
    asked_s: float
    tokens: int
    tier: int


class Admission:
    """Keeps count of what went out. Times are the planner's clock, in seconds. Tiers are named by number, least first,
    and sets of them by a bit each, bit 0 for the least."""

    def __init__(self, policy: GatewayPolicy, pace: Pace, tiers: Sequence[Tier] = TIERS) -> None:
        self._policy, self._pace, self._tiers = policy, pace, tiers
        self.everyone = sum(1 << number for number, tier in enumerate(tiers) if tier.asks)
        """All tiers that may ever ask."""
        self._refusal = ""
        self._in_flight, self._max_in_flight, self._present = 0, 1, 0
        self._requests = 1.0  # that may go out now
        self._of_tier = [1.0] * len(tiers)
        self._filled_s = 0.0
        self._costs: deque[_Cost] = deque()  # of the last minute, oldest first
        self._open: dict[int, _Cost] = {}
        self._spent = 0
        self._dearest = 0.0

    def pass_time(self, now: float) -> None:
        """Call before :meth:`decide`, once a tick at least while anybody may ask."""
        passed_s = now - self._filled_s
        self._requests = _filled(self._requests, self._pace.requests_per_second, passed_s)
        for number, tier in enumerate(self._tiers):
            if tier.requests_per_second is not None:
                self._of_tier[number] = _filled(self._of_tier[number], tier.requests_per_second, passed_s)
        self._filled_s = now
        while self._costs and self._costs[0].asked_s <= now - _MINUTE_S:
            self._spent -= self._costs.popleft().tokens

    def decide(self, is_ready: bool, in_flight: int, max_in_flight: int, present: int = 0) -> int:
        """The tiers whose requests may go out now.

        Args:
            is_ready: whether the gateway takes requests, and the model's server is not given a rest.
            in_flight: requests that are with the model now, of ``max_in_flight``.
            present: the tiers that slots are kept for and that have agents.
        """
        self._in_flight, self._max_in_flight, self._present = in_flight, max_in_flight, present
        self._refusal = self._why_nobody(is_ready)
        if self._refusal:
            return 0
        return sum(1 << tier for tier in range(len(self._tiers)) if not self._why_not(tier))

    def why_not(self, tier: int) -> str:
        """Why this tier may not ask, as of the last decision, in plain words; "" if it may."""
        return self._refusal or self._why_not(tier)

    def _why_nobody(self, is_ready: bool) -> str:
        policy = self._policy
        if not is_ready:
            return "the model cannot be asked now"
        if self._requests <= ALMOST_1:
            return f"{self._pace.requests_per_second:g} requests a second go out (requests_per_second)"
        if self._in_flight >= self._max_in_flight:
            return f"{self._in_flight} requests are with the model (max_in_flight)"
        if policy.tokens_per_minute is not None and self._spent + self._guess > policy.tokens_per_minute:
            return f"{self._spent} tokens were spent in a minute (tokens_per_minute)"
        return ""

    def _why_not(self, number: int) -> str:
        tier = self._tiers[number]
        if not tier.asks:
            return f"the tier {tier.name} asks no model (requests_per_second 0)"
        if tier.requests_per_second is not None and self._of_tier[number] <= ALMOST_1:
            return f"{tier.requests_per_second:g} requests a second go out for the tier {tier.name}"
        if self._present:
            above = [other for other in range(number + 1, len(self._tiers)) if self._present >> other & 1]
            kept = min(sum(self._tiers[other].slots for other in above), self._max_in_flight // 4)
            if self._in_flight >= self._max_in_flight - kept:
                names = ", ".join(self._tiers[other].name for other in above)
                return f"the last {kept} of {self._max_in_flight} places are kept for higher tiers ({names})"
        return ""

    def lends(self, is_ready: bool, in_flight: int, max_in_flight: int) -> bool:
        """Whether a request about a new order may go out one ahead of its time, where nobody may ask: those that follow
        wait for it. Arguments as in :meth:`decide`."""
        policy = self._policy
        if not is_ready or in_flight >= max_in_flight or not self._pace.requests_per_second:
            return False
        if policy.tokens_per_minute is not None and self._spent + self._guess > policy.tokens_per_minute:
            return False
        return self._requests > ALMOST_1 - 1

    def lenders(self) -> int:
        """The tiers that may ask about a new order, of what is theirs alone: slots are not kept from it, and of its own
        requests a second a tier lends one, too."""
        return sum(
            1 << number for number, tier in enumerate(self._tiers)
            if tier.asks and (tier.requests_per_second is None or self._of_tier[number] > ALMOST_1 - 1)
        )  # fmt: skip

    @property
    def _guess(self) -> int:
        """What a request may cost: as much as the dearest lately. Never more than may be spent at all, or a small limit
        would mean none."""
        return min(max(_GUESS, round(self._dearest)), self._policy.tokens_per_minute or _GUESS)

    def sent(self, request_id: int, now: float, tier: int = -1) -> None:
        """A request went out for this tier, or for none (-1)."""
        self._count(1, tier)
        cost = _Cost(now, self._guess, tier)
        self._open[request_id] = cost
        self._costs.append(cost)
        self._spent += cost.tokens

    def ended(self, request_id: int, tries: int, tokens: int) -> None:
        """A request has ended, after so many tries. What is known of its cost takes the guess's place."""
        cost = self._open.pop(request_id, None)
        self._count(max(tries - 1, 0), -1 if cost is None else cost.tier)
        if cost is not None and cost.asked_s > self._filled_s - _MINUTE_S:
            self._spent += tokens - cost.tokens
            cost.tokens = tokens
        self._dearest = max(self._dearest * _FORGET, tokens)

    def gave_up(self, request_id: int) -> None:
        """A request was cancelled or expired: what it cost is never known, and stays as guessed."""
        self._open.pop(request_id, None)

    def _count(self, requests: int, tier: int) -> None:
        self._requests -= requests
        if tier >= 0 and self._tiers[tier].requests_per_second is not None:
            self._of_tier[tier] -= requests


def _filled(requests: float, rate: float, passed_s: float) -> float:
    """How many may go out: at most a tenth of a second's at once, so that a pause is not followed by a burst."""
    return min(requests + rate * passed_s, max(1.0, rate / 10)) if rate else 0.0
