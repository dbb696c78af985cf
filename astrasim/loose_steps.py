"""Steps as models spell them: as objects, as calls of an action, as lines; with names and seconds written freely.

Whatever could change what a step means and is not understood (a duration in other units, a number that says another
order) makes it no step: it is not passed over.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

from .errors import PlanRejected
from .loose_json import fold, values_in
from .reader import Steps, check_step, short, whole_seconds
from .vocabulary import MAX_STEPS, Scope, Vocabulary

ARGUMENTS_KEYS = ("arguments", "parameters", "input")
JSON_LIKE = re.compile(r"\s*+(?:```\w*\s*+)?[\[{]")

_MAX_LINE = 200
# Possessive, or a text of thousands of spaces takes seconds to be refused.
_UNIT = r"\s*+(?:s|secs?|seconds?)?"
_SECONDS = re.compile(rf"\s*([+-]?[0-9]{{1,9}}(?:\.[0-9]{{0,9}})?){_UNIT}\s*", re.IGNORECASE)
_LINE = re.compile(rf"(.*\S)\s+([0-9]{{1,9}}(?:\.[0-9]{{0,9}})?){_UNIT}", re.IGNORECASE)
_SECONDS_KEYS = ("seconds", "duration", "durationseconds", "secs")
# How long, how often or when, in words that are not ours: "duration_ms", "time", "repeat", "delay", "until".
_TIMING_KEY = re.compile(
    r"duration|second|minute|milli|^(?:time|tick|frame|turn|delay|until|repeat|after|before)|time$"
    r"|^(?:ms|s|secs?|mins?|hours?|for|wait|length|count)$"
)
_ORDER_KEYS = ("step", "stepnumber", "index", "order", "priority", "rank", "number")
# Numbers that say which of several is the best: then the others are not meant.
_CHOICE_KEYS = ("option", "choice", "alternative", "candidate", "score", "probability")


class LooseSteps:
    """Recognises and reads steps with a scope's names."""

    def __init__(self, vocabulary: Vocabulary, scope: Scope) -> None:
        self._vocabulary, self._scope = vocabulary, scope
        self._actions = {fold(name) for name in scope.actions}
        self._lines: dict[str, list[tuple[str, str]]] = {}
        for action, targets in vocabulary.steps_of(scope):
            for target in targets:
                self._lines.setdefault(fold(action.name + target), []).append((action.name, target))

    def is_step(self, value: object) -> bool:
        if isinstance(value, dict):
            return "action" in value or self._call(value) is not None
        return self.is_line(value)

    def is_line(self, value: object) -> bool:
        return isinstance(value, str) and self._line(value) is not None

    def read(self, plan: object) -> Steps:
        """A plan's steps.

        Raises:
            PlanRejected: if one of them is none, they say themselves that they are no sequence, or there are too few
                or too many.
        """
        if isinstance(plan, str):
            plan = values_in(plan) if JSON_LIKE.match(plan) else [line for line in plan.splitlines() if line.strip()]
            if len(plan) == 1 and isinstance(plan[0], list):
                plan = plan[0]
        elif isinstance(plan, dict) and self.is_step(plan):
            plan = [plan]
        if not isinstance(plan, list):
            raise PlanRejected("wrong_shape", f"expected a list of steps, not {short(plan)}")
        if not 1 <= len(plan) <= MAX_STEPS:
            raise PlanRejected("wrong_length", f"{len(plan)} steps, expected 1 to {MAX_STEPS}")
        steps = [self._uncalled(step) if isinstance(step, dict) else step for step in plan]
        _check_order(steps)
        return tuple(map(self._step, steps))

    def _step(self, step: object) -> tuple[int, int, float]:
        if isinstance(step, str):
            line = self._line(step)
            if line is None:
                raise PlanRejected("wrong_shape", f"{short(step)} is no 'action target' or 'action target seconds'")
            action: object
            target: object
            action, target, seconds = line
        elif isinstance(step, dict):
            if "action" not in step:
                raise PlanRejected("wrong_shape", f"a step has the key action, not {short(list(step))}")
            action = self._name(step["action"], self._scope.actions)
            target, seconds = self._target(action, step.get("target")), _seconds_in(step)
        else:
            raise PlanRejected("wrong_shape", f"a step is an object, not {short(step)}")
        whole = self._whole_seconds(seconds)
        return check_step(action, target, whole, self._vocabulary, self._scope)

    def _call(self, value: dict[str, object]) -> dict[str, object] | None:
        """The arguments in a call of an action: {"name": "attack", "arguments": {"target": "foe"}}."""
        given = [value[key] for key in ARGUMENTS_KEYS if value.get(key) is not None]
        name = value.get("name")
        if not isinstance(name, str) or len(given) != 1:
            return None
        arguments = _opened(given[0])
        if not isinstance(arguments, dict) or "action" in arguments:
            return None
        is_bare = fold(name) in self._actions and arguments.keys() <= set(_SECONDS_KEYS)
        return arguments if "target" in arguments or is_bare else None

    def _uncalled(self, step: dict[str, object]) -> dict[str, object]:
        """The step in a call of an action, with what the call says beside it; any other step as it is."""
        if "action" in step:
            for key, said in step.items():
                inner = _opened(said) if key in ARGUMENTS_KEYS else said
                if isinstance(inner, dict) and not inner.keys().isdisjoint(("target", *_SECONDS_KEYS)):
                    raise PlanRejected("wrong_shape", f"a step's target and seconds stand in it, not in {short(key)}")
            return step
        if (arguments := self._call(step)) is None:
            return step
        beside = {key: said for key, said in step.items() if key not in ("name", *ARGUMENTS_KEYS)}
        if both := [key for key in beside if key in arguments and beside[key] != arguments[key]]:
            raise PlanRejected("ambiguous", f"a call says {short(both[0])} twice, differently")
        return {"action": step["name"], **beside, **arguments}

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


def _opened(arguments: object) -> object:
    """The one value in a text that holds JSON, as calls have their arguments; any other as it is."""
    if not isinstance(arguments, str) or not JSON_LIKE.match(arguments):
        return arguments
    values = values_in(arguments)
    return values[0] if len(values) == 1 else None


def _seconds_in(step: dict[str, object]) -> object:
    found = [step[key] for key in _SECONDS_KEYS if key in step]
    if len(found) > 1:
        raise PlanRejected("wrong_shape", f"a step has one of the keys {', '.join(_SECONDS_KEYS)}, not {len(found)}")
    for key, said in step.items():
        if said is not None and key not in _SECONDS_KEYS and _TIMING_KEY.search(key):
            raise PlanRejected("bad_duration", f"a step lasts so many seconds; what is {short(key)}: {short(said)}?")
    return found[0] if found else None


def _check_order(steps: list[object]) -> None:
    """Steps are done in the order in which they stand, so a plan that numbers them otherwise has two orders."""
    said = [step if isinstance(step, dict) else {} for step in steps]
    if len(said) < 2:
        return
    for key in _CHOICE_KEYS:
        if any(key in step for step in said):
            raise PlanRejected("ambiguous", f"with {key}, steps are a choice and no sequence")
    for key in _ORDER_KEYS:
        if not any(key in step for step in said):
            continue
        numbers = [_number(step.get(key)) for step in said]
        if not all(earlier < later for earlier, later in pairwise(numbers)):  # False for NaN too
            raise PlanRejected("ambiguous", f"{key} does not rise from step to step")


def _number(said: object) -> float:
    if isinstance(said, str) and (number := re.fullmatch(r"\s*(?:step\s*)?([0-9]{1,9})\.?\s*", said, re.IGNORECASE)):
        return float(number[1])
    return said if isinstance(said, int | float) and not isinstance(said, bool) else math.nan
