"""The gateway: requests out, plans in. Everything slow (models, HTTP, JSON, waiting) happens behind it, in a process of
its own, so that nothing a model does can cost the game a frame.

``Gateway`` is the game's side. The other side is started by it; a game never imports it.

A game that is frozen into one executable (PyInstaller, cx_Freeze, Nuitka) must let that executable serve as the
gateway too, by these two lines at the very top of its main script::

    from astrasim.gateway import freeze_support
    freeze_support()
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Gateway
    from .messages import Answer, Failure, GatewayState, GatewayStatistics
    from .policy import GatewayPolicy
    from .spec import ModelSpec

__all__ = [
    "Answer",
    "Failure",
    "Gateway",
    "GatewayPolicy",
    "GatewayState",
    "GatewayStatistics",
    "ModelSpec",
    "freeze_support",
]

# Loaded on first use: the gateway process imports this package too, and must lower its priority before it loads
# anything, or each start of it would cost the game a few frames.
_HOME = {
    "Gateway": "client",
    "Answer": "messages",
    "Failure": "messages",
    "GatewayState": "messages",
    "GatewayStatistics": "messages",
    "GatewayPolicy": "policy",
    "ModelSpec": "spec",
}


if not TYPE_CHECKING:  # a type checker that saw this would take every name

    def __getattr__(name: str) -> object:
        if name in _HOME:
            return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}")


def freeze_support() -> None:
    """Be the gateway process, and never return, if this executable was started as one; otherwise do nothing.

    Only frozen games need it, first thing in their main script. A frozen game that forgets it opens a second copy of
    itself instead of a gateway; that copy's ``Gateway.start`` raises and says what is missing.
    """
    from .process import FLAG

    if sys.argv[1:2] == [FLAG]:
        from .__main__ import main

        main()
