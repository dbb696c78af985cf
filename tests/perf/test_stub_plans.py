"""What the stub draws from a schema: it obeys it, and a schema that it cannot draw from is named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim.perf.stub_plans import SchemaError, check, draw

STEPS = {
    "flee": {"target": {"enum": ["threat"]}, "seconds": {"type": "integer", "minimum": 1, "maximum": 8}},
    "graze": {"target": {"enum": ["pasture", "home"]}, "seconds": {"type": "number", "minimum": 2, "maximum": 12}},
}
PLAN = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 8,
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"action": {"const": action}, **rest},
                        "required": ["action", "target", "seconds"],
                        "additionalProperties": False,
                    }
                    for action, rest in STEPS.items()
                ]
            },
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}


def violations(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """What is wrong with `value`, keyword by keyword, as the JSON Schema specification defines each alone."""

    def inner(keyword: str) -> list[list[str]]:
        return [violations(value, branch, f"{where}.{keyword}") for branch in schema[keyword]]

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    types: dict[str, Callable[[Any], bool]] = {
        "object": lambda value: isinstance(value, dict),
        "array": lambda value: isinstance(value, list),
        "string": lambda value: isinstance(value, str),
        "boolean": lambda value: isinstance(value, bool),
        "number": number,
        "integer": lambda value: number(value) and value == int(value),
    }
    rules: dict[str, Callable[[Any], bool]] = {
        "type": lambda kind: types[kind](value),
        "const": lambda wanted: equal(value, wanted),
        "enum": lambda wanted: any(equal(value, each) for each in wanted),
        "anyOf": lambda branches: [] in inner("anyOf"),
        "oneOf": lambda branches: inner("oneOf").count([]) == 1,
        "minimum": lambda least: not number(value) or value >= least,
        "maximum": lambda most: not number(value) or value <= most,
        "minItems": lambda least: not isinstance(value, list) or len(value) >= least,
        "maxItems": lambda most: not isinstance(value, list) or len(value) <= most,
        "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
        "additionalProperties": lambda allowed: (
            allowed or not isinstance(value, dict) or set(value) <= set(schema.get("properties", {}))
        ),
    }
    found = [
        f"{where}: {keyword}" for keyword, holds in rules.items() if keyword in schema and not holds(schema[keyword])
    ]
    if isinstance(value, list) and "items" in schema:
        found += [each for item in value for each in violations(item, schema["items"], f"{where}[]")]
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                found += violations(value[name], child, f"{where}.{name}")
    return found


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which 1 is 1.0 but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return bool(one == other)


NUMBERS = st.integers(-20, 20) | st.floats(-20, 20) | st.sampled_from([1e300, -1e300, 10**20])
VALUES = st.recursive(
    st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 1.5, None, "a", "b"]),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.sampled_from("ab"), children, max_size=2),
    max_leaves=3,
)


@st.composite
def ranges(draw: st.DrawFn, kind: str, lower: str, upper: str, bounds: st.SearchStrategy[Any]) -> dict[str, Any]:
    low, high = sorted([draw(bounds), draw(bounds)])
    return {"type": kind, **draw(st.fixed_dictionaries({}, optional={lower: st.just(low), upper: st.just(high)}))}


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def finish(made: tuple[dict[str, Any], set[str], dict[str, Any]]) -> dict[str, Any]:
        properties, required, more = made
        return {"type": "object", "properties": properties, "required": sorted(required & set(properties)), **more}

    properties = st.dictionaries(st.sampled_from("abcd"), children, max_size=3)
    more = st.fixed_dictionaries({}, optional={"additionalProperties": st.booleans(), "title": st.just("t")})
    return st.tuples(properties, st.sets(st.sampled_from("abcd")), more).map(finish)


def arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(ranges("array", "minItems", "maxItems", st.integers(0, 9)), children).map(
        lambda made: {**made[0], "items": made[1]}
    )


def unions(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda keyword, branches: {keyword: branches},
        st.sampled_from(["anyOf", "oneOf"]),
        st.lists(children, min_size=1, max_size=3),
    )


SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}])
    | ranges("number", "minimum", "maximum", NUMBERS)
    | ranges("integer", "minimum", "maximum", NUMBERS)
    | VALUES.map(lambda value: {"const": value})
    | st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values})
    | st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": [*values, "a"], "type": "string"}),
    lambda children: objects(children) | arrays(children) | unions(children),
    max_leaves=8,
)


@given(schema=SCHEMAS, seed=st.integers(0, 1000))
def test_whatever_is_drawn_obeys_its_schema(schema: dict[str, Any], seed: int) -> None:
    try:
        check(schema)
        value = draw(schema, random.Random(seed))
    except SchemaError as error:
        assert "oneOf" in str(error) or "no integer lies between" in str(error)
        return
    value = json.loads(json.dumps(value, allow_nan=False))  # as the client sees it
    assert violations(value, schema) == []
    assert draw(schema, random.Random(seed)) == value


def test_plans_are_short_as_models_write_them() -> None:
    lengths = [len(draw(PLAN, random.Random(seed))["steps"]) for seed in range(500)]
    assert set(lengths) == set(range(1, 9))
    assert 0.85 < sum(length <= 4 for length in lengths) / 500 < 1.0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (True, "needs an object"),
        ({}, "needs 'type'"),
        ({"type": "null"}, "'type' is \"null\""),
        ({"type": ["string", "boolean"]}, "'type' is"),
        ({"$ref": "#/$defs/step"}, r"\$ref"),
        ({"type": "string", "pattern": "a+"}, "'pattern'"),
        ({"type": "array", "items": {"type": "string", "minLength": 1}}, "schema.items: .* 'minLength'"),
        ({"type": "array"}, "schema.items is null"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 2}, "'minItems' 3 is above"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 10**9}, "at most 1000"),
        ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "no integer lies between"),
        ({"type": "number", "minimum": "3"}, "'minimum' is \"3\""),
        ({"type": "number", "maximum": 1e999}, "'maximum' is Infinity"),
        ({"type": "object", "required": ["a"]}, "'required' names \"a\""),
        ({"type": "object", "properties": {"a": {"allOf": []}}}, r"schema\.a: .*allOf"),
        ({"anyOf": []}, "'anyOf' is"),
        ({"anyOf": [{"type": "string"}], "type": "string"}, "'type'"),
        ({"enum": []}, "'enum' is"),
        ({"const": 3, "type": "string"}, "'const' holds no value"),
    ],
)
def test_a_schema_that_it_cannot_draw_from_is_named(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        check(schema)


def test_a_one_of_whose_branches_are_the_same_is_refused() -> None:
    schema = {"oneOf": [{"type": "integer"}, {"type": "integer"}]}
    check(schema)
    with pytest.raises(SchemaError, match="exactly one branch"):
        draw(schema, random.Random(0))
