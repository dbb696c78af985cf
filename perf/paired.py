"""Whether two ways to decide really differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Paired(NamedTuple):
    """Two ways to decide, compared on the same questions. Only those on which exactly one is right tell them apart."""

    gained: int
    """Right where the other is wrong."""
    lost: int
    """Wrong where the other is right."""
    p: float
    """McNemar's exact test: how often a fair coin would give so uneven a split, or a more uneven one."""


def paired(ours: Sequence[bool], theirs: Sequence[bool]) -> Paired:
    """Whether ``ours`` is right more or less often than ``theirs``, on the same questions in the same order."""
    gained = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    lost = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    apart = gained + lost
    tail = sum(math.comb(apart, k) for k in range(min(gained, lost) + 1)) / 2**apart
    return Paired(gained, lost, min(1.0, 2 * tail))
