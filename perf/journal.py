"""What was measured so far, in a file: a run that was broken off goes on where it was.

The runs of a sweep follow from the question, from the figures of the runs before, and from how long those took. So the
file holds the question and then each run with both, a line each, and going on means to do the same again, with what is
there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from astrasim import SettingsError

from .stress import Run

Figures = dict[str, Any]


class Journal:
    """The runs in ``file``, of which each is taken once, in order; then those that are measured are added.

    Args:
        question: what the runs are for, JSON-able.
        fresh: forget what is there.

    Raises:
        SettingsError: the file is about another question, or cannot be read or written.
    """

    def __init__(self, file: Path, question: dict[str, Any], measure: Callable[[Run], Figures | None],
                 fresh: bool = False) -> None:  # fmt: skip
        self._file, self._measure = file, measure
        question = _plain(question)
        lines: list[dict[str, Any]] = []
        try:
            if file.exists() and not fresh:
                lines = _lines(file.read_text(encoding="utf-8"))
            if lines:
                _compare(file, lines[0].get("question", {}), question)
            else:
                lines = [{"question": question}]
            # Written anew, and then put in its place: a line that was cut off in the middle is gone.
            part = file.with_suffix(".part")
            part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            os.replace(part, file)
        except OSError as error:
            raise SettingsError(f"{file}: {error.strerror or error}") from None
        self._kept = lines[1:]
        self.found = len(self._kept)
        """Runs that were there already."""
        self.taken = 0
        self.took_s = 0.0
        """All runs that were taken, with the starts and ends of their processes."""

    @property
    def next_is_kept(self) -> bool:
        """Whether the next run was made earlier."""
        return self.taken < self.found

    def forget(self) -> None:
        """Keep none of these runs. Nothing more is measured with this journal."""
        self._file.unlink(missing_ok=True)

    def measured(self, run: Run) -> Figures | None:
        """The figures of the next run; None if its process died.

        Raises:
            SettingsError: the file has another run in this place, or cannot be written.
        """
        told = _plain(asdict(run))
        if self.next_is_kept:
            kept = self._kept[self.taken]
            if kept["run"] != told:
                raise SettingsError(f"{self._file}: run {self.taken + 1} is not the one that follows; start --fresh")
        else:
            begun_s = monotonic()
            kept = {"run": told, "figures": self._measure(run), "took_s": round(monotonic() - begun_s, 1)}
            try:
                with open(self._file, "a", encoding="utf-8") as file:
                    file.write(json.dumps(kept) + "\n")
            except OSError as error:
                raise SettingsError(f"{self._file}: {error.strerror or error}") from None
        self.taken += 1
        self.took_s += kept.get("took_s", 0.0)
        figures: Figures | None = kept["figures"]
        return figures


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _lines(text: str) -> list[dict[str, Any]]:
    """The lines up to the first that is no JSON object: that one was being written when the program ended."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            break
        if not isinstance(value, dict):
            break
        found.append(value)
    return found


def _compare(file: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    differ = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    if differ:
        told = "; ".join(f"{name} {there.get(name)}, now {asked.get(name)}" for name in differ)
        raise SettingsError(
            f"{file} holds runs for another question ({told}): give another --out, or --fresh to forget them"
        )
