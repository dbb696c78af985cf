"""Who moves the agents: by default velocities are integrated; a game whose components own movement replaces that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .kernels.moving import integrate

if TYPE_CHECKING:
    from .simulation import Simulation


class Movement(Protocol):
    """What a game supplies to own movement itself: ``Simulation(domain, movement=MyPhysics())``."""

    def sync_in(self, sim: Simulation) -> None:
        """Before perception: write the game's positions to ``sim.agents.x`` and ``.y``."""

    def sync_out(self, sim: Simulation, dt: float) -> None:
        """After action: take the wanted velocities from ``sim.agents.vx`` and ``.vy``."""


class Integrate:
    """Position plus velocity times dt, inside the domain's size, sliding along blocked cells."""

    def sync_in(self, sim: Simulation) -> None:
        """Nothing to do: the table's positions are the positions."""

    def sync_out(self, sim: Simulation, dt: float) -> None:
        width, height = sim.domain.size or (0.0, 0.0)
        integrate(
            # A float whatever the game wrote: numba would compile the kernel anew for another type, in a frame.
            sim.agents.f, sim.agents.count, float(dt), sim.domain.size is not None, width, height,
            sim.obstacles.blocked, sim.obstacles.cell,
        )  # fmt: skip
