"""A dashboard in the terminal, for games that have no window (or beside one)."""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from . import figures
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
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""An error's words are the game's: they must not steer the terminal, nor begin a row."""
BAR = 30
PLAIN, BOLD, RED = Style.null(), Style(bold=True), Style(color="red")
SOURCES = (
    ("LLM", TICKS_LLM, Style(color="green")),
    ("cache", TICKS_CACHE, Style(color="cyan")),
    ("heuristic", TICKS_HEURISTIC, Style(color="bright_black")),
)

Row = list[tuple[str, Style]]


class Rows:
    """Rows for rich, in parts of one style each. It would take six times as long for a table of its own, and three
    times as long for its text, which it looks through for where to break it; these are cut where the terminal ends."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self._rows:
            for text, style in row:
                yield Segment(_NOT_PRINTED.sub(" ", text), style)
            yield Segment.line()


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
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # No thread of its own: it would take the frames' time whenever it liked.
            # What the game prints appears above it, unless it goes somewhere else.
            self._live = Live(
                self.view(), console=self._console, auto_refresh=False, redirect_stdout=sys.stdout.isatty()
            )
            self._guarded(self._live.start, True)
        else:
            self.line()  # the first takes much longer than the others, and there are no frames yet
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._guarded(live.stop)

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
        if self._live is not None:
            self._guarded(self._draw, self._live)
        else:
            self._guarded(self._print)
        self._drawn_s = perf_counter()
        self._takes_s = max(self._drawn_s - begun_s, 0.9 * self._takes_s)

    def _draw(self, live: Live) -> None:
        live.update(self.view(), refresh=True)

    def _print(self) -> None:
        self._console.print(self.line(), soft_wrap=True, markup=False, highlight=False)

    def _guarded(self, do: Callable[..., object], *arguments: object) -> None:
        try:
            do(*arguments)
        except Exception as error:  # the terminal was closed, say
            if not self._off:
                log.error("the dashboard is switched off: %s", error, exc_info=error)
            self._off = True

    def line(self) -> str:
        """How it does, in a line."""
        sim, planner, frame, (per_second, shares) = (
            self._sim, self._sim.planner, self._work_ms.percentiles(), self._lately()
        )  # fmt: skip
        return (
            f"{sim.time:.0f} s, {sim.agents.count:,} agents: frame p50 {frame.p50:.1f}, p99 {frame.p99:.1f} ms, "
            f"{self._missed:,} of {self._frames:,} missed; planning p99 {planner.planning_ms.percentiles().p99:.2f} of "
            f"{sim.pace.budget_ms:g} ms; requests {per_second:.1f} a second, {len(planner.requests)} in flight, "
            f"{planner.counts.answered:,} answered, {planner.counts.failed:,} failed; plans from "
            f"{', '.join(_shares(shares))}; gateway: {figures.gateway(planner)}"
        )

    def view(self) -> Rows:
        """How it does, as a table."""
        # Not sim.stats(), which gathers twice as much: it walks the whole cache, and through further windows.
        sim, planner, (per_second, shares) = self._sim, self._sim.planner, self._lately()
        requests, lookups, plans = figures.requests(planner), figures.lookups(planner), figures.plan_use(planner)
        rows: list[tuple[str, str | Row]] = [
            ("game", f"{sim.domain.name}, {sim.agents.count:,} agents, {sim.time:.0f} s, model {sim.model_tag}"),
            ("frame", f"{_ms(self._work_ms.percentiles())}; missed {self._missed:,} of {self._frames:,}"),
            ("tick", _ms(sim.tick_ms.percentiles())),
            ("planning", f"{_ms(planner.planning_ms.percentiles())}; budget {sim.pace.budget_ms:g} ms, "
                         f"passed {planner.overruns:,} times"),
            *([("governor", str(sim.governor))] if sim.governor.on else []),
            ("requests", f"{per_second:.1f} a second; {requests.in_flight} in flight, "
                         f"{planner.cache.waiting():,} wait"),
            ("", f"{requests.answered:,} answered, {requests.failed:,} failed, {requests.rejected:,} rejected, "
                 f"{requests.cancelled:,} cancelled, {requests.late:,} late"),
            ("latency", _ms(requests.latency_ms)),
            ("plans from", _bar(shares)),
            ("", f"last {plans.mean_life_s:.1f} s, {plans.second_step_share:.0%} reach a second step"),
            ("look-ups", f"{lookups.hit_rate:.0%} found a model's plan: {lookups.exact_hits:,} exact, "
                         f"{lookups.near_hits:,} near, {lookups.order_hits:,} by order; {lookups.misses:,} did not"),
            ("gateway", figures.gateway(planner)),
            *[("error", [(f"{error} ({count:,} times)", RED)]) for error, count in list(sim.errors.items())[-3:]],
        ]  # fmt: skip
        return Rows([
            [(f"{name:<12}", BOLD), *([(value, PLAIN)] if isinstance(value, str) else value)] for name, value in rows
        ])  # fmt: skip

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


def _bar(shares: list[float]) -> Row:
    """The shares as a bar, each in a colour and with its name."""
    colours = [colour for _, _, colour in SOURCES]
    bars = [("█" * round(BAR * share), colour) for share, colour in zip(shares, colours, strict=True)]
    return bars + [(f"  {said}", colour) for said, colour in zip(_shares(shares), colours, strict=True)]
