"""From columns to situations: buckets with hysteresis, packed into keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH

NEED_INTERRUPT = 2

UNKNOWN_BUCKET = 255

CHUNK = 256


class FeatureTable(NamedTuple):
    """Features as numbers. ``edges[f, :edge_count[f]]`` rise; ``multiplier[k, f]`` is 0 where kind k lacks feature f.

    ``common[f]``: whether all kinds have the same multiplier. ``interrupt[f]``: whether it is an interrupt feature.
    """

    column: NDArray[np.int32]
    edges: NDArray[np.float32]
    edge_count: NDArray[np.int32]
    hysteresis: NDArray[np.float32]
    multiplier: NDArray[np.int64]
    common: NDArray[np.uint8]
    interrupt: NDArray[np.uint8]


@njit(cache=True, inline="always")
def is_new(b: NDArray[np.uint8], i: int) -> bool:
    """Whether agent ``i`` was never looked at; an agent must not plan for a situation that nobody has seen."""
    return b[0, i] == UNKNOWN_BUCKET  # the table of buckets has a first row even where there are no features


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
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

    Goes through the agents in chunks, and through a chunk once for each feature and edge, in loops without branches.
    """
    rows = np.empty(CHUNK, np.int64)
    value, factor = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int64)
    before, rise, fall = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32)
    packed, packed_interrupt = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64)
    i = 0
    while i < count:
        first, m = i, 0
        if every == 1:
            m = min(CHUNK, count - first)
            i += m
        else:
            while i < count and m < CHUNK:
                if (uid[i] + phase) % every == 0 or is_new(b, i):
                    rows[m] = i
                    m += 1
                i += 1
            if m == 0:
                break
            first = rows[0]
        kinds = kind[first : i]
        alike = True
        for k in range(len(kinds)):
            alike &= kinds[k] == kinds[0]
        packed[:] = 0
        packed_interrupt[:] = 0
        for q in range(len(features.column)):
            number = features.multiplier[kinds[0], q]
            if alike or features.common[q]:
                if number == 0:
                    continue
                factor[:m] = number
            else:
                for k in range(m):
                    factor[k] = features.multiplier[kind[first + k if every == 1 else rows[k]], q]
            column, buckets, edges = f[features.column[q]], b[q], features.edge_count[q]
            if every == 1:
                value[:m] = column[first : first + m]
                before[:m] = buckets[first : first + m]
            else:
                for k in range(m):
                    value[k], before[k] = column[rows[k]], buckets[rows[k]]
            rise[:m] = 0
            fall[:m] = 0
            for e in range(edges):
                edge = features.edges[q, e]
                low = edge - features.hysteresis[q]
                for k in range(m):
                    rise[k] += value[k] >= edge
                    fall[k] += value[k] >= low
            for k in range(m):
                old = before[k] if before[k] <= edges else np.int32(0)  # never looked at: it rises from the lowest
                new = min(max(old, rise[k]), fall[k])
                packed[k] += new * factor[k]
                before[k] = new if factor[k] != 0 else before[k]
            if features.interrupt[q]:
                for k in range(m):
                    packed_interrupt[k] += before[k] * factor[k]
            if every == 1:
                for k in range(m):
                    buckets[first + k] = before[k]
            else:
                for k in range(m):
                    buckets[rows[k]] = before[k]
        for k in range(m):
            at = first + k if every == 1 else rows[k]
            if b[0, at] == UNKNOWN_BUCKET:  # it does not have the first feature, but has been looked at now
                b[0, at] = 0
            key[at] = packed[k]
            interrupt_key[at] = packed_interrupt[k]
            if packed_interrupt[k] != plan_interrupt_key[at] and need[at] == 0:
                need[at] = NEED_INTERRUPT
