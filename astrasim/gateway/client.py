"""The game's side of the gateway. Every method but ``close`` is meant for the inside of a 60 FPS tick.

What a tick may rely on:

- Nothing waits: sockets are non-blocking, and the process is started by a thread of its own.
- Every call does bounded work, however much the other side sends.
- Each request for which ``ask`` returned True ends exactly once, in an Answer or a Failure that ``poll`` returns,
  unless it is cancelled: whether the model, the gateway or its process fails, and at its deadline plus 0.5 s at the
  latest.
- Nothing that the gateway process does can raise here. If it sends nonsense, dies, or gives no sign of life, it is
  ended and started again, and hears all scopes again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import AstraSimError
from ..vocabulary import Scope, Vocabulary
from .breaker import breaker_of
from .framing import Message, pack
from .hearing import Hearing
from .keeping import Keeping
from .life import Life
from .messages import (
    MAX_DEADLINE_S,
    MAX_TO_GATEWAY,
    QUEUE_FACTOR,
    Answer,
    Counts,
    Failure,
    GatewayState,
    GatewayStatistics,
)
from .pending import Pending
from .policy import GatewayPolicy
from .process import CHILD_ENV
from .recalled import Memory, Pairs
from .spec import ModelSpec
from .telling import Telling

_EMBEDDED_IN_FLIGHT = 2


class Gateway:
    """Asks a model for plans, through a process of its own. Not for use by several threads at once."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        model: ModelSpec,
        *,
        policy: GatewayPolicy | None = None,
        keeping: Keeping | None = None,
        log_exchanges: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet.

        Args:
            vocabulary: the domain's words; every prompt is made of them.
            model: which model to ask.
            policy: its limits; default: :class:`GatewayPolicy`'s own. Four times ``max_in_flight`` may wait in the
                gateway. The embedded model has 2 at most, one that it works on and the next, and orders besides.
            keeping: how the gateway keeps plans; default: 10,000 of them, in memory.
            log_exchanges: a file to which the gateway appends every prompt and answer, one JSON object a line.
            clock: seconds, never going backwards.

        Raises:
            FramingError: if the vocabulary is larger than 8 MiB as JSON.
        """
        policy, keeping = policy or GatewayPolicy(), keeping or Keeping()
        if model.kind == "embedded":
            policy = policy.model_copy(update={"max_in_flight": min(policy.max_in_flight, _EMBEDDED_IN_FLIGHT)})
        self._model = model
        self._clock = clock
        self.max_in_flight = policy.max_in_flight
        self._capacity = self.max_in_flight * (1 + QUEUE_FACTOR)
        self._setup = pack({"t": "setup", "vocabulary": vocabulary.model_dump(mode="json")}, MAX_TO_GATEWAY)
        key = model.api_key.get_secret_value() if model.api_key else None
        self._counts = Counts()
        settings = {
            "model": {**model.model_dump(exclude={"api_key"}), "api_key": key},
            "log": str(log_exchanges.absolute()) if log_exchanges else None,
            "policy": policy.model_dump(),
            "cache": keeping.model_dump(mode="json"),
        }
        self._life = Life(settings, self._counts, policy.memory_mb(model.is_in_gateway) + keeping.memory_mb)
        self._telling = Telling()
        self._pending = Pending(breaker_of(model, policy), self._counts)
        self.memory = Memory(vocabulary, self._telling.scopes, self._send_about) if keeping.can_recall else None
        """The plans that the gateway remembers; None where it knows none that the tick's cache does not."""
        self._hearing = Hearing(
            vocabulary, self._life, self._telling.scopes, self._pending, self.memory, self._counts, clock
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def state(self) -> GatewayState:
        """Where the gateway stands, as of the last ``poll``."""
        return self._life.state

    @property
    def pid(self) -> int | None:
        """The gateway process's number, None while there is none."""
        return self._life.pid

    def start(self) -> None:
        """Start the process; returns at once. ``poll`` brings it up. Without effect if it is started already.

        Raises:
            AstraSimError: in a process that is itself a gateway.
        """
        if self.state is not GatewayState.CLOSED:
            return
        if os.environ.get(CHILD_ENV):
            raise AstraSimError(
                "a gateway process cannot start gateways. If this is a frozen game, call "
                "astrasim.gateway.freeze_support() first in its main script; if a function model's module starts "
                'the game when it is imported, put that under `if __name__ == "__main__":`'
            )
        self._life.start(self._clock())

    def declare_scope(self, scope_id: int, scope: Scope) -> None:
        """Make a scope known, once, before asking about it. It is remembered, also for a restarted process.

        Raises:
            ValueError: if ``scope_id`` stands for another scope already.
            FramingError: if it is larger than 8 MiB as JSON.
        """
        self._telling.declare(int(scope_id), scope)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be asked now: the process is there, and the model's server is not given a rest."""
        return (
            self.state is GatewayState.READY
            and self._life.link is not None
            and self._pending.breaker.may_ask(self._clock())
        )

    @property
    def unavailable(self) -> str:
        """That the model's server is given a rest after failures, and until when, in plain words; "" if it is not."""
        return self._pending.breaker.describe(self._clock())

    @property
    def chooses(self) -> bool:
        """Whether the model only chooses among options that ``ask`` names."""
        return self._model.chooses

    def ask(
        self, request_id: int, scope_id: int, key: int, deadline_s: float, options: Sequence[tuple[int, int]] = (),
        first: bool = False,
    ) -> bool:  # fmt: skip
        """Ask for a plan in the situation (scope, key). It goes out with the next ``poll`` or ``flush``.

        Args:
            request_id: any integer that is not in flight now.
            deadline_s: for how many seconds from now the answer is of use; at most an hour.
            options: for a model that ``chooses``: the steps (action, target) that are sensible and legal now.
            first: it is about a new order, with which the embedded model begins at once, whatever else it has in hand.

        Returns:
            False if the gateway is not ready, the model's server is given a rest, or there is as much to do as there
            may be: nothing was sent, and there will be neither Answer nor Failure.

        Raises:
            ValueError: if the scope is not declared, or the request is in flight already.
        """
        link = self._life.link
        full = len(self._pending) >= self._capacity
        if link is None or full or not link.has_room or not self.is_ready:
            self._counts.refused += 1
            return False
        if scope_id not in self._telling:
            raise ValueError(f"scope {scope_id} is not declared; call declare_scope first")
        if request_id in self._pending:
            raise ValueError(f"request {request_id} is in flight already; give each request a number of its own")
        seconds = min(float(deadline_s), MAX_DEADLINE_S) if deadline_s > 0.0 else 0.0  # NaN: 0
        # int(): numpy's integers get here from columns, and JSON does not know them.
        ask: Message = {"t": "ask", "id": int(request_id), "scope": int(scope_id), "key": int(key)}
        ask["s"] = round(seconds, 3)
        if options:
            ask["o"] = [[int(action), int(target)] for action, target in options]
        if first:
            ask["first"] = True
        if self._pending.add(int(request_id), int(scope_id), self._clock(), seconds):
            ask["probe"] = True  # asked once: a server that comes back needs no crowd of retries
        self._telling.tell(link, scope_id)
        link.push(pack(ask, MAX_TO_GATEWAY))
        return True

    def cancel(self, request_id: int) -> None:
        """End a request: it will have neither Answer nor Failure. Without effect if it has ended already."""
        if self._pending.cancel(request_id, self._clock()):
            self._tell_cancelled(request_id)

    def poll(self, max_messages: int = 64) -> list[Answer | Failure]:
        """Call once a tick: sends, receives, and looks after the process.

        Returns:
            What has ended since, at most ``max_messages`` of them; the rest comes with the next calls.
        """
        self.exchange()
        results = self.read(max_messages)
        self.flush()
        return results

    def exchange(self) -> None:
        """The first part of ``poll``: receive what came, and look after the process. What is to be said to it goes out
        with the next ``flush``."""
        if self._life.state is GatewayState.CLOSED:
            return
        now = self._clock()
        if self._life.tend(now) and self._life.link is not None:
            self._hearing.begin_again()
            self._telling.begin_again()
            self._life.link.push(self._setup)
        link = self._life.link
        if link is not None:
            # Receive, then judge: signs of life that have come must count before silence does.
            if link.receive():
                self._life.heard()
            self._telling.tell_some(link)
            self._life.judge(link)
        if self._life.link is None:
            self._fail_all(now)
        else:
            for request_id in self._pending.expire(now):
                self._tell_cancelled(request_id)

    def read(self, max_messages: int = 64) -> list[Answer | Failure]:
        """The second part of ``poll``: read what was received, as far as needed. Returns as ``poll``."""
        link = self._life.link
        if link is not None:
            self._hearing.read(link, max_messages)
            if self._life.link is None:
                self._fail_all(self._clock())
        return self._pending.take(max_messages)

    def flush(self) -> None:
        """Send what was asked since the last ``poll`` now, rather than with the next."""
        if self._life.link is not None:
            self._life.link.flush()

    def describe(self) -> str:
        """Model, state and what is wrong, in plain words, for a panel."""
        how = self._life.describe(self._clock())
        if self.state is GatewayState.READY:
            how = self.unavailable or f"{how}, {len(self._pending)} in flight"
        note = "".join(f"; {said}" for said in (*self._hearing.said(), self._pending.trouble) if said)
        return f"{self._model}: {how}{note}"

    def statistics(self) -> GatewayStatistics:
        """Counts since the gateway was made; ``close`` and ``start`` do not reset them."""
        return self._counts.statistics(len(self._pending), self._life.strangers)

    def close(self) -> None:
        """End the process and wait for its end: 0.1 s as a rule, 0.4 s if it hangs. Open requests fail.

        ``poll`` still returns their Failures. ``start`` may be called again.
        """
        if self.state is not GatewayState.CLOSED:
            self._life.close()
            self._pending.fail_all("the gateway was closed", self._clock())

    def _fail_all(self, now: float) -> None:
        self._pending.fail_all(self._life.why or "the gateway process ended before it answered", now)

    def _tell_cancelled(self, request_id: int) -> None:
        # Without asking for room: there is at most one of these for each request that had room.
        if self._life.link is not None:
            self._life.link.push(pack({"t": "cancel", "id": int(request_id)}, MAX_TO_GATEWAY))

    def _send_about(self, message: Message, pairs: Pairs) -> bool:
        link = self._life.link
        if link is None or not link.has_room or self.state is not GatewayState.READY:
            return False
        for scope_id in {scope_id for scope_id, _ in pairs}:
            self._telling.tell(link, scope_id)
        link.push(pack(message, MAX_TO_GATEWAY))
        return True
