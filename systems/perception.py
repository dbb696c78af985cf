"""Perception: the first system of a tick."""

from __future__ import annotations

from time import perf_counter

import esper
import numpy as np
from numpy.typing import NDArray

from astrasim.errors import ActionError
from astrasim.kernels.looking import look as look_alone
from astrasim.kernels.looking import look_together
from astrasim.kernels.moving import sight, sight_together
from astrasim.kernels.sharing import nothing_taken, together
from astrasim.kernels.turns import rows_together, take_turns
from astrasim.simulation import Simulation


class Perception(esper.Processor):
    """Notices who left the world, then writes the percepts of the agents whose turn it is (every k-th tick)."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._rows: NDArray[np.int64] = np.arange(0)
        self._turn: NDArray[np.uint8] = np.ones(0, np.uint8)
        self._departures = 0
        names = sim.compiled.names
        self._seen = [
            (
                names.references.index(p.name),
                names.column(f"{p.name}_distance"),
                names.column(f"{p.name}_visible") if p.line_of_sight else None,
            )
            for p in sim.domain.declared.percepts.values()
            if not p.counts
        ]

    def process(self, dt: float | None = None) -> None:
        sim = self._sim
        sim.tick_started_s = perf_counter()
        sim.begin_tick(sim.settings.tick_s if dt is None else dt)
        sim.notice_deletions()
        sim.movement.sync_in(sim)
        if sim.agents.count:
            self._look()
        else:
            sim.looking = self._rows[:0]

    def look(self, turn: NDArray[np.uint8]) -> None:
        """Sort everybody into a grid and write the percepts of those whose ``turn`` it is; shape (agents or more,)."""
        sim, agents, things = self._sim, self._sim.agents, self._sim.things
        look = look_together if agents.count >= sim.shared_from else look_alone
        if len(sim.compiled.percepts.radius):
            look(
                agents.f, agents.r, agents.kind, turn, agents.count, things.f, things.kind, things.count,
                sim.compiled.percepts,
            )  # fmt: skip

    def _look(self) -> None:
        sim, agents = self._sim, self._sim.agents
        self.look(self._take_turns())
        departures = agents.departures + sim.things.departures
        if departures != self._departures:
            self._departures = departures
            if sim.pace.every > 1:  # else all have just looked
                self._forget_the_gone()
        for percept in sim.compiled.sights:
            self._see(percept.name)

    def _take_turns(self) -> NDArray[np.uint8]:
        """Who looks in this tick, as one number a row; their rows are ``sim.looking``."""
        sim, agents = self._sim, self._sim.agents
        n, every = agents.count, sim.pace.every
        if len(self._rows) < n:
            self._rows, self._turn = np.arange(agents.capacity), np.ones(agents.capacity, np.uint8)
        if every == 1:
            agents.due[:] = 0
            sim.looking = self._rows[:n]
            return self._turn
        turn, rows = np.empty(n, np.uint8), np.empty(n, np.int64)
        together = rows_together(agents.capacity)
        sim.looking = rows[: take_turns(agents.due, n, together, every, sim.ticks, turn, rows)]
        return turn

    def _forget_the_gone(self) -> None:
        """What an agent saw some ticks ago may have left since. Then there is no reference, so there is no distance."""
        agents = self._sim.agents
        for reference, distance, visible in self._seen:
            nobody = agents.r[reference, : agents.count] < 0
            np.copyto(agents.f[distance, : agents.count], np.inf, where=nobody)
            if visible is not None:
                np.copyto(agents.f[visible, : agents.count], 0, where=nobody)

    def _see(self, name: str) -> None:
        sim, agents = self._sim, self._sim.agents
        reference = agents.r[agents.reference_index[name]]
        seen = agents.refers_to[agents.reference_index[name]]
        visible = agents.float_index[f"{name}_visible"]
        if sim.line_of_sight is None:
            work = (
                agents.f, seen.f, reference, sim.looking, visible, sim.obstacles.blocked, sim.obstacles.cell,
                nothing_taken(),
            )  # fmt: skip
            if len(sim.looking) >= sim.shared_from:
                together(sight_together, *work)
            else:
                sight(*work)
            return
        rows = sim.looking[reference[sim.looking] >= 0]
        others = reference[rows]
        agents.f[visible][sim.looking] = 0
        if not len(rows):
            return
        try:
            agents.f[visible, rows] = sim.line_of_sight(
                agents.f[0, rows], agents.f[1, rows], seen.f[0, others], seen.f[1, others]
            )
        except Exception as error:  # the game's code: nobody sees anybody then
            if sim.settings.strict:
                raise ActionError(f"line_of_sight raised: {error!r}") from error
            sim.errors.report("line_of_sight", error)
