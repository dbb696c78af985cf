"""The meadow in a window: who does what, where each plan came from, and what planning costs. ``astrasim demo``.

Keys: space pauses, a click selects an agent, Esc or closing the window ends it.
"""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from astrasim import Agent, FrameTimes, Settings, Simulation, Source, run_frames
from astrasim.figures import measured

from .meadow import meadow

PANEL = 430
FPS = 60
HUD_EVERY = 15  # frames: text is dear, and nobody reads faster
SHEEP, WOLVES = 57, 6
BACKGROUND, PANEL_COLOUR, TEXT, DIM = (58, 92, 60), (24, 28, 34), (226, 230, 235), (140, 150, 160)
KINDS = {"sheep": (236, 236, 226), "wolf": (205, 92, 64)}
SOURCES = {Source.LLM: (255, 196, 60), Source.CACHE: (110, 190, 255), Source.HEURISTIC: None}


@dataclass
class View:
    """What the window shows, besides the simulation."""

    screen: pygame.Surface
    selected: Agent
    paused: bool = False
    quit: bool = False
    panel: pygame.Surface | None = None

    @property
    def scale(self) -> float:
        width, height = self.screen.get_size()
        return max(1.0, min(width - PANEL, height) / 100)


def run_demo(
    *, headless: bool, seconds: float, screenshot: Path | None, json_file: Path | None, settings: Settings | None = None
) -> FrameTimes:
    """Run the meadow for ``seconds`` (0: until the window is closed) and return the frames' times.

    Raises:
        pygame.error: if no window can be opened; ``headless`` needs none.
    """
    if headless:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    pygame.display.init()
    pygame.font.init()
    screen = pygame.display.set_mode((1280, 720), pygame.RESIZABLE)
    pygame.display.set_caption("AstraSim: the meadow")
    try:
        with Simulation(meadow, settings) as sim:
            view = View(screen, _populate(sim))
            times = _loop(sim, view, round(seconds * FPS) if seconds else None)
            if screenshot is not None:
                pygame.image.save(screen, screenshot)
            if json_file is not None:
                figures = measured(sim, times) | {"draw": pygame.display.get_driver()}
                json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            return times
    finally:
        pygame.quit()


def _populate(sim: Simulation) -> Agent:
    sim.spawn_many("sheep", SHEEP, x=sim.rng.uniform(0, 100, SHEEP), y=sim.rng.uniform(0, 100, SHEEP))
    return sim.spawn_many("wolf", WOLVES, x=sim.rng.uniform(0, 100, WOLVES), y=0, tier="boss")[0]


def _loop(sim: Simulation, view: View, frames: int | None) -> FrameTimes:
    def work(frame: int) -> bool:
        for event in pygame.event.get():
            _handle(sim, view, event)
        if not view.paused:
            sim.tick()
        _draw(sim, view, frame)
        pygame.display.flip()
        return not view.quit

    return run_frames(work, frames)


def _handle(sim: Simulation, view: View, event: pygame.event.Event) -> None:
    if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
        view.quit = True
    elif event.type == pygame.KEYDOWN and event.key == pygame.K_SPACE:
        view.paused = not view.paused
    elif event.type == pygame.MOUSEBUTTONDOWN and event.pos[0] > PANEL:
        x, y = (event.pos[0] - PANEL) / view.scale, event.pos[1] / view.scale
        nearest = int(np.argmin(np.hypot(sim.agents.x - x, sim.agents.y - y)))
        found = sim.agents.handles[nearest]
        assert isinstance(found, Agent)
        view.selected = found
        view.panel = None


def _draw(sim: Simulation, view: View, frame: int) -> None:
    screen, scale = view.screen, view.scale
    screen.fill(BACKGROUND)
    for place in meadow.declared.places.values():
        pygame.draw.circle(screen, (88, 128, 74), (PANEL + place.x * scale, place.y * scale), 30 * scale)
    pygame.draw.rect(screen, (140, 170, 130), (PANEL, 0, 100 * scale, 100 * scale), 1)
    radius = max(3.0, 0.8 * scale)
    for handle in sim.agents.handles:
        at = (PANEL + handle.x * scale, handle.y * scale)
        ring = SOURCES[Source(int(sim.agents.source[handle.row]))]
        if ring is not None:
            pygame.draw.circle(screen, ring, at, radius + 2.5, 2)
        pygame.draw.circle(screen, KINDS[handle.kind], at, radius)
    if view.selected.alive:
        at = (PANEL + view.selected.x * scale, view.selected.y * scale)
        pygame.draw.circle(screen, TEXT, at, radius + 7, 1)
    if view.panel is None or frame % HUD_EVERY == 0:
        view.panel = _panel(sim, view)
    screen.blit(view.panel, (0, 0))


def _panel(sim: Simulation, view: View) -> pygame.Surface:
    surface = pygame.Surface((PANEL, view.screen.get_height()))
    surface.fill(PANEL_COLOUR)
    s = sim.stats()
    shares = s.agent_ticks
    lines = [
        (TEXT, f"{s.agents} agents   tick {s.tick_ms.p50:.2f} ms (p99 {s.tick_ms.p99:.2f})"),
        (TEXT, f"planning {s.planning.ms.p50:.2f} ms of {s.planning.budget_ms:g} (p99 {s.planning.ms.p99:.2f})"),
        (TEXT, f"gateway: {s.gateway}" if sim.model else f"no model: {sim.model_reason}"),
        (TEXT, f"requests {s.requests.sent}, answered {s.requests.answered}, failed {s.requests.failed}"),
        (SOURCES[Source.LLM] or TEXT, f"model plans, waited for: {shares.llm:.0%} of agent-ticks"),
        (SOURCES[Source.CACHE] or TEXT, f"model plans, from the cache: {shares.cache:.0%}"),
        (DIM, f"heuristic plans: {shares.heuristic:.0%}"),
        (TEXT, ""),
    ]
    if view.selected.alive:
        text = sim.why(view.selected).split("\n\n")[0]
        lines += [(DIM, line) for line in text.splitlines()]
    lines += [(DIM, ""), (DIM, "space: pause   click: select   Esc: quit")]
    font, y = pygame.font.Font(None, 20), 12
    for colour, line in lines:
        for part in textwrap.wrap(line, 58) or [""]:
            surface.blit(font.render(part, True, colour), (14, y))
            y += 19
    return surface
