"""The gateway's process, seen from the game: started without holding up a frame, and ended for sure.

What ends it: its standard input or its socket closing (which is what happens however the game ends, SIGKILL
included), or SIGKILL from :meth:`Child.kill`.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
from contextlib import suppress
from io import FileIO
from typing import Any

import psutil

FLAG = "--astrasim-gateway"
"""A frozen game's executable, started with this first argument, is a gateway; see ``freeze_support``."""

CHILD_ENV = "ASTRASIM_GATEWAY_PROCESS"
"""Set in the gateway's environment, so that no gateway can start gateways."""

# The child gets the game's own sys.path before it imports anything of ours, so it finds exactly what the game finds.
# -P: without it, "-c" would search the current folder first, where a game may well have a queue.py.
_BOOTSTRAP = (
    "import sys,json;line=sys.stdin.buffer.readline() or sys.exit(1);settings=json.loads(line);"
    "sys.path[:]=settings['path'];from astrasim.gateway.__main__ import main;main(settings)"
)

_GRACE_S = 0.3
_PAGE_MB = mmap.PAGESIZE / 2**20


def command() -> list[str]:
    """The command line of a gateway. No secret is in it: everybody can read command lines."""
    if getattr(sys, "frozen", False):
        return [sys.executable, FLAG]
    return [sys.executable, "-P", "-c", _BOOTSTRAP]


class Child:
    """One process, from its start to its end.

    It is started by a thread that lives for a few milliseconds. Linux starts one in 0.4 ms, however large the game is
    (vfork); where Python must fork, or on Windows, it is 5 ms and more, and on a slow disk far more. ``error`` says why
    it could not be started, if it could not.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """``settings`` are told to the process over its standard input, as one line of JSON."""
        self.error = ""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: psutil.Process | None = None
        self._statm: FileIO | None = None
        self._unwanted = False
        path = [entry or os.getcwd() for entry in sys.path]
        line = json.dumps({"path": path, **settings}).encode() + b"\n"
        self._starter = threading.Thread(target=self._start, args=(line,), name="astrasim-gateway-start", daemon=True)
        self._starter.start()

    @property
    def pid(self) -> int | None:
        """None until the process has started."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None if it still runs, has not started yet, or never will."""
        return None if self._process is None else self._process.poll()

    @property
    def ended(self) -> bool:
        """Whether it has ended, or could not be started."""
        return bool(self.error) or self.exit_code is not None

    def memory_mb(self) -> float:
        """How much memory it occupies (resident, MiB); 0 if that cannot be found out."""
        try:
            if sys.platform == "linux":  # in a quarter of the time that psutil takes
                if self._statm is None and self.pid:
                    self._statm = FileIO(f"/proc/{self.pid}/statm")
                return int(os.pread(self._statm.fileno(), 64, 0).split()[1]) * _PAGE_MB if self._statm else 0.0
            if self._seen is None and self.pid:
                self._seen = psutil.Process(self.pid)  # kept, because making it takes longer than a look
            return float(self._seen.memory_info().rss) / 2**20 if self._seen else 0.0
        except (psutil.Error, OSError, ValueError):  # it has ended, or is being closed
            return 0.0

    def kill(self) -> None:
        """End it at once, without waiting for the end. A stopped process (SIGSTOP) ends too."""
        with self._lock:
            self._unwanted = True
            process = self._process
        self._look_no_more()
        if process is not None:
            with suppress(OSError):
                process.kill()
            if process.stdin is not None and not self._starter.is_alive():
                with suppress(OSError):
                    process.stdin.close()

    def close(self) -> None:
        """End it and wait for the end: at most 0.3 s for it to go by itself, then it is killed."""
        self._starter.join(2.0)
        self._look_no_more()
        process = self._process
        if process is None or self._starter.is_alive():
            self.kill()
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(2.0)

    def _look_no_more(self) -> None:
        if self._statm is not None:
            self._statm.close()

    def _start(self, line: bytes) -> None:
        try:
            process = _popen()
        except Exception as error:  # whatever it is, the game must hear of it rather than lose a thread
            self.error = f"{type(error).__name__}: {error}"
            return
        with self._lock:
            self._process = process
            unwanted = self._unwanted
        if unwanted:
            process.kill()
            process.wait()
            return
        with suppress(OSError):  # it ended before it could be told anything: ``ended`` says so
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()


def _popen() -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise RuntimeError("sys.executable is empty, so there is no Python to start; set it before starting the game")
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        options["creationflags"] = (
            subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        )
    else:
        # Ctrl-C in the terminal is for the game: it goes to the process group in front, which the child leaves. Not the
        # session: Linux shares the cores out by session first (sched_autogroup), and in one of its own the child would
        # get half of a core that a frame wants, however low its priority. (It lowers that itself: preexec_fn could, but
        # makes Python fork, which takes 6 ms in a game of 1 GB.)
        options["process_group"] = 0
    # No standard output: a game's own (--json, say) must stay clean. The child prints to standard error.
    return subprocess.Popen(
        command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, CHILD_ENV: "1"},
        **options,
    )
