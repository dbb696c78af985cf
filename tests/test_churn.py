"""Everything at once, for a while, in strict mode: births, deaths, orders, answers, failures, code that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from astrasim import Agent, Domain, Rows, Simulation, Status
from astrasim.gateway import Answer, Failure
from astrasim.reader import read_compact_plan

Simulate = Callable[..., Simulation]


def busy_world() -> Domain:
    """Two teams that fight, heal, take, patrol and dig, with every sort of target and action."""
    domain = Domain("busy", {"red": {"ammo": 5}, "blue": {"ammo": 5}}, size=(60, 60))
    domain.thing("pack", amount=10)
    domain.column("luck")
    domain.relation("enemy", [("red", "blue")], mutual=True)
    domain.reference("leader")
    domain.place("bridge", 30, 30)
    domain.percept("foe", nearest="enemy", radius=25, line_of_sight=True)
    domain.percept("foes", count="enemy", radius=25)
    domain.percept("pack_near", nearest="pack", radius=40)

    @domain.target
    def lair(me: Agent) -> Any:
        return me.leader if me.luck > 0.3 else None

    domain.feature("danger", column="foe_distance", edges=[4, 12], words=["here", "near", "far"], interrupt=True)
    domain.feature("crowd", column="foes", edges=[1, 4], words=["none", "some", "many"])
    domain.feature("health", column="hp", edges=[30, 70], words=["dying", "hurt", "well"])
    domain.feature("fortune", column="luck", edges=[0.25, 0.5, 0.75], words=["a", "b", "c", "d"])
    domain.stock("attack", targets=["foe"], damage=9, range=3, cooldown=0.4, ammunition=1, line_of_sight=True)
    domain.stock("heal", targets=["leader"], amount=5, range=5, speed=2, limit=90, stamina=5)
    domain.stock("approach", targets=["foe", "bridge", "home", "lair"], speed=5, near=2, stamina_rate=10)
    domain.stock("flee", targets=["foe"], speed=6, stamina_rate=15)
    domain.stock("patrol", targets=["bridge", "home"], speed=3, radius=8)
    domain.stock("reload", targets=["self"], rate=10, limit=5)
    domain.stock("rest", targets=["self"], rate=30, limit=100)
    domain.stock("take", targets=["pack_near"], speed=5)

    @domain.action(targets=["home", "bridge"], cooldown=0.5, seconds=0.7, interruptible=False)
    class dig:
        left = 0

        def start(self, me: Agent, target: Any) -> None:
            self.left = int(me.luck * 40)

        def update(self, me: Agent, target: Any, dt: float) -> Status:
            self.left -= 1
            return Status.RUNNING if self.left > 0 else Status.DONE if self.left == 0 else Status.FAILED

        def cancel(self, me: Agent) -> None:
            if me.alive:
                me.stop()

    @domain.action(targets=["self"], vectorised=True)
    def pray(us: Rows, targets: Rows, dt: float) -> Any:
        us.luck = (us.luck * 7.3 + 0.1) % 1
        return np.where(us.luck > 0.5, Status.RUNNING, Status.FAILED)

    domain.role("soldier", default="patrol home")
    domain.role("priest", style="support", default=["wait self 0.3", "patrol bridge"])

    @domain.heuristic("soldier")
    def fight(situation: Any) -> list[str]:
        if situation.health == 0:
            return ["flee foe", "take pack_near", "rest self"]
        if situation.fortune == 3:
            return ["approach lair 0.5", "dig home", "pray self"]
        return ["attack foe 1", "approach foe 2", "reload self", "dig bridge", "pray self 0.5"]

    return domain


class Moody:
    """Stands in for the gateway: answers late, wrongly, twice or not at all."""

    is_ready, chooses, max_in_flight, memory = True, False, 32, None

    def __init__(self, sim: Simulation, rng: np.random.Generator) -> None:
        self._sim, self._rng = sim, rng
        self._open: dict[int, tuple[int, int]] = {}

    def declare_scope(self, scope_id: int, scope: Any) -> None: ...
    def cancel(self, request_id: int) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def describe(self) -> str:
        return "moody"

    def ask(self, request_id: int, scope_id: int, key: int, deadline_s: float, *rest: object) -> bool:
        if self._rng.random() < 0.2:
            return False
        in_flight = [(r.scope_id, r.key) for r in self._sim.planner.requests.values()]
        assert (scope_id, key) not in in_flight, "one request at a time for a situation"
        self._open[request_id] = scope_id, key
        return True

    def exchange(self) -> None: ...

    def read(self, max_messages: int = 64) -> list[Answer | Failure]:
        replies: list[Answer | Failure] = []
        for request, (scope_id, _) in list(self._open.items()):
            luck = self._rng.random()
            if luck < 0.2:
                if luck > 0.01:
                    del self._open[request]  # else it will be answered once more
                replies.append(self._reply(request, scope_id))
        return replies

    def _reply(self, request: int, scope_id: int) -> Answer | Failure:
        if self._rng.random() < 0.3:
            return Failure(request, "http_500", "", bool(self._rng.random() < 0.5))
        vocabulary, scope = self._sim.compiled.vocabulary, self._sim.planner.scopes[scope_id]
        choices = [f"{action.name} {target}" for action, targets in vocabulary.steps_of(scope) for target in targets]
        chosen = self._rng.choice(choices, self._rng.integers(1, 9))
        lines = [f"{step} {self._rng.uniform(0.1, 3):.4f}" for step in chosen]
        return Answer(request, read_compact_plan("\n".join(lines), vocabulary, scope), "raw", 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_breaks_when_everything_happens_at_once(
    simulate: Simulate, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrasim.plans.MIN_LIMIT", 64)
    rng = np.random.default_rng(seed)
    sim = simulate(
        busy_world(),
        settings={
            "strict": True, "seed": seed, "capacity": 16, "budget_units": int(rng.integers(3, 12)), "cache_entries": 64,
            "requests_per_second": 200.0, "deadline_s": 0.5, "retry_after_s": 0.3, "every": int(rng.integers(1, 4)),
        },
    )  # fmt: skip
    sim.planner.gateway = Moody(sim, rng)
    sim.set_obstacles(rng.random((30, 30)) < 0.1, cell=2)
    agents: list[Agent] = []
    for tick in range(400):
        if len(agents) < 60 and rng.random() < 0.5:
            kind, role = rng.choice(["red", "blue"]), rng.choice(["soldier", "priest"])
            x, y, luck = (rng.random(3) * (60, 60, 1)).tolist()
            agents.append(sim.spawn(kind, x, y, role=role, tier=rng.choice(["minion", "hero"]), luck=luck))
            agents[-1].leader = agents[int(rng.integers(len(agents)))]
        if rng.random() < 0.2:
            sim.add_thing("pack", *rng.uniform(0, 60, 2).tolist())
        for agent in [a for a in agents if a.hp <= 0 or rng.random() < 0.005]:
            sim.remove(agent)
            agents.remove(agent)
        if agents and rng.random() < 0.1:
            sim.order(agents[int(rng.integers(len(agents)))], rng.choice(["", "hold", "attack", "dig in"]))
        sim.tick(rng.choice([0.0, 1 / 120, 1 / 60, 1 / 10]))
        check(sim)
        if tick % 40 == 0 and agents:
            assert sim.why(agents[0])
    stats = sim.stats()
    assert not stats.errors and sim.agents.count == len(agents)
    assert stats.requests.answered > 20 and stats.requests.late > 0 and stats.requests.failed > 0
    assert sum(stats.plans.dropped.values()) > 0 and stats.plans.applied > 0 and stats.steps_failed > 0
    assert len(sim.planner.plans) <= 64 + 2 * 60 * 3 + 2 * 64 + 100


def check(sim: Simulation) -> None:
    """What holds after every tick."""
    table, planner = sim.agents, sim.planner
    stored = planner.plans.table
    assert (table.plan >= 0).all() and (table.plan < len(planner.plans)).all(), "nobody is without a plan"
    assert (table.step >= 0).all() and (table.step < stored.length[table.plan]).all()
    for row in range(table.count):
        scope = planner.scopes[int(table.scope[row])]
        for step in planner.plans[int(table.plan[row])].steps:
            assert step.action in scope.actions, "nobody does what its role cannot do"
    assert np.isfinite(table.f[:2, : table.count]).all()
    entries = planner.cache.entries
    in_flight = {r.entry for r in planner.requests.values()}
    assert len(in_flight) == len(planner.requests)
    for request in planner.requests.values():
        assert (entries.scope[request.entry], entries.key[request.entry]) == (request.scope_id, request.key)
    requests = sim.stats().requests
    assert requests.sent == (
        requests.answered + requests.failed + requests.rejected + requests.cancelled + requests.in_flight
    )
    assert requests.in_flight == len(planner.requests) <= sim.settings.max_in_flight
