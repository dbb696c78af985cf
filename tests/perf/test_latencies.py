"""How long plans and orders take, as the observer sees it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from astrasim import Agent, Settings
from astrasim.frames import PERIOD_MS
from astrasim.perf.arena import build_arena
from astrasim.perf.latencies import all_in_time, costs, obedient
from astrasim.perf.order_times import MOMENTS, Observer


def test_an_order_is_followed_from_being_given_to_the_models_step(stand_in: Any) -> None:
    with build_arena(60, Settings(model="none", warmup=False, budget_ms=1000.0, requests_per_second=1000)) as sim:
        sim.planner.gateway, sim.planner.clock = stand_in, lambda: sim.time
        stand_in.max_in_flight = 1000
        observer = Observer(sim)
        for _ in range(10):
            sim.tick()
            observer.look()
        for handle in sim.agents.handles[:10]:
            observer.order(cast("Agent", handle), "stand at the flag")
        scopes = set(sim.agents.scope[:10].tolist())
        for _ in range(2):
            sim.tick()
            observer.look()
        assert observer.figures["rules frames"] == [1] * 10 and not observer.figures[MOMENTS[0]]
        for request in [number for number, (asked, _) in stand_in.asked.items() if asked in scopes]:
            stand_in.answer(sim, request, "hold flag 3")
        sim.tick()
        observer.look()
        beyond = observer.figures[MOMENTS[0]]  # of those whose situation is still what it was
        took_ms = observer.figures["order to model ms"]
        # The stand-in says that the model took 100 ms, which are six frames.
        assert beyond and beyond == [pytest.approx(ms / PERIOD_MS - 6) for ms in took_ms]
        assert observer.figures["first step"]


def test_all_are_in_time_only_if_every_one_of_every_crowd_is() -> None:
    def figures(*inside: int) -> dict[str, Any]:
        return {"crowds": [{"orders": {"in_time": {"rules": [3, 3], MOMENTS[0]: [each, 3]}}} for each in inside]}

    assert all_in_time(figures(3, 3)) and not all_in_time(figures(3, 2))


def test_what_a_plan_costs_is_known_for_those_sources_that_somebody_has() -> None:
    with build_arena(60, Settings(model="none", warmup=False, budget_ms=1000.0), obedient) as sim:
        for _ in range(5):
            sim.tick()
        each = costs(sim)
        assert each["cache"] is None, "no model was asked"
        assert (each["heuristic"] or 0) > 0 and (each["heuristic, new"] or 0) > 0
