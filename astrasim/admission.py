"""Whether one more request may go out now, for whom, and if not, why: the one place where that is decided.

What waits is the cache's list of wanted situations; what is asked comes from its top. So nothing is ever refused that
could have waited, and what waits longest for nothing is dropped there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from .gateway.policy import HERO, GatewayPolicy
from .pace import Pace

ORDERS, NOBODY = HERO + 1, HERO + 2
_MINUTE_S = 60.0
_GUESS = 1000
"""Tokens that a request which is under way counts as, at least; a full prompt and a long answer take as many."""
_FORGET = 0.98
"""How much of what was dear is remembered after each request."""
ALMOST_1 = 1 - 1e-6
"""Ticks add up to a second, but for what they were rounded."""


class Decision(NamedTuple):
    """``least_tier``: whose requests may go out, from this tier up; ``NOBODY`` for none. ``reason``: why others may
    not, in plain words; "" where all may."""

    least_tier: int
    reason: str


ALL = Decision(0, "")


@dataclass(slots=True)
class _Cost:
    asked_s: float
    tokens: int


class Admission:
    """Keeps count of what went out. Times are the planner's clock, in seconds."""

    def __init__(self, policy: GatewayPolicy, pace: Pace) -> None:
        self._policy, self._pace = policy, pace
        self.decision = ALL
        """The last one."""
        self._requests = 1.0  # that may go out now
        self._filled_s = 0.0
        self._costs: deque[_Cost] = deque()  # of the last minute, oldest first
        self._open: dict[int, _Cost] = {}
        self._spent = 0
        self._dearest = 0.0

    def pass_time(self, now: float) -> None:
        """Call once a tick."""
        rate = self._pace.requests_per_second
        # At most a tenth of a second's requests at once, so that a pause is not followed by a burst.
        grown = self._requests + rate * (now - self._filled_s)
        self._requests = min(grown, max(1.0, rate / 10)) if rate else 0.0
        self._filled_s = now
        while self._costs and self._costs[0].asked_s <= now - _MINUTE_S:
            self._spent -= self._costs.popleft().tokens

    def decide(self, is_ready: bool, in_flight: int, max_in_flight: int, has_heroes: bool) -> Decision:
        """Who may ask now.

        Args:
            is_ready: whether the gateway takes requests, and the model's server is not given a rest.
            in_flight: requests that are with the model now, of ``max_in_flight``.
            has_heroes: whether there is anybody whom slots are kept for.
        """
        self.decision = self._decide(is_ready, in_flight, max_in_flight, has_heroes)
        return self.decision

    def _decide(self, is_ready: bool, in_flight: int, max_in_flight: int, has_heroes: bool) -> Decision:
        policy = self._policy
        if not is_ready:
            return Decision(NOBODY, "the model cannot be asked now")
        if self._requests <= ALMOST_1:
            rate = self._pace.requests_per_second
            return Decision(NOBODY, f"{rate:g} requests a second go out (requests_per_second)")
        if in_flight >= max_in_flight:
            return Decision(NOBODY, f"{in_flight} requests are with the model (max_in_flight)")
        if policy.tokens_per_minute is not None and self._spent + self._guess > policy.tokens_per_minute:
            return Decision(NOBODY, f"{self._spent} tokens were spent in a minute (tokens_per_minute)")
        kept = min(policy.hero_slots, max_in_flight // 4)
        if has_heroes and in_flight >= max_in_flight - kept:
            return Decision(HERO, f"the last {kept} of {max_in_flight} places are kept for heroes (hero_slots)")
        return ALL

    def lends(self, is_ready: bool, in_flight: int, max_in_flight: int) -> bool:
        """Whether a request about a new order may go out one ahead of its time, where nobody may ask: those that follow
        wait for it. Arguments as in :meth:`decide`."""
        policy = self._policy
        if not is_ready or in_flight >= max_in_flight or not self._pace.requests_per_second:
            return False
        if policy.tokens_per_minute is not None and self._spent + self._guess > policy.tokens_per_minute:
            return False
        return self._requests > ALMOST_1 - 1

    @property
    def _guess(self) -> int:
        """What a request may cost: as much as the dearest lately. Never more than may be spent at all, or a small limit
        would mean none."""
        return min(max(_GUESS, round(self._dearest)), self._policy.tokens_per_minute or _GUESS)

    def sent(self, request_id: int, now: float) -> None:
        """A request went out."""
        self._requests -= 1
        cost = _Cost(now, self._guess)
        self._open[request_id] = cost
        self._costs.append(cost)
        self._spent += cost.tokens

    def ended(self, request_id: int, tries: int, tokens: int) -> None:
        """A request has ended, after so many tries. What is known of its cost takes the guess's place."""
        self._requests -= max(tries - 1, 0)
        cost = self._open.pop(request_id, None)
        if cost is not None and cost.asked_s > self._filled_s - _MINUTE_S:
            self._spent += tokens - cost.tokens
            cost.tokens = tokens
        self._dearest = max(self._dearest * _FORGET, tokens)

    def gave_up(self, request_id: int) -> None:
        """A request was cancelled or expired: what it cost is never known, and stays as guessed."""
        self._open.pop(request_id, None)
