"""One capacity run: N agents of a workload (the arena, the herd), paced at 60 Hz, measured.

The command line is ``astrasim stress``; :func:`measure` is the same for programs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrasim import Dashboard, Settings, SettingsError, Simulation, Trace
from astrasim.figures import measured, memory_bytes
from astrasim.frames import PERIOD_MS, Frame, FrameTimes, run_frames
from astrasim.gateway import Gateway, GatewayState
from astrasim.systems.ages import percept_age
from astrasim.warmup import warm_up

from .plan_ages import PlanAges
from .profile import Profile
from .workloads import build, check_workload

if TYPE_CHECKING:
    from rich.console import Console

    from .screen import Screen

WARM_UP_FRAMES = 120
READY_S = 30.0
DRAWS = ("none", "dummy", "window")
SIZE = (1280, 720)
"""Of the window, in pixels."""


@dataclass(frozen=True)
class Run:
    """What to measure. ``frames`` are counted after ``warm_up`` frames.

    ``workload``: of ours, or a game's ``module:factory`` (``perf/workloads.py``).
    ``draw``: "window" draws everybody and flips; "dummy" too, with a driver that shows nothing, so its flips are free.
    ``profile``: time each part of the tick.
    """

    agents: int
    every: int = 1
    frames: int = 600
    model: str = "stub"
    rate: float = 20.0
    budget_ms: float = 2.0
    seed: int = 0
    latency_ms: tuple[float, float] = (100.0, 500.0)
    workload: str = "arena"
    draw: str = "none"
    profile: bool = False
    warm_up: int = field(default_factory=lambda: WARM_UP_FRAMES)

    def __post_init__(self) -> None:
        check_workload(self.workload)
        if self.draw not in DRAWS:
            raise SettingsError(f"cannot draw {self.draw!r}; there are: {', '.join(DRAWS)}")

    def control(self) -> Run:
        """What to compare it with: the same without a model."""
        return replace(self, model="none", rate=0.0)


def measure(
    run: Run, progress: Callable[[str], None] = lambda _: None, trace: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run it and return the figures as one JSON-able object (DESIGN lists the fields).

    Args:
        trace: write a trace of the measured frames to this file.
        console: show a dashboard there meanwhile.

    Raises:
        SettingsError: for a model or a display that is not there, or a game that cannot be built.
        WindowClosed: (``perf/screen.py``) if somebody closes the window.
    """
    with open_model(run) as settings, _surface(run) as surface:
        warm_up()
        memory_before = memory_bytes()
        progress(f"{run.agents:,} agents, model {run.model}: building the {run.workload}")
        with build(run.workload, run.agents, settings) as sim:
            wait_for_gateway(sim, progress)
            screen = None if surface is None else _screen(surface, sim)
            draw = screen.draw if screen else None
            profile = Profile(sim) if run.profile else None
            if profile:
                sim.observe(profile)
                draw = profile.timed("draw", draw) if draw else None

            ages = PlanAges(sim)

            def work(frame: int) -> None:
                sim.tick()
                ages.look(frame)
                if draw is not None:
                    draw()

            run_frames(work, run.warm_up)
            sim.reset_stats()
            ages.reset()
            progress(f"{run.agents:,} agents, model {run.model}: {run.frames} frames ({run.frames / 60:.0f} s)")
            with watched(sim, trace, console, progress) as after:
                times = run_frames(work, run.frames, after)
            figures = _figures(run, sim, times, memory_before)
            figures["plans"] |= ages.figures()
            figures["driver"] = screen.driver if screen else None
            if profile:
                figures["profile"] = profile.figures(run.frames)
            return figures | {"percept_age": percept_age(sim)}  # last: the arena goes on for some ticks


@contextlib.contextmanager
def watched(
    sim: Simulation, trace: Path | None, console: Console | None, progress: Callable[[str], None]
) -> Iterator[Callable[[Frame], object] | None]:
    """A trace to this file and a dashboard on this console, as long as the context lasts; gives what frames tell."""
    observer = None if trace is None else Trace(trace)
    if observer is not None:
        sim.observe(observer)
    try:
        with contextlib.nullcontext() if console is None else Dashboard(sim, console) as dashboard:
            yield None if dashboard is None else dashboard.frame
    finally:
        if observer is not None:
            with contextlib.suppress(OSError):  # said below: the figures of the run are worth more than its trace
                sim.unobserve(observer)
            if observer.error is None:
                progress(f"the trace: {trace}; https://ui.perfetto.dev opens it")
            else:
                progress(f"the trace {trace} is not whole: {observer.error}")


def _screen(surface: Any, sim: Simulation) -> Screen:
    from .screen import Screen

    return Screen(surface, sim)


def _surface(run: Run) -> contextlib.AbstractContextManager[Any]:
    """What to draw on; None for nothing."""
    if run.draw == "none":
        return contextlib.nullcontext()
    from .screen import opened  # here, because it needs pygame

    return opened(run.draw)


@contextlib.contextmanager
def open_model(run: Run) -> Iterator[Settings]:
    """The settings of a run; the stub, if that is its model, serves as long as the context lasts.

    Without a cache file: what an earlier run saved would change this one's figures, and this one's plans the game.
    """
    def settings(**model: Any) -> Settings:
        return Settings(
            budget_ms=run.budget_ms, every=run.every, seed=run.seed, capacity=max(1, run.agents),
            requests_per_second=run.rate, governor=False, cache_file=None, **model,
        )  # fmt: skip

    if run.model == "stub":
        from .stub_server import stub_server  # here, because it needs packages that no other model does

        with stub_server(seed=run.seed, latency_ms=run.latency_ms) as url:
            yield settings(model="openai", base_url=f"{url}/v1", model_name="stub", api_key=None)
    else:
        yield settings(model=run.model)


def wait_for_gateway(sim: Simulation, progress: Callable[[str], None]) -> None:
    """Until requests can be asked.

    Raises:
        RuntimeError: that took too long.
    """
    gateway = sim.planner.gateway
    if not isinstance(gateway, Gateway):
        return
    progress("waiting for the gateway")

    def poll(_: int) -> bool:
        gateway.poll()
        return gateway.state is not GatewayState.READY

    run_frames(poll, int(READY_S * 60))
    if poll(0):
        raise RuntimeError(f"the gateway did not come up in {READY_S:g} s: {gateway.describe()}")


def _figures(run: Run, sim: Simulation, times: FrameTimes, memory_before: int) -> dict[str, Any]:
    gateway = sim.planner.gateway
    return measured(sim, times, memory_before) | {
        "draw": run.draw,
        "model": run.model,
        "workload": run.workload,
        "settings": {
            "rate": run.rate,
            "latency_ms": list(run.latency_ms) if run.model == "stub" else None,
            "size": None if run.draw == "none" else list(SIZE),
            "warm_up_frames": run.warm_up,
            "deadline_s": sim.settings.deadline_s,
            "max_in_flight": gateway.max_in_flight if isinstance(gateway, Gateway) else None,
            "period_ms": round(PERIOD_MS, 2),
        },
    }
