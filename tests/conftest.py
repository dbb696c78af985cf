"""What all tests share: an esper world of their own, no settings from outside, and simulations that are closed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import esper
import hypothesis
import pytest

from astrasim import Domain, Settings, Simulation, Situation, Tier
from astrasim.gateway import Answer, Failure
from astrasim.reader import read_compact_plan
from astrasim.vocabulary import Scope

_numbers = count(1)

# How long an example takes is the machine's affair; what it must not take is measured in benchmarks.
hypothesis.settings.register_profile("astrasim", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# For those who read what strangers send, by name: `pytest tests/gateway/test_any_answer.py --hypothesis-profile=fuzz`.
hypothesis.settings.register_profile(
    "fuzz", hypothesis.settings.get_profile("astrasim"), max_examples=10_000, database=None, print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip
hypothesis.settings.load_profile("astrasim")


@pytest.fixture(autouse=True)
def fresh_world() -> Iterator[str]:
    """Each test starts in an empty esper world, whose name this is; all worlds that it made are deleted."""
    name = f"test {next(_numbers)}"
    esper.switch_world(name)
    yield name
    esper.switch_world("default")
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ASTRASIM_", "OPENAI_", "OLLAMA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")  # the discard port: no model of this machine's takes part


@pytest.fixture
def simulate(fresh_world: str) -> Iterator[Callable[..., Simulation]]:
    """Makes simulations without a model, in strict mode, and closes them: ``simulate(domain, settings={...})``."""
    made: list[Simulation] = []

    def make(domain: Domain, *, settings: dict[str, Any] | None = None, **options: Any) -> Simulation:
        # Planning has all the time it needs: on a busy machine 2 ms may pass before the first unit of it is done.
        chosen = {"model": "none", "strict": True, "budget_ms": 1000.0, **(settings or {})}
        made.append(Simulation(domain, Settings(**chosen), **options))
        # Rates and deadlines go by the clock on the wall; in tests that is the simulation's own.
        sim = made[-1]
        sim.planner.clock = lambda: sim.time
        return made[-1]

    yield make
    for sim in made:
        sim.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[object, str]]:
    """Runs the console script ``astrasim`` with these arguments; returns its exit code and what it says on stderr."""

    def type_(*arguments: str) -> tuple[object, str]:
        from astrasim.cli import run

        monkeypatch.setattr(sys, "argv", ["astrasim", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        return ended.value.code, capsys.readouterr().err

    return type_


class StandIn:
    """Stands in for the gateway (``sim.planner.gateway``): keeps what it is asked, and answers when a test says so."""

    def __init__(self) -> None:
        self.scopes: dict[int, Scope] = {}
        self.asked: dict[int, tuple[int, int]] = {}
        self.is_ready, self.chooses, self.max_in_flight, self.memory = True, False, 32, None
        self.options: dict[int, list[tuple[int, int]]] = {}
        self.deadlines_s: dict[int, float] = {}
        self.first: set[int] = set()
        self.cancelled: list[int] = []
        self.closed = False
        self._results: list[Answer | Failure] = []

    def declare_scope(self, scope_id: int, scope: Scope) -> None:
        self.scopes[scope_id] = scope

    def ask(
        self, request_id: int, scope_id: int, key: int, deadline_s: float, options: Sequence[tuple[int, int]] = (),
        first: bool = False,
    ) -> bool:  # fmt: skip
        assert scope_id in self.scopes
        self.options[request_id] = list(options)
        self.deadlines_s[request_id] = deadline_s
        self.first |= {request_id} if first else set()
        self.asked[request_id] = (scope_id, key)
        return True

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)

    def flush(self) -> None: ...
    def close(self) -> None:
        self.closed = True

    def exchange(self) -> None: ...

    def read(self, max_messages: int = 64) -> list[Answer | Failure]:
        results, self._results = self._results[:max_messages], self._results[max_messages:]
        return results

    def describe(self) -> str:
        return "a stand-in"

    def answer(self, sim: Simulation, request_id: int, plan: str, tries: int = 1, tokens: int = 0) -> None:
        """The model answers this request with a plan in compact form, lines of "action target seconds"."""
        scope_id, _ = self.asked.pop(request_id)
        steps = read_compact_plan(plan, sim.compiled.vocabulary, self.scopes[scope_id])
        self._results.append(Answer(request_id, steps, plan, 100.0, tries=tries, tokens=tokens))


@pytest.fixture
def meadow() -> Domain:
    """Sheep that flee from wolves, and see clover."""
    meadow = Domain("meadow", kinds=["sheep", "wolf"])
    meadow.thing("clover", amount=5)
    meadow.column("wool", default=1.0)
    meadow.reference("friend")
    meadow.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    meadow.percept("food", nearest="clover", seen_by="sheep", radius=30)
    meadow.feature("danger", column="threat_distance", edges=[5, 15], words=["here", "near", "far"], interrupt=True)
    meadow.stock("flee", targets=["threat"], kinds=["sheep"], speed=6)
    meadow.heuristic("sheep")(lambda situation: "flee threat")
    return meadow


def moods(heuristic: Callable[[Situation], Any]) -> Domain:
    """Units of three moods, which only an alarm interrupts; ``mood`` and ``alarm`` are what the test sets them to. They
    can go north and south, a second at a time, and hold while they have the stamina."""
    domain = Domain("test", ["unit"])
    domain.column("mood")
    domain.column("alarm")
    domain.feature("humour", column="mood", edges=[0.5, 1.5], words=["a", "b", "c"], hysteresis=0)
    domain.feature("danger", column="alarm", edges=[0.5], words=["calm", "alarm"], interrupt=True, hysteresis=0)
    domain.place("north", 0, 1000)
    domain.place("south", 0, -1000)
    domain.stock("approach", name="go", targets=["north", "south"], speed=1, seconds=1)
    domain.stock("hold", targets=["north"], speed=1, needs={"stamina": 1000})
    domain.heuristic("unit")(heuristic)
    return domain


class Hook(esper.Processor):
    """A processor of the game that does what it is told, once."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: Callable[[], object] | None = do

    def process(self, dt: float) -> None:
        do, self._do = self._do, None
        if do is not None:
            do()


@pytest.fixture
def processor_at(fresh_world: str) -> Callable[[int, Callable[[], object]], None]:
    """``processor_at(35, do)``: a processor of the game of priority 35, which calls ``do`` in the next tick."""
    return lambda priority, do: esper.add_processor(Hook(do), priority=priority)


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


class Yard:
    """Cows of 200 moods, each a situation of its own, ten ticks a second. Nobody's plan ends within a test, but by an
    alarm. Their gateway is a stand-in."""

    TICK_S = 0.1
    MOODS = 200

    def __init__(self, simulate: Callable[..., Simulation], stand_in: StandIn) -> None:
        self._simulate, self._stand_in = simulate, stand_in

    def domain(self) -> Domain:
        domain = Domain("yard", ["cow"], max_seconds=1000)
        domain.column("mood")
        domain.column("alarm")
        edges, words = [mood + 0.5 for mood in range(self.MOODS - 1)], [f"mood {n}" for n in range(self.MOODS)]
        domain.feature("humour", column="mood", edges=edges, words=words, hysteresis=0)
        domain.feature("danger", column="alarm", edges=[0.5], words=["calm", "alarm"], interrupt=True, hysteresis=0)
        domain.place("barn", 0, 100_000)
        domain.stock("approach", name="go", targets=["barn", "home"], speed=1, seconds=1000)
        domain.stock("hold", name="guard", targets=["barn"], speed=1, seconds=1000)
        domain.heuristic("cow")(lambda situation: "go barn")
        return domain

    def start(self, *tiers: Tier, **settings: Any) -> Simulation:
        settings = {"tick_s": self.TICK_S, "requests_per_second": 1000.0, "deadline_s": 600, **settings}
        sim = self._simulate(self.domain(), settings={**settings, "tiers": tiers} if tiers else settings)
        self._stand_in.max_in_flight = sim.settings.max_in_flight
        sim.planner.gateway = self._stand_in
        return sim

    def run(self, sim: Simulation, seconds: float) -> None:
        for _ in range(round(seconds / self.TICK_S)):
            sim.tick()

    def moods(self, sim: Simulation) -> list[int]:
        """Those that were asked about and not answered, in order."""
        buckets = sim.compiled.vocabulary.buckets
        return [buckets("cow", key)["humour"] for _, key in self._stand_in.asked.values()]


@pytest.fixture
def yard(simulate: Callable[..., Simulation], stand_in: StandIn) -> Yard:
    return Yard(simulate, stand_in)
