"""A domain as tables: what kernels, planner and gateway run on. Made once for each simulation; compiles no code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .declarations import MIN_SECONDS, WAIT, Action, Feature, Percept
from .domain import Domain
from .errors import DomainError
from .kernels.columns import Actions, Targets
from .kernels.perceiving import PerceptTable
from .kernels.situating import FeatureTable
from .mistakes import default_mistakes, key_space_mistakes, naming_mistakes, raise_mistakes
from .reader import Steps, read_compact_plan
from .resolved import Resolved, resolve
from .roles import STYLES, Role
from .situation import position_among
from .tables import action_table, feature_table, percept_table, target_table
from .vocabulary import MAX_STEPS, ActionWords, FeatureWords, PromptLength, Scope, Vocabulary


@dataclass(frozen=True)
class Compiled:
    """The whole of a domain, every name resolved. Table rows are in the order of declaration."""

    domain: Domain
    names: Resolved
    vocabulary: Vocabulary
    floats: dict[str, float]
    thing_floats: dict[str, float]
    references: tuple[str, ...]
    thing_references: frozenset[str]
    percepts: PerceptTable
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
        """The role called ``role`` if ``kind`` may have it; for None the plain role, which has the kind's name.

        Raises:
            DomainError: otherwise.
        """
        fitting = [r for r in self.roles.values() if kind in r.kinds]
        for found in fitting:
            if found.name == (role or kind):
                return found
        raise DomainError(f"a {kind} cannot have role {role!r}; it can have: {', '.join(r.name for r in fitting)}")

    def scope(self, kind: str, role: Role, order: str, model: str, prompt: PromptLength = "full") -> Scope:
        """The scope of an agent."""
        able = [a.name for a in self.vocabulary.actions if kind in a.kinds]
        actions = able if role.actions is None else [a for a in able if a in role.actions or a == WAIT]
        return Scope(
            kind=kind, role=role.name, persona=role.persona, order=order, actions=tuple(actions),
            domain=self.vocabulary.domain, ruleset=self.vocabulary.ruleset, model=model, prompt=prompt,
        )  # fmt: skip

    def vector(self, kind: int, values: NDArray[np.float32]) -> tuple[float, ...]:
        """Each feature of ``kind`` as a float in 0 to 1, from one agent's float columns, shape (columns,)."""
        table = self.features
        return tuple(
            position_among(float(values[table.column[q]]), feature.edges)
            for q, feature in enumerate(self.declared_features)
            if table.multiplier[kind, q]
        )

    def style_plan(self, scope: Scope) -> Steps:
        """What a role without a heuristic does: its style's preferred verbs, over the actions it has, then its own."""
        declared = {a.name: a for a in self.declared_actions}
        verbs = {name: action.stock.verb for name, action in declared.items() if action.stock is not None}
        preferred = [
            n for verb in STYLES[self.roles[scope.role].style].prefers for n in scope.actions if verbs.get(n) == verb
        ]
        custom = [name for name in scope.actions if name not in verbs]
        lines = []
        for name in [*preferred, *custom]:
            targets = declared[name].targets
            lines.append(f"{name} {next((t for t in targets if scope.kind in self.names.kinds_with(t)), targets[0])}")
        return read_compact_plan("\n".join([*lines, "wait self"][:MAX_STEPS]), self.vocabulary, scope)


def compile_domain(domain: Domain) -> Compiled:
    """Resolve every name of ``domain`` and make its tables.

    Raises:
        DomainError: listing the names that nobody declared and what does not fit together.
    """
    d = domain.declared
    names = resolve(domain)
    raise_mistakes(domain, list(naming_mistakes(domain, names)))
    vocabulary = _vocabulary(domain, names)
    raise_mistakes(domain, list(key_space_mistakes(vocabulary)))
    roles = dict(d.roles)
    for kind in names.kinds:
        if kind not in roles:
            roles[kind] = Role(kind, (kind,), "tactical", "", None, ("wait self",))
    compiled = Compiled(
        domain=domain,
        names=names,
        vocabulary=vocabulary,
        floats=names.floats,
        thing_floats=names.thing_floats,
        references=names.references,
        thing_references=names.thing_references,
        percepts=percept_table(domain, names),
        features=feature_table(domain, names, vocabulary),
        actions=action_table(domain, names),
        targets=target_table(names.targets),
        roles=roles,
        declared_actions=tuple(d.actions.values()),
        declared_features=tuple(d.features.values()),
        sights=tuple(p for p in d.percepts.values() if p.line_of_sight),
        resolvers=tuple((n, f, names.column(f"{n}_at_x")) for n, f in d.resolvers.items()),
        cooldown_columns=np.array(
            [names.column(a.cooldown_column) for a in d.actions.values() if a.cooldown_column], np.int32
        ),
    )
    raise_mistakes(domain, list(default_mistakes(compiled)))
    return compiled


def _vocabulary(domain: Domain, names: Resolved) -> Vocabulary:
    d = domain.declared
    return Vocabulary(
        domain=domain.name,
        ruleset=domain.ruleset,
        kinds=names.kinds,
        features=tuple(
            FeatureWords(
                name=f.name, kinds=names.kinds_of_feature(f), words=f.words, interrupt=f.interrupt, edges=f.edges,
                weight=f.weight,
            )
            for f in d.features.values()
        ),
        actions=tuple(
            ActionWords(
                name=a.name, kinds=names.kinds_of_action(a), targets=a.targets, seconds=a.seconds, about=a.about
            )
            for a in d.actions.values()
        ),
        targets=tuple(names.targets),
        min_seconds=MIN_SECONDS,
        max_seconds=domain.max_seconds,
    )
