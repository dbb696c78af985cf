"""Arrivals: what the gateway sends is received, read a message at a time and taken in; what is too late is given up."""

from __future__ import annotations

import logging
from collections import deque
from time import perf_counter

from .admission import Admission
from .asked import Asked
from .budget import Budget
from .cache import PlanCache
from .choices import Choices
from .gateway import Answer, Failure
from .handing import HandOut, Turn
from .plans import Origin, PlanStore
from .reader import Steps
from .requests import Request, RequestState
from .statistics import Window

log = logging.getLogger("astrasim")

GRACE_S = 1.0
"""The gateway keeps the deadline itself; a request is given up when nothing is heard of it for so long after it."""
MAX_RAW = 512
MESSAGES = 1
"""Read in a unit."""


class Arrivals:
    """Plans that come go to the cache, and from there they are handed out."""

    def __init__(
        self, asked: Asked, admission: Admission, cache: PlanCache, choices: Choices, plans: PlanStore, handing: HandOut
    ) -> None:
        self._asked, self._admission = asked, admission
        self._cache, self._choices, self._plans, self._handing = cache, choices, plans, handing
        self.latency_ms = Window(4096)
        self.raw: dict[tuple[int, int], str] = {}
        """The last answers as the model gave them, by (scope, key)."""
        self._messages: deque[Answer | Failure] = deque()
        """Those that were read and not taken in yet."""
        self._next = "receive"
        """What comes next when all of them are: receive, read, give up. It stands over from tick to tick, or a budget
        that has room for one of the three would never come to the last."""

    def next_kind(self) -> str:
        """Which kind of unit comes next."""
        return "take" if self._messages else self._next

    def run(self, turn: Turn, budget: Budget) -> None:
        """Receive once, read what came, take it in, and give up what is too late; what the last tick left over goes
        first."""
        gateway = self._asked.gateway
        if gateway is None:
            return
        has_received = False
        while True:
            kind = self.next_kind()
            if kind == "take":
                self._take(turn, self._messages.popleft())
                budget.spend(kind)
            elif kind == "receive":
                gateway.exchange()
                has_received, self._next = True, "read"
                budget.looked()
            elif kind == "read":
                self._messages.extend(gateway.read(MESSAGES))
                if len(self._messages) < MESSAGES:
                    self._next = "give up"
                if self._messages:
                    budget.spend(kind)
            elif request := self._too_late():
                self._asked.give_up(request, RequestState.EXPIRED, "expired", turn.now_ms)
                budget.spend(kind)
            else:
                self._next = "receive"
                if has_received:
                    return
            if not budget.left(self.next_kind()):
                return

    def _too_late(self) -> Request | None:
        late_s = self._asked.clock() - GRACE_S if self._asked.requests else 0.0
        return next((request for request in self._asked.requests.values() if late_s > request.deadline_s), None)

    def clear(self) -> None:
        """It is another gateway now."""
        self._messages.clear()
        self._next = "receive"

    def fit(self, entry: int, steps: Steps) -> Steps | None:
        """Steps from the gateway's memory as they suit an entry: a model that chooses chose among its ideas only."""
        if not self._asked.chooses:
            return steps
        return self._choices.put_first(entry, steps[0]) if steps[0][:2] in self._choices.ideas(entry) else None

    def _take(self, turn: Turn, message: Answer | Failure) -> None:
        asked = self._asked
        request = asked.requests.pop(message.request_id, None)
        self._admission.ended(message.request_id, message.tries, message.tokens)
        asked.counts.retries += max(message.tries - 1, 0)
        if request is None:
            asked.counts.late += 1
        elif isinstance(message, Failure):
            state = RequestState.REJECTED if message.rejected else RequestState.FAILED
            asked.end(request, state, message.reason, turn.now_ms)
            asked.counts.reasons[message.reason] += 1
            self._keep_raw(request, f"{message.detail} ({message.reason})")
            # Each reason is said once, and counted from then on.
            level = logging.WARNING if asked.counts.reasons[message.reason] == 1 else logging.DEBUG
            log.log(level, "no plan from the model: %s: %s", message.reason, message.detail)
        else:
            self._store(request, message, turn.now_ms)

    def _store(self, request: Request, answer: Answer, now_ms: int) -> None:
        asked = self._asked
        asked.move(request, RequestState.ANSWERED)
        # By the clock on the wall: the simulation's own stands still within a tick and is late when frames are missed.
        self.latency_ms.add((perf_counter() - request.asked_at) * 1000)
        asked.counts.use(answer.usage)
        steps = self._choices.put_first(request.entry, answer.steps[0]) if asked.chooses else answer.steps
        plan = self._plans.intern(steps, Origin.MODEL)
        self._cache.answered(request.entry, plan, now_ms)
        self._handing.add(request.entry, plan)
        self._keep_raw(request, answer.raw)
        asked.move(request, RequestState.STORED, plan=plan)
        asked.counts.answered += 1

    def _keep_raw(self, request: Request, text: str) -> None:
        self.raw.pop((request.scope_id, request.key), None)
        self.raw[request.scope_id, request.key] = text
        if len(self.raw) > MAX_RAW:
            del self.raw[next(iter(self.raw))]
