"""Who waits for a model's answer, and what a model that only chooses may choose from for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .columns import HEURISTIC
from .compiling import kernel
from .lookup import IN_FLIGHT, WAITED_FOR
from .planning import is_legal, unpack


@kernel
def legal_steps(packed: NDArray[np.int64], count: int, entry: int, plan: int, waiting: bool) -> int:
    """The steps of ``plan`` that could start now, as bits (bit 0 for step 0): for any of those of the first ``count``
    agents who got their plan at cache entry ``entry`` (and wait for the model's, if ``waiting``), or for nobody (0
    then) if nobody did."""
    agents, things, actions, targets, plans, _ = unpack(packed)
    legal = 0
    every = (1 << plans.length[plan]) - 1
    for i in range(count):
        if agents.entry[i] != entry or (waiting and agents.source[i] != HEURISTIC):
            continue
        for s in range(plans.length[plan]):
            bit = 1 << s
            if legal & bit == 0 and is_legal(
                agents, things, actions, targets, i, np.int64(plans.action[plan, s]), np.int64(plans.target[plan, s])
            ):
                legal |= bit
        if legal == every:
            break
    return legal


@kernel
def mark_waiting(
    entry: NDArray[np.int32], source: NDArray[np.uint8], plan_key: NDArray[np.int64], scope: NDArray[np.int32],
    flags: NDArray[np.uint8], keys: NDArray[np.int64], scopes: NDArray[np.int32], first: int, last: int,
) -> None:  # fmt: skip
    """Mark the entries whose request one of the agents ``first`` to ``last`` waits for as WAITED_FOR.

    Args:
        entry, source, plan_key, scope: columns of the agent table.
        flags, keys, scopes: columns of the cache. (To hand over both tables whole costs more than the work.)
    """
    for i in range(first, last):
        e = entry[i]
        if e < -1:
            e = -2 - e  # its plan ended, and it may well be in the same situation still
        elif source[i] != HEURISTIC:
            continue
        if e >= 0 and flags[e] & IN_FLIGHT and keys[e] == plan_key[i] and scopes[e] == scope[i]:
            flags[e] |= WAITED_FOR
