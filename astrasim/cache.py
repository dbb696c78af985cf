"""The plan cache: for each (scope, key) met, the heuristic's plan, the model's if there is one, and who wants one.

Exact look-ups only, all inside the tick (``kernels/lookup.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .gateway.policy import GatewayPolicy
from .kernels.lookup import IN_FLIGHT, WANTED, WAYS, Entries, find, insert, pick, want, worths

STALE_S = 10.0
"""A situation that nobody looked up for so long is not worth a request any more."""


class CacheStatistics(NamedTuple):
    """``distinct_keys`` counts entries ever made: exact until the first eviction, an upper bound after.

    ``wanted``: situations that wait to be asked about. ``unasked``: how many were dropped before they were, by reason:
    ``stale`` (nobody was in them for 10 s), ``crowded_out`` (more waited than may, and they deserved it least).
    """

    entries: int
    capacity: int
    with_model_plan: int
    distinct_keys: int
    evictions: int
    top10_share: float
    wanted: int
    unasked: dict[str, int]


class PlanCache:
    """Fixed memory: ``capacity`` entries (rounded up to a multiple of 8); the least recently used of 8 makes room.

    All times are milliseconds of the simulation's clock.
    """

    def __init__(self, capacity: int, policy: GatewayPolicy | None = None) -> None:
        size = max(WAYS, -(-capacity // WAYS) * WAYS)
        self.entries = Entries(
            scope=np.zeros(size, np.int32), key=np.zeros(size, np.int64), used=np.full(size, -1, np.int64),
            heuristic=np.full(size, -1, np.int32), model=np.full(size, -1, np.int32), demand=np.zeros(size, np.int32),
            tier=np.zeros(size, np.int32), wanted_since=np.zeros(size, np.int64), blocked=np.zeros(size, np.int64),
            arrival=np.full(size, -1, np.int32), seen=np.zeros(size, np.int64), flags=np.zeros(size, np.uint8),
        )  # fmt: skip
        policy = policy or GatewayPolicy()
        self._aging_ms, self._max_waiting = int(policy.aging_s * 1000), policy.max_waiting
        # Room for what comes within a tick; :meth:`crowd_out` then lets the best stay.
        self.wanted: NDArray[np.int32] = np.zeros(2 * policy.max_waiting, np.int32)
        self.unasked = {"stale": 0, "crowded_out": 0}
        self.wanted_count = 0
        self.inserted = 0
        self.evictions = 0

    def find(self, scope_id: int, key: int) -> int:
        """The entry of (scope, key), or -1."""
        return int(find(self.entries, scope_id, key))

    def put_heuristic(self, scope_id: int, key: int, plan: int, now_ms: int) -> int:
        """Remember the heuristic's plan for a situation; returns its entry, or -1 if there was no room for it."""
        entry = self.find(scope_id, key)
        if entry < 0:
            entry, evicted = insert(self.entries, scope_id, key, now_ms)
            if entry < 0:
                return -1
            self.inserted += 1
            self.evictions += evicted
        self.entries.heuristic[entry] = plan
        return int(entry)

    def pick(self, now_ms: int, least_tier: int = 0, stale_s: float = STALE_S) -> int:
        """Take the situation that most deserves a request, of those where somebody of ``least_tier`` waits; or -1."""
        before = self.wanted_count
        entry, self.wanted_count = pick(
            self.entries, self.wanted, before, now_ms, int(stale_s * 1000), self._aging_ms, least_tier
        )
        self.unasked["stale"] += before - self.wanted_count - (entry >= 0)
        return int(entry)

    def crowd_out(self, now_ms: int, most: int | None = None) -> None:
        """Where more situations wait than may, let the half stay that deserves a request most.

        Args:
            most: how many may wait; default: as the policy says.
        """
        most = self._max_waiting if most is None else most
        if self.wanted_count <= most:
            return
        waiting, keep = self.wanted[: self.wanted_count], (most + 1) // 2
        worth = np.empty(len(waiting), np.int64)
        worths(self.entries, waiting, now_ms, self._aging_ms, worth)
        order = np.argsort(-worth, kind="stable")
        dropped = waiting[order[keep:]]
        self.entries.flags[dropped] &= ~np.uint8(WANTED)
        self.unasked["crowded_out"] += len(dropped)
        self.wanted[:keep] = waiting[order[:keep]]
        self.wanted_count = keep

    def put_back(self, entry: int) -> None:
        """It was picked, and could not be asked about now."""
        since = int(self.entries.wanted_since[entry])
        self.wanted_count = want(self.entries, entry, self.wanted, self.wanted_count, since)

    def forget_wanted(self) -> None:
        """Nobody wants the model's plan for any situation any more (it is another model now)."""
        self.entries.flags[self.wanted[: self.wanted_count]] &= ~np.uint8(WANTED)
        self.wanted_count = 0

    def sent(self, entry: int) -> None:
        """A request for this entry is under way: it is neither wanted again nor evicted."""
        self.entries.flags[entry] |= IN_FLIGHT
        self.entries.demand[entry] = self.entries.tier[entry] = 0

    def answered(self, entry: int, plan: int) -> None:
        """The model's plan for this entry came. It stays in flight until it was handed out to those who wait for it."""
        self.entries.model[entry] = plan

    def handed_out(self, entries: NDArray[np.int32]) -> None:
        """The plans of these entries reached all who waited for them."""
        self.entries.flags[entries] &= ~np.uint8(IN_FLIGHT)
        self.entries.arrival[entries] = -1

    def unanswered(self, entry: int, blocked_until_ms: int) -> None:
        """No plan came: a negative entry, not asked about again before the time given."""
        self.entries.flags[entry] &= ~np.uint8(IN_FLIGHT)
        self.entries.blocked[entry] = blocked_until_ms

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
            wanted=self.wanted_count,
            unasked=dict(self.unasked),
        )
