"""``Domain.check()``: finds mistakes before the first frame, and shows what a model would be asked."""

from __future__ import annotations

import json
from typing import NamedTuple

from .compiled import Compiled, compile_domain
from .domain import Domain
from .errors import ActionError, DomainError, PlanRejected
from .plans import PlanStore
from .prompts import json_prompt
from .reader import plan_grammar, plan_schema, read_compact_plan
from .scopes import Scopes
from .vocabulary import Scope


class Shown(NamedTuple):
    """What a model is given for one kind and role."""

    scope: Scope
    situations: int
    system: str
    user: str
    schema: str
    grammar: str


class Report(NamedTuple):
    """The outcome of a check that found no mistake; ``print`` it."""

    domain: str
    warnings: tuple[str, ...]
    shown: tuple[Shown, ...]

    def __str__(self) -> str:
        parts = [f"domain {self.domain}: no mistakes", *(f"warning: {w}" for w in self.warnings)]
        for s in self.shown:
            parts += [
                f"\n== {s.scope.kind}, role {s.scope.role}: {s.situations:,} situations ==",
                f"-- prompt, system --\n{s.system}\n-- prompt, user --\n{s.user}",
                f"-- JSON schema --\n{s.schema}\n-- grammar --\n{s.grammar}",
            ]
        return "\n".join(parts)


def check_domain(domain: Domain) -> Report:
    """See :meth:`astrasim.Domain.check`."""
    compiled = compile_domain(domain)
    mistakes: list[str] = []
    warnings: list[str] = []
    shown: list[Shown] = []
    scopes = Scopes(compiled, PlanStore(compiled.vocabulary))
    for role in compiled.roles.values():
        for name in role.actions or ():
            if name not in domain.declared.actions:
                mistakes.append(f"role {role.name!r}: no action {name!r}; there are: {', '.join(domain.declared.actions)}")
        for kind in role.kinds:
            scope = compiled.scope(kind, role, "", "none")
            mistakes += _default_mistakes(compiled, scope)
            if not mistakes:
                mistakes += _heuristic_mistakes(compiled, scopes, scope)
            shown.append(_show(compiled, scope))
    for kind in domain.kinds:
        able = [a.name for a in compiled.vocabulary.actions if kind in a.kinds and a.name != "wait"]
        if not able:
            warnings.append(f"a {kind} has no action but to wait")
        if not compiled.vocabulary.packing(kind):
            warnings.append(f"a {kind} has no features: all its situations are the same")
    if mistakes:
        raise DomainError(f"domain {domain.name!r} has {len(mistakes)} mistakes:\n- " + "\n- ".join(mistakes))
    return Report(domain.name, tuple(warnings), tuple(shown))


def _default_mistakes(compiled: Compiled, scope: Scope) -> list[str]:
    role = compiled.roles[scope.role]
    try:
        steps = read_compact_plan("\n".join(role.default), compiled.vocabulary, scope)
    except PlanRejected as error:
        return [f"role {role.name!r}: default={role.default!r} is no plan for a {scope.kind}: {error}"]
    action, _, _ = steps[0]
    spec = compiled.declared_actions[action]
    if spec.needs or spec.range is not None or spec.cooldown or spec.line_of_sight:
        return [f"role {role.name!r}: the default plan must always be legal, and {spec.name!r} has preconditions"]
    return []


def _heuristic_mistakes(compiled: Compiled, scopes: Scopes, scope: Scope) -> list[str]:
    """Asks the heuristic about every bucket of every feature, the others at their first and at their last."""
    number = scopes.intern(scope)
    packing = compiled.vocabulary.packing(scope.kind)
    last = sum((count - 1) * multiplier for _, multiplier, count in packing)
    keys = {0, last}
    for _, multiplier, count in packing:
        keys |= {b * multiplier for b in range(count)} | {last - b * multiplier for b in range(count)}
    for key in sorted(keys):
        try:
            scopes.heuristic_plan(number, key)
        except ActionError as error:
            return [str(error)]
    return []


def _show(compiled: Compiled, scope: Scope) -> Shown:
    vocabulary = compiled.vocabulary
    prompt = json_prompt(vocabulary, scope, 0)
    return Shown(
        scope, vocabulary.key_space(scope.kind), prompt.system, prompt.user,
        json.dumps(plan_schema(vocabulary, scope), indent=1), plan_grammar(vocabulary, scope),
    )  # fmt: skip
