"""How good the embedded model's choices are, and how fast, beside the heuristic alone and other ways to ask.

    python -m astrasim.perf.decisions

Asked about situations of the arena that were labelled beforehand, by rules that the heuristic does not know
(``decisions_labelled.json``): half of them to tune on, half to report. The labels are one person's common sense; two
sensible fighters would agree on most, not on all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from astrasim import PlanRejected, Settings, Simulation, Situation
from astrasim.gateway import ModelSpec, calibration, weights
from astrasim.gateway.calibration import by_action
from astrasim.gateway.embedded import choose_step
from astrasim.gateway.llama import Branches, Llama, load
from astrasim.gateway.models import MAX_TOKENS, ModelError
from astrasim.gateway.openai import OpenAIModel
from astrasim.prompts import choice_prompt, json_prompt, steps_of
from astrasim.reader import plan_schema, read_json_plan
from astrasim.vocabulary import Scope, Vocabulary

from .arena import common_sense, make_arena
from .smollm_server import smollm_server

KIND = "red"
Ask = Callable[[int], str]
"""The prompt for a key."""


@dataclass(frozen=True)
class Labelled:
    """A situation, the step that is right, all that could start, and what of the heuristic's ideas could."""

    key: int
    right: str
    possible: tuple[str, ...]
    short: tuple[str, ...]


@dataclass
class Row:
    """One way to decide: what it chose for each situation, and how long that took."""

    name: str
    chosen: list[str] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)


def situations(part: str, vocabulary: Vocabulary, scope: Scope) -> list[Labelled]:
    """The labelled situations of one part, ``tune`` or ``report``."""
    told = json.loads(resources.files(__package__).joinpath("decisions_labelled.json").read_text(encoding="utf-8"))
    found = []
    for each in told["situations"]:
        if each["set"] == part:
            buckets = dict(zip(told["features"], each["buckets"], strict=True))
            key = vocabulary.pack(KIND, buckets)
            possible = tuple(step for step in steps_of(vocabulary, scope) if _can_start(step, buckets))
            ideas = dict.fromkeys(common_sense(Situation(vocabulary, scope, key)))
            short = tuple(step for step in ideas if step in possible)
            found.append(Labelled(key, each["right"], possible, short))
    return found


def _can_start(step: str, buckets: dict[str, int]) -> bool:
    """Whether the arena's preconditions hold, as far as the buckets tell."""
    action, target = step.split()
    there = {"foe": buckets["foe_range"] < 3, "friend": buckets["friend_range"] < 2}.get(target, True)
    return there and (action != "attack" or buckets["ammunition"] > 0)


def with_examples(vocabulary: Vocabulary, scope: Scope) -> Ask:
    """A prompt that was tried: examples from the heuristic, then the situation."""
    header = f"A {scope.kind} can: {', '.join(steps_of(vocabulary, scope))}.\n\n"
    for example in vocabulary.examples:
        if (example.role, example.kind) == (scope.role, scope.kind):
            step = " ".join(example.lines[0].split()[:2])
            header += f"Situation: {'; '.join(vocabulary.words(scope.kind, example.key))}.\nAction: {step}\n\n"
    return lambda key: f"{header}Situation: {'; '.join(vocabulary.words(scope.kind, key))}.\nAction:"


def choices(llama: Llama, name: str, ask: Ask, given: list[Labelled], words: Vocabulary, scope: Scope) -> Iterator[Row]:
    """Rows of one prompt: with and without calibration, among all that is possible and on the short list."""
    lines = steps_of(words, scope)
    branches = Branches(lines, llama.tokenise)
    keys = calibration.situations(words, scope)
    means: dict[str, float] = {}
    for key in keys:
        logs, _ = branches.weigh(llama, ask(key), lines)
        for action, log in by_action(logs).items():
            means[action] = means.get(action, 0.0) + log / len(keys)
    weighed = []
    for each in given:
        start = time.perf_counter()
        if len(each.short) > 1:
            branches.weigh(llama, ask(each.key), each.short)
        then = time.perf_counter()
        logs, _ = branches.weigh(llama, ask(each.key), each.possible)  # the text is evaluated by now: its forks only
        weighed.append((logs, 1000 * (then - start), 1000 * (time.perf_counter() - start)))
    for bias, how in ((None, "uncalibrated"), (means, "calibrated")):
        for short in (False, True):
            among = "the heuristic's ideas" if short else "all that is possible"
            row = Row(f"{name}, {how}, {among}")
            for each, (logs, short_ms, all_ms) in zip(given, weighed, strict=True):
                options = each.short if short else each.possible
                row.chosen.append(choose_step({line: logs[line] for line in options}, bias))
                if len(options) > 1:  # where there is no choice, nobody is asked
                    row.ms.append(short_ms if short else all_ms)
            yield row


async def _plans(given: list[Labelled], words: Vocabulary, scope: Scope, threads: int) -> Row:
    """The first steps of plans that the same model writes as JSON, asked as any server is asked."""
    row, schema = Row("a JSON plan, its first step"), plan_schema(words, scope)
    with smollm_server(threads=threads, parallel=1) as address:
        spec = ModelSpec(kind="openai", base_url=f"{address.url}/v1", api_key=SecretStr(address.api_key))
        model = OpenAIModel(spec, 1)
        for each in given:
            start = time.perf_counter()
            try:
                answer = await model.complete(json_prompt(words, scope, each.key), schema, MAX_TOKENS)
                action, target, _ = read_json_plan(answer.text, words, scope)[0]
                row.chosen.append(f"{words.actions[action].name} {words.targets[target]}")
            except (ModelError, PlanRejected) as error:
                row.chosen.append(f"({error.reason})")
            row.ms.append(1000 * (time.perf_counter() - start))
    return row


def measure(part: str, threads: int, plans: int, tell: Callable[[str], object]) -> dict[str, Any]:
    """All figures of one part.

    Args:
        plans: for each action, how many of the situations in which it is right to ask for JSON plans about.
        tell: hears what is being measured.
    """
    sim = Simulation(make_arena(100), Settings(model="none", warmup=False, strict=False), world="decisions")
    words = sim.compiled.vocabulary
    scope = sim.compiled.scope(KIND, sim.compiled.roles[KIND], "", "decisions")
    given = situations(part, words, scope)
    rng = random.Random(0)
    rows = [
        Row("the heuristic alone", [each.short[0] for each in given]),
        Row("at random, the heuristic's ideas", [rng.choice(each.short) for each in given]),
        Row("at random, all that is possible", [rng.choice(each.possible) for each in given]),
        Row("the best of the heuristic's ideas: the ceiling",
            [each.right if each.right in each.short else each.short[0] for each in given]),
    ]  # fmt: skip
    llama = load(weights.find_or_fetch(), threads)
    tell("choosing")
    rows += choices(llama, "choice", lambda key: "".join(choice_prompt(words, scope, key)), given, words, scope)
    tell("choosing after examples")
    rows += choices(llama, "choice after 8 examples", with_examples(words, scope), given, words, scope)
    figures = [_figures(row, given) for row in rows]
    if plans:
        tell("writing plans (minutes)")
        some = few_of_each(given, plans)
        figures.append(_figures(anyio.run(_plans, some, words, scope, threads), some))
    return {"set": part, "threads": threads, "rows": figures}


def few_of_each(given: list[Labelled], count: int) -> list[Labelled]:
    """The first ``count`` situations in which each action is right."""
    by_action: dict[str, list[Labelled]] = {}
    for each in given:
        by_action.setdefault(each.right.split()[0], []).append(each)
    return [each for some in by_action.values() for each in some[:count]]


def _figures(row: Row, given: list[Labelled]) -> dict[str, Any]:
    action = sum(c.split()[0] == each.right.split()[0] for c, each in zip(row.chosen, given, strict=True))
    step = sum(c == each.right for c, each in zip(row.chosen, given, strict=True))
    low, high = interval(step, len(given))
    cuts = statistics.quantiles(row.ms, n=20) if len(row.ms) > 1 else [0.0] * 19
    return {
        "name": row.name, "n": len(given), "action_right": action, "step_right": step, "step_share_95": [low, high],
        "p50_ms": cuts[9], "p95_ms": cuts[18], "asked": len(row.ms),
    }  # fmt: skip


def interval(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    p, centre = right / n, right / n + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def _show(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Situations of the arena ({figures['set']}), {figures['threads']} thread(s)")
    for column in ("", "of", "action right", "step right", "step right, 95%", "ms, p50 / p95"):
        table.add_column(column, justify="left" if not column else "right")
    for row in figures["rows"]:
        low, high = row["step_share_95"]
        ms = f"{row['p50_ms']:.0f} / {row['p95_ms']:.0f}" if row["asked"] else ""
        counts = (str(row[name]) for name in ("n", "action_right", "step_right"))
        table.add_row(row["name"], *counts, f"{low:.0%} to {high:.0%}", ms)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.decisions", description="The model's judgement.")
    parser.add_argument("--set", choices=("tune", "report"), default="report", dest="part")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) - 1), help="all cores but one")
    parser.add_argument(
        "--plans", type=int, default=4, metavar="K",
        help="ask for JSON plans about K situations of each action; they take seconds each; 0: none (default 4)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(arguments)
    with Console(stderr=True).status("loading") as status:
        figures = measure(options.part, options.threads, options.plans, status.update)
    console = Console()
    console.width = max(console.width, 120)  # in a file, too, a row is a line
    _show(figures, console)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
