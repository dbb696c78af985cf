"""How good the embedded model's choices are, and how fast, beside the heuristic alone and other ways to ask.

    python -m astrasim.perf.decisions

Asked about situations of the arena that were labelled beforehand, by rules that the heuristic does not know
(``decisions_labelled.json``; the rules as code are in ``tests/perf/test_decisions.py``): half of them to tune on, half
to report. The labels are one person's common sense; two sensible fighters would agree on most, not on all.

All ways are asked about the same situations, so each is compared with the heuristic situation by situation (McNemar's
exact test); the intervals are each row's own. Each action is right in as many situations as any other, so no share here
is one of situations as a game has them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from astrasim import PlanRejected, Settings, Simulation, Situation
from astrasim.figures import write_json
from astrasim.gateway import ModelSpec, calibration, weights
from astrasim.gateway.calibration import Bias, by_action
from astrasim.gateway.embedded import choose_step
from astrasim.gateway.llama import Branches, Llama, cores_for_a_model, load
from astrasim.gateway.models import MAX_TOKENS, ModelError
from astrasim.gateway.openai import OpenAIModel
from astrasim.intervals import wilson
from astrasim.prompts import choice_prompt, json_prompt, steps_of
from astrasim.reader import plan_schema
from astrasim.recovery import recover_plan
from astrasim.vocabulary import Example, Scope, Vocabulary

from .arena import common_sense, make_arena
from .paired import paired
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


def examples_shown(vocabulary: Vocabulary, scope: Scope) -> list[Example]:
    """The examples that :func:`with_examples` shows.

    Raises:
        ValueError: if there are none: this would measure what it does not say.
    """
    found = [each for each in vocabulary.examples if (each.role, each.kind) == (scope.role, scope.kind)]
    if not found:
        raise ValueError(f"the vocabulary has no examples for role {scope.role}: use sim.words")
    return found


def with_examples(vocabulary: Vocabulary, scope: Scope) -> Ask:
    """A prompt that was tried: examples from the heuristic, then the situation."""
    header = f"A {scope.kind} can: {', '.join(steps_of(vocabulary, scope))}.\n\n"
    for example in examples_shown(vocabulary, scope):
        step = " ".join(example.lines[0].split()[:2])
        header += f"Situation: {'; '.join(vocabulary.words(scope.kind, example.key))}.\nAction: {step}\n\n"
    return lambda key: f"{header}Situation: {'; '.join(vocabulary.words(scope.kind, key))}.\nAction:"


def in_two_stages(logs: dict[str, float], options: Sequence[str], bias: Bias | None) -> str:
    """Another way that was tried: first the action that gains most, whatever its targets, then its likeliest target.

    Args:
        logs: of all steps.
    """
    whole = {action: log - (bias[action] if bias is not None else 0.0) for action, log in by_action(logs).items()}
    action = max(dict.fromkeys(line.split()[0] for line in options), key=whole.__getitem__)
    return max((line for line in options if line.split()[0] == action), key=logs.__getitem__)


class Weighed(NamedTuple):
    """What the model thinks of all steps in one situation, and how long it thinks about some of them."""

    logs: dict[str, float]
    short_ms: float
    """About the heuristic's ideas."""
    possible_ms: float
    all_ms: float


def choices(llama: Llama, name: str, ask: Ask, given: list[Labelled], words: Vocabulary, scope: Scope) -> Iterator[Row]:
    """Rows of one prompt: with and without calibration, among all that is possible and on the short list; and on the
    short list in two stages, too."""
    lines = steps_of(words, scope)
    branches = Branches(lines, llama.tokenise)
    tally = calibration.Tally()
    for key in calibration.situations(words, scope):
        tally.add(branches.weigh(llama, ask(key), lines)[0])
    means = tally.mean()
    weighed = [_weigh(llama, branches, ask(each.key), each, lines) for each in given]
    for bias, how in ((None, "uncalibrated"), (means, "calibrated")):
        for short in (False, True):
            among = "the heuristic's ideas" if short else "all that is possible"
            row = Row(f"{name}, {how}, {among}")
            for each, found in zip(given, weighed, strict=True):
                options = each.short if short else each.possible
                row.chosen.append(choose_step({line: found.logs[line] for line in options}, bias))
                if len(options) > 1:  # where there is no choice, nobody is asked
                    row.ms.append(found.short_ms if short else found.possible_ms)
            yield row
    row = Row(f"{name}, calibrated, the heuristic's ideas, in two stages")
    for each, found in zip(given, weighed, strict=True):
        row.chosen.append(in_two_stages(found.logs, each.short, means))
        if len(each.short) > 1:
            row.ms.append(found.all_ms)
    yield row


def _weigh(llama: Llama, branches: Branches, text: str, each: Labelled, lines: Sequence[str]) -> Weighed:
    start, ended = time.perf_counter(), []
    logs: dict[str, float] = {}
    for options in (each.short if len(each.short) > 1 else (), each.possible, lines):
        # After the first the text is evaluated, and its forks only are left.
        logs, _ = branches.weigh(llama, text, options)
        ended.append(1000 * (time.perf_counter() - start))
    return Weighed(logs, *ended)


async def _plans(given: list[Labelled], words: Vocabulary, scope: Scope, threads: int) -> Row:
    """The first steps of plans that the same model writes as JSON: asked, and read, as any server is."""
    row, schema = Row("a JSON plan, its first step"), plan_schema(words, scope)
    with smollm_server(threads=threads, parallel=1) as address:
        spec = ModelSpec(kind="openai", base_url=f"{address.url}/v1", api_key=SecretStr(address.api_key))
        model = OpenAIModel(spec)
        for each in given:
            start = time.perf_counter()
            try:
                answer = await model.complete(json_prompt(words, scope, each.key), schema, MAX_TOKENS)
                action, target, _ = recover_plan(answer.text, words, scope)[0]
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
    words = sim.words  # with examples, as the gateway has it
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
    shown = len(examples_shown(words, scope))
    rows += choices(llama, f"choice after {shown} examples", with_examples(words, scope), given, words, scope)
    figures = [_figures(row, given) for row in rows]
    if plans:
        tell("writing plans (minutes)")
        some = few_of_each(given, plans)
        figures.append(_figures(anyio.run(_plans, some, words, scope, threads), some))
        figures.append(_figures(Row("the heuristic alone, of those", [each.short[0] for each in some]), some))
    return {"set": part, "threads": threads, "rows": figures}


def few_of_each(given: list[Labelled], count: int) -> list[Labelled]:
    """The first ``count`` situations in which each action is right."""
    groups: dict[str, list[Labelled]] = {}
    for each in given:
        groups.setdefault(each.right.split()[0], []).append(each)
    return [each for some in groups.values() for each in some[:count]]


def _figures(row: Row, given: list[Labelled]) -> dict[str, Any]:
    action = sum(c.split()[0] == each.right.split()[0] for c, each in zip(row.chosen, given, strict=True))
    right = [c == each.right for c, each in zip(row.chosen, given, strict=True)]
    step = sum(right)
    low, high = wilson(step, len(given))
    beside = paired(right, [each.short[0] == each.right for each in given])
    cuts = statistics.quantiles(row.ms, n=20) if len(row.ms) > 1 else [0.0] * 19
    return {
        "name": row.name, "n": len(given), "action_right": action, "step_right": step, "step_share_95": [low, high],
        "against_heuristic": beside._asdict(), "refused": sum(c.startswith("(") for c in row.chosen),
        "p50_ms": cuts[9], "p95_ms": cuts[18], "asked": len(row.ms),
    }  # fmt: skip


def _show(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Situations of the arena ({figures['set']}), {figures['threads']} thread(s)")
    for column in ("", "of", "action right", "step right", "95%", "against the heuristic", "ms, p50 / p95"):
        table.add_column(column, justify="left" if not column else "right")
    for row in figures["rows"]:
        low, high = row["step_share_95"]
        ms = f"{row['p50_ms']:.0f} / {row['p95_ms']:.0f}" if row["asked"] else ""
        counts = (str(row[name]) for name in ("n", "action_right", "step_right"))
        name = f"{row['name']} ({row['refused']} refused)" if row["refused"] else row["name"]
        gained, lost, p = row["against_heuristic"].values()
        beside = f"+{gained} -{lost}, p {'= ' if p >= 0.001 else '< '}{max(p, 0.001):.3f}" if gained or lost else ""
        table.add_row(name, *counts, f"{low:.0%} to {high:.0%}", beside, ms)
    console.print(table)
    console.print("p: McNemar's exact test, two-sided, of right steps gained and lost against the heuristic's first.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m astrasim.perf.decisions", description="The model's judgement.")
    parser.add_argument("--set", choices=("tune", "report"), default="report", dest="part")
    parser.add_argument("--threads", type=int, default=cores_for_a_model(), help="all cores but one")
    parser.add_argument(
        "--plans", type=int, default=4, metavar="K",
        help="ask for JSON plans about K situations of each action; they take seconds each; 0: none (default 4)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(arguments)
    with Console(stderr=True).status("loading") as status:
        figures = measure(options.part, options.threads, options.plans, status.update)
    console = Console()
    console.width = max(console.width, 170)  # in a file, too, a row is a line
    _show(figures, console)
    if options.json:
        write_json(options.json, figures)


if __name__ == "__main__":
    main()
