"""What a model may answer, three ways from one declaration: a JSON schema, a GBNF grammar, and the reader.

The reader accepts exactly what the schema describes; the compact dialect, which heuristics write too, may also name
fractions of a second, or no duration at all. What models wrap around a plan is :mod:`astrasim.recovery`'s affair.
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
    least, most = whole_seconds(vocabulary)
    seconds = {"type": "integer", "minimum": least, "maximum": most}
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
    """The steps that a model's JSON answer describes; it must fit :func:`plan_schema`.

    Raises:
        PlanRejected: with reason ``too_long``, ``not_json``, ``wrong_shape`` (also for a key too many, too few or
            twice), ``wrong_length``, ``unknown_action``, ``unknown_target`` or ``bad_duration``.
    """
    _check_length(text)
    try:
        answer = _decode(text)
    except (ValueError, RecursionError) as error:
        raise PlanRejected("not_json", f"{type(error).__name__}: {error}") from None
    steps = _values(answer, ("steps",), "the answer")[0]
    if not isinstance(steps, list):
        raise PlanRejected("wrong_shape", f'expected {{"steps": [...]}}, and steps is {short(steps)}')
    if not 1 <= len(steps) <= MAX_STEPS:
        raise PlanRejected("wrong_length", f"{len(steps)} steps, expected 1 to {MAX_STEPS}")
    return tuple(_read_step(step, vocabulary, scope) for step in steps)


def _read_step(step: object, vocabulary: Vocabulary, scope: Scope) -> tuple[int, int, float]:
    action, target, seconds = _values(step, ("action", "target", "seconds"), "a step")
    checked = check_step(action, target, seconds, vocabulary, scope)
    least, most = whole_seconds(vocabulary)
    if seconds is None or not checked[2].is_integer() or not least <= checked[2] <= most:
        raise PlanRejected("bad_duration", f"{short(seconds)} is no whole number of seconds from {least} to {most}")
    return checked


def whole_seconds(vocabulary: Vocabulary) -> tuple[int, int]:
    """The least and the most seconds that a step of a JSON plan can last."""
    # Whole ones: grammars built from a schema (llama.cpp's for one) bound integers but not other numbers.
    return max(1, math.ceil(vocabulary.min_seconds)), math.floor(vocabulary.max_seconds)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Readers differ in which of two equal keys counts, so an answer with two has no one meaning.
    if len(found := dict(pairs)) != len(pairs):
        raise PlanRejected("wrong_shape", "a key stands twice in one object")
    return found


_decode = json.JSONDecoder(object_pairs_hook=_object).decode


def _values(given: object, keys: tuple[str, ...], what: str) -> list[object]:
    if not isinstance(given, dict) or given.keys() != set(keys):
        got = f"keys {short(list(given))}" if isinstance(given, dict) else f"{short(given)}"
        raise PlanRejected("wrong_shape", f"{what} is an object with the keys {', '.join(keys)}, not {got}")
    return [given[key] for key in keys]


def _check_length(text: str) -> None:
    if len(text) > MAX_ANSWER_CHARS:
        raise PlanRejected("too_long", f"the answer has {len(text)} characters, at most {MAX_ANSWER_CHARS} are read")


def read_compact_plan(text: str, vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The steps that lines such as ``flee threat`` or ``hold bridge 3.5`` describe; heuristics write these too.

    Raises:
        PlanRejected: with the reasons of :func:`read_json_plan`.
    """
    _check_length(text)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MAX_STEPS:
        raise PlanRejected("wrong_length", f"{len(lines)} steps, expected 1 to {MAX_STEPS}")
    steps = []
    for words in lines:
        if not 2 <= len(words) <= 3:
            said = short(" ".join(words))
            raise PlanRejected("wrong_shape", f"{said} is not 'action target' or 'action target seconds'")
        seconds: object = None
        if len(words) == 3:
            try:
                seconds = float(words[2])
            except ValueError:
                raise PlanRejected("bad_duration", f"{short(words[2])} is no number of seconds") from None
        steps.append(check_step(words[0], words[1], seconds, vocabulary, scope))
    return tuple(steps)


def read_choice(text: str, options: tuple[str, ...], vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The one step that a model chose among ``options``, lines such as ``flee threat``.

    Raises:
        PlanRejected: ``not_an_option`` for another; else with the reasons of :func:`read_json_plan`.
    """
    if text.strip() not in options:
        raise PlanRejected("not_an_option", f"{short(text)}; the options were: {', '.join(options)}")
    return read_compact_plan(text, vocabulary, scope)


def check_step(
    action: object, target: object, seconds: object, vocabulary: Vocabulary, scope: Scope
) -> tuple[int, int, float]:
    """One step as indexes. ``seconds`` of None means the action's own duration.

    Raises:
        PlanRejected: if the scope does not have the action, the action not the target, or the duration is no
            finite number between the vocabulary's ``min_seconds`` and ``max_seconds``.
    """
    if not isinstance(action, str) or action not in scope.actions:
        raise PlanRejected("unknown_action", f"{short(action)}; {scope.role} can: {', '.join(scope.actions)}")
    index = vocabulary.action_index[action]
    spec = vocabulary.actions[index]
    if not isinstance(target, str) or target not in spec.targets:
        raise PlanRejected("unknown_target", f"{short(target)}; {action} can have: {', '.join(spec.targets)}")
    if seconds is None:
        seconds = spec.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise PlanRejected("bad_duration", f"{short(seconds)} is no number of seconds")
    if not vocabulary.min_seconds <= seconds <= vocabulary.max_seconds:  # False for NaN too
        raise PlanRejected(
            "bad_duration", f"{short(seconds)} s is not within {vocabulary.min_seconds} to {vocabulary.max_seconds} s"
        )
    return index, vocabulary.target_index[target], float(seconds)


def short(value: object) -> str:
    """``value`` as a rejection repeats it: a few dozen characters, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
