"""What a feature, an action, a target or a heuristic of your own costs, written in each way there is.

    python -m astrasim.perf.prices [--json FILE]

All ways do the same work. Each has a small simulation of its own, beside one without it. The two tick one right after
the other, and a price is the median of the differences, so that it hardly matters how fast the machine is at a moment.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from rich.console import Console
from rich.table import Table

from astrasim import Agent, Domain, Settings, Simulation, Situation, Spot, Status
from astrasim.figures import machine, write_json
from astrasim.frames import quiet_gc

FEW, MANY = 20, 20_000
WARM_UP = 5
SITUATIONS = 200
MOODS = 250
WORDS = ["tired", "fit", "fresh"]


class Price(NamedTuple):
    """Nanoseconds an agent and tick, measured where there are ``FEW`` and where there are ``MANY``."""

    what: str
    way: str
    few_ns: float
    many_ns: float

    @property
    def each_ns(self) -> float:
        """What one more agent costs."""
        return (self.many_ns * MANY - self.few_ns * FEW) / (MANY - FEW)

    @property
    def fixed_ns(self) -> float:
        """What a tick costs, however many agents there are."""
        return max(0.0, (self.few_ns - self.each_ns) * FEW)

    @property
    def agents_in_1_ms(self) -> int:
        """How many agents a millisecond of the frame is enough for; a million are as many as can be told."""
        return int(max(0.0, 1e6 - self.fixed_ns) / max(self.each_ns, 1.0))


class Way(NamedTuple):
    """One way to write a thing, and the name of the way that it is compared with.

    ``copies``: so many are measured at once, because one is cheap beside a tick.
    """

    what: str
    name: str
    beside: str
    declare: Callable[[Domain], str]
    """Declares it, and returns the plan that all agents follow."""
    copies: int = 1


@njit
def _share(stamina: Any) -> Any:  # compiled on its first call, which is before anything is measured
    return stamina / np.float32(100)


def _nothing(domain: Domain) -> str:
    return "wait self 10"


def _column(copies: int) -> Callable[[Domain], str]:
    def declare(domain: Domain) -> str:
        for number in range(copies):
            domain.feature(f"f{number}", column="stamina", edges=[30, 70], words=WORDS)
        return _nothing(domain)

    return declare


def _feature(function: Callable[[Any], Any], copies: int, vectorised: bool) -> Callable[[Domain], str]:
    def declare(domain: Domain) -> str:
        for number in range(copies):
            domain.feature(f"f{number}", edges=[0.3, 0.7], words=WORDS, vectorised=vectorised)(function)
        return _nothing(domain)

    return declare


def _walk(me: Any, target: Any, dt: float) -> Status:
    me.steer_to(target, speed=3)
    return Status.RUNNING


class _Walk:
    def update(self, me: Agent, target: Any, dt: float) -> Status:
        return _walk(me, target, dt)


def _action(run: Any, vectorised: bool = False) -> Callable[[Domain], str]:
    def declare(domain: Domain) -> str:
        domain.action(name="walk", targets=["camp"], seconds=10, vectorised=vectorised)(run)
        return "walk camp 10"

    return declare


def _stock(target: str) -> Callable[[Domain], str]:
    def declare(domain: Domain) -> str:
        domain.stock("hold", name="walk", targets=[target], speed=3)
        return f"walk {target} 10"

    return declare


def _resolver(domain: Domain) -> str:
    @domain.target
    def there(me: Agent) -> Spot:
        return Spot("there", me.x + 1000, me.y)

    return _stock("there")(domain)


WAYS = (
    Way("", "nothing", "", _nothing),
    Way("feature", "over a column", "nothing", _column(16), 16),
    Way("feature", "vectorised, numba", "nothing", _feature(lambda me: _share(me.stamina), 16, vectorised=True), 16),
    Way("feature", "vectorised, numpy", "nothing", _feature(lambda me: me.stamina / 100, 16, vectorised=True), 16),
    Way("feature", "over a handle", "nothing", _feature(lambda me: me.stamina / 100, 2, vectorised=False), 2),
    Way("action", "stock", "nothing", _stock("camp")),
    Way("action", "vectorised", "nothing", _action(_walk, vectorised=True)),
    Way("action", "function", "nothing", _action(_walk)),
    Way("action", "class", "nothing", _action(_Walk)),
    Way("target", "resolver", "stock", _resolver),
)


def build(way: Way, agents: int) -> Simulation:
    """A simulation of agents that know, or do, what is written in this way."""
    domain = Domain("prices", ["unit"])
    domain.place("camp", x=1e5, y=0)  # so far that nobody arrives
    domain.feature("health", column="hp", edges=[50], words=["hurt", "sound"])
    plan = way.declare(domain)
    domain.heuristic("unit")(lambda situation: plan)
    sim = Simulation(domain, Settings(model="none", capacity=agents, budget_ms=1000.0), world=f"{way.name} {agents}")
    sim.spawn_many(
        "unit", agents, x=sim.rng.uniform(0, 100, agents), y=sim.rng.uniform(0, 100, agents),
        stamina=sim.rng.uniform(0, 100, agents),
    )  # fmt: skip
    return sim


def _tick_ns(sim: Simulation) -> float:
    begun = time.perf_counter_ns()
    sim.tick()
    return time.perf_counter_ns() - begun


def added_ns(agents: int, rounds: int) -> dict[str, float]:
    """What one of each way adds to a tick, nanoseconds an agent."""
    sims = {way.name: build(way, agents) for way in WAYS}
    compared = [way for way in WAYS if way.beside]
    added: dict[str, list[float]] = {way.name: [] for way in compared}
    try:
        with quiet_gc():
            for turn in range(rounds + WARM_UP):
                for way in compared:
                    without = _tick_ns(sims[way.beside])
                    difference = _tick_ns(sims[way.name]) - without
                    if turn >= WARM_UP:
                        added[way.name].append(difference)
    finally:
        for sim in sims.values():
            sim.close()
    return {way.name: statistics.median(added[way.name]) / way.copies / agents for way in compared}


def prices(rounds: int) -> list[Price]:
    """The price of each way."""
    few, many = added_ns(FEW, rounds), added_ns(MANY, rounds)
    return [Price(way.what, way.name, few[way.name], many[way.name]) for way in WAYS if way.beside]


def heuristic_us(rounds: int) -> float:
    """What a heuristic costs for each situation that it has not seen, microseconds; those it has seen are a look-up."""
    domain = Domain("prices", ["unit"])
    for name in ("mood", "whim"):
        domain.column(name)
        domain.feature(f"{name}_now", column=name, edges=[n + 0.5 for n in range(MOODS - 1)], hysteresis=0,
                       words=[f"{name} {n}" for n in range(MOODS)], interrupt=True)
    domain.stock("rest", targets=["self"], rate=1)
    domain.stock("patrol", targets=["home"], speed=2)

    @domain.heuristic("unit")
    def sense(situation: Situation) -> list[str]:
        if situation.mood_now < 50:
            return ["rest self", "patrol home"]
        return ["patrol home 5", "rest self 2"] if situation.whim_now > 100 else ["patrol home"]

    def tick_in(sim: Simulation, first: int) -> float:
        number = np.arange(first, first + SITUATIONS)
        sim.agents.mood, sim.agents.whim = number % MOODS, number // MOODS
        return _tick_ns(sim)

    with Simulation(domain, Settings(model="none", budget_ms=1000.0), world="heuristics") as sim, quiet_gc():
        sim.spawn_many("unit", SITUATIONS)
        for first in (0, SITUATIONS):
            tick_in(sim, first)
        differences = []
        for number in range(2, min(rounds + 2, MOODS * MOODS // SITUATIONS)):
            new = tick_in(sim, number * SITUATIONS)
            known = [tick_in(sim, 0), tick_in(sim, SITUATIONS)]
            differences.append(new - statistics.mean(known))
    return statistics.median(differences) / SITUATIONS / 1000


def vectorise_from(plain: Price, vectorised: Price) -> int | None:
    """From how many agents on the vectorised way is the cheaper one; None: from no number that can be told."""
    saved = plain.few_ns - vectorised.each_ns
    return max(1, math.ceil(vectorised.fixed_ns / saved)) if saved > 0 else None


def figures(rounds: int) -> dict[str, Any]:
    """All prices, as one JSON-able object."""
    found = prices(rounds)
    of = {(p.what, p.way): p for p in found}
    return {
        "prices": [
            {
                "what": p.what, "way": p.way, f"ns_at_{FEW}": round(p.few_ns, 1), f"ns_at_{MANY}": round(p.many_ns, 1),
                "agents_in_1_ms": p.agents_in_1_ms,
            }
            for p in found
        ],
        "vectorise_from": {
            "feature": vectorise_from(of["feature", "over a handle"], of["feature", "vectorised, numpy"]),
            "action": vectorise_from(of["action", "function"], of["action", "vectorised"]),
        },
        "heuristic_us_a_situation": round(heuristic_us(rounds), 2),
        "rounds": rounds,
        "machine": machine(),
    }  # fmt: skip


def show(found: dict[str, Any], console: Console) -> None:
    """Print them as a table, and what follows from it."""
    table = Table(title="What one costs, beside a tick in which all agents wait")
    for heading in ("", "written", f"ns an agent, of {FEW}", f"ns an agent, of {MANY:,}", "agents in 1 ms"):
        table.add_column(heading, justify="left" if heading in ("", "written") else "right")
    before = ""
    for p in found["prices"]:
        if before and p["what"] != before:
            table.add_section()
        at_few, at_many = p[f"ns_at_{FEW}"], p[f"ns_at_{MANY}"]
        fits = f"{p['agents_in_1_ms']:,}" if p["agents_in_1_ms"] < 1e6 else "a million"
        table.add_row(p["what"] if p["what"] != before else "", p["way"], f"{at_few:,.0f}", f"{at_many:,.0f}", fits)
        before = p["what"]
    console.print(table)
    least = found["vectorise_from"]
    for what, agents in least.items():
        from_on = f"the cheaper way from {agents:,} agents on" if agents else "never the cheaper way"
        console.print(f"Of the two ways to write {what}s, vectorised (numpy) is {from_on}.")
    console.print(
        f"A heuristic costs {found['heuristic_us_a_situation']:g} µs for each situation that is new to it."
    )
    m = found["machine"]
    console.print(f"{m['processor']}, Python {m['python']}, numba {m['numba']}, numpy {m['numpy']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=100, help="turns to measure (default: 100)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least one turn must be measured")
    found = figures(arguments.rounds)
    show(found, Console())
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
