"""The window and its loop: ``astrasim demo``."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # sharp, not scaled up by the system

import pygame

from astrasim import FrameTimes, Settings, SettingsError, run_frames
from astrasim.figures import memory_bytes, write_json
from astrasim.model_choice import choose_model
from astrasim.pace import Pace
from astrasim.warmup import warm_up

from . import report
from .controls import NO_PLANS, Controls, begin_search, restart
from .crowd import Crowd
from .fetching import Fetching
from .field import draw_crowd, draw_field
from .game import Game
from .hud import draw_hud
from .levers import governs, plans
from .panel import Panel
from .script import Script
from .view import LARGEST, SMALLEST, USUAL, View, size_on
from .waves import WAVES, Wave

FPS = 60
HEADLESS_UNITS = 16
"""Planning in a headless run without a model is limited by units of work, not by the clock, and the governor is off:
two runs are the same."""
LINGER_FRAMES = 600
"""So long a window stays open when the search for capacity is done."""
AGAIN_S = 6.0
"""The autopilot plays again so long after a game has ended."""


@dataclass(frozen=True)
class Options:
    """How to run the demo; the command line in ``astrasim/cli.py`` has the same names.

    Attributes:
        size: None: 1280x720 headless, and in a window what suits the screen.
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
    size: tuple[int, int] | None = None
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
    unfinished: str = ""
    """How a search for capacity stood that was still under way."""


def why_no_window() -> str:
    """Why a window would show nothing here, "" if it would not: SDL may choose a driver without one by itself.

    Where it would not, the display stays open: an X server may begin anew when its last client leaves, and refuse who
    comes back at once.
    """
    try:
        pygame.display.init()
    except pygame.error as error:
        return f"no window can be opened ({error})"
    driver = pygame.display.get_driver()
    if driver not in ("offscreen", "dummy"):
        return ""
    pygame.display.quit()
    return f"SDL has no display here (its driver is {driver!r})"


def run_demo(options: Options, settings: Settings | None = None) -> Outcome:
    """Open the window, play, and close it again. Ctrl-C ends it as closing the window does; twice, at once.

    Raises:
        pygame.error: if no window can be opened; ``headless`` needs none.
        SettingsError: for a size or a time that cannot be, a script of keys that cannot be understood, or a search for
            capacity with a planning budget of 0.
    """
    _check(options)
    if options.headless:
        pygame.display.quit()  # or the driver that is up would stay
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    # Display and fonts only: pygame.init() would open the sound device, and not every machine has one.
    pygame.display.init()
    pygame.font.init()
    if pygame.display.get_driver() == "x11":
        # Everything is painted in memory: to hand that to X costs a tenth of the way through a texture (10 ms a frame
        # at 1280x720 where no GPU helps). Other drivers may have no other way.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    try:
        size = options.size or (USUAL if options.headless else size_on(pygame.display.get_desktop_sizes()[0]))
        screen = pygame.display.set_mode(size, pygame.RESIZABLE)
        pygame.display.set_caption("AstraSim: hold the bridge")
        script = None if options.keys is None else Script.from_file(options.keys)
        chosen, fetching = _prepare(options, settings)
        if chosen.warmup:
            warm_up()
        memory_before = memory_bytes()
        game = Game(chosen, options.waves)
        game.fetching = fetching
        with game:
            game.autopilot = options.capacity or (options.headless and script is None)
            view = View(screen, game, Crowd(game), game.companion, memory_before=memory_before)
            view.governed = chosen.governor
            draw_crowd(view)  # compiles, or loads, the kernel before the first frame that needs it
            if options.capacity:
                begin_search(view)
            loop = _Loop(view, options, script)
            with _ctrl_c_quits(view):
                times = loop.run()
                loop.draw_anew()
                figures = loop.sustained or report.figures(view, options, times)
                if options.screenshot is not None:
                    pygame.image.save(view.screen, options.screenshot)
                if options.json_file is not None:
                    write_json(options.json_file, figures)
        return Outcome(times, figures, game, str(view.search) if view.searching else "")
    finally:
        pygame.quit()


def _check(options: Options) -> None:
    (width, height), least, most = options.size or USUAL, SMALLEST, LARGEST
    if not (least[0] <= width <= most[0] and least[1] <= height <= most[1]):
        allowed = f"at least {least[0]}x{least[1]} and at most {most[0]}x{most[1]}"
        raise SettingsError(f"size {width}x{height} cannot be; it must be {allowed}")
    if not 0 <= options.seconds < math.inf:
        raise SettingsError(f"seconds {options.seconds}: give a number of seconds; 0 is until the window is closed")


def _prepare(options: Options, settings: Settings | None) -> tuple[Settings, Fetching | None]:
    """The settings to begin with, and the model on its way if it is still to be fetched."""
    chosen = settings
    if chosen is None:
        chosen = Settings() if options.model is None else Settings(model=options.model)
    if options.capacity and not plans(Pace(budget_ms=chosen.budget_ms, budget_units=chosen.budget_units)):
        needs = "a search for capacity needs a planning budget"
        raise SettingsError(f"{needs}: {NO_PLANS}; set ASTRASIM_BUDGET_MS above 0")
    fetching = Fetching.if_missing(chosen)
    if fetching is not None and chosen.model == "embedded":
        chosen = chosen.model_copy(update={"model": "none"})  # until it is there
    counted = settings is None and options.headless and not options.capacity and chosen.budget_units is None
    if counted and choose_model(chosen)[0] is None:
        chosen = chosen.model_copy(update={"budget_units": HEADLESS_UNITS})
        if fetching is not None:
            fetching.frees_planning = True
    elif settings is None and chosen.budget_units is None:
        chosen = chosen.model_copy(update={"governor": governs(chosen)})
    return chosen, fetching


@contextmanager
def _ctrl_c_quits(view: View) -> Iterator[None]:
    """Ctrl-C ends the loop after its frame, so that summary, figures and picture come as after any other end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def quit_or_end(number: int, frame: FrameType | None) -> None:
        if view.quit:
            raise KeyboardInterrupt
        view.quit = True

    before = signal.signal(signal.SIGINT, quit_or_end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
        if view.game.fetching is not None and view.game.fetching.join_in(view.sim):
            view.note("The model has joined")
            freed = view.game.fetching.frees_planning and plans(view.sim.pace)
            view.governed = view.governed or (freed and governs(view.sim.settings))
        view.sim.governor.on = view.governed and not view.searching
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
        view.sim.governor.frame(work_ms)
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
            self.sustained = report.figures(view, self._options, search.result, capacity=True)
            search.conditions = report.conditions(self.sustained)
