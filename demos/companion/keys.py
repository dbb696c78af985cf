"""Which key does what: one table, from which the window acts and the help is shown."""

from __future__ import annotations

import pygame

from .orders import EXAMPLES

COMMANDS: dict[int, str] = {
    pygame.K_F1: "help", pygame.K_h: "help",
    pygame.K_RETURN: "type", pygame.K_KP_ENTER: "type",
    pygame.K_TAB: "panel",
    pygame.K_p: "pause", pygame.K_n: "step",
    pygame.K_PLUS: "more", pygame.K_EQUALS: "more", pygame.K_KP_PLUS: "more",
    pygame.K_MINUS: "fewer", pygame.K_KP_MINUS: "fewer",
    pygame.K_RIGHTBRACKET: "budget_up", pygame.K_PERIOD: "budget_up",
    pygame.K_LEFTBRACKET: "budget_down", pygame.K_COMMA: "budget_down",
    pygame.K_g: "governor",
    pygame.K_m: "model", pygame.K_k: "cable",
    pygame.K_c: "capacity", pygame.K_z: "country",
    pygame.K_o: "autopilot", pygame.K_r: "restart",
    pygame.K_ESCAPE: "quit",
    **{pygame.K_1 + number: f"order {number + 1}" for number in range(len(EXAMPLES))},
}  # fmt: skip

HELP = (
    ("W A S D, arrows", "walk"),
    ("mouse", "aim and shoot; a click on somebody selects"),
    ("Space", "shoot at the nearest in sight"),
    ("Enter", "type an order for Ash, in plain words"),
    (f"1 to {len(EXAMPLES)}", "orders: " + ", ".join(EXAMPLES[:2]) + ", …"),
    ("O", "autopilot plays for you"),
    ("P, N", "pause; a single step"),
    ("+, -", "twice or half as many agents, up to 100,000"),
    ("], [", "more or less planning budget a tick"),
    ("G", "governor on and off: it holds the frame rate"),
    ("M", "model on and off"),
    ("K", "pull the cable: kill the gateway’s process"),
    ("C", "find out how many agents this machine sustains"),
    ("Z", "valley or country"),
    ("Tab", "panel"),
    ("R", "play again"),
    ("F1 or H", "these keys"),
    ("Esc", "quit"),
)
