"""The picture of a tuning: what a frame costs, and how many are missed, against what the model's plans are."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from .answer import confirmed, headline, setting_in
from .choosing import read
from .plot import COLOURS, save
from .question import asked_in
from .surface import Figures

_LIMIT, _CHOSEN = "#333333", COLOURS[1]


def draw(result: Figures, file: Path) -> None:
    """Draw it: p99 above, missed frames below; against the share of agent-ticks on model plans, and those plans' age.

    Every dot is a run of the sweep; its size says how many agents there were, its colour how many requests a second
    might be asked. The line joins those than which none is better in both. The recommended setting has its intervals.

    Raises:
        SettingsError: nothing can be written there.
    """
    swept = [run for run in result["runs"] if run["stage"] == "sweep"]
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 8), dpi=130, layout="constrained")
        axes = figure.subplots(2, 2, sharex="col", sharey="row")
        dots = None
        for column, along in enumerate(("model_share", "plan_age_s")):
            for row, up in enumerate(("frame_p99_ms", "missed")):
                dots = _dots(axes[row, column], swept, along, up) or dots
                _recommended(axes[row, column], result, along, up)
        _frontier(axes[0, 0], result, swept)
        _label(axes, asked_in(result).frame_ms)
        if dots is not None and result["recommended"]["rate"]:
            rates = sorted({run["setting"]["rate"] for run in swept})
            bar = figure.colorbar(dots, ax=axes, shrink=0.6, label="requests a second, at most", ticks=rates)
            bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
        machine = result["question"]["machine"]
        figure.suptitle(_wrapped(headline(result), 120) + f"\n{setting_in(result)}", fontsize=11)
        low, high = (f"{each:,.0f}" for each in result["agents"])
        sizes = "" if low == high else f"; the larger, the more agents ({low} to {high})"
        caption = (
            f"A dot: a run of {asked_in(result).frames} frames{sizes}. Line: no run is better in both. Cross: what is "
            "recommended, with its intervals, of longer runs (in which more plans are known)."
        )
        figure.supxlabel(
            f"{_wrapped(caption, 160)}\n{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, "
            f"AstraSim {machine['astrasim']}",
            fontsize=8, color="#555555", linespacing=1.5,
        )  # fmt: skip
        save(figure, file)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _place(run: dict[str, Any], name: str) -> float | None:
    value = read(run["figures"])[name]
    return value / run["figures"]["frames"] if name == "missed" and value is not None else value


def _dots(axes: Any, swept: list[dict[str, Any]], along: str, up: str) -> Any:
    known = [(x, y, run["setting"]) for run in swept
             if (x := _place(run, along)) is not None and (y := _place(run, up)) is not None]  # fmt: skip
    if not known:
        return None
    agents = np.array([setting["agents"] for _, _, setting in known], float)
    rates = [max(setting["rate"], 1e-3) for _, _, setting in known]
    span = np.log(agents.max() / agents.min()) or 1.0
    sizes = 40 + 160 * np.log(agents / agents.min()) / span
    norm = LogNorm(min(rates), max(*rates, min(rates) * 1.01))
    return axes.scatter(
        [x for x, _, _ in known], [y for _, y, _ in known], s=sizes, c=rates, norm=norm, cmap="viridis", alpha=0.75,
        edgecolors="white", linewidths=0.8,
    )  # fmt: skip


def _recommended(axes: Any, result: Figures, along: str, up: str) -> None:
    predicted = result["predicted"]
    if along not in predicted or up not in predicted:
        return
    frames = confirmed(result)[0]["frames"] if up == "missed" else 1
    x, y = predicted[along], {name: predicted[up][name] / frames for name in ("value", "low", "high")}
    reach = [[[each["value"] - each["low"]], [each["high"] - each["value"]]] for each in (x, y)]
    axes.errorbar(
        x["value"], y["value"], xerr=reach[0], yerr=reach[1], fmt="none", ecolor=_CHOSEN, elinewidth=2.2, capsize=4,
        zorder=5,
    )  # fmt: skip


def _frontier(axes: Any, result: Figures, swept: list[dict[str, Any]]) -> None:
    ends = [(_place(run, "model_share") or 0.0, _place(run, "frame_p99_ms") or 0.0)
            for run in swept if run["number"] in result["frontier"]]  # fmt: skip
    if len(ends) > 1:
        axes.plot(*zip(*sorted(ends), strict=True), color="#888888", linewidth=1.2, zorder=0)


def _label(axes: Any, frame_ms: float) -> None:
    for column in range(2):
        axes[0, column].set_yscale("log")
        axes[0, column].axhline(frame_ms, color=_LIMIT, linewidth=1)
        axes[1, column].set_yscale("symlog", linthresh=0.01)
        axes[1, column].set_ylim(-0.001, 1.2)
    axes[0, 0].annotate(
        f"{frame_ms:.2f} ms", (0.01, frame_ms), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", fontsize=9, color=_LIMIT,
    )  # fmt: skip
    axes[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0, 0].yaxis.set_minor_formatter(NullFormatter())
    axes[1, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0, 0].set_ylabel("work a frame, p99, ms")
    axes[1, 0].set_ylabel("frames missed")
    axes[1, 0].set_xlabel("agent-ticks on a model's plan")
    axes[1, 0].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[1, 1].set_xlabel("age of those plans, s")
    for each in axes.flat:
        each.grid(which="major", color="#e4e4e4", linewidth=0.8)
        each.set_axisbelow(True)
        for side in ("top", "right"):
            each.spines[side].set_visible(False)
