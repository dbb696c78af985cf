"""A picture of searches for capacity: what a frame costs against how many agents there are.

    python -m astrasim.perf.plot out.png a.json b.json ...

draws what ``astrasim stress --find --json`` wrote, a line for each file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from astrasim import SettingsError
from astrasim.frames import PERIOD_MS

Figures = dict[str, Any]
_ORDINAL = {2: "2nd", 3: "3rd"}
COLOURS = ("#2a78b8", "#d1603d", "#3d9970", "#8e5ea2", "#b8901f", "#5c6b7a")
CAPTION = {
    "workload": "{}", "model": "model {}", "rate": "at most {:g} requests a second",
    "budget": "planning budget {:g} ms", "every": "perceiving {}", "draw": "{}", "seed": "seed {}",
}  # fmt: skip
"""What a run had on or off. What all lines share is said once, below; what tells them apart is said of each."""


def conditions(figures: Figures) -> dict[str, Any]:
    """What was on or off in a run, by the names of ``CAPTION``."""
    every, driver = figures["every"], figures.get("driver")
    drawn = "drawn in a window" if figures["draw"] == "window" else "drawn but not shown"
    return {
        "workload": figures["workload"],
        "model": figures["model"] if figures["model"] != "none" else "off",
        "rate": figures["settings"]["rate"],
        "budget": figures["planning_ms"]["budget"],
        "every": "every tick" if every == 1 else f"every {_ORDINAL.get(every, f'{every}th')} tick",
        "draw": "nothing drawn" if figures["draw"] == "none" else f"{drawn} (driver {driver})",
        "seed": figures["seed"],
    }


def plot(found: list[Figures], file: Path) -> None:
    """Draw searches to a PNG, SVG or PDF: p50 dashed, p99 solid, a dot for what each sustains.

    Raises:
        SettingsError: if one of them is no search, or nothing can be written there.
    """
    if not found or any("find" not in figures for figures in found):
        raise SettingsError("a picture is of searches: give files that `astrasim stress --find --json FILE` wrote")
    told = [conditions(figures) for figures in found]
    shared = {name for name in CAPTION if all(each[name] == told[0][name] for each in told)}
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        for number, (figures, own) in enumerate(zip(found, told, strict=True)):
            words = [CAPTION[name].format(own[name]) for name in CAPTION if name not in shared]
            _line(axes, figures, COLOURS[number % len(COLOURS)], ", ".join(words))
        _frame(axes)
        figure.legend(frameon=False, fontsize=9, loc="outside upper left")
        caption = "; ".join(CAPTION[name].format(told[0][name]) for name in CAPTION if name in shared)
        machine = found[0]["machine"]
        figure.supxlabel(
            f"{caption}\nEach number that was tried, the median of its tries; large dots: the largest confirmed over "
            f"{found[0]['frames']} frames, to within {found[0]['find']['tolerance']:.0%}\n"
            f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, numba {machine['numba']}, "
            f"AstraSim {machine['astrasim']}",
            fontsize=8, color="#555555", linespacing=1.5,
        )  # fmt: skip
        save(figure, file)


def save(figure: Figure, file: Path) -> None:
    """Write the picture.

    Raises:
        SettingsError: if it cannot be written there.
    """
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"no picture can be written to {file}: {error}") from None


def _line(axes: Any, figures: Figures, colour: str, label: str) -> None:
    found = figures["find"]
    tried = [each for search in found["tried"] for each in search if "frame_ms" in each]
    by_agents: dict[int, list[Figures]] = {}
    for each in tried:
        by_agents.setdefault(each["agents"], []).append(each)
    agents = sorted(by_agents)
    # A whole run tells more than a short look.
    longest = {n: max(each["frames"] for each in by_agents[n]) for n in agents}
    for name, style, width in (("p99", "-", 1.8), ("p50", "--", 1.1)):
        values = [
            median(each["frame_ms"][name] for each in by_agents[n] if each["frames"] == longest[n]) for n in agents
        ]
        axes.plot(agents, values, style, color=colour, linewidth=width, marker="o", markersize=2.5, alpha=0.9)
    sustained = f"{found['median']:,} agents"
    if len(found["agents"]) > 1:
        sustained += f" ({found['least']:,} to {found['most']:,})"
    axes.plot([], [], "-", color=colour, linewidth=2, label=f"{label or 'sustained'}: {sustained}")
    if found["median"]:
        axes.plot(
            found["median"], figures["frame_ms"]["p99"], "o", color=colour, markersize=9, markeredgecolor="white",
            markeredgewidth=1.5, zorder=5,
        )  # fmt: skip


def _frame(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(PERIOD_MS, color="#333333", linewidth=1)
    axes.annotate(
        f"60 FPS: {PERIOD_MS:.2f} ms", (0.01, PERIOD_MS), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", fontsize=9, color="#333333",
    )  # fmt: skip
    axes.set_xlabel("agents")
    axes.set_ylabel("work a frame, ms (p99 solid, p50 dashed)")
    for axis, form in ((axes.xaxis, "{:,.0f}"), (axes.yaxis, "{:g}")):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form.format(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("picture", type=Path, help="the file to write: .png, .svg or .pdf")
    parser.add_argument("searches", type=Path, nargs="+", help="what `astrasim stress --find --json FILE` wrote")
    options = parser.parse_args()
    try:
        plot([json.loads(file.read_text(encoding="utf-8")) for file in options.searches], options.picture)
    except (OSError, ValueError, SettingsError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
