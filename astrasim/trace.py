"""A trace of ticks, requests and plans as Chrome trace JSON, which https://ui.perfetto.dev opens.

Format: "Trace Event Format" (Google, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU), the
form that is a plain array: it may end anywhere between two events, so that the trace of a game that was killed opens as
well. What Perfetto makes of it stands in its ``src/trace_processor/importers/json``: slices of one thread must nest to
the nanosecond, so all times are whole microseconds; arrows are ``bind_id`` with ``flow_out`` and ``flow_in``.

A model's plan can be followed from its request on: the slice ``request`` (its id is the track's) holds ``sent`` and
``handing out``; arrows lead from it to the slice of the plan at each agent that is followed, and that holds its steps.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .observing import Observer
from .records import PlanRecord, RequestRecord, StepRecord, TickRecord
from .requests import RequestState
from .steps import Status

if TYPE_CHECKING:
    from .agents import Agent
    from .plans import Plan

log = logging.getLogger("astrasim")
Args = dict[str, Any]

GAME, AGENTS = 1, 2
"""Processes, as the trace has them; an agent is a thread of the second."""
FIRST_THREAD = 2
CHUNK_S = 0.25
"""What is not on its way to the disk yet is lost if the game is killed."""
MAX_WAITING = 64
NAMED = 4
"""Of those who take a plan so many are named."""
MAX_BYTES = 1 << 29
"""A file that large is ended: Perfetto can hardly open more, and a game may run for days."""


class Trace(Observer):
    """Writes a file while it observes: ``sim.observe(Trace("trace.json"))``. :meth:`close`, or closing the simulation,
    ends it.

    Lines are made in the tick, some microseconds each; a thread only hands them to the system, because a disk may
    stall. A disk that cannot keep up for 16 s ends the trace.

    Args:
        path: the file to write; what was there is overwritten.
        agents: followed step by step as long as they live.
        follow: up to so many others at a time, each while it has a plan that was handed to it.

    Raises:
        OSError: if the file cannot be written.
    """

    def __init__(self, path: str | Path, agents: Sequence[Agent] = (), follow: int = 8) -> None:
        self.path, self.agents, self.follow = Path(path), tuple(agents), follow
        self._file = open(path, "wb")  # noqa: SIM115  it stays open until close()
        self._file.write(b"[")
        self._begun_s = self._sent_s = perf_counter()
        self._bytes = 0
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
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._error: OSError | None = None
        self._thread: threading.Thread | None = threading.Thread(target=self._write, name="astrasim-trace", daemon=True)
        self._thread.start()
        self._send()

    # What it is told

    def tick(self, tick: TickRecord) -> None:
        if self._thread is None:  # the file is full
            self._events.clear()
            return
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
        made.sort(key=_time)  # what was told first of a microsecond stays first
        self._lines += [line for _, line in made]
        if tick.end_s - self._sent_s >= CHUNK_S:
            self._sent_s = tick.end_s
            self._send()
            if self._bytes > MAX_BYTES:
                log.warning("%s has %d MB and is ended", self.path, self._bytes / 1e6)
                self.close()

    def request(self, request: RequestRecord) -> None:
        state, number, at_s = request.state, request.id, request.at_s
        if state is RequestState.QUEUED:
            self._first_request = number if self._first_request is None else self._first_request
            scope = request.scope
            args = json.dumps({
                "request": number, "kind": scope.kind, "role": scope.role, "order": scope.order, "key": request.key,
                "situation": "; ".join(request.situation), "tier": request.tier, "waiting": request.waiting,
            })  # fmt: skip
            self._begin(number, "request", at_s, args, f',"bind_id":"{number:#x}","flow_out":true')
        elif state is RequestState.SENT:
            self._begin(number, "sent", at_s)
        elif state is RequestState.ANSWERED:
            self._end(number, "sent", at_s)
        elif state is RequestState.STORED:
            self._begin(number, "handing out", at_s, json.dumps({"plan": str(request.plan)}))
        else:
            self._end_request(number, at_s, {"state": state.value, "reason": request.reason})

    def plan(self, plan: PlanRecord) -> None:
        if plan.request is not None:
            first = ", ".join(map(repr, plan.first[:NAMED]))
            self._end_request(plan.request, plan.at_s, {"state": "stored", "agents": plan.agents, "first": first})

    def step(self, step: StepRecord) -> None:
        uid, at_s, steps = step.agent.uid, step.at_s, step.plan.steps
        if step.status is not Status.RUNNING:
            self._end_step(uid, at_s, step.status.name)
            if step.status is not Status.DONE or step.number + 1 == len(steps):
                self._end_plan(uid, at_s)
            return
        self._end_step(uid, at_s, "goes on")
        if step.number == 0 or self._plans.get(uid) != (step.plan, step.request):
            self._end_plan(uid, at_s)
            self._begin_plan(step)
        self._running.add(uid)
        name, args = json.dumps(str(steps[step.number])), f'{{"step":{step.number + 1},"of":{len(steps)}}}'
        self._event("B", at_s, AGENTS, FIRST_THREAD + uid, f',"cat":"step","name":{name},"args":{args}')

    def close(self) -> None:
        """End the file; twice does no harm.

        Raises:
            OSError: if not all of it could be written.
        """
        if self._thread is None:
            return
        now_s = perf_counter()
        for number in list(self._requests):
            self._end_request(number, now_s, {"state": "the trace ended"})
        for uid in list(self._plans):
            self._end_step(uid, now_s, "the trace ended")
            self._end_plan(uid, now_s)
        self._lines += [line for _, line in sorted(self._events, key=_time)]
        self._events.clear()
        thread, self._thread = self._thread, None
        try:
            self._send()
        finally:
            self._chunks.put(b"\n]\n")
            self._chunks.put(None)
            if self._error is None:  # else the disk may stand still, and nobody waits for it
                thread.join()
        if self._error is not None:
            raise self._error

    # Requests: slices of one track each, which Perfetto knows by category and id

    def _begin(self, number: int, name: str, at_s: float, args: str = "{}", arrow: str = "") -> None:
        self._requests.setdefault(number, []).append(name)
        self._async("b", number, name, at_s, args, arrow)

    def _end(self, number: int, name: str, at_s: float, args: str = "{}") -> None:
        if self._requests.get(number, [""])[-1] == name:  # else it began before the trace did
            self._requests[number].pop()
            self._async("e", number, name, at_s, args)

    def _end_request(self, number: int, at_s: float, args: Args) -> None:
        for name in reversed(self._requests.get(number, [])[:]):
            self._end(number, name, at_s, json.dumps(args) if name == "request" else "{}")
        self._requests.pop(number, None)

    def _async(self, phase: str, number: int, name: str, at_s: float, args: str, arrow: str = "") -> None:
        more = f',"cat":"request","id":"{number:#x}","name":"{name}"{arrow},"args":{args}'
        self._event(phase, at_s, GAME, 1, more)

    # Agents: a thread each

    def _begin_plan(self, step: StepRecord) -> None:
        uid = step.agent.uid
        if uid not in self._named:
            self._named.add(uid)
            self._name("thread_name", AGENTS, FIRST_THREAD + uid, repr(step.agent))
        self._plans[uid] = (step.plan, step.request)
        arrow = ""
        if step.request is not None and self._first_request is not None and step.request >= self._first_request:
            arrow = f',"bind_id":"{step.request:#x}","flow_in":true'
        args = json.dumps({"plan": str(step.plan), "source": step.source.name, "request": step.request})
        more = f',"cat":"plan","name":"plan ({step.source.name})"{arrow},"args":{args}'
        self._event("B", step.at_s, AGENTS, FIRST_THREAD + uid, more)

    def _end_plan(self, uid: int, at_s: float) -> None:
        if self._plans.pop(uid, None) is not None:
            self._event("E", at_s, AGENTS, FIRST_THREAD + uid)

    def _end_step(self, uid: int, at_s: float, status: str) -> None:
        if uid in self._running:
            self._running.remove(uid)
            self._event("E", at_s, AGENTS, FIRST_THREAD + uid, f',"args":{{"status":"{status}"}}')

    # Lines: by hand, which takes a fifth of what json takes; it is used where there are words of the game

    def _event(self, phase: str, at_s: float, process: int, thread: int, more: str = "") -> None:
        at = self._us(at_s)
        self._events.append((at, f'{{"ph":"{phase}","ts":{at},"pid":{process},"tid":{thread}{more}}}'))

    def _slice(self, name: str, start: int, end_s: float) -> str:
        """A slice of the ticks' thread, without its last brace."""
        if name not in self._prefixes:
            known = {"ph": "X", "pid": GAME, "tid": 1, "cat": "tick", "name": name}
            self._prefixes[name] = json.dumps(known, separators=(",", ":"))[:-1]
        return f'{self._prefixes[name]},"ts":{start},"dur":{self._us(end_s) - start}'

    def _name(self, what: str, process: int, thread: int, name: str) -> None:
        event = {"ph": "M", "pid": process, "tid": thread, "name": what, "args": {"name": name}}
        self._lines.append(json.dumps(event))

    def _us(self, at_s: float) -> int:
        """Whole microseconds, rounded down: so what nests in seconds nests in these."""
        return max(0, int((at_s - self._begun_s) * 1e6))

    # The file

    def _send(self) -> None:
        if self._chunks.qsize() > MAX_WAITING:
            self._error = OSError(f"{self.path}: the disk has not kept up for {MAX_WAITING * CHUNK_S:g} s")
        if self._error is not None:
            raise self._error
        if self._lines:
            # The comma stands before an event: where the file ends early, only the bracket is missing.
            chunk = ("," * (self._bytes > 0) + "\n" + ",\n".join(self._lines)).encode()
            self._lines.clear()
            self._bytes += len(chunk)
            self._chunks.put(chunk)

    def _write(self) -> None:
        try:
            with self._file as file:
                while (chunk := self._chunks.get()) is not None:
                    file.write(chunk)
                    file.flush()
        except OSError as error:
            self._error = error


def _time(event: tuple[int, str]) -> int:
    return event[0]
