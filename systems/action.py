"""Action: each agent's running step, stock ones in a kernel, the game's own in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim import declarations
from astrasim.agents import Agent, Spot
from astrasim.errors import ActionError, AgentGone
from astrasim.kernels.acting import act, act_together
from astrasim.kernels.columns import AT_AGENT, AT_HOME, AT_PLACE, AT_SELF, AT_THING, HOME_X, RUNNING, Events, no_events
from astrasim.kernels.finishing import apply_events, finish
from astrasim.kernels.sharing import nothing_taken, together
from astrasim.kernels.work import close_up, make_work
from astrasim.simulation import Simulation
from astrasim.steps import Status, check_transitions
from astrasim.views import Rows, Spots


@dataclass(slots=True)
class Task:
    """A step of an action class under way: the object that holds its state, and whose it is."""

    agent: Agent
    action: declarations.Action
    state: Any


class Action(esper.Processor):
    """Starts and runs steps, applies their events in row order, ends those that are over."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._tasks: dict[int, Task] = {}
        targets = sim.compiled.targets
        self._steps = len(sim.compiled.actions.motion) * len(targets.sort)
        self._work = make_work(0, self._steps)
        # As lists: reading one number out of an array takes three times as long.
        self._sorts: list[int] = targets.sort.tolist()
        self._indexes: list[int] = targets.index.tolist()
        self._spots = [
            Spot(*spot)
            for spot in zip(sim.compiled.vocabulary.targets, targets.x.tolist(), targets.y.tolist(), strict=True)
        ]

    def process(self, dt: float | None = None) -> None:
        sim, agents, tables, planner = self._sim, self._sim.agents, self._sim.compiled, self._sim.planner
        # A float whatever the game wrote: for each type of argument numba would compile the kernels anew, in a frame.
        n, dt = agents.count, float(sim.settings.tick_s if dt is None else dt)
        if self._tasks:
            self._cancel_ended()
        if not n:
            sim.events = no_events(0)
            return
        if tables.resolvers:
            self._resolve()
        if len(self._work.order) < n:
            self._work = make_work(agents.capacity, self._steps)
        before = agents.state[:n].copy() if sim.settings.strict else None
        arguments = (
            sim.columns(), sim.thing_columns(), tables.actions, tables.targets, planner.plans.table,
            tables.cooldown_columns, self._work, n, dt, sim.time, sim.settings.seed, nothing_taken(),
        )  # fmt: skip
        if n >= sim.shared_from:
            together(act_together, *arguments)
        else:
            act(*arguments)
        event_count, custom = close_up(self._work, n)
        if before is not None:
            check_transitions(before, agents.state[:n])
            before = agents.state[:n].copy()
        if custom:
            self._run_custom(self._work.custom[:, :custom], dt)
        # Asked for again: the game's code may have spawned so many that the tables have new arrays.
        columns, things = sim.columns(), sim.thing_columns()
        if event_count or len(sim.events.source):
            columns_used: list[Any] = [column[:event_count] for column in self._work.events]
            sim.events = Events(*columns_used)
        if event_count:
            apply_events(columns, things, self._work.events, 0, event_count)
        finish(
            columns, things, tables.actions, tables.targets, planner.plans.table, planner.cache.entries,
            self._work, n, planner.scopes.default_plan, dt, sim.time, planner.counters, planner.life,
        )  # fmt: skip
        if before is not None:
            check_transitions(before, agents.state[:n])
        if event_count:
            sim.remove(*[sim.things.handles[row] for row in np.flatnonzero(things.taken).tolist()])

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

    def _run_custom(self, listed: NDArray[np.int32], dt: float) -> None:
        agents = self._sim.agents
        rows, actions, targets = listed
        for index in sorted(set(actions.tolist())):
            action = self._sim.compiled.declared_actions[index]
            chosen = actions == index
            if action.vectorised:
                self._run_vectorised(action, rows[chosen], targets[chosen], dt)
                continue
            run = self._run_task if isinstance(action.run, type) else self._run_function
            for row, symbol in zip(rows[chosen].tolist(), targets[chosen].tolist(), strict=True):
                try:
                    target = self._target(row, symbol)
                    # It was there a moment ago: what another agent's action did meanwhile took it away.
                    status = Status.FAILED if target is None else run(action, agents.handles[row], target, dt)
                except Exception as error:  # the game's code: the step fails, the game goes on
                    status = Status.FAILED
                    self._failed(f"action {action.name} of {self._in_words(row)}", error)
                if status is not Status.RUNNING:  # which it is already
                    agents.outcome[row] = status

    def _run_function(self, action: declarations.Action, agent: Agent, target: Any, dt: float) -> Status:
        return _status(action.run(agent, target, dt))

    def _run_task(self, action: declarations.Action, agent: Agent, target: Any, dt: float) -> Status:
        task = self._tasks.get(agent.uid)
        if task is None:
            task = Task(agent, action, action.run())
            if (start := getattr(task.state, "start", None)) is not None:
                start(agent, target)
            # Only now: what did not start is not cancelled.
            self._tasks[agent.uid] = task
        status = _status(task.state.update(agent, target, dt))
        if status is not Status.RUNNING:
            del self._tasks[agent.uid]
        return status

    def _run_vectorised(
        self, action: declarations.Action, rows: NDArray[np.int32], targets: NDArray[np.int32], dt: float
    ) -> None:
        agents = self._sim.agents
        for target in np.unique(targets).tolist():
            own = rows[targets == target]
            there = self._is_there(target, own)
            agents.outcome[own[~there]] = Status.FAILED
            own = own[there]
            if not len(own):
                continue
            try:
                status = _statuses(action.run(Rows(agents, own), self._targets(target, own), dt), len(own))
            except Exception as error:  # the game's code
                status = np.full(len(own), Status.FAILED, np.uint8)
                first = self._in_words(int(own[0]))
                self._failed(f"action {action.name} of {len(own)} agents, the first: {first}", error)
            agents.outcome[own] = status

    def _in_words(self, row: int) -> str:
        plan = self._sim.planner.plans[self._sim.agents.plan.item(row)]
        return f"{self._sim.agents.handles[row]!r}, plan: {plan}"

    # Targets

    def _target(self, row: int, target: int) -> Any:
        agents, sort, index = self._sim.agents, self._sorts[target], self._indexes[target]
        if sort in (AT_AGENT, AT_THING):
            found = agents.r.item(index, row)
            return agents.refers_to[index].handles[found] if found >= 0 else None
        if sort == AT_SELF:
            return agents.handles[row]
        spot = self._spots[target]
        if sort == AT_PLACE:
            return spot
        first = HOME_X if sort == AT_HOME else index
        return Spot(spot.name, agents.f.item(first, row), agents.f.item(first + 1, row))

    def _is_there(self, target: int, rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        table = self._sim.compiled.targets
        if table.sort[target] in (AT_AGENT, AT_THING):
            there: NDArray[np.bool_] = self._sim.agents.r[table.index[target], rows] >= 0
            return there
        return np.ones(len(rows), np.bool_)

    def _targets(self, target: int, rows: NDArray[np.int32]) -> Rows | Spots:
        agents, table = self._sim.agents, self._sim.compiled.targets
        sort, index = int(table.sort[target]), int(table.index[target])
        if sort in (AT_AGENT, AT_THING):
            return Rows(agents.refers_to[index], agents.r[index, rows])
        if sort == AT_SELF:
            return Rows(agents, rows)
        if sort == AT_PLACE:
            return Spots(np.full(len(rows), table.x[target]), np.full(len(rows), table.y[target]))
        first = HOME_X if sort == AT_HOME else index
        return Spots(agents.f[first, rows], agents.f[first + 1, rows])

    # Ends

    def _cancel_ended(self) -> None:
        """Tasks whose step ended without their doing: its time ran out, another plan took over, the agent died, ..."""
        agents = self._sim.agents
        for uid, task in list(self._tasks.items()):
            if task.agent.alive and agents.state.item(task.agent.row) == RUNNING:
                continue
            del self._tasks[uid]
            cancel = getattr(task.state, "cancel", None)
            if cancel is None:
                continue
            try:
                cancel(task.agent)
            except Exception as error:  # the game's code
                if isinstance(error, AgentGone) and not task.agent.alive:
                    continue  # it wanted to stop an agent that is no more; whatever else it had to put right, it could
                self._failed(f"cancel of action {task.action.name} of {task.agent!r}", error)

    def _failed(self, what: str, error: Exception) -> None:
        if self._sim.settings.strict:
            raise ActionError(f"{what}: {error if isinstance(error, ActionError) else f'raised {error!r}'}") from error
        self._sim.errors.report(what, error)


_WANTED = "an action returns Status.RUNNING, Status.DONE or Status.FAILED"


def _status(returned: object) -> Status:
    if type(returned) is Status and returned is not Status.INTERRUPTED:
        return returned
    if returned is None:
        raise ActionError(f"{_WANTED}, and this one returned None: is there a way through it without a return?")
    if returned is Status.INTERRUPTED:
        raise ActionError(f"{_WANTED}; only the planner interrupts")
    raise ActionError(f"{_WANTED}, not {returned!r}")


def _statuses(returned: object, number: int) -> NDArray[np.uint8]:
    """What a vectorised action returned, one status a row."""
    if returned is None or isinstance(returned, Status):
        return np.full(number, _status(returned), np.uint8)
    array = np.asarray(returned)
    if array.shape not in ((), (number,)) or array.dtype.kind not in "iu":
        raise ActionError(
            f"{_WANTED}, or an integer array of these of shape ({number},); this one returned "
            f"{array.dtype} of shape {array.shape}"
        )
    if not np.isin(array, (Status.RUNNING, Status.DONE, Status.FAILED)).all():
        raise ActionError(f"{_WANTED}; this one returned an array with {sorted(set(array.ravel().tolist()))}")
    return np.broadcast_to(array, number).astype(np.uint8)
