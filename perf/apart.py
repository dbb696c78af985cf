"""One stress run in a process of its own, so that nothing that an earlier one left is in its memory or its frames.

    python -m astrasim.perf.apart

reads the run as a line of JSON from stdin and writes its figures as the last line of stdout. It ends with its parent.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from astrasim import SettingsError
from astrasim.errors import AstraSimError

from .processes import exit_with_parent
from .stress import Run, measure


def measure_apart(run: Run) -> dict[str, Any] | None:
    """:func:`~astrasim.perf.stress.measure` in a new process; None if that died, for want of memory perhaps.

    Raises:
        SettingsError: with what the other process said, if it refused the run.
    """
    # -P: the folder in which the user happens to be must not shadow a module of ours.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "astrasim.perf.apart"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="utf-8", start_new_session=True,  # a Ctrl-C is for this process alone, and that one ends with it
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(json.dumps(asdict(run)) + "\n")
                child.stdin.flush()
            *_, last = child.stdout.read().splitlines() or [""]
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()
    try:
        figures: dict[str, Any] = json.loads(last)
    except ValueError:
        return None
    if "refused" in figures:
        raise SettingsError(figures["refused"])
    return figures


def main() -> None:
    """What runs in the other process."""
    told = json.loads(sys.stdin.readline())
    exit_with_parent()
    try:
        figures = measure(Run(**told | {"latency_ms": tuple(told["latency_ms"])}))
    except AstraSimError as error:
        figures = {"refused": str(error)}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
