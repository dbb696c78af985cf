"""What the keys do to the simulation: the model on and off, the cable, the budget."""

from __future__ import annotations

import os
import signal
from typing import Any

from astrasim import Simulation

BUDGETS_MS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def toggle_model(sim: Simulation) -> str:
    """Take the model away, or give it back; what was done, in words."""
    if hasattr(sim, "set_model"):
        sim.set_model("none" if sim.model is not None else "auto")
        return "The model is on" if sim.model is not None else "The model is off: heuristics decide"
    return _unplug(sim)


def _unplug(sim: Simulation) -> str:
    """Without ``sim.set_model``: put the gateway aside. Plans that the model has made stay in use."""
    kept: Any = sim.__dict__.get("unplugged")
    if sim.planner.gateway is not None:
        sim.planner.forget_requests(sim.time)
        sim.__dict__["unplugged"], sim.planner.gateway = sim.planner.gateway, None
        return "The model is off: heuristics decide"
    if kept is None:
        return f"There is no model: {sim.model_reason}"
    sim.planner.gateway = kept
    return "The model is on"


def plug_in(sim: Simulation) -> None:
    """Before the simulation is closed: it must end the gateway that was put aside, too."""
    kept = sim.__dict__.pop("unplugged", None)
    if kept is not None and sim.planner.gateway is None:
        sim.planner.gateway = kept


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
