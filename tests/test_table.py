"""The tables behind the handles: rows stay dense, and everything stays where it belongs, whatever comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import esper
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from astrasim import Agent, AgentGone, Domain, DomainError, Settings, Simulation, Thing
from astrasim.agents import Handle
from astrasim.kernels.columns import Things
from astrasim.kernels.packing import pack

Simulate = Callable[..., Simulation]


def make_zoo() -> Domain:
    zoo = Domain("zoo", kinds={"ape": {}, "bear": {"hp": 60}})
    zoo.thing("fruit", amount=3)
    zoo.column("fur", default=0.5)
    zoo.reference("friend")
    zoo.reference("boss")
    zoo.percept("rival", nearest=["ape", "bear"], radius=5)
    zoo.percept("food", nearest="fruit", radius=5)
    return zoo


def simulate_zoo(capacity: int = 1) -> Simulation:
    return Simulation(make_zoo(), Settings(model="none", capacity=capacity))


COLUMNS = {"x": 0.0, "y": 0.0, "hp": 100.0, "fur": 0.5}
REFERENCES = ("friend", "boss", "rival")  # to agents; ``food`` is to a thing
numbers = st.floats(-1e6, 1e6, width=32)
worlds = count()


class Zoo(RuleBasedStateMachine):
    """Against a model of plain dicts: what each agent's columns and references were set to, by number of the agent."""

    agents = Bundle("agents")
    things = Bundle("things")

    def __init__(self) -> None:
        super().__init__()
        self.world = f"zoo {next(worlds)}"
        esper.switch_world(self.world)
        self.sim = simulate_zoo()
        self.columns: dict[Agent, dict[str, float]] = {}
        self.references: dict[Agent, dict[str, Handle | None]] = {}
        self.fruit: dict[Thing, float] = {}
        self.leaving: set[Handle] = set()
        self.dead: set[Handle] = set()

    def teardown(self) -> None:
        self.sim.close()
        esper.switch_world("default")
        esper.delete_world(self.world)

    def born(self, agent: Agent, kind: str, **columns: float) -> None:
        self.columns[agent] = {**COLUMNS, **({"hp": 60.0} if kind == "bear" else {}), **columns}
        self.references[agent] = dict.fromkeys((*REFERENCES, "food"), None)

    def noticed(self) -> None:
        for handle in self.leaving:
            if isinstance(handle, Agent):
                del self.columns[handle], self.references[handle]
            elif isinstance(handle, Thing):
                del self.fruit[handle]
            for held in self.references.values():
                held.update({name: None for name, other in held.items() if other is handle})
        self.dead |= self.leaving
        self.leaving.clear()

    @rule(target=agents, kind=st.sampled_from(["ape", "bear"]), x=numbers, fur=numbers)
    def spawn(self, kind: str, x: float, fur: float) -> Agent:
        self.flush()
        agent = self.sim.spawn(kind, x, fur=fur)
        self.born(agent, kind, x=x, fur=fur)
        return agent

    @rule(target=agents, kind=st.sampled_from(["ape", "bear"]), hp=st.lists(numbers, min_size=1, max_size=9))
    def spawn_many(self, kind: str, hp: list[float]) -> Any:
        self.flush()
        born = self.sim.spawn_many(kind, len(hp), hp=np.array(hp), y=2)
        for agent, value in zip(born, hp, strict=True):
            self.born(agent, kind, y=2.0, hp=value)
        return multiple(*born)

    @rule(target=things, amount=numbers)
    def add_thing(self, amount: float) -> Thing:
        self.flush()
        thing = self.sim.add_thing("fruit", amount=amount)
        self.fruit[thing] = amount
        return thing

    @rule(agent=agents, column=st.sampled_from(list(COLUMNS)), value=numbers)
    def write(self, agent: Agent, column: str, value: float) -> None:
        if agent in self.dead:
            with pytest.raises(AgentGone):
                setattr(agent, column, value)
            return
        setattr(agent, column, value)
        self.columns[agent][column] = value

    @rule(column=st.sampled_from(list(COLUMNS)), value=numbers)
    def write_all(self, column: str, value: float) -> None:
        setattr(self.sim.agents, column, value)
        for columns in self.columns.values():
            columns[column] = value

    @rule(agent=agents, name=st.sampled_from(REFERENCES), other=st.none() | agents)
    def refer(self, agent: Agent, name: str, other: Agent | None) -> None:
        if agent in self.dead or other in self.dead:
            with pytest.raises(AgentGone):
                setattr(agent, name, other)
            return
        setattr(agent, name, other)
        self.references[agent][name] = other

    @rule(agent=agents, thing=things)
    def want(self, agent: Agent, thing: Thing) -> None:
        if agent not in self.dead and thing not in self.dead:
            agent.food = thing
            self.references[agent]["food"] = thing

    @rule(
        handles=st.lists(consumes(agents) | consumes(things), min_size=1, max_size=6, unique=True),
        at_once=st.booleans(),
    )
    def delete(self, handles: list[Handle], at_once: bool) -> None:
        for handle in handles:
            if handle not in self.dead and handle not in self.leaving:
                esper.delete_entity(handle.entity, immediate=at_once)
                self.leaving.add(handle)

    @rule()
    def flush(self) -> None:
        """What esper's process and the first system do first in each tick."""
        esper.clear_dead_entities()
        self.sim.notice_deletions()
        self.noticed()

    @rule()
    def clear(self) -> None:
        esper.clear_database()
        self.leaving |= {*self.columns, *self.fruit}
        self.flush()

    @invariant()
    def rows_are_dense(self) -> None:
        for table, alive in ((self.sim.agents, self.columns), (self.sim.things, self.fruit)):
            assert len(table) == len(alive) == len(table.handles) <= table.capacity
            assert set(table.handles) == set(alive)
            assert [handle.row for handle in table.handles] == list(range(len(alive)))
            assert table.uid.tolist() == [handle.uid for handle in table.handles]

    @invariant()
    def every_column_is_its_agents(self) -> None:
        for agent, columns in self.columns.items():
            assert {name: getattr(agent, name) for name in COLUMNS} == columns
            assert agent.alive
        for thing, amount in self.fruit.items():
            assert thing.amount == amount
        for name in COLUMNS:
            expected = [self.columns[handle][name] for handle in self.sim.agents.handles if isinstance(handle, Agent)]
            assert self.sim.agents.column(name).tolist() == expected

    @invariant()
    def every_reference_is_its_agents(self) -> None:
        for agent, references in self.references.items():
            assert {name: getattr(agent, name) for name in references} == references

    @invariant()
    def the_dead_say_so(self) -> None:
        for handle in self.dead:
            assert not handle.alive
            with pytest.raises(AgentGone):
                handle.x  # noqa: B018


TestZoo = Zoo.TestCase
TestZoo.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)


def test_a_number_of_an_agent_is_never_used_again(simulate: Simulate) -> None:
    sim = simulate(make_zoo())
    first = [ape.uid for ape in sim.spawn_many("ape", 3)]
    esper.clear_database()
    second = [ape.uid for ape in sim.spawn_many("ape", 3)]
    assert not set(first) & set(second)


@pytest.mark.parametrize("name", ["hp", "fur", "friend", "kind", "tier"])
@pytest.mark.parametrize("by", [getattr, lambda agents, name: agents.column(name)])
def test_an_array_kept_over_a_growth_of_the_table_raises_on_writing(
    simulate: Simulate, name: str, by: Callable[[Any, str], Any]
) -> None:
    sim = simulate(make_zoo(), settings={"capacity": 2})
    sim.spawn_many("ape", 2)
    kept = by(sim.agents, name)
    kept[0] = 0
    sim.spawn("ape")
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 0
    by(sim.agents, name)[2] = 0


def test_views_that_are_let_go_are_not_collected_for_ever(simulate: Simulate) -> None:
    sim = simulate(make_zoo())
    sim.spawn_many("ape", 2)
    kept = sim.agents.hp
    for _ in range(1000):
        sim.agents.hp += 1
    assert len(sim.agents._views) < 100
    sim.spawn_many("ape", 2000)
    with pytest.raises(ValueError, match="read-only"):
        kept += 1


def test_columns_are_as_long_as_there_are_agents_and_fit_each_other(simulate: Simulate) -> None:
    sim = simulate(make_zoo(), settings={"capacity": 64})
    sim.spawn_many("ape", 3)
    sim.spawn_many("bear", 2)
    assert sim.agents.hp[sim.agents.kind == 1].tolist() == [60, 60]
    assert all(len(getattr(sim.agents, name)) == 5 for name in ("x", "friend", "uid", "tier", "plan"))
    sim.remove(sim.agents.handles[0])
    sim.tick()
    assert all(len(getattr(sim.agents, name)) == 4 for name in ("x", "friend", "uid", "tier", "plan"))


def test_columns_are_changed_in_place(simulate: Simulate) -> None:
    sim = simulate(make_zoo())
    apes = sim.spawn_many("ape", 3)
    sim.agents.hp -= 40
    sim.agents.fur = [1, 2, 3]
    sim.agents.x[1:] = 7
    sim.agents.hp[sim.agents.fur > 2] = 0
    assert [(ape.hp, ape.fur, ape.x) for ape in apes] == [(60, 1, 0), (60, 2, 7), (0, 3, 7)]
    sim.spawn("ape")
    assert sim.agents.hp.tolist() == [60, 60, 0, 100]
    with pytest.raises(ValueError, match="broadcast"):
        sim.agents.hp = [1, 2]


def test_a_column_that_does_not_exist_names_those_that_do(simulate: Simulate) -> None:
    sim = simulate(make_zoo())
    with pytest.raises(
        AttributeError, match=r"agents have no column 'furr'; they have: x, .*fur.*domain\.column\('furr'"
    ):
        sim.agents.furr  # noqa: B018
    with pytest.raises(DomainError, match="things have no column 'fur'; they have: x, y, amount"):
        sim.things.column("fur")


def test_a_kernel_is_not_handed_a_column_that_is_not_what_it_expects() -> None:
    things = Things(np.zeros((3, 8), np.float32), np.zeros(8, np.uint8))
    assert pack(things)[1:3] == [3, 8]
    with pytest.raises(TypeError, match=r"Things\.taken must be a writable array of uint8 with 1 dimensions"):
        pack(things._replace(taken=np.zeros(16, np.uint8)[::2]))
