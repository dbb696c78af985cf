"""From pygame's events to what the player does, and what the window shows."""

from __future__ import annotations

import numpy as np
import pygame

from astrasim import Agent
from astrasim.vocabulary import ORDER_MAX_CHARS

from . import levers
from .crowd import Search
from .keeper import IS_OVER
from .keys import COMMANDS
from .orders import EXAMPLES
from .view import View

WALK = {
    pygame.K_w: (0, -1), pygame.K_UP: (0, -1), pygame.K_s: (0, 1), pygame.K_DOWN: (0, 1),
    pygame.K_a: (-1, 0), pygame.K_LEFT: (-1, 0), pygame.K_d: (1, 0), pygame.K_RIGHT: (1, 0),
}  # fmt: skip
NEAR_PX = 16
NOT_WHILE_SEARCHING = ("pause", "step", "budget_up", "budget_down", "governor", "country", "model", "cable")
"""Commands that would falsify a search for capacity: it measures frames in which everybody is drawn and plans."""
NO_PLANS = "at budget 0 nobody plans"


class Controls:
    """Keeps which keys are down, from the events alone: so a script's keys are as good as a keyboard's."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._down: set[int] = set()
        self._mouse: tuple[int, int] | None = None
        """Where the mouse is, while its button is down in the field."""
        self._resized = False

    def handle(self, event: pygame.event.Event) -> None:
        """One event."""
        view = self._view
        if event.type == pygame.QUIT:
            view.quit = True
        elif event.type in (pygame.VIDEORESIZE, pygame.WINDOWSIZECHANGED):
            self._resized = True
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._down.clear()
            self._mouse = None
        elif event.type == pygame.KEYDOWN:
            self._key(event.key)
        elif event.type == pygame.KEYUP:
            self._down.discard(event.key)
        elif event.type == pygame.TEXTINPUT and view.typing is not None:
            view.typing = (view.typing + event.text)[:ORDER_MAX_CHARS]
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and event.pos[0] < view.camera.width:
            self._mouse = event.pos
            self._select(event.pos)
        elif event.type == pygame.MOUSEMOTION and self._mouse is not None:
            self._mouse = event.pos
        elif event.type == pygame.MOUSEBUTTONUP and event.button == 1:
            self._mouse = None

    def steer(self) -> None:
        """Once a frame, after its events: what is held down becomes what the player's hands want."""
        view, hands = self._view, self._view.game.hands
        if self._resized:  # once, however many events dragging a corner made
            self._resized = False
            view.screen = pygame.display.get_surface() or view.screen
            view.lay_out()
        if view.game.autopilot:
            return
        ways = [WALK[key] for key in self._down if key in WALK]
        hands.move = (float(np.sign(sum(x for x, _ in ways))), float(np.sign(sum(y for _, y in ways))))
        hands.aim = None if self._mouse is None else view.camera.world(self._mouse)
        hands.firing = self._mouse is not None or pygame.K_SPACE in self._down

    def _key(self, key: int) -> None:
        view = self._view
        if view.typing is not None:
            if key == pygame.K_BACKSPACE:
                view.typing = view.typing[:-1]
            elif key == pygame.K_ESCAPE:
                view.typing = None
            elif key in (pygame.K_RETURN, pygame.K_KP_ENTER):
                view.game.keeper.give(view.typing)
                view.typing = None
            return
        self._down.add(key)
        if key in COMMANDS:
            self._command(COMMANDS[key])

    def _command(self, command: str) -> None:
        view, game, crowd, sim = self._view, self._view.game, self._view.crowd, self._view.sim
        if view.searching and command in NOT_WHILE_SEARCHING:
            view.note("Not while the search for capacity runs (C ends it)")
        elif command == "quit":
            view.quit = not view.show_help
            view.show_help = False
        elif command == "help":
            view.show_help = not view.show_help
        elif command == "type":
            if game.state != "playing":
                view.note(IS_OVER)
                return
            view.typing = ""  # what is held down stays so: one can shoot and give orders
        elif command == "panel":
            view.show_panel = not view.show_panel
            view.lay_out()
        elif command == "pause":
            view.paused = not view.paused
        elif command == "step":
            view.paused = view.one_step = True
        elif command in ("more", "fewer"):
            crowd.more() if command == "more" else crowd.fewer()
            view.search = None
            view.country = bool(crowd.wanted)
            view.note(f"{crowd.wanted:,} people in the country" + (" (Z: the valley)" if crowd.wanted else ""))
            view.look()
        elif command in ("budget_up", "budget_down"):
            by_hand = "; the governor is off" if view.governed else ""
            view.governed = sim.governor.on = False
            view.note(levers.change_budget(sim, 1 if command == "budget_up" else -1) + by_hand)
        elif command == "governor":
            view.governed = not view.governed
            holds = f"The governor holds {sim.settings.target_fps:g} frames a second"
            view.note(holds if view.governed else "The governor is off: everything as set")
        elif command == "model":
            view.note(view.game.model_switch.toggle())
        elif command == "cable":
            view.note(levers.pull_the_cable(sim))
        elif command == "capacity":
            begin_search(view)
        elif command == "country":
            view.country = not view.country
            view.look()
        elif command == "autopilot":
            game.autopilot = not game.autopilot
            game.hands.firing = False
            view.note("The autopilot plays" if game.autopilot else "You play")
        elif command == "restart":
            restart(view)
        elif command.startswith("order "):
            game.keeper.give(EXAMPLES[int(command.removeprefix("order ")) - 1])

    def _select(self, pixel: tuple[int, int]) -> None:
        """Whoever is under the mouse, or next to it."""
        view, agents = self._view, self._view.sim.agents
        x, y = view.camera.world(pixel)
        distance = np.hypot(agents.x - x, agents.y - y)
        nearest = int(np.argmin(distance))
        found = agents.handles[nearest]
        reach = max(NEAR_PX * view.ui / view.camera.scale, 1.4)
        if distance[nearest] <= reach and isinstance(found, Agent):
            view.selected = found


def restart(view: View) -> None:
    """Play again, with the companion selected."""
    view.game.restart()
    view.selected = view.game.companion
    view.paused = False


def begin_search(view: View) -> None:
    """Start to look for the largest crowd, or stop looking. It refuses where nobody plans, and goes on from a pause."""
    if view.searching:
        view.search = None
        view.note("The search is over")
        return
    if not levers.plans(view.sim.pace):
        view.note(f"No search for capacity: {NO_PLANS} (]: more)")
        return
    view.paused = view.one_step = False
    view.search = Search(view.crowd)
    view.game.autopilot = True
    view.country = True
    view.look()
