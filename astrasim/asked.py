"""What the model was asked and has not answered yet: every request from its beginning to its end, and whom it was put
to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Protocol

from .admission import Admission
from .cache import PlanCache
from .gateway import Answer, Failure
from .gateway.recalled import Memory
from .requests import Change, Request, RequestState
from .scopes import Scopes
from .statistics import RequestCounts
from .vocabulary import Scope


class Asker(Protocol):
    """What the planner needs of a gateway."""

    def declare_scope(self, scope_id: int, scope: Scope) -> None: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def chooses(self) -> bool: ...
    @property
    def max_in_flight(self) -> int: ...
    @property
    def memory(self) -> Memory | None: ...
    def ask(
        self, request_id: int, scope_id: int, key: int, deadline_s: float, options: Sequence[tuple[int, int]] = (),
        first: bool = False,
    ) -> bool: ...  # fmt: skip
    def cancel(self, request_id: int) -> None: ...
    def exchange(self) -> None: ...
    def read(self, max_messages: int = 64) -> list[Answer | Failure]: ...
    def flush(self) -> None: ...
    def describe(self) -> str: ...
    def close(self) -> None: ...


class Asked:
    """``requests`` are those that are with the gateway, by number; ``counts`` say what became of the others."""

    def __init__(
        self, gateway: Asker | None, scopes: Scopes, cache: PlanCache, admission: Admission, retry_after_s: float
    ) -> None:
        """``retry_after_s``: for so long nobody asks again where no plan came."""
        self.gateway = gateway
        self.clock: Callable[[], float] = monotonic
        self.requests: dict[int, Request] = {}
        self.counts = RequestCounts()
        self.has_unsent = False
        """Whether the gateway was asked something, or told that a request is given up, and did not send it yet."""
        self._scopes, self._cache, self._admission = scopes, cache, admission
        self._retry_ms = int(retry_after_s * 1000)
        self._declared: set[int] = set()
        self._changes: list[Change] | None = None

    @property
    def chooses(self) -> bool:
        """Whether the model only chooses among a heuristic's ideas."""
        return self.gateway is not None and self.gateway.chooses

    def declare(self, scope_id: int) -> None:
        """Make a scope known to the gateway, unless it is."""
        if self.gateway is not None and scope_id not in self._declared:
            self.gateway.declare_scope(scope_id, self._scopes[scope_id])
            self._declared.add(scope_id)

    def note(self, request: Request, reason: str = "", plan: int = -1) -> None:
        """Write down where it stands, if anybody listens."""
        if self._changes is not None:
            self._changes.append(Change(perf_counter(), request, request.state, reason, plan))

    def move(self, request: Request, state: RequestState, reason: str = "", plan: int = -1) -> None:
        request.move(state)
        self.note(request, reason, plan)

    def end(self, request: Request, state: RequestState, reason: str, now_ms: int) -> None:
        """No plan comes of it."""
        self.move(request, state, reason)
        self._cache.unanswered(request.entry, now_ms + (0 if state is RequestState.CANCELLED else self._retry_ms))
        if state is RequestState.REJECTED:
            self.counts.rejected += 1
        elif state is RequestState.CANCELLED:
            self.counts.cancelled += 1
        else:
            self.counts.failed += 1

    def give_up(self, request: Request, state: RequestState, reason: str, now_ms: int) -> None:
        """Wait for it no longer."""
        assert self.gateway is not None
        del self.requests[request.id]
        self.gateway.cancel(request.id)
        self.has_unsent = True
        self._admission.gave_up(request.id)
        self.end(request, state, reason, now_ms)
        self.counts.reasons[reason] += 1

    def forget(self, now_ms: int) -> None:
        """Cancel everything under way (the model was taken away)."""
        for request in self.requests.values():
            if self.gateway is not None:
                self.gateway.cancel(request.id)
            self._admission.gave_up(request.id)
            self.end(request, RequestState.CANCELLED, "model taken away", now_ms)
        self.requests.clear()

    def flush(self) -> None:
        """Let the gateway send what it was asked."""
        if self.gateway is not None:
            self.gateway.flush()
        self.has_unsent = False

    def change_gateway(self, gateway: Asker | None) -> None:
        """Ask through another gateway from now on; the old one is told to end, and is not waited for."""
        if self.gateway is not None:
            threading.Thread(target=self.gateway.close, name="astrasim-gateway-close", daemon=True).start()
        self.gateway = gateway
        self._declared.clear()

    # Observers

    def listen(self, on: bool) -> None:
        """Write down from now on what becomes of requests, or no more."""
        self._changes = [] if on else None

    @property
    def listens(self) -> bool:
        return self._changes is not None

    def read_changes(self) -> list[Change]:
        """What became of requests since this was called last, while it listens."""
        changes = list(self._changes or ())
        if changes:
            self._changes = []
        return changes
