"""Any plan, in any wrapping: read as what it is, or refused."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from astrasim import PlanRejected
from astrasim.reader import plan_schema, read_json_plan
from astrasim.recovery import recover_plan
from tests.test_recovery import GUARD, REASONS, WORDS, P, Q, named, read

plans = st.lists(
    st.sampled_from([(a.name, t) for a, targets in WORDS.steps_of(GUARD) for t in targets]).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(1, 12))
    ),
    min_size=1,
    max_size=8,
)
named_lists = st.sampled_from(["steps", "plan", "Actions"])
THOUGHTS = [
    ("<think>", "</think>"), ("<analysis>", "</analysis>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]  # fmt: skip
# Without an action's name: what reads as a step beside the plan makes it ambiguous, "HOLDBRIDGE" too.
quiet = st.text(st.characters(exclude_characters='[]{}<>"')).filter(
    lambda text: not any(action.name in "".join(filter(str.isalpha, text.casefold())) for action in WORDS.actions)
)
thought = st.lists(st.sampled_from(["hm ", "{", "}", "[", '"', P, Q, "\n", "steps", "<b>"]), max_size=8).map("".join)


def respelt(name: str) -> st.SearchStrategy[str]:
    spellings = [name, name.upper(), name.title(), name.replace("_", " "), name.replace("_", "-"), f" {name}\n"]
    return st.sampled_from(spellings)


@st.composite
def steps_as_sent(draw: st.DrawFn, plan: list[tuple[str, str, int]]) -> list[Any]:
    sent: list[Any] = []
    for action, target, seconds in plan:
        off = st.sampled_from([seconds, float(seconds), str(seconds), f"{seconds}s", seconds + 0.3, seconds - 0.4])
        said = draw(off)
        # "hold gate 2" is the compact dialect's way of saying 2 seconds, so there the names are as they are.
        line = st.sampled_from([f"{action} {target} {seconds}", f" {action}  {target} {seconds} s"])
        step = st.fixed_dictionaries(
            {
                draw(st.sampled_from(["action", "Action"])): respelt(action),
                draw(st.sampled_from(["target", "TARGET"])): respelt(target),
                draw(st.sampled_from(["seconds", "duration"])): st.just(said),
            },
            optional={"why": quiet, "n": st.integers()},
        )
        sent.append(draw(step | line))
    return sent


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[tuple[str, str, int]], str]:
    """A plan, and an answer that means it."""
    plan = draw(plans)
    value: Any = draw(steps_as_sent(plan))
    if len(value) == 1 and isinstance(value[0], dict) and draw(st.booleans()):
        value = value[0]
    if not isinstance(value, list) or draw(st.booleans()):
        value = {draw(named_lists): value, **draw(st.dictionaries(st.sampled_from(["thought", "mood"]), quiet))}
    for _ in range(draw(st.integers(0, 3))):
        string = draw(st.sampled_from([value, json.dumps(value)]))
        if isinstance(value, list) and any(isinstance(step, str) for step in value):
            value = {draw(named_lists): string}  # elsewhere lines in a list may be options
            continue
        value = draw(
            st.sampled_from([
                {"plan": value}, {"response": string}, [value] if isinstance(value, dict) else value,
                {"name": "plan", "arguments": string}, {"function_call": {"name": "plan", "arguments": string}},
                {"tool_calls": [{"function": {"name": "plan", "arguments": string}}]},
            ])
        )  # fmt: skip
    text = json.dumps(value, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans()))
    match draw(st.sampled_from(["json", "python", "comments", "commas"])):
        case "python":
            text = repr(value)
        case "comments":
            text = re.sub(r"\n", "  // as {asked\n", json.dumps(value, indent=2))
        case "commas":
            text = re.sub(r"\n( *[\]}])", r",\n\1", json.dumps(value, indent=2))
    noises = ["fence", "think", "twice", "tags"] + ["prose"] * (not isinstance(value, list))
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(noises)):
            case "prose":
                text = f"{draw(quiet)}\n{text}\n{draw(quiet)}"
            case "fence":
                text = f"```{draw(st.sampled_from(['', 'json', 'JSON']))}\n{text}\n```"
            case "think":
                begin, end = draw(st.sampled_from(THOUGHTS))
                text = f"{begin}{draw(thought)}{end}{text}"
            case "twice":
                text = f"{text}\n{text}"
            case "tags":
                text = f"<tool_call>{text}</tool_call>"
    return plan, text


@given(answers())
def test_a_plan_is_recovered_from_any_combination_of_noise(case: tuple[list[tuple[str, str, int]], str]) -> None:
    plan, text = case
    assert read(text) == plan


@given(answers(), st.floats(0, 1, exclude_max=True))
def test_a_cut_answer_is_the_same_plan_or_none(case: tuple[list[tuple[str, str, int]], str], where: float) -> None:
    plan, text = case
    try:
        assert read(text[: int(where * len(text))]) == plan
    except PlanRejected as error:
        assert error.reason in REASONS


fragments = st.lists(
    st.sampled_from([
        "{", "}", "[", "]", '"', "'", ":", ",", "\\", "//", "#", "\n", " ", "...", "3", "-", ".5", "1e9", "null",
        "True", "steps", '"steps":', '"action":', '"target":', '"seconds":', '"name":', '"arguments":', '"hold"',
        '"bridge"', '"hold bridge 3"', "<think>", "</think>", "[THINK]", "```json", P, Q, P[:20], json.dumps(P),
        "<|channel|>analysis", "<|end|>", "\ud800",
    ]),
    max_size=30,
).map("".join)  # fmt: skip


@given(st.text() | fragments)
def test_any_text_is_a_plan_by_the_rules_or_refused_with_a_reason(text: str) -> None:
    try:
        steps = recover_plan(text, WORDS, GUARD)
    except PlanRejected as error:
        assert error.reason in REASONS
        assert len(str(error)) < 400
        str(error).encode()
        return
    assert 1 <= len(steps) <= 8
    for action, target, seconds in named(steps):
        assert target in WORDS.actions[WORDS.action_index[action]].targets and action in GUARD.actions
        assert seconds == 2.5 or seconds in range(1, 13), "whole, or the action's own"


@given(plans)
def test_what_the_strict_reader_takes_is_taken_as_it_is(plan: list[tuple[str, str, int]]) -> None:
    text = json.dumps({"steps": [{"action": a, "target": t, "seconds": s} for a, t, s in plan]})
    assert recover_plan(text, WORDS, GUARD) == read_json_plan(text, WORDS, GUARD)
    assert plan_schema(WORDS, GUARD)["properties"]["steps"]["maxItems"] == 8
