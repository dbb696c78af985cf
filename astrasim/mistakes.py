"""What can only be wrong once all is declared: names that nobody declares, declarations that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .arguments import unknown
from .declarations import HOME, SELF, Action, Feature
from .domain import Domain
from .errors import DomainError, PlanRejected
from .kernels.columns import AT_AGENT, AT_PLACE, AT_THING
from .reader import read_compact_plan
from .resolved import Resolved
from .roles import Role
from .stock import VERBS
from .vocabulary import MAX_KEY, Scope, Vocabulary

if TYPE_CHECKING:
    from .compiled import Compiled


def raise_mistakes(domain: Domain, mistakes: list[str]) -> None:
    """Raises DomainError listing ``mistakes``, if there are any."""
    if len(mistakes) == 1:
        raise DomainError(f"domain {domain.name!r}: {mistakes[0]}")
    if mistakes:
        raise DomainError(f"domain {domain.name!r} has {len(mistakes)} mistakes:\n- " + "\n- ".join(mistakes))


def naming_mistakes(domain: Domain, names: Resolved) -> Iterator[str]:
    """Every name that nobody declares, and what cannot be together."""
    d = domain.declared
    yield from d.unfinished.values()
    for kind, values in domain.kinds.items():
        yield from _unknown_columns(values, names, f"kind {kind!r}")
    for p in d.percepts.values():
        seen_columns = names.thing_floats if p.of_things else names.floats
        if p.mode == "weakest" and p.by not in seen_columns:
            yield unknown(
                p.by, seen_columns, f"percept {p.name!r}: by", "column of things" if p.of_things else "column"
            )
    for feature in d.features.values():
        yield from _feature_mistakes(feature, names)
    for action in d.actions.values():
        yield from _action_mistakes(action, names)
    for role in d.roles.values():
        yield from _role_mistakes(role, domain, names)
    for kind in names.kinds:
        if kind in d.roles and kind not in d.roles[kind].kinds:
            yield f"role {kind!r} is not for the kind of its name, whose plain role it is; add {kind!r} to its kinds="
    for name in d.heuristics:
        if name not in d.roles and name not in names.kinds:
            yield unknown(name, [*names.kinds, *d.roles], f"heuristic for {name!r}", "kind or role")


def _unknown_columns(columns: object, names: Resolved, where: str) -> Iterator[str]:
    for name in columns if isinstance(columns, dict | tuple | list) else ():
        if name in names.references:
            yield f"{where}: {name!r} is a reference, not a number; there are: {', '.join(names.floats)}"
        elif name not in names.floats:
            yield unknown(name, names.floats, where, "column")


def _feature_mistakes(feature: Feature, names: Resolved) -> Iterator[str]:
    where = f"feature {feature.name!r}"
    yield from _unknown_columns([feature.column], names, f"{where}: column")
    have = names.kinds_with(feature.column)
    for kind in feature.kinds or ():
        if kind not in have:
            yield f"{where}: a {kind} has no column {feature.column!r}: its percept is seen_by {', '.join(have)}"


def _action_mistakes(action: Action, names: Resolved) -> Iterator[str]:
    where = f"action {action.name!r}"
    yield from _unknown_columns(list(action.needs), names, f"{where}: needs")
    verb = None
    if action.stock is not None:
        verb = VERBS[action.stock.verb]
        yield from _unknown_columns([action.stock.column], names, f"{where}: column")
    for name in action.targets:
        if name not in names.targets:
            yield unknown(name, names.targets, where, "target")
            continue
        target = names.targets[name]
        if action.line_of_sight and target.visible < 0:
            yield (
                f"{where} needs line of sight to {name!r}, which has none: declare it as a nearest or weakest percept "
                f"with line_of_sight=True"
            )
        if verb is not None and verb.takes and target.sort != AT_THING:
            yield f"{where} takes things, and {name!r} is no percept of things"
        if verb is not None and verb.hits and target.sort != AT_AGENT:
            yield f"{where} acts on agents, and {name!r} is no reference to an agent: use a percept of agents"
    if all(name in names.targets for name in action.targets):
        for kind in action.kinds or ():
            if not any(kind in names.kinds_with(name) for name in action.targets):
                yield f"{where}: a {kind} has none of its targets ({', '.join(action.targets)}): it could never start"


def _role_mistakes(role: Role, domain: Domain, names: Resolved) -> Iterator[str]:
    actions = domain.declared.actions
    for name in role.actions or ():
        if name not in actions:
            yield unknown(name, actions, f"role {role.name!r}", "action")
        elif not any(kind in names.kinds_of_action(actions[name]) for kind in role.kinds):
            yield f"role {role.name!r}: none of its kinds ({', '.join(role.kinds)}) can {name!r}"


def key_space_mistakes(vocabulary: Vocabulary) -> Iterator[str]:
    """Kinds whose situations do not fit one integer."""
    for kind in vocabulary.kinds:
        if vocabulary.key_space(kind) > MAX_KEY:
            yield (
                f"a {kind} has {len(vocabulary.packing(kind))} features, which make more than 2^62 situations; "
                f"use fewer features or edges"
            )


def default_mistakes(compiled: Compiled) -> Iterator[str]:
    """Default plans that are none, or not always possible."""
    for role in compiled.roles.values():
        for kind in role.kinds:
            yield from _default_mistakes(compiled, compiled.scope(kind, role, "", "none"))


def _default_mistakes(compiled: Compiled, scope: Scope) -> Iterator[str]:
    role = compiled.roles[scope.role]
    where = f"role {role.name!r}: default={list(role.default)!r}"
    try:
        steps = read_compact_plan("\n".join(role.default), compiled.vocabulary, scope)
    except PlanRejected as error:
        yield f"{where} is no plan for a {scope.kind}: {error}"
        return
    for action, target, _ in steps:
        spec, name = compiled.declared_actions[action], compiled.vocabulary.targets[target]
        if not spec.is_unconditional:
            yield f"{where} must always be possible, and {spec.name!r} has preconditions"
        elif name not in (SELF, HOME) and compiled.targets.sort[target] != AT_PLACE:
            yield f"{where} must always be possible, and {name!r} is not always there; use {SELF}, {HOME} or a place"
