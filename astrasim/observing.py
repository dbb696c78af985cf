"""Observers: who is told, after each tick, what happened in it.

The systems only write down what happens; observers are called when the last processor of the tick is done. So an
observer cannot disturb a tick, takes none of the planner's budget, and may raise: it is switched off, and the game goes
on. Where nobody observes, nothing is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .following import Following
from .records import Part, PlanRecord, RequestRecord, StepRecord, TickRecord
from .requests import Change

if TYPE_CHECKING:
    from .agents import Agent
    from .simulation import Simulation

FIRST_AGENTS = 16
KNOWN = 8192
"""Of so many situations it is remembered which request brought the plan."""


class Observer:
    """Override what you want to be told; ``sim.observe(observer)``. What a method raises switches the observer off.

    ``agents`` are followed step by step as long as they live. ``follow``: up to so many others at a time as well, each
    from when a plan is handed to it until it has done with that plan.
    """

    agents: Sequence[Agent] = ()
    follow: int = 0

    def tick(self, tick: TickRecord) -> None:
        """A tick is over. Comes after everything else that happened in it."""

    def request(self, request: RequestRecord) -> None:
        """A request has come to another state."""

    def plan(self, plan: PlanRecord) -> None:
        """A plan was handed out."""

    def step(self, step: StepRecord) -> None:
        """A followed agent begins a step, or has ended one."""

    def close(self) -> None:
        """It observes no more: it was taken off, it raised, or the simulation was closed."""


class Observation:
    """The observers of one simulation, and what is written down for them in a tick. False where nobody observes.

    Args:
        processors: gives the (esper) processors of the simulation's world, in order.
    """

    def __init__(self, sim: Simulation, processors: Callable[[], Sequence[Any]]) -> None:
        self._sim, self._processors = sim, processors
        self._observers: list[tuple[Observer, Following]] = []
        self._order: list[Any] = []
        self._first: Any = None
        self._last: Any = None
        self._timed: list[tuple[Callable[..., None], Any]] = []
        self._parts: list[Part] = []
        self._start_s = 0.0
        self._requests: list[RequestRecord] = []
        self._plans: list[PlanRecord] = []
        self._tiers = (*(tier.name for tier in sim.settings.tiers), "")
        """By number; the last is that of -1."""
        self._brought: dict[int, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def add(self, observer: Observer) -> None:
        """Twice does no harm."""
        if not self._observes(observer):
            following = Following(self._sim, observer.agents, observer.follow, self._request_of)
            self._observers.append((observer, following))
            self._sim.planner.listen(True)
            self._time_processors()

    def remove(self, observer: Observer) -> None:
        """Tell it no more, and close it. One that does not observe: nothing happens."""
        if not self._observes(observer):
            return
        self._observers = [pair for pair in self._observers if pair[0] is not observer]
        if not self._observers:
            self._sim.planner.listen(False)
            self._requests, self._plans = [], []
            self._stop_timing()
        observer.close()

    def close(self) -> None:
        """Tell what has not been told yet, and close all observers. What they raise is logged."""
        if self._observers:
            self._read_planner()
            self._tell(None)
        for observer, _ in self._observers:
            self._guarded(observer, self.remove, observer)

    def _observes(self, observer: Observer) -> bool:
        return any(known is observer for known, _ in self._observers)

    # Within a tick

    def begin_tick(self) -> None:
        """Called by the first system."""
        self._time_processors()
        self._start_s = self._start_s or perf_counter()

    def planned(self) -> None:
        """Called when planning is done and steps have not run yet."""
        now_s = perf_counter()
        self._read_planner()
        for entry, plan in self._sim.planner.read_handed():
            record = self._handed(entry, plan, now_s)
            self._plans.append(record)
            for _, following in self._observers:
                following.take(record.first, plan)
        for _, following in self._observers:
            following.before_steps(now_s)

    def _end_tick(self, end_s: float) -> None:
        planner = self._sim.planner
        for _, following in self._observers:
            following.after_steps(end_s)
        self._read_planner()
        tick = TickRecord(
            self._sim.ticks, self._sim.time, self._start_s, end_s, tuple(self._parts), planner.planning_ms.last,
            planner.budget.spent_units, len(planner.requests),
        )  # fmt: skip
        self._parts.clear()
        self._start_s = 0.0
        self._tell(tick)

    def _time_processors(self) -> None:
        """The game may have added or removed processors since this was called last."""
        if self._order == self._processors():
            return
        self._stop_timing()
        self._order = list(self._processors())
        for processor in self._order:
            own, timed = processor.__dict__.get("process"), self._time(processor)
            self._timed.append((timed, own))
            processor.process = timed  # of this one object
        self._first, self._last = (self._order[0], self._order[-1]) if self._order else (None, None)

    def _time(self, processor: Any) -> Callable[..., None]:
        name, process = type(processor).__name__, processor.process

        def run(*arguments: Any, **options: Any) -> None:
            start_s = perf_counter()
            if processor is self._first:
                self._start_s = start_s
                self._parts.clear()  # of a tick that ended early, because a processor raised
            process(*arguments, **options)
            end_s = perf_counter()
            self._parts.append(Part(name, start_s, end_s))
            if processor is self._last:
                self._end_tick(end_s)

        return run

    def _stop_timing(self) -> None:
        for processor, (timed, own) in zip(self._order, self._timed, strict=True):
            if processor.__dict__.get("process") is not timed:
                continue  # somebody put another in its place meanwhile
            if own is None:
                del processor.process
            else:
                processor.process = own  # which the game gave this one object
        self._order, self._timed = [], []
        self._first = self._last = None

    # Records

    def _read_planner(self) -> None:
        self._requests += map(self._changed, self._sim.planner.read_changes())

    def _changed(self, change: Change) -> RequestRecord:
        at_s, request, state, reason, plan = change
        planner = self._sim.planner
        if plan >= 0:
            self._brought.pop(request.entry, None)
            self._brought[request.entry] = (request.id, plan)
            if len(self._brought) > KNOWN:
                del self._brought[next(iter(self._brought))]
        return RequestRecord(
            at_s, request.id, state, reason, planner.scopes[request.scope_id], request.key, self._tiers[request.tier],
            request.waiting, planner.plans[plan] if plan >= 0 else None, self._sim.compiled.vocabulary,
        )  # fmt: skip

    def _handed(self, entry: int, plan: int, at_s: float) -> PlanRecord:
        columns, handles = self._sim.columns(), self._sim.agents.handles
        rows = (columns.entry == entry).nonzero()[0]
        rows = rows[(columns.plan[rows] == plan) | (columns.next_plan[rows] == plan)]
        first: Any = tuple([handles[row] for row in rows[:FIRST_AGENTS].tolist()])
        return PlanRecord(at_s, self._request_of(entry, plan), self._sim.planner.plans[plan], len(rows), first)

    def _request_of(self, entry: int, plan: int) -> int | None:
        number, brought = self._brought.get(entry, (0, -1))
        return number if brought == plan else None

    # Telling

    def _tell(self, tick: TickRecord | None) -> None:
        requests, self._requests = self._requests, []
        plans, self._plans = self._plans, []

        def tell(observer: Observer, steps: list[StepRecord]) -> None:
            for request in requests:
                observer.request(request)
            for plan in plans:
                observer.plan(plan)
            for step in steps:
                observer.step(step)
            if tick is not None:
                observer.tick(tick)

        told = [(observer, following.records()) for observer, following in self._observers]
        errors = [self._guarded(observer, tell, observer, steps) for observer, steps in told]
        raised = [error for error in errors if error is not None]
        if raised and self._sim.settings.strict and tick is not None:
            raise raised[0]

    def _guarded(self, observer: Observer, do: Callable[..., None], *arguments: Any) -> Exception | None:
        """Do it. An observer that raises is switched off; what it raised is logged and returned."""
        try:
            do(*arguments)
        except Exception as error:  # the game's code
            self._sim.errors.report(f"observer {type(observer).__name__} (switched off)", error)
            if self._observes(observer):
                self._guarded(observer, self.remove, observer)
            return error
        return None
