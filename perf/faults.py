"""The fault run: one game plays on while every fault of the list is made, one after the other, each beside a control.

The command line is ``astrasim stress --faults all``. The game is a process of its own (``faults_game.py``), so that
whoever makes the faults takes nothing of its frames. Of each fault: the same time without it, then the fault, then
until a plan arrives again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

from astrasim import SettingsError

from . import outside_faults, stub_faults
from .faults_game import GameOptions, Phase
from .outside_faults import OutsideFault, Stage
from .processes import server_process
from .stress import Run

Figures = dict[str, Any]

SHARE_MISSED = 0.001
"""So many more of the frames may be missed than in the control."""
OVER_BUDGET = 1.05
RECOVERY_S = 10.0
GROWTH_MB = {"game": 16.0, "gateway": 32.0}
"""How much larger the processes may get in a fault than in its control."""
IN_ALL = 2.0
"""So many times that, they may get larger than in the first control: a leak in every fault adds up."""
SIDE = ("unwanted",)
"""Reasons that come with play, not with a fault."""
START_S, REPLY_S = 180.0, 300.0
QUICK: Figures = {"deadline_s": 1.0, "rest_s": 0.1, "longest_rest_s": 0.4}
QUICK_LATENCY_MS = (20.0, 100.0)
FULL_LIMIT_S, QUICK_LIMIT_S = 1680.0, 105.0
"""Rows are made again only if all can be done within so long."""
_DRAIN_S = 2.0


@dataclass(frozen=True)
class Fault(OutsideFault):
    """One row of the table: a fault of the stub's or from outside."""

    name: str = ""


def _of_stub(name: str, fault: stub_faults.StubFault) -> Fault:
    def strike(stage: Stage, over: Event) -> None:
        try:
            stage.stub.tell(f"fault {name}")
            over.wait()
        finally:
            stage.stub.tell("fault none")

    counted = "" if fault.reasons and fault.share == 1 else "retries" if fault.reasons else "answered"
    seconds, quick_s = (12.0, 1.6) if "deadline" in fault.reasons else (10.0, 1.0)
    if fault.share < 0.2:
        quick_s = 3.0  # or now and then nobody meets it
    return Fault(fault.about, fault.reasons, counted, strike, seconds, quick_s, name=name)


FAULTS: dict[str, Fault] = {
    **{name: _of_stub(name, fault) for name, fault in stub_faults.FAULTS.items()},
    **{name: Fault(**vars(fault), name=name) for name, fault in outside_faults.FAULTS.items()},
}


def chosen(names: str) -> list[Fault]:
    """The faults that ``names`` ("all", or names with commas) means.

    Raises:
        SettingsError: for a name that is none, or a fault that this system cannot make.
    """
    if names == "all":
        return [fault for fault in FAULTS.values() if fault.possible]
    for name in (wanted := [name.strip() for name in names.split(",")]):
        if name not in FAULTS:
            raise SettingsError(f"no fault {name!r}; there are: all, {', '.join(FAULTS)}")
        if not FAULTS[name].possible:
            raise SettingsError(f"fault {name!r} cannot be made on this system; leave it out")
    return [FAULTS[name] for name in dict.fromkeys(wanted)]


def measure_faults(
    run: Run, faults: Sequence[Fault], *, quick: bool = False, told: Callable[[str], None] = lambda _: None
) -> Figures:
    """Make each of the faults, and judge it.

    Args:
        run: what is played: its agents, workload, rate, budget and seed (and latency, unless ``quick``).
        quick: one to three seconds a fault, shorter deadlines and rests, one control for six faults.
        told: is given a line before (ending with "...") and after each fault.

    Returns:
        ``rows``, one a fault: ``name``, ``about``, ``control`` and ``fault`` (the figures of the phases; ``fault``
        includes the recovery), ``first_rss_mb`` (of the first control), ``recovered_s`` (None: not at all), ``failed``
        (what was not as it must be, in words) and ``tries``; beside them ``failed`` (names), ``seconds`` and what was
        played.

    Raises:
        OSError: the game is gone, or says nothing any more.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        told("starting the game ...")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="astrasim-faults-"))
        stage = Stage(stack, run.seed, latency_ms := QUICK_LATENCY_MS if quick else run.latency_ms)
        settings = {"budget_ms": run.budget_ms, "every": run.every, "seed": run.seed, "requests_per_second": run.rate}
        settings |= QUICK if quick else {}
        game = GameOptions(
            run.agents, run.workload, f"{stage.stub.url}/v1", str(Path(folder) / "plans.sqlite"), settings
        )
        arguments = ["--game", json.dumps(asdict(game))]
        stage.game = stack.enter_context(server_process("astrasim.perf.faults_game", arguments, start_s=START_S))
        rows = Series(stage, faults, run.budget_ms, quick, begun, told).rows()
        machine = json.loads(stage.game.tell("machine"))
    return {
        "agents": run.agents,
        "quick": quick,
        "seconds": round(time.monotonic() - begun, 1),
        "budget_ms": run.budget_ms,
        "failed": [row["name"] for row in rows if row["failed"]],
        "rows": rows,
        "seed": run.seed,
        "settings": settings | {"workload": run.workload, "latency_ms": list(latency_ms)},
        "machine": machine,
    }


class Series:
    """All faults of a run, a group of them after each control. :meth:`rows` makes and judges them."""

    def __init__(
        self, stage: Stage, faults: Sequence[Fault], budget_ms: float, quick: bool, begun: float,
        told: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._stage, self._faults, self._budget_ms, self._quick, self._told = stage, faults, budget_ms, quick, told
        self._ends = begun + (QUICK_LIMIT_S if quick else FULL_LIMIT_S)
        self._group = 6 if quick else 1
        self._first: Figures | None = None
        """The first control."""

    def rows(self) -> list[Figures]:
        rows: list[Figures] = []
        for first in range(0, len(self._faults), self._group):
            group = self._faults[first : first + self._group]
            self._told(f"{len(rows)} of {len(self._faults)} done; a control ...")
            control = self._play(max(map(self._seconds, group)))
            for fault in group:
                self._told(f"{len(rows)} of {len(self._faults)} done; {fault.name}: {fault.about} ...")
                rows.append(self._row(fault, control))
                self._told(f"{len(rows)} of {len(self._faults)}: {in_words(rows[-1])}")
        return rows

    def _row(self, fault: Fault, control: Figures) -> Figures:
        """Where frames alone speak against a fault, it is made again, until two agree: noise costs frames."""
        tries = [self._judged(fault, control)]
        while tries[0]["failed"].keys() == {"frames"} and agreed(tries) is None:
            if time.monotonic() + self._left_s(fault) > self._ends:
                break
            self._told(f"{fault.name}: frames were missed; once more, with its own control ...")
            tries.append(self._judged(fault, self._play(self._seconds(fault))))
        return (agreed(tries) or tries[0]) | {"tries": len(tries)}

    def _left_s(self, fault: Fault) -> float:
        """What all that is still to come takes, as a rule, ``fault`` twice more."""
        at = self._faults.index(fault)
        seconds = sum(map(self._seconds, self._faults[at + 1 :]))
        return seconds * (1 + 1 / self._group) + _DRAIN_S * (len(self._faults) - at) + 4 * self._seconds(fault)

    def _seconds(self, fault: Fault) -> float:
        return fault.quick_s if self._quick else fault.seconds

    def _play(self, seconds: float, **phase: bool) -> Figures:
        asked = json.dumps(asdict(Phase(seconds, **phase)))
        figures: Figures = json.loads(self._stage.game.tell(asked, seconds + REPLY_S))
        self._first = self._first or figures
        return figures

    def _judged(self, fault: Fault, control: Figures) -> Figures:
        over = Event()
        with ThreadPoolExecutor(1) as outside:
            striking = outside.submit(fault.strike, self._stage, over)
            try:
                during = self._play(self._seconds(fault), flood=fault.flood)
            finally:
                over.set()
            # While the fault is being ended, which may take a while: the game stands still only where nobody asks it.
            after = self._play(RECOVERY_S + _DRAIN_S, recovering=True)
            error = striking.exception()
        row = {
            "name": fault.name,
            "about": fault.about,
            "control": control,
            "fault": together(during, after),
            "first_rss_mb": (self._first or control)["rss_mb"],
            "recovered_s": after["recovered_s"],
        }
        made = {} if error is None else {"made": f"could not be made: {type(error).__name__}: {error}"}
        return row | {"failed": made | failures(fault, row, self._budget_ms)}


def agreed(tries: Sequence[Figures]) -> Figures | None:
    """The last of a fault's tries if another one came out as it did, and None if not."""
    passed = [not row["failed"] for row in tries]
    return tries[-1] if passed[-1] in passed[:-1] else None


def together(during: Figures, after: Figures) -> Figures:
    """The figures of a fault and of the recovery from it as those of one phase."""
    both: Figures = {name: during[name] + after[name] for name in ("frames", "missed")}
    for name in ("planning_cpu_p99_ms", "illegal_steps", "without_plan"):
        both[name] = max(during[name], after[name])
    for name in ("reasons", "counted"):
        keys = [*during[name], *(key for key in after[name] if key not in during[name])]
        both[name] = {key: during[name].get(key, 0) + after[name].get(key, 0) for key in keys}
    both["counted"]["answered"] = during["counted"]["answered"]  # any game is answered once the fault is over
    both["rss_mb"] = {
        name: max((run["rss_mb"][name] for run in (during, after) if run["rss_mb"][name] is not None), default=None)
        for name in GROWTH_MB
    }
    return both | {"frame_ms": during["frame_ms"], "gateway": during["gateway"]}


def _growth_mb(row: Figures, before: Figures) -> dict[str, float]:
    now = row["fault"]["rss_mb"]
    return {name: now[name] - before[name] for name in now if now[name] is not None and before[name] is not None}


def _flat(grown_mb: dict[str, float], times: float) -> bool:
    return all(mb <= times * GROWTH_MB[name] for name, mb in grown_mb.items())


def _megabytes(grown_mb: dict[str, float]) -> str:
    return ", ".join(f"{mb:.0f} MB ({name})" for name, mb in grown_mb.items())


def failures(fault: Fault, row: Figures, budget_ms: float) -> dict[str, str]:
    """What of a row is not as it must be, each in words; empty if the fault cost nothing."""
    made, control = row["fault"], row["control"]
    share = control["missed"] / control["frames"]
    times = made["frames"] / control["frames"]
    # What happens without the fault as well is not its doing, as long as it happens no more often (by chance: once).
    usual = {name: count * times + 1 for name, count in control["reasons"].items() if count}
    strays = {
        name: count for name, count in made["reasons"].items()
        if name not in (*SIDE, *fault.reasons) and count > usual.get(name, 0)
    }  # fmt: skip
    grown_mb, in_all_mb = _growth_mb(row, control["rss_mb"]), _growth_mb(row, row["first_rss_mb"])
    recovered_s = row["recovered_s"]
    checks = {
        "frames": (
            made["missed"] <= (share + SHARE_MISSED) * made["frames"],
            f"missed {made['missed']} of {made['frames']} frames, the control {control['missed']} of "
            f"{control['frames']}",
        ),
        "illegal": (not made["illegal_steps"], f"{made['illegal_steps']} illegal steps in plans"),
        "no plan": (not made["without_plan"], f"{made['without_plan']} agents without a plan"),
        "budget": (
            made["planning_cpu_p99_ms"] <= OVER_BUDGET * budget_ms,
            f"planning took {made['planning_cpu_p99_ms']:.2f} ms of CPU time (p99), of {budget_ms:g} ms",
        ),
        "reasons": (not strays, f"counted under other reasons: {strays}"),
        "counted": (
            made["counted"][fault.counted] > 0 if fault.counted
            else any(made["reasons"].get(name) for name in fault.reasons),
            f"not counted at all ({fault.counted or ', '.join(fault.reasons)})",
        ),
        "memory": (
            _flat(grown_mb, 1.0) and _flat(in_all_mb, IN_ALL),
            f"grown by {_megabytes(grown_mb)}; since the first control by {_megabytes(in_all_mb)}",
        ),
        "recovery": (
            recovered_s is not None and recovered_s <= RECOVERY_S,
            "no plan came again" if recovered_s is None else f"a plan came again after {recovered_s:g} s only",
        ),
    }
    return {name: said for name, (passed, said) in checks.items() if not passed}


def in_words(row: Figures) -> str:
    """A row in a line."""
    if row["failed"]:
        return f"{row['name']} FAILED: {'; '.join(row['failed'].values())}"
    missed, frames, recovered_s = row["fault"]["missed"], row["fault"]["frames"], row["recovered_s"]
    return f"{row['name']} passed: missed {missed} of {frames} frames, a plan again in {recovered_s:g} s"
