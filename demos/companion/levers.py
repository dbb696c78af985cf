"""What the keys do to the simulation: the model on and off, the cable, the budget."""

from __future__ import annotations

import os
import signal

from astrasim import Simulation

BUDGETS_MS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class ModelSwitch:
    """The model off, and on again: the same one, without looking for it anew."""

    def __init__(self, sim: Simulation) -> None:
        self._sim, self._last = sim, sim.model

    def toggle(self) -> str:
        """Take the model away, or give it back; what was done, in words."""
        if self._sim.model is not None:
            self._last = self._sim.model
            self._sim.set_model("none")
            return "The model is off: heuristics decide"
        if self._last is None:
            return f"There is no model: {self._sim.model_reason}"
        self._sim.set_model(self._last)
        return f"The model is on: {self._last}"


def pull_the_cable(sim: Simulation) -> str:
    """Kill the gateway's process, as a crash would; what happened, in words."""
    pid = getattr(sim.planner.gateway, "pid", None)
    if pid is None:
        return "There is no gateway to kill"
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    return f"Gateway process {pid} killed"


def change_budget(sim: Simulation, steps: int) -> str:
    """The planning budget of a tick, up or down."""
    budget = sim.planner.budget
    nearest = min(range(len(BUDGETS_MS)), key=lambda i: abs(BUDGETS_MS[i] - budget.budget_ms))
    budget.budget_ms = BUDGETS_MS[min(max(nearest + steps, 0), len(BUDGETS_MS) - 1)]
    off = " (no planning at all)" if not budget.budget_ms else ""
    return f"Planning budget {budget.budget_ms:g} ms a tick{off}"
