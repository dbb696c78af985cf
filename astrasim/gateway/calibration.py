"""How much a small model likes each action whatever the situation, kept on disk: what has to be subtracted from its
answers before they say anything about the situation."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..vocabulary import Scope, Vocabulary

SITUATIONS = 32
"""Unlabelled situations over which an action's mean log-probability is taken."""
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


def by_action(logs: Mapping[str, float]) -> dict[str, float]:
    """The log-probability of each action, from those of all its steps."""
    sums: dict[str, float] = {}
    for line, log in logs.items():
        action = line.split()[0]
        sums[action] = sums.get(action, 0.0) + math.exp(log)
    return {action: math.log(max(total, 1e-30)) for action, total in sums.items()}


def mean_by_action(weighed: Iterable[Mapping[str, float]]) -> Bias:
    """The mean log-probability of each action over situations, from the log-probabilities of all their steps."""
    logs = [by_action(each) for each in weighed]
    return {action: sum(each[action] for each in logs) / len(logs) for action in logs[0]}


class CalibrationStore:
    """Calibrations as small JSON files in a folder, which every process of the user's may read and write at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, basis: Basis) -> Bias | None:
        """The calibration made earlier on this basis; None if there is none, or its file is damaged."""
        try:
            found = json.loads(self._file(basis).read_text(encoding="utf-8"))
            bias = {str(action): float(log) for action, log in found["bias"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        complete = bias.keys() == {line.split()[0] for line in basis.lines}
        return bias if complete and all(math.isfinite(log) for log in bias.values()) else None

    def save(self, basis: Basis, bias: Bias, about: str) -> None:
        """Keep it. Where nothing can be written, it is made again next time."""
        file = self._file(basis)
        new = file.with_suffix(f".{os.getpid()}.new")
        with suppress(OSError):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with new.open("w", encoding="utf-8") as stream:
                    json.dump({"about": about, "bias": dict(bias)}, stream, indent=1)
                    stream.flush()
                    os.fsync(stream.fileno())  # or a crash could leave the new name on an empty file
                new.replace(file)
            finally:
                new.unlink(missing_ok=True)

    def _file(self, basis: Basis) -> Path:
        return self._folder / f"{basis.digest()}.json"
