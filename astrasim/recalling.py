"""Recalling: what the tick's own cache does not know is looked up behind the gateway, and put into it.

Nothing here waits. A situation that wants the model's plan is looked up first, in a message with up to 63 others; what
is found goes to those who wait for it like an answer of the model's. Only what is not known there is asked about.

A share of the requests (``shadow_share``) goes to situations that got the plan of another, to find out how often that
is wrong: the gateway compares the model's own plan with it, and the model's takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .budget import Budget
from .cache import PlanCache
from .gateway.recalled import MAX_LOOKS, Look, Memory, MemoryStatistics, Recalled
from .handing import HandOut, Turn
from .kernels.lookup import IN_FLIGHT, NEVER
from .kernels.situating import write_vectors
from .plans import Origin, PlanStore
from .reader import Steps
from .statistics import Looks, Window

if TYPE_CHECKING:
    from .compiled import Compiled

AGAIN_MS = 5000
"""A situation that nothing was known about is looked up again after so long."""
AGAIN_TICKS = 16
TEND_TICKS = 8
TAKES_MS = 150
"""How long a look-up may take before the model is asked instead."""
_TAKEN = 8
"""What look-ups came to is taken in so many at a time."""
_EXAMINED = 1024
_TRIES = 8


class Recalling:
    """The planner's part in it. ``memory`` is the gateway's, None where there is none."""

    def __init__(
        self, compiled: Compiled, cache: PlanCache, plans: PlanStore, handing: HandOut,
        declare: Callable[[int], None], fit: Callable[[int, Steps], Steps | None], shadow_share: float, seed: int,
    ) -> None:  # fmt: skip
        """``declare`` makes a scope known to the gateway. ``fit`` makes of steps that were found what the agents of an
        entry should do, or None."""
        self.memory: Memory | None = None
        self._compiled, self._cache, self._plans, self._handing, self._fit = compiled, cache, plans, handing, fit
        self._declare = declare
        self._shadow_share, self._credit = shadow_share, 0.0
        self._rng = np.random.default_rng(seed)
        self._lent: deque[tuple[int, int, int]] = deque(maxlen=_EXAMINED)
        self._sent: dict[tuple[int, int], int] = {}
        self._found: deque[Recalled] = deque()
        self._parts = deque([self._tend, self._take_found, self._look_up])
        self._tick = 0
        self._vectors: NDArray[np.float32] = np.zeros((MAX_LOOKS, max(1, len(compiled.features.column))), np.float32)
        self._widths: NDArray[np.int32] = np.zeros(MAX_LOOKS, np.int32)
        self.reset_counts()

    def reset_counts(self) -> None:
        self._asked = self._answered = self._taken = self._shadows = 0
        self._ticks = Window(4096)

    def statistics(self) -> Looks:
        return Looks(self._asked, self._answered, self._taken, self._shadows, self._ticks.percentiles())

    def memory_statistics(self) -> MemoryStatistics:
        return MemoryStatistics() if self.memory is None else self.memory.statistics

    def run(self, turn: Turn, budget: Budget) -> None:
        """Take in what was found, look up what is wanted, and look after the entries whose turn it is."""
        self._tick += 1
        if self.memory is None:
            # Nobody is told, and what is looked after in a second is the same.
            if self._tick % TEND_TICKS == 0:
                self._cache.tend(turn.now_ms)
            return
        for level, scopes in self.memory.withdrawn():
            self._cache.withdraw(level, scopes)
        # However little is left, each has its turn: they begin where the last turn ended.
        for _ in range(len(self._parts)):
            done = budget.spent_units
            self._parts[0](turn, budget)
            self._parts.rotate(-1)
            if budget.spent_units > done and not budget.left("recall"):
                return

    def _tend(self, turn: Turn, budget: Budget) -> None:
        """Look after the entries whose turn it is, and say which plans were of use and which were not."""
        assert self.memory is not None
        tended = self._cache.tend(turn.now_ms)
        if len(tended.retired):
            self.memory.retire(self._situations(tended.retired[:MAX_LOOKS]))
        if len(tended.used):
            self.memory.used(self._situations(tended.used[:MAX_LOOKS]))
            budget.spend("recall")

    def _take_found(self, turn: Turn, budget: Budget) -> None:
        assert self.memory is not None
        self._found.extend(self.memory.found())
        while self._found:
            self._take_some([self._found.popleft() for _ in range(min(len(self._found), _TAKEN))], turn)
            budget.spend("recall")
            if not budget.left("recall"):
                return

    def _look_up(self, turn: Turn, budget: Budget) -> None:
        # Who is new is looked up at once; others in larger messages now and then, because each one costs a system call.
        self.look(turn, budget, AGAIN_MS if self._tick % AGAIN_TICKS == 0 else int(NEVER))

    def look(self, turn: Turn, budget: Budget, again_ms: int = int(NEVER)) -> None:
        """Look up what is wanted and was not looked up yet, or not for so long."""
        due = self._cache.due_looks(turn.now_ms, again_ms, TAKES_MS)
        if len(due):
            self._look(due, turn)
            budget.spend("look")

    def _situations(self, entries: NDArray[np.int32]) -> list[tuple[int, int]]:
        table = self._cache.entries
        return list(zip(table.scope[entries].tolist(), table.key[entries].tolist(), strict=True))

    def _look(self, due: NDArray[np.int32], turn: Turn) -> None:
        assert self.memory is not None
        pairs = self._situations(due)
        for scope in {scope for scope, _ in pairs}:
            self._declare(scope)
        vectors, widths = self.vectors(due, turn)
        looks = [
            Look(scope, key, vector[:width] if width else None)
            for (scope, key), vector, width in zip(pairs, vectors, widths.tolist(), strict=True)
        ]
        if not self.memory.look(looks):
            self._cache.entries.looked[due] = -1
            return
        self._asked += len(looks)
        self._sent.update(dict.fromkeys(pairs, self._tick))

    def vectors(self, due: NDArray[np.int32], turn: Turn) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The vectors of agents that are in these entries' situations, shape (entries, features), and how wide each is;
        0: there is none any more."""
        agents, entries = turn.agents, self._cache.entries
        vectors, widths = self._vectors[: len(due)], self._widths[: len(due)]
        write_vectors(
            agents.f, agents.scope, agents.key, agents.kind, entries.row[due], entries.scope[due], entries.key[due],
            self._compiled.features, vectors, widths,
        )  # fmt: skip
        return vectors, widths

    def asked(self, is_lent: bool) -> None:
        """A request went out: a share of those is for looking into what was lent, as this one perhaps is."""
        self._credit = min(self._credit + self._shadow_share, 2.0) - is_lent
        self._shadows += is_lent

    def examine(self) -> int:
        """An entry with the plan of another situation that is to be asked about all the same, or -1."""
        if self._credit < 1.0 - 1e-9:  # ten times 0.1 is a little less than 1
            return -1
        entries = self._cache.entries
        for _ in range(min(len(self._lent), _TRIES)):
            at = int(self._rng.integers(len(self._lent)))
            entry, *situation = self._lent[at]
            there = [int(entries.scope[entry]), int(entries.key[entry])] == situation
            is_lent = there and entries.level[entry] and entries.model[entry] >= 0
            if is_lent and entries.flags[entry] & IN_FLIGHT:
                continue  # it is being handed out still
            del self._lent[at]
            if is_lent:
                return entry
        return -1

    def put_back(self, entry: int) -> None:
        """It was named, and could not be asked about now."""
        self._lent.append((entry, *self._situations(np.array([entry], np.int32))[0]))

    def _take_some(self, found: list[Recalled], turn: Turn) -> None:
        at = self._cache.find_all([(each.scope_id, each.key) for each in found])
        self._answered += len(found)
        self._cache.entries.look_ends[at[at >= 0]] = 0
        for each, entry in zip(found, at.tolist(), strict=True):
            sent = self._sent.pop((each.scope_id, each.key), None)
            if sent is not None:
                self._ticks.add(self._tick - sent)
            if entry >= 0 and each.steps is not None:
                self._take(each, each.steps, entry, turn.now_ms)

    def _take(self, found: Recalled, given: Steps, entry: int, now_ms: int) -> None:
        entries = self._cache.entries
        if entries.model[entry] >= 0 or entries.flags[entry] & IN_FLIGHT:
            return
        steps = self._fit(entry, given)
        if steps is None:
            return
        plan = self._plans.intern(steps, Origin.MODEL)
        expires_ms = None if found.remaining_s is None else now_ms + int(found.remaining_s * 1000)
        self._cache.recalled(entry, plan, found.level, expires_ms)
        self._handing.add(entry, plan)
        self._taken += 1
        if found.level:
            self._lent.append((entry, found.scope_id, found.key))
