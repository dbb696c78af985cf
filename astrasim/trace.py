"""A trace of ticks, requests and plans as Chrome trace JSON, which https://ui.perfetto.dev opens.

The file is a plain array of events, which may end anywhere, so that the trace of a game that was killed opens as well.
:mod:`astrasim.trace_events` says what stands in it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .observing import Observer
from .records import PlanRecord, RequestRecord, StepRecord, TickRecord
from .trace_events import TraceEvents

if TYPE_CHECKING:
    from .agents import Agent

log = logging.getLogger("astrasim")
Told = list[tuple[Callable[[Any], None], Any]]

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

    The tick only keeps what it is told. Every quarter of a second a thread makes lines of it, in less than a
    millisecond, and hands them to the system, because a disk may stall. One that cannot keep up for 16 s ends it.

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
        self._bytes = 1
        self._sent_s = perf_counter()
        self._events = TraceEvents(self._sent_s)
        self._told: Told = []
        self._waiting: SimpleQueue[Told | None] = SimpleQueue()
        self.error: Exception | None = None
        """Why not all of it could be written."""
        self._thread: threading.Thread | None = threading.Thread(target=self._write, name="astrasim-trace", daemon=True)
        self._thread.start()

    # In the tick. What names an agent is read here: when the thread has its turn, the agent may be dead.

    def request(self, request: RequestRecord) -> None:
        self._told.append((self._events.request, request))

    def plan(self, plan: PlanRecord) -> None:
        self._told.append((self._events.plan, (plan, ", ".join(map(repr, plan.first[:NAMED])))))

    def step(self, step: StepRecord) -> None:
        self._told.append((self._events.step, (step, repr(step.agent))))

    def tick(self, tick: TickRecord) -> None:
        self._told.append((self._events.tick, tick))
        if tick.end_s - self._sent_s >= CHUNK_S:
            self._sent_s = tick.end_s
            self._send()

    def close(self) -> None:
        """End the file; twice does no harm.

        Raises:
            OSError: if not all of it could be written.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._send()
        finally:
            self._waiting.put(None)
            if self.error is None:  # else the disk may stand still, and nobody waits for it
                thread.join()
        if self.error is not None:
            raise self.error

    def _send(self) -> None:
        if self._waiting.qsize() > MAX_WAITING and self.error is None:
            self.error = OSError(f"{self.path}: the disk has not kept up for {MAX_WAITING * CHUNK_S:g} s")
        if self.error is not None:
            raise self.error
        told, self._told = self._told, []
        if self._bytes <= MAX_BYTES:  # else the thread has ended the file
            self._waiting.put(told)

    # In the thread

    def _write(self) -> None:
        try:
            with self._file:
                self._append([])
                while self._bytes <= MAX_BYTES and (told := self._waiting.get()) is not None:
                    for make, record in told:
                        make(record)
                    self._append(self._events.take())
                if self._bytes > MAX_BYTES:
                    log.warning("%s has %d MB and is ended", self.path, self._bytes / 1e6)
                self._append(self._events.end(perf_counter()))
                # Nothing after the bracket: Perfetto refuses a file that goes on there, be it with an empty line.
                self._file.write(b"\n]")
        except Exception as error:  # the game's thread raises it
            self.error = error

    def _append(self, lines: list[str]) -> None:
        if lines:
            # The comma stands before an event: where the file ends early, only the bracket is missing.
            chunk = ("," * (self._bytes > 1) + "\n" + ",\n".join(lines)).encode()
            self._file.write(chunk)
            self._bytes += len(chunk)
        self._file.flush()
