"""Draws a workload in earnest: its ground, a square for each agent, and the flip that shows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame

from astrasim import SettingsError, Simulation, Source
from astrasim.errors import AstraSimError
from astrasim.kernels.drawing import draw_squares

from .arena import ground
from .stress import SIZE

GROUND = ((30, 36, 42), (27, 43, 40), (38, 38, 50), (66, 68, 74))
"""Open; the arena's wood and bog; the herd's rocks."""
COLOURS = {Source.HEURISTIC: (150, 158, 166), Source.CACHE: (110, 190, 255), Source.LLM: (255, 200, 72)}
"""An agent's colour says where its plan came from."""


class WindowClosed(AstraSimError):
    """Somebody closed the window before the run was over, so there are no figures."""


@contextlib.contextmanager
def opened(draw: str) -> Iterator[pygame.Surface]:
    """A window ("window"), or pygame's dummy driver ("dummy"), for the length of the block.

    Raises:
        SettingsError: if there is no display for a window.
    """
    driver = os.environ.get("SDL_VIDEODRIVER")
    if draw == "dummy":
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    try:
        # The display only: pygame.init() would open the sound device, and not every machine has one.
        try:
            pygame.display.init()
        except pygame.error as error:
            raise SettingsError(f"draw 'window': no window can be opened ({error}); {_INSTEAD}") from None
        found = pygame.display.get_driver()
        if draw == "window" and found in ("dummy", "offscreen"):
            raise SettingsError(f"draw 'window': SDL has no display here (its driver is {found!r}); {_INSTEAD}")
        surface = pygame.display.set_mode(SIZE)
        if surface.get_bytesize() != 4:
            raise SettingsError(f"draw {draw!r}: the display has {surface.get_bitsize()} bits a pixel; it needs 32")
        pygame.display.set_caption("AstraSim: a stress run")
        yield surface
    finally:
        pygame.display.quit()
        os.environ.pop("SDL_VIDEODRIVER", None)
        if driver is not None:
            os.environ["SDL_VIDEODRIVER"] = driver


_INSTEAD = "set DISPLAY, run it under xvfb-run, or draw with 'dummy'"


class Screen:
    """One workload on one surface."""

    def __init__(self, surface: pygame.Surface, sim: Simulation) -> None:
        self._surface, self._sim = surface, sim
        self.driver = pygame.display.get_driver()
        width, height = surface.get_size()
        assert sim.domain.size is not None
        self._side = sim.domain.size[0]  # all workloads are square
        self._scale = height / self._side
        self._left, self._top = (width - height) / 2, 0.0  # the world is as high as the window
        self._square = min(5, max(3, round(self._scale * 4)))
        self._colours = np.zeros(len(Source), np.uint32)
        for source, colour in COLOURS.items():
            self._colours[source.value] = surface.map_rgb(colour)
        self._rows = np.arange(0)
        self._ground = self._paint()
        self.draw()  # loads the kernel before the first frame that needs it

    def draw(self) -> None:
        """One picture, and the flip. Raises WindowClosed if somebody closed the window."""
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                raise WindowClosed("the window was closed before the run was over: there are no figures")
        agents = self._sim.agents
        if len(self._rows) < agents.count:
            self._rows = np.arange(agents.capacity)
        self._surface.blit(self._ground, (0, 0))
        draw_squares(
            self._surface, agents, self._rows[: agents.count], (self._scale, self._left, self._top),
            self._surface.get_size(), self._square, self._colours,
        )  # fmt: skip
        pygame.display.flip()

    def _paint(self) -> pygame.Surface:
        """The ground, painted once."""
        width, height = self._surface.get_size()
        x, y = (np.arange(width)[:, None] - self._left) / self._scale, np.arange(height)[None, :] / self._scale
        outside = ((x < 0) | (x > self._side))[:, 0]
        x, y = np.broadcast_arrays(np.clip(x, 0, self._side * (1 - 1e-9)), y)
        rocks = self._sim.obstacles
        if rocks.blocked.size:
            patches = 3 * rocks.blocked[(y / rocks.cell).astype(np.intp), (x / rocks.cell).astype(np.intp)]
        else:
            patches = ground(x, y).astype(np.uint8)
        colours = np.array(GROUND, np.uint8)[patches]
        colours[outside] = 14, 17, 21
        return pygame.surfarray.make_surface(colours).convert()
