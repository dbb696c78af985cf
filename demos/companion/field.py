"""Draws the field: ground, crowd, fighters with the marks of their plans' sources, shots, and what somebody says."""

from __future__ import annotations

import math

import numpy as np
import pygame

from astrasim import Agent, Source
from astrasim.kernels.drawing import draw_squares

from . import palette as p
from .hud import bar, card
from .view import View


def draw_field(view: View) -> None:
    """All but panel and HUD."""
    screen = view.screen
    screen.set_clip(pygame.Rect(0, 0, view.camera.width, view.camera.height))
    screen.blit(view.ground, (0, 0))
    if len(view.crowd):
        draw_crowd(view)
    game = view.game
    for pack in game.packs:
        if pack.alive:
            _blit(view, view.sprites.of("pack"), view.camera.at(pack.x, pack.y))
    _draw_selection(view)
    for enemy in game.enemies:
        if enemy.alive and enemy.hp > 0:
            _draw_fighter(view, enemy, view.sim.situation(enemy).role)
    for friend in (game.companion, game.player):
        if friend.alive and friend.hp > 0:
            _draw_fighter(view, friend, friend.kind)
    for shot in game.shots:
        _draw_shot(view, shot)
    for speech in game.speeches:
        if speech.who.alive:
            _draw_speech(view, speech.who, speech.text)
    screen.set_clip(None)


def draw_crowd(view: View) -> None:
    """The many, whom no kernel has to be compiled for in a frame if this was called before the first."""
    colours = np.zeros(len(Source), np.uint32)
    for source, colour in (p.SOURCES | {Source.HEURISTIC: p.FOLK}).items():
        colours[source.value] = view.screen.map_rgb(colour)
    camera = view.camera
    side = min(5, max(2, round(camera.scale * 1.2)))
    draw_squares(
        view.screen, view.sim.agents, view.crowd.rows(), (camera.scale, camera.left, camera.top),
        (camera.width, camera.height), side, colours,
    )  # fmt: skip


def _blit(view: View, picture: pygame.Surface, at: tuple[float, float]) -> None:
    view.screen.blit(picture, (at[0] - picture.get_width() / 2, at[1] - picture.get_height() / 2))


def _draw_fighter(view: View, agent: Agent, role: str) -> None:
    x, y = view.camera.at(agent.x, agent.y)
    radius = view.sprites.radius(role)
    _blit(view, view.sprites.of(role), (x, y))
    if view.camera.scale < 3:
        return
    share, wide = agent.hp / agent.hp_max, max(14.0, radius * 2.2)
    if share < 0.995 and role != "player":
        colour = p.COMPANION if role == "companion" else p.BAD
        bar(view.screen, (x - wide / 2, y - radius * 1.7, wide, max(3.0, radius * 0.3)), share, colour)
    if role != "player":
        source = Source(int(view.sim.agents.source[agent.row]))
        mark = view.sprites.mark(source, view.ui)
        _blit(view, mark, (x + radius * 0.95, y - radius * 0.75))


def _draw_selection(view: View) -> None:
    agent = view.selected
    if not agent.alive:
        return
    at = view.camera.at(agent.x, agent.y)
    radius = view.sprites.radius(_role(view, agent)) if agent.kind != "folk" else 3.0
    pygame.draw.circle(view.screen, p.TEXT, at, radius + 5 * view.ui, max(1, round(1.5 * view.ui)))


def _role(view: View, agent: Agent) -> str:
    return view.sim.situation(agent).role if agent.kind in ("minion", "boss") else agent.kind


def _draw_shot(view: View, shot: object) -> None:
    x0, y0, x1, y1, by, _ = (getattr(shot, name) for name in ("x0", "y0", "x1", "y1", "by", "time"))
    (ax, ay), (bx, by_) = view.camera.at(x0, y0), view.camera.at(x1, y1)
    length = math.hypot(bx - ax, by_ - ay)
    if length < 1:
        return
    start = min(view.camera.size(1.1), length) / length
    pygame.draw.line(
        view.screen, p.SHOTS[by], (ax + (bx - ax) * start, ay + (by_ - ay) * start), (bx, by_),
        max(1, round(1.6 * view.ui)),
    )  # fmt: skip
    pygame.draw.circle(view.screen, p.SHOTS[by], (bx, by_), view.camera.size(0.35, 2))


def _draw_speech(view: View, who: Agent, text: str) -> None:
    """A bubble over somebody's head, moved inside the field where it would be cut."""
    letters, ui = view.lettering, view.ui
    lines = [letters.line(line, 14, (34, 38, 44)) for line in letters.wrap(text, 14, 230 * ui, 3)]
    pad, height = 8 * ui, letters.height(14)
    width = max(line.get_width() for line in lines) + 2 * pad
    tall = height * len(lines) + pad
    x, y = view.camera.at(who.x, who.y)
    left = min(max(x - width / 2, 6), view.camera.width - width - 6)
    top = min(max(y - tall - 24 * ui, 6), view.camera.height - tall - 6)
    tail = [(x - 5 * ui, top + tall - 1), (x + 5 * ui, top + tall - 1), (x, top + tall + 8 * ui)]
    if left + 10 * ui < x < left + width - 10 * ui and y > top + tall:
        pygame.draw.polygon(view.screen, (246, 246, 240), tail)
    card(view.screen, (left, top, width, tall), (246, 246, 240), round(7 * ui))
    for number, line in enumerate(lines):
        view.screen.blit(line, (left + pad, top + pad / 2 + number * height))
