"""What a model may answer, three ways from one declaration: a JSON schema, a GBNF grammar, and the reader.

The reader is the only door by which a model's text becomes steps. It accepts exactly what the schema describes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from .errors import PlanRejected
from .vocabulary import MAX_STEPS, Scope, Vocabulary

MAX_ANSWER_CHARS = 64 * 1024

Steps = tuple[tuple[int, int, float], ...]
"""Steps as the planner takes them: (index of the action, index of the target, seconds)."""


def plan_schema(vocabulary: Vocabulary, scope: Scope) -> dict[str, Any]:
    """The JSON schema of a plan in ``scope``: 1 to 8 steps, each an action with one of its own targets."""
    # Whole seconds: grammars built from a schema (llama.cpp's for one) bound integers but not other numbers.
    seconds = {
        "type": "integer",
        "minimum": max(1, math.ceil(vocabulary.min_seconds)),
        "maximum": math.floor(vocabulary.max_seconds),
    }
    step_kinds = [
        {
            "type": "object",
            "properties": {
                "action": {"const": action.name},
                "target": {"enum": list(targets)},
                "seconds": seconds,
            },
            "required": ["action", "target", "seconds"],
            "additionalProperties": False,
        }
        for action, targets in vocabulary.steps_of(scope)
    ]
    return {
        "type": "object",
        "properties": {
            "steps": {"type": "array", "minItems": 1, "maxItems": MAX_STEPS, "items": {"anyOf": step_kinds}},
        },
        "required": ["steps"],
        "additionalProperties": False,
    }


def plan_grammar(vocabulary: Vocabulary, scope: Scope) -> str:
    """The GBNF grammar of the compact dialect: one ``action target`` a line, 1 to 8 lines."""
    steps = [f'"{action.name} {target}"' for action, targets in vocabulary.steps_of(scope) for target in targets]
    return f'root ::= step ("\\n" step){{0,{MAX_STEPS - 1}}}\nstep ::= ' + " | ".join(steps) + "\n"


def read_json_plan(text: str, vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The steps that a model's JSON answer describes.

    Raises:
        PlanRejected: with reason ``too_long``, ``not_json``, ``wrong_shape``, ``wrong_length``, ``unknown_action``,
            ``unknown_target`` or ``bad_duration``.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise PlanRejected("too_long", f"the answer has {len(text)} characters, at most {MAX_ANSWER_CHARS} are read")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlanRejected("not_json", f"{type(error).__name__}: {error}") from None
    if not isinstance(answer, dict) or not isinstance(steps := answer.get("steps"), list):
        raise PlanRejected("wrong_shape", 'expected {"steps": [...]}')
    if not 1 <= len(steps) <= MAX_STEPS:
        raise PlanRejected("wrong_length", f"{len(steps)} steps, expected 1 to {MAX_STEPS}")
    return tuple(_read_step(step, vocabulary, scope) for step in steps)


def _read_step(step: object, vocabulary: Vocabulary, scope: Scope) -> tuple[int, int, float]:
    if not isinstance(step, dict):
        raise PlanRejected("wrong_shape", f"a step is an object, not {type(step).__name__}")
    return check_step(step.get("action"), step.get("target"), step.get("seconds"), vocabulary, scope)


def read_compact_plan(text: str, vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The steps that lines such as ``flee threat`` or ``hold bridge 3.5`` describe; heuristics write these too.

    Raises:
        PlanRejected: with the reasons of :func:`read_json_plan`.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MAX_STEPS:
        raise PlanRejected("wrong_length", f"{len(lines)} steps, expected 1 to {MAX_STEPS}")
    steps = []
    for words in lines:
        if not 2 <= len(words) <= 3:
            raise PlanRejected("wrong_shape", f"{' '.join(words)!r} is not 'action target' or 'action target seconds'")
        seconds: object = None
        if len(words) == 3:
            try:
                seconds = float(words[2])
            except ValueError:
                raise PlanRejected("bad_duration", f"{words[2]!r} is no number of seconds") from None
        steps.append(check_step(words[0], words[1], seconds, vocabulary, scope))
    return tuple(steps)


def check_step(
    action: object, target: object, seconds: object, vocabulary: Vocabulary, scope: Scope
) -> tuple[int, int, float]:
    """One step as indexes. ``seconds`` of None means the action's own duration.

    Raises:
        PlanRejected: if the scope does not have the action, the action not the target, or the duration is no
            finite number between the vocabulary's ``min_seconds`` and ``max_seconds``.
    """
    if not isinstance(action, str) or action not in scope.actions:
        raise PlanRejected("unknown_action", f"{_short(action)}; {scope.role} can: {', '.join(scope.actions)}")
    index = vocabulary.action_index[action]
    spec = vocabulary.actions[index]
    if not isinstance(target, str) or target not in spec.targets:
        raise PlanRejected("unknown_target", f"{_short(target)}; {action} can have: {', '.join(spec.targets)}")
    if seconds is None:
        seconds = spec.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise PlanRejected("bad_duration", f"{_short(seconds)} is no number of seconds")
    if not vocabulary.min_seconds <= seconds <= vocabulary.max_seconds:  # False for NaN too
        raise PlanRejected(
            "bad_duration", f"{_short(seconds)} s is not within {vocabulary.min_seconds} to {vocabulary.max_seconds} s"
        )
    return index, vocabulary.target_index[target], float(seconds)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
