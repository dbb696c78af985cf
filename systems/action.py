"""Action: each agent's running step, stock ones in a kernel, the game's own in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim import domain
from astrasim.agents import Agent, Spot
from astrasim.errors import ActionError
from astrasim.kernels.acting import act, apply_events, cool_down, finish
from astrasim.kernels.columns import AT_AGENT, AT_HOME, AT_PLACE, AT_SELF, AT_THING, RUNNING
from astrasim.simulation import Simulation
from astrasim.steps import Status, check_transitions
from astrasim.views import Rows, Spots


@dataclass(slots=True)
class Task:
    """A step of an action class under way: the object that holds its state, and whose it is."""

    agent: Agent
    action: domain.Action
    state: Any


class Action(esper.Processor):
    """Starts and runs steps, applies their events in row order, ends those that are over."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._tasks: dict[int, Task] = {}
        self._custom: NDArray[np.int32] = np.zeros(0, np.int32)

    def process(self, dt: float | None = None) -> None:
        sim, agents, tables = self._sim, self._sim.agents, self._sim.compiled
        n, dt = agents.count, sim.settings.tick_s if dt is None else dt
        if not n:
            return
        if self._tasks:
            self._cancel_ended()
        cool_down(agents.f, tables.cooldown_columns, n, dt)
        if tables.resolvers:
            self._resolve()
        if len(self._custom) < n:
            self._custom = np.zeros(agents.capacity, np.int32)
        plans, events = sim.planner.plans.table, sim.room_for_events()
        columns, things = sim.columns(), sim.thing_columns()
        before = agents.state[:n].copy() if sim.settings.strict else None
        sim.event_count, custom = act(
            columns, things, tables.actions, tables.targets, plans, events, n, dt, sim.time, sim.settings.seed, self._custom
        )
        if before is not None:
            check_transitions(before, agents.state[:n])
            before = agents.state[:n].copy()
        if custom:
            self._run_custom(self._custom[:custom], dt)
        apply_events(columns, things, events, 0, sim.event_count)
        planner = sim.planner
        finish(
            sim.columns(), things, tables.actions, tables.targets, plans, n,
            planner.scopes.default_plan, sim.time, planner.counters, planner.life,
        )  # fmt: skip
        if before is not None:
            check_transitions(before, agents.state[:n])
        if sim.things.count and sim.things.taken[: sim.things.count].any():
            for row in np.flatnonzero(sim.things.taken[: sim.things.count]).tolist():
                sim.remove(sim.things.handles[row])

    # Targets found by the game's code

    def _resolve(self) -> None:
        sim, agents, plans = self._sim, self._sim.agents, self._sim.planner.plans.table
        n = agents.count
        running = plans.target[agents.plan[:n], agents.step[:n]]
        for name, function, column in sim.compiled.resolvers:
            target = sim.compiled.vocabulary.target_index[name]
            agents.f[column : column + 2, :n] = np.nan
            for row in np.flatnonzero(running == target).tolist():
                try:
                    found = function(agents.handles[row])
                    if found is not None:
                        agents.f[column, row], agents.f[column + 1, row] = found.x, found.y
                except Exception as error:  # the game's code: the target is not found, so the step fails
                    self._failed(f"target {name} of {agents.handles[row]!r}", error)

    # Actions in the game's code

    def _run_custom(self, rows: NDArray[np.int32], dt: float) -> None:
        agents, plans = self._sim.agents, self._sim.planner.plans.table
        actions = plans.action[agents.plan[rows], agents.step[rows]]
        for index in np.unique(actions).tolist():
            action = self._sim.compiled.declared_actions[index]
            own = rows[actions == index]
            if action.vectorised:
                self._run_vectorised(action, own, dt)
                continue
            for row in own.tolist():
                handle = cast("Agent", agents.handles[row])
                try:
                    agents.outcome[row] = _status(self._run_one(action, handle, row, dt))
                except Exception as error:  # the game's code: the step fails, the game goes on
                    agents.outcome[row] = Status.FAILED
                    self._tasks.pop(handle.uid, None)
                    plan = self._sim.planner.plans[int(agents.plan[row])]
                    self._failed(f"action {action.name} of {handle!r}, plan: {plan}", error)

    def _run_one(self, action: domain.Action, agent: Agent, row: int, dt: float) -> object:
        target = self._target(row)
        if not isinstance(action.run, type):
            return action.run(agent, target, dt)
        task = self._tasks.get(agent.uid)
        if task is None:
            task = self._tasks[agent.uid] = Task(agent, action, action.run())
            if (start := getattr(task.state, "start", None)) is not None:
                start(agent, target)
        status = _status(task.state.update(agent, target, dt))
        if status is not Status.RUNNING:
            self._tasks.pop(agent.uid, None)
        return status

    def _run_vectorised(self, action: domain.Action, rows: NDArray[np.int32], dt: float) -> None:
        agents, plans = self._sim.agents, self._sim.planner.plans.table
        targets = plans.target[agents.plan[rows], agents.step[rows]]
        for target in np.unique(targets).tolist():
            own = rows[targets == target]
            try:
                status = action.run(Rows(agents, own), self._targets(target, own), dt)
                agents.outcome[own] = _status(status) if np.ndim(status) == 0 else np.asarray(status, np.uint8)
            except Exception as error:  # the game's code
                agents.outcome[own] = Status.FAILED
                self._failed(f"action {action.name} of {len(own)} agents", error)

    def _target(self, row: int) -> Any:
        agents, table, plans = self._sim.agents, self._sim.compiled.targets, self._sim.planner.plans.table
        target = plans.target.item(agents.plan.item(row), agents.step.item(row))
        sort, index = table.sort.item(target), table.index.item(target)
        if sort in (AT_AGENT, AT_THING):
            return agents.refers_to[index].handles[agents.r.item(index, row)]
        if sort == AT_SELF:
            return agents.handles[row]
        name = self._sim.compiled.vocabulary.targets[target]
        if sort == AT_PLACE:
            return Spot(name, table.x.item(target), table.y.item(target))
        first = agents.float_index["home_x"] if sort == AT_HOME else index
        return Spot(name, agents.f.item(first, row), agents.f.item(first + 1, row))

    def _targets(self, target: int, rows: NDArray[np.int32]) -> Rows | Spots:
        agents, table = self._sim.agents, self._sim.compiled.targets
        sort, index = int(table.sort[target]), int(table.index[target])
        if sort in (AT_AGENT, AT_THING):
            return Rows(agents.refers_to[index], agents.r[index, rows])
        if sort == AT_SELF:
            return Rows(agents, rows)
        if sort == AT_PLACE:
            return Spots(np.full(len(rows), table.x[target]), np.full(len(rows), table.y[target]))
        first = agents.float_index["home_x"] if sort == AT_HOME else index
        return Spots(agents.f[first, rows], agents.f[first + 1, rows])

    def _cancel_ended(self) -> None:
        """Tasks whose step ended without their doing: time ran out, another plan took over, the agent died."""
        agents = self._sim.agents
        for uid, task in list(self._tasks.items()):
            if task.agent.alive and agents.state[task.agent.row] == RUNNING:
                continue
            del self._tasks[uid]
            cancel = getattr(task.state, "cancel", None)
            if cancel is not None and task.agent.alive:
                try:
                    cancel(task.agent)
                except Exception as error:  # the game's code
                    self._failed(f"cancel of action {task.action.name} of {task.agent!r}", error)

    def _failed(self, what: str, error: Exception) -> None:
        if self._sim.settings.strict:
            raise ActionError(f"{what} raised: {error!r}") from error
        self._sim.report_error(what, error)


def _status(returned: object) -> Status:
    try:
        status = Status(returned)  # type: ignore[call-arg]  whatever the game's code returned
    except ValueError:
        raise ActionError(f"an action returns Status.RUNNING, DONE or FAILED, not {returned!r}") from None
    if status is Status.INTERRUPTED:
        raise ActionError("an action returns Status.RUNNING, DONE or FAILED; only the planner interrupts")
    return status
