"""AstraSim: game characters that plan with a language model and never cost a frame.

Start with :class:`Domain` (declare a game), :class:`Simulation` (run it) and :class:`Settings`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Agent as Agent
    from .agents import Spot as Spot
    from .agents import Thing as Thing
    from .check import Report as Report
    from .dashboard import Dashboard as Dashboard
    from .domain import Domain as Domain
    from .errors import ActionError as ActionError
    from .errors import AgentGone as AgentGone
    from .errors import AstraSimError as AstraSimError
    from .errors import DomainError as DomainError
    from .errors import PlanRejected as PlanRejected
    from .errors import SettingsError as SettingsError
    from .errors import TransitionError as TransitionError
    from .errors import WorldError as WorldError
    from .frames import FrameTimes as FrameTimes
    from .frames import run_frames as run_frames
    from .gateway.policy import GatewayPolicy as GatewayPolicy
    from .observing import Observer as Observer
    from .plans import Plan as Plan
    from .plans import Source as Source
    from .settings import Settings as Settings
    from .simulation import Simulation as Simulation
    from .situation import Situation as Situation
    from .statistics import Statistics as Statistics
    from .steps import Status as Status
    from .tiers import Tier as Tier
    from .trace import Trace as Trace
    from .views import Rows as Rows
    from .vocabulary import quoted as quoted

__version__ = "0.1.0"

_HOME = {
    "Agent": "agents", "Spot": "agents", "Thing": "agents",
    "Report": "check", "Dashboard": "dashboard", "Domain": "domain",
    "ActionError": "errors", "AgentGone": "errors", "AstraSimError": "errors", "DomainError": "errors",
    "PlanRejected": "errors", "SettingsError": "errors", "TransitionError": "errors", "WorldError": "errors",
    "FrameTimes": "frames", "run_frames": "frames", "GatewayPolicy": "gateway.policy",
    "Observer": "observing", "Trace": "trace",
    "Plan": "plans", "Source": "plans", "Settings": "settings", "Simulation": "simulation",
    "Situation": "situation", "Statistics": "statistics", "Status": "steps", "Tier": "tiers", "Rows": "views",
    "quoted": "vocabulary",
}  # fmt: skip

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  the keys are strings


def __getattr__(name: str) -> Any:
    # On first use: the gateway process imports this package too, and must start without numba and numpy.
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
