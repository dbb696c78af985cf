"""A domain as tables: what kernels, planner and gateway run on. Made once for each simulation; compiles no code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .domain import AGENT_COLUMNS, HOME, MIN_SECONDS, SELF, THING_COLUMNS, Action, Domain, Feature, Percept
from .errors import DomainError
from .kernels.columns import AT_AGENT, AT_HOME, AT_PLACE, AT_RESOLVED, AT_SELF, AT_THING, Actions, Targets
from .kernels.perceiving import PerceptTable
from .kernels.situating import FeatureTable
from .reader import Steps, read_compact_plan
from .roles import STYLES, Role
from .stock import VERBS
from .vocabulary import MAX_KEY, ActionWords, FeatureWords, Scope, Vocabulary

MAX_NEEDS = 4


@dataclass(frozen=True)
class Compiled:
    """The whole of a domain, every name resolved. Table rows are in the order of declaration."""

    domain: Domain
    vocabulary: Vocabulary
    floats: dict[str, float]
    thing_floats: dict[str, float]
    references: tuple[str, ...]
    thing_references: frozenset[str]
    agent_percepts: PerceptTable
    thing_percepts: PerceptTable
    features: FeatureTable
    actions: Actions
    targets: Targets
    roles: dict[str, Role]
    declared_actions: tuple[Action, ...]
    declared_features: tuple[Feature, ...]
    sights: tuple[Percept, ...]
    resolvers: tuple[tuple[str, Callable[[Any], Any], int], ...]
    cooldown_columns: Any

    def role_for(self, kind: str, role: str | None) -> Role:
        """The role called ``role`` if ``kind`` may have it; the kind's first role for None.

        Raises:
            DomainError: otherwise.
        """
        fitting = [r for r in self.roles.values() if kind in r.kinds]
        for found in fitting:
            if role in (None, found.name):
                return found
        raise DomainError(f"a {kind} cannot have role {role!r}; it can have: {', '.join(r.name for r in fitting)}")

    def scope(self, kind: str, role: Role, order: str, model: str) -> Scope:
        """The scope of an agent."""
        able = [a.name for a in self.vocabulary.actions if kind in a.kinds]
        actions = able if role.actions is None else [a for a in able if a in role.actions or a == "wait"]
        return Scope(
            kind=kind, role=role.name, persona=role.persona, order=order, actions=tuple(actions),
            domain=self.vocabulary.domain, ruleset=self.vocabulary.ruleset, model=model,
        )  # fmt: skip

    def style_plan(self, scope: Scope) -> Steps:
        """What a role without a heuristic does: its style's preferred verbs over the actions that it has."""
        declared = {a.name: a for a in self.declared_actions}
        lines = [
            f"{name} {declared[name].targets[0]}"
            for verb in STYLES[self.roles[scope.role].style].prefers
            for name in scope.actions
            if (stock := declared[name].stock) is not None and stock.verb == verb
        ]
        custom = [f"{n} {declared[n].targets[0]}" for n in scope.actions if declared[n].stock is None]
        return read_compact_plan("\n".join([*lines, *custom, "wait self"][:8]), self.vocabulary, scope)


def compile_domain(domain: Domain) -> Compiled:
    """Resolve every name of ``domain``.

    Raises:
        DomainError: for the first name that nobody declared, and for what does not fit together.
    """
    d = domain.declared
    floats, references = _columns(domain)
    index = {name: i for i, name in enumerate(floats)}
    reference_index = {name: i for i, name in enumerate(references)}
    for kind, values in domain.kinds.items():
        _all_known(values, index, f"kind {kind!r}", "column")
    thing_floats = dict(THING_COLUMNS)
    for values in d.things.values():
        thing_floats.update({name: 0.0 for name in values if name not in thing_floats})
    thing_references = frozenset(p.name for p in d.percepts.values() if p.of_things and p.mode != "count")
    targets = _targets(domain, index, reference_index, thing_references)
    for action in d.actions.values():
        _all_known(action.targets, targets, f"action {action.name!r}", "target")
    sights = tuple(p for p in d.percepts.values() if p.line_of_sight)
    vocabulary = _vocabulary(domain, tuple(targets), index)
    kinds = list(domain.kinds)
    roles = dict(d.roles)
    for kind in kinds:
        if not any(kind in role.kinds for role in roles.values()):
            roles[kind] = Role(kind, (kind,), "tactical", "", None, ("wait self",))
    for name in d.heuristics:
        if name not in roles and name not in domain.kinds:
            raise DomainError(f"heuristic for {name!r}: no kind and no role of that name; there are: {', '.join(roles)}")
    cooldowns = [index[cooldown_column(a)] for a in d.actions.values() if a.cooldown > 0]
    return Compiled(
        domain=domain,
        vocabulary=vocabulary,
        floats=floats,
        thing_floats=thing_floats,
        references=tuple(references),
        thing_references=thing_references,
        agent_percepts=_percepts(domain, False, index, reference_index, index, kinds),
        thing_percepts=_percepts(
            domain, True, index, reference_index, {n: i for i, n in enumerate(thing_floats)}, list(d.things)
        ),
        features=_features(domain, vocabulary, index),
        actions=_actions(domain, index, thing_references),
        targets=_target_table(targets),
        roles=roles,
        declared_actions=tuple(d.actions.values()),
        declared_features=tuple(d.features.values()),
        sights=sights,
        resolvers=tuple((n, f, index[f"{n}_at_x"]) for n, f in d.resolvers.items()),
        cooldown_columns=np.array(cooldowns, np.int32),
    )


def cooldown_column(action: Action) -> str:
    """The column that holds the seconds until ``action`` can be used again."""
    return f"{action.name}_cooldown"


def _columns(domain: Domain) -> tuple[dict[str, float], list[str]]:
    d = domain.declared
    floats = dict(AGENT_COLUMNS)
    references = list(d.references)
    added = dict(d.columns)
    for p in d.percepts.values():
        if p.mode == "count":
            added |= {p.name: 0.0, f"{p.name}_saturated": 0.0}
        else:
            references.append(p.name)
            added[f"{p.name}_distance"] = float("inf")
            if p.line_of_sight:
                added[f"{p.name}_visible"] = 0.0
    added |= {cooldown_column(a): 0.0 for a in d.actions.values() if a.cooldown > 0}
    added |= {f.column: 0.0 for f in d.features.values() if f.function is not None}
    added |= {f"{name}_at_{axis}": float("nan") for name in d.resolvers for axis in "xy"}
    for name in added:
        if name in floats or name in references:
            raise DomainError(f"two declarations make a column {name!r}; rename one of them")
    return floats | added, references


Target = tuple[int, int, int, float, float]
"""(sort, index, column that says whether it is seen, x, y)"""


def _targets(
    domain: Domain, index: dict[str, int], references: dict[str, int], of_things: frozenset[str]
) -> dict[str, Target]:
    d = domain.declared
    found: dict[str, Target] = {SELF: (AT_SELF, -1, -1, 0.0, 0.0), HOME: (AT_HOME, -1, -1, 0.0, 0.0)}

    def add(name: str, target: Target) -> None:
        if name in found:
            raise DomainError(f"two targets are called {name!r}; rename one of them")
        found[name] = target

    for name, at in references.items():
        visible = index.get(f"{name}_visible", -1)
        add(name, (AT_THING if name in of_things else AT_AGENT, at, visible, 0.0, 0.0))
    for place in d.places.values():
        add(place.name, (AT_PLACE, -1, -1, place.x, place.y))
    for name in d.resolvers:
        add(name, (AT_RESOLVED, index[f"{name}_at_x"], -1, 0.0, 0.0))
    for action in d.actions.values():
        _all_known(action.targets, found, f"action {action.name!r}", "target")
        for target in action.targets:
            if action.line_of_sight and found[target][2] < 0:
                raise DomainError(
                    f"action {action.name!r} needs line of sight to {target!r}, which has none: declare it as "
                    f"a nearest or weakest percept with line_of_sight=True"
                )
            if action.stock and VERBS[action.stock.verb].takes and found[target][0] != AT_THING:
                raise DomainError(f"action {action.name!r} takes things, and {target!r} is no percept of things")
            if action.stock and VERBS[action.stock.verb].hits and found[target][0] != AT_AGENT:
                raise DomainError(f"action {action.name!r} hits agents, and {target!r} is no agent")
    return found


def _target_table(targets: dict[str, Target]) -> Targets:
    columns = list(zip(*targets.values(), strict=True))
    return Targets(
        sort=np.array(columns[0], np.int32),
        index=np.array(columns[1], np.int32),
        visible=np.array(columns[2], np.int32),
        x=np.array(columns[3], np.float32),
        y=np.array(columns[4], np.float32),
    )


def _vocabulary(domain: Domain, targets: tuple[str, ...], index: dict[str, int]) -> Vocabulary:
    d = domain.declared
    everyone = tuple(domain.kinds)
    # A feature over a percept's column makes sense for those who have the percept.
    observers = {f"{p.name}{end}": tuple(p.sees) for p in d.percepts.values() for end in ("", "_distance", "_visible")}
    for feature in d.features.values():
        _all_known([feature.column], index, f"feature {feature.name!r}", "column")
    vocabulary = Vocabulary(
        domain=domain.name,
        ruleset=domain.ruleset,
        kinds=everyone,
        features=tuple(
            FeatureWords(
                name=f.name, kinds=f.kinds or observers.get(f.column, everyone), words=f.words, interrupt=f.interrupt
            )
            for f in d.features.values()
        ),
        actions=tuple(
            ActionWords(name=a.name, kinds=a.kinds or everyone, targets=a.targets, seconds=a.seconds, about=a.about)
            for a in d.actions.values()
        ),
        targets=targets,
        min_seconds=MIN_SECONDS,
        max_seconds=domain.max_seconds,
    )
    for kind in everyone:
        if vocabulary.key_space(kind) > MAX_KEY:
            raise DomainError(f"{kind}: its features make more than 2^62 situations; use fewer features or edges")
    return vocabulary


def _percepts(
    domain: Domain,
    of_things: bool,
    index: dict[str, int],
    references: dict[str, int],
    seen_index: dict[str, int],
    seen_kinds: list[str],
) -> PerceptTable:
    channels: dict[tuple[Any, ...], dict[str, int]] = {}
    for p in domain.declared.percepts.values():
        if p.of_things is not of_things:
            continue
        mask = tuple(sum(1 << seen_kinds.index(s) for s in p.sees.get(kind, ())) for kind in domain.kinds)
        # Percepts of equal relation and radius share one walk over the neighbours.
        channel = next((c for key, c in channels.items() if key[:2] == (mask, p.radius) and p.mode not in c), None)
        if channel is None:
            channel = channels[mask, p.radius, p.name] = {}
        channel[p.mode] = 1
        if p.mode == "count":
            channel |= {"count_at": index[p.name], "saturated": index[f"{p.name}_saturated"], "cap": p.cap}
        else:
            channel[f"{p.mode}_ref"] = references[p.name]
            channel[f"{p.mode}_distance"] = index[f"{p.name}_distance"]
        if p.mode == "weakest":
            _all_known([p.by], seen_index, f"percept {p.name!r}: by", "column")
            channel["by"] = seen_index[p.by]

    def numbers(name: str) -> Any:
        return np.array([c.get(name, -1) for c in channels.values()], np.int32)

    masks = np.array([key[0] for key in channels], np.uint64).reshape(len(channels), len(domain.kinds))
    return PerceptTable(
        mask=masks,
        radius=np.array([key[1] for key in channels], np.float32),
        near_ref=numbers("nearest_ref"),
        near_distance=numbers("nearest_distance"),
        count=numbers("count_at"),
        saturated=numbers("saturated"),
        cap=numbers("cap"),
        weak_ref=numbers("weakest_ref"),
        weak_distance=numbers("weakest_distance"),
        weak_by=numbers("by"),
    )


def _features(domain: Domain, vocabulary: Vocabulary, index: dict[str, int]) -> FeatureTable:
    features = list(domain.declared.features.values())
    edges = np.full((len(features), max([len(f.edges) for f in features], default=1)), np.inf, np.float32)
    multiplier = np.zeros((len(domain.kinds), len(features)), np.int64)
    interrupt = np.zeros_like(multiplier)
    for q, feature in enumerate(features):
        edges[q, : len(feature.edges)] = feature.edges
    for k, kind in enumerate(domain.kinds):
        for q, factor, _ in vocabulary.packing(kind):
            multiplier[k, q] = factor
            interrupt[k, q] = factor if features[q].interrupt else 0
    return FeatureTable(
        column=np.array([index[f.column] for f in features], np.int32),
        edges=edges,
        edge_count=np.array([len(f.edges) for f in features], np.int32),
        hysteresis=np.array([f.hysteresis for f in features], np.float32),
        multiplier=multiplier,
        interrupt=interrupt,
    )


def _actions(domain: Domain, index: dict[str, int], of_things: frozenset[str]) -> Actions:
    actions = list(domain.declared.actions.values())
    need_column = np.full((len(actions), MAX_NEEDS), -1, np.int32)
    need_least = np.zeros((len(actions), MAX_NEEDS), np.float32)
    for a, action in enumerate(actions):
        if len(action.needs) > MAX_NEEDS:
            raise DomainError(f"action {action.name!r}: at most {MAX_NEEDS} needs, got {', '.join(action.needs)}")
        _all_known(action.needs, index, f"action {action.name!r}: needs", "column")
        for q, (column, least) in enumerate(action.needs.items()):
            need_column[a, q], need_least[a, q] = index[column], least
        if action.stock is not None:
            _all_known([action.stock.column], index, f"action {action.name!r}: column", "column")

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
        cooldown_column=np.array([index[cooldown_column(a)] if a.cooldown > 0 else -1 for a in actions], np.int32),
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


def _all_known(names: Any, known: Any, where: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise DomainError(f"{where}: no {what} {name!r}; declared are: {', '.join(known)}")


__all__ = ["Compiled", "compile_domain", "cooldown_column"]
