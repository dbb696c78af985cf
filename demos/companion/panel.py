"""The panel: what frames, planning and the model cost, and what the selected agent does and why.

Each part is a picture of its own that is painted anew a few times a second, each in another frame: text is dear, and
nobody reads faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pygame

from astrasim import Agent, Source
from astrasim.frames import PERIOD_MS
from astrasim.statistics import Statistics

from . import palette as p
from .levers import in_words
from .meter import KEPT
from .view import View

EVERY = 20
NAMES = {Source.LLM: "model, waited for", Source.CACHE: "model, from the cache", Source.HEURISTIC: "heuristic"}
GRAPH_MS = 25.0


class Panel:
    """The right side of the window."""

    def __init__(self) -> None:
        self._parts: list[tuple[Callable[[View, pygame.Surface], None], float]] = [
            (_frames, 128), (_planning, 88), (_model, 166), (_selected, 0)]  # fmt: skip
        self._pictures: list[pygame.Surface | None] = [None] * len(self._parts)
        self._for: tuple[object, ...] = ()

    def draw(self, view: View, frame: int) -> None:
        """Onto the screen; parts whose turn it is are painted anew."""
        if not view.panel_width:
            return
        height, width, ui = view.screen.get_height(), view.panel_width, view.ui
        now = (view.screen.get_size(), view.selected.uid)
        if now != self._for:
            self._for, self._pictures = now, [None] * len(self._parts)
        left, y, gap = view.screen.get_width() - width, 0.0, 8 * ui
        view.screen.fill(p.PANEL, (left, 0, width, height))
        y = gap
        for number, (paint, tall) in enumerate(self._parts):
            size = (round(width - 2 * gap), round(tall * ui if tall else height - y - gap))
            picture = self._pictures[number]
            if picture is None or frame % EVERY == number * (EVERY // len(self._parts)):
                picture = pygame.Surface(size)
                picture.fill(p.PANEL)
                pygame.draw.rect(picture, p.CARD, picture.get_rect(), border_radius=round(8 * ui))
                paint(view, picture)
                self._pictures[number] = picture.convert()
            view.screen.blit(picture, (left + gap, y))
            if number == 0:
                _graph(view, pygame.Rect(left + gap + 12 * ui, y + 62 * ui, size[0] - 24 * ui, 54 * ui))
            y += size[1] + gap


class _Pen:
    """Writes lines downwards onto a picture."""

    def __init__(self, view: View, picture: pygame.Surface) -> None:
        self.view, self.picture, self.ui = view, picture, view.ui
        self.left, self.y = 12 * view.ui, 9 * view.ui
        self.width = picture.get_width() - 2 * self.left

    def write(self, text: str, size: int = 13, colour: tuple[int, int, int] = p.TEXT, bold: bool = False,
              lines: int = 1, indent: float = 0.0) -> None:  # fmt: skip
        letters, room = self.view.lettering, self.width - indent * self.ui
        for line in letters.wrap(text, size, room, lines):
            if self.y + letters.height(size) > self.picture.get_height() - 4 * self.ui:
                return
            self.picture.blit(letters.line(line, size, colour, bold), (self.left + indent * self.ui, self.y))
            self.y += letters.height(size)

    def right(self, text: str, size: int = 13, colour: tuple[int, int, int] = p.DIM) -> None:
        """At the right end of the line that comes next."""
        line = self.view.lettering.line(text, size, colour)
        self.picture.blit(line, (self.left + self.width - line.get_width(), self.y))

    def bar(self, shares: list[tuple[float, tuple[int, int, int]]], tall: float = 7) -> None:
        x, full = self.left, pygame.Rect(self.left, self.y, self.width, tall * self.ui)
        pygame.draw.rect(self.picture, p.PANEL_LINE, full)
        for share, colour in shares:
            wide = min(max(share, 0.0), 1.0) * self.width
            pygame.draw.rect(self.picture, colour, (round(x), round(self.y), round(wide), round(tall * self.ui)))
            x += wide
        self.y += (tall + 5) * self.ui

    def dot(self, colour: tuple[int, int, int], radius: float = 4) -> None:
        height = self.view.lettering.height(13)
        pygame.draw.circle(self.picture, colour, (self.left + 5 * self.ui, self.y + height / 2), radius * self.ui)


def _frames(view: View, picture: pygame.Surface) -> None:
    pen, (p50, p99) = _Pen(view, picture), view.meter.percentiles()
    pen.right(f"{view.sim.agents.count:,} agents", 15, p.TEXT)
    pen.write(f"{view.meter.fps():.0f} frames a second", 15, p.TEXT, True)
    pen.write(f"the last {min(view.meter.count, KEPT)} frames: p50 {p50:.1f} ms, p99 {p99:.1f} ms", colour=p.DIM)


def _graph(view: View, box: pygame.Rect) -> None:
    """A frame a column, against the 16.67 ms that it may take."""
    pygame.draw.rect(view.screen, p.PANEL, box)
    columns = min(box.width // 2, KEPT)
    work = view.meter.work_ms()[-columns:]
    tall = np.clip(work / GRAPH_MS, 0.01, 1) * box.height
    step = box.width / columns
    for number, (height, ms) in enumerate(zip(tall.tolist(), work.tolist(), strict=True)):
        colour = p.BAD if ms > PERIOD_MS else p.GOOD
        x = box.left + number * step
        view.screen.fill(colour, (x, box.bottom - height, max(1, step - 0.6), height + 1), special_flags=0)
    line = box.bottom - PERIOD_MS / GRAPH_MS * box.height
    pygame.draw.line(view.screen, p.FAIR, (box.left, line), (box.right - 1, line))
    label = view.lettering.line("16.67 ms", 10, p.FAIR)
    at = pygame.Rect(box.right - label.get_width() - 2, round(line) - label.get_height(), *label.get_size())
    view.screen.fill(p.PANEL, at)
    view.screen.blit(label, at)


def _planning(view: View, picture: pygame.Surface) -> None:
    pen, planning = _Pen(view, picture), view.sim.stats().planning
    pace = view.sim.pace
    pen.right(f"{in_words(pace)} a tick", colour=p.TEXT)
    pen.write("Planning", 14, p.TEXT, True)
    pen.write(f"p50 {planning.ms.p50:.2f} ms, p99 {planning.ms.p99:.2f} ms, over budget {planning.overruns}×",
              colour=p.DIM)  # fmt: skip
    pen.y += 3 * pen.ui
    share = planning.ms.p99 / pace.budget_ms if pace.budget_ms else 1.0
    if pace.budget_units is not None:
        share = planning.units / max(1, pace.budget_units)
    pen.bar([(share, p.GOOD if share <= 1 else p.BAD)], 6)
    pen.write(f"Governor: {view.sim.governor}", 12, p.DIM)


_REASON = re.compile(r"(?<=failed: )\w+: ")
"""The word that statistics count failures by; what follows it says the same for people."""


def gateway_in_words(s: Statistics) -> str:
    """Which model, how it is, and how long its answers take, as in "embedded model: ready, 2 in flight, 0.6 s"."""
    state, *notes = s.gateway.split("; ")
    if s.requests.answered and " in flight" in state:
        state += f", {s.requests.latency_ms.p50 / 1000:.1f} s"
    return "; ".join([state, *(_REASON.sub("", note) for note in notes)])


def _model(view: View, picture: pygame.Surface) -> None:
    pen, s = _Pen(view, picture), view.sim.stats()
    lookups = s.lookups.exact_hits + s.lookups.misses
    rate = s.lookups.exact_hits / lookups if lookups else 0.0
    pen.write("Model", 14, p.TEXT, True)
    fetching = view.game.fetching
    gateway = gateway_in_words(s) if view.game.has_model else f"off: {view.sim.model_reason}"
    gateway = fetching.news if fetching is not None and fetching.news else gateway
    pen.write(gateway, 12, p.DIM, lines=3)
    requests = s.requests
    pen.write(f"requests {requests.sent}, answered {requests.answered}, failed {requests.failed + requests.rejected}, "
              f"in flight {requests.in_flight}", 12)  # fmt: skip
    pen.write(f"cache: {rate:.0%} of {lookups:,} look-ups hit", 12)
    shares = ((s.agent_ticks.llm, Source.LLM, "model"), (s.agent_ticks.cache, Source.CACHE, "cached"),
              (s.agent_ticks.heuristic, Source.HEURISTIC, "heuristic"))  # fmt: skip
    pen.y = picture.get_height() - 40 * pen.ui
    pen.bar([(share, p.SOURCES[source]) for share, source, _ in shares], 9)
    x = pen.left
    for share, source, name in shares:
        pygame.draw.circle(picture, p.SOURCES[source], (x + 4 * pen.ui, pen.y + 8 * pen.ui), 4 * pen.ui)
        label = view.lettering.line(f"{name} {share:.0%}", 12, p.TEXT)
        picture.blit(label, (x + 12 * pen.ui, pen.y))
        x += pen.width / 3


def _selected(view: View, picture: pygame.Surface) -> None:
    pen, agent = _Pen(view, picture), view.selected
    if not agent.alive:
        pen.write("Nobody selected", 14, p.TEXT, True)
        pen.write("Click on somebody to see what that one knows, plans and why.", colour=p.DIM, lines=3)
        return
    sim, row = view.sim, agent.row
    situation = sim.situation(agent)
    name = "Ash, your companion" if agent.kind == "companion" else f"{situation.role} {agent.entity}".capitalize()
    name = "You" if agent.kind == "player" else name
    pen.right(f"health {max(agent.hp, 0):.0f}")
    pen.write(name, 14, p.TEXT, True)
    if situation.words:
        words = "; ".join(situation.words)
        pen.write(words[0].upper() + words[1:] + ".", 13, p.DIM, lines=7)
    if situation.order:
        pen.write(f"Order: {situation.order}", 13, p.COMPANION, lines=2)
    if agent.kind == "player":
        pen.write("Moved by hand, or by the autopilot (O).", 12, p.DIM)
        return
    pen.y += 5 * pen.ui
    source = Source(int(sim.agents.source[row]))
    pen.dot(p.SOURCES[source])
    pen.write(f"Plan: {NAMES[source]}", 13, p.TEXT, True, indent=15)
    _plan(pen, view, agent)
    pen.y += 4 * pen.ui
    for line in _why(view, agent):
        pen.write(line, 13, p.DIM, lines=4)


def _plan(pen: _Pen, view: View, agent: Agent) -> None:
    sim, row = view.sim, agent.row
    plan, current = sim.planner.plans[int(sim.agents.plan[row])], int(sim.agents.step[row])
    for number, step in enumerate(plan.steps):
        text = f"{number + 1}  {step.action} {step.target}"
        done = 1.0 if number < current else 0.0
        if number == current:
            done = float(sim.agents.elapsed[row]) / step.seconds
        pen.right(f"{step.seconds:g} s", 12)
        pen.write(text, 13, p.TEXT if number == current else p.FAINT)
        pen.bar([(done, p.COMPANION if number <= current else p.PANEL_LINE)], 3)


_TELLING = ("planned ", "waits for ", "next, ", "this situation: ", "source: ")


def _why(view: View, agent: Agent) -> list[str]:
    """Those lines of ``sim.why`` that the panel does not show otherwise."""
    lines = view.sim.why(agent).split("\nprompt, system:")[0].splitlines()
    told = [line.removeprefix("source: ") for line in lines if line.startswith(_TELLING)]
    return [line[0].upper() + line[1:] + "." for line in told]
