"""The list of situations that are wanted: those about which a model should be asked, one element a cache entry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiling import Int, kernel
from .lanes import fetch
from .lookup import AHEAD, IN_FLIGHT, ORDERED, ORDERS, WANTED, WAYS, Entries, unpack


@kernel
def want(entries: Entries, e: Int, wanted: NDArray[np.int32], count: int, now: int) -> int:
    """Put entry ``e`` on the list ``wanted[:count]``, unless it is there; returns the new count.

    If the list is full, ``e`` takes the place of one that deserves a request less, if the one looked at (another each
    time) does: a hero gets in, however many situations of minions came first.
    """
    if entries.flags[e] & WANTED:
        return count
    at = count
    if count == len(wanted):
        at = (e + entries.seen[e]) % count
        other = wanted[at]
        if entries.flags[other] & WANTED and entries.flags[e] & ORDERED == 0:
            if (entries.tier[other], entries.demand[other]) >= (entries.tier[e], entries.demand[e]):
                return count
        entries.flags[other] &= ~np.uint8(WANTED | ORDERED)
        count -= 1
    entries.flags[e] |= WANTED
    entries.wanted_since[e] = now
    wanted[at] = e
    return count + 1


@kernel
def raise_tier(
    packed: NDArray[np.int64], waits_for: NDArray[np.int32], tier: int, wanted: NDArray[np.int32], count: int, now: int
) -> int:
    """Agents who wait for the model's plan at the entries ``waits_for`` are of another ``tier`` now: let that count.
    Returns the new length of ``wanted``."""
    (entries,) = unpack(packed)
    for e in waits_for:
        entries.tier[e] = max(entries.tier[e], tier)
        entries.used[e] = now
        if entries.flags[e] & IN_FLIGHT == 0:
            count = want(entries, np.int64(e), wanted, count, now)
    return count


@kernel
def worth(entries: Entries, e: int, now: int, aging: int) -> np.int64:
    """How much entry ``e`` deserves a request: a new order first, then by tier, demand and age. Each ``aging`` ms that
    it has waited count as a tier, so that whoever keeps wanting it is heard in the end. One that nobody may ask about
    comes last."""
    most = np.int64((1 << 24) - 1)
    if entries.tier[e] < 0:
        return min(np.int64(entries.demand[e]), most)
    waited = now - entries.wanted_since[e]
    tier = np.int64(entries.tier[e]) + min(waited // aging, np.int64(1 << 13))
    if entries.flags[e] & ORDERED:
        tier += 1 << 14
    return (tier << 48) | (min(np.int64(entries.demand[e]), most) << 24) | min(waited, most)


@kernel
def keep_best(
    packed: NDArray[np.int64], wanted: NDArray[np.int32], count: int, keep: int, now: int, aging: int,
    worths: NDArray[np.int64],
) -> int:  # fmt: skip
    """Bring the ``keep`` of ``wanted[:count]`` that deserve a request most to its beginning (Hoare's quickselect); the
    others are not wanted any more.

    Args:
        worths: room for ``count`` numbers.

    Returns:
        how many of those somebody might have asked about.
    """
    (entries,) = unpack(packed)
    for i in range(count):
        if i + AHEAD < count:
            _fetch_worth(entries, wanted[i + AHEAD])
        e = wanted[i]
        worths[i] = worth(entries, e, now, aging) if entries.flags[e] & WANTED else -1
    low, high = 0, count - 1
    while low < high:
        pivot, i, j = worths[(low + high) // 2], low, high
        while i <= j:
            while worths[i] > pivot:
                i += 1
            while worths[j] < pivot:
                j -= 1
            if i <= j:
                worths[i], worths[j] = worths[j], worths[i]
                wanted[i], wanted[j] = wanted[j], wanted[i]
                i, j = i + 1, j - 1
        if keep <= j:
            high = j
        elif keep >= i:
            low = i
        else:
            break
    dropped = 0
    for i in range(keep, count):
        entries.flags[wanted[i]] &= ~np.uint8(WANTED | ORDERED)
        dropped += entries.tier[wanted[i]] >= 0
    for i in range(keep):
        if worths[i] >= 0:  # one that was evicted and wanted anew is on the list twice
            entries.flags[wanted[i]] |= WANTED
    return dropped


@kernel
def unlooked(
    packed: NDArray[np.int64], wanted: NDArray[np.int32], count: int, now: int, again: int, ends: int,
    out: NDArray[np.int32],
) -> int:  # fmt: skip
    """Write those of ``wanted[:count]`` to ``out`` that are due to be looked up behind the gateway, high tiers first:
    those that never were, or not for ``again`` ms. They may take until ``ends``.

    Returns:
        how many there are, at most ``len(out)``.
    """
    (entries,) = unpack(packed)
    found = 0
    for minions in range(2):
        for at in range(count):
            if found == len(out):
                return found
            e = wanted[at]
            due = entries.looked[e] < 0 or entries.looked[e] <= now - again
            if due and entries.flags[e] & WANTED and entries.flags[e] & IN_FLIGHT == 0 and (
                (entries.tier[e] <= 0 and entries.flags[e] & ORDERED == 0) == (minions == 1)
            ):
                entries.looked[e], entries.look_ends[e] = now, ends
                out[found] = e
                found += 1
    return found


@kernel
def _fetch_worth(entries: Entries, e: int) -> None:
    """Have what :func:`worth` and :func:`pick` will need of entry ``e`` brought near the processor: those that are
    wanted are far apart, and a thousand of them may be."""
    fetch(entries.flags, e)
    fetch(entries.used, e)
    fetch(entries.blocked, e)
    fetch(entries.tier, e)
    fetch(entries.demand, e)
    fetch(entries.wanted_since, e)


@kernel
def pick(
    packed: NDArray[np.int64], wanted: NDArray[np.int32], count: int, now: int, stale: int, aging: int, may_ask: int,
    looks: bool, chooses: bool,
) -> tuple[int, int, int]:  # fmt: skip
    """Take the entry that most deserves a request out of ``wanted[:count]``, of those whose tier is a bit of
    ``may_ask``, for a new order that many bits above ``ORDERS``.

    Entries that were evicted, or that nobody looked up for ``stale`` ms, are dropped on the way. Half of each set stays
    free of requests, so that there is always room for new situations. If entries are looked up behind the gateway
    (``looks``), those that were not, or of which nothing is known yet, wait; and if the model ``chooses``, those for
    which no heuristic was called yet: it would have nothing to choose from.

    Returns:
        (entry or -1, the new count, how many were dropped that somebody might have asked about).
    """
    (entries,) = unpack(packed)
    best, best_at, best_rank = -1, -1, np.int64(-1)
    at = dropped = 0
    while at < count:
        if at + AHEAD < count:
            _fetch_worth(entries, wanted[at + AHEAD])
        e = wanted[at]
        if entries.flags[e] & WANTED == 0 or entries.used[e] < now - stale:
            entries.flags[e] &= ~np.uint8(WANTED | ORDERED)
            dropped += entries.tier[e] >= 0
            count -= 1
            wanted[at] = wanted[count]
            continue
        known = not looks or (entries.looked[e] >= 0 and entries.look_ends[e] <= now)
        known = known and (not chooses or entries.heuristic[e] >= 0)
        tier = entries.tier[e]
        mask = may_ask | may_ask >> ORDERS if entries.flags[e] & ORDERED else may_ask
        if entries.blocked[e] <= now and tier >= 0 and mask >> tier & 1 and known:
            rank = worth(entries, e, now, aging)
            if rank > best_rank and _in_flight_beside(entries, e) < WAYS // 2:
                best, best_at, best_rank = e, at, rank
        at += 1
    if best >= 0:
        count -= 1
        wanted[best_at] = wanted[count]
        entries.flags[best] &= ~np.uint8(WANTED)
    return best, count, dropped


@kernel
def _in_flight_beside(entries: Entries, e: int) -> int:
    first = e - e % WAYS
    found = 0
    for other in range(first, first + WAYS):
        found += entries.flags[other] & IN_FLIGHT != 0
    return found
