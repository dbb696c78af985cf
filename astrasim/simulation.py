"""The simulation: a domain at work on an esper world."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import esper
import numpy as np
from numpy.typing import NDArray

from .agents import Agent
from .compiled import compile_domain
from .domain import Domain
from .examples import with_examples
from .gateway import Gateway, ModelSpec
from .gateway.keeping import Keeping
from .governor import Governor
from .inhabitants import Inhabitants
from .kernels.columns import no_events
from .kernels.sharing import SHARED_FROM, has_second_core
from .membership import World
from .model_choice import choose_model
from .movement import Integrate, Movement
from .observing import Observation, Observer
from .obstacles import Obstacles, obstacle_grid
from .pace import Pace
from .planner import Planner
from .reports import Reports
from .settings import Settings
from .situation import Situation
from .statistics import Statistics, Window
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("astrasim")

SightHook = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[Any]]


class Simulation(Inhabitants):
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
        self.settings = settings or Settings()
        self.pace = Pace(**{name: getattr(self.settings, name) for name in Pace.model_fields})
        """What a tick may spend now; it begins as the settings."""
        self.governor = Governor(self.pace, self.settings)
        self._world = World(world)
        self.world = self._world.name
        self.compiled = compile_domain(domain)
        self.model, self.model_reason = choose_model(self.settings)
        if self.settings.warmup:
            from .warmup import warm_up  # here, because it runs a small simulation of its own

            warm_up()
        self.movement: Movement = movement or Integrate()
        self.line_of_sight = line_of_sight
        self.obstacles = Obstacles()
        self.rng = np.random.default_rng(self.settings.seed)
        self.ticks = 0
        self.errors = Reports()
        self.tick_ms = Window(4096)
        self.tick_started_s = 0.0
        self.events = no_events(0)
        """What agents did to others and to things in the last tick, in row order; shape (events,) each."""
        self.looking: NDArray[np.int64] = np.arange(0)
        """The rows of the agents that look around in this tick, rising. The first system of a tick writes it."""
        self.shared_from = SHARED_FROM if self.settings.threads > 1 and has_second_core() else 1 << 62
        """So many agents share perception, situations and actions between two threads."""
        gateway = self._gateway()
        planner = Planner(self.compiled, self.settings, self.pace, gateway)
        super().__init__(self.compiled, self.settings, self._world, planner, self.model)
        self.observation = Observation(self, self._world.all_processors)
        for role in self.compiled.roles.values():
            for kind in role.kinds:
                self._scope(kind, role.name, "", self._promotion.prompts[0])
        if pipeline is None:
            # By name: the systems are the layer above this one, and a default is no reason to turn that round.
            pipeline = importlib.import_module("astrasim.systems").PIPELINE
        make = cast("Sequence[Callable[[Simulation], esper.Processor]]", pipeline)
        self._world.enter([processor(self) for processor in make])
        try:
            if gateway is not None:
                gateway.start()
        except BaseException:
            self.close()
            raise
        log.info("model: %s (%s)", self.model_tag, self.model_reason)

    def set_model(self, model: str | ModelSpec | None) -> str:
        """Ask another model from now on, or none. Nothing here waits for a model or a process.

        Every agent's scope changes with it. The plans that agents follow stay theirs until they end; those in the cache
        stay with the model that made them, and are used again if it comes back. What is in flight is cancelled. The
        first model of a simulation that began without one has its examples made now: heuristics run for up to 96
        situations a role.

        Args:
            model: as the setting ``model``, or what ``sim.model`` was (a spec, or None). Only "auto" looks around
                first, which takes 0.3 s where Ollama's address does not answer.

        Returns:
            Which model it is, and why, in a line.

        Raises:
            SettingsError: if there is no such model, or it lacks what it needs. Nothing changes then.
        """
        if isinstance(model, str) or not self.settings.use_llm:
            spec, reason = choose_model(self.settings.model_copy(update={"model": str(model)}))
        else:
            spec, reason = model, f"the game chose {model or 'none'}"
        if spec != self.model:
            self.model = spec
            self.planner.change_gateway(gateway := self._gateway(), self.time)
            if gateway is not None:
                gateway.start()
            for old in np.unique(self.agents.scope).tolist():
                scope = self.planner.scopes[old]
                self.agents.scope[self.agents.scope == old] = self._scope(
                    scope.kind, scope.role, scope.order, scope.prompt
                )
        self.model_reason = reason
        log.info("model: %s (%s)", self.model_tag, reason)
        return reason

    def _gateway(self) -> Gateway | None:
        s = self.settings
        if self.model is None:
            return None
        keeping = Keeping(
            entries=s.cache_plans, ttl_s=s.cache_ttl_s, ttl_renews=s.cache_ttl_renews, namespace=s.cache_namespace,
            file=s.cache_file.absolute() if s.cache_file else None, near_bound=s.near_bound, orders=s.share_orders,
        )  # fmt: skip
        return Gateway(self.words, self.model, policy=s.policy, keeping=keeping, log_exchanges=s.log_exchanges)

    @cached_property
    def words(self) -> Vocabulary:
        """The vocabulary as the model's side has it, with examples."""
        return with_examples(self.compiled)

    # Time

    def tick(self, dt: float | None = None) -> None:
        """One tick: ``esper.process(dt)`` in the simulation's world.

        Args:
            dt: seconds; default: the settings' fixed step.

        Raises:
            WorldError: if the simulation is closed or its world was deleted.
            ValueError: if ``dt`` is negative or not finite.
        """
        with self._world.open():
            esper.process(self.settings.tick_s if dt is None else dt)

    def begin_tick(self, dt: float) -> None:
        """Called by the first system."""
        if not 0 <= dt < float("inf"):
            raise ValueError(f"dt={dt!r} must be a finite number of seconds, at least 0")
        self._in_tick = True
        self.ticks += 1
        self.governor.begin_tick(self.ticks)
        if self.observation:
            self.observation.begin_tick()
        # A float whatever the game wrote: numba would compile kernels anew for another type.
        self.time += float(dt)
        if dt > 0:
            self.agents.tick_s = float(dt)

    def end_tick(self) -> None:
        """Called by the last system."""
        self._in_tick = False
        took_ms = (perf_counter() - self.tick_started_s) * 1000
        self.tick_ms.add(took_ms)
        self.governor.end_tick(took_ms)

    def close(self) -> None:
        """End the gateway process, close observers, take all that is ours out of the world. Twice does no harm.

        Figures, and the last values in ``sim.agents``, can still be read.
        """
        self.planner.forget_requests(self.time)
        if self.planner.gateway is not None:
            self.planner.gateway.close()
        self.observation.close()
        self._population.end()
        self._world.leave()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The world around

    def set_obstacles(self, blocked: Any, cell: float) -> None:
        """Cells that block movement and sight; ``blocked[row, column]`` covers y from row * cell, x from column * cell.

        Raises:
            DomainError: if the array is not 2-d or ``cell`` not above 0.
        """
        self.obstacles = obstacle_grid(blocked, cell)

    # What is going on

    def situation(self, agent: Agent) -> Situation:
        """The agent's situation as of its last perception: key, vector, words."""
        row = self._population.row_of(agent)
        scope = self.planner.scopes[int(self.agents.scope[row])]
        vector = self.compiled.vector(int(self.agents.kind[row]), self.agents.f[:, row])
        return Situation(self.compiled.vocabulary, scope, int(self.agents.key[row]), vector)

    def why(self, agent: Agent) -> str:
        """In plain words: its situation, what is legal now, prompt, the model's raw answer, plan, step and source."""
        self._population.row_of(agent)  # raises for one that is not ours
        from .why import explain

        return explain(self, agent)

    def observe(self, observer: Observer) -> None:
        """Tell ``observer`` after each tick what happened in it, until :meth:`unobserve` or :meth:`close`.

        One that raises is switched off and logged, and the game goes on; in strict mode ``tick`` raises it.
        """
        self.observation.add(observer)

    def unobserve(self, observer: Observer) -> None:
        """Tell it no more, and close it; one that does not observe is left alone."""
        self.observation.remove(observer)

    def stats(self) -> Statistics:
        """All figures since the beginning, or since ``reset_stats``."""
        from .figures import gather

        return gather(self)

    def reset_stats(self) -> None:
        """Begin to count anew (after a warm-up, say). Plans, cache and requests stay."""
        self.planner.reset_counts()
        self.tick_ms.clear()
        self.errors.clear()
