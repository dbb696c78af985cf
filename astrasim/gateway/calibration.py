"""How much a small model likes each action whatever the situation, kept on disk: what has to be subtracted from its
answers before they say anything about the situation."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..prompts import choice_prompt, steps_of
from ..vocabulary import Scope, Vocabulary
from .weights import GGUF_SHA256

SITUATIONS = 32
"""Unlabelled situations over which an action's mean log-probability is taken."""
LEAST = -70.0
"""No logarithm of a probability that is told here is smaller."""
_VERSION = 1

Bias = Mapping[str, float]
"""For each action, the mean of the natural logarithm of its probability."""


class Basis(NamedTuple):
    """What a calibration depends on: another basis, another calibration."""

    weights: str
    """SHA-256 of the weights."""
    prompts: tuple[str, ...]
    """The prompts of the situations over which the mean is taken."""
    lines: tuple[str, ...]
    """All steps of the scope."""

    def digest(self) -> str:
        """A name for it: 32 hexadecimal digits."""
        return hashlib.sha256(json.dumps([_VERSION, *self]).encode()).hexdigest()[:32]


def situations(vocabulary: Vocabulary, scope: Scope) -> list[int]:
    """Keys of situations of the scope's kind, drawn at random: the same each time."""
    space = vocabulary.key_space(scope.kind)
    rng = random.Random(f"{scope.domain} {scope.role} {scope.kind}")
    return rng.sample(range(space), SITUATIONS) if space > SITUATIONS else list(range(space))


def without_order(scope: Scope) -> Scope:
    """The scope of all who differ in order and persona only."""
    return scope.model_copy(update={"order": "", "persona": ""})


def basis_of(vocabulary: Vocabulary, scope: Scope) -> Basis:
    """What the calibration of ``scope`` depends on, whatever its order and persona.

    Not on the persona, because 300 calibrations take over an hour, and because what a persona always leans to is not to
    be subtracted. Three personas with calibrations of their own chose no better: 26, 26 and 26 of the 72 situations to
    tune on, without 26, 27 and 26.
    """
    scope = without_order(scope)
    texts = tuple("".join(choice_prompt(vocabulary, scope, key)) for key in situations(vocabulary, scope))
    return Basis(GGUF_SHA256, texts, steps_of(vocabulary, scope))


def by_action(logs: Mapping[str, float]) -> dict[str, float]:
    """The log-probability of each action, from those of all its steps."""
    sums: dict[str, float] = {}
    for line, log in logs.items():
        action = line.split()[0]
        sums[action] = sums.get(action, 0.0) + math.exp(log)
    # Rounding may bring a sum a little above 1.
    return {action: math.log(min(max(total, 1e-30), 1.0)) for action, total in sums.items()}


SHIPPED = Path(__file__).parent / "calibrations"
"""Those of the demo, so that its model joins in at once: ``python -m astrasim.demos.companion.calibrate`` made them."""


class Tally:
    """A calibration in the making: the mean over the situations so far."""

    def __init__(self, done: int = 0, mean: Bias = MappingProxyType({})) -> None:
        self.done = done
        self._sums = {action: log * done for action, log in mean.items()}

    def add(self, logs: Mapping[str, float]) -> None:
        """One more situation: the log-probabilities of all steps in it."""
        for action, log in by_action(logs).items():
            self._sums[action] = self._sums.get(action, 0.0) + log
        self.done += 1

    def mean(self) -> Bias:
        return {action: total / self.done for action, total in self._sums.items()}


class CalibrationStore:
    """Calibrations as small JSON files in a folder, which every process of the user's may read and write at a time.
    One that is not finished is kept under another name, and goes on where it was left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, basis: Basis) -> Tally:
        """What was made on this basis earlier: all of it, a part, or nothing. A damaged file is nothing; it is
        replaced when there is something to keep."""
        for folder, whole in ((self._folder, True), (SHIPPED, True), (self._folder, False)):
            if (tally := self._read(folder, basis, whole=whole)).done:
                return tally
        return Tally()

    def save(self, basis: Basis, tally: Tally, about: str) -> None:
        """Keep it. Where nothing can be written, it is made again next time."""
        whole = tally.done == len(basis.prompts)
        self._write(self._file(basis, whole=whole), {"about": about, "done": tally.done, "bias": dict(tally.mean())})
        if whole:
            with suppress(OSError):
                self._file(basis, whole=False).unlink(missing_ok=True)

    def _read(self, folder: Path, basis: Basis, *, whole: bool) -> Tally:
        try:
            found = json.loads((folder / _name(basis, whole=whole)).read_text(encoding="utf-8"))
            bias, done = found["bias"], len(basis.prompts) if whole else found["done"]
            fits = (
                type(done) is int
                and 1 <= done <= len(basis.prompts)
                and bias.keys() == {line.split()[0] for line in basis.lines}
                # So NaN is refused, too; and a JSON integer of a thousand digits without becoming a float.
                and all(type(log) in (int, float) and LEAST <= log <= 0 for log in bias.values())
            )
            return Tally(done, bias) if fits else Tally()
        # RecursionError: lists in lists in lists. OverflowError: a number that no float holds.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return Tally()

    def _write(self, file: Path, what: dict[str, Any]) -> None:
        new = file.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with new.open("w", encoding="utf-8") as stream:
                    json.dump(what, stream, indent=1)
                    stream.flush()
                    os.fsync(stream.fileno())  # or a crash could leave the new name on an empty file
                new.replace(file)
            finally:
                new.unlink(missing_ok=True)

    def _file(self, basis: Basis, *, whole: bool) -> Path:
        return self._folder / _name(basis, whole=whole)


def _name(basis: Basis, *, whole: bool) -> str:
    return f"{basis.digest()}{'' if whole else '.part'}.json"
