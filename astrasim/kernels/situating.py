"""From columns to situations: buckets with hysteresis, packed into keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH

NEED_INTERRUPT = 2

UNKNOWN_BUCKET = 255


class FeatureTable(NamedTuple):
    """Features as numbers. ``edges[f, :edge_count[f]]`` rise; ``multiplier[k, f]`` is 0 where kind k lacks feature f.

    ``interrupt[k, f]`` is the multiplier again for interrupt features, else 0.
    """

    column: NDArray[np.int32]
    edges: NDArray[np.float32]
    edge_count: NDArray[np.int32]
    hysteresis: NDArray[np.float32]
    multiplier: NDArray[np.int64]
    interrupt: NDArray[np.int64]


@njit(cache=True, inline="always")
def is_new(b: NDArray[np.uint8], i: int) -> bool:
    """Whether agent ``i`` was never looked at; an agent must not plan for a situation that nobody has seen."""
    return b[0, i] == UNKNOWN_BUCKET  # the table of buckets has a first row even where there are no features


@njit(cache=True, fastmath=FASTMATH)
def situate(
    f: NDArray[np.float32],
    b: NDArray[np.uint8],
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    key: NDArray[np.int64],
    interrupt_key: NDArray[np.int64],
    plan_interrupt_key: NDArray[np.int64],
    need: NDArray[np.uint8],
    count: int,
    every: int,
    phase: int,
    features: FeatureTable,
) -> None:
    """Write bucket, key and interrupt key of every ``every``-th agent, and flag those whose plan is interrupted.

    Those never looked at (see :func:`is_new`) have their turn at once. A value at an edge or above rises past it; it
    falls back only when it is below the edge by more than the feature's hysteresis. One that is no number goes to
    bucket 0.
    """
    for i in range(count):
        if every > 1 and (uid[i] + phase) % every != 0 and not is_new(b, i):
            continue
        packed = np.int64(0)
        packed_interrupt = np.int64(0)
        k = kind[i]
        for q in range(len(features.column)):
            multiplier = features.multiplier[k, q]
            if multiplier == 0:
                continue
            value = f[features.column[q], i]
            edges = features.edge_count[q]
            bucket = np.int64(b[q, i])
            if bucket > edges:  # never looked at: it rises from the lowest
                bucket = np.int64(0)
            while bucket < edges and value >= features.edges[q, bucket]:
                bucket += 1
            while bucket > 0 and not value >= features.edges[q, bucket - 1] - features.hysteresis[q]:
                bucket -= 1
            b[q, i] = bucket
            packed += bucket * multiplier
            packed_interrupt += bucket * features.interrupt[k, q]
        if b[0, i] == UNKNOWN_BUCKET:  # it does not have the first feature, but has been looked at now
            b[0, i] = 0
        key[i] = packed
        interrupt_key[i] = packed_interrupt
        if packed_interrupt != plan_interrupt_key[i] and need[i] == 0:
            need[i] = NEED_INTERRUPT
