"""Figures of a running simulation, as documented tuples."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # or `astrasim --help` would load numba
    from .cache import CacheStatistics
    from .gateway.messages import Usage
    from .gateway.recalled import MemoryStatistics


class Percentiles(NamedTuple):
    """Of the values in the window; all 0.0 if there were none."""

    p50: float
    p95: float
    p99: float
    max: float


class Window:
    """The last ``size`` values, in fixed memory."""

    def __init__(self, size: int) -> None:
        # Not numpy's, to which a single number takes ten times as long to write: several are in every tick.
        self._values = array("d", bytes(8 * size))
        self.count = 0

    def add(self, value: float) -> None:
        self._values[self.count % len(self._values)] = value
        self.count += 1

    def clear(self) -> None:
        self.count = 0

    @property
    def last(self) -> float:
        """The value added last; 0.0 if there is none."""
        return self._values[(self.count - 1) % len(self._values)] if self.count else 0.0

    def percentiles(self) -> Percentiles:
        values: NDArray[np.float64] = np.frombuffer(self._values)[: self.count]
        if not len(values):
            return Percentiles(0.0, 0.0, 0.0, 0.0)
        # As np.percentile does it, which takes three times as long: a dashboard asks for several, between two frames.
        last = len(values) - 1
        places = [(int(last * share), last * share % 1) for share in (0.5, 0.95, 0.99)]
        ordered = np.partition(values, sorted({at for below, _ in places for at in (below, min(below + 1, last))}))
        p50, p95, p99 = (
            (1 - beyond) * ordered.item(below) + beyond * ordered.item(min(below + 1, last)) for below, beyond in places
        )
        return Percentiles(p50, p95, p99, float(values.max()))


class ModelUse(NamedTuple):
    """What the answers cost the model, as far as it says (0 where it does not): tokens read and written, seconds of
    writing, and the longest that one request had to wait for the model to be loaded."""

    prompt_tokens: int
    tokens: int
    writing_s: float
    load_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.writing_s if self.writing_s else 0.0


@dataclass(slots=True)
class RequestCounts:
    """What became of requests; :class:`Requests` says what each count means."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    refused: int = 0
    late: int = 0
    obvious: int = 0
    retries: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    usage: ModelUse = field(default_factory=lambda: ModelUse(0, 0, 0.0, 0.0))

    def use(self, more: Usage) -> None:
        """Add what one answer cost."""
        u = self.usage
        self.usage = ModelUse(
            u.prompt_tokens + more.prompt_tokens, u.tokens + more.tokens,
            u.writing_s + more.writing_ms / 1000, max(u.load_s, more.load_ms / 1000),
        )  # fmt: skip


class Planning(NamedTuple):
    """Milliseconds of planning a tick, over the last 4096 ticks; ``units`` of work in the last tick.

    ``ms`` and ``overruns`` go by the clock on the wall, as the budget does: what takes the processor away in the middle
    counts as well. ``cpu_ms`` is what the planning thread itself used.
    """

    ms: Percentiles
    cpu_ms: Percentiles
    budget_ms: float
    overruns: int
    units: int


class Waiting(NamedTuple):
    """What was left over when the budget of a tick was spent: it is done later. Over the last 4096 ticks, but for
    ``mean_agents``, ``put_off`` and ``stopgaps``.

    ``agents``: those who needed a plan still (they stand at their role's default plan, or go on with what was
    interrupted). ``wait_s``: how long the longest of them had to wait, until the next tick, in seconds of the
    simulation. ``plans``: the model's plans that were not handed out yet to all who wait for them. ``put_off``: by
    kind of work, how many ticks ended before it had its turn. ``stopgaps``: plans in the style of its role, which an
    agent got because the heuristic could not be called for its situation within a quarter of a second.
    """

    agents: Percentiles
    mean_agents: float
    wait_s: Percentiles
    plans: Percentiles
    put_off: dict[str, int]
    stopgaps: int


class Requests(NamedTuple):
    """``sent`` is the sum of ``answered``, ``failed``, ``rejected``, ``cancelled`` and ``in_flight``.

    ``refused``: not sent, because the gateway was not ready or had no room; asked again later. ``late``: answers that
    nobody waited for any more. ``shared``: agents that came to a situation which was already asked about.
    ``obvious``: not asked, because the model only chooses and there was one thing to do, or none.
    ``latency_ms``: from asking to having the plan, by the clock on the wall. ``reasons``: why some failed.
    ``retries``: how often requests that have ended were sent again.
    """

    sent: int
    answered: int
    failed: int
    rejected: int
    cancelled: int
    refused: int
    late: int
    shared: int
    obvious: int
    in_flight: int
    latency_ms: Percentiles
    reasons: dict[str, int]
    usage: ModelUse
    retries: int


class Lookups(NamedTuple):
    """Agents that needed a plan and took a model's from the cache, or the heuristic's (``misses``).

    ``exact_hits``: made for this very situation; ``near_hits``: for one near it; ``order_hits``: for another order that
    means the same. ``negative_hits``: those of the misses whose situation was asked about in vain a moment ago. Someone
    may miss where the model's plan is known: if it was not legal, or failed a moment ago.
    """

    exact_hits: int
    near_hits: int
    order_hits: int
    misses: int
    negative_hits: int

    @property
    def hit_rate(self) -> float:
        """The share that took a model's plan; 0 if nobody needed one."""
        hits = self.exact_hits + self.near_hits + self.order_hits
        return hits / (hits + self.misses) if hits + self.misses else 0.0


class Looks(NamedTuple):
    """Situations looked up behind the gateway: ``asked``, ``answered`` (with a plan or without), ``taken`` (with a plan
    that some agent may have), and in how many ticks the answer came, over the last 4096. ``shadows``: situations that
    had another's plan and were asked about all the same."""

    asked: int
    answered: int
    taken: int
    shadows: int
    ticks: Percentiles


class AgentTicks(NamedTuple):
    """Shares of all agent-ticks spent on plans from each source; they add up to 1 (or are all 0)."""

    llm: float
    cache: float
    heuristic: float


class PlanUse(NamedTuple):
    """What became of plans, once an agent.

    ``applied``: model plans whose first step ran, at least for a tick. ``unchanged``: those equal to the plan before.
    ``dropped``: by reason, how often an agent did not take the plan that the model made for it (illegal: its first step
    could not start; interrupted: an interrupt feature had changed; moved_on: its plan had ended and it went on to
    another situation; order: it has a new order). ``second_step_share``: of the plans that ended, how many had begun a
    second step.
    """

    applied: int
    unchanged: int
    dropped: dict[str, int]
    ended: int
    mean_life_s: float
    second_step_share: float


class Statistics(NamedTuple):
    """All figures since the simulation began, or since ``reset_stats``."""

    ticks: int
    agents: int
    tick_ms: Percentiles
    planning: Planning
    waiting: Waiting
    requests: Requests
    lookups: Lookups
    cache: CacheStatistics
    memory: MemoryStatistics
    looks: Looks
    agent_ticks: AgentTicks
    plans: PlanUse
    steps_failed: int
    errors: dict[str, int]
    gateway: str

    def __str__(self) -> str:
        """A line for each part, for reading."""
        parts = self._asdict()
        lines = [f"ticks {parts.pop('ticks')}, agents {parts.pop('agents')}"]
        lines += [f"{name}: {_in_words(value)}" for name, value in parts.items()]
        return "\n".join(lines)


def _in_words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        inner = ((name, _in_words(part), isinstance(part, (dict, tuple))) for name, part in value.items())
        return ", ".join(f"{name} ({text})" if nested else f"{name} {text}" for name, text, nested in inner) or "none"
    return str(value)
