"""The agents and things of one simulation: their rows in the tables, and their handles in the esper world."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .agents import Agent, Handle, Thing, handle_class
from .compiled import Compiled
from .errors import DomainError, WorldError
from .kernels.columns import NEED_NONE
from .membership import Membership, World, inside
from .table import Fixed, Table

NEVER_LOOKED = -1

AGENT_FIXED: tuple[Fixed, ...] = (
    ("scope", np.int32, 0),  # number of its scope
    ("tier", np.uint8, 0),  # index into Settings.tiers
    ("key", np.int64, 0),  # its situation, packed
    ("interrupt_key", np.int64, 0),  # the interrupt features alone, packed
    ("need", np.uint8, NEED_NONE),  # why it waits for the planner
    ("plan", np.int32, 0),  # number of its plan
    ("step", np.int32, 0),
    ("state", np.uint8, 1),  # steps.Status of its step
    ("outcome", np.uint8, 0),  # what the step came to in this tick
    ("elapsed", np.float32, 0),  # seconds since the step started
    ("source", np.uint8, 0),  # plans.Source of its plan
    ("entry", np.int32, -1),  # cache entry of its plan; -1: a default plan; -2 - e: so, and waits for e's answer
    ("plan_key", np.int64, 0),  # the situation that its plan was made for
    # Nobody plans for a situation that was never seen. From none (-1) the first look is a change, so it makes a need.
    ("plan_interrupt_key", np.int64, NEVER_LOOKED),
    ("plan_start", np.float64, 0),  # simulation time at which it took the plan, seconds
    ("fresh", np.uint8, 0),  # bits of kernels.columns: FRESH, REACHED_SECOND, IS_SECOND_TRY
    ("last_plan", np.int32, -1),  # the plan that ended last
    ("next_plan", np.int32, -1),  # a model's plan that takes over when the step ends
    ("waited", np.uint16, 0),  # ticks whose planning ended before its need was met
)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection meanwhile."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Sort(NamedTuple):
    """Agents, or things."""

    table: Table
    handle: type[Handle]
    members: Membership


class Population:
    """Adds, deletes and finds the agents and things of one simulation."""

    def __init__(self, compiled: Compiled, capacity: int, world: World) -> None:
        c, declared = compiled, compiled.domain.declared
        self._world, self._domain = world, compiled.domain
        self.agents = Table("agent", c.floats, c.references, AGENT_FIXED, len(c.declared_features), capacity)
        self.things = Table("thing", c.thing_floats, (), (("taken", np.uint8, 0),), capacity=64)
        self.agents.kind_names = tuple(compiled.domain.kinds)
        self.things.kind_names = tuple(declared.things)
        self.agents.refers_to = [self.things if r in c.thing_references else self.agents for r in c.references]
        agent_class = handle_class(Agent, self.agents.float_index, self.agents.reference_index)
        self._agents = _Sort(self.agents, agent_class, Membership(Agent))
        self._things = _Sort(self.things, handle_class(Thing, self.things.float_index, {}), Membership(Thing))

    def add_agents(self, kind: str, number: int, values: dict[str, Any]) -> slice:
        """``number`` new agents; returns their rows. If it raises, nothing was added.

        Raises:
            DomainError: for a column that does not exist, or a value or number that does not fit.
            WorldError: if the world is closed or gone.
        """
        values = {**self._domain.kinds[kind], **values}
        values.setdefault("home_x", values.get("x", 0.0))
        values.setdefault("home_y", values.get("y", 0.0))
        return self._add(self._agents, kind, number, values)

    def add_things(self, kind: str, number: int, values: dict[str, Any]) -> slice:
        """``number`` new things; returns their rows. Errors as ``add_agents``."""
        things = self._domain.declared.things
        if kind not in things:
            known = ", ".join(things) or "none: declare one with domain.thing(...)"
            raise DomainError(f"no thing {kind!r}; there are: {known}")
        return self._add(self._things, kind, number, {**things[kind], **values})

    def _add(self, sort: _Sort, kind: str, number: int, values: dict[str, Any]) -> slice:
        if not isinstance(number, int | np.integer) or number < 0:
            raise DomainError(f"number={number!r} of {sort.table.what}s must be a whole number of at least 0")
        # Nothing that is made here is garbage: to collect meanwhile doubles what it takes.
        with self._world.open(), no_collection():
            handles = [sort.handle(0) for _ in range(number)]
            rows = sort.table.add(handles, sort.table.kind_names.index(kind), values)
            sort.members.add(handles)
            return rows

    def delete(self, handles: Iterable[Handle]) -> None:
        """Have esper delete the entities of the live ones, as ``esper.delete_entity`` does. No world: no harm.

        Raises:
            WorldError: if one is not of this population. None is deleted then.
        """
        live = [handle for handle in handles if handle._row >= 0]
        agents, things = ([h for h in live if h._table is table] for table in (self.agents, self.things))
        if len(agents) + len(things) < len(live):
            raise _foreign(next(h for h in live if h._table not in (self.agents, self.things)))
        if live and self._world.exists:
            with inside(self._world.name):
                self._agents.members.delete(agents)
                self._things.members.delete(things)

    def row_of(self, agent: Handle) -> int:
        """The row of an agent.

        Raises:
            AgentGone: if it was deleted.
            WorldError: if it is no agent of this population.
        """
        if not isinstance(agent, Handle):
            raise TypeError(f"{agent!r} is no agent; give one handle, as sim.spawn returns it")
        row = agent.row
        if agent._table is not self.agents:
            raise _foreign(agent)
        return row

    def rows_of(self, agents: Handle | Iterable[Handle] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of one agent, of several, or of those that a mask over the rows says.

        Raises:
            DomainError: for an array that is no such mask. Other errors as ``row_of``.
        """
        if isinstance(agents, Handle):
            return np.array([self.row_of(agents)], np.int64)
        if not isinstance(agents, np.ndarray):
            handles: Iterable[Handle] = agents
            return np.array([self.row_of(agent) for agent in handles], np.int64)
        if agents.dtype != np.bool_ or agents.shape != (self.agents.count,):
            raise DomainError(
                f"an array of {agents.dtype}, shape {agents.shape}, names no agents; give handles, or a mask of bool, "
                f"shape ({self.agents.count},), such as sim.agents.x < 50"
            )
        return np.flatnonzero(agents)

    def notice_deletions(self) -> None:
        """Drop the rows of all that left the world."""
        if not self._world.exists:
            return  # a processor of the game has left this world and deleted it: the last tick here
        with inside(self._world.name):  # a processor of the game may have switched to another
            for table, _, members in (self._agents, self._things):
                gone = [handle._row for handle in members.gone() if handle._row >= 0]
                if gone:
                    pointing = [self.agents.r[q] for q, to in enumerate(self.agents.refers_to) if to is table]
                    table.remove(gone, [(column, self.agents.count) for column in pointing])

    def end(self) -> None:
        """Delete all entities. All handles are dead from now on; the tables keep their last values, to be looked at."""
        if self._world.exists:
            with inside(self._world.name):
                self._agents.members.delete_all()
                self._things.members.delete_all()
        for handle in [*self.agents.handles, *self.things.handles]:
            if handle.alive:
                handle._detach(handle.kind)


def _foreign(handle: Handle) -> WorldError:
    return WorldError(f"{handle!r} is no agent of this simulation: handles go back to the simulation that made them")
