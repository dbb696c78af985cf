"""What the keys do to the simulation: the model on and off, the cable, the budget."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from astrasim import Settings, Simulation
from astrasim.pace import Pace

BUDGETS_MS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
BUDGETS_UNITS = (0, 1, 2, 4, 8, 16, 32, 64, 128)


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


def plans(pace: Pace) -> bool:
    """Whether anybody plans at all."""
    return pace.budget_ms > 0 and pace.budget_units != 0


def in_words(pace: Pace) -> str:
    """The planning budget that rules: units of work where they are set, else the clock."""
    if pace.budget_units is None:
        return f"{pace.budget_ms:g} ms"
    return f"{pace.budget_units} unit{'' if pace.budget_units == 1 else 's'}"


def change_budget(sim: Simulation, steps: int) -> str:
    """The planning budget of a tick, up or down, in what it is counted in. The governor must be off."""
    pace = sim.pace
    if pace.budget_units is None:
        pace.budget_ms = _step(BUDGETS_MS, pace.budget_ms, steps)
    else:
        pace.budget_units = int(_step(BUDGETS_UNITS, pace.budget_units, steps))
    off = "" if plans(pace) else " (no planning at all)"
    return f"Planning budget {in_words(pace)} a tick{off}"


def governs(settings: Settings) -> bool:
    """Whether the demo begins with the governor on: unless it was set otherwise."""
    return settings.governor or "governor" not in settings.model_fields_set


def _step(choices: Sequence[float], now: float, steps: int) -> float:
    nearest = min(range(len(choices)), key=lambda i: abs(choices[i] - now))
    return choices[min(max(nearest + steps, 0), len(choices) - 1)]
