"""The life of the gateway process, as the game leads it.

    CLOSED ──► STARTING ──► READY ◄──► STALLED      STALLED: READY, but no sign of life for 2 s
                 ▲  │         │           │
                 │  ▼         ▼           ▼
                 └─ DOWN ◄────┴───────────┘         after a pause of 0.25 s, doubling to 4 s, it is started again

``close`` leads to CLOSED from anywhere. The pause is 0.25 s again after 30 s of health.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .door import Door
from .framing import pack
from .link import Link
from .messages import MAX_TO_GATEWAY, Counts, GatewayState
from .process import Child

log = logging.getLogger("astrasim")

PING_S = 0.5
STALLED_S = 2.0
LOST_S = 15.0
START_S = 30.0
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
"""However often it died, there are plans again within 10 s of its last death, on a slow machine too."""
HEALTHY_S = 30.0

# At most so much of the time between two calls counts as silence of the other side: a game that was itself paused (a
# loading screen, a debugger, a laptop's lid) must not blame the gateway.
_LONGEST_FRAME_S = 0.25

_PING = pack({"t": "ping"}, MAX_TO_GATEWAY)


class Life:
    """Starts the process, lets it in, listens for its signs of life, ends it and starts it again.

    ``link`` is the connection to it, None while there is none. Times are the game's clock, in seconds.
    """

    def __init__(self, settings: Mapping[str, Any], counts: Counts, memory_mb: int) -> None:
        """
        Args:
            settings: what each new process is told over its standard input, besides port and secret.
            memory_mb: how large it may get, in MiB.
        """
        self.link: Link | None = None
        self._settings = settings
        self._counts = counts
        self._memory_mb = memory_mb
        self._state = GatewayState.CLOSED
        self._child: Child | None = None
        self._dying: list[Child] = []
        self._door: Door | None = None
        self._why = ""
        self._pause_s = FIRST_PAUSE_S
        self._silent_s = self._now = self._retry_at = self._ready_at = self._next_check = 0.0
        self._pinged = self._weighs = False

    @property
    def state(self) -> GatewayState:
        if self._state is GatewayState.READY and self._silent_s >= STALLED_S:
            return GatewayState.STALLED
        return self._state

    @property
    def strangers(self) -> int:
        """Connections refused so far."""
        return self._counts.strangers + (self._door.strangers if self._door else 0)

    @property
    def why(self) -> str:
        """Why the process was given up, "" if it ended by itself, or has not."""
        return self._why

    @property
    def pid(self) -> int | None:
        """The process's number, None while there is none."""
        return self._child.pid if self._child else None

    def start(self, now: float) -> None:
        self._pause_s, self._now = FIRST_PAUSE_S, now
        self._launch(now)

    def tend(self, now: float) -> bool:
        """Call each tick. True if the process has just come in: ``link`` is new and knows nothing yet."""
        self._silent_s += min(max(now - self._now, 0.0), _LONGEST_FRAME_S)
        self._now = now
        if self._state is GatewayState.DOWN:
            if now >= self._retry_at:
                self._launch(now)
        elif self._door is not None:
            return self._welcome(self._door, now)
        return False

    def heard(self) -> None:
        """Something came from the process."""
        self._silent_s = 0.0
        self._pinged = False

    def ready(self) -> None:
        """The process says that it is ready for requests."""
        if self._state is GatewayState.STARTING:
            self._state, self._ready_at = GatewayState.READY, self._now

    def judge(self, link: Link) -> None:
        """Call each tick while there is a link, after reading from it."""
        if self._now >= self._next_check:
            # By turns, because each takes a tenth of a millisecond.
            self._next_check = self._now + PING_S / 2
            self._weighs = not self._weighs
            if self._weighs:
                used_mb = self._child.memory_mb() if self._child is not None else 0.0
                if used_mb > self._memory_mb:
                    return self.lose(f"gateway used {used_mb:.0f} MB, of {self._memory_mb} MB that it may", kill=True)
            else:
                # One ping at a time: a process that is stopped for long must not find a heap of them.
                if not self._pinged:
                    link.push(_PING)
                    self._pinged = True
                if self._child is not None and self._child.ended:
                    link.abandon()
        if self._silent_s > LOST_S:
            self.lose(f"gateway gave no sign of life for {LOST_S:.0f} s", kill=True)

    def lose(self, why: str = "", *, kill: bool = False) -> None:
        """Give the process up, and start another one after a pause. ``why`` is "" if it ended by itself."""
        self._disconnect()
        if self._child is not None and kill:
            self._child.kill()
        if self._state is GatewayState.READY and self._now - self._ready_at >= HEALTHY_S:
            self._pause_s = FIRST_PAUSE_S
        self._retry_at = self._now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._why = why
        self._state = GatewayState.DOWN
        if why:
            log.warning("%s; it is started again in %.2f s", why, self._retry_at - self._now)

    def close(self) -> None:
        """End the process for sure, and wait for its end."""
        self._disconnect()
        self._state = GatewayState.CLOSED
        for child in (self._child, *self._dying):
            if child is not None:
                child.close()
        self._dying, self._child = [], None

    def describe(self, now: float) -> str:
        """The state, and what is wrong, in plain words."""
        state = self.state
        if state is GatewayState.STALLED:
            return f"no sign of life for {self._silent_s:.0f} s (it is started again after {LOST_S:.0f} s)"
        if state is not GatewayState.DOWN:
            return str(state.value)
        why = self._why
        if not why:
            # Asked only now, because the connection's end is noticed a moment before the process's.
            code = self._child.exit_code if self._child else None
            why = "gateway stopped" if code is None else f"gateway stopped (exit code {code})"
        return f"{why}, next try in {max(self._retry_at - now, 0.0):.1f} s"

    def _launch(self, now: float) -> None:
        if self._child is not None:
            self._child.kill()
            self._dying.append(self._child)
            self._child = None
        self._dying = [child for child in self._dying if not child.ended]
        self._counts.launches += 1
        self._silent_s, self._why, self._state = 0.0, "", GatewayState.STARTING
        try:
            self._door = Door()
            self._child = Child({**self._settings, "port": self._door.port, "secret": self._door.secret})
        except (OSError, RuntimeError) as error:  # the system has no socket or no thread left
            self.lose(f"gateway not started: {error}")

    def _welcome(self, door: Door, now: float) -> bool:
        admitted = door.admit()
        if admitted is not None:
            self._disconnect()
            self.link = Link(*admitted, self._counts)
            self._silent_s, self._pinged, self._next_check = 0.0, False, now
            return True
        if self._child is not None and self._child.ended:
            self.lose(f"gateway not started: {self._child.error}" if self._child.error else "")
        elif self._silent_s > START_S:
            self.lose(f"gateway did not come up within {START_S:.0f} s", kill=True)
        return False

    def _disconnect(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None
        if self._door is not None:
            self._door.close()
            self._counts.strangers += self._door.strangers
            self._door = None
