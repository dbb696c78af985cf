"""Requests in the dialect of the model that is asked: the prompt, how it is asked, how its answer is read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..prompts import Prompt, json_prompt, situation_words
from ..reader import Steps, plan_schema, read_choice
from ..recovery import recover_plan
from ..vocabulary import Scope, Vocabulary
from .models import MAX_TOKENS, Chooser, Completion, Model, is_chooser

_CACHED_SCOPES = 1024


class Question(NamedTuple):
    """One exchange with a model: what is asked, and what is made of the answer."""

    prompt: Prompt
    ask: Callable[[], Awaitable[Completion]]
    """Asks once.

    Raises:
        ModelError: if there is no answer.
    """
    read: Callable[[str], Steps]
    """Reads what was answered.

    Raises:
        PlanRejected: if it is no plan.
    """
    simpler: Callable[[], Question] | None = None
    """The question in the shortest prompt there is, for a model that lost itself; None if there is no other."""


class Questions:
    """All questions that one vocabulary has words for. Scopes are known by number."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary
        self._scopes: dict[int, Scope] = {}
        self._prepared: OrderedDict[int, tuple[str, dict[str, Any]]] = OrderedDict()

    def __contains__(self, scope_id: int) -> bool:
        return scope_id in self._scopes

    def declare(self, scope_id: int, scope: Scope) -> None:
        self._scopes[scope_id] = scope
        self._prepared.pop(scope_id, None)

    def about(
        self, model: Model | Chooser, scope_id: int, key: int, steps: Sequence[tuple[int, int]], first: bool = False
    ) -> Question:
        """The question to ``model`` what to do in the situation (scope, key).

        Args:
            steps: (action, target) among which a model that only chooses may choose.
            first: such a model leaves what else it has in hand for it.
        """
        words, scope = self._words, self._scopes[scope_id]
        if is_chooser(model):
            options = tuple(f"{words.actions[action].name} {words.targets[target]}" for action, target in steps)
            return Question(
                model.prompt(words, scope, key),
                partial(model.choose, words, scope, key, options, first),
                partial(read_choice, options=options, vocabulary=words, scope=scope),
            )
        system, schema = self._prepare(scope_id)
        read = partial(recover_plan, vocabulary=words, scope=scope)

        def question(prompt: Prompt, simpler: Callable[[], Question] | None) -> Question:
            return Question(prompt, partial(model.complete, prompt, schema, MAX_TOKENS), read, simpler)

        return question(
            Prompt(system, situation_words(words, scope, key)),
            lambda: question(json_prompt(words, scope, key, "simplified"), None),
        )

    def _prepare(self, scope_id: int) -> tuple[str, dict[str, Any]]:
        """The stable part of the prompt, and the schema: both depend on the scope alone, and are kept."""
        known = self._prepared.get(scope_id)
        if known is None:
            scope = self._scopes[scope_id]
            known = json_prompt(self._words, scope, 0).system, plan_schema(self._words, scope)
            self._prepared[scope_id] = known
            if len(self._prepared) > _CACHED_SCOPES:
                self._prepared.popitem(last=False)
        else:
            self._prepared.move_to_end(scope_id)
        return known
