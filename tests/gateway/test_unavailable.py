"""A game whose model server goes away and comes back: it goes on, says so, and uses the model again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from astrasim import Agent, Domain, Simulation, Source

if TYPE_CHECKING:
    from tests.gateway.conftest import StubServer

PLAN = '{"steps": [{"action": "go", "target": "barn", "seconds": 3}]}'
ANSWER = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": PLAN}}]}).encode()


def yard() -> Domain:
    domain = Domain("yard", ["cow"])
    domain.column("mood")
    domain.feature("humour", column="mood", edges=[0.5], words=["cross", "merry"], hysteresis=0)
    domain.place("barn", 0, 1000)
    domain.stock("approach", name="go", targets=["barn", "home"], speed=1, seconds=0.2)
    domain.heuristic("cow")(lambda situation: "go home")
    return domain


def test_a_server_that_goes_away_is_told_of_in_plain_words_and_used_again_when_it_is_back(
    simulate: Callable[..., Simulation], server: StubServer
) -> None:
    server.says(b"down", status=503)
    settings: dict[str, Any] = {
        "model": "openai", "base_url": server.url, "model_name": "m", "requests_per_second": 100.0, "retries": 0,
        "rest_after_failures": 2, "rest_s": 0.4, "longest_rest_s": 0.4, "retry_after_s": 0.1, "budget_ms": 1000.0,
    }  # fmt: skip
    sim = simulate(yard(), settings=settings)
    cow, other = sim.spawn("cow"), sim.spawn("cow", mood=1)

    def on_heuristics(agent: Agent) -> bool:
        return Source(int(sim.agents.source[agent.row])) is Source.HEURISTIC

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, sim.why(cow)
            sim.tick(0.01)
            time.sleep(0.002)

    until(lambda: "model unavailable" in sim.stats().gateway)
    said = sim.why(cow)
    now = "model unavailable, heuristics in charge, (next try in 1 s|the next request tries again|trying it now)"
    assert re.search(f"gateway: openai at {server.url}: {now}; the last request failed: http_503: down", said), said
    assert on_heuristics(cow) and on_heuristics(other)
    server.says(ANSWER)
    until(lambda: not any(on_heuristics(agent) for agent in (cow, other)))
    assert "model unavailable" not in sim.why(cow)
