"""The gateway process. A game starts it; settings come as the first line of standard input."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def main(settings: dict[str, Any] | None = None) -> NoReturn:
    """Serve the game that started this process until it closes standard input or the socket.

    Args:
        settings: what the first line of standard input said, if that is read already.
    """
    # Before anything is loaded: the game has the cores first, and its player's Ctrl-C is the game's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":  # there, the priority class was given at the start
        os.nice(10)
    if hasattr(os, "SCHED_BATCH"):
        # Or what the game sends us wakes us on its own core, in the middle of its frame, for a slice of milliseconds.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if sys.platform == "linux":
        # Stopped (SIGSTOP) while its game is killed, this process could not see that it has to leave: the game's death
        # wakes it. (So does the end of the thread that started it, long before; to one that runs it means nothing.)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    if settings is None:
        if sys.stdin is None or sys.stdin.isatty():
            sys.exit("astrasim.gateway is started by a game (astrasim.gateway.Gateway), not by hand")
        settings = json.loads(sys.stdin.buffer.readline() or b"null")
    if not isinstance(settings, dict):
        sys.exit("astrasim.gateway: the game ended before it said what to do")

    from .server import serve

    serve(settings)


if __name__ == "__main__":
    main()
