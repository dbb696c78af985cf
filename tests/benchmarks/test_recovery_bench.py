"""What reading an answer costs the gateway, the worst that fits into one included (run with --benchmark-only)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from astrasim import PlanRejected
from astrasim.reader import MAX_ANSWER_CHARS
from astrasim.recovery import recover_plan
from astrasim.vocabulary import ActionWords, Scope, Vocabulary

WORDS = Vocabulary(
    domain="bench", ruleset="1", kinds=("sheep",), features=(), targets=("self",), min_seconds=0.5, max_seconds=30.0,
    actions=(ActionWords(name="rest", kinds=("sheep",), targets=("self",), seconds=3.0),),
)  # fmt: skip
SCOPE = Scope(
    kind="sheep", role="sheep", persona="", order="", actions=("rest",), domain="bench", ruleset="1", model="fake"
)
PLAN = json.dumps({"steps": [{"action": "rest", "target": "self", "seconds": 3}] * 8})
CALL = {"name": "rest", "arguments": '{"target": "self"}'}
TEXTS = {
    "a plan": PLAN,
    "a plan in prose, a fence and a thought": f"<think>hm</think>Here:\n```json\n{PLAN}\n```\nDone.",
    "a plan behind a long thought": f"<think>{'{' * 60_000}</think>{PLAN}",
    "lines in one list": '{"steps": [' + '"rest self",' * 5000,
    "tool calls": json.dumps([CALL] * 1000),
    "braces": "{" * MAX_ANSWER_CHARS,
    "brackets": "[" * MAX_ANSWER_CHARS,
    "thoughts": ("<think>" * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS],
    "tags that are none": "<" * MAX_ANSWER_CHARS,
    "comments": ("{//" * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS],
    "plans": (PLAN * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS],
    "a duration behind spaces": PLAN.replace("3", f'"1{" " * 60_000}x"', 1),
    "one string": '["' + "\\'" * 32_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_reading_an_answer(benchmark: Callable[..., Any], name: str) -> None:
    def read() -> None:
        with suppress(PlanRejected):
            recover_plan(TEXTS[name], WORDS, SCOPE)

    benchmark(read)
