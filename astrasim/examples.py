"""Examples for prompts: situations of each role, with what its heuristic does in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice, zip_longest
from random import Random

from .compiled import Compiled
from .errors import ActionError
from .plans import PlanStore
from .scopes import Scopes
from .vocabulary import Example, Scope, Vocabulary

log = logging.getLogger("astrasim")

EXAMPLES = 8
"""For each role and kind, at most."""
_LOOKED_AT = 96


def with_examples(compiled: Compiled) -> Vocabulary:
    """The vocabulary of a domain, with examples: what prompts are made from."""
    return compiled.vocabulary.model_copy(update={"examples": examples_of(compiled)})


def examples_of(compiled: Compiled) -> tuple[Example, ...]:
    """Examples for each role that has a heuristic, from situations drawn at random (the same each time): as many
    different plans as there are, each once before any stands twice.

    A heuristic that raises for one of them gives no example of it: the situation may be one that never occurs.
    """
    plans = PlanStore(compiled.vocabulary)
    scopes = Scopes(compiled, plans)
    heuristics = compiled.domain.declared.heuristics
    found: list[Example] = []
    for role in compiled.roles.values():
        for kind in role.kinds:
            if role.name in heuristics or kind in heuristics:
                scope = compiled.scope(kind, role, "", "none")
                found += islice(_varied(compiled, scopes, plans, scope), EXAMPLES)
    return tuple(found)


def _varied(compiled: Compiled, scopes: Scopes, plans: PlanStore, scope: Scope) -> Iterator[Example]:
    number = scopes.intern(scope)
    rng = Random(f"{scope.domain} {scope.role} {scope.kind}")
    space = compiled.vocabulary.key_space(scope.kind)
    keys = rng.sample(range(space), space) if space <= _LOOKED_AT else [rng.randrange(space) for _ in range(_LOOKED_AT)]
    by_plan: dict[int, list[int]] = {}
    for key in dict.fromkeys(keys):
        try:
            by_plan.setdefault(scopes.heuristic_plan(number, key), []).append(key)
        except ActionError as error:
            log.debug("no example of it: %s", error)
    for turn in zip_longest(*by_plan.values()):
        for plan, key in zip(by_plan, turn, strict=True):
            if key is not None:
                lines = tuple(f"{s.action} {s.target} {s.seconds:g}" for s in plans[plan].steps)
                yield Example(role=scope.role, kind=scope.kind, key=key, lines=lines)
