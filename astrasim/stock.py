"""Stock actions: common behaviour as rows of a table, run for all agents in one kernel (``kernels/acting.py``).

A verb fixes what kind of motion and effect it is; its parameters are the game's. ``domain.stock("attack", name="bite",
targets=["prey"], damage=12, range=2, cooldown=0.8)`` is one row. Distances in world units, times in seconds.
``stamina_rate`` is drained each second of moving; an agent with no stamina left moves at half its speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from .arguments import known, number
from .errors import DomainError


class Motion(IntEnum):
    """How a stock action moves its agent."""

    STAY = 0
    TOWARDS = 1
    AWAY = 2
    KEEP = 3
    """Towards the target until ``near``, then stay with it."""
    WANDER = 4
    """Between points within ``radius`` of the target, drawn from (uid, seed, time)."""


@dataclass(frozen=True)
class Verb:
    """What a stock action does. ``parameters`` are those that a game may set, with their defaults (None: required)."""

    motion: Motion
    parameters: dict[str, float | None]
    done_when_near: bool = False
    done_when_lost: bool = False
    hits: bool = False
    takes: bool = False
    gains: str = ""
    about: str = ""
    seconds: float = 3.0


_HIT = {"range": None, "speed": 0.0, "near": 0.0, "cooldown": 1.0, "ammunition": 0.0, "stamina": 0.0}

VERBS: dict[str, Verb] = {
    "approach": Verb(
        Motion.TOWARDS,
        {"speed": None, "near": 1.0, "stamina_rate": 0.0},
        done_when_near=True,
        seconds=10.0,
    ),
    "flee": Verb(Motion.AWAY, {"speed": None, "stamina_rate": 0.0}, done_when_lost=True),
    "follow": Verb(Motion.KEEP, {"speed": None, "near": 3.0, "stamina_rate": 0.0}),
    "hold": Verb(Motion.KEEP, {"speed": 4.0, "near": 2.0, "stamina_rate": 0.0}),
    "patrol": Verb(Motion.WANDER, {"speed": None, "radius": 10.0, "stamina_rate": 0.0}),
    "attack": Verb(
        Motion.KEEP,
        {"damage": None, **_HIT},
        done_when_lost=True,
        hits=True,
    ),
    "heal": Verb(
        Motion.KEEP,
        {"amount": None, **_HIT, "limit": 100.0},
        done_when_lost=True,
        hits=True,
    ),
    "reload": Verb(Motion.STAY, {"rate": None, "limit": None}, gains="ammo"),
    "rest": Verb(Motion.STAY, {"rate": None, "limit": 100.0}, gains="stamina"),
    "take": Verb(
        Motion.TOWARDS,
        {"speed": None, "near": 1.0, "amount": 0.0, "stamina_rate": 0.0},
        done_when_near=True,
        takes=True,
        seconds=10.0,
    ),
    "wait": Verb(Motion.STAY, {}),
}


@dataclass(frozen=True)
class StockAction:
    """One verb with the parameters of one game; ``column`` is what hits, gains and takings change."""

    verb: str
    parameters: dict[str, float] = field(default_factory=dict)
    column: str = ""


def stock_action(verb: str, given: dict[str, float], column: str | None) -> StockAction:
    """Raises DomainError for an unknown verb, an unknown parameter or a missing one."""
    where = f"stock action {known(verb, VERBS, 'stock', 'verb')!r}"
    parameters = VERBS[verb].parameters
    for name in given:
        known(name, parameters, where, "parameter")
    merged = {name: given.get(name, default) for name, default in parameters.items()}
    missing = [name for name, value in merged.items() if value is None]
    if missing:
        raise DomainError(f"{where} needs {', '.join(missing)}: domain.stock({verb!r}, {missing[0]}=...)")
    checked = {name: number(value, f"{where}: {name}", least=0) for name, value in merged.items()}
    return StockAction(verb, checked, column or _column_of(verb))


def _column_of(verb: str) -> str:
    return VERBS[verb].gains or "hp"
