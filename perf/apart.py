"""Measuring in a process of its own, so that nothing that an earlier run left is in its memory or its frames.

The process reads what it is told as a line of JSON from stdin, and writes its figures as the last line of stdout. It
ends with its parent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from astrasim import SettingsError
from astrasim.errors import AstraSimError

from .processes import exit_with_parent
from .stress import Run, measure

Figures = dict[str, Any]


def measure_apart(run: Run) -> Figures | None:
    """:func:`~astrasim.perf.stress.measure` in a new process. Returns and errors as :func:`apart`."""
    return apart("astrasim.perf.apart:_measure", asdict(run))


def apart(work: str, told: Figures) -> Figures | None:
    """What a function (``module:name``) makes of ``told`` in a new process; both are JSON.

    Returns:
        what it returned; None if the process died, for want of memory perhaps.

    Raises:
        SettingsError: with what the other process said, if it refused the run.
    """
    module, _, name = work.partition(":")
    code = f"from astrasim.perf.apart import answer; from {module} import {name}; answer({name})"
    # -P: the folder in which the user happens to be must not shadow a module of ours.
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="utf-8", start_new_session=True,  # a Ctrl-C is for this process alone, and that one ends with it
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(json.dumps(told) + "\n")
                child.stdin.flush()
            *_, last = child.stdout.read().splitlines() or [""]
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
    try:
        figures: Figures = json.loads(last)
    except ValueError:
        return None
    if "refused" in figures:
        raise SettingsError(figures["refused"])
    return figures


def answer(work: Callable[[Figures], Figures]) -> None:
    """What runs in the other process."""
    told = json.loads(sys.stdin.readline())
    exit_with_parent()
    try:
        figures = work(told)
    except AstraSimError as error:
        figures = {"refused": str(error)}
    print(json.dumps(figures), flush=True)


def _measure(told: Figures) -> Figures:
    return measure(Run(**told | {"latency_ms": tuple(told["latency_ms"])}))
