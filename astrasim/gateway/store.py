"""The plans that the gateway keeps: by scope and key, and by nearness. The least recently used makes room."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..reader import Steps
from ..vocabulary import Scope, Vocabulary
from .keeping import Keeping
from .nearby import Neighbours
from .tree import Expectation
from .vectors import weights

Vector = NDArray[np.float32]


class Kept:
    """One plan that a model made for a situation. Times are seconds since 1970."""

    __slots__ = ("born_s", "key", "number", "scope", "steps", "used_s", "uses", "vector")

    def __init__(
        self, scope: int, key: int, vector: Vector, steps: Steps, born_s: float, used_s: float, uses: int
    ) -> None:
        self.scope, self.key, self.vector, self.steps = scope, key, vector, steps
        self.born_s, self.used_s, self.uses = born_s, used_s, uses
        self.number = -1


class Found(NamedTuple):
    """A near neighbour and how far away it is."""

    kept: Kept
    distance: float


class Saver(Protocol):
    """Told of what is to be saved."""

    def put(self, kept: Kept) -> None: ...
    def drop(self, scope: int, key: int) -> None: ...


class Store:
    """Plans by (scope number, key). Not for use by several threads.

    Raises:
        AstraSimError: from whatever takes a vector, if that has another width than the kind has features, or holds
            what is no finite number.
    """

    def __init__(
        self, vocabulary: Vocabulary, keeping: Keeping, clock: Callable[[], float] = time.time
    ) -> None:
        self._vocabulary, self._keeping, self._clock = vocabulary, keeping, clock
        self.scopes: list[Scope] = []
        self.saver: Saver | None = None
        self.evictions = self.expiries = 0
        self._scope_numbers: dict[Scope, int] = {}
        self._kept: OrderedDict[tuple[int, int], Kept] = OrderedDict()
        self._by_number: dict[int, Kept] = {}
        self._around: dict[int, dict[int, Neighbours]] = {}  # by scope and interrupt key; empty if near is off
        self._expected: dict[int, Expectation] = {}
        self._weights = {kind: weights(vocabulary, kind) for kind in vocabulary.kinds}
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def intern(self, scope: Scope) -> int:
        """The number of ``scope`` in this store."""
        number = self._scope_numbers.setdefault(scope, len(self.scopes))
        if number == len(self.scopes):
            self.scopes.append(scope)
        return number

    def get(self, scope: int, key: int) -> Kept | None:
        """The plan for this very situation, if there is one that has not expired."""
        kept = self._kept.get((scope, key))
        return kept if kept is not None and self._is_alive(kept) else None

    def near(self, scope: int, key: int, vector: Vector, bound: float) -> Found | None:
        """The plan of a situation within ``bound`` of ``vector`` whose interrupt features are those of ``key``, if the
        plans of this scope let expect it there; see ``nearby.py`` and ``tree.py``. Without a ``near_bound``, nothing.
        """
        kind = self.scopes[scope].kind
        groups = self._around.get(scope, {})
        around = groups.get(self._vocabulary.interrupt_key(kind, key))
        there = vector * self._weights[kind]
        while around is not None:
            [found] = around.find(there[None, :], bound)
            if found is None:
                break
            kept = self._by_number[found.number]
            if self._is_alive(kept):
                known = sum(map(len, groups.values()))
                expected = self._expected[scope].agrees(_mark(kept), there, known, partial(_every, groups.values()))
                return Found(kept, found.distance) if expected else None
        return None

    def wait(self) -> None:
        """Until all that threads make for near look-ups is there (for measurements and tests)."""
        for groups in self._around.values():
            for around in groups.values():
                around.wait()
        for expected in self._expected.values():
            expected.wait()

    def put(self, scope: int, key: int, vector: Vector, steps: Steps) -> None:
        """Keep a plan; one for the same situation gives way to it."""
        now_s = self._clock()
        self.keep(Kept(scope, key, np.asarray(vector, np.float32), steps, now_s, now_s, 0))

    def keep(self, kept: Kept) -> None:
        """Keep a plan that was made earlier; one for the same situation gives way to it."""
        self._forget(kept.scope, kept.key)
        self._add([kept])
        while len(self._kept) > self._keeping.entries:
            self.evictions += 1
            self.drop(*next(iter(self._kept)))
        if self.saver is not None:
            self.saver.put(kept)

    def fill(self, many: Sequence[Kept]) -> None:
        """Take what was saved, the least recently used first. What is too old or too much is left out, and stays where
        it was saved: another run may have other limits."""
        alive = [kept for kept in many if not self._is_over(kept)]
        self._add(alive[max(0, len(alive) - self._keeping.entries) :])

    def use(self, kept: Kept, uses: int = 1) -> None:
        """It was of use: it stays longer than what was not."""
        kept.used_s = self._clock()
        kept.uses += uses
        self._kept.move_to_end((kept.scope, kept.key))
        if self.saver is not None:
            self.saver.put(kept)

    def drop(self, scope: int, key: int) -> None:
        """Forget a plan, for good. Without effect if there is none."""
        if self._forget(scope, key) and self.saver is not None:
            self.saver.drop(scope, key)

    def remaining_s(self, kept: Kept) -> float | None:
        """How long it may be used for; None for ever."""
        if self._keeping.ttl_s is None:
            return None
        since = kept.used_s if self._keeping.ttl_renews else kept.born_s
        return since + self._keeping.ttl_s - self._clock()

    def ages_s(self) -> list[float]:
        """How long ago plans were made, of about a thousand that stand for all."""
        now_s, step = self._clock(), len(self._kept) // 1000 + 1
        return [now_s - kept.born_s for kept in islice(self._kept.values(), None, None, step)]

    def _is_over(self, kept: Kept) -> bool:
        remaining_s = self.remaining_s(kept)
        return remaining_s is not None and remaining_s <= 0

    def _is_alive(self, kept: Kept) -> bool:
        if self._is_over(kept):
            self.expiries += 1
            self.drop(kept.scope, kept.key)
            return False
        return True

    def _forget(self, scope: int, key: int) -> bool:
        kept = self._kept.pop((scope, key), None)
        if kept is None:
            return False
        if self._keeping.near_bound is not None:
            del self._by_number[kept.number]
            self._around[scope][self._vocabulary.interrupt_key(self.scopes[scope].kind, key)].remove(kept.number)
        return True

    def _add(self, many: Sequence[Kept]) -> None:
        if self._keeping.near_bound is not None:
            self._add_near(many)
        for kept in many:
            self._kept[kept.scope, kept.key] = kept

    def _add_near(self, many: Sequence[Kept]) -> None:
        groups: dict[tuple[int, int], list[Kept]] = {}
        for kept in many:
            kind = self.scopes[kept.scope].kind
            groups.setdefault((kept.scope, self._vocabulary.interrupt_key(kind, kept.key)), []).append(kept)
        for (scope, interrupt_key), group in groups.items():
            weight = self._weights[self.scopes[scope].kind]
            around = self._around.setdefault(scope, {}).setdefault(interrupt_key, Neighbours(len(weight)))
            self._expected.setdefault(scope, Expectation()).added(len(group))
            first = self._next_number
            self._next_number += len(group)
            around.add(
                np.arange(first, self._next_number), np.array([kept.vector for kept in group]) * weight,
                np.array([_mark(kept) for kept in group]),
            )  # fmt: skip
            for number, kept in enumerate(group, first):
                kept.number = number
                self._by_number[number] = kept


def _mark(kept: Kept) -> int:
    """Equal for plans that are the same decision: first action and target."""
    return (kept.steps[0][0] << 32) + kept.steps[0][1]


def _every(groups: Collection[Neighbours], step: int) -> tuple[Vector, NDArray[np.int64]]:
    vectors, marks = zip(*(around.every(step) for around in groups), strict=True)
    return np.concatenate(vectors), np.concatenate(marks)
