"""``astrasim tune``: which budget, interval and requests a second a game should have, and what it will look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .errors import SettingsError
from .figures import write_json
from .frames import PERIOD_MS
from .terminal import err, load, tell
from .terminal import out as terminal

_RANGE = "one number, or LOW:HIGH to sweep"


def tune(
    agents: Annotated[
        str | None, typer.Option(help=f"How many agents: {_RANGE}; else as many as there can be is found, too.")
    ] = None,
    game: Annotated[
        str, typer.Option(help="arena, herd, or a game of your own: MODULE:FACTORY, a factory(agents, settings).")
    ] = "arena",
    model: Annotated[
        str,
        typer.Option(help="stub (random legal plans), none, auto, ollama, openai, embedded or function:MODULE:NAME"),
    ] = "stub",
    latency_s: Annotated[
        str | None, typer.Option(help="In how many seconds the stub answers, one number or LOW:HIGH; else 0.1:0.5.")
    ] = None,
    budget_ms: Annotated[str, typer.Option(help=f"Planning budget a tick, milliseconds: {_RANGE}.")] = "0.25:4",
    every: Annotated[str, typer.Option(help=f"Each agent perceives in every k-th tick: {_RANGE}.")] = "1:8",
    rate: Annotated[
        str | None, typer.Option(help=f"Requests a second at most: {_RANGE}; else 5:100, of a real model 1:20.")
    ] = None,
    frame_ms: Annotated[
        float, typer.Option(help="What p99 may take of a frame; less leaves room for drawing and the rest.")
    ] = round(PERIOD_MS, 2),
    find_agents: Annotated[
        bool, typer.Option("--find-agents", help="Search for the most agents with what is recommended, too.")
    ] = False,
    frames: Annotated[int, typer.Option(min=1, help="Frames of a run of the sweep.")] = 300,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The folder for tune.json, frontier.png and astrasim.toml.")] = Path("tune"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what --out holds; else it goes on there.")] = False,
    check: Annotated[
        int, typer.Option(min=0, help="Run what --out recommends so many times; say what was in its interval.")
    ] = 0,
) -> None:
    """Sweep budget, interval, requests and agents; recommend an astrasim.toml and say what to expect of it.

    What is given is fixed, the rest is swept. It takes less than ten minutes with the stub (longer with a model that
    takes seconds, or --find-agents), says beforehand and meanwhile how long, and goes on where it was when it is broken
    off and started again.
    """
    tuning = load("perf", "tuning")
    for module in ("answer", "frontier"):
        load("perf", module)  # a package that is missing is said before the runs, not after them
    if check:
        _check(tuning, out, check)
        return
    if latency_s is not None and model != "stub":
        raise typer.BadParameter("--latency-s is the stub's; a real model takes the time that it takes")
    if find_agents and frame_ms < round(PERIOD_MS, 2):
        raise typer.BadParameter("--find-agents searches for whole frames of 16.67 ms: leave out --frame-ms")
    seconds = _range("--latency-s", latency_s or "0.1:0.5")
    question = tuning.Question(
        workload=game, model=model, latency_ms=(seconds[0] * 1000, seconds[1] * 1000),
        agents=None if agents is None else _range("--agents", agents), every=_range("--every", every),
        budget_ms=_range("--budget-ms", budget_ms),
        rate=_range("--rate", rate or ("5:100" if model in ("stub", "none") else "1:20")),
        frames=frames, frame_ms=min(frame_ms, PERIOD_MS), seed=seed,
    )  # fmt: skip
    _own_folder(out)
    # The runs are processes of their own, so a bar that moves here is in no frame.
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}")
    with Progress(*columns, console=err, refresh_per_second=2) as bar:
        task = bar.add_task("starting", left="")

        def progress(what: str, done_s: float, left_s: float) -> None:
            left = f"about {left_s / 60:.0f} min left" if left_s >= 60 else "less than a minute left"
            bar.update(task, description=escape(what), completed=done_s, total=done_s + left_s, left=left)

        def told(line: str) -> None:
            if line.endswith("..."):
                bar.update(task, description=escape(line))
            else:
                bar.console.print(line, soft_wrap=True, markup=False, highlight=False)

        try:
            result = tuning.tune(question, out, told, progress, fresh, find_agents)
        except KeyboardInterrupt:
            bar.console.print("stopped; the runs that were made are kept, and the same command goes on there")
            raise typer.Exit(130) from None
    _write(result, out)
    _show(result, out)


def _range(option: str, text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is not a number, nor LOW:HIGH") from None


def _own_folder(out: Path) -> None:
    """Make the folder. A settings file of the user's own that is there is not written over."""
    mark, file = load("perf", "answer").MARK, out / "astrasim.toml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.read_text(encoding="utf-8").startswith(mark):
            raise SettingsError(f"{file} is there already and not by `astrasim tune`; give another folder: --out tune")
    except OSError as error:
        raise SettingsError(f"--out {out}: {error.strerror or error}") from None


def _write(result: dict[str, Any], out: Path) -> None:
    answer = load("perf", "answer")
    write_json(out / "tune.json", result)
    (out / "astrasim.toml").write_text(answer.toml(result), encoding="utf-8")
    load("perf", "frontier").draw(result, out / "frontier.png")


def _show(result: dict[str, Any], out: Path) -> None:
    answer = load("perf", "answer")
    _print(answer.headline(result), style="bold")
    _print(f"  {answer.setting_in(result)}", style="bold green")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("what to expect", "value", "interval", ""):
        table.add_column(name, justify="left" if name in ("what to expect", "") else "right")
    for row in answer.expectations(result):
        table.add_row(*row)
    terminal.print(table)
    for line in (answer.meaning(result), *answer.reasons(result)):
        _print(line)
    _print(f"Written: {out / 'tune.json'}, {out / 'frontier.png'}, and {out / 'astrasim.toml'}, to be copied beside "
           f"your game. Try it: astrasim tune --out {out} --check 5")  # fmt: skip


def _check(tuning: Any, out: Path, times: int) -> None:
    answer, file = load("perf", "answer"), out / "tune.json"
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read ({error}): run `astrasim tune` first") from None
    _print(f"{answer.headline(result)}: {answer.setting_in(result)}")
    made = tuning.check(result, times, tell)
    result["checks"].append(made)
    write_json(file, result)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("figure", "interval", "tries", "inside"):
        table.add_column(name, justify="right" if name == "inside" else "left")
    for row in answer.checked(result, made):
        table.add_row(*row)
    terminal.print(table)
    if min(made["inside"].values()) < 0.8 * times:
        _print("some figures were outside their interval in more than one of five tries", style="yellow")
        raise typer.Exit(1)


def _print(line: str, style: str = "") -> None:
    terminal.print(line, soft_wrap=True, markup=False, highlight=False, style=style)
