"""What the governor decided, as a record: one JSON object a line, from which a replay follows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from .errors import SettingsError
from .gateway.policy import RequestsPerSecond
from .pace import BudgetMs, Every


class PaceDecision(NamedTuple):
    """From tick ``tick`` on (the first is 1), the pace is this; ``reason`` says why, in words."""

    tick: Annotated[int, Field(ge=1)]
    budget_ms: BudgetMs
    every: Every
    requests_per_second: RequestsPerSecond
    reason: str = ""


_one = TypeAdapter(PaceDecision)


def write_decisions(decisions: Iterable[PaceDecision], file: Path) -> None:
    """Write them to a file, in their order, over what it held.

    Raises:
        OSError: if it cannot be written.
    """
    file.write_text("".join(json.dumps(decision._asdict()) + "\n" for decision in decisions), encoding="utf-8")


def read_decisions(file: Path) -> list[PaceDecision]:
    """What :func:`write_decisions` wrote.

    Raises:
        OSError: if it cannot be read.
        SettingsError: for a line that is no decision, or one of an earlier tick than the line before.
    """
    found: list[PaceDecision] = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                found.append(_one.validate_json(line))
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"])) or "line"
                needs = f"each line needs {', '.join(PaceDecision._fields[:-1])}"
                raise SettingsError(f"{file}, line {number}: {where}: {problem['msg']}; {needs}") from None
            try:
                check_order(found[-2:])
            except SettingsError as error:
                raise SettingsError(f"{file}, line {number}: {error}") from None
    return found


def check_order(decisions: Iterable[PaceDecision], after: int = 0) -> None:
    """Raises SettingsError if one is of an earlier tick than the one before, or the first of one up to ``after``."""
    last = after + 1
    for decision in decisions:
        if decision.tick < last:
            before = f"tick {last}" if last > after + 1 else f"tick {after}, which is over already"
            raise SettingsError(f"a decision of tick {decision.tick} comes after {before}; give them in their order")
        last = decision.tick
