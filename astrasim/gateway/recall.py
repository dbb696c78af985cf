"""What the gateway remembers instead of asking the model: exactly, nearly, and for an order that means the same.

The game looks up here what its own cache, which is exact and inside the tick, does not know. Each look-up ends at the
first level that has a plan:

1. this very scope and key, from before (this file, or this run before it was evicted);
2. a near neighbour in this scope, within the bound of its role (``nearby.py``, ``truth.py``);
3. a scope that is equal but for its order, and an order that means the same (``intents.py``): exact, then near.

Everything but finding out about orders is done at once, in the event loop: about 20 µs a look-up.
"""

from __future__ import annotations

import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reader import Steps
from ..vocabulary import Scope, Vocabulary
from .disk import Disk
from .keeping import CacheRefused, Keeping
from .orders import Orders
from .store import Found, Kept, Store
from .truth import WIDEST, Truth
from .vectors import centre

Vector = NDArray[np.float32]
RETIRED_S = 300.0
"""So long after a plan failed in a situation, that situation gets none from another one."""
_REMEMBERED = 16_384
_TIMES = 512
_MISTAKES = 20


class Level(IntEnum):
    """Where a plan was found."""

    EXACT = 0
    NEAR = 1
    ORDER = 2


class Recall:
    """The plans that are known, and how near is near enough. All methods but :meth:`open` are for the event loop."""

    def __init__(self, vocabulary: Vocabulary, keeping: Keeping) -> None:
        self.store = Store(vocabulary, keeping)
        self.notes: SimpleQueue[str] = SimpleQueue()
        """What people should know; threads put it here, and the event loop takes it out."""
        self._vocabulary, self._keeping, self._tell = vocabulary, keeping, self.notes.put
        self._disk: Disk | None = None
        self._scope_of: dict[int, int] = {}
        self._truth: dict[str, Truth] = {}
        self._orders_truth: dict[str, Truth] = {}
        self._asked: OrderedDict[tuple[int, int], Vector] = OrderedDict()
        self._beyond: OrderedDict[tuple[int, int], tuple[Level, float, Kept]] = OrderedDict()
        self._lent: OrderedDict[tuple[int, int], tuple[Level, float, Kept]] = OrderedDict()
        self._withdrawn: list[tuple[Level, str]] = []
        self._retired: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._kin: dict[int, list[int]] = {}
        self._compared = 0
        self._orders: Orders | None = None
        self._lookup_us: deque[float] = deque(maxlen=_TIMES)
        self._told = ""
        self._mistakes: set[str] = set()
        self.counts = dict.fromkeys(("looked", "exact", "near", "order", "retired"), 0)

    def open(self) -> None:
        """Read the file, if there is to be one. In a thread, before anything else is called."""
        if self._keeping.file is None:
            return
        try:
            disk = Disk(self._keeping.file, self._keeping.namespace, self._vocabulary)
            loaded = disk.load(self.store.intern)
        except CacheRefused as error:
            self._tell(f"no plans are kept: {error}")
            return
        self.store.saver = disk
        self.store.fill(loaded.plans)
        for role, state in loaded.truth.items():
            self._truth_of(role).restore(state)
        if len(self.store) < len(loaded.plans):
            old = f" and none older than cache_ttl_s={self._keeping.ttl_s:g}" if self._keeping.ttl_s is not None else ""
            self._tell(
                f"{len(self.store)} of {len(loaded.plans)} plans loaded: cache_plans={self._keeping.entries} at most"
                f"{old}; the others stay in {disk.file}"
            )
        if loaded.damaged:
            self._tell(f"{loaded.damaged} entries of {disk.file} made no sense and were passed over")
        disk.start(self.store.scopes)
        self._disk = disk

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """A mistake in what is remembered is said, and must not end the gateway: without it the model still answers."""
        try:
            yield
        except Exception as error:
            said = f"a mistake in the plan cache, and the game goes on: {type(error).__name__}: {error}"
            if said not in self._mistakes and len(self._mistakes) < _MISTAKES:  # it may be made at every look-up
                self._mistakes.add(said)
                traceback.print_exc()
                self._tell(said)

    def knows(self, scope_id: int) -> bool:
        """Whether the scope was declared."""
        return scope_id in self._scope_of

    def declare(self, scope_id: int, scope: Scope) -> None:
        """The game's number of a scope."""
        self._scope_of[scope_id] = self.store.intern(scope)

    # Looking up

    def look(self, scope_id: int, key: int, vector: Vector | None) -> list[Any] | None:
        """A plan for a situation as ``[level, steps, seconds that it may be used for or None]``, or None.

        Args:
            vector: of an agent that is in it, unweighted, shape (features,); None: the middle of the key's buckets.

        Raises:
            AstraSimError: for a vector of another width, or one that holds what is no finite number.
        """
        started = time.perf_counter()
        scope = self._scope_of[scope_id]
        kind = self.store.scopes[scope].kind
        there = centre(self._vocabulary, kind, key) if vector is None else vector
        self.counts["looked"] += 1
        level, found = self._find(scope, key, there)
        self._lookup_us.append(1e6 * (time.perf_counter() - started))
        if found is None:
            _remember(self._asked, (scope, key), there)
            self._miss(scope, key, there)
            return None
        kept = found.kept
        self.counts[level.name.lower()] += 1
        self.store.use(kept)
        if level is not Level.EXACT:
            _remember(self._asked, (scope, key), there)
            _remember(self._lent, (scope, key), (level, found.distance, kept))
        return [int(level), kept.steps, self.store.remaining_s(kept)]

    def _find(self, scope: int, key: int, there: Vector) -> tuple[Level, Found | None]:
        kept = self.store.get(scope, key)
        if kept is not None:
            return Level.EXACT, Found(kept, 0.0)
        if time.monotonic() < self._retired.get((scope, key), 0.0):
            return Level.EXACT, None  # one of another situation failed, and the next would be hardly better: ask
        role, bound = self.store.scopes[scope].role, self._bound(scope)
        if bound is not None and (found := self.store.near(scope, key, there, max(bound, WIDEST))) is not None:
            if found.distance <= bound:
                return Level.NEAR, found
            _remember(self._beyond, (scope, key), (Level.NEAR, found.distance, found.kept))
        for other in self._kin_of(scope):
            if role in self._orders_truth and self._orders_truth[role].is_refuted:
                break
            if (kept := self.store.get(other, key)) is not None:
                return Level.ORDER, Found(kept, 0.0)
            if bound is not None and (found := self.store.near(other, key, there, bound)) is not None:
                return Level.ORDER, found
        return Level.EXACT, None

    def _bound(self, scope: int) -> float | None:
        if self._keeping.near_bound is None:
            return None
        return self._truth_of(self.store.scopes[scope].role).bound

    def _truth_of(self, role: str) -> Truth:
        if role not in self._truth:
            self._truth[role] = Truth(self._keeping.near_bound or 0.0)
        return self._truth[role]

    def _miss(self, scope: int, key: int, there: Vector) -> None:
        if self._disk is not None:
            self._disk.want(scope, key, there)

    # What becomes of it

    def answered(self, scope_id: int, key: int, steps: Steps) -> None:
        """The model made a plan for this situation, whether it had another's or not."""
        scope = self._scope_of[scope_id]
        beyond = self._beyond.pop((scope, key), None)
        lent = self._lent.pop((scope, key), beyond)
        if lent is not None:
            self._judge(scope, lent, steps)
        self._retired.pop((scope, key), None)
        there = self._asked.pop((scope, key), None)
        if there is None:
            there = centre(self._vocabulary, self.store.scopes[scope].kind, key)
        self.store.put(scope, key, there, steps)
        if self._disk is not None:
            self._disk.met(scope, key)

    def _judge(self, scope: int, lent: tuple[Level, float, Kept], steps: Steps) -> None:
        level, distance, kept = lent
        role, agreed = self.store.scopes[scope].role, kept.steps[0][:2] == steps[0][:2]
        if level is Level.ORDER:
            orders = self._orders_truth.setdefault(role, Truth(0.0))
            was_refuted = orders.is_refuted
            orders.add(0.0, agreed)
            if orders.is_refuted and not was_refuted:
                self._withdrawn.append((level, role))
            return
        before = self._truth_of(role).bound
        self._truth_of(role).add(distance, agreed)
        if self._truth_of(role).bound < before:
            self._withdrawn.append((level, role))
        if self._disk is not None:
            self._disk.keep_truth({name: truth.state() for name, truth in self._truth.items()})

    def withdrawn(self) -> list[tuple[int, list[int]]]:
        """Since the last call: levels, and the game's numbers of the scopes with plans of that level that would not be
        given now. What is near enough still is found again when it is looked up."""
        withdrawn, self._withdrawn = self._withdrawn, []
        scopes = self.store.scopes
        return [
            (int(level), [scope_id for scope_id, scope in self._scope_of.items() if scopes[scope].role == role])
            for level, role in withdrawn
        ]

    def used(self, scope_id: int, key: int) -> None:
        """The game's own cache had use for the plan that it has for this situation."""
        scope = self._scope_of[scope_id]
        lent = self._lent.get((scope, key))
        kept = self.store.get(scope, key) or (lent[2] if lent is not None else None)
        if kept is not None and self.store.get(kept.scope, kept.key) is kept:
            self.store.use(kept)

    def retire(self, scope_id: int, key: int) -> None:
        """The steps of the plan that was given for this situation keep failing. That of another situation stays: there
        it may be right."""
        scope = self._scope_of[scope_id]
        self._lent.pop((scope, key), None)
        self.counts["retired"] += 1
        self.store.drop(scope, key)
        _remember(self._retired, (scope, key), time.monotonic() + RETIRED_S)

    # Orders

    def _kin_of(self, scope: int) -> list[int]:
        """The scopes that are equal but for an order which means the same, as far as that is known by now."""
        scopes = self.store.scopes
        if not self._keeping.orders or not scopes[scope].order:
            return []
        if self._orders is None:
            self._orders = Orders(self._tell)
        for new in range(self._compared, len(scopes)):
            if scopes[new].order:
                self._orders.add(new, scopes[new])
        self._compared = len(scopes)
        for new, old in self._orders.found():
            self._kin.setdefault(new, []).append(old)
            self._kin.setdefault(old, []).append(new)
        return self._kin.get(scope, [])

    # Figures

    def figures(self) -> dict[str, Any]:
        """For the game, as JSON has it; see :class:`~astrasim.gateway.recalled.RecallStatistics`."""
        disk_trouble = self._disk.trouble if self._disk is not None else ""
        if disk_trouble != self._told:
            self._told = disk_trouble
            self._tell(disk_trouble or "plans are being saved again")
        ages = np.array(self.store.ages_s() or [0.0])
        times = np.array(self._lookup_us or [0.0])
        return {
            **self.counts,
            "entries": len(self.store), "evictions": self.store.evictions, "expiries": self.store.expiries,
            "age_s": [round(float(value), 1) for value in (np.median(ages), ages.max())],
            "lookup_us": [round(float(value), 1) for value in np.percentile(times, [50, 99])],
            "truth": {role: list(truth.verdict()) for role, truth in self._truth.items()},
            "orders": {role: list(truth.verdict()) for role, truth in self._orders_truth.items()},
        }  # fmt: skip


def _remember(there: OrderedDict[tuple[int, int], Any], at: tuple[int, int], value: Any) -> None:
    there[at] = value
    there.move_to_end(at)
    if len(there) > _REMEMBERED:
        there.popitem(last=False)
