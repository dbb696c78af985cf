"""The warm-up: after it, no game makes numba compile anything in a frame."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import esper
import numpy as np
import pytest

from astrasim import Domain, Simulation, Status, kernels
from astrasim.warmup import NOTICE_AFTER_S, WORLD, _notice, warm_up

Simulate = Callable[..., Simulation]


def compiled() -> dict[str, int]:
    """Every kernel, and for how many types of arguments it is loaded."""
    found = {}
    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "signatures"):
                found[f"{value.py_func.__module__}.{name}"] = len(value.signatures)
    return found


def make_rich(size: Any) -> Domain:
    rich = Domain("rich", kinds=["elf", "orc"], size=size)
    rich.thing("gold", amount=1)
    rich.reference("chief")
    rich.place("hill", 3, 3)
    rich.percept("foe", nearest=["elf", "orc"], radius=20, line_of_sight=True)
    rich.percept("weak", weakest="orc", radius=9)
    rich.percept("many", count="orc", radius=9, cap=3)
    rich.percept("purse", nearest="gold", radius=9)
    rich.feature("danger", column="foe_distance", edges=[2, 5], words=["here", "near", "far"], interrupt=True)
    rich.feature("crowd", column="many", edges=[1], words=["alone", "among orcs"])
    rich.stock("attack", targets=["foe", "weak"], damage=1, range=3, cooldown=1, stamina=1, kinds=["elf"])
    rich.stock("take", targets=["purse"], speed=2)
    rich.stock("patrol", targets=["hill", "home"], speed=2)

    @rich.action(targets=["self"], seconds=0.2)
    def sing(me: Any, target: Any, dt: float) -> Status:
        return Status.DONE

    @rich.target
    def sunset(me: Any) -> Any:
        return me

    rich.stock("approach", targets=["sunset", "chief"], speed=2)
    rich.heuristic("elf")(lambda situation: ["attack foe", "take purse", "patrol hill 1", "approach sunset"])
    rich.heuristic("orc")(lambda situation: ["sing self", "take purse", "patrol home"])
    return rich


@pytest.mark.parametrize("size", [None, (30, 20), (30.0, 20.5)])
@pytest.mark.parametrize("dt", [1 / 60, 1, np.float32(0.1), None])
def test_no_game_compiles_anything_after_the_warm_up(simulate: Simulate, stand_in: Any, size: Any, dt: Any) -> None:
    warm_up()
    before = compiled()
    sim = simulate(make_rich(size), settings={"every": 2, "capacity": 3, "strict": False})
    sim.planner.gateway = stand_in
    sim.set_obstacles(np.eye(4), cell=2)
    agents = [*sim.spawn_many("elf", 20, x=np.arange(20)), *sim.spawn_many("orc", 20, x=np.arange(20), y=1, hp=3)]
    sim.add_thing("gold", 5, 5)
    for ticks in range(40):
        if dt is None:
            esper.process()
        else:
            sim.tick(dt)
        if ticks % 5 == 0:
            sim.remove(agents.pop())
        for request in list(stand_in.asked):
            stand_in.answer(sim, request, "patrol hill" if ticks % 3 else "patrol home 2")
    assert sim.stats().plans.applied > 0
    sim.why(agents[0])
    assert compiled() == before


def test_the_warm_up_leaves_no_trace_and_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    home = esper.current_world
    esper.create_entity("mine")
    warm_up.cache_clear()
    warm_up()
    assert esper.current_world == home
    assert WORLD not in esper.list_worlds()
    assert len(list(esper.get_entities())) == 1
    monkeypatch.setattr("astrasim.warmup._run", lambda: pytest.fail("ran again"))
    warm_up()


def test_settings_from_outside_do_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"BUDGET_UNITS": "0", "EVERY": "60", "STRICT": "1", "TICK_S": "1", "GOVERNOR": "1"}
    for name, value in {**given, "TIERS": '[{"name": "mob", "requests_per_second": 0}]'}.items():
        monkeypatch.setenv(f"ASTRASIM_{name}", value)
    closed: list[Simulation] = []

    def close(sim: Simulation) -> None:
        closed.append(sim)

    monkeypatch.setattr(Simulation, "close", close)
    warm_up.cache_clear()
    warm_up()
    (sim,) = closed
    assert sim.settings.every == sim.pace.every == 1
    assert sim.planner.cache.inserted > 0


def test_it_says_so_when_it_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert NOTICE_AFTER_S <= 2
    _notice()
    assert "the first time on a machine they are compiled" in capsys.readouterr().err
