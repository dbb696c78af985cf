"""What observers are told. Times ending in ``_s`` are seconds of ``time.perf_counter``, unless they say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .agents import Agent
    from .plans import Plan, Source
    from .requests import RequestState
    from .steps import Status
    from .vocabulary import Scope, Vocabulary


class Part(NamedTuple):
    """One processor's turn; ``name`` is that of its class."""

    name: str
    start_s: float
    end_s: float


class TickRecord(NamedTuple):
    """One tick, from its first processor to its last, those of the game among them.

    ``number`` and ``time_s`` are ``sim.ticks`` and ``sim.time``. ``planning_ms`` is what counts against the budget,
    ``units`` how many pieces of work that was, ``in_flight`` how many requests are with the model now.
    """

    number: int
    time_s: float
    start_s: float
    end_s: float
    parts: tuple[Part, ...]
    planning_ms: float
    units: int
    in_flight: int


class RequestRecord(NamedTuple):
    """A request has come to ``state``.

    ``key``: the situation that it asks about, as a number. ``tier`` and ``waiting``: the highest tier, and how many
    agents, that waited when it was asked; "" and 0 where nobody did, and it is to show whether the plan of a near
    situation is right. ``reason``: why it failed or was cancelled, else "". ``plan``: what the model answered, of one
    that is STORED.
    """

    at_s: float
    id: int
    state: RequestState
    reason: str
    scope: Scope
    key: int
    tier: str
    waiting: int
    plan: Plan | None
    vocabulary: Vocabulary

    @property
    def situation(self) -> tuple[str, ...]:
        """The words of what it asks about, one phrase a feature."""
        # Not a field: few who observe read it, and it would be made in the tick for each state of each request.
        return self.vocabulary.words(self.scope.kind, self.key)


class PlanRecord(NamedTuple):
    """A model's plan has been handed to everyone who waited for it and whom it still fits.

    ``request``: the id of the request that brought it; None where the gateway remembered it. ``agents``: how many
    follow it now, or will when their running step ends; ``first`` are up to 16 of them.
    """

    at_s: float
    request: int | None
    plan: Plan
    agents: int
    first: tuple[Agent, ...]


class StepRecord(NamedTuple):
    """A followed agent begins a step (``status`` is RUNNING), or its step ended (DONE, FAILED, INTERRUPTED).

    One that goes on under another plan begins there, and does not end here. ``number`` counts from 0. ``request``: the
    id of the request that brought the plan; None where there was none, or it was too long ago.
    """

    at_s: float
    agent: Agent
    plan: Plan
    number: int
    status: Status
    source: Source
    request: int | None
