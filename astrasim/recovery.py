"""Plans out of what models really send: fences, prose, thoughts, tool calls, Python's quotes, a name in capitals.

What has exactly one meaning is read as that; everything else is refused. A plan that broke off is not completed, of
two different plans none is chosen, and what reads as a plan but stands where an answer may speak of anything (the
legal steps, the last plan, what not to do) is no plan, and makes the whole answer none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

from .errors import PlanRejected
from .loose_json import values_and_rest
from .loose_steps import ARGUMENTS_KEYS, JSON_LIKE, LooseSteps
from .reader import Steps, read_json_plan, short
from .thoughts import without_thoughts
from .vocabulary import Scope, Vocabulary

_MAX_NESTED = 3
"""Texts in texts: a tool call's arguments are JSON in a string, in an answer that may be a string itself."""

_Lists = Literal["of anything", "of objects", "none"]
"""Which bare lists of steps count as plans. Lines in a list may just as well be the options that there were."""

_ENVELOPES: dict[str, _Lists] = {
    **dict.fromkeys(("steps", "plan", "actions"), "of anything"),
    **dict.fromkeys((*ARGUMENTS_KEYS, "function", "functioncall", "toolcall", "toolcalls"), "of objects"),
    **dict.fromkeys(("response", "output", "result", "answer", "finalanswer", "content", "message"), "of objects"),
    **dict.fromkeys(("choices", "step", "text"), "none"),
}
"""The keys, folded, under which a plan is looked for. One that stands under any other makes the answer ambiguous."""

# What servers and templates put around an answer: fences, <tool_call>, <|channel|>final, [TOOL_CALLS]. No prose.
_MARKS = re.compile(r"```\w*|<\|(?:start|channel|im_start)\|>\w*|<[^<>\s]{1,60}>|\[[A-Z_]{1,30}\]")


def recover_plan(text: str, vocabulary: Vocabulary, scope: Scope) -> Steps:
    """The one plan in a model's answer.

    What :func:`~astrasim.reader.read_json_plan` accepts is taken as it is. Otherwise thoughts are dropped, and the
    plan is looked for in all JSON values that are left, in prose or fences, and in the usual envelopes. All plans
    found must be the same.

    Raises:
        PlanRejected: with the reasons of ``read_json_plan``, or ``cut_off`` for an answer that ends inside a value
            or a thought, or ``ambiguous`` for several plans, several meanings of a name, or steps that stand where
            they need not be meant.
    """
    try:
        return read_json_plan(text, vocabulary, scope)
    except PlanRejected as error:
        if error.reason in ("too_long", "wrong_length"):  # a plan in all but its length has no other in it
            raise
        strict = error
    steps = LooseSteps(vocabulary, scope)
    plans: set[Steps] = set()
    refused: list[PlanRejected] = []
    for plan in _Finder(steps).plans_in_text(_unquoted(text), 0, "of anything"):
        try:
            plans.add(steps.read(plan))
        except PlanRejected as error:
            refused.append(error)
    if not plans:
        raise (refused or [strict])[0]
    if refused or len(plans) > 1:
        raise PlanRejected("ambiguous", f"{len(plans) + len(refused)} different plans in one answer")
    return plans.pop()


class _Finder:
    """Finds plans in values. ``lists`` says which lists may be one where a value stands, ``nested`` in how many texts.

    What it finds is what should be steps: of each plan the list, or whatever stands in its place.
    """

    def __init__(self, steps: LooseSteps) -> None:
        self._steps = steps

    def plans_in_text(self, text: str, nested: int, lists: _Lists) -> Iterator[object]:
        values, rest = values_and_rest(without_thoughts(text))
        if re.search(r"\w", _MARKS.sub("", rest)):
            lists = "none"  # "My options are [...]" is prose as well as "My plan is [...]"
        for value in values:
            yield from self._plans(value, nested, lists)

    def _plans(self, value: object, nested: int, lists: _Lists) -> Iterator[object]:
        if isinstance(value, str):
            if JSON_LIKE.match(value) and nested < _MAX_NESTED:
                yield from self.plans_in_text(value, nested + 1, lists)
            elif self._has_lines(value):
                raise _misplaced(value)
        elif isinstance(value, list):
            yield from self._list(value, nested, lists, is_plan=any(map(self._steps.is_step, value)))
        elif isinstance(value, dict):
            is_step = self._steps.is_step(value)
            if is_step:
                yield [value]
            yield from self._inside(value, nested, is_step=is_step)

    def _list(self, value: list[object], nested: int, lists: _Lists, *, is_plan: bool) -> Iterator[object]:
        """A list with one step in it is a plan, so that no other element of it is passed over."""
        if is_plan:
            if lists == "none" or (lists == "of objects" and any(map(self._steps.is_line, value))):
                raise _misplaced(value)
            yield value
        for inner in value:
            if isinstance(inner, dict) and self._steps.is_step(inner):
                yield from self._inside(inner, nested, is_step=True)
            elif not self._steps.is_line(inner):
                yield from self._plans(inner, nested, "none")

    def _inside(self, value: dict[str, object], nested: int, *, is_step: bool) -> Iterator[object]:
        """In an envelope, beside a plan or in a step: what else looks like a plan must say the same."""
        for key, inner in value.items():
            if is_step and key in ("action", "name", "target") and isinstance(inner, str):
                continue
            lists = _ENVELOPES.get(key)
            if lists is None:
                for _ in self._plans(inner, nested, "none"):
                    raise _misplaced(inner, key)
            elif lists != "of anything":
                yield from self._plans(inner, nested, lists)
            elif isinstance(inner, list):
                # "No steps" is an answer too, and a line that makes no sense is not passed over.
                is_plan = key == "steps" or not any(isinstance(each, dict) for each in inner)
                is_plan = is_plan or any(map(self._steps.is_step, inner))
                yield from self._list(inner, nested, lists, is_plan=is_plan)
            elif key == "steps":
                yield inner
            else:
                yield from self._plans(inner, nested, lists)

    def _has_lines(self, text: str) -> bool:
        lines = [line for line in text.splitlines() if line.strip()]
        return bool(lines) and all(map(self._steps.is_line, lines))


def _misplaced(value: object, key: str = "") -> PlanRejected:
    where = f"under {short(key)}" if key else "where it could be anything"
    return PlanRejected("ambiguous", f"{short(value)} stands {where}: a plan has the key steps")


def _unquoted(text: str) -> str:
    """What an answer says that is one JSON string; any other as it is."""
    if not text.lstrip().startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
