"""What a tuning found, in plain words, and as an ``astrasim.toml``."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np

from .choosing import LONGEST_WAIT_S
from .design import Setting, requests
from .question import asked_in
from .surface import LEVEL, PREDICTED, WIDE, Figures, backward, forward

MARK = "# Made by `astrasim tune`."
"""How such a file begins: one that begins otherwise is the user's own, and is left alone."""
_LONG_S = 10
_WORDS = {name: (figure.words, figure.form) for name, figure in PREDICTED.items()} | {
    "missed": ("frames missed", "{:.0f}")
}

_RULE = (
    "Chosen: as many agents on a model's plan at a time as keep to the frame; of the settings that come within 5% of "
    "that, the one with the least of interval, budget and requests together."
)


def setting_in(result: Figures) -> str:
    """What is recommended, in a line."""
    at = Setting(**result["recommended"])
    return f"budget_ms = {at.budget_ms:g}, every = {at.every}, requests_per_second = {at.rate:g}"


def confirmed(result: Figures) -> list[Figures]:
    """The figures of the runs of what is recommended."""
    return [run["figures"] for run in result["runs"]
            if run["stage"] == "confirm" and run["setting"] == result["recommended"]]  # fmt: skip


def headline(result: Figures) -> str:
    """The answer in a sentence."""
    at, asked = Setting(**result["recommended"]), asked_in(result)
    answers = f"answers in {_seconds(asked.latency_ms)}"
    model = {"stub": f"a model that {answers}", "none": "no model"}.get(
        asked.model, f"the model {asked.model}, which {answers}"
    )
    many = f"{at.agents:,} agents and {model}"
    if result["find"] is not None:
        many += f" (with these settings up to {result['find']['median']:,} agents keep 60 frames a second)"
    if not result["keeps"]:
        return f"{many}: nothing that was tried keeps p99 of a frame within {asked.frame_ms:.2f} ms; the lightest"
    return f"{many}: this keeps p99 of a frame within {asked.frame_ms:.2f} ms"


def expectations(result: Figures) -> list[tuple[str, str, str, str]]:
    """What to expect: the figure in words, its value, its interval, and how wide that is."""
    rows = []
    for name, told in result["predicted"].items():
        words, form = _WORDS[name]
        value, low, high = (form.format(told[end]) for end in ("value", "low", "high"))
        width = "" if told["width"] is None else f"±{told['width']:.0%}"
        rows.append((words, value, f"{low} to {high}", width))
    return rows


def meaning(result: Figures) -> str:
    """What the intervals are of."""
    asked = asked_in(result)
    wide = [_WORDS[name][0] for name, each in result["predicted"].items() if (each["width"] or 0) > WIDE]
    return (
        f"The next run of {asked.confirm_frames} frames, begun with nothing remembered, lies in each interval in four "
        f"of five tries or more (Student's, {LEVEL:.0%}, from {len(confirmed(result))} runs of this setting and from "
        "how the sweep's centre differed from itself; missed frames: the most in those runs). On this machine, at "
        "times as quiet."
        + (f" Wider than ±{WIDE:.0%}, because its runs differ so much: {', '.join(wide)}." if wide else "")
    )


def reasons(result: Figures) -> list[str]:
    """Why these settings, and what limits more."""
    at, asked = Setting(**result["recommended"]), asked_in(result)
    found = [_RULE] if result["keeps"] else []
    found += [_limit(result, at)] if asked.model != "none" else []
    found += [_effect(result, name, getattr(at, name)) for name in _FACTORS if name in result["effects"]]
    later, share = result["later"], result["predicted"].get("model_share")
    if later is not None and share is not None and share["value"]:
        found.append(
            f"The plan cache fills as time goes by: after a minute {later['model_share']:.0%} of agent-ticks were on a "
            f"model's plan, p99 of a frame {later['frame_p99_ms']:.2f} ms (one run, so no interval)."
        )
    return found


def _limit(result: Figures, at: Setting) -> str:
    per_second = result["predicted"]["answers_per_second"]["value"]
    latency_s = max(run["latency_ms"]["p50"] for run in confirmed(result)) / 1000
    in_flight = confirmed(result)[0]["settings"]["max_in_flight"]
    most = in_flight / latency_s if latency_s else at.rate
    if per_second >= 0.9 * at.rate:
        return (
            f"{per_second:.1f} answers a second came, of {at.rate:g} that might be asked for: all are used, and they "
            "limit how many agents are on a model's plan."
        )
    if per_second >= 0.8 * most:
        return (
            f"{per_second:.1f} answers a second came, of {at.rate:g} that might be asked for: with answers after "
            f"{latency_s:.2g} s, and {in_flight} requests in flight at a time, there are at most {most:.1f}."
        )
    return (
        f"{per_second:.1f} answers a second came, of {at.rate:g} that might be asked for: the rest was not needed any "
        "more, or there was no time to ask; a higher rate would bring nothing."
    )


def _effect(result: Figures, name: str, chosen: float) -> str:
    """What other values of a factor would bring: what was measured, changed as the surfaces say."""
    rows = result["effects"][name]
    own = next(row for row in rows if row["value"] == chosen)
    others = [f"with {_FACTORS[name](row['value'])}, {_changes(result, own, row)}" for row in rows if row is not own]
    words = _FACTORS[name](chosen)
    return f"{words[0].upper()}{words[1:]}: {'; '.join(others)}."


def _changes(result: Figures, own: Figures, other: Figures) -> str:
    changes = []
    for figure in ("model_share", "frame_p99_ms"):
        if figure not in other["stands_out"] or not result["predicted"].get(figure, {}).get("value"):
            continue
        is_share, (words, form) = PREDICTED[figure].is_share, _WORDS[figure]
        values = np.array([result["predicted"][figure]["value"], own[figure], other[figure]])
        before, now, then = forward(values, is_share)
        changes.append(f"{words} {form.format(float(backward(before + then - now, is_share)))}")
    if other.get("wait_s", 0) > max(2 * own.get("wait_s", 0), LONGEST_WAIT_S):
        wait_s = other["wait_s"]
        # What is more than a run lasts was never seen: the surface only goes on as it went.
        waits = f"{wait_s:.1f} s" if wait_s < _LONG_S else f"more than {_LONG_S} s"
        changes.append(f"{waits} to wait for the next plan")
    return ", ".join(changes) or "nothing that stands out of the noise would change"


def _tick(k: float) -> str:
    return "every tick" if k == 1 else f"every {k:g} ticks"


_FACTORS: dict[str, Callable[[float], str]] = {
    "budget_ms": lambda budget: f"{budget:g} ms of planning a tick",
    "every": lambda k: f"a look around in {_tick(k)}",
    "rate": lambda rate: f"{requests(rate)} a second",
    "agents": lambda n: f"{n:,.0f} agents",
}


def _seconds(latency_ms: tuple[float, float]) -> str:
    low, high = (f"{each / 1000:.2g}" for each in latency_ms)
    return f"{low} s" if low == high else f"{low} to {high} s"


def toml(result: Figures) -> str:
    """An ``astrasim.toml`` of what is recommended, with the reasons as comments."""
    at, asked = Setting(**result["recommended"]), asked_in(result)
    lines = [MARK, *_wrapped(headline(result)), "#", *_wrapped(f"Expected ({meaning(result)})")]
    lines += [f"#   {words}: {value} ({interval})" for words, value, interval, _ in expectations(result)]
    lines += ["#", *(line for reason in reasons(result) for line in _wrapped(reason))]
    machine = result["question"]["machine"]
    lines += ["#", f"# {machine['processor']}, {machine['cores']} cores, Python {machine['python']}; {asked.workload}, "
                   f"seed {asked.seed}."]  # fmt: skip
    lines += ["", f"budget_ms = {at.budget_ms:g}", f"every = {at.every}"]
    if asked.model != "none":
        lines.append(f"requests_per_second = {at.rate:g}")
    if asked.model not in ("stub", "auto"):
        lines.append(f'model = "{asked.model}"')
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 100)]


def checked(result: Figures, made: Figures) -> list[tuple[str, str, str, str]]:
    """How a check went: the figure, its interval, the tries, and in how many it was inside."""
    rows = []
    for name, inside in made["inside"].items():
        words, form = _WORDS[name]
        told = result["predicted"][name]
        tries = ", ".join("–" if run[name] is None else form.format(run[name]) for run in made["runs"])
        rows.append((words, f"{form.format(told['low'])} to {form.format(told['high'])}", tries,
                     f"{inside} of {len(made['runs'])}"))  # fmt: skip
    return rows
