"""Prompts: pure functions of (scope, key). Equal scope and key give byte-equal prompts, which is what makes a plan
shareable. The stable part (the system message, one a scope) comes first, so that servers can reuse its prefix."""

from __future__ import annotations

from typing import NamedTuple

from .vocabulary import MAX_STEPS, Scope, Vocabulary

_NO_DELIMITERS = str.maketrans("<>", "‹›")


class Prompt(NamedTuple):
    """A chat prompt. ``system`` depends on the scope only, ``user`` on scope and key."""

    system: str
    user: str


def json_prompt(vocabulary: Vocabulary, scope: Scope, key: int) -> Prompt:
    """The prompt that asks for a JSON plan."""
    return Prompt(_system(vocabulary, scope), situation_words(vocabulary, scope, key))


def situation_words(vocabulary: Vocabulary, scope: Scope, key: int) -> str:
    """The situation and the order as a model reads them."""
    words = vocabulary.words(scope.kind, key)
    lines = ["Situation: " + ("; ".join(words) if words else "nothing special") + "."]
    if scope.order:
        lines.append(order_words(scope))
    lines.append("What do you do?")
    return "\n".join(lines)


def order_words(scope: Scope) -> str:
    """The player's order as a model reads it."""
    # The player's words are data: delimited, one line, and of bounded length (see normalise_order). What could end the
    # quotation is replaced by what looks like it.
    return f"The player's order to you, in quotes: <<{scope.order.translate(_NO_DELIMITERS)}>>"


def _system(vocabulary: Vocabulary, scope: Scope) -> str:
    lines = [f"You decide what a {scope.kind} in the game {vocabulary.domain} does next. Its role: {scope.role}."]
    if scope.persona:
        lines.append(scope.persona)
    lines.append("It can do only this (an action, then the targets it can have):")
    for action, targets in vocabulary.steps_of(scope):
        about = f" ({action.about})" if action.about else ""
        lines.append(f"- {action.name}{about}: {', '.join(targets)}")
    lines.append(
        f'Answer with JSON only: {{"steps": [{{"action": ..., "target": ..., "seconds": ...}}]}}, '
        f"1 to {MAX_STEPS} steps in the order in which to do them, each at most {vocabulary.max_seconds:g} seconds."
    )
    return "\n".join(lines)
