"""The situation cache in numbers: (scope, key) → entry, set-associative with 8 ways.

An entry has a fixed place, the least recently used of a set makes room, and nothing is ever rebuilt: every operation
touches eight entries at most, whatever the size. Entries with a request in flight stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiling import Int, kernel
from .lanes import fetch
from .packing import unpacks

WAYS = 8
AHEAD = 8
WANTED, IN_FLIGHT, WAITED_FOR, RECALLED, ORDERED = 1, 2, 4, 8, 16
EXACT, NEAR, BY_ORDER = range(3)
NEVER = np.int64(1 << 62)
ORDERS = 16
"""In a mask of the tiers that may ask, this bit and those above say which may ask about a new order."""


class Entries(NamedTuple):
    """Columns of the cache, one element an entry.

    Times are milliseconds of the simulation's clock. ``used``: time of the last look-up, -1 for an empty entry.
    ``heuristic`` and ``model``: plan numbers, -1 for none. ``demand``: look-ups that a heuristic, or a stopgap in its
    place, had to serve since the last request. ``tier``: the highest tier among those that ask models, -1 for none.
    ``wanted_since``: when it was put on the list of wanted ones. ``blocked``: the time before which no further request
    is made (a negative entry). ``seen``: look-ups ever. ``flags``: WANTED; IN_FLIGHT from asking until the answer was
    handed out, so that an entry for which agents wait is never used anew for another situation; WAITED_FOR is a mark of
    :mod:`astrasim.unwanted`; RECALLED if the model's plan was not asked for here but known behind the gateway; ORDERED
    if an agent with a new order waits to be asked about.
    ``level``: how the model's plan was found (EXACT, NEAR, BY_ORDER). ``row``: of the last agent that had to be served
    so. ``looked``: when it was last looked up behind the gateway, -1 for never; ``look_ends``: until when that
    may take. ``expires``: when the model's plan does. ``failed`` and ``done``: how steps of the model's plan ended.
    """

    scope: NDArray[np.int32]
    key: NDArray[np.int64]
    used: NDArray[np.int64]
    heuristic: NDArray[np.int32]
    model: NDArray[np.int32]
    demand: NDArray[np.int32]
    tier: NDArray[np.int32]
    wanted_since: NDArray[np.int64]
    blocked: NDArray[np.int64]
    seen: NDArray[np.int64]
    flags: NDArray[np.uint8]
    level: NDArray[np.uint8]
    row: NDArray[np.int32]
    looked: NDArray[np.int64]
    look_ends: NDArray[np.int64]
    expires: NDArray[np.int64]
    failed: NDArray[np.int32]
    done: NDArray[np.int32]


unpack: Callable[[NDArray[np.int64]], tuple[Entries]] = unpacks(Entries)
"""In a kernel that is called with the cache's entries packed."""


@kernel
def mixed(scope: Int, key: Int) -> np.uint64:
    """A number for (scope, key) in which every bit depends on all of theirs."""
    h = np.uint64(key) ^ (np.uint64(scope) * np.uint64(0x9E3779B97F4A7C15))
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # the finaliser of splitmix64
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@kernel
def _first_way(scope: Int, key: Int, size: int) -> np.int64:
    return np.int64(mixed(scope, key) % np.uint64(size // WAYS)) * WAYS


@kernel
def find(entries: Entries, scope: Int, key: Int) -> int:
    """The entry of (scope, key), or -1."""
    first = _first_way(scope, key, len(entries.key))
    for e in range(first, first + WAYS):
        if entries.used[e] >= 0 and entries.key[e] == key and entries.scope[e] == scope:
            return e
    return -1


@kernel
def fetch_entry(entries: Entries, scope: Int, key: Int) -> None:
    """Have what :func:`find` and serving will need of (scope, key) brought near the processor: eight ways of a column
    are in one line of its cache, so that it need not be known which of them it is."""
    first = _first_way(scope, key, len(entries.key))
    fetch(entries.used, first)
    fetch(entries.key, first)
    fetch(entries.scope, first)
    fetch(entries.heuristic, first)
    fetch(entries.model, first)
    fetch(entries.seen, first)
    fetch(entries.demand, first)
    fetch(entries.tier, first)
    fetch(entries.row, first)
    fetch(entries.blocked, first)
    fetch(entries.flags, first)
    fetch(entries.level, first)


@kernel
def find_all(
    packed: NDArray[np.int64], scopes: NDArray[np.int32], keys: NDArray[np.int64], out: NDArray[np.int32]
) -> None:
    """The entries of many (scope, key), or -1 each."""
    (entries,) = unpack(packed)
    for k in range(len(keys)):
        out[k] = find(entries, np.int64(scopes[k]), keys[k])


@kernel
def put(packed: NDArray[np.int64], scope: Int, key: Int, plan: int, now: int) -> tuple[int, bool, bool]:
    """Remember the heuristic's ``plan`` for (scope, key).

    Returns:
        (its entry, whether it is a new one, whether another had to go). -1 if its set is all in flight.
    """
    (entries,) = unpack(packed)
    e, is_new, evicted = find(entries, scope, key), False, False
    if e < 0:
        e, evicted = insert(entries, scope, key, now)
        is_new = e >= 0
    if e >= 0:
        entries.heuristic[e] = plan
    return e, is_new, evicted


@kernel
def insert(entries: Entries, scope: Int, key: Int, now: int) -> tuple[int, bool]:
    """A fresh entry for (scope, key), which has none, and whether another had to go. -1 if its set is all in flight."""
    first = _first_way(scope, key, len(entries.key))
    best = -1
    for e in range(first, first + WAYS):
        if entries.used[e] < 0:
            best = e
            break
        if entries.flags[e] & IN_FLIGHT == 0 and (best < 0 or entries.used[e] < entries.used[best]):
            best = e
    if best < 0:
        return -1, False
    evicted = entries.used[best] >= 0
    entries.scope[best], entries.key[best], entries.used[best] = scope, key, now
    entries.heuristic[best] = entries.model[best] = -1
    entries.demand[best], entries.tier[best] = 0, -1
    entries.blocked[best] = entries.seen[best] = entries.flags[best] = entries.level[best] = 0
    entries.row[best] = entries.looked[best] = -1
    entries.look_ends[best] = entries.failed[best] = entries.done[best] = 0
    entries.expires[best] = NEVER
    entries.wanted_since[best] = now
    return best, evicted


@kernel
def tend(
    packed: NDArray[np.int64], first: int, last: int, now: int, lately: int, renews: int, failures: int, failing: float,
    retired: NDArray[np.int32], used: NDArray[np.int32],
) -> tuple[int, int, int]:  # fmt: skip
    """Look after ``entries[first:last]``: give up the model's plans that are too old, and those of which at least
    ``failures`` steps, and a share of ``failing`` of all that ended, failed.

    Args:
        renews: for how long a use makes a plan good again, ms; NEVER: it does not.
        retired: gets the entries whose plan failed; no more are given up than it has room for.
        used: gets entries whose plan was of use since ``lately``, as many as it has room for.

    Returns:
        how many expired, were retired, were of use.
    """
    (entries,) = unpack(packed)
    expired = failed = useful = 0
    for e in range(first, last):
        if entries.model[e] < 0 or entries.flags[e] & IN_FLIGHT:
            continue
        if renews < NEVER and entries.expires[e] < NEVER:
            entries.expires[e] = max(entries.expires[e], entries.used[e] + renews)
        ended = entries.failed[e] + entries.done[e]
        if entries.expires[e] <= now:
            entries.model[e] = entries.looked[e] = -1
            expired += 1
        elif failed < len(retired) and entries.failed[e] >= failures and entries.failed[e] >= failing * ended:
            entries.model[e] = entries.looked[e] = -1
            retired[failed] = e
            failed += 1
        elif useful < len(used) and entries.used[e] > lately:
            used[useful] = e
            useful += 1
        if ended > 64:  # what was long ago counts less
            entries.failed[e] //= 2
            entries.done[e] //= 2
    return expired, failed, useful
