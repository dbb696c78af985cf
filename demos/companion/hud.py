"""What lies over the field: the score, the order line, the keys, the end of the game."""

from __future__ import annotations

import pygame

from astrasim import Source

from . import palette as p
from .game import VILLAGE_HP
from .keys import HELP
from .levers import plans
from .view import View

Box = tuple[float, float, float, float]
NEWS_S = 4.0


def card(screen: pygame.Surface, box: Box, colour: tuple[int, ...], radius: int = 8) -> None:
    """A filled rectangle with round corners; a colour of four numbers is translucent."""
    rect = pygame.Rect(*(round(side) for side in box))
    if len(colour) == 3:
        pygame.draw.rect(screen, colour, rect, border_radius=radius)
        return
    glass = pygame.Surface(rect.size, pygame.SRCALPHA)
    pygame.draw.rect(glass, colour, glass.get_rect(), border_radius=radius)
    screen.blit(glass, rect)


def bar(screen: pygame.Surface, box: Box, share: float, colour: tuple[int, int, int]) -> None:
    """A bar that is full by ``share``, 0 to 1."""
    x, y, width, height = box
    rect = pygame.Rect(round(x), round(y), max(2, round(width)), max(2, round(height)))
    pygame.draw.rect(screen, (30, 36, 38), rect.inflate(2, 2), border_radius=2)
    rect.width = round(rect.width * min(max(share, 0.0), 1.0))
    if rect.width:
        pygame.draw.rect(screen, colour, rect, border_radius=1)


GLASS = (22, 27, 32, 205)


def draw_hud(view: View) -> None:
    """All of it."""
    _draw_score(view)
    _draw_news(view)
    _draw_order_line(view)
    if view.game.state != "playing":
        _draw_end(view)
    elif view.search is not None and view.search.done:
        _draw_title(view, str(view.search), view.search.conditions)
    elif view.paused:
        _draw_paused(view)
    if view.show_help:
        _draw_help(view)


def _draw_score(view: View) -> None:
    game, ui, letters = view.game, view.ui, view.lettering
    wave = f"Wave {game.waves.number} of {game.waves.total}" if game.waves.number else "They are coming …"
    foes = "1 raider" if len(game.enemies) == 1 else f"{len(game.enemies)} raiders" if game.waves.number else ""
    rows = (("Village", game.village_hp / VILLAGE_HP, p.FAIR), ("You", game.player.hp / game.player.hp_max, p.PLAYER),
            ("Ash", game.companion.hp / game.companion.hp_max, p.COMPANION))  # fmt: skip
    width, row = 206 * ui, 19 * ui
    card(view.screen, (10 * ui, 10 * ui, width, 36 * ui + row * len(rows)), GLASS, round(8 * ui))
    view.screen.blit(letters.line(wave, 15, p.TEXT, True), (20 * ui, 16 * ui))
    right = letters.line(foes, 13, p.DIM)
    view.screen.blit(right, (width - right.get_width(), 18 * ui))
    for number, (name, share, colour) in enumerate(rows):
        y = 39 * ui + number * row
        view.screen.blit(letters.line(name, 13, p.TEXT), (20 * ui, y))
        bar(view.screen, (76 * ui, y + 4 * ui, width - 76 * ui, 8 * ui), share, colour)


def _draw_news(view: View) -> None:
    """Top right: what just happened, or what a key did."""
    game, lines = view.game, []
    text, frames = view.notice
    if frames > 0:
        lines.append(text)
    said = {speech.text for speech in game.speeches}
    lines += [line for when, line in game.log.lines[-3:] if game.now_s - when < NEWS_S and line not in said]
    if view.searching:
        lines.insert(0, str(view.search))
    if len(view.crowd):
        lines.append(f"{len(view.crowd):,} people in the country")
    y = 10 * view.ui
    for line in lines[:4]:
        text_line = view.lettering.line(line, 14, p.TEXT, True)
        width = text_line.get_width() + 20 * view.ui
        card(view.screen, (view.camera.width - width - 10 * view.ui, y, width, 27 * view.ui), GLASS, round(8 * view.ui))
        view.screen.blit(text_line, (view.camera.width - width, y + 4 * view.ui))
        y += 31 * view.ui


def _draw_order_line(view: View) -> None:
    """At the bottom: the line to type in, or the order that stands and what was understood."""
    ui, letters = view.ui, view.lettering
    width, height = view.camera.width - 20 * ui, 32 * ui
    top = view.camera.height - height - 10 * ui
    card(view.screen, (10 * ui, top, width, height), GLASS, round(8 * ui))
    room = width - 24 * ui
    if view.typing is not None:
        text, colour = f"Order for Ash: {view.typing}", p.TEXT
        while letters.font(15).size(text + "|")[0] > room and len(text) > 20:
            text = "…" + text[2:]
        text += "|"
    else:
        hint = letters.line("F1: all keys", 13, p.FAINT)
        room -= hint.get_width() + 12 * ui
        view.screen.blit(hint, (10 * ui + width - hint.get_width() - 12 * ui, top + (height - hint.get_height()) / 2))
        text, colour = order_text(view, room), p.COMPANION if view.game.keeper.text else p.DIM
    line = letters.line(text, 15, colour)
    view.screen.blit(line, (22 * ui, top + (height - line.get_height()) / 2))


def order_text(view: View, room: float) -> str:
    """The order that stands, in ``room`` pixels: the player's words are shortened, never what was made of them."""
    letters, keeper, planning = view.lettering, view.game.keeper, plans(view.sim.pace)
    if not keeper.text:
        best = "Ash does what seems best.  Enter: give an order in plain words"
        return letters.cut(best if planning else "Planning is off: at budget 0 nobody plans.  ]: more budget", 15, room)
    understood = f"understood: {keeper.rule.name.replace('_', ' ')}" if keeper.rule else "left to the model"
    refined = "; the model’s plan" if _follows_the_model(view) else ""
    before, after = "Ash’s order: “", f"”  ({understood}{refined if planning else '; planning is off'})"
    left = room - letters.font(15).size(before + after)[0]
    return before + letters.cut(keeper.text, 15, left) + after


def _follows_the_model(view: View) -> bool:
    companion = view.game.companion
    return companion.alive and view.sim.agents.source[companion.row] != Source.HEURISTIC.value


def _draw_title(view: View, title: str, below: str) -> None:
    ui, letters = view.ui, view.lettering
    head, line = letters.line(title, 30 if len(title) < 30 else 17, p.TEXT, True), letters.line(below, 15, p.DIM)
    width = max(head.get_width(), line.get_width()) + 60 * ui
    x, y = view.camera.width / 2, view.camera.height * 0.36
    card(view.screen, (x - width / 2, y, width, 92 * ui), (18, 22, 28, 225), round(12 * ui))
    view.screen.blit(head, (x - head.get_width() / 2, y + 12 * ui))
    view.screen.blit(line, (x - line.get_width() / 2, y + 56 * ui))


def _draw_paused(view: View) -> None:
    """Small and at the top, between score and news: who pauses wants to look at the field."""
    ui, line = view.ui, view.lettering.line("Paused    P: go on    N: one step", 15, p.TEXT, True)
    x, y, height = 226 * ui, 10 * ui, 32 * ui
    card(view.screen, (x, y, line.get_width() + 24 * ui, height), GLASS, round(8 * ui))
    view.screen.blit(line, (x + 12 * ui, y + (height - line.get_height()) / 2))


def _draw_end(view: View) -> None:
    game = view.game
    title = "The bridge is held" if game.state == "won" else "The bridge is lost"
    why = "" if game.player.hp > 0 else "You have fallen.  "
    why = "The village is plundered.  " if game.village_hp <= 0 else why
    _draw_title(view, title, f"{why}{game.beaten} raiders beaten in {game.length_s:.0f} s.  R: play again")


def _draw_help(view: View) -> None:
    ui, letters = view.ui, view.lettering
    row, width = 21 * ui, 500 * ui
    height = row * len(HELP) + 62 * ui
    x, y = (view.camera.width - width) / 2, max(6.0, (view.camera.height - height) / 2)
    card(view.screen, (x, y, width, height), (18, 22, 28, 240), round(12 * ui))
    view.screen.blit(letters.line("Keys", 18, p.TEXT, True), (x + 22 * ui, y + 14 * ui))
    for number, (keys, does) in enumerate(HELP):
        at = y + 46 * ui + number * row
        view.screen.blit(letters.line(keys, 14, p.FAIR), (x + 22 * ui, at))
        view.screen.blit(letters.line(does, 14, p.TEXT), (x + 158 * ui, at))
