"""How the gateway process ends with its game, however that ends, and never outlives it."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

import anyio

from .exchanges import ExchangeLog

_HANG_S = 20.0


def leave_with_game(log: ExchangeLog | None) -> None:
    """From now on, end this process when the game closes our standard input, or ends. By a thread, so that a busy loop
    is no matter. What runs in this process, and the programs that it starts, find standard input empty."""
    stdin = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_wait_for_the_end, args=(stdin, log), name="astrasim-leave", daemon=True).start()


def _wait_for_the_end(stdin: int, log: ExchangeLog | None) -> None:
    with suppress(OSError):
        while os.read(stdin, 1024):
            pass
    leave(0, log)


async def leave_orphaned(log: ExchangeLog | None) -> None:
    """Two ways to outlive a game that its end of our standard input does not show, looked at each second. Another
    process of the game's may hold that end too; and a function model that never lets go of the interpreter keeps us
    from looking. For the second, a thread outside the interpreter ends this process (and prints where it hangs) unless
    it is told each second that all is well."""
    parent = os.getppid()
    while True:
        if sys.__stderr__ is not None:  # a function model's module may have put something else in sys.stderr's place
            faulthandler.dump_traceback_later(_HANG_S, exit=True, file=sys.__stderr__)
        await anyio.sleep(1.0)
        if sys.platform != "win32" and os.getppid() != parent:
            leave(0, log)


def leave(code: int, log: ExchangeLog | None) -> NoReturn:
    """End this process, with what is to be logged written, as far as that is quickly done."""
    if log is not None:
        log.close(0.2)
    with suppress(Exception):
        sys.stderr.flush()
    os._exit(code)  # not sys.exit, which waits for threads, and a function model's may never end
