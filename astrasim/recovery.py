"""Plans out of what models really send: fences, prose, thoughts, tool calls, Python's quotes, a name in capitals.

What has exactly one meaning is read as that; everything else is refused. A plan that broke off is not completed, and
of two different plans none is chosen.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from .errors import PlanRejected
from .loose_json import fold, values_in
from .reader import Steps, check_step, read_json_plan, short, whole_seconds
from .vocabulary import MAX_STEPS, Scope, Vocabulary

_MAX_NESTED = 3
"""Texts in texts: a tool call's arguments are JSON in a string, in an answer that may be a string itself."""
_MAX_LINE = 200

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thoughts?|reasoning)>|\[(/?)think\]", re.IGNORECASE)
_JSON_LIKE = re.compile(r"\s*+(?:```\w*\s*+)?[\[{]")
_UNIT = r"\s*(?:s|secs?|seconds?)?"
_SECONDS = re.compile(rf"\s*([+-]?[0-9]{{1,9}}(?:\.[0-9]{{0,9}})?){_UNIT}\s*", re.IGNORECASE)
_LINE = re.compile(rf"(.*\S)\s+([0-9]{{1,9}}(?:\.[0-9]{{0,9}})?){_UNIT}", re.IGNORECASE)
_SECONDS_KEYS = ("seconds", "duration", "durationseconds", "secs")
_ARGUMENTS_KEYS = ("arguments", "parameters", "input")


def recover_plan(text: str, vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The one plan in a model's answer.

    What :func:`~astrasim.reader.read_json_plan` accepts is taken as it is. Otherwise thoughts are dropped, and the
    plan is looked for in all JSON values that are left, in prose or fences, however deep in envelopes. All plans found
    must be the same.

    Raises:
        PlanRejected: with the reasons of ``read_json_plan``, or ``cut_off`` for an answer that ends inside a value
            or a thought, or ``ambiguous`` for several plans or several meanings of a name.
    """
    try:
        return read_json_plan(text, vocabulary, scope)
    except PlanRejected as error:
        if error.reason == "too_long":
            raise
        strict = error
    finder = _Finder(vocabulary, scope)
    plans: set[Steps] = set()
    refused: list[PlanRejected] = []
    for plan in finder.plans_in_text(without_thoughts(_unquoted(text))):
        try:
            plans.add(finder.steps(plan))
        except PlanRejected as error:
            refused.append(error)
    if not plans:
        raise (refused or [strict])[0]
    if refused or len(plans) > 1:
        raise PlanRejected("ambiguous", f"{len(plans) + len(refused)} different plans in one answer")
    return plans.pop()


def without_thoughts(text: str) -> str:
    """``text`` without ``<think>...</think>`` and its like. A closing tag alone ends a thought that the prompt began.

    Raises:
        PlanRejected: ``cut_off`` if a thought does not end: what stands in it was no answer yet.
    """
    kept: list[str] = []
    at, thinking = 0, False
    for tag in _THOUGHT.finditer(text):
        closes = bool(tag[1] or tag[2])
        if closes and not thinking:
            kept.clear()
        elif not thinking:
            kept.append(text[at : tag.start()])
        thinking, at = not closes, tag.end()
    if thinking:
        raise PlanRejected("cut_off", f"the answer ends inside a thought: ...{text[-40:]!r}")
    return "".join([*kept, text[at:]])


class _Finder:
    """Finds plans in values, and reads them with a scope's names."""

    def __init__(self, vocabulary: Vocabulary, scope: Scope) -> None:
        self._vocabulary, self._scope = vocabulary, scope
        self._lines: dict[str, list[tuple[str, str]]] = {}
        for action, targets in vocabulary.steps_of(scope):
            for target in targets:
                self._lines.setdefault(fold(action.name + target), []).append((action.name, target))

    # What is a plan

    def plans_in_text(self, text: str, nested: int = 0) -> Iterator[object]:
        """What should be steps: of each plan in ``text`` the list, or whatever stands in its place."""
        for value in values_in(text):
            yield from self._plans(value, nested)

    def _plans(self, value: object, nested: int) -> Iterator[object]:
        if isinstance(value, str):
            if nested < _MAX_NESTED and _JSON_LIKE.match(value):
                yield from self.plans_in_text(value, nested + 1)
        elif isinstance(value, list):
            yield from self._list(value, nested, is_plan=any(map(self._is_step, value)))
        elif isinstance(value, dict):
            if self._is_step(value):
                yield [value]
            yield from self._inside(value, nested)

    def _list(self, value: list[object], nested: int, *, is_plan: bool) -> Iterator[object]:
        """A list with one step in it is a plan, so that no other element of it is passed over."""
        if is_plan:
            yield value
        for inner in value:
            if isinstance(inner, dict) and self._is_step(inner):
                yield from self._inside(inner, nested)
            else:
                yield from self._plans(inner, nested)

    def _inside(self, value: dict[str, object], nested: int) -> Iterator[object]:
        """Whatever the envelope, and beside a plan or in a step: what else looks like a plan must say the same."""
        for key, inner in value.items():
            if key != "steps":
                yield from self._plans(inner, nested)
            elif isinstance(inner, list):
                yield from self._list(inner, nested, is_plan=True)
            else:
                yield inner

    def _is_step(self, value: object) -> bool:
        if isinstance(value, dict):
            return "action" in value or _tool_call(value) is not None
        return isinstance(value, str) and self._line(value) is not None

    # What it says

    def steps(self, plan: object) -> Steps:
        """A plan's steps.

        Raises:
            PlanRejected: if one of them is none, or there are too few or too many.
        """
        if isinstance(plan, str):
            plan = values_in(plan) if _JSON_LIKE.match(plan) else [line for line in plan.splitlines() if line.strip()]
            if len(plan) == 1 and isinstance(plan[0], list):
                plan = plan[0]
        elif isinstance(plan, dict) and self._is_step(plan):
            plan = [plan]
        if not isinstance(plan, list):
            raise PlanRejected("wrong_shape", f"expected a list of steps, not {short(plan)}")
        if not 1 <= len(plan) <= MAX_STEPS:
            raise PlanRejected("wrong_length", f"{len(plan)} steps, expected 1 to {MAX_STEPS}")
        return tuple(map(self._step, plan))

    def _step(self, step: object) -> tuple[int, int, float]:
        if isinstance(step, str):
            line = self._line(step)
            if line is None:
                raise PlanRejected("wrong_shape", f"{short(step)} is no 'action target' or 'action target seconds'")
            action: object
            target: object
            action, target, seconds = line
        elif isinstance(step, dict):
            step = step if "action" in step else _tool_call(step) or step
            if "action" not in step:
                raise PlanRejected("wrong_shape", f"a step has the key action, not {short(list(step))}")
            action = self._name(step["action"], self._scope.actions)
            target, seconds = self._target(action, step.get("target")), _one_of(step, _SECONDS_KEYS)
        else:
            raise PlanRejected("wrong_shape", f"a step is an object, not {short(step)}")
        whole = self._whole_seconds(seconds)
        return check_step(action, target, whole, self._vocabulary, self._scope)

    def _line(self, text: str) -> tuple[str, str, object] | None:
        """The action, target and seconds that a line of the compact dialect names, if it can be only one of each."""
        if len(text) > _MAX_LINE:
            return None
        words = text.split()
        if 2 <= len(words) <= 3 and (words[0], words[1]) in self._lines.get(fold(words[0] + words[1]), ()):
            seconds = words[2] if len(words) == 3 else None
            return words[0], words[1], seconds
        found: list[tuple[str, str, object]] = [(*pair, None) for pair in self._lines.get(fold(text.strip()), ())]
        if timed := _LINE.fullmatch(text.strip()):
            found += [(*pair, timed[2]) for pair in self._lines.get(fold(timed[1]), ())]
        return found[0] if len(found) == 1 else None

    def _name(self, said: object, known: tuple[str, ...]) -> object:
        """The name in ``known`` that was meant; if there is none, what was said."""
        if not isinstance(said, str) or said in known:
            return said
        folded = fold(said)
        meant = [name for name in known if fold(name) == folded]
        if len(meant) > 1:
            raise PlanRejected("ambiguous", f"{short(said)} could be {' or '.join(meant)}")
        return meant[0] if meant else said

    def _target(self, action: object, said: object) -> object:
        index = self._vocabulary.action_index.get(action) if isinstance(action, str) else None
        targets = () if index is None else self._vocabulary.actions[index].targets
        if said is None and len(targets) == 1:
            return targets[0]
        return self._name(said, targets)

    def _whole_seconds(self, said: object) -> int | None:
        """Rounded to whole seconds, as the schema has them; None where nothing was said."""
        if said is None:
            return None
        if isinstance(said, str) and (number := _SECONDS.fullmatch(said)):
            said = float(number[1])
        if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
            raise PlanRejected("bad_duration", f"{short(said)} is no number of seconds")
        least, most = whole_seconds(self._vocabulary)
        seconds = math.floor(said + 0.5)
        if not least <= seconds <= most:
            raise PlanRejected("bad_duration", f"{short(said)} s is not within {least} to {most} s")
        return seconds


def _tool_call(value: dict[str, object]) -> dict[str, object] | None:
    """The step in a call of a tool with an action's name: {"name": "attack", "arguments": {"target": "foe"}}."""
    for key in _ARGUMENTS_KEYS:
        arguments = value.get(key)
        if isinstance(arguments, str) and _JSON_LIKE.match(arguments):
            values = values_in(arguments)
            arguments = values[0] if len(values) == 1 else None
        if "name" in value and isinstance(arguments, dict) and "target" in arguments and "action" not in arguments:
            return {"action": value["name"], **arguments}
    return None


def _one_of(step: dict[str, object], keys: tuple[str, ...]) -> object:
    found = [step[key] for key in keys if key in step]
    if len(found) > 1:
        raise PlanRejected("wrong_shape", f"a step has one of the keys {', '.join(keys)}, not {len(found)}")
    return found[0] if found else None


def _unquoted(text: str) -> str:
    """What an answer says that is one JSON string; any other as it is."""
    if not text.lstrip().startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
