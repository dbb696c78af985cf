"""A resolved domain as tables of numbers, the form in which kernels take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .declarations import MAX_NEEDS
from .domain import Domain
from .kernels.columns import Actions, Targets
from .kernels.perceiving import PerceptTable
from .kernels.situating import FeatureTable
from .resolved import Resolved, Target
from .stock import VERBS
from .vocabulary import Vocabulary

SAME_GRID = 0.5
"""Percepts whose radius is at least this share of the largest share its grid: in its cells, which are larger than they
need, they pass over some more that are too far, and nothing has to be sorted once more for them."""


def target_table(targets: dict[str, Target]) -> Targets:
    """One element a target."""
    columns = list(zip(*targets.values(), strict=True))
    return Targets(
        sort=np.array(columns[0], np.int32),
        index=np.array(columns[1], np.int32),
        visible=np.array(columns[2], np.int32),
        x=np.array(columns[3], np.float32),
        y=np.array(columns[4], np.float32),
    )


def percept_table(domain: Domain, names: Resolved) -> PerceptTable:
    """The percepts. Those of equal relation and radius share one walk over the neighbours."""
    seen_kinds = [*domain.kinds, *domain.declared.things]
    agents = len(domain.kinds)
    channels: dict[tuple[Any, ...], dict[str, int]] = {}
    for p in domain.declared.percepts.values():
        mask = tuple(sum(1 << seen_kinds.index(s) for s in p.sees.get(kind, ())) for kind in domain.kinds)
        channel = next((c for key, c in channels.items() if key[:2] == (p.radius, mask) and p.mode not in c), None)
        if channel is None:
            channel = channels[p.radius, mask, p.name] = {}
        channel[p.mode] = 1
        if p.counts:
            channel |= {
                "count_at": names.column(p.name),
                "saturated": names.column(f"{p.name}_saturated"),
                "cap": p.cap,
            }
        else:
            channel[f"{p.mode}_ref"] = names.references.index(p.name)
            channel[f"{p.mode}_distance"] = names.column(f"{p.name}_distance")
        if p.mode == "weakest":
            channel["by"] = list(names.thing_floats if p.of_things else names.floats).index(p.by)

    ordered = sorted(channels.items(), key=lambda channel: -channel[0][0])
    grid, width, slot = [0], [0], list[int]()
    for c, ((radius, *_), channel) in enumerate(ordered):
        if radius < ordered[grid[-1]][0][0] * SAME_GRID:
            grid.append(c)
            width.append(0)
        slot.append(width[-1])
        width[-1] += 5 if "weakest" in channel else 3
    view_of = np.full((len(ordered), agents), -1, np.int32)
    views: dict[tuple[int, float, int], int] = {}
    first_view = []
    for c, ((radius, mask, _), channel) in enumerate(ordered):
        if c in grid:
            first_view.append(len(views))
        for k, seen in enumerate(mask):
            if seen:
                view_of[c, k] = views.setdefault((seen, radius, channel.get("by", -1)), len(views))
    sets = list(dict.fromkeys(seen for seen, _, _ in views))
    # Kinds that are in the same sets are one group.
    among = [(number >= agents, *(seen >> number & 1 for seen in sets)) for number in range(len(seen_kinds))]
    groups = {which: g for g, which in enumerate(dict.fromkeys(among))}
    group = np.array([groups[which] for which in among], np.int32)
    members = {seen: sum(1 << g for which, g in groups.items() if which[1 + s]) for s, seen in enumerate(sets)}
    first_of_things = int(group[:agents].max()) + 1
    of_things = [seen >> agents > 0 for seen, _, _ in views]

    def numbers(name: str) -> Any:
        return np.array([c.get(name, -1) for _, c in ordered], np.int32)

    return PerceptTable(
        grid=np.array([*grid, len(ordered)], np.int32),
        views=np.array([*first_view, len(views)], np.int32),
        width=np.array(width, np.int32),
        radius=np.array([key[0] for key, _ in ordered], np.float32),
        slot=np.array(slot, np.int32),
        near_ref=numbers("nearest_ref"),
        near_distance=numbers("nearest_distance"),
        total=numbers("count_at"),
        saturated=numbers("saturated"),
        cap=numbers("cap"),
        weak_ref=numbers("weakest_ref"),
        weak_distance=numbers("weakest_distance"),
        view_of=view_of,
        members=np.array(
            [members[seen] >> first_of_things * things for (seen, _, _), things in zip(views, of_things, strict=True)],
            np.int64,
        ),
        reach=np.array([radius for _, radius, _ in views], np.float32),
        by=np.array([by for _, _, by in views], np.int32),
        of_things=np.array(of_things, np.uint8),
        group=group[:agents],
        thing_group=group[agents:],
    )


def feature_table(domain: Domain, names: Resolved, vocabulary: Vocabulary) -> FeatureTable:
    """One row a feature; the factors by which a key is packed, one row a kind."""
    features = list(domain.declared.features.values())
    edges = np.full((len(features), max([len(f.edges) for f in features], default=1)), np.inf, np.float32)
    multiplier = np.zeros((len(domain.kinds), len(features)), np.int64)
    for q, feature in enumerate(features):
        edges[q, : len(feature.edges)] = feature.edges
    for k, kind in enumerate(domain.kinds):
        for q, factor, _ in vocabulary.packing(kind):
            multiplier[k, q] = factor
    return FeatureTable(
        column=np.array([names.column(f.column) for f in features], np.int32),
        edges=edges,
        edge_count=np.array([len(f.edges) for f in features], np.int32),
        hysteresis=np.array([f.hysteresis for f in features], np.float32),
        multiplier=multiplier,
        common=(multiplier == multiplier[:1]).all(axis=0).astype(np.uint8),
        interrupt=np.array([f.interrupt for f in features], np.uint8),
    )


def action_table(domain: Domain, names: Resolved) -> Actions:
    """One element an action."""
    actions = list(domain.declared.actions.values())
    index = {name: i for i, name in enumerate(names.floats)}
    need_column = np.full((len(actions), MAX_NEEDS), -1, np.int32)
    need_least = np.zeros((len(actions), MAX_NEEDS), np.float32)
    for a, action in enumerate(actions):
        for q, (column, least) in enumerate(action.needs.items()):
            need_column[a, q], need_least[a, q] = index[column], least

    def stock(value: Callable[[Any, Any], float], otherwise: float, dtype: type) -> Any:
        return np.array([value(VERBS[a.stock.verb], a.stock) if a.stock else otherwise for a in actions], dtype)

    def parameter(name: str, otherwise: float = 0.0) -> Any:
        return stock(lambda _, s: s.parameters.get(name, otherwise), otherwise, np.float32)

    def hit(verb: Any, spec: Any) -> float:
        return float(-spec.parameters["damage"] if "damage" in spec.parameters else spec.parameters.get("amount", 0.0))

    return Actions(
        motion=stock(lambda v, _: v.motion, 0, np.int32),
        custom=np.array([a.stock is None for a in actions], np.uint8),
        interruptible=np.array([a.interruptible for a in actions], np.uint8),
        done_near=stock(lambda v, _: v.done_when_near, 0, np.uint8),
        done_lost=stock(lambda v, _: v.done_when_lost, 0, np.uint8),
        line_of_sight=np.array([a.line_of_sight for a in actions], np.uint8),
        takes=stock(lambda v, _: v.takes, 0, np.uint8),
        hit_column=stock(lambda v, s: index[s.column] if v.hits or v.takes else -1, -1, np.int32),
        gain_column=stock(lambda v, s: index[s.column] if v.gains else -1, -1, np.int32),
        cooldown_column=np.array([index[a.cooldown_column] if a.cooldown_column else -1 for a in actions], np.int32),
        need_column=need_column,
        need_least=need_least,
        speed=parameter("speed"),
        near=parameter("near"),
        radius=parameter("radius"),
        hit_amount=stock(hit, 0.0, np.float32),
        limit=parameter("limit", float("inf")),
        cooldown=np.array([a.cooldown for a in actions], np.float32),
        ammunition=parameter("ammunition"),
        stamina=parameter("stamina"),
        stamina_rate=parameter("stamina_rate"),
        gain_rate=parameter("rate"),
        range=np.array([np.inf if a.range is None else a.range for a in actions], np.float32),
    )
