"""The gateway process as it is, but for one thing: told to by SIGUSR1, it dies in the middle of its next message.

    python -m astrasim.perf.breakable_gateway        (started by a game, as any gateway)
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from astrasim.gateway.__main__ import main

_LEAVES_S = 0.05
"""So long what was written of the message has to get out."""


def _break(*_: object) -> None:
    from astrasim.gateway.framing import pack  # by now they are loaded: not before the gateway lowered its priority
    from astrasim.gateway.messages import MAX_TO_GAME
    from astrasim.gateway.server import Server

    def half(self: Any, message: dict[str, Any]) -> None:
        frame = pack(message, MAX_TO_GAME)
        self._outbox += frame[: len(frame) // 2]
        self._pushed.set()
        Server._push = lambda *_: None  # type: ignore[method-assign]  # nothing may come behind it
        asyncio.get_running_loop().call_later(_LEAVES_S, os.kill, os.getpid(), signal.SIGKILL)

    Server._push = half  # type: ignore[method-assign]  # this is what the module is for


if __name__ == "__main__":
    line = sys.stdin.buffer.readline() or sys.exit(1)
    settings = json.loads(line)
    sys.path[:] = settings["path"]
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _break)
    main(settings)
