"""The requests that have not ended yet, as the game sees them: each ends exactly once, and says what it learnt of the
server to the server's breaker."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from .breaker import Breaker
from .messages import Answer, Counts, Failure, clean

log = logging.getLogger("astrasim")

_EXPIRY_GRACE_S = 0.5  # the gateway itself ends a request at its deadline; this is for when it does not
_EXPIRY_CHECK_S = 0.25


class _Asked(NamedTuple):
    until: float
    """When to stop waiting for it."""
    probe: bool
    scope_id: int


class Pending:
    """Times are the game's clock, in seconds."""

    def __init__(self, breaker: Breaker, counts: Counts) -> None:
        self.breaker = breaker
        self.trouble = ""
        """What was wrong with the last request, "" if it was answered."""
        self._counts = counts
        self._asked: dict[int, _Asked] = {}
        self._results: deque[Answer | Failure] = deque()
        self._next_check = 0.0

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._asked

    def add(self, request_id: int, scope_id: int, now: float, seconds: float) -> bool:
        """A request goes out. True if it is the one that tries a server which was given a rest."""
        probe = self.breaker.asked(now)
        self._asked[request_id] = _Asked(now + seconds + _EXPIRY_GRACE_S, probe, scope_id)
        self._counts.sent += 1
        return probe

    def scope_id(self, request_id: int) -> int:
        """The number of the scope that a request is about."""
        return self._asked[request_id].scope_id

    def end(self, result: Answer | Failure, now: float) -> None:
        """A request has ended so."""
        probe = self._asked.pop(result.request_id).probe
        self._results.append(result)
        if isinstance(result, Answer):
            self._counts.answered += 1
            self.trouble = ""
            self._learn(True, probe, now)
            return
        self.trouble = f"the last request failed: {result.reason}: {clean(result.detail, 120)}"
        if result.rejected:
            self._counts.rejected += 1
        else:
            self._counts.failed += 1
        self._learn(result.verdict, probe, now, result.wait_s)

    def cancel(self, request_id: int, now: float) -> bool:
        """Nobody wants it any more; False if it has ended already."""
        if request_id not in self._asked:
            return False
        self._counts.cancelled += 1
        self.breaker.withdrawn(now, probe=self._asked.pop(request_id).probe)
        return True

    def fail_all(self, detail: str, now: float) -> None:
        """The gateway is gone, and all that it was asked with it."""
        for request_id in list(self._asked):
            self.end(Failure(request_id, "gateway_lost", detail, False), now)

    def expire(self, now: float) -> list[int]:
        """End the requests that the gateway forgot; looks four times a second."""
        if now < self._next_check:
            return []
        self._next_check = now + _EXPIRY_CHECK_S
        late = [request_id for request_id, asked in self._asked.items() if now >= asked.until]
        for request_id in late:
            self.end(Failure(request_id, "deadline", "the gateway said nothing about it in time", False), now)
        return late

    @property
    def ended(self) -> int:
        """Results that wait to be taken."""
        return len(self._results)

    def take(self, at_most: int) -> list[Answer | Failure]:
        """The next results, in the order of their ends."""
        return [self._results.popleft() for _ in range(min(len(self._results), at_most))]

    def _learn(self, verdict: bool | None, probe: bool, now: float, wait_s: float = 0.0) -> None:
        if verdict is None:
            self.breaker.withdrawn(now, probe=probe)
        elif verdict:
            if self.breaker.succeeded():
                log.info("the model answers again")
        elif self.breaker.failed(now, probe=probe, asked_for_s=wait_s):
            log.warning("%s; %s", self.breaker.describe(now), self.trouble)
