"""What a run says of itself: a line while it goes on, a summary at its end, and the figures for ``--json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pygame

from astrasim import FrameTimes
from astrasim.figures import measured
from astrasim.systems.ages import percept_age

from .levers import in_words
from .view import View

if TYPE_CHECKING:
    from .app import Options, Outcome


def describe(view: View) -> str:
    """The game in a line, for the terminal."""
    game, (p50, p99) = view.game, view.meter.percentiles()
    said = f"{view.sim.agents.count:,} agents, frame p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    if view.search is not None:
        return f"{view.search}; {said}"
    if game.fetching is not None and game.fetching.news:
        said += f"; {game.fetching.news}"
    if game.fetching is not None and game.fetching.joined:
        said += "; the model has joined"
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
    if outcome.unfinished:
        lines.insert(0, f"the search for capacity was not finished: {outcome.unfinished}")
    return "\n".join(lines)


def conditions(figures: dict[str, Any]) -> str:
    """The settings under which frames were measured, in a line."""
    (width, height), every = figures["settings"]["size"], figures["every"]
    perceives = "each perceives every tick" if every == 1 else f"each perceives every {every} ticks"
    budget = f"budget {figures['settings']['budget']}"
    return f"{perceives}, {budget}, model {figures['model']}, {width}x{height}, driver {figures['driver']}"


def figures(view: View, options: Options, times: FrameTimes, capacity: bool = False) -> dict[str, Any]:
    """What ``--json`` writes."""
    game, pace, governor = view.game, view.sim.pace, view.sim.governor
    found = {"find": view.search.found} if capacity and view.search is not None else {}
    figures = measured(view.sim, times, view.memory_before) | found | {
        "draw": "dummy" if options.headless else "window",
        "workload": "companion demo",
        "driver": pygame.display.get_driver(),
        "settings": {
            "size": list(view.screen.get_size()),
            "budget": in_words(pace),
            "budget_units": pace.budget_units,
            "rate": pace.requests_per_second,
            "governor": governor.on,
            "keys": None if options.keys is None else options.keys.name,
            "capacity": capacity,
        },
        "game": {
            "state": game.state, "wave": game.waves.number, "beaten": game.beaten, "seconds": round(game.length_s, 1),
            "village": round(game.village_hp, 1), "games": game.games, "order": game.keeper.text,
            "decisions": [decision._asdict() for decision in governor.decisions],
        },
    }  # fmt: skip
    return figures | {"percept_age": percept_age(view.sim)}  # last: the game goes on for some ticks
