"""Who lives in a simulation: agents and things come and go, get orders and change tier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .agents import Agent, Handle, Thing
from .arguments import unknown
from .compiled import Compiled
from .errors import DomainError
from .frames import keep_freed_memory
from .handing import Turn
from .kernels.columns import NEED_ORDER, Agents, Things
from .kernels.sharing import SHARED_FROM
from .membership import World
from .planner import Planner
from .population import NEVER_LOOKED, Population
from .promotion import Promotion
from .vocabulary import PromptLength, normalise_order

if TYPE_CHECKING:
    from .gateway import ModelSpec
    from .settings import Settings


class Inhabitants:
    """The part of a :class:`Simulation` that holds its agents and things."""

    def __init__(
        self, compiled: Compiled, settings: Settings, world: World, planner: Planner, model: ModelSpec | None
    ) -> None:
        self.domain, self.compiled, self.planner, self.model = compiled.domain, compiled, planner, model
        self.time = 0.0
        """Of the simulation, in seconds."""
        self._in_tick = False
        self._columns: Agents | None = None
        self._thing_columns: Things | None = None
        self._population = Population(compiled, settings.capacity, world)
        self.agents, self.things = self._population.agents, self._population.things
        self.agents.tick_s = settings.tick_s
        self._promotion = Promotion(settings, self.agents, planner)
        self.agents.tier_names = tuple(tier.name for tier in settings.tiers)
        self.agents.set_tier = self.set_tier

    @property
    def model_tag(self) -> str:
        """The model as scopes name it; plans of different models are never mixed up."""
        return "none" if self.model is None else self.model.tag

    def spawn(
        self,
        kind: str,
        x: float = 0.0,
        y: float = 0.0,
        *,
        role: str | None = None,
        tier: str | None = None,
        **columns: float,
    ) -> Agent:
        """A new agent at (x, y), its home. ``columns`` set further columns of it. ``tier``: one of the setting
        ``tiers``; None for the least.

        Raises:
            DomainError: for a kind, role, tier or column that does not exist, or a value that is not finite.
        """
        return self.spawn_many(kind, 1, x=x, y=y, role=role, tier=tier, **columns)[0]

    def spawn_many(
        self, kind: str, number: int, *, role: str | None = None, tier: str | None = None, **columns: Any
    ) -> list[Agent]:
        """``number`` new agents; a column's value is one number or an array of shape (number,). Errors as ``spawn``."""
        if kind not in self.domain.kinds:
            raise DomainError(unknown(kind, self.domain.kinds, "spawn", "kind"))
        number_of_tier = 0 if tier is None else self._promotion.number(tier, "spawn")
        scope = self._scope(kind, role, "", self._promotion.prompts[number_of_tier])
        self._make_way()
        rows = self._population.add_agents(kind, number, columns)
        if self.agents.count >= SHARED_FROM:
            keep_freed_memory()
        self.agents.scope[rows] = scope
        self.agents.tier[rows] = number_of_tier
        self.planner.serving.meet(number_of_tier)
        self.agents.plan[rows] = self.planner.scopes.default_plan[scope]
        return cast("list[Agent]", self.agents.handles[rows])

    def add_thing(self, kind: str, x: float = 0.0, y: float = 0.0, **columns: float) -> Thing:
        """A new thing at (x, y). Errors as ``spawn``."""
        return self.add_things(kind, 1, x=x, y=y, **columns)[0]

    def add_things(self, kind: str, number: int, **columns: Any) -> list[Thing]:
        """``number`` new things; a column's value is one number or an array of shape (number,). Errors as ``spawn``."""
        self._make_way()
        return cast("list[Thing]", self.things.handles[self._population.add_things(kind, number, columns)])

    def _make_way(self) -> None:
        """Reuse the rows of the dead rather than grow, unless a system is at work on rows right now."""
        if not self._in_tick:
            self.notice_deletions()

    def remove(self, *handles: Handle) -> None:
        """Delete agents and things, as ``esper.delete_entity`` does: gone from the next tick on. Twice: no harm.

        Raises:
            WorldError: if one is of another simulation. None is deleted then.
        """
        self._population.delete(handles)

    def notice_deletions(self) -> None:
        """Drop the rows of all that left the esper world. The first system of each tick calls it."""
        self._population.notice_deletions()

    def order(self, agent: Agent, text: str) -> None:
        """Give an order in plain words, or "" to relieve. Its scope changes: no plan made for another order reaches it.

        Given between two ticks, the model is asked about it at once, as far as half of the next tick's budget goes,
        which pays for it. The order that it has already changes nothing.

        Raises:
            AgentGone: if it was deleted.
            WorldError: if it is of another simulation.
            ActionError: what its heuristic raised, in strict mode.
        """
        row = self._population.row_of(agent)
        old = int(self.agents.scope[row])
        scope = self.planner.scopes[old]
        new = self._scope(scope.kind, scope.role, normalise_order(text), scope.prompt)
        if new != old:
            self.agents.scope[row] = new
            # Who needs a plan has looked around. Who never did will need one as soon as it has.
            if self.agents.plan_interrupt_key[row] != NEVER_LOOKED or self.agents.need[row]:
                self.agents.need[row] = NEED_ORDER
                self.planner.serving.order(agent)
                if not self._in_tick:
                    self.planner.obey_now(Turn(self.columns(), self.thing_columns(), self.agents.count, self.time))

    def set_tier(self, agents: Agent | Iterable[Agent] | NDArray[np.bool_], tier: str) -> None:
        """Put agents into another tier; cheap enough for each tick. ``agent.tier = "hero"`` does it for one.

        Their plans stay theirs. What they wait for ranks as their new tier from now on (never lower than before); if
        that has a prompt of its own, they ask with it when they need their next plan.

        Args:
            agents: one, several, or a mask over the rows, shape (agents,): ``sim.set_tier(sim.agents.x < 50, "hero")``.

        Raises:
            DomainError: for a tier that does not exist, or a mask of another shape. Nothing changes then, nor below.
            AgentGone: if one was deleted.
            WorldError: if one is of another simulation.
        """
        number = self._promotion.number(tier, "set_tier")
        self._promotion.promote(self._population.rows_of(agents), number, self.time)

    def _scope(self, kind: str, role: str | None, order: str, prompt: PromptLength) -> int:
        found = self.compiled.role_for(kind, role)
        return self.planner.scopes.intern(self.compiled.scope(kind, found, order, self.model_tag, prompt))

    # For the systems

    def columns(self) -> Agents:
        """The agent table as kernels take it."""
        a = self.agents
        kept = self._columns
        if kept is None or kept.f is not a.f or len(kept.uid) != a.count:  # it has grown, or agents came or went
            kept = self._columns = Agents(a.f, a.r, *[a.view(name) for name in Agents._fields[2:]])
        return kept

    def thing_columns(self) -> Things:
        """The thing table as kernels take it."""
        things, kept = self.things, self._thing_columns
        if kept is None or kept.f is not things.f or len(kept.taken) != things.count:
            kept = self._thing_columns = Things(things.f, things.view("taken"))
        return kept
