"""Values in a text that is nearly JSON: between prose, with comments, trailing commas or Python's way of writing.

Forgiven is what has one meaning all the same. Whatever breaks off or cannot be read inside a value spoils the whole
text: going on behind the break could take the end of one plan for another plan. One pass, so the time is linear.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from .errors import PlanRejected

MAX_DEPTH = 32
MAX_VALUES = 1024

# A bracket in prose is no value: "[TOOL_CALLS]", "{see above}". A value's bracket is followed by what JSON has there.
_BEGIN = re.compile(r"""\{(?=\s*+(?:["'}/#]|[A-Za-z_][\w-]*+\s*+:|\Z))|\[(?=\s*+(?:["'{\[\]/#]|\Z))""")
_SKIP = re.compile(r"(?:\s++|(?://|\#)[^\n]*+)*+")
_STRING = re.compile(r'''"(?:[^"\\]++|\\.)*+"|'(?:[^'\\]++|\\.)*+\'''', re.DOTALL)
# Python's escapes, Markdown's (an underscore's), and a quotation mark between single quotes.
_ESCAPE = re.compile(r"""\\(?:x([0-9a-fA-F]{2})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|.)|\"""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?!\w)")
_WORD = re.compile(r"[A-Za-z_][\w-]*+")
_WORDS: dict[str, object] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None, "undefined": None,
    "NaN": float("nan"), "Infinity": float("inf"),
}  # fmt: skip
_SEPARATORS = re.compile(r"[\s_-]+")


def fold(name: str) -> str:
    """``name`` without what models change about names: case, spaces, hyphens, underscores."""
    return _SEPARATORS.sub("", name).casefold()


def values_in(text: str) -> list[object]:
    """The objects and lists in ``text``, outermost only, in order. Keys of objects are folded.

    A value that holds ``...`` is somebody's template, not data: it is left out.

    Raises:
        PlanRejected: ``cut_off`` if the text ends inside a value, ``not_json`` if it stops making sense inside one,
            ``wrong_shape`` for a key that stands twice in one object, or for too many or too deeply nested values.
    """
    return values_and_rest(text)[0]


def values_and_rest(text: str) -> tuple[list[object], str]:
    """:func:`values_in` ``text``, and what is left of it without them."""
    found: list[object] = []
    rest: list[str] = []
    at, reader = 0, _Reader(text)
    while begin := _BEGIN.search(text, at):
        reader.is_template = False
        rest.append(text[at : begin.start()])
        value, at = reader.value(begin.start(), 0)
        if not reader.is_template:
            found.append(value)
        else:
            rest.append(text[begin.start() : at])
    return found, "\n".join([*rest, text[at:]])


class _Reader:
    """Each method takes the position at which something begins, and gives it with the position behind it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0
        self.is_template = False

    def value(self, at: int, depth: int) -> tuple[object, int]:
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise PlanRejected("wrong_shape", f"more than {MAX_VALUES} values, or nested deeper than {MAX_DEPTH}")
        match self._text[at : at + 1]:
            case "{":
                return self._object(at + 1, depth + 1)
            case "[":
                return self._list(at + 1, depth + 1)
            case '"' | "'":
                return self._string(at)
        if number := _NUMBER.match(self._text, at):
            return _number(number[0]), number.end()
        if (word := _WORD.match(self._text, at)) and word[0] in _WORDS:
            return _WORDS[word[0]], word.end()
        if self._text.startswith("...", at):
            self.is_template = True
            return ..., at + 3
        self._refuse(at)

    def _object(self, at: int, depth: int) -> tuple[dict[str, object], int]:
        found: dict[str, object] = {}
        while True:
            at = self._skip(at)
            if self._text.startswith("}", at):
                return found, at + 1
            key, at = self._key(at)
            at = self._skip(at)
            if not self._text.startswith(":", at):
                self._refuse(at)
            if key in found:  # which of the two counts? An answer with both has no one meaning.
                raise PlanRejected("wrong_shape", f"the key {key[:40]!r} stands twice in one object")
            found[key], at = self.value(self._skip(at + 1), depth)
            at = self._comma_before(at, "}")

    def _list(self, at: int, depth: int) -> tuple[list[object], int]:
        found: list[object] = []
        while True:
            at = self._skip(at)
            if self._text.startswith("]", at):
                return found, at + 1
            value, at = self.value(at, depth)
            found.append(value)
            at = self._comma_before(at, "]")

    def _comma_before(self, at: int, end: str) -> int:
        at = self._skip(at)
        if self._text.startswith(",", at):
            return at + 1
        if not self._text.startswith(end, at):
            self._refuse(at)
        return at

    def _key(self, at: int) -> tuple[str, int]:
        if self._text.startswith(('"', "'"), at):
            key, at = self._string(at)
            return fold(key), at
        if word := _WORD.match(self._text, at):
            return fold(word[0]), word.end()
        self._refuse(at)

    def _string(self, at: int) -> tuple[str, int]:
        found = _STRING.match(self._text, at)
        if found is None:
            self._refuse(len(self._text))
        quoted = f'"{_ESCAPE.sub(_as_json, found[0][1:-1])}"'
        try:
            text: str = json.loads(quoted, strict=False)  # not strict: line ends in a string are plain enough
        except ValueError:
            self._refuse(at)
        return text, found.end()

    def _skip(self, at: int) -> int:
        skipped = _SKIP.match(self._text, at)
        assert skipped is not None, "the pattern matches nothing too"
        return skipped.end()

    def _refuse(self, at: int) -> NoReturn:
        if at >= len(self._text):
            raise PlanRejected("cut_off", f"the answer ends inside a value: ...{self._text[-40:]!r}")
        raise PlanRejected("not_json", f"unreadable from character {at} on: {self._text[at : at + 40]!r}")


def _number(text: str) -> int | float:
    # Long ones as floats: int() refuses thousands of digits, and no duration has more than a few.
    return int(text) if len(text) < 16 and text.lstrip("+-").isdigit() else float(text)


def _as_json(escape: re.Match[str]) -> str:
    if code := escape[1] or escape[2]:
        return json.dumps(chr(int(code, 16)))[1:-1]
    return {"\\'": "'", "\\_": "_", '"': '\\"'}.get(escape[0], escape[0])
