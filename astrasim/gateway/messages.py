"""What passes between game and gateway, and what the game gets to see of it.

    game → gateway   setup (vocabulary), scope, ask, cancel, ping, look, used, retire
    gateway → game   hello (secret), ready, pong, answer, failure, note, progress, found, memory, withdraw

The game looks at every message by hand, field by field: a gateway gone mad must not raise inside a tick, and pydantic
costs too much there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeGuard

from ..reader import Steps
from ..vocabulary import MAX_STEPS, Scope, Vocabulary
from .framing import Message

MAX_TO_GAME = 32 * 1024
MAX_TO_GATEWAY = 8 * 1024 * 1024
"""Largest message bodies, in bytes. The vocabulary travels in one message."""

RAW_CHARS = 1000
"""How much of a model's raw answer, or of an error's text, reaches the game."""

QUEUE_FACTOR = 4
"""For each request that may be with the model at a time, so many more may wait in the gateway."""

MAX_DEADLINE_S = 3600.0


_ANSWERED = ("cut_off", "refused")
_NOT_THE_SERVER = ("calibrating", "function_busy", "gateway_error", "too_long")
"""Reasons of failures by what they say of the server; all others are its fault, if it was asked at all."""


class GatewayState(Enum):
    """Where a gateway stands."""

    _value_: str
    STARTING = "starting"
    READY = "ready"
    STALLED = "stalled"
    """No sign of life for 2 s; it comes back by itself, or is restarted after 15 s."""
    DOWN = "down"
    """It ended, or was ended; it is started again after a pause."""
    CLOSED = "closed"
    """Not started, or closed."""


class Usage(NamedTuple):
    """What an answer cost the model, as far as it says; 0 where it does not."""

    prompt_tokens: int = 0
    tokens: int = 0
    """Tokens that it wrote."""
    writing_ms: float = 0.0
    """How long it took to write them."""
    load_ms: float = 0.0
    """How long the server took to load the model for this request."""

    def plus(self, other: Usage) -> Usage:
        """What both cost together."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens, self.tokens + other.tokens,
            self.writing_ms + other.writing_ms, max(self.load_ms, other.load_ms),
        )  # fmt: skip


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's plan, checked against the domain's rules."""

    request_id: int
    steps: Steps
    raw: str
    """What the model wrote, at most 1,000 characters."""
    latency_ms: float
    """How long the model took, as the gateway process saw it; waiting for its turn not counted."""
    usage: Usage = NO_USAGE
    tries: int = 1
    """How often the model was asked for it."""
    tokens: int = 0
    """What the request cost in all, answers that were no plan included: as the server says, else about."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no plan.

    ``reason`` is one word that statistics count by: ``deadline``, ``gateway_lost``, ``queue_full``, ``no_model``, a
    model's (``http_404``, ``unreachable``, ``proxy_refused``, ``too_large``, ``bad_response``, ``cut_off``,
    ``function_raised``, ...), or, if ``rejected``, the reader's (``not_json``, ``unknown_action``, ...).
    """

    request_id: int
    reason: str
    detail: str
    """For people; if ``rejected``, what the model wrote. At most 1,000 characters."""
    rejected: bool
    """True if the model answered but its plan broke the rules."""
    tries: int = 0
    """How often the model was asked."""
    tokens: int = 0
    """What the request cost in all, as far as that is known."""
    wait_s: float = 0.0
    """For how many seconds the server asked to be left alone, 0 if it did not."""

    @property
    def verdict(self) -> bool | None:
        """What it says of the model's server: False that it fails, True that it answers, None neither."""
        if self.rejected or self.reason in _ANSWERED:
            return True
        return None if self.reason in _NOT_THE_SERVER or not self.tries else False


class GatewayStatistics(NamedTuple):
    """Counts since the gateway was made; see :meth:`Gateway.statistics`."""

    sent: int
    """Requests taken by ``ask``."""
    refused: int
    """Times that ``ask`` returned False."""
    answered: int
    """Requests that ended in an Answer."""
    failed: int
    """Requests that ended in a Failure that is not ``rejected``."""
    rejected: int
    """Requests that ended in a Failure that is ``rejected``."""
    cancelled: int
    """Requests ended by ``cancel``."""
    in_flight: int
    """Requests that have not ended yet."""
    restarts: int
    """Times that the process was started after the first."""
    dropped: int
    """Messages from the gateway thrown away: for a request that is unknown or has ended, or making no sense."""
    strangers: int
    """Connections refused because they did not know the secret."""
    bytes_sent: int
    bytes_received: int


@dataclass(slots=True)
class Counts:
    """The counters behind :class:`GatewayStatistics`."""

    sent: int = 0
    refused: int = 0
    answered: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    launches: int = 0
    dropped: int = 0
    strangers: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def statistics(self, in_flight: int, strangers: int) -> GatewayStatistics:
        return GatewayStatistics(
            sent=self.sent,
            refused=self.refused,
            answered=self.answered,
            failed=self.failed,
            rejected=self.rejected,
            cancelled=self.cancelled,
            in_flight=in_flight,
            restarts=max(self.launches - 1, 0),
            dropped=self.dropped,
            strangers=strangers,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
        )


def clean(text: str, limit: int = RAW_CHARS) -> str:
    """At most ``limit`` characters of ``text``, without lone surrogates (which could not be printed or stored)."""
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def read_answer(message: Message, request_id: int, vocabulary: Vocabulary, scope: Scope) -> Answer | None:
    """The answer that a message holds to a request of this scope, or None if it makes no sense."""
    raw, latency_ms, usage = message.get("raw"), message.get("ms"), message.get("usage", [0, 0, 0, 0])
    steps = read_steps(message.get("steps"), vocabulary, scope)
    if steps is None or not isinstance(raw, str) or not isinstance(usage, list) or len(usage) != len(NO_USAGE):
        return None
    tries, tokens = message.get("tries", 1), message.get("tokens", 0)
    if not is_number(latency_ms) or not all(
        is_number(n) and 0 <= n < 1e9 for n in (latency_ms, tries, tokens, *usage)
    ):
        return None
    return Answer(request_id, steps, clean(raw), float(latency_ms), Usage(*usage), int(tries), int(tokens))


def read_failure(message: Message, request_id: int) -> Failure | None:
    """The failure that a message holds, or None if it makes no sense."""
    reason, detail, rejected = message.get("reason"), message.get("detail"), message.get("rejected")
    if not isinstance(reason, str) or not reason or not isinstance(detail, str) or not isinstance(rejected, bool):
        return None
    tries, tokens, wait_s = message.get("tries", 0), message.get("tokens", 0), message.get("wait_s", 0.0)
    if not all(is_number(n) and 0 <= n < 1e9 for n in (tries, tokens, wait_s)):
        return None
    return Failure(request_id, clean(reason, 40), clean(detail), rejected, int(tries), int(tokens), float(wait_s))


def read_steps(value: object, vocabulary: Vocabulary, scope: Scope) -> Steps | None:
    """Steps as messages and cache files hold them, or None if they are no plan for those in ``scope``."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_STEPS:
        return None
    actions, targets = len(vocabulary.actions), len(vocabulary.targets)
    steps = []
    for step in value:
        if not isinstance(step, list) or len(step) != 3:
            return None
        action, target, seconds = step
        # type() is int: True is an int too, to isinstance.
        if type(action) is not int or type(target) is not int or not is_number(seconds):
            return None
        if not (0 <= action < actions and 0 <= target < targets):
            return None
        # Kernels run the steps of a plan without asking again whether there are such: the reader is not relied upon.
        able = vocabulary.actions[action]
        if able.name not in scope.actions or vocabulary.targets[target] not in able.targets:
            return None
        if not vocabulary.min_seconds <= seconds <= vocabulary.max_seconds:
            return None
        steps.append((action, target, float(seconds)))
    return tuple(steps)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number as JSON has them, one that can be reckoned with (to 1e15), and no bool."""
    return (type(value) is int or type(value) is float) and -1e15 <= value <= 1e15
