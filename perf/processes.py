"""Server processes that cannot outlive their user.

A server says where it listens in one line on stdout, ``... listening on http://127.0.0.1:43211``. Its parent holds the
other end of its stdin, and may tell it something there: when the parent is gone, however it went, stdin ends and so
does the server. That works the same on Linux, macOS and Windows, which signals and process groups do not.
"""

from __future__ import annotations

import collections
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple, Protocol

from astrasim.gateway import idling

LISTENING = " listening on "
_STDERR_LINES_KEPT = 40


class ServerStartError(RuntimeError):
    """A server process ended, or stayed silent, before it said where it listens. The message holds its stderr."""


def announce(name: str, url: str) -> None:
    """Say in one line on stdout where the server `name` listens, for people and for `server_process`."""
    print(f"{name}{LISTENING}{url}", flush=True)


def exit_with_parent(told: Callable[[str], object] = lambda _: None) -> None:
    """End this process as soon as its stdin ends, which is when its parent closes the pipe or dies.

    Args:
        told: is given each line that the parent writes before that, without its end, in a thread of its own.
    """

    def watch() -> None:
        said = b""
        try:
            # The descriptor, not sys.stdin: a daemon thread inside a buffered reader aborts the interpreter at exit.
            while data := os.read(0, 1024):
                *lines, said = (said + data).split(b"\n")
                for line in lines:
                    told(line.decode())
        except OSError:
            pass
        # Not sys.exit: that would end this thread only, and a busy main thread must not hold up the end.
        os._exit(0)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()


def give_way() -> None:
    """Take only what a game's frames leave of the processor. A server elsewhere would take nothing of it at all.

    Threads started later inherit it. Windows has no nice.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    idling.give_way()


class Tell(Protocol):
    """Tells a server something."""

    def __call__(self, line: str, reply_s: float = 5.0) -> str:
        """Write a line to its stdin, wait for the next line on its stdout, and return that.

        Raises:
            OSError: it is gone (ConnectionError, with its stderr), or says nothing for so long (TimeoutError).
        """
        ...


class ServerProcess(NamedTuple):
    """A server that runs: where it listens, its process's number, and how to tell it something."""

    url: str
    pid: int
    tell: Tell


@contextmanager
def server_process(
    module: str, arguments: Sequence[str] = (), *, start_s: float = 30.0, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run ``python -m module arguments`` for the length of the block.

    The module must know ``--exit-with-parent`` (see `exit_with_parent`). `environment` is added to this process's own.

    Raises:
        ServerStartError: it announced nothing within `start_s` seconds, or ended first.
    """
    # -P: the folder in which the user happens to be must not shadow a module of ours.
    command = [sys.executable, "-P", "-m", module, *arguments, "--exit-with-parent"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(environment or {})},
        # A Ctrl-C in the terminal is for the parent alone, which then ends its servers in its own order. (Not a session
        # of its own: Linux shares the cores out by session first, and a low priority counts only within one.)
        creationflags=_creation_flags(),
        process_group=None if sys.platform == "win32" else 0,
    )
    announced: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    complaints: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES_KEPT)

    def on_stdout(line: str) -> None:
        if LISTENING in line:
            announced.put(line.partition(LISTENING)[2].split()[0])
        else:
            replies.put(line.rstrip("\n"))

    def at_end() -> None:
        announced.put(None)
        replies.put(None)

    def tell(line: str, reply_s: float = 5.0) -> str:
        assert process.stdin is not None, "stdin was opened as a pipe"
        process.stdin.write(line + "\n")
        process.stdin.flush()
        try:
            reply = replies.get(timeout=reply_s)
        except queue.Empty:
            raise TimeoutError(f"{module} was told {line!r} and said nothing for {reply_s:g} s") from None
        if reply is None:
            readers[1].join(timeout=5.0)
            raise ConnectionError(f"{module} ended. Its stderr:\n{''.join(complaints) or '(empty)'}")
        return reply

    # Both pipes are read until their end, or a server that says much would block on a full one.
    readers = [
        _reader(process.stdout, on_stdout, at_end),
        _reader(process.stderr, complaints.append, lambda: None),
    ]
    try:
        try:
            url = announced.get(timeout=start_s)
        except queue.Empty:
            raise ServerStartError(
                f"{module} did not say where it listens within {start_s:g} s; is the machine very busy? "
                f"Its stderr:\n{''.join(complaints) or '(empty)'}"
            ) from None
        if url is None:
            status = _end(process)
            readers[1].join(timeout=5.0)
            said = "".join(complaints) or "(empty)"
            raise ServerStartError(f"{module} ended with status {status} before it listened. Its stderr:\n{said}")
        yield ServerProcess(url, process.pid, tell)
    finally:
        _end(process)
        for reader in readers:
            reader.join(timeout=5.0)


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _reader(stream: IO[str] | None, on_line: Callable[[str], object], at_end: Callable[[], None]) -> threading.Thread:
    """A running thread that passes each line of `stream` to `on_line`, then calls `at_end` and closes the stream."""
    assert stream is not None, "the stream was opened as a pipe"

    def read(stream: IO[str]) -> None:
        with stream:
            for line in stream:
                on_line(line)
        at_end()

    thread = threading.Thread(target=read, args=(stream,), daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[str]) -> int:
    """End `process` for sure, in at most about 4 s, and return its exit status."""
    assert process.stdin is not None, "stdin was opened as a pipe"
    with suppress(OSError):  # it was killed
        process.stdin.close()  # asks: exit_with_parent sees the end of its stdin
    for insist in (process.terminate, process.kill):
        try:
            return process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            insist()
    return process.wait()
