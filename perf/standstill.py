"""How long a thread with work to do stands still beside a busy process that gives way to it.

    python -m astrasim.perf.standstill

Both are bound to one core, as the game's thread and the gateway are when the other core is busy too. The thread works
10 ms of every 16.7 and looks at the clock all the time: where that jumps, it stood still. The process works 3 ms of
every 8: of low priority as that is commonly done, or as the gateway does it (``astrasim/gateway/idling.py``), asking
now and then whether somebody else waits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from astrasim.gateway.idling import give_way

BESIDE = ("nobody", "lowest priority", "giving way")
STILL_S = 0.0005
WORK_S, FRAME_S = 0.010, 1 / 60
BUSY_S, REST_S = 0.003, 0.005


def bind() -> None:
    """To the last of the cores that this process may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def work(gives_way: bool) -> None:
    """Be the busy process, until it is killed."""
    if gives_way:
        give_way()
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    bind()
    while True:
        begun = time.perf_counter()
        while time.perf_counter() - begun < BUSY_S:
            sum(range(2000))
            if gives_way:
                os.sched_yield()
        time.sleep(REST_S)


def standstills(seconds: float) -> list[float]:
    """How long this thread stood still, each time that it did, in seconds."""
    found = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        last = begun
        while last - begun < WORK_S:
            now = time.perf_counter()
            if now - last > STILL_S:
                found.append(now - last)
            last = now
        time.sleep(FRAME_S - WORK_S)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.standstill", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each of the three (default 6)")
    parser.add_argument("--be", choices=BESIDE[1:], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if sys.platform != "linux":
        parser.error("this measures Linux's scheduler")
    if options.be:
        work(options.be == BESIDE[2])
    cores = os.sched_getaffinity(0)
    for beside in BESIDE:
        command = [sys.executable, "-P", "-m", "astrasim.perf.standstill", "--be", beside]
        os.sched_setaffinity(0, cores)  # the process inherits it, and does not give way where it has one core only
        process = subprocess.Popen(command) if beside != BESIDE[0] else None
        try:
            bind()
            time.sleep(1.0)
            found = standstills(options.seconds)
        finally:
            if process is not None:
                process.kill()
                process.wait()
        longest_ms = max(found, default=0.0) * 1000
        print(f"beside {beside}: still {len(found)} times in {options.seconds:g} s, {longest_ms:.1f} ms at the longest")


if __name__ == "__main__":
    main()
