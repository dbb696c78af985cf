"""The labelled situations and orders: that they are what they say."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from astrasim.compiled import compile_domain
from astrasim.perf.labelled import RANGES, REPORT_SEEDS, SPENT_SEEDS, TUNING_SEEDS, draw, make_watch, right_step
from astrasim.reader import read_compact_plan


def test_a_seed_gives_the_same_situations_each_time() -> None:
    one, two = draw(TUNING_SEEDS[0]), draw(TUNING_SEEDS[0])
    assert np.array_equal(one.values, two.values) and one.right == two.right


def test_no_seed_is_both_tuned_on_and_reported() -> None:
    assert len(REPORT_SEEDS) == 3
    assert len({*REPORT_SEEDS, *SPENT_SEEDS, *TUNING_SEEDS}) == 9 + len(TUNING_SEEDS)


@pytest.mark.parametrize("seed", TUNING_SEEDS[:5])
def test_every_label_is_a_step_of_the_domain_and_none_is_nearly_everywhere(seed: int) -> None:
    compiled = compile_domain(make_watch())
    scope = compiled.scope("guard", compiled.roles["guard"], "", "test")
    given = draw(seed)
    assert len(given.right) == len(given.values) == 1500
    shares = Counter(given.right)
    for step in shares:
        read_compact_plan(step, compiled.vocabulary, scope)
    assert len(shares) >= 8 and max(shares.values()) < 750
    low, high = zip(*RANGES.values(), strict=True)
    assert (given.values >= low).all() and (given.values <= high).all()


def test_the_rules_thresholds_are_not_the_edges() -> None:
    """Within one key, there are situations on both sides of the rule."""
    common = {"foes": 2.0, "friends": 2.0, "rounds": 20.0, "breath": 80.0, "post_distance": 30.0, "alarm": 0.0}
    assert right_step(health=90, foe_distance=22, **common) != right_step(health=90, foe_distance=24, **common)
    edges = next(f.edges for f in make_watch().declared.features.values() if f.name == "foe_range")
    assert np.searchsorted(edges, 22) == np.searchsorted(edges, 24)


def test_there_are_enough_pairs_of_orders_of_each_kind_in_both_sets() -> None:
    told = json.loads(resources.files("astrasim.perf").joinpath("orders_labelled.json").read_text(encoding="utf-8"))
    pairs = told["pairs"]
    assert len(pairs) >= 200 and len({(p["a"], p["b"]) for p in pairs}) == len(pairs)
    kinds = Counter((p["set"], p["kind"]) for p in pairs)
    traps = {"negation", "reversal", "object", "direction", "condition", "person"}
    assert {kind for _, kind in kinds} == {"paraphrase", *traps}
    assert all(kinds[half, kind] >= 8 for half in ("tune", "report") for kind in traps)
    assert all(kinds[half, "paraphrase"] >= 50 for half in ("tune", "report"))
