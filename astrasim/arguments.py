"""What the arguments of a declaration must look like. Every check raises DomainError, at the line that is wrong."""

from __future__ import annotations

import difflib
import inspect
import keyword
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .errors import DomainError

LARGEST = 1e30
"""Numbers end up in float32 columns; beyond this their squares and sums would be infinite there."""
LINE_MAX_CHARS = 200
"""Of a feature's phrase and an action's ``about``."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def name_of(given: object, what: str) -> str:
    """``given`` if models, grammars and Python can all read it as a name."""
    if not isinstance(given, str) or not _NAME.fullmatch(given) or keyword.iskeyword(given):
        raise DomainError(
            f"{what} {given!r}: a name is a letter, then up to 39 letters, digits and underscores; no Python keyword"
        )
    return given


def names_of(given: object, where: str) -> tuple[str, ...]:
    """One string, or several in a list or tuple, as a tuple. None twice, and at least one."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise DomainError(f"{where}={given!r}: write a name, or a list of names")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise DomainError(f"{where}={names!r}: {name!r} is no name; write a name, or a list of names")
        if names.count(name) > 1:
            raise DomainError(f"{where}: {name!r} stands there twice")
    if not names:
        raise DomainError(f"{where} is empty; name at least one")
    return names


def line_of(given: object, where: str, most: int = LINE_MAX_CHARS) -> str:
    """``given`` as one line of a prompt, single-spaced, of at most ``most`` characters."""
    if not isinstance(given, str):
        raise DomainError(f"{where}={given!r} must be a string")
    line = " ".join("".join(c if c.isprintable() else " " for c in given).split())
    if len(line) > most:
        raise DomainError(f"{where} has {len(line)} characters; at most {most} go into a prompt: {line[:40]!r}...")
    return line


def number(given: object, where: str, least: float = -LARGEST, most: float = LARGEST) -> float:
    """``given`` as a float of at least ``least`` and at most ``most``."""
    wanted = (
        "a finite number"
        if (least, most) == (-LARGEST, LARGEST)
        else f"a finite number of at least {least:g}"
        if most == LARGEST
        else f"a number from {least:g} to {most:g}"
    )
    try:
        value = math.nan if isinstance(given, str | bytes) else float(given)  # type: ignore[arg-type]  # anything at all
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not least <= value <= most:  # True for NaN
        raise DomainError(f"{where}={given!r} must be {wanted}")
    return value


def numbers(given: object, where: str) -> dict[str, float]:
    """A mapping of names to numbers of at least 0."""
    if not isinstance(given, Mapping):
        raise DomainError(f'{where}={given!r}: write a mapping of columns to numbers, such as {{"ammo": 1}}')
    return {name: number(value, f"{where}: {name}", least=0) for name, value in given.items()}


def known(name: str, among: Collection[str], where: str, what: str) -> str:
    """``name`` if it is one of ``among``."""
    if name not in among:
        raise DomainError(unknown(name, among, where, what))
    return name


def unknown(name: object, among: Collection[str], where: str, what: str) -> str:
    """What to say of a name that nobody declared."""
    near = difflib.get_close_matches(name, among, n=1) if isinstance(name, str) else []
    there_are = f"did you mean {near[0]!r}? There are" if near else "there are"
    return f"{where}: no {what} {name!r}; {there_are}: {', '.join(among) or 'none'}"


def takes(function: object, where: str, *arguments: str) -> Any:
    """``function`` if it can be called with these positional arguments, and gives its result at once."""
    written = f"({', '.join(arguments)})"
    if not callable(function):
        raise DomainError(f"{where}: {function!r} is no function; write one of {written}")
    if inspect.iscoroutinefunction(function):
        raise DomainError(f"{where} is async, and a tick cannot wait: write a plain function of {written}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in and compiled functions do not tell
        return function
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise DomainError(f"{where} is called with {written}, and {signature} cannot take that: {error}") from None
    return function


class Names:
    """One name space: the second declaration of a name raises, and says who was first."""

    def __init__(self, what: str, taken: Mapping[str, str]) -> None:
        self._what = what
        self._owner = dict(taken)

    def check(self, names: Iterable[str], owner: str) -> None:
        """Raises DomainError if one of ``names`` is taken."""
        for name in names:
            if name in self._owner:
                raise DomainError(
                    f"{owner} needs the {self._what} {name!r}, taken by {self._owner[name]}; choose another name"
                )

    def take(self, names: Iterable[str], owner: str) -> None:
        """Take ``names``, which must be free."""
        self._owner.update(dict.fromkeys(names, owner))
