"""What the gateway process says, as the game hears it: each message is taken for what it is, whatever it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ..vocabulary import Scope, Vocabulary
from .framing import FramingError, Message
from .life import Life
from .link import Link
from .messages import Answer, Counts, Failure, clean, read_answer, read_failure
from .pending import Pending
from .recalled import Memory

log = logging.getLogger("astrasim")

_OTHERS = 3
"""Messages that are taken in besides results: signs of life, notes, what look-ups found."""


class Hearing:
    """Answers and failures go to the requests that wait for them, signs of life to the process's, what look-ups found
    to the memory. What makes no sense is counted as dropped; what is no message at all ends the process."""

    def __init__(
        self, vocabulary: Vocabulary, life: Life, scopes: Mapping[int, Scope], pending: Pending, memory: Memory | None,
        counts: Counts, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        """``scopes``: those that were declared, by number."""
        self._vocabulary, self._life, self._scopes = vocabulary, life, scopes
        self._pending, self._memory, self._counts, self._clock = pending, memory, counts, clock
        self.begin_again()

    def begin_again(self) -> None:
        """There is a new process, which has said nothing yet."""
        self._note = self._busy_with = ""

    def said(self) -> tuple[str, str]:
        """What the process said last of what it is busy with, and of what it noticed; "" each where it said nothing."""
        return self._busy_with, self._note

    def read(self, link: Link, max_messages: int) -> None:
        """Take in what was received, until so many requests have ended."""
        try:
            for _ in range(max_messages + _OTHERS):
                if self._pending.ended >= max_messages:
                    return
                message = link.take()
                if message is not None:
                    self._accept(message)
                else:
                    if link.closed:
                        self._life.lose()
                    return
        except FramingError as error:
            self._life.lose(f"gateway sent what is no message ({clean(str(error), 100)})", kill=True)

    def _accept(self, message: Message) -> None:
        """Take one message from the gateway, which may be anything."""
        kind, request_id = message.get("t"), message.get("id")
        if kind in ("answer", "failure"):
            if type(request_id) is not int or request_id not in self._pending:
                self._counts.dropped += 1  # invented, or late: cancelled, expired
                return
            result: Answer | Failure | None
            if kind == "answer":
                scope = self._scopes[self._pending.scope_id(request_id)]
                result = read_answer(message, request_id, self._vocabulary, scope)
            else:
                result = read_failure(message, request_id)
            if result is None:
                self._counts.dropped += 1
                result = Failure(request_id, "bad_message", "the gateway's message about it makes no sense", False)
            self._pending.end(result, self._clock())
        elif kind == "ready":
            self._life.ready()
        elif kind == "note" and isinstance(text := message.get("text"), str):
            self._note = clean(text, 200)
            log.warning("gateway: %s", self._note)
        elif kind == "progress" and isinstance(text := message.get("text"), str):
            self._busy_with = clean(text, 200)
            log.debug("gateway: %s", self._busy_with)
        elif kind in ("found", "memory", "withdraw"):
            self._counts.dropped += self._memory is not None and not self._memory.accept(message)
        elif kind != "pong":
            self._counts.dropped += 1
