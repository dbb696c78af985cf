"""The stub's plans: drawn at random, but legally, from a JSON schema."""

from __future__ import annotations

import json
import math
import random
from typing import Any


class SchemaError(ValueError):
    """The stub cannot draw from this schema. The message names the place and the keyword."""


_KEYWORDS = {
    "object": {"type", "properties", "required", "additionalProperties"},
    "array": {"type", "items", "minItems", "maxItems"},
    "integer": {"type", "minimum", "maximum"},
    "number": {"type", "minimum", "maximum"},
    "string": {"type"},
    "boolean": {"type"},
}
_ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
_WORDS = ("hold", "on", "here", "they", "come", "stay", "close", "run", "for", "it", "now", "quiet")
_SHORT_PLAN = 4
_MOST_ITEMS = 1000
_ONE_OF_TRIES = 20


def check(schema: Any, where: str = "schema") -> None:
    """Raise SchemaError unless `draw` knows all of `schema`: const, enum, anyOf, oneOf, or a type of `_KEYWORDS`.

    The whole schema is looked at, so that a schema is refused always or never, not by the luck of the draw.
    """
    if not isinstance(schema, dict):
        raise SchemaError(f"{where} is {_short(schema)}; the stub needs an object with 'type', 'const', 'anyOf', ...")
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            _only(schema, {keyword}, where)
            _sized(schema[keyword], keyword, where)
            for index, branch in enumerate(schema[keyword]):
                check(branch, f"{where}.{keyword}[{index}]")
            return
    if "type" in schema and schema["type"] not in list(_KEYWORDS):
        raise SchemaError(f"{where}: 'type' is {_short(schema['type'])}; the stub knows {', '.join(_KEYWORDS)}")
    for keyword in ("const", "enum"):
        if keyword in schema:
            _only(schema, {keyword, "type"}, where)
            if keyword == "enum":
                _sized(schema["enum"], "enum", where)
            if not _options(schema):
                raise SchemaError(f"{where}: '{keyword}' holds no value of the 'type' {_short(schema['type'])}")
            return
    if "type" not in schema:
        raise SchemaError(f"{where}: keywords {sorted(schema)}; the stub needs 'type', const, enum, anyOf or oneOf")
    kind = schema["type"]
    _only(schema, _KEYWORDS[kind], where)
    if kind == "object":
        _check_object(schema, where)
    elif kind == "array":
        least, most = _bounds(schema, "minItems", "maxItems", where)
        if not (0 <= least <= _MOST_ITEMS and isinstance(least + most, int)):
            raise SchemaError(
                f"{where}: 'minItems' {least}, 'maxItems' {most}; need whole numbers, at most {_MOST_ITEMS}"
            )
        check(schema.get("items"), f"{where}.items")
    elif kind in ("integer", "number"):
        low, high = _bounds(schema, "minimum", "maximum", where)
        if kind == "integer" and math.ceil(low) > math.floor(high):
            raise SchemaError(f"{where}: no integer lies between 'minimum' {low} and 'maximum' {high}")


def _check_object(schema: dict[str, Any], where: str) -> None:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise SchemaError(f"{where}: 'properties' must be an object and 'required' an array")
    if not isinstance(schema.get("additionalProperties", False), bool):
        raise SchemaError(f"{where}: 'additionalProperties' must be true or false for the stub")
    for name in required:
        if name not in list(properties):
            raise SchemaError(f"{where}: 'required' names {_short(name)}, which 'properties' does not describe")
    for name, inner in properties.items():
        check(inner, f"{where}.{name}")


def _only(schema: dict[str, Any], known: set[str], where: str) -> None:
    for keyword in schema:
        if keyword not in known and keyword not in _ANNOTATIONS:
            raise SchemaError(f"{where}: the stub does not know the keyword '{keyword}' here, only {sorted(known)}")


def _sized(value: Any, keyword: str, where: str) -> None:
    if not isinstance(value, list) or not value:
        raise SchemaError(f"{where}: '{keyword}' is {_short(value)}; it must be an array that is not empty")


def _bounds(schema: dict[str, Any], lower: str, upper: str, where: str) -> tuple[Any, Any]:
    """Both bounds of a range. Where left out: numbers span 10 beside the other bound, arrays 0 to a short plan."""
    spread = _SHORT_PLAN if lower == "minItems" else 10
    for keyword in (lower, upper):
        value = schema.get(keyword, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
            raise SchemaError(f"{where}: '{keyword}' is {_short(value)}; it must be a number within 1e300 of 0")
    low = schema.get(lower, 0 if lower == "minItems" else min(0, schema.get(upper, spread) - spread))
    high = schema.get(upper, low + spread)
    if low > high:
        raise SchemaError(f"{where}: '{lower}' {low} is above '{upper}' {high}")
    return low, high


def _options(schema: dict[str, Any]) -> list[Any]:
    options = [schema["const"]] if "const" in schema else schema["enum"]
    return [option for option in options if "type" not in schema or _has_type(option, schema["type"])]


def _short(value: Any) -> str:
    return json.dumps(value)[:80]


def draw(schema: dict[str, Any], rng: random.Random) -> Any:
    """A random JSON value that obeys `schema`, which `check` has passed. Arrays favour 1 to 4 items, as plans do.

    Raises:
        SchemaError: values of one branch of a oneOf keep obeying another one too.
    """
    if "const" in schema or "enum" in schema:
        return rng.choice(_options(schema))
    if "anyOf" in schema:
        return draw(rng.choice(schema["anyOf"]), rng)
    if "oneOf" in schema:
        for _ in range(_ONE_OF_TRIES):
            value = draw(rng.choice(schema["oneOf"]), rng)
            if _obeys(value, schema):
                return value
        raise SchemaError(f"in {_ONE_OF_TRIES} tries no value obeyed exactly one branch of 'oneOf'; use 'anyOf'")
    kind = schema["type"]
    if kind == "object":
        required = schema.get("required", [])
        properties = schema.get("properties", {}).items()
        return {name: draw(inner, rng) for name, inner in properties if name in required or rng.random() < 0.5}
    if kind == "array":
        least, most = _bounds(schema, "minItems", "maxItems", "")
        low, high = max(least, 1), min(most, _SHORT_PLAN)
        if low > high or rng.random() < 0.1:
            low, high = least, min(most, _MOST_ITEMS)
        return [draw(schema["items"], rng) for _ in range(rng.randint(low, high))]
    if kind == "string":
        return " ".join(rng.choices(_WORDS, k=rng.randint(1, 5)))
    if kind == "boolean":
        return rng.random() < 0.5
    low, high = _bounds(schema, "minimum", "maximum", "")
    if kind == "integer":
        return rng.randint(math.ceil(low), math.floor(high))
    share = rng.random()
    # Weighed, because high - low can overflow; rounded, as a model would write it.
    return min(max(round(low * (1 - share) + high * share, 2), low), high)


def _obeys(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` obeys `schema`, which `check` has passed. Only oneOf needs to know."""
    if "const" in schema or "enum" in schema:
        return any(_plain(value) == _plain(option) for option in _options(schema))
    if "anyOf" in schema:
        return any(_obeys(value, branch) for branch in schema["anyOf"])
    if "oneOf" in schema:
        return sum(_obeys(value, branch) for branch in schema["oneOf"]) == 1
    if not _has_type(value, schema["type"]):
        return False
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= set(value) and all(
            _obeys(inner, properties[name]) if name in properties else others for name, inner in value.items()
        )
    if isinstance(value, list):
        fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
        return fits and all(_obeys(item, schema["items"]) for item in value)
    if schema["type"] in ("integer", "number"):
        return bool(schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf))
    return True


def _has_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == value // 1)
    return isinstance(value, {"object": dict, "array": list, "string": str}.get(kind, ()))


def _plain(value: Any) -> str:
    """Equal for values that JSON holds equal: 1 and 1.0 are, 1 and true are not, the order of properties is nothing."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)
