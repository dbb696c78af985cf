"""The figures of a stress run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from astrasim.frames import MIN_FRAMES

Figures = dict[str, Any]
PROCESSES = ("game", "gateway")


def _joined(part: str, *names: str, form: str = "{:.2f}") -> Callable[[Figures], str]:
    return lambda run: " / ".join(form.format(run[part][name]) for name in names)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "0"


def _sustains(run: Figures) -> str:
    if run["frames"] < MIN_FRAMES:
        return f"needs {MIN_FRAMES} frames"
    return "yes" if run["sustained"] else "no"


def _age(age: dict[str, float] | None) -> str:
    return "nobody perceives" if age is None else f"{age['p50']:g} / {age['max']}"


def _whole(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def drawn(figures: Figures) -> str:
    """How it was drawn, in words."""
    if figures["draw"] == "none":
        return "nothing drawn"
    return f"drawn with pygame's driver {figures['driver']!r}"


ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("frame ms, p50 / p95 / p99 / max", _joined("frame_ms", "p50", "p95", "p99", "max")),
    ("frames missed", lambda run: f"{run['missed']} of {run['frames']}"),
    ("sustains 60 FPS", _sustains),
    ("planning ms, p50 / p99 / max", _joined("planning_ms", "p50", "p99", "max")),
    ("  of CPU time, p50 / p99", _joined("planning_ms", "cpu_p50", "cpu_p99")),
    ("planning over its budget, ticks", _joined("planning_ms", "overruns", form="{}")),
    ("requests sent / answered", _joined("requests", "sent", "answered", form="{}")),
    ("failed", lambda run: _counted(run["requests"]["reasons"])),
    ("latency ms, p50 / p95 / p99", _joined("latency_ms", "p50", "p95", "p99", form="{:.0f}")),
    ("agent-ticks, LLM / cache / heuristic", _joined("agent_ticks", "llm", "cache", "heuristic", form="{:.1%}")),
    ("look-ups that hit a model's plan", _joined("cache", "hit_rate", form="{:.1%}")),
    ("distinct situations", _joined("cache", "distinct_keys", form="{}")),
    ("share of the ten commonest", _joined("cache", "top10_share", form="{:.1%}")),
    ("model plans applied / unchanged", _joined("plans", "applied", "unchanged", form="{}")),
    ("model plans dropped", lambda run: _counted(run["plans"]["dropped"])),
    ("mean plan life, s", _joined("plans", "mean_life_s")),
    ("plans that reached their second step", _joined("plans", "second_step_share", form="{:.1%}")),
    ("percepts' age in ticks, p50 / max", lambda run: _age(run["percept_age"])),
    ("memory, MB / bytes an agent", lambda run: f"{run['rss_mb']:.0f} / {_whole(run['bytes_per_agent'])}"),
)


def show(figures: Figures, console: Console) -> None:
    """Print a run, and beside it its control if there is one."""
    runs = [figures, *([figures["control"]] if "control" in figures else [])]
    perceives = "every tick" if figures["every"] == 1 else f"every {figures['every']} ticks"
    table = Table(
        title=f"{figures['workload']}: {figures['agents']:,} agents, each perceiving {perceives}, {drawn(figures)}"
    )
    table.add_column("")
    for run in runs:
        table.add_column(f"model {run['model']}", justify="right")
    for name, value in ROWS:
        table.add_row(name, *(value(run) for run in runs))
    console.print(table)
    if "profile" in figures:
        console.print(_profile(figures["profile"]))
    if "find" in figures:
        console.print(found(figures["find"]), style="bold")
    m, s = figures["machine"], figures["settings"]
    console.print(
        f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numba {m['numba']}; budget "
        f"{figures['planning_ms']['budget']:g} ms, at most {s['rate']:g} requests a second, seed {figures['seed']}"
    )


def _profile(parts: dict[str, Figures]) -> Table:
    table = Table(title="what the parts of a frame cost")
    for name in ("part", "p50 ms", "p99 ms", "ns an agent"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for name, part in parts.items():
        each_ns = part["ns_per_agent"]
        table.add_row(name, f"{part['p50']:.3f}", f"{part['p99']:.3f}", "" if each_ns is None else f"{each_ns:.1f}")
    return table


def found(find: Figures) -> str:
    """What a search found, in a line."""
    if not find["median"]:
        return "not even one agent is sustained at 60 FPS"
    said = f"sustained at 60 FPS: {find['median']:,} agents (to within {find['tolerance']:.0%})"
    runs = len(find["agents"])
    return said + (f", median of {runs} searches, {find['least']:,} to {find['most']:,}" if runs > 1 else "")


def show_faults(figures: Figures, console: Console) -> None:
    """Print a fault run, a line a fault."""
    table = Table(title=f"faults, {figures['agents']:,} agents: what each cost, beside a control", box=None,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in ("fault", "missed", "control", "CPU ms", "counted as", "wrong", "MB", "s", ""):
        if name == "counted as":
            table.add_column(name, min_width=17, overflow="fold")
        else:
            table.add_column(name, justify="left" if name in ("fault", "") else "right", no_wrap=True)
    for row in figures["rows"]:
        made, control, counts = row["fault"], row["control"], row["fault"]["counted"]
        counted = {name: count for name, count in made["reasons"].items() if name != "unwanted"}
        counted |= {name: counts[name] for name in counts if name not in ("sent", "answered")}
        table.add_row(
            row["name"], *(f"{run['missed'] / run['frames']:.2%}" for run in (made, control)),
            f"{made['planning_cpu_p99_ms']:.2f}", _counted(counted),
            f"{made['illegal_steps']} {made['without_plan']}",
            " ".join(_change(made["rss_mb"][name], control["rss_mb"][name]) for name in PROCESSES),
            "never" if row["recovered_s"] is None else f"{row['recovered_s']:.1f}",
            "[red]FAILED[/]" if row["failed"] else "[green]ok[/]",
        )  # fmt: skip
    console.print(table)
    for row in figures["rows"]:
        for said in row["failed"].values():
            console.print(f"{row['name']}: {said}", style="red", highlight=False, markup=False)
    rows, failed, m, s = figures["rows"], figures["failed"], figures["machine"], figures["settings"]
    again, shared = sum(row["tries"] > 1 for row in rows), "one for six" if figures["quick"] else "one for each"
    console.print(f"{len(rows) - len(failed)} of {len(rows)} passed, in {figures['seconds']:.0f} s", style="bold")
    console.print(
        f"missed: frames, of the fault with its recovery; control: {shared}, right before; {again} were made again, "
        f"because they missed frames and nothing else was wrong. CPU ms: planning, p99, of {figures['budget_ms']:g}. "
        "wrong: illegal steps, agents without a plan. MB: growth of game and gateway. s: from the fault's end to a "
        f"plan. {s['workload']}, at most {s['requests_per_second']:g} requests a second, seed {figures['seed']}; "
        f"{m['processor']}, {m['cores']} cores, Python {m['python']}", highlight=False,
    )  # fmt: skip


def _change(after: float | None, before: float | None) -> str:
    return "–" if after is None or before is None else f"{after - before:+.0f}"
