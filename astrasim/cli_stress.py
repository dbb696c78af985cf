"""``astrasim stress``: capacity runs, searches for the largest number, and faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.status import Status

from .figures import write_json
from .terminal import JsonFile, err, load, new_file, out, tell


def stress(
    agents: Annotated[
        int | None, typer.Option(min=0, help="How many agents; else 5,000, and 10,000 with --faults.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, max=60, help="Each agent perceives in every k-th tick.")] = 1,
    frames: Annotated[int, typer.Option(min=1, help="Frames to measure, after the warm-up.")] = 600,
    model: Annotated[
        str,
        typer.Option(help="none, stub (random legal plans), auto, ollama, openai, embedded or function:MODULE:NAME"),
    ] = "stub",
    rate: Annotated[float, typer.Option(min=0, help="Requests a second, at most.")] = 20.0,
    budget_ms: Annotated[float, typer.Option(min=0, help="Planning budget a tick, milliseconds.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workload: Annotated[str, typer.Option(help="arena (two teams), or herd (three kinds, food, rocks)")] = "arena",
    stub_latency_ms: Annotated[str, typer.Option(help="The stub's latency, LOW:HIGH in milliseconds.")] = "100:500",
    faults: Annotated[
        str | None,
        typer.Option(help="Make these faults (all, or names with commas; see docs/gateway.md), each beside a control."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --faults: a second or two each.")] = False,
    control: Annotated[bool, typer.Option("--control", help="Run it again right after, without a model.")] = False,
    draw: Annotated[
        str, typer.Option(help="none; window; or dummy: drawn as for a window, but shown nowhere.")
    ] = "none",
    profile: Annotated[bool, typer.Option("--profile", help="Time each part of the frame.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option(callback=new_file, help="Trace ticks, requests and plans to this .json, for ui.perfetto.dev."),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Show how it does meanwhile; a line now and then without a terminal.")
    ] = False,
    find: Annotated[
        bool, typer.Option("--find", help="Search for the most agents at 60 FPS, beginning at --agents.")
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="Searches; the one in the middle counts.")] = 1,
    picture: Annotated[
        Path | None, typer.Option("--plot", callback=new_file, help="Draw the search to this .png, .svg or .pdf.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure one capacity run at 60 FPS, search for the largest number that is sustained, or make faults."""
    perf = load("perf", "stress")
    if quick and faults is None:
        raise typer.BadParameter("--quick is for fault runs: add --faults all")
    if faults is not None and (find or control or profile or draw != "none" or model != "stub"):
        raise typer.BadParameter(
            "--faults makes the stub fail, draws nothing and has controls of its own: leave out --find, --control, "
            "--profile, --draw and --model"
        )
    if (trace is not None or dashboard) and (find or faults is not None):
        raise typer.BadParameter("--trace and --dashboard are for one run: leave out --find and --faults")
    if find and control:
        raise typer.BadParameter("--control is for one run: leave out --find")
    if (picture is not None or runs > 1) and not find:
        raise typer.BadParameter("--plot and --runs are for searches: add --find")
    for needed, module in ((draw != "none", "screen"), (picture is not None, "plot")):
        if needed:
            load("perf", module)  # a package that is missing is said before the run, not after it
    low, _, high = stub_latency_ms.partition(":")
    try:
        latency_ms = (float(low), float(high or low))
    except ValueError:
        raise typer.BadParameter(f"{stub_latency_ms!r} is not LOW:HIGH in milliseconds, such as 100:500") from None
    if agents is None:
        agents = 5000 if faults is None else 10_000
    run = perf.Run(agents, every, frames, model, rate, budget_ms, seed, latency_ms, workload, draw, profile)
    if faults is not None:
        made = load("perf", "faults")
        with err.status("starting", refresh_per_second=2) as status:
            figures = made.measure_faults(run, made.chosen(faults), quick=quick, told=_both(status))
    elif find:
        # The tries run in processes of their own, so a line that turns here is in no frame.
        with err.status("starting", refresh_per_second=2) as status:
            figures = load("perf", "finding").find(run, runs, told=_both(status))
    else:
        figures = perf.measure(run, tell, trace, err if dashboard else None)
        if control:
            figures["control"] = perf.measure(run.control(), tell)
    report = load("perf", "report")
    if faults is not None:
        report.show_faults(figures, out)
    else:
        report.show(figures, out)
    if json_file is not None:
        write_json(json_file, figures)
    if figures.get("failed"):
        raise typer.Exit(1)
    if picture is not None:
        load("perf", "plot").plot([figures], picture)


def _both(status: Status) -> Callable[[str], None]:
    """What is tried now in the line at the bottom, what came of it above."""

    def told(line: str) -> None:
        if line.endswith("..."):
            status.update(escape(line))
        else:
            tell(line)

    return told
