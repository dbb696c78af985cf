"""What a model may answer: schema, grammar, reader and plan store are one declaration seen from four sides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim import Domain, PlanRejected
from astrasim.compiled import compile_domain
from astrasim.plans import Origin, PlanStore
from astrasim.reader import MAX_ANSWER_CHARS, Steps, plan_grammar, plan_schema, read_compact_plan, read_json_plan
from astrasim.vocabulary import Scope

REASONS = {"too_long", "not_json", "wrong_shape", "wrong_length", "unknown_action", "unknown_target", "bad_duration"}


def make_keep() -> Domain:
    keep = Domain("keep", ["guard", "thief"], max_seconds=12.5)
    keep.percept("intruder", nearest="thief", seen_by="guard", radius=30)
    keep.percept("guardian", nearest="guard", seen_by="thief", radius=30)
    keep.place("bridge", x=5, y=5)
    keep.stock("hold", targets=["bridge", "home"], seconds=2.5)
    keep.stock("approach", name="chase", targets="intruder", speed=5)
    keep.stock("flee", targets=["guardian"], speed=5, seconds=0.5)
    keep.role("watchman", kinds="guard")
    keep.role("statue", kinds="guard", actions="hold")
    return keep


KEEP = compile_domain(make_keep())
WORDS = KEEP.vocabulary
SCOPES = [KEEP.scope(kind, role, "", "none") for role in KEEP.roles.values() for kind in role.kinds]
WATCHMAN, STATUE, _, THIEF = SCOPES
scopes = st.sampled_from(SCOPES)


def names(steps: Steps) -> list[tuple[str, str, float]]:
    """Steps as the executor would run them: looked up in the plan store."""
    store = PlanStore(WORDS)
    return [(step.action, step.target, step.seconds) for step in store[store.intern(steps, Origin.MODEL)].steps]


def read(answer: object, scope: Scope = WATCHMAN) -> list[tuple[str, str, float]]:
    return names(read_json_plan(answer if isinstance(answer, str) else json.dumps(answer), WORDS, scope))


def why_not(answer: object, scope: Scope = WATCHMAN) -> str:
    with pytest.raises(PlanRejected) as caught:
        read(answer, scope)
    assert len(str(caught.value)) < 250, "an answer of 64 KiB is not repeated in full"
    return caught.value.reason


# A reading of JSON schema that shares nothing with ours: what it draws, and what it lets pass.


def drawn(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([drawn(branch) for branch in schema["anyOf"]])
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if schema["type"] == "array":
        return st.lists(drawn(schema["items"]), min_size=schema["minItems"], max_size=schema["maxItems"])
    assert schema["type"] == "object" and sorted(schema["required"]) == sorted(schema["properties"])
    return st.fixed_dictionaries({name: drawn(of) for name, of in schema["properties"].items()})


def obeys(value: Any, schema: dict[str, Any]) -> bool:
    if "const" in schema or "enum" in schema:
        return isinstance(value, str) and value in schema.get("enum", [schema.get("const")])
    if "anyOf" in schema:
        return any(obeys(value, branch) for branch in schema["anyOf"])
    if schema["type"] == "integer":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and value % 1 == 0 and schema["minimum"] <= value <= schema["maximum"]
    if schema["type"] == "array":
        fits = isinstance(value, list) and schema["minItems"] <= len(value) <= schema["maxItems"]
        return fits and all(obeys(item, schema["items"]) for item in value)
    if not isinstance(value, dict) or value.keys() != set(schema["required"]) or schema["additionalProperties"]:
        return False
    return all(obeys(value[name], of) for name, of in schema["properties"].items())


def test_the_schema_lists_each_action_with_its_own_targets() -> None:
    step = plan_schema(WORDS, WATCHMAN)["properties"]["steps"]["items"]["anyOf"]
    assert [(s["properties"]["action"]["const"], s["properties"]["target"]["enum"]) for s in step] == [
        ("wait", ["self"]),
        ("hold", ["bridge", "home"]),
        ("chase", ["intruder"]),
    ]
    assert step[0]["properties"]["seconds"] == {"type": "integer", "minimum": 1, "maximum": 12}


@given(scopes.flatmap(lambda scope: st.tuples(st.just(scope), drawn(plan_schema(WORDS, scope)))))
def test_what_the_schema_allows_is_read_as_it_was_meant(case: tuple[Scope, dict[str, Any]]) -> None:
    scope, answer = case
    meant = [(step["action"], step["target"], step["seconds"]) for step in answer["steps"]]
    assert read(answer, scope) == meant
    assert all(action in scope.actions for action, _, _ in meant)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["hold", "chase", "bridge", "intruder", "self", 1, 3, 12, 13, 2.0, 2.5, 0, True, 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["steps", "action", "x"]), inner),
    max_leaves=10,
)
near_steps = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["hold", "chase", "wait", "flee", "Hold", "hold ", "", None, 3]) | anything,
        "target": st.sampled_from(["bridge", "home", "intruder", "self", "guardian", "Bridge", None]) | anything,
        "seconds": st.sampled_from([1, 3, 12, 13, 0, -1, 2.0, 2.5, True, "3", None, 10**400, 1e308]) | anything,
    },
    optional={"why": anything},
)
near_answers = st.fixed_dictionaries({"steps": st.lists(near_steps | anything, max_size=10) | anything})


@given(scopes, near_answers | anything | near_steps)
def test_the_reader_accepts_exactly_what_the_schema_allows(scope: Scope, answer: Any) -> None:
    try:
        read(answer, scope)
        accepted = True
    except PlanRejected as error:
        assert error.reason in REASONS
        accepted = False
    assert accepted == obeys(json.loads(json.dumps(answer)), plan_schema(WORDS, scope))


@given(st.text() | st.text('{}[]":,0123456789eE.- \\ntrufalsNI', max_size=60))
def test_no_text_makes_the_reader_raise_anything_else(text: str) -> None:
    for reader in (read_json_plan, read_compact_plan):
        try:
            reader(text, WORDS, WATCHMAN)
        except PlanRejected as error:
            assert error.reason in REASONS
            assert len(str(error)) < 400
            str(error).encode()


def step(**changes: Any) -> dict[str, Any]:
    return {"steps": [{"action": "hold", "target": "bridge", "seconds": 3} | changes]}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not_json"),
        ("Hold the bridge!", "not_json"),
        ("```json\n{}\n```", "not_json"),
        ('{"steps": [', "not_json"),
        ("[" * 60_000, "not_json"),
        ("1" * 60_000, "not_json"),
        (" " * (MAX_ANSWER_CHARS + 1), "too_long"),
        ("null", "wrong_shape"),
        ("NaN", "wrong_shape"),
        ([], "wrong_shape"),
        ({}, "wrong_shape"),
        ({"steps": None}, "wrong_shape"),
        ({"steps": {}}, "wrong_shape"),
        ({**step(), "thought": "hm"}, "wrong_shape"),
        ({"steps": ["hold bridge"]}, "wrong_shape"),
        ({"steps": [{"action": "hold", "target": "bridge"}]}, "wrong_shape"),
        (step(why="because"), "wrong_shape"),
        ('{"steps": [], "steps": [{"action": "hold", "target": "bridge", "seconds": 3}]}', "wrong_shape"),
        ('{"steps": [{"action": "hold", "target": "home", "target": "bridge", "seconds": 3}]}', "wrong_shape"),
        ({"steps": []}, "wrong_length"),
        ({"steps": step()["steps"] * 9}, "wrong_length"),
        ({"steps": step()["steps"] * 1000}, "wrong_length"),
        (step(action="fly"), "unknown_action"),
        (step(action="flee", target="guardian"), "unknown_action"),
        (step(action=["hold"]), "unknown_action"),
        (step(action="fly" * 10_000), "unknown_action"),
        (step(target="moon"), "unknown_target"),
        (step(target="intruder"), "unknown_target"),
        (step(target={}), "unknown_target"),
        (step(target="\ud800"), "unknown_target"),
        (step(seconds=0), "bad_duration"),
        (step(seconds=-3), "bad_duration"),
        (step(seconds=13), "bad_duration"),
        (step(seconds=12.5), "bad_duration"),
        (step(seconds=2.5), "bad_duration"),
        (step(seconds=float("nan")), "bad_duration"),
        (step(seconds=float("inf")), "bad_duration"),
        (step(seconds=1e308), "bad_duration"),
        (step(seconds=10**400), "bad_duration"),
        (step(seconds=True), "bad_duration"),
        (step(seconds="3"), "bad_duration"),
        (step(seconds=None), "bad_duration"),
        (step(seconds=[3]), "bad_duration"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_plan_is_rejected_with_one_word(answer: object, reason: str) -> None:
    assert why_not(answer) == reason


def test_nesting_that_json_still_reads_is_rejected_too() -> None:
    for depth in (50, 500, 900, 990, 5000):
        assert (
            why_not('{"steps": [{"action": ' + "[" * depth + "]" * depth + ', "target": 1, "seconds": 1}]}') in REASONS
        )


def test_a_role_can_only_do_its_own_actions() -> None:
    chase = {"steps": [{"action": "chase", "target": "intruder", "seconds": 3}]}
    assert read(chase) == [("chase", "intruder", 3)]
    assert why_not(chase, STATUE) == "unknown_action"
    assert read(step(), STATUE) == [("hold", "bridge", 3)]
    assert read({"steps": [{"action": "wait", "target": "self", "seconds": 1}]}, STATUE) == [("wait", "self", 1)]


def test_a_rejection_says_what_would_have_been_right() -> None:
    with pytest.raises(PlanRejected, match="unknown_target: 'moon'; hold can have: bridge, home"):
        read(step(target="moon"))
    with pytest.raises(PlanRejected, match="unknown_action: 'fly'; watchman can: wait, hold, chase"):
        read(step(action="fly"))


# The compact dialect


def compact(text: str, scope: Scope = WATCHMAN) -> list[tuple[str, str, float]]:
    return names(read_compact_plan(text, WORDS, scope))


def test_compact_lines_may_leave_the_duration_to_the_action() -> None:
    assert compact("hold bridge\n\n  chase intruder 0.5 \nhold home 12.5") == [
        ("hold", "bridge", 2.5),
        ("chase", "intruder", 0.5),
        ("hold", "home", 12.5),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wrong_length"),
        ("hold bridge\n" * 9, "wrong_length"),
        ("hold", "wrong_shape"),
        ("hold the bridge now", "wrong_shape"),
        ("fly bridge", "unknown_action"),
        ("hold moon", "unknown_target"),
        ("hold bridge long", "bad_duration"),
        ("hold bridge 0.01", "bad_duration"),
        ("hold bridge 13", "bad_duration"),
        ("hold bridge nan", "bad_duration"),
        ("hold bridge inf", "bad_duration"),
        ("x" * (MAX_ANSWER_CHARS + 1), "too_long"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_compact_lines_that_are_no_plan_are_rejected_with_one_word(text: str, reason: str) -> None:
    with pytest.raises(PlanRejected) as caught:
        compact(text)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 200


def sentences(grammar: str) -> st.SearchStrategy[str]:
    """Texts that a grammar of the one shape that we write allows; fails on any other shape."""
    root, rule, end = grammar.split("\n")
    repeated = re.fullmatch(r'root ::= step \("\\n" step\)\{0,(\d+)\}', root)
    alternatives = rule.removeprefix("step ::= ").split(" | ")
    assert repeated and not end and rule.startswith("step ::= ")
    assert all(re.fullmatch(r'"[A-Za-z]\w* [A-Za-z]\w*"', one) for one in alternatives), "nothing to escape"
    texts = [one.strip('"') for one in alternatives]
    return st.lists(st.sampled_from(texts), min_size=1, max_size=int(repeated[1]) + 1).map("\n".join)


@given(scopes.flatmap(lambda scope: st.tuples(st.just(scope), sentences(plan_grammar(WORDS, scope)))))
def test_what_the_grammar_allows_is_read_as_it_was_meant(case: tuple[Scope, str]) -> None:
    scope, text = case
    assert [f"{action} {target}" for action, target, _ in compact(text, scope)] == text.split("\n")


@given(scopes)
def test_grammar_and_schema_allow_the_same_steps(scope: Scope) -> None:
    rule = plan_grammar(WORDS, scope).split("\n")[1]
    branches = plan_schema(WORDS, scope)["properties"]["steps"]["items"]["anyOf"]
    pairs = [(b["properties"]["action"]["const"], t) for b in branches for t in b["properties"]["target"]["enum"]]
    assert re.findall(r'"(\w+) (\w+)"', rule) == pairs


def test_llama_cpp_makes_a_grammar_of_the_schema() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    convert: Callable[[dict[str, Any]], str] = xllamacpp.json_schema_to_grammar
    grammar = convert(plan_schema(WORDS, WATCHMAN))
    assert all(word in grammar for word in ("hold", "chase", "intruder", "bridge"))
