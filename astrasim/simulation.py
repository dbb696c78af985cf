"""The simulation: a domain at work on an esper world."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import esper
import numpy as np
from numpy.typing import NDArray

from .agents import Agent, Handle, Thing, handle_class
from .compiled import Compiled, compile_domain
from .domain import Domain
from .errors import DomainError, WorldError
from .gateway import Gateway
from .kernels.columns import NEED_END, NEED_ORDER, Agents, Events, Things
from .membership import Membership
from .model_choice import choose_model
from .movement import Integrate, Movement
from .obstacles import Obstacles, obstacle_grid
from .planner import Planner
from .settings import Settings
from .situation import Situation
from .statistics import Statistics, Window
from .table import Table
from .vocabulary import normalise_order

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("astrasim")

TIERS = ("minion", "leader", "boss", "hero")
"""How much model attention an agent gets, least first: a request's rank is that of the highest tier waiting for it."""

SightHook = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[Any]]

AGENT_FIXED: tuple[tuple[str, Any, int], ...] = (
    ("scope", np.int32, 0),  # number of its scope
    ("tier", np.int32, 0),  # index into TIERS
    ("key", np.int64, 0),  # its situation, packed
    ("interrupt_key", np.int64, 0),  # the interrupt features alone, packed
    ("need", np.uint8, NEED_END),  # why it waits for the planner, 0 if it does not
    ("plan", np.int32, 0),  # number of its plan
    ("step", np.int32, 0),
    ("state", np.uint8, 1),  # steps.Status of its step
    ("outcome", np.uint8, 0),  # what the step came to in this tick
    ("elapsed", np.float32, 0),  # seconds since the step started
    ("source", np.uint8, 0),  # plans.Source of its plan
    ("entry", np.int32, -1),  # cache entry that it took its plan at, -1 for a default plan
    ("plan_key", np.int64, 0),  # its situation when it took the plan
    ("plan_interrupt_key", np.int64, 0),
    ("plan_start", np.float64, 0),  # simulation time at which it took the plan, seconds
    ("fresh", np.uint8, 0),  # a model's plan that has not run yet
    ("last_plan", np.int32, -1),  # the plan that ended last
    ("next_plan", np.int32, -1),  # a model's plan that takes over when the step ends
)


class Simulation:
    """Agents that perceive, plan and act in an esper world.

    Args:
        domain: checked and compiled here; later changes to it have no effect.
        settings: default: from environment and ``astrasim.toml``.
        world: name of the esper world to live in; default: the current one. One simulation a world.
        movement: who moves the agents; default: integrate velocities.
        line_of_sight: a hook (x0, y0, x1, y1) -> mask, arrays of equal length; default: over ``set_obstacles``.
        pipeline: the processors' classes, in order; default: ``astrasim.systems.PIPELINE``.

    Raises:
        DomainError: if the domain has a mistake.
        WorldError: if the world has a simulation already.
    """

    def __init__(
        self,
        domain: Domain,
        settings: Settings | None = None,
        *,
        world: str | None = None,
        movement: Movement | None = None,
        line_of_sight: SightHook | None = None,
        pipeline: Sequence[type[esper.Processor]] | None = None,
    ) -> None:
        self.domain = domain
        self.settings = settings or Settings()
        self.world = world or esper.current_world
        self.compiled: Compiled = compile_domain(domain)
        if self.settings.warmup:
            from .warmup import warm_up  # here, because it runs a small simulation of its own

            warm_up()
        self.movement: Movement = movement or Integrate()
        self.line_of_sight = line_of_sight
        self.obstacles = Obstacles()
        self.rng = np.random.default_rng(self.settings.seed)
        self.ticks = 0
        self.time = 0.0
        self.errors: Counter[str] = Counter()
        self.tick_ms = Window(4096)
        self.tick_started_s = 0.0
        self.model, self.model_reason = choose_model(self.settings)
        self._in_tick = False
        self._closed = False
        if pipeline is None:
            # By name: the systems are the layer above this one, and a default is no reason to turn that round.
            pipeline = importlib.import_module("astrasim.systems").PIPELINE
        self._pipeline = tuple(cast("Sequence[type[esper.Processor]]", pipeline))
        self._make_tables()
        gateway = None if self.model is None else self._new_gateway()
        self.planner = Planner(self.compiled, self.settings, gateway)
        for role in self.compiled.roles.values():
            for kind in role.kinds:
                self._scope(kind, role.name, "")
        with self._in_world():
            if any(esper.get_processor(processor) for processor in self._pipeline):
                raise WorldError(
                    f"esper world {self.world!r} has a simulation already; close that one (sim.close()) or give "
                    f"another world: Simulation(domain, world='another')"
                )
            for position, processor in enumerate(self._pipeline):
                # Room between priorities: a game's own processor may run between two of ours.
                esper.add_processor(processor(self), priority=10 * (len(self._pipeline) - position))
        if gateway is not None:
            gateway.start()
        log.info("model: %s (%s)", self.model_tag, self.model_reason)

    def _make_tables(self) -> None:
        c, capacity = self.compiled, self.settings.capacity
        self.agents = Table("agent", c.floats, c.references, AGENT_FIXED, len(c.declared_features), capacity)
        self.things = Table("thing", c.thing_floats, (), (("taken", np.uint8, 0),), capacity=64)
        self.agents.kind_names = tuple(self.domain.kinds)
        self.things.kind_names = tuple(self.domain.declared.things)
        self.agents.refers_to = [self.things if r in c.thing_references else self.agents for r in c.references]
        self.agents.tick_s = self.settings.tick_s
        self._agent_class = handle_class(Agent, self.agents.float_index, self.agents.reference_index)
        self._thing_class = handle_class(Thing, self.things.float_index, {})
        self._agent_members, self._thing_members = Membership(Agent), Membership(Thing)
        self.events = _no_events(0)
        self.event_count = 0

    def _new_gateway(self) -> Gateway:
        assert self.model is not None
        s = self.settings
        return Gateway(
            self.compiled.vocabulary, self.model, log_exchanges=s.log_exchanges, max_in_flight=s.max_in_flight
        )

    @property
    def model_tag(self) -> str:
        """The model as scopes name it; plans of different models are never mixed up."""
        return "none" if self.model is None else f"{self.model.kind}:{self.model.name}"

    # Life

    def spawn(
        self, kind: str, x: float = 0.0, y: float = 0.0, *, role: str | None = None, tier: str = "minion", **columns: float
    ) -> Agent:
        """A new agent at (x, y), its home. ``columns`` set further columns of it.

        Raises:
            DomainError: for a kind, role, tier or column that does not exist, or a value that is not finite.
        """
        return self.spawn_many(kind, 1, x=x, y=y, role=role, tier=tier, **columns)[0]

    def spawn_many(
        self, kind: str, number: int, *, role: str | None = None, tier: str = "minion", **columns: Any
    ) -> list[Agent]:
        """``number`` new agents; a column's value may be one number or an array of shape (number,). Errors as ``spawn``."""
        if kind not in self.domain.kinds:
            raise DomainError(f"no kind {kind!r}; there are: {', '.join(self.domain.kinds)}")
        if tier not in TIERS:
            raise DomainError(f"no tier {tier!r}; there are: {', '.join(TIERS)}")
        scope = self._scope(kind, role, "")
        values = {**self.domain.kinds[kind], **columns}
        values.setdefault("home_x", values.get("x", 0.0))
        values.setdefault("home_y", values.get("y", 0.0))
        with self._in_world():
            rows = self._add(self.agents, self._agent_class, self._agent_members, kind, number, values)
        self.agents.scope[rows] = scope
        self.agents.tier[rows] = TIERS.index(tier)
        self.agents.plan[rows] = self.planner.scopes.default_plan[scope]
        # Nothing was perceived yet, so there is no situation whose change could interrupt a plan.
        return cast("list[Agent]", self.agents.handles[rows])

    def add_thing(self, kind: str, x: float = 0.0, y: float = 0.0, **columns: float) -> Thing:
        """A new thing at (x, y). Errors as ``spawn``."""
        if kind not in self.domain.declared.things:
            known = ", ".join(self.domain.declared.things) or "none: declare one with domain.thing(...)"
            raise DomainError(f"no thing {kind!r}; there are: {known}")
        values = {**self.domain.declared.things[kind], "x": x, "y": y, **columns}
        with self._in_world():
            rows = self._add(self.things, self._thing_class, self._thing_members, kind, 1, values)
        return cast("Thing", self.things.handles[rows.start])

    def _add(
        self, table: Table, cls: type[Handle], members: Membership, kind: str, number: int, values: dict[str, Any]
    ) -> slice:
        if not self._in_tick:
            self.notice_deletions()  # rows may move now: nobody is in the middle of a tick
        handles = [cls(0) for _ in range(number)]
        rows = table.add(handles, table.kind_names.index(kind), values)
        for handle in handles:
            handle.entity = esper.create_entity()
        members.add((handle.entity, handle) for handle in handles)
        return rows

    def remove(self, handle: Handle) -> None:
        """Delete an agent or a thing; noticed at the start of the next tick, like ``esper.delete_entity``. Twice does no harm."""
        with self._in_world():
            if handle.alive and esper.entity_exists(handle.entity):
                esper.delete_entity(handle.entity)

    def notice_deletions(self) -> None:
        """Drop the rows of all that left the esper world. The first system of each tick calls it."""
        for members, table in ((self._agent_members, self.agents), (self._thing_members, self.things)):
            gone = [cast("Handle", h)._row for h in members.gone() if cast("Handle", h).alive]
            if gone:
                pointing = [
                    (self.agents.r[q], self.agents.count)
                    for q, refers_to in enumerate(self.agents.refers_to)
                    if refers_to is table
                ]
                table.remove(gone, pointing)
                self.planner.rows_moved()

    def order(self, agent: Agent, text: str) -> None:
        """Give an order in plain words, or "" to relieve. Its scope changes: no plan made for another order reaches it."""
        scope = self.planner.scopes[int(self.agents.scope[agent.row])]
        self.agents.scope[agent.row] = self._scope(scope.kind, scope.role, normalise_order(text))
        self.agents.need[agent.row] = NEED_ORDER
        self.agents.next_plan[agent.row] = -1

    def _scope(self, kind: str, role: str | None, order: str) -> int:
        found = self.compiled.role_for(kind, role)
        return self.planner.scopes.intern(self.compiled.scope(kind, found, order, self.model_tag))

    # Time

    def tick(self, dt: float | None = None) -> None:
        """One tick: ``esper.process(dt)`` in the simulation's world.

        Args:
            dt: seconds; default: the settings' fixed step.

        Raises:
            WorldError: if the simulation is closed or its world was deleted.
        """
        if self._closed:
            raise WorldError("this simulation is closed; make a new one")
        with self._in_world():
            esper.process(self.settings.tick_s if dt is None else dt)

    def begin_tick(self, dt: float) -> None:
        """Called by the first system."""
        self._in_tick = True
        self.ticks += 1
        self.time += dt

    def end_tick(self) -> None:
        """Called by the last system."""
        self._in_tick = False

    @contextmanager
    def _in_world(self) -> Iterator[None]:
        before = esper.current_world
        if before == self.world:
            yield
            return
        if self.ticks and self.world not in esper.list_worlds():
            raise WorldError(f"esper world {self.world!r} was deleted; make a new simulation")
        esper.switch_world(self.world)
        try:
            yield
        finally:
            esper.switch_world(before)

    def close(self) -> None:
        """End the gateway process, take the processors and all agents and things out of the world. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        if isinstance(self.planner.gateway, Gateway):
            self.planner.gateway.close()
        if self.world not in esper.list_worlds():
            return
        with self._in_world():
            self.notice_deletions()
            for handle in [*self.agents.handles, *self.things.handles]:
                esper.delete_entity(handle.entity, immediate=True)
            self.notice_deletions()
            for processor in self._pipeline:
                esper.remove_processor(processor)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # The world around

    def set_obstacles(self, blocked: Any, cell: float) -> None:
        """Cells that block movement and sight; ``blocked[row, column]`` covers y from row * cell, x from column * cell.

        Raises:
            DomainError: if the array is not 2-d or ``cell`` not above 0.
        """
        self.obstacles = obstacle_grid(blocked, cell)

    # For the systems

    def columns(self) -> Agents:
        """The agent table as kernels take it."""
        a = self.agents
        return Agents(*[getattr(a, name) for name in Agents._fields])

    def thing_columns(self) -> Things:
        """The thing table as kernels take it."""
        return Things(self.things.f, self.things.taken)

    def room_for_events(self) -> Events:
        """Buffers with room for one event an agent."""
        if len(self.events.source) < self.agents.count:
            self.events = _no_events(self.agents.capacity)
        return self.events

    def report_error(self, what: str, error: BaseException) -> None:
        """The game's own code raised: log it the first time, count it, and go on."""
        key = f"{what}: {type(error).__name__}: {error}"
        self.errors[key] += 1
        if self.errors[key] == 1:
            log.error("%s (counted from now on, not logged again)", key, exc_info=error)

    # What is going on

    def situation(self, agent: Agent) -> Situation:
        """The agent's situation as of its last perception: key, vector, words."""
        row = agent.row
        scope = self.planner.scopes[int(self.agents.scope[row])]
        return Situation(self.compiled.vocabulary, scope, int(self.agents.key[row]), self._vector(row))

    def _vector(self, row: int) -> tuple[float, ...]:
        table, kind = self.compiled.features, int(self.agents.kind[row])
        vector = []
        for q, feature in enumerate(self.compiled.declared_features):
            if table.multiplier[kind, q]:
                vector.append(_position(float(self.agents.f[table.column[q], row]), feature.edges))
        return tuple(vector)

    def why(self, agent: Agent) -> str:
        """In plain words: its situation, what is legal now, prompt, the model's raw answer, plan, step and source."""
        from .why import explain

        return explain(self, agent)

    def stats(self) -> Statistics:
        """All figures since the beginning, or since ``reset_stats``."""
        from .figures import gather

        return gather(self)

    def reset_stats(self) -> None:
        """Begin to count anew (after a warm-up, say). Plans, cache and requests stay."""
        self.planner.reset_counts()
        self.tick_ms.clear()
        self.errors.clear()


def _position(value: float, edges: tuple[float, ...]) -> float:
    """Where a value stands among the buckets, 0 to 1, linear inside each; outer buckets are as wide as their neighbour."""
    widths = [b - a for a, b in zip(edges, edges[1:], strict=False)] or [max(abs(edges[0]), 1.0)]
    knots = [edges[0] - widths[0], *edges, edges[-1] + widths[-1]]
    return float(np.interp(value, knots, np.linspace(0.0, 1.0, len(knots))))


def _no_events(capacity: int) -> Events:
    return Events(
        source=np.zeros(capacity, np.int32), target=np.zeros(capacity, np.int32), column=np.zeros(capacity, np.int32),
        amount=np.zeros(capacity, np.float32), limit=np.zeros(capacity, np.float32), thing=np.zeros(capacity, np.uint8),
    )  # fmt: skip
