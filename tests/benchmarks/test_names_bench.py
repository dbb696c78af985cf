"""Names are only names: the arena under other ones does the same, and costs the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Domain, Settings, Simulation, Situation
from astrasim.perf import arena

WAIT = "wait"


def other(name: str) -> str:
    """A name that no code can know."""
    return name if name == WAIT else f"Zx{name[::-1].replace('_', '')}"


class Renamed(Domain):
    """A domain whose features and actions all have other names than those it is told."""

    def feature(self, name: Any = None, **options: Any) -> Any:
        if (column := options.get("column") or "").endswith("_cooldown"):  # the column of an action
            options["column"] = f"{other(column.removesuffix('_cooldown'))}_cooldown"
        if name is not None:
            return super().feature(other(name), **options)
        return lambda function: super(Renamed, self).feature(other(function.__name__), **options)(function)

    def stock(self, verb: str, *, name: str | None = None, **options: Any) -> None:
        super().stock(verb, name=other(name or verb), **options)

    def heuristic(self, name: str) -> Any:
        def decorate(function: Callable[[Any], list[str]]) -> Any:
            def renamed(situation: Situation) -> list[str]:
                lines = [line.split() for line in function(Reader(situation))]
                return [" ".join([other(action), *rest]) for action, *rest in lines]

            return super(Renamed, self).heuristic(name)(renamed)

        return decorate


class Reader:
    """A situation, read by the names before."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def __getattr__(self, name: str) -> int:
        return int(getattr(self._situation, other(name)))


def two_arenas(monkeypatch: pytest.MonkeyPatch, agents: int) -> tuple[Simulation, Simulation]:
    """The arena, and the arena under other names."""

    def build() -> Simulation:
        return arena.build_arena(agents, Settings(model="none", capacity=agents, budget_units=10**6))

    plain = build()
    with monkeypatch.context() as patched:
        patched.setattr(arena, "Domain", Renamed)
        renamed = build()
    ours, theirs = plain.compiled, renamed.compiled
    assert [f.name for f in theirs.declared_features] == [other(f.name) for f in ours.declared_features]
    assert [a.name for a in theirs.declared_actions] == [other(a.name) for a in ours.declared_actions]
    return plain, renamed


def test_the_arena_under_other_names_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, renamed = two_arenas(monkeypatch, 600)
    for _ in range(300):
        plain.tick()
        renamed.tick()
    for block in ("f", "r", "b"):
        assert np.array_equal(getattr(plain.agents, block), getattr(renamed.agents, block), equal_nan=True), block
    for column in ("key", "interrupt_key", "plan", "step", "state", "source"):
        assert np.array_equal(plain.agents.column(column), renamed.agents.column(column)), column
    assert len(np.unique(plain.agents.plan)) > 4 and plain.agents.hp.min() < 60, "much went on"
    plain.close()
    renamed.close()


def test_the_arena_under_other_names_costs_the_same(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of the medians of ticks taken in turn, and its limit: names change no figure by more than 10%."""
    arenas = two_arenas(monkeypatch, 20_000)
    took: tuple[list[float], list[float]] = ([], [])

    def tick_both() -> None:
        for sim, ticks in zip(arenas, took, strict=True):
            begun = time.perf_counter()
            sim.tick()
            ticks.append(time.perf_counter() - begun)

    benchmark.pedantic(tick_both, rounds=300, warmup_rounds=60)
    plain, renamed = (statistics.median(ticks[60:]) for ticks in took)
    benchmark.extra_info["renamed / plain"] = round(renamed / plain, 3)
    assert 0.9 < renamed / plain < 1.1
    for sim in arenas:
        sim.close()
