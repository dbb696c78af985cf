"""The log of exchanges: every prompt and what came of it, one JSON object a line, for people to read afterwards."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ..prompts import Prompt
from .messages import clean

_WAITING = 1000
_RAW_CHARS = 64 * 1024
MAX_BYTES = 64 * 2**20
"""Of the file. Then it is renamed, with ".1" at its end, and a new one is begun; one that was renamed before goes."""


class ExchangeLog:
    """Writes from a thread of its own, so that a slow disk delays no request.

    The first error (a full disk, a missing folder) ends the logging and nothing else: ``trouble`` then says so.
    Exchanges that come faster than the disk takes them are left out; the next line written counts them in ``left_out``.
    """

    def __init__(self, path: Path, hide: Callable[[str], str], max_bytes: int = MAX_BYTES) -> None:
        """``hide`` makes of an answer one without the key."""
        self._hide, self._max_bytes = hide, max_bytes
        self.trouble = ""
        self._path = path
        self._left_out = 0
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="astrasim-exchanges", daemon=True)
        self._thread.start()

    def write(self, request_id: int, prompt: Prompt, raw: str | None, outcome: str, latency_ms: float) -> None:
        """Add an exchange; never waits. ``outcome`` is "answered" or the reason of its failure."""
        if self.trouble:
            return
        line = {
            "time": round(time.time(), 3),
            "request": request_id,
            "system": prompt.system,
            "user": prompt.user,
            "raw": None if raw is None else clean(self._hide(raw), _RAW_CHARS),
            "outcome": outcome,
            "latency_ms": round(latency_ms, 1),
        }
        if self._left_out:
            line["left_out"] = self._left_out
        try:
            self._queue.put_nowait(line)
            self._left_out = 0
        except queue.Full:
            self._left_out += 1

    def close(self, timeout_s: float) -> None:
        """Write what is waiting, for at most ``timeout_s``."""
        with suppress(queue.Full):  # then the thread will not get to the end of it in time either
            self._queue.put_nowait(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            with closing(_File(self._path, maxBytes=self._max_bytes, backupCount=1, encoding="utf-8")) as file:
                while (line := self._queue.get()) is not None:
                    file.emit(logging.makeLogRecord({"msg": json.dumps(line)}))
        except (OSError, ValueError) as error:
            self.trouble = f"no longer logging exchanges to {self._path}: {error}"


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704  # called where the error is being handled; logging's own prints it and goes on
