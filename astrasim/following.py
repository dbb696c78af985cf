"""Following some agents step by step, for one observer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kernels.columns import RUNNING
from .plans import Source
from .records import StepRecord
from .steps import Status

if TYPE_CHECKING:
    from .agents import Agent
    from .kernels.columns import Agents
    from .simulation import Simulation

EACH = 2
"""Of those who take one plan so many are followed, so that several plans are."""
ALWAYS = -1


@dataclass(slots=True)
class _Life:
    """``until_done``: it is followed as long as it has this plan to follow. ``running``: the last of what was told of
    it is that a step began, ``at`` is which (its plan, step, source, and when it got the plan)."""

    agent: Agent
    until_done: int = ALWAYS
    running: bool = False
    at: tuple[int, int, int, float] = (ALWAYS, 0, 0, 0.0)
    began: StepRecord | None = None


class Following:
    """Looks at its agents twice a tick, before steps run and after: an agent runs one step a tick at most.

    Args:
        agents: followed as long as they live.
        most: how many others may be followed at a time.
        request_of: (cache entry, plan) -> the id of the request that brought it.
    """

    def __init__(
        self, sim: Simulation, agents: Sequence[Agent], most: int, request_of: Callable[[int, int], int | None]
    ) -> None:
        self._sim, self._request_of = sim, request_of
        self._lives = [_Life(agent) for agent in agents]
        self._always = len(self._lives)
        self._most = most
        self._records: list[StepRecord] = []

    def take(self, agents: Sequence[Agent], plan: int) -> None:
        """These have just been handed this plan."""
        if len(self._lives) >= self._most + self._always:
            return
        room = self._most - sum(life.until_done != ALWAYS for life in self._lives)
        followed = {life.agent.uid for life in self._lives}
        others = [agent for agent in agents if agent.uid not in followed]
        self._lives += [_Life(agent, plan) for agent in others[: max(0, min(room, EACH))]]

    def before_steps(self, now_s: float) -> None:
        """What each is about to do."""
        if self._lives:
            columns = self._sim.columns()
            self._lives = [life for life in self._lives if self._goes_on(life, columns, now_s)]

    def after_steps(self, now_s: float) -> None:
        """How the steps ended that did."""
        state = self._sim.agents.state
        for life in self._lives:
            if life.running and (row := life.agent._row) >= 0 and (status := state.item(row)) != RUNNING:
                self._end(life, Status(status), now_s)

    def records(self) -> list[StepRecord]:
        """All since the last call."""
        records, self._records = self._records, []
        return records

    def _goes_on(self, life: _Life, columns: Agents, now_s: float) -> bool:
        """Whether it is still to be followed."""
        row = life.agent._row  # -1: it is no more
        if row < 0:
            return self._end(life, Status.INTERRUPTED, now_s)
        plan, step, source = columns.plan.item(row), columns.step.item(row), columns.source.item(row)
        until_done = life.until_done
        if until_done != plan and until_done != ALWAYS and until_done != columns.next_plan.item(row):
            return self._end(life, Status.INTERRUPTED, now_s)
        at = (plan, step, source, columns.plan_start.item(row))
        if life.running and at == life.at:
            return True
        if columns.state.item(row) == Status.INTERRUPTED:
            self._end(life, Status.INTERRUPTED, now_s)
        life.running, life.at = True, at
        brought_by = self._request_of(columns.entry.item(row), plan) if source != Source.HEURISTIC.value else None
        life.began = StepRecord(
            now_s, life.agent, self._sim.planner.plans[plan], step, Status.RUNNING, Source(source), brought_by
        )
        self._records.append(life.began)
        return True

    def _end(self, life: _Life, status: Status, now_s: float) -> bool:
        """False: handy where the agent is followed no more."""
        if life.running and life.began is not None:
            self._records.append(life.began._replace(at_s=now_s, status=status))
        life.running = False
        return False
