"""What observers are told, as the lines of a Chrome trace. :mod:`astrasim.trace` writes them to a file.

Format: "Trace Event Format" (Google, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU). What
Perfetto makes of it stands in its ``src/trace_processor/importers/json``: slices of one thread must nest to the
nanosecond, so all times are whole microseconds; threads are known by their ``tid`` alone, whatever their process;
asynchronous slices by category and ``id``; arrows are ``bind_id`` with ``flow_out`` and ``flow_in``.

A model's plan can be followed from its request on: the slice ``request`` (its id is the track's) holds ``sent`` and
``handing out``; arrows lead from it to the slice of the plan at each agent that is followed, and that holds its steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING

from .records import PlanRecord, RequestRecord, StepRecord, TickRecord
from .requests import RequestState
from .steps import Status

if TYPE_CHECKING:
    from .plans import Plan

GAME, AGENTS = 1, 2
"""Processes, as the trace has them; an agent is a thread of the second."""
FIRST_THREAD = 2
ENDED = "the trace ended"


class TraceEvents:
    """Takes records and gives lines, one event each. It reads nothing of the simulation, so another thread may use it.

    Args:
        begun_s: microseconds count from here, a time of ``perf_counter``.
    """

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self._lines: list[str] = []
        self._events: list[tuple[int, str]] = []
        self._prefixes: dict[str, str] = {}
        self._requests: dict[int, list[str]] = {}
        self._first_request: int | None = None
        self._plans: dict[int, tuple[Plan, int | None]] = {}
        self._running: set[int] = set()
        self._named: set[int] = set()
        self._name("process_name", GAME, 1, "game")
        self._name("thread_name", GAME, 1, "ticks")
        self._name("process_name", AGENTS, AGENTS, "agents")

    def take(self) -> list[str]:
        """The lines of all ticks since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def end(self, now_s: float) -> list[str]:
        """The lines that are left, and the ends of all that has begun."""
        for number in list(self._requests):
            self._end_request(number, now_s, f'{{"state":"{ENDED}"}}')
        for uid in list(self._plans):
            self._end_step(uid, now_s, ENDED)
            self._end_plan(uid, now_s)
        self._lines += [line for _, line in sorted(self._events, key=_TIME)]
        self._events.clear()
        return self.take()

    def tick(self, tick: TickRecord) -> None:
        start = self._us(tick.start_s)
        made = [(start, self._slice("tick", start, tick.end_s) + (
            f',"args":{{"tick":{tick.number},"time_s":{tick.time_s:.3f},"planning_ms":{tick.planning_ms:.3f},'
            f'"units":{tick.units},"in_flight":{tick.in_flight}}}}}'
        ))]  # fmt: skip
        for name, start_s, end_s in tick.parts:
            start = self._us(start_s)
            made.append((start, self._slice(name, start, end_s) + "}"))
        made += self._events
        self._events.clear()
        made.sort(key=_TIME)  # what was told first of a microsecond stays first
        self._lines += [line for _, line in made]

    def request(self, request: RequestRecord) -> None:
        state, number, at_s = request.state, request.id, request.at_s
        if state is RequestState.QUEUED:
            self._first_request = number if self._first_request is None else self._first_request
            scope = request.scope
            args = (  # the key as text: as a number, a browser would round it beyond 2**53
                f'{{"request":{number},"kind":{_text(scope.kind)},"role":{_text(scope.role)},'
                f'"order":{_text(scope.order)},"key":"{request.key}","situation":{_text("; ".join(request.situation))},'
                f'"tier":{_text(request.tier)},"waiting":{request.waiting}}}'
            )
            self._begin(number, "request", at_s, args, f',"bind_id":"{number:#x}","flow_out":true')
        elif state is RequestState.SENT:
            self._begin(number, "sent", at_s)
        elif state is RequestState.ANSWERED:
            self._end(number, "sent", at_s)
        elif state is RequestState.STORED:
            self._begin(number, "handing out", at_s, f'{{"plan":{_text(str(request.plan))}}}')
        else:
            self._end_request(number, at_s, f'{{"state":"{state.value}","reason":{_text(request.reason)}}}')

    def plan(self, told: tuple[PlanRecord, str]) -> None:
        """``told``: the record, and the names of the first who took the plan."""
        plan, first = told
        if plan.request is not None:
            args = f'{{"state":"stored","agents":{plan.agents},"first":{_text(first)}}}'
            self._end_request(plan.request, plan.at_s, args)

    def step(self, told: tuple[StepRecord, str]) -> None:
        """``told``: the record, and the agent's name."""
        step, name = told
        uid, at_s, steps = step.agent.uid, step.at_s, step.plan.steps
        if step.status is not Status.RUNNING:
            self._end_step(uid, at_s, step.status.name)
            if step.status is not Status.DONE or step.number + 1 == len(steps):
                self._end_plan(uid, at_s)
            return
        self._end_step(uid, at_s, "goes on")
        if step.number == 0 or self._plans.get(uid) != (step.plan, step.request):
            self._end_plan(uid, at_s)
            self._begin_plan(step, name)
        self._running.add(uid)
        name, args = _text(str(steps[step.number])), f'{{"step":{step.number + 1},"of":{len(steps)}}}'
        self._event("B", at_s, AGENTS, FIRST_THREAD + uid, f',"cat":"step","name":{name},"args":{args}')

    # Requests: slices of one track each

    def _begin(self, number: int, name: str, at_s: float, args: str = "{}", arrow: str = "") -> None:
        self._requests.setdefault(number, []).append(name)
        self._async("b", number, name, at_s, args, arrow)

    def _end(self, number: int, name: str, at_s: float, args: str = "{}") -> None:
        if self._requests.get(number, [""])[-1] == name:  # else it began before the trace did
            self._requests[number].pop()
            self._async("e", number, name, at_s, args)

    def _end_request(self, number: int, at_s: float, args: str) -> None:
        for name in reversed(self._requests.pop(number, [])):
            self._async("e", number, name, at_s, args if name == "request" else "{}")

    def _async(self, phase: str, number: int, name: str, at_s: float, args: str, arrow: str = "") -> None:
        more = f',"cat":"request","id":"{number:#x}","name":"{name}"{arrow},"args":{args}'
        self._event(phase, at_s, GAME, 1, more)

    # Agents: a thread each

    def _begin_plan(self, step: StepRecord, name: str) -> None:
        uid = step.agent.uid
        if uid not in self._named:
            self._named.add(uid)
            self._name("thread_name", AGENTS, FIRST_THREAD + uid, name)
        self._plans[uid] = (step.plan, step.request)
        arrow = ""
        if step.request is not None and self._first_request is not None and step.request >= self._first_request:
            arrow = f',"bind_id":"{step.request:#x}","flow_in":true'
        request = "null" if step.request is None else step.request
        args = f'{{"plan":{_text(str(step.plan))},"source":"{step.source.name}","request":{request}}}'
        more = f',"cat":"plan","name":"plan ({step.source.name})"{arrow},"args":{args}'
        self._event("B", step.at_s, AGENTS, FIRST_THREAD + uid, more)

    def _end_plan(self, uid: int, at_s: float) -> None:
        if self._plans.pop(uid, None) is not None:
            self._event("E", at_s, AGENTS, FIRST_THREAD + uid)

    def _end_step(self, uid: int, at_s: float, status: str) -> None:
        if uid in self._running:
            self._running.remove(uid)
            self._event("E", at_s, AGENTS, FIRST_THREAD + uid, f',"args":{{"status":"{status}"}}')

    # Lines: by hand, which takes a fifth of what json takes; that makes the game's words into JSON

    def _event(self, phase: str, at_s: float, process: int, thread: int, more: str = "") -> None:
        at = self._us(at_s)
        self._events.append((at, f'{{"ph":"{phase}","ts":{at},"pid":{process},"tid":{thread}{more}}}'))

    def _slice(self, name: str, start: int, end_s: float) -> str:
        """A slice of the ticks' thread, without its last brace."""
        if name not in self._prefixes:
            self._prefixes[name] = f'{{"ph":"X","pid":{GAME},"tid":1,"cat":"tick","name":{_text(name)}'
        return f'{self._prefixes[name]},"ts":{start},"dur":{self._us(end_s) - start}'

    def _name(self, what: str, process: int, thread: int, name: str) -> None:
        args = f'{{"name":{_text(name)}}}'
        self._lines.append(f'{{"ph":"M","pid":{process},"tid":{thread},"name":"{what}","args":{args}}}')

    def _us(self, at_s: float) -> int:
        """Whole microseconds, rounded down: so what nests in seconds nests in these."""
        return max(0, int((at_s - self._begun_s) * 1e6))


_text: Callable[[str], str] = json.dumps
"""A string as JSON."""
_TIME = itemgetter(0)
