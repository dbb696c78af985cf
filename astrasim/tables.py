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


def percept_table(domain: Domain, names: Resolved, of_things: bool) -> PerceptTable:
    """The percepts of things, or of agents. Those of equal relation and radius share one walk over the neighbours."""
    seen_kinds = list(domain.declared.things if of_things else domain.kinds)
    seen_columns = list(names.thing_floats if of_things else names.floats)
    channels: dict[tuple[Any, ...], dict[str, int]] = {}
    for p in domain.declared.percepts.values():
        if p.of_things is not of_things:
            continue
        mask = tuple(sum(1 << seen_kinds.index(s) for s in p.sees.get(kind, ())) for kind in domain.kinds)
        channel = next((c for key, c in channels.items() if key[:2] == (mask, p.radius) and p.mode not in c), None)
        if channel is None:
            channel = channels[mask, p.radius, p.name] = {}
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
            channel["by"] = seen_columns.index(p.by)

    ordered = sorted(channels.items(), key=lambda channel: channel[0][1])
    sets: dict[int, int] = {}
    sees = np.full((len(ordered), len(domain.kinds)), -1, np.int32)
    for c, ((mask, *_), _) in enumerate(ordered):
        for k, seen in enumerate(mask):
            if seen:
                sees[c, k] = sets.setdefault(seen, len(sets))
    # Kinds that are in the same sets are one group.
    among = [tuple(seen >> k & 1 for seen in sets) for k in range(len(seen_kinds))]
    groups = {which: g for g, which in enumerate(dict.fromkeys(among))}

    def numbers(name: str) -> Any:
        return np.array([c.get(name, -1) for _, c in ordered], np.int32)

    return PerceptTable(
        radius=np.array([key[1] for key, _ in ordered], np.float32),
        near_ref=numbers("nearest_ref"),
        near_distance=numbers("nearest_distance"),
        total=numbers("count_at"),
        saturated=numbers("saturated"),
        cap=numbers("cap"),
        weak_ref=numbers("weakest_ref"),
        weak_distance=numbers("weakest_distance"),
        weak_by=numbers("by"),
        sees=sees,
        members=np.array(
            [sum(1 << g for which, g in groups.items() if which[number]) for number in range(len(sets))], np.int64
        ),
        group=np.array([groups[which] for which in among], np.int32),
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
