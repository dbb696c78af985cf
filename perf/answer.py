"""What a tuning found, in plain words, and as an ``astrasim.toml``."""

from __future__ import annotations

import textwrap
from typing import Any

from astrasim import Settings

from .design import Setting
from .surface import LEVEL, PREDICTED, WIDE, Figures
from .tuning import asked_in

MARK = "# Made by `astrasim tune`."
"""How such a file begins: one that begins otherwise is the user's own, and is left alone."""
_WORDS = {name: (figure.words, figure.form) for name, figure in PREDICTED.items()} | {
    "missed": ("frames missed", "{:.0f}")
}
_NOISE = 0.05
"""Changes of a share smaller than this are called nothing."""


def setting_in(result: Figures) -> str:
    """What is recommended, in a line."""
    at = Setting(**result["recommended"])
    return f"budget_ms = {at.budget_ms:g}, every = {at.every}, requests_per_second = {at.rate:g}"


def headline(result: Figures) -> str:
    """The answer in a sentence."""
    at, asked = Setting(**result["recommended"]), asked_in(result)
    model = {"stub": f"a model that answers in {_seconds(asked.latency_ms)}", "none": "no model"}.get(
        asked.model, f"the model {asked.model}"
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
        if told["width"] is not None and told["width"] > WIDE:
            width += ": wide, for runs of this machine differ so much"
        rows.append((words, value, f"{low} to {high}", width))
    return rows


def meaning(result: Figures) -> str:
    """What the intervals are of."""
    asked, confirmed = asked_in(result), sum(run["stage"] == "confirm" for run in result["runs"])
    return (
        f"The next run of {2 * asked.frames} frames, begun with nothing remembered, lies in each interval in four of "
        f"five tries or more (Student's, {LEVEL:.0%}, from {confirmed} runs of this setting and from how the sweep's "
        "centre differed from itself; missed frames: the most in those runs). On this machine, at times as quiet."
    )


def reasons(result: Figures) -> list[str]:
    """Why these settings, and what limits more."""
    at, asked = Setting(**result["recommended"]), asked_in(result)
    found = [_limit(result, at)] if asked.model != "none" else []
    for name, words in (
        ("budget_ms", "{:g} ms of planning a tick"), ("every", "looking every {:g} ticks"),
        ("rate", "{:g} requests a second"), ("agents", "{:,.0f} agents"),
    ):  # fmt: skip
        if name in result["effects"]:
            found.append(_effect(result["effects"][name], getattr(at, name), words))
    later, share = result["later"], result["predicted"].get("model_share")
    if later is not None and share is not None and share["value"]:
        found.append(
            f"The plan cache fills as time goes by: after a minute {later['model_share']:.0%} of agent-ticks were on a "
            f"model's plan, p99 of a frame {later['frame_p99_ms']:.2f} ms (one run, so no interval)."
        )
    return found


def _limit(result: Figures, at: Setting) -> str:
    confirmed = [run["figures"] for run in result["runs"] if run["stage"] == "confirm"]
    per_second = result["predicted"]["requests_per_second"]["value"]
    latency_s = max(run["latency_ms"]["p50"] for run in confirmed) / 1000
    in_flight = Settings().max_in_flight
    most = in_flight / latency_s if latency_s else at.rate
    if per_second >= 0.9 * at.rate:
        return f"All of the {at.rate:g} requests a second are used: they limit how many agents are on a model's plan."
    if per_second >= 0.8 * most:
        return (
            f"{per_second:.1f} of {at.rate:g} requests a second were made: with answers after {latency_s:.2g} s, "
            f"max_in_flight={in_flight} limits them to {most:.1f}."
        )
    return (
        f"{per_second:.1f} of {at.rate:g} requests a second were made: there was no more to ask, or planning had no "
        "time left to; a higher rate would bring nothing."
    )


def _effect(rows: list[dict[str, Any]], chosen: float, words: str) -> str:
    """What other values of a factor would bring, by the surfaces."""
    own = next(row for row in rows if row["value"] == chosen)
    others = []
    for row in rows:
        if row is own:
            continue
        changes = []
        if "model_share" in row:
            before, after = own["model_share"], row["model_share"]
            changes.append(
                "no other share on model plans" if abs(after - before) <= _NOISE * max(before, after)
                else f"{after:.0%} on model plans instead of {before:.0%}"
            )  # fmt: skip
        changes.append(f"p99 {row['frame_p99_ms']:.2f} instead of {own['frame_p99_ms']:.2f} ms")
        if row.get("wait_s", 0) > 2 * own.get("wait_s", 1):
            changes.append(f"{row['wait_s']:.2f} s instead of {own['wait_s']:.2f} s to wait for a plan")
        others.append(f"with {words.format(row['value'])} it would be {', '.join(changes)}")
    return f"{words.format(chosen)[0].upper()}{words.format(chosen)[1:]}: {'; '.join(others)}."


def _seconds(latency_ms: tuple[float, float]) -> str:
    low, high = (f"{each / 1000:g}" for each in latency_ms)
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
