"""A dashboard in the terminal, for games that have no window (or beside one)."""

from __future__ import annotations

import logging
import sys
from collections import deque
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .frames import FPS, Frame
from .kernels.columns import TICKS_CACHE, TICKS_HEURISTIC, TICKS_LLM
from .statistics import Percentiles, Window

if TYPE_CHECKING:
    from .simulation import Simulation

log = logging.getLogger("astrasim")

DRAWN_S, PLAIN_S = 0.5, 5.0
"""How often it is drawn at most, and how often a line is printed where there is no terminal."""
STALE_S = 2.0
"""A game without a spare moment has it drawn as often as this all the same."""
LATELY_S = 5.0
BAR = 30
SOURCES = (("LLM", TICKS_LLM, "green"), ("cache", TICKS_CACHE, "cyan"), ("heuristic", TICKS_HEURISTIC, "bright_black"))


class Dashboard:
    """Shows how a simulation does: frames, planning, requests, where plans come from.

        with Dashboard(sim) as dashboard:
            run_frames(lambda frame: sim.tick(), None, after=dashboard.frame)

    It is drawn between two frames, twice a second at most, if the time until the next suffices. Where there is no
    terminal it prints a line every 5 s. If it cannot be drawn it is switched off and logged, and the game goes on.

    Args:
        console: where to; default: the standard error stream, so that what the game prints can be piped.
    """

    def __init__(self, sim: Simulation, console: Console | None = None) -> None:
        self._sim = sim
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._off = False
        self._work_ms = Window(10 * FPS)
        self._frames = self._missed = 0
        self._drawn_s = perf_counter()
        self._takes_s = 0.0
        self._past: deque[tuple[float, int, list[int]]] = deque()

    def __enter__(self) -> Dashboard:
        if self._console.is_terminal:
            # No thread of its own: it would take the frames' time whenever it liked.
            # What the game prints appears above it, unless it goes somewhere else.
            self._live = Live(
                self.view(), console=self._console, auto_refresh=False, redirect_stdout=sys.stdout.isatty()
            )
            self._live.start(refresh=True)
        else:
            self.line()  # the first takes much longer than the others, and there are no frames yet
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def frame(self, frame: Frame) -> None:
        """A frame's work is done. ``run_frames(..., after=dashboard.frame)`` calls it."""
        self._work_ms.add(frame.work_ms)
        self._frames += 1
        self._missed += frame.missed
        begun_s = perf_counter()
        waited_s = begun_s - self._drawn_s
        if self._off or waited_s < (DRAWN_S if self._live else PLAIN_S):
            return
        if frame.spare_s < 1.5 * self._takes_s and waited_s < STALE_S:
            return
        try:
            if self._live is not None:
                self._live.update(self.view(), refresh=True)
            else:
                self._console.print(self.line(), soft_wrap=True, markup=False, highlight=False)
        except Exception as error:  # the terminal was closed, say
            self._off = True
            log.error("the dashboard is switched off: %s", error, exc_info=error)
        self._drawn_s = perf_counter()
        self._takes_s = max(self._drawn_s - begun_s, 0.9 * self._takes_s)

    def line(self) -> str:
        """How it does, in a line."""
        s, frame, (per_second, shares) = self._sim.stats(), self._work_ms.percentiles(), self._lately()
        return (
            f"{self._sim.time:.0f} s, {s.agents:,} agents: frame p50 {frame.p50:.1f}, p99 {frame.p99:.1f} ms, "
            f"{self._missed:,} of {self._frames:,} missed; planning p99 {s.planning.ms.p99:.2f} of "
            f"{s.planning.budget_ms:g} ms; requests {per_second:.1f} a second, {s.requests.in_flight} in flight, "
            f"{s.requests.answered:,} answered, {s.requests.failed:,} failed; plans from "
            f"{', '.join(_shares(shares))}; gateway: {s.gateway}"
        )

    def view(self) -> Text:
        """How it does, as a table: in one piece, because rich takes six times as long for a table."""
        sim, s, (per_second, shares) = self._sim, self._sim.stats(), self._lately()
        planning, requests, lookups, plans = s.planning, s.requests, s.lookups, s.plans
        rows: list[tuple[str, str | Text]] = [
            ("game", f"{sim.domain.name}, {s.agents:,} agents, {sim.time:.0f} s, model {sim.model_tag}"),
            ("frame", f"{_ms(self._work_ms.percentiles())}; missed {self._missed:,} of {self._frames:,}"),
            ("tick", _ms(s.tick_ms)),
            ("planning", f"{_ms(planning.ms)}; budget {planning.budget_ms:g} ms, passed {planning.overruns:,} times"),
            *([("governor", str(sim.governor))] if sim.governor.on else []),
            ("requests", f"{per_second:.1f} a second; {requests.in_flight} in flight, {s.cache.wanted:,} wait"),
            ("", f"{requests.answered:,} answered, {requests.failed:,} failed, {requests.rejected:,} rejected, "
                 f"{requests.cancelled:,} cancelled, {requests.late:,} late"),
            ("latency", _ms(requests.latency_ms)),
            ("plans from", _bar(shares)),
            ("", f"last {plans.mean_life_s:.1f} s, {plans.second_step_share:.0%} reach a second step"),
            ("look-ups", f"{lookups.hit_rate:.0%} found a model's plan: {lookups.exact_hits:,} exact, "
                         f"{lookups.near_hits:,} near, {lookups.order_hits:,} by order; {lookups.misses:,} did not"),
            ("gateway", Text(s.gateway)),
            *[("error", Text(f"{error} ({count:,} times)", "red")) for error, count in list(s.errors.items())[-3:]],
        ]  # fmt: skip
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        for name, value in rows:
            text.append(f"{name:<12}", "bold").append(value).append("\n")
        return text

    def _lately(self) -> tuple[float, list[float]]:
        """Over some seconds: requests a second, and the share of agent-ticks on each source of plans."""
        planner, now_s = self._sim.planner, perf_counter()
        ticks = [int(planner.counters[counter]) for _, counter, _ in SOURCES]
        self._past.append((now_s, planner.counts.sent, ticks))
        while len(self._past) > 2 and now_s - self._past[1][0] >= LATELY_S:
            self._past.popleft()
        then_s, sent, before = self._past[0]
        if planner.counts.sent < sent or sum(ticks) < sum(before):  # the counts were set back
            self._past.clear()
            return 0.0, [0.0] * len(ticks)
        spent = [now - then for now, then in zip(ticks, before, strict=True)]
        return (planner.counts.sent - sent) / max(now_s - then_s, 1e-9), [each / (sum(spent) or 1) for each in spent]


def _ms(p: Percentiles) -> str:
    return f"p50 {p.p50:.2f}, p95 {p.p95:.2f}, p99 {p.p99:.2f}, max {p.max:.2f} ms"


def _shares(shares: list[float]) -> list[str]:
    return [f"{name} {share:.0%}" for (name, _, _), share in zip(SOURCES, shares, strict=True)]


def _bar(shares: list[float]) -> Text:
    """The shares as a bar, each in a colour and with its name."""
    bar = Text()
    for (_, _, colour), share in zip(SOURCES, shares, strict=True):
        bar.append("█" * round(BAR * share), colour)
    for said, (_, _, colour) in zip(_shares(shares), SOURCES, strict=True):
        bar.append(f"  {said}", colour)
    return bar
