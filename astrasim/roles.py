"""Roles: what an agent is for. A role has words for the model, and a classical fallback that needs no model.

The four styles are preferences over verbs. A role whose game declares no heuristic plays its style: of the preferred
actions that its domain has, the first that is legal now (a plan starts at its first legal step).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A way to play: words for the prompt, and verbs in order of preference."""

    persona: str
    prefers: tuple[str, ...]


STYLES: dict[str, Style] = {
    "tactical": Style(
        "You fight to win: strike when you can, close in when it pays, fall back to recover.",
        ("attack", "approach", "reload", "patrol", "follow", "hold", "rest"),
    ),
    "stealth": Style(
        "You avoid being seen: keep away from enemies, strike only what is alone or weak.",
        ("flee", "attack", "hold", "patrol", "rest", "reload", "approach"),
    ),
    "support": Style(
        "You keep the others alive: stay with them, heal them, carry what they need.",
        ("heal", "take", "follow", "rest", "hold", "approach", "attack"),
    ),
    "exploration": Style(
        "You look for what is new: keep moving, take what you find, avoid fights.",
        ("take", "patrol", "approach", "flee", "follow", "rest"),
    ),
}


@dataclass(frozen=True)
class Role:
    """A role of a domain. ``actions`` of None means all that its kind can do; ``default`` is always legal."""

    name: str
    kinds: tuple[str, ...]
    style: str
    persona: str
    actions: tuple[str, ...] | None
    default: tuple[str, ...]
