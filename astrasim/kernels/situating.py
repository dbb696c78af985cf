"""From columns to situations: buckets with hysteresis, packed into keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH

NEED_INTERRUPT = 2


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

    A value leaves its bucket only when it is past the edge by the feature's hysteresis. A value that is no number goes
    to bucket 0.
    """
    for i in range(count):
        if every > 1 and (uid[i] + phase) % every != 0:
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
            old = np.int64(b[q, i])
            bucket = 0
            while bucket < edges and value >= features.edges[q, bucket]:
                bucket += 1
            if old <= edges and old != bucket:
                margin = features.hysteresis[q]
                if bucket > old:
                    while bucket > old and value < features.edges[q, bucket - 1] + margin:
                        bucket -= 1
                else:
                    while bucket < old and value >= features.edges[q, bucket] - margin:
                        bucket += 1
            b[q, i] = bucket
            packed += bucket * multiplier
            packed_interrupt += bucket * features.interrupt[k, q]
        key[i] = packed
        interrupt_key[i] = packed_interrupt
        if packed_interrupt != plan_interrupt_key[i] and need[i] == 0:
            need[i] = NEED_INTERRUPT
