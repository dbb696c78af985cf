"""Prompts: pure functions of (scope, key). Equal scope and key give byte-equal prompts, which is what makes a plan
shareable. The stable part (the system message, one a scope) comes first, so that servers can reuse its prefix."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from .reader import read_compact_plan, whole_seconds
from .vocabulary import MAX_STEPS, PromptLength, Scope, Vocabulary, delimited

_SHAPE = '{"steps": [{"action": ..., "target": ..., "seconds": ...}]}'


class Prompt(NamedTuple):
    """A chat prompt. ``system`` depends on the scope only, ``user`` on scope and key."""

    system: str
    user: str

    @property
    def characters(self) -> int:
        return len(self.system) + len(self.user)

    @property
    def about_tokens(self) -> int:
        """An estimate, rather too high: characters / 3. SmolLM2's tokenizer has 3.1 to 3.6 characters of such prompts
        a token: names and JSON take more tokens than plain English."""
        return -(-self.characters // 3)


def json_prompt(vocabulary: Vocabulary, scope: Scope, key: int, length: PromptLength | None = None) -> Prompt:
    """The prompt that asks for a JSON plan, as long as the scope says unless ``length`` does.

    A plan got by another length than the scope's own is that scope's plan all the same: such as a retry, which says
    less to a model that lost itself.
    """
    system = _SYSTEMS[length or scope.prompt](vocabulary, scope)
    return Prompt(system, situation_words(vocabulary, scope, key))


def _situation(vocabulary: Vocabulary, scope: Scope, key: int) -> str:
    words = vocabulary.words(scope.kind, key)
    return "Situation: " + ("; ".join(words) if words else "nothing special") + "."


def situation_words(vocabulary: Vocabulary, scope: Scope, key: int) -> str:
    """The situation and the order as a model reads them."""
    lines = [_situation(vocabulary, scope, key)]
    if scope.order:
        lines.append(order_words(scope))
    lines.append("What do you do?")
    return "\n".join(lines)


def order_words(scope: Scope) -> str:
    """The player's order as a model reads it."""
    # The player's words are data: delimited, one line, and of bounded length (see normalise_order).
    return f"The player's order to you, in quotes: {delimited(scope.order)}"


def _full(vocabulary: Vocabulary, scope: Scope) -> str:
    lines = [f"You decide what a {scope.kind} in the game {vocabulary.domain} does next. Its role: {scope.role}."]
    if scope.persona:
        lines.append(scope.persona)
    lines.append("It can do only this (an action, then the targets it can have):")
    for action, targets in vocabulary.steps_of(scope):
        about = f" ({action.about})" if action.about else ""
        lines.append(f"- {action.name}{about}: {', '.join(targets)}")
    least, most = whole_seconds(vocabulary)
    lines.append(
        f"Answer with JSON only: {_SHAPE}, 1 to {MAX_STEPS} steps in the order in which to do them; "
        f"seconds is a whole number from {least} to {most}."
    )
    if examples := list(islice(_examples(vocabulary, scope), 4)):
        lines.append("Examples:")
        for situation, plan in examples:
            lines += [situation, json.dumps(plan)]
    return "\n".join(lines)


def _compressed(vocabulary: Vocabulary, scope: Scope) -> str:
    lines = [f"Plan for a {scope.kind}, role {scope.role}, in the game {vocabulary.domain}."]
    if scope.persona:
        lines.append(scope.persona)
    lines.append("Actions: targets")
    lines += [f"{action.name}: {', '.join(targets)}" for action, targets in vocabulary.steps_of(scope)]
    least, most = whole_seconds(vocabulary)
    lines.append(f"JSON only: {_SHAPE}, 1 to {MAX_STEPS} steps, seconds {least} to {most}, whole.")
    for situation, plan in islice(_examples(vocabulary, scope), 2):
        lines += [situation, json.dumps(plan, separators=(",", ":"))]
    return "\n".join(lines)


def _simplified(vocabulary: Vocabulary, scope: Scope) -> str:
    lines = [f"You are a {scope.kind}, role {scope.role}. {scope.persona}".rstrip()]
    can = "; ".join(f"{action.name} {' or '.join(targets)}" for action, targets in vocabulary.steps_of(scope))
    lines.append(f"You can: {can}.")
    least, most = whole_seconds(vocabulary)
    lines.append(f"Answer with JSON only, exactly one step, seconds {least} to {most}: {_SHAPE}")
    return "\n".join(lines)


_SYSTEMS: dict[PromptLength, Callable[[Vocabulary, Scope], str]] = {
    "full": _full,
    "compressed": _compressed,
    "simplified": _simplified,
}


def _examples(vocabulary: Vocabulary, scope: Scope) -> Iterator[tuple[str, dict[str, Any]]]:
    """Situations of the scope's role, each with its plan as JSON describes it."""
    least, most = whole_seconds(vocabulary)
    for example in vocabulary.examples:
        if (example.role, example.kind) == (scope.role, scope.kind):
            steps = [
                {
                    "action": vocabulary.actions[action].name,
                    "target": vocabulary.targets[target],
                    "seconds": min(max(math.floor(seconds + 0.5), least), most),
                }
                for action, target, seconds in read_compact_plan("\n".join(example.lines), vocabulary, scope)
            ]
            yield _situation(vocabulary, scope, example.key), {"steps": steps}


def steps_of(vocabulary: Vocabulary, scope: Scope) -> tuple[str, ...]:
    """All steps of ``scope`` as lines such as ``flee threat``."""
    return tuple(f"{action.name} {target}" for action, targets in vocabulary.steps_of(scope) for target in targets)


def choice_prompt(vocabulary: Vocabulary, scope: Scope, key: int) -> Prompt:
    """A text that a step can follow. Short, and without examples: with 8 of them so small a model chose no better and
    took longer (25 of 72 right, without them 29: ``astrasim.perf.decisions``)."""
    stable = f"A {scope.kind} can: {', '.join(steps_of(vocabulary, scope))}.\n"
    if scope.persona:
        stable += f"{scope.persona}\n"
    words = "; ".join(vocabulary.words(scope.kind, key)) or "nothing special"
    order = f"{order_words(scope)}\n" if scope.order else ""
    return Prompt(stable, f"\nSituation: {words}.\n{order}The best thing to do now is to")
