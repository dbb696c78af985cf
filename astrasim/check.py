"""``Domain.check()``: finds mistakes before the first frame, and shows what a model would be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from .compiled import Compiled, compile_domain
from .declarations import WAIT
from .domain import Domain
from .errors import ActionError
from .examples import with_examples
from .mistakes import raise_mistakes
from .plans import PlanStore
from .prompts import Prompt, json_prompt
from .reader import plan_grammar, plan_schema
from .scopes import Scopes
from .vocabulary import PROMPT_LENGTHS, PromptLength, Scope, Vocabulary


class Shown(NamedTuple):
    """What a model is given for one kind and role, and its first situation."""

    scope: Scope
    situations: int
    prompts: dict[PromptLength, Prompt]
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
                *(
                    f"-- prompt, {length}: {prompt.characters} characters, about {prompt.about_tokens} tokens "
                    f"(characters / 3), system --\n{prompt.system}"
                    for length, prompt in s.prompts.items()
                ),
                f"-- prompt, user (of all lengths) --\n{s.prompts['full'].user}",
                f"-- JSON schema --\n{s.schema}\n-- grammar --\n{s.grammar}",
            ]
        return "\n".join(parts)


def check_domain(domain: Domain) -> Report:
    """See :meth:`astrasim.Domain.check`."""
    compiled = compile_domain(domain)
    raise_mistakes(domain, heuristic_mistakes(compiled))
    words = with_examples(compiled)
    shown = [
        _show(words, compiled.scope(kind, role, "", "none"))
        for role in compiled.roles.values()
        for kind in role.kinds
    ]
    return Report(domain.name, tuple(_warnings(compiled)), tuple(shown))


def heuristic_mistakes(compiled: Compiled) -> list[str]:
    """The first mistake of each heuristic, for each kind and role that it serves.

    Each is asked about every bucket of every feature, the others all at their first and all at their last: some dozens
    of situations, not all of them.
    """
    scopes = Scopes(compiled, PlanStore(compiled.vocabulary))
    mistakes: dict[str, None] = {}
    for role in compiled.roles.values():
        for kind in role.kinds:
            number = scopes.intern(compiled.scope(kind, role, "", "none"))
            for key in _sample_keys(compiled, kind):
                try:
                    scopes.heuristic_plan(number, key)
                except ActionError as error:
                    mistakes[str(error)] = None
                    break
    return list(mistakes)


def _sample_keys(compiled: Compiled, kind: str) -> list[int]:
    packing = compiled.vocabulary.packing(kind)
    last = sum((count - 1) * multiplier for _, multiplier, count in packing)
    keys = {0, last}
    for _, multiplier, count in packing:
        keys |= {b * multiplier for b in range(count)} | {last - b * multiplier for b in range(count)}
    return sorted(keys)


def _warnings(compiled: Compiled) -> Iterator[str]:
    names, vocabulary = compiled.names, compiled.vocabulary
    for kind in names.kinds:
        if not any(kind in a.kinds for a in vocabulary.actions if a.name != WAIT):
            yield f"a {kind} has no action but to wait"
        if not vocabulary.packing(kind):
            yield f"a {kind} has no features: all its situations are the same"
        for action in vocabulary.actions:
            for target in action.targets if kind in action.kinds else ():
                if kind not in names.kinds_with(target):
                    yield f"a {kind} can never {action.name} {target}: it has no percept {target!r}"
    for feature in compiled.declared_features:
        narrowest = min((b - a for a, b in pairwise(feature.edges)), default=float("inf"))
        if feature.hysteresis > narrowest:
            yield f"feature {feature.name!r}: its hysteresis of {feature.hysteresis:g} is wider than one of its buckets"


def _show(vocabulary: Vocabulary, scope: Scope) -> Shown:
    return Shown(
        scope, vocabulary.key_space(scope.kind),
        {length: json_prompt(vocabulary, scope, 0, length) for length in PROMPT_LENGTHS},
        json.dumps(plan_schema(vocabulary, scope), indent=1), plan_grammar(vocabulary, scope),
    )  # fmt: skip
