"""What the window shows, besides the game: sizes, the camera, what is selected, open or paused."""

from __future__ import annotations

from dataclasses import dataclass, field

import pygame

from astrasim import Agent, Simulation

from .camera import Camera, country_camera, valley_camera
from .crowd import Crowd, Search
from .game import Game
from .lettering import Lettering
from .meter import Meter
from .scene import paint_ground
from .sprites import Sprites

SMALLEST, LARGEST = (800, 500), (7680, 4320)
USUAL = (1280, 720)
"""Everything drawn is in proportion to it: at twice the size, letters are twice as large."""
PANEL_WIDTH = 340


def size_on(desktop: tuple[int, int]) -> tuple[int, int]:
    """The size of a window that takes two thirds of a large screen, so that its letters are as legible there; both in
    pixels."""
    factor = min(desktop[0] / USUAL[0], desktop[1] / USUAL[1]) * 2 / 3
    return (round(USUAL[0] * factor), round(USUAL[1] * factor)) if factor > 1 else USUAL


@dataclass
class View:
    """One window onto one game."""

    screen: pygame.Surface
    game: Game
    crowd: Crowd
    selected: Agent
    meter: Meter = field(default_factory=Meter)
    search: Search | None = None
    memory_before: int = 0
    """Bytes that the process held before there was a game."""
    typing: str | None = None
    """What is in the order line; None while it is closed."""
    governed: bool = False
    """Whether the governor is wanted; while a search for capacity runs it is off all the same."""
    paused: bool = False
    one_step: bool = False
    show_panel: bool = True
    show_help: bool = False
    country: bool = False
    quit: bool = False
    notice: tuple[str, int] = ("", 0)
    """A line for the player, and how many frames it still stands."""

    def __post_init__(self) -> None:
        self.lay_out()

    @property
    def sim(self) -> Simulation:
        return self.game.sim

    @property
    def searching(self) -> bool:
        """Whether a search for capacity is under way."""
        return self.search is not None and not self.search.done

    def lay_out(self) -> None:
        """All that follows from the size of the window. Called again when that changes."""
        width, height = self.screen.get_size()
        self.ui = max(0.6, min(width / USUAL[0], height / USUAL[1]))
        self.lettering = Lettering(self.ui)
        self.panel_width = round(PANEL_WIDTH * self.ui) if self.show_panel else 0
        self.look()

    def look(self) -> None:
        """Point the camera at the valley or the country, and paint the ground if that is another view."""
        width, height = self.screen.get_size()
        field_width = max(100, width - self.panel_width)
        camera = valley_camera(field_width, height)
        if self.country:
            camera = country_camera(field_width, height, self.crowd.radius)
        if getattr(self, "camera", None) != camera:
            self.camera: Camera = camera
            self.ground = paint_ground(camera)
            self.sprites = Sprites(camera.scale)

    def note(self, text: str) -> None:
        """Show a line for three seconds."""
        self.notice = text, 180
