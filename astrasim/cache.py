"""The plan cache: for each (scope, key) met, the heuristic's plan, the model's if there is one, and who wants one.

Exact look-ups only, all inside the tick (``kernels/lookup.py``). What is near, or was saved, is looked up behind the
gateway (``recalling.py``) and put in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .gateway.policy import GatewayPolicy
from .kernels.lookup import (
    IN_FLIGHT,
    NEVER,
    ORDERED,
    RECALLED,
    WANTED,
    WAYS,
    Entries,
    find,
    find_all,
    put,
    tend,
)
from .kernels.packing import pack
from .kernels.wanting import keep_best, pick, raise_tier, unlooked, want

STALE_S = 10.0
"""A situation that nobody looked up for so long is not worth a request any more."""
TEND_S, TEND_MOST = 1.0, 16_384
"""In so long, all entries are looked after once; so many at a time at most."""
FAILURES = 5
FAILING_SHARE = 0.75
"""A plan is retired when so many of its steps failed, and so large a share of those that ended."""


class CacheStatistics(NamedTuple):
    """``distinct_keys`` counts entries ever made: exact until the first eviction, an upper bound after.

    ``wanted``: situations that wait to be asked about. ``unasked``: how many were dropped before they were, by reason:
    ``stale`` (nobody was in them for 10 s), ``crowded_out`` (more waited than may, and they deserved it least).
    ``expired``: plans that became too old; ``retired``: those whose steps kept failing.
    """

    entries: int
    capacity: int
    with_model_plan: int
    distinct_keys: int
    evictions: int
    top10_share: float
    wanted: int
    unasked: dict[str, int]
    expired: int
    retired: int


class Tended(NamedTuple):
    """Up to 64 entries whose plan was retired, and up to 64 whose plan was of use since they were tended last."""

    retired: NDArray[np.int32]
    used: NDArray[np.int32]


class PlanCache:
    """Fixed memory: ``capacity`` entries (rounded up to a multiple of 8); the least recently used of 8 makes room.

    All times are milliseconds of the simulation's clock.
    """

    def __init__(
        self, capacity: int, policy: GatewayPolicy | None = None, ttl_s: float | None = None, ttl_renews: bool = False
    ) -> None:
        """``ttl_s``: how long a model's plan may be used for; ``ttl_renews``: counted from its last use."""
        self._ttl_ms = None if ttl_s is None else int(ttl_s * 1000)
        self._renews = ttl_renews
        size = max(WAYS, -(-capacity // WAYS) * WAYS)
        # Full, not zeros: those get their memory from the system when they are first written to, twenty pages an entry,
        # which is to be here and not in a tick.
        self.entries = Entries(
            scope=np.full(size, 0, np.int32), key=np.full(size, 0, np.int64), used=np.full(size, -1, np.int64),
            heuristic=np.full(size, -1, np.int32), model=np.full(size, -1, np.int32),
            demand=np.full(size, 0, np.int32), tier=np.full(size, -1, np.int32),
            wanted_since=np.full(size, 0, np.int64), blocked=np.full(size, 0, np.int64),
            seen=np.full(size, 0, np.int64), flags=np.full(size, 0, np.uint8), level=np.full(size, 0, np.uint8),
            row=np.full(size, -1, np.int32), looked=np.full(size, -1, np.int64), look_ends=np.full(size, 0, np.int64),
            expires=np.full(size, NEVER, np.int64), failed=np.full(size, 0, np.int32), done=np.full(size, 0, np.int32),
        )  # fmt: skip
        self.packed = np.array(pack(self.entries))
        """As kernels take them."""
        policy = policy or GatewayPolicy()
        self._aging_ms, self._max_waiting = int(policy.aging_s * 1000), policy.max_waiting
        # Room for what comes within a tick; :meth:`crowd_out` then lets the best stay.
        self.wanted: NDArray[np.int32] = np.zeros(2 * policy.max_waiting, np.int32)
        self._worths: NDArray[np.int64] = np.zeros(len(self.wanted), np.int64)
        self.unasked = {"stale": 0, "crowded_out": 0}
        self.wanted_count = 0
        self.inserted = 0
        self.evictions = 0
        self.expired = self.retired = 0
        self._tended, self._tended_ms = 0, 0
        self._due, self._retired, self._used = (np.zeros(64, np.int32) for _ in range(3))

    def find(self, scope_id: int, key: int) -> int:
        """The entry of (scope, key), or -1."""
        return int(find(self.entries, scope_id, key))

    def find_all(self, situations: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """The entries of many (scope, key), or -1 each."""
        found = np.zeros(len(situations), np.int32)
        scopes, keys = zip(*situations, strict=True) if situations else ((), ())
        find_all(self.packed, np.array(scopes, np.int32), np.array(keys, np.int64), found)
        return found

    def put_heuristic(self, scope_id: int, key: int, plan: int, now_ms: int) -> int:
        """Remember the heuristic's plan for a situation; returns its entry, or -1 if there was no room for it."""
        entry, is_new, evicted = put(self.packed, scope_id, key, plan, now_ms)
        self.inserted += is_new
        self.evictions += evicted
        return int(entry)

    def pick(
        self, now_ms: int, may_ask: int = -1, stale_s: float = STALE_S, *, looks: bool = False, chooses: bool = False
    ) -> int:
        """Take the situation that most deserves a request, of those where the highest tier that waits is one of
        ``may_ask`` (a bit each); or -1. ``looks``: of those that were looked up in vain; ``chooses``: of those with a
        heuristic's plan."""
        entry, self.wanted_count, stale = pick(
            self.packed, self.wanted, self.wanted_count, now_ms, int(stale_s * 1000), self._aging_ms, may_ask, looks,
            chooses,
        )  # fmt: skip
        self.unasked["stale"] += int(stale)
        return int(entry)

    def due_looks(self, now_ms: int, again_ms: int, takes_ms: int) -> NDArray[np.int32]:
        """Up to 64 entries that are to be looked up behind the gateway now, which may take ``takes_ms``."""
        found = unlooked(
            self.packed, self.wanted, self.wanted_count, now_ms, again_ms, now_ms + takes_ms, self._due
        )
        return self._due[:found]

    def crowd_out(self, now_ms: int, most: int | None = None) -> bool:
        """Where more situations wait than may, let the half stay that deserves a request most.

        Args:
            most: how many may wait; default: as the policy says.

        Returns:
            whether more did.
        """
        most = self._max_waiting if most is None else most
        if self.wanted_count <= most:
            return False
        keep = (most + 1) // 2
        self.unasked["crowded_out"] += keep_best(
            self.packed, self.wanted, self.wanted_count, keep, now_ms, self._aging_ms, self._worths
        )
        self.wanted_count = keep
        return True

    def raise_tier(self, waits_for: NDArray[np.int32], tier: int, now_ms: int) -> None:
        """Agents who wait for the model's plan at these entries are of another tier now."""
        self.wanted_count = raise_tier(self.packed, waits_for, tier, self.wanted, self.wanted_count, now_ms)

    @property
    def is_crowded(self) -> bool:
        """Whether more situations wait than may; see :meth:`crowd_out`."""
        return self.wanted_count > self._max_waiting

    def hold(self, entry: int) -> None:
        """It was picked, and is to be asked about soon: it is not evicted meanwhile."""
        self.entries.flags[entry] |= IN_FLIGHT

    def let_go(self, entry: int) -> None:
        """It is not asked about."""
        self.entries.flags[entry] &= ~np.uint8(IN_FLIGHT)

    def put_back(self, entry: int) -> None:
        """It was picked, and could not be asked about now."""
        since = int(self.entries.wanted_since[entry])
        self.wanted_count = want(self.entries, entry, self.wanted, self.wanted_count, since)

    def forget_wanted(self) -> None:
        """Nobody wants the model's plan for any situation any more (it is another model now)."""
        self.entries.flags[self.wanted[: self.wanted_count]] &= ~np.uint8(WANTED | ORDERED)
        self.wanted_count = 0

    def sent(self, entry: int) -> None:
        """A request for this entry is under way: it is neither wanted again nor evicted."""
        self.entries.flags[entry] = self.entries.flags[entry] & ~np.uint8(ORDERED) | np.uint8(IN_FLIGHT)
        self.entries.demand[entry], self.entries.tier[entry] = 0, -1

    def answered(self, entry: int, plan: int, now_ms: int = 0) -> None:
        """The model's plan for this entry came. It stays in flight until it was handed out to those who wait for it."""
        e = self.entries
        e.model[entry], e.level[entry] = plan, 0
        e.flags[entry] &= ~np.uint8(RECALLED | WANTED)
        e.failed[entry] = e.done[entry] = 0
        e.expires[entry] = NEVER if self._ttl_ms is None else now_ms + self._ttl_ms

    def recalled(self, entry: int, plan: int, level: int, expires_ms: int | None) -> None:
        """A plan for this entry was known behind the gateway, which may be used until ``expires_ms``. In flight until
        it was handed out."""
        self.sent(entry)
        self.answered(entry, plan)
        e = self.entries
        e.level[entry], e.expires[entry] = level, NEVER if expires_ms is None else expires_ms
        e.flags[entry] |= RECALLED

    def withdraw(self, level: int, scopes: Sequence[int]) -> None:
        """Give up all plans of this level in these scopes: too many of them turned out to be wrong."""
        e = self.entries
        lent = np.flatnonzero((e.level == level) & (e.model >= 0) & np.isin(e.scope, np.array(scopes, np.int32)))
        e.model[lent] = e.looked[lent] = -1

    def tend(self, now_ms: int) -> Tended:
        """Look after the entries whose turn it is: plans that are too old or keep failing are given up."""
        size = len(self.entries.key)
        share = min(1.0, (now_ms - self._tended_ms) / (TEND_S * 1000))
        self._tended_ms = now_ms
        first = self._tended % size
        last = self._tended = min(size, first + min(ceil(size * share), TEND_MOST))
        renews_ms = int(NEVER) if self._ttl_ms is None or not self._renews else self._ttl_ms
        expired, retired, used = tend(
            self.packed, first, last, now_ms, now_ms - int(TEND_S * 1000), renews_ms, FAILURES, FAILING_SHARE,
            self._retired, self._used,
        )  # fmt: skip
        self.expired += expired
        self.retired += retired
        return Tended(self._retired[:retired], self._used[:used])

    def handed_out(self, entries: NDArray[np.int32]) -> None:
        """The plans of these entries reached all who waited for them."""
        self.entries.flags[entries] &= ~np.uint8(IN_FLIGHT)

    def unanswered(self, entry: int, blocked_until_ms: int) -> None:
        """No plan came: a negative entry, not asked about again before the time given."""
        self.entries.flags[entry] &= ~np.uint8(IN_FLIGHT)
        self.entries.blocked[entry] = blocked_until_ms

    def waiting(self) -> int:
        """How many situations wait to be asked about, for somebody."""
        return int((self.entries.tier[self.wanted[: self.wanted_count]] >= 0).sum())

    def statistics(self) -> CacheStatistics:
        """Counts; walks the whole cache, so call it between frames or rarely."""
        used = self.entries.used >= 0
        seen = self.entries.seen[used]
        top = np.sort(seen)[-10:].sum()
        return CacheStatistics(
            entries=int(used.sum()),
            capacity=len(used),
            with_model_plan=int((self.entries.model[used] >= 0).sum()),
            distinct_keys=self.inserted,
            evictions=self.evictions,
            top10_share=float(top / seen.sum()) if seen.sum() else 0.0,
            wanted=self.waiting(),
            unasked=dict(self.unasked),
            expired=self.expired,
            retired=self.retired,
        )
