"""What a run measures: the arena, the herd, or a game of the user's own, ``module:factory``."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable

from astrasim import Settings, SettingsError, Simulation
from astrasim.errors import AstraSimError

from .arena import build_arena
from .herd import build_herd

WORKLOADS: dict[str, Callable[[int, Settings], Simulation]] = {"arena": build_arena, "herd": build_herd}
_HOW = "write module:factory, of a module in this folder or an installed one, and def factory(agents, settings): ..."


def check_workload(name: str) -> None:
    """Whether there can be one of this name; a game's module is not imported for that.

    Raises:
        SettingsError: it is no workload of ours, and not spelt ``module:factory``.
    """
    if name not in WORKLOADS and not all(name.partition(":")):
        raise SettingsError(f"no workload {name!r}; there are: {', '.join(WORKLOADS)}; or a game of your own: {_HOW}")


def build(name: str, agents: int, settings: Settings) -> Simulation:
    """The simulation that a workload's factory makes.

    Raises:
        SettingsError: its module cannot be imported, has no such function, or that raised or returned something else.
    """
    check_workload(name)
    factory = WORKLOADS.get(name) or _imported(name)
    try:
        sim = factory(agents, settings)
    except AstraSimError:
        raise
    except Exception as error:
        raise SettingsError(f"{name}({agents}, settings) raised {_told(error)}") from error
    if not isinstance(sim, Simulation):
        raise SettingsError(f"{name} returned {_a(sim)}, not a Simulation: end it with `return sim`")
    return sim


def _imported(name: str) -> Callable[[int, Settings], Simulation]:
    module_name, _, path = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SettingsError(f"{name}: cannot import {module_name} ({error}); {_HOW}") from error
    except Exception as error:
        raise SettingsError(f"{name}: importing {module_name} raised {_told(error)}") from error
    factory = getattr(module, path, None)
    if factory is None:
        there = ", ".join(each for each in vars(module) if callable(getattr(module, each)) and not each.startswith("_"))
        raise SettingsError(f"{name}: {module_name} has no {path!r}; it has: {there or 'nothing to call'}")
    if not callable(factory):
        raise SettingsError(f"{name} is {_a(factory)}, not a function; {_HOW}")
    return factory  # type: ignore[no-any-return]  # what it returns is looked at when it has


def _told(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
