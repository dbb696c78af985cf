"""From columns to situations: buckets with hysteresis, packed into keys."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH
from .sharing import block_done, take_block, wait_for_blocks

NEED_INTERRUPT = 2

UNKNOWN_BUCKET = 255

CHUNK = 256
BLOCK = 8 * CHUNK
"""Rows of which two threads take the next."""


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
def _read(
    column: NDArray[Any], rows: NDArray[np.int64], one_by_one: bool, first: int, m: int, to: NDArray[Any]
) -> None:
    """Copy those of ``column`` in the chunk: ``rows[:m]``, or if not one by one, the m from ``first`` on."""
    if one_by_one:
        for k in range(m):
            to[k] = column[rows[k]]
    else:
        part = column[first : first + m]  # numba copies a slice one by one
        for k in range(m):
            to[k] = part[k]


@njit(cache=True, inline="always")
def _write(
    column: NDArray[Any], rows: NDArray[np.int64], one_by_one: bool, first: int, m: int, new: NDArray[Any]
) -> None:
    """The reverse of :func:`_read`."""
    if one_by_one:
        for k in range(m):
            column[rows[k]] = new[k]
    else:
        part = column[first : first + m]
        for k in range(m):
            part[k] = new[k]


@njit(cache=True, error_model="numpy")
def write_vectors(
    f: NDArray[np.float32], scope: NDArray[np.int32], key: NDArray[np.int64], kind: NDArray[np.int16],
    rows: NDArray[np.int32], scopes: NDArray[np.int32], keys: NDArray[np.int64], features: FeatureTable,
    out: NDArray[np.float32], widths: NDArray[np.int32],
) -> None:  # fmt: skip
    """Write the vectors of agents to ``out``, shape (rows, features): see :func:`_write_vector`. ``widths`` becomes the
    number of features of each, 0 for an agent that is not in the situation (``scopes``, ``keys``) any more: rows move
    when agents die."""
    for k in range(len(rows)):
        i, widths[k] = rows[k], 0
        if 0 <= i < len(scope) and scope[i] == scopes[k] and key[i] == keys[k]:
            widths[k] = _write_vector(f, i, kind[i], features, out[k])


@njit(cache=True, error_model="numpy")
def _write_vector(
    f: NDArray[np.float32], row: int, kind: int, features: FeatureTable, out: NDArray[np.float32]
) -> int:
    """Write an agent's vector: for each feature of its kind, where the value stands among the buckets, 0 to 1, linear
    in each, the outer ones as wide as their neighbour. What is no number stands at 0. Returns how many there are."""
    width = 0
    for q in range(len(features.column)):
        if features.multiplier[kind, q] == 0:
            continue
        last = features.edge_count[q] - 1
        edges = features.edges[q]
        lowest = edges[1] - edges[0] if last > 0 else max(abs(edges[0]), np.float32(1))
        highest = edges[last] - edges[last - 1] if last > 0 else lowest
        value = f[features.column[q], row]
        at = np.float64(0)
        if value >= edges[last]:
            at = last + 1 + min((value - edges[last]) / highest, 1.0)
        elif value >= edges[0]:
            b = 0
            while value >= edges[b + 1]:
                b += 1
            at = b + 1 + (value - edges[b]) / (edges[b + 1] - edges[b])
        elif value > edges[0] - lowest:
            at = (value - edges[0] + lowest) / lowest
        out[width] = at / (last + 2)
        width += 1
    return width


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def situate(
    f: NDArray[np.float32],
    b: NDArray[np.uint8],
    kind: NDArray[np.int16],
    key: NDArray[np.int64],
    interrupt_key: NDArray[np.int64],
    plan_interrupt_key: NDArray[np.int64],
    need: NDArray[np.uint8],
    looking: NDArray[np.int64],
    features: FeatureTable,
    counters: NDArray[np.int64],
) -> None:
    """Write bucket, key and interrupt key of the agents ``looking``, and flag those whose plan is interrupted.

    ``looking`` are rows, and rise. A value at an edge or above rises past it; it falls back only when it is below the
    edge by more than the feature's hysteresis. One that is no number goes to bucket 0.

    Goes through the agents in chunks, and through a chunk once for each feature and edge, in loops without branches.
    """
    value, factor = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int64)
    bucket, rise, fall = np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8), np.empty(CHUNK, np.uint8)
    packed, packed_interrupt = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64)
    planned, needs = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.uint8)
    blocks = (len(looking) + BLOCK - 1) // BLOCK
    block = take_block(counters, 0)
    while block < blocks:
        for begin in range(block * BLOCK, min(block * BLOCK + BLOCK, len(looking)), CHUNK):
            rows = looking[begin : begin + CHUNK]
            first, m = rows[0], len(rows)
            sparse = rows[m - 1] - first >= m
            kinds = kind[first : rows[m - 1] + 1]
            alike = True
            for k in range(len(kinds)):
                alike &= kinds[k] == kinds[0]
            packed[:m] = 0
            packed_interrupt[:m] = 0
            for q in range(len(features.column)):
                if alike or features.common[q]:
                    multiplier = features.multiplier[kinds[0], q]
                    if multiplier == 0:
                        continue
                    factor[:m] = multiplier
                else:
                    for k in range(m):
                        factor[k] = features.multiplier[kind[rows[k] if sparse else first + k], q]
                _read(f[features.column[q]], rows, sparse, first, m, value)
                _read(b[q], rows, sparse, first, m, bucket)
                rise[:m] = 0
                fall[:m] = 0
                last = np.uint8(features.edge_count[q])
                for e in range(last):
                    edge = features.edges[q, e]
                    low = edge - features.hysteresis[q]
                    for k in range(m):
                        rise[k] += value[k] >= edge
                        fall[k] += value[k] >= low
                for k in range(m):
                    before = bucket[k] if bucket[k] <= last else np.uint8(0)  # never looked at: from the lowest
                    new = min(max(before, rise[k]), fall[k])
                    packed[k] += new * factor[k]
                    bucket[k] = new if factor[k] != 0 else bucket[k]
                if features.interrupt[q]:
                    for k in range(m):
                        packed_interrupt[k] += bucket[k] * factor[k]
                _write(b[q], rows, sparse, first, m, bucket)
            _read(plan_interrupt_key, rows, sparse, first, m, planned)
            _read(need, rows, sparse, first, m, needs)
            for k in range(m):
                needs[k] = NEED_INTERRUPT if (packed_interrupt[k] != planned[k]) & (needs[k] == 0) else needs[k]
            _write(key, rows, sparse, first, m, packed)
            _write(interrupt_key, rows, sparse, first, m, packed_interrupt)
            _write(need, rows, sparse, first, m, needs)
        block_done(counters, 0)
        block = take_block(counters, 0)
    wait_for_blocks(counters, 0, blocks)


@njit(cache=True, nogil=True)
def situate_together(
    f: NDArray[np.float32],
    b: NDArray[np.uint8],
    kind: NDArray[np.int16],
    key: NDArray[np.int64],
    interrupt_key: NDArray[np.int64],
    plan_interrupt_key: NDArray[np.int64],
    need: NDArray[np.uint8],
    looking: NDArray[np.int64],
    features: FeatureTable,
    counters: NDArray[np.int64],
) -> None:
    """:func:`situate`, on as many threads as call it with the same arguments."""
    situate(f, b, kind, key, interrupt_key, plan_interrupt_key, need, looking, features, counters)
