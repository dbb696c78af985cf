"""The window and its loop: ``astrasim demo``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # sharp, not scaled up by the system

import pygame

from astrasim import FrameTimes, Settings, SettingsError, run_frames
from astrasim.figures import measured
from astrasim.model_choice import choose_model

from .controls import Controls, begin_search, restart
from .crowd import Crowd
from .fetching import Fetching
from .field import draw_field
from .game import Game
from .hud import draw_hud
from .panel import Panel
from .script import Script
from .sprites import splat
from .view import SMALLEST, View
from .waves import WAVES, Wave

FPS = 60
HEADLESS_UNITS = 16
"""Planning in a headless run without a model is limited by units of work, not by the clock: two runs are the same."""
LINGER_FRAMES = 600
"""So long a window stays open when the search for capacity is done."""
AGAIN_S = 6.0
"""The autopilot plays again so long after a game has ended."""


@dataclass(frozen=True)
class Options:
    """How to run the demo; the command line in ``astrasim/cli.py`` has the same names.

    Attributes:
        seconds: 0: until the window is closed (or the search for capacity is done).
        keys: a script of keys; without one, the autopilot plays where there is no window.
        paced: at 60 frames a second; else as fast as it goes, and only every 30th frame is drawn (for tests).
        watch: called after each frame with the view and the frame's number, before the frame is over.
    """

    headless: bool = False
    seconds: float = 0.0
    screenshot: Path | None = None
    json_file: Path | None = None
    keys: Path | None = None
    size: tuple[int, int] = (1280, 720)
    capacity: bool = False
    model: str | None = None
    paced: bool = True
    waves: tuple[Wave, ...] = WAVES
    watch: Callable[[View, int], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it: the frames' times, the figures as ``--json`` has them, and the game as it stood."""

    times: FrameTimes
    figures: dict[str, Any]
    game: Game


def run_demo(options: Options, settings: Settings | None = None) -> Outcome:
    """Open the window, play, and close it again.

    Raises:
        pygame.error: if no window can be opened; ``headless`` needs none.
        SettingsError: for a size that is too small, or a script of keys that cannot be understood.
    """
    if options.size[0] < SMALLEST[0] or options.size[1] < SMALLEST[1]:
        least = "x".join(map(str, SMALLEST))
        raise SettingsError(f"size {options.size[0]}x{options.size[1]} is too small; it must be at least {least}")
    if options.headless:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    # Display and fonts only: pygame.init() would open the sound device, and not every machine has one.
    pygame.display.init()
    pygame.font.init()
    try:
        screen = pygame.display.set_mode(options.size, pygame.RESIZABLE)
        pygame.display.set_caption("AstraSim: hold the bridge")
        script = None if options.keys is None else Script.from_file(options.keys)
        chosen = settings or _settings(options)
        fetching = Fetching.if_missing(chosen)
        if fetching is not None and chosen.model == "embedded":
            chosen = chosen.model_copy(update={"model": "none"})  # until it is there
        game = Game(chosen, options.waves)
        game.fetching = fetching
        with game:
            game.autopilot = options.capacity or (options.headless and script is None)
            view = View(screen, game, Crowd(game), game.companion)
            # Compiles, or loads, the kernel before the first frame that needs it.
            splat(screen, view.camera, game.sim.agents, view.crowd.rows(), np.zeros(3, np.uint32))
            if options.capacity:
                begin_search(view)
            loop = _Loop(view, options, script)
            times = loop.run()
            loop.draw_anew()
            figures = loop.sustained or _figures(view, options, times)
        if options.screenshot is not None:
            pygame.image.save(view.screen, options.screenshot)
        if options.json_file is not None:
            options.json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        return Outcome(times, figures, game)
    finally:
        pygame.quit()


def _settings(options: Options) -> Settings:
    given: dict[str, Any] = {} if options.model is None else {"model": options.model}
    settings = Settings(**given)
    if options.headless and not options.capacity and choose_model(settings)[0] is None:
        return Settings(**given, budget_units=HEADLESS_UNITS)
    return settings


class _Loop:
    """The frames of one run."""

    def __init__(self, view: View, options: Options, script: Script | None) -> None:
        self._view, self._options, self._script = view, options, script
        self._controls, self._panel = Controls(view), Panel()
        self._ended_s = 0.0
        self._linger = 0 if options.headless else LINGER_FRAMES
        self.sustained: dict[str, Any] | None = None
        """After a search for capacity, the figures of the run that confirmed it."""

    def run(self) -> FrameTimes:
        frames = round(self._options.seconds * FPS) if self._options.seconds else None
        if self._options.paced:
            return run_frames(self._frame, frames)
        work, frame, begun = [], 0, time.perf_counter()
        while frames is None or frame < frames:
            started = time.perf_counter()
            more = self._frame(frame)
            work.append((time.perf_counter() - started) * 1000)
            frame += 1
            if not more:
                break
        return FrameTimes(np.array(work), 0, time.perf_counter() - begun)

    def _frame(self, frame: int) -> bool:
        """One frame; False when it was the last."""
        view, started = self._view, time.perf_counter()
        if self._script is not None:
            self._script.post(frame)
        for event in pygame.event.get():
            self._controls.handle(event)
        self._controls.steer()
        if view.game.fetching is not None:
            view.game.fetching.join_in(view.sim)
        arrived = view.crowd.run()
        if not view.paused or view.one_step:
            view.sim.tick()
            view.one_step = False
        self._after_the_end()
        view.notice = view.notice[0], view.notice[1] - 1
        if self._options.paced or frame % 30 == 0:
            self.draw(frame)
        work_ms = (time.perf_counter() - started) * 1000
        view.meter.add(started, work_ms)
        self._look_for_capacity(work_ms, arrived)
        if self._options.watch is not None:
            self._options.watch(view, frame)
        return not view.quit

    def draw_anew(self) -> None:
        """The window as it is now, with nothing kept from earlier frames: for a picture."""
        self._panel = Panel()
        self.draw(0)

    def draw(self, frame: int) -> None:
        """The whole window."""
        draw_field(self._view)
        draw_hud(self._view)
        self._panel.draw(self._view, frame)
        pygame.display.flip()

    def _after_the_end(self) -> None:
        """Nobody sits at the keyboard: play again after a while, and keep somebody selected."""
        view = self._view
        if view.game.state == "playing":
            self._ended_s = view.sim.time
        elif view.game.autopilot and view.sim.time - self._ended_s > AGAIN_S:
            restart(view)
        if view.game.companion.alive and not view.selected.alive:
            view.selected = view.game.companion

    def _look_for_capacity(self, work_ms: float, arrived: bool) -> None:
        view, search = self._view, self._view.search
        if search is None:
            return
        if search.done:
            self._linger -= 1
            view.quit = view.quit or (self._options.capacity and self._linger < 0)
            return
        begins = search.frame(work_ms, arrived)
        if begins == "measure":
            view.sim.reset_stats()
        view.look()  # the crowd may have outgrown the view
        if search.result is not None:
            self.sustained = _figures(view, self._options, search.result, capacity=True)
            search.conditions = conditions(self.sustained)


def describe(view: View) -> str:
    """The game in a line, for the terminal."""
    game, (p50, p99) = view.game, view.meter.percentiles()
    said = f"{view.sim.agents.count:,} agents, frame p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    if view.search is not None:
        return f"{view.search}; {said}"
    if game.fetching is not None and game.fetching.news:
        said += f"; {game.fetching.news}"
    return (
        f"{game.now_s:.0f} s, wave {game.waves.number} of {game.waves.total}, {len(game.enemies)} raiders, village "
        f"{game.village_hp:.0f}, you {max(game.player.hp, 0):.0f}, Ash {max(game.companion.hp, 0):.0f}; {said}"
    )


def summary(outcome: Outcome) -> str:
    """A run in a few lines, for the terminal."""
    f, game = outcome.figures, outcome.figures["game"]
    ms, settings = f["frame_ms"], f["settings"]
    lines = [
        str(outcome.times),
        f"game: {game['state']}, wave {game['wave']} of {outcome.game.waves.total}, {game['beaten']} raiders beaten",
    ]
    if settings["capacity"]:
        lines.insert(0, f"sustained: {f['agents']:,} agents drawn and planning, p99 {ms['p99']:.1f} ms of 16.67 over "
                        f"{f['frames']} frames; {conditions(f)}")  # fmt: skip
    return "\n".join(lines)


def conditions(figures: dict[str, Any]) -> str:
    """The settings under which frames were measured, in a line."""
    (width, height), every = figures["settings"]["size"], figures["every"]
    perceives = "each perceives every tick" if every == 1 else f"each perceives every {every} ticks"
    budget = f"budget {figures['planning_ms']['budget']:g} ms"
    return f"{perceives}, {budget}, model {figures['model']}, {width}x{height}, driver {figures['draw']}"


def _figures(view: View, options: Options, times: FrameTimes, capacity: bool = False) -> dict[str, Any]:
    """What ``--json`` writes."""
    game = view.game
    return measured(view.sim, times) | {
        "draw": pygame.display.get_driver(),
        "settings": {
            "size": list(view.screen.get_size()),
            "budget_units": view.sim.settings.budget_units,
            "requests_per_second": view.sim.settings.requests_per_second,
            "keys": None if options.keys is None else options.keys.name,
            "capacity": capacity,
        },
        "game": {
            "state": game.state, "wave": game.waves.number, "beaten": game.beaten, "seconds": round(game.length_s, 1),
            "village": round(game.village_hp, 1), "games": game.games, "order": game.keeper.text,
        },
    }  # fmt: skip
