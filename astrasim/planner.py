"""The planner: arrivals, hand-outs, needs and requests, inside the tick's budget.

It never waits. Every agent has a plan before it runs (its role's default), takes the cached or the heuristic's plan for
its situation when it needs one, and the model's when that arrives and still fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .admission import Admission
from .arrivals import Arrivals
from .asked import Asked, Asker
from .asking import Asking
from .budget import Budget, cpu_clock
from .cache import PlanCache
from .choices import Choices
from .forgetting import Forgetting
from .handing import HandOut, Tables, Turn
from .kernels.columns import COUNTERS, WAIT_PLAN, Agents, Things
from .plans import Origin, PlanStore
from .recalling import Recalling
from .requests import Change, Request
from .scopes import Scopes
from .serving import Serving
from .statistics import RequestCounts, Window
from .waits import Waits

if TYPE_CHECKING:
    from .compiled import Compiled
    from .pace import Pace
    from .settings import Settings


ORDER_UNITS = ("serve", "heuristic", "serve", "pick", "ask")
"""What an order takes as a rule."""
_NOTHING, _ORDERS, _LATE = range(3)
"""What had a tick for itself."""


class Planner:
    """Plans for the rows of one agent table. :meth:`run` is one tick's planning."""

    def __init__(self, compiled: Compiled, settings: Settings, pace: Pace, gateway: Asker | None) -> None:
        self._pace = pace
        words, policy, tiers = compiled.vocabulary, settings.policy, settings.tiers
        self.plans = PlanStore(words)
        wait = self.plans.intern(((words.action_index["wait"], words.target_index["self"], 1.0),), Origin.HEURISTIC)
        assert wait == WAIT_PLAN
        self.scopes = Scopes(compiled, self.plans)
        self.cache = PlanCache(settings.cache_entries, policy, settings.cache_ttl_s, settings.cache_ttl_renews)
        self.admission = Admission(policy, pace, tiers)
        self.asked = Asked(gateway, self.scopes, self.cache, self.admission, settings.retry_after_s)
        self.budget = Budget(pace)
        self.counters: NDArray[np.int64] = np.zeros(COUNTERS, np.int64)
        self.life: NDArray[np.float64] = np.zeros(1, np.float64)
        self.planning_ms = Window(4096)
        self.planning_cpu_ms = Window(4096)
        self.overruns = 0
        self.waits = Waits()
        tables = Tables(compiled, self.cache, self.plans)
        self.choices = Choices(tables, self.cache, self.plans)
        self._handing = HandOut(tables, self.cache, self.counters, self.life)
        self._forgetting = Forgetting(self.plans, self.cache, self.scopes, self._handing)
        self.arrivals = Arrivals(
            self.asked, self.admission, self.cache, self.choices, self.plans, self._handing
        )
        self.recalling = Recalling(
            compiled, self.cache, self.plans, self._handing, self.asked.declare, self.arrivals.fit,
            settings.shadow_share, settings.seed,
        )  # fmt: skip
        self.asking = Asking(self.asked, self.admission, self.cache, self.choices, self.recalling, policy, tiers)
        self.serving = Serving(tables, self.cache, self.scopes, self.counters, self.life, settings)
        self._first_stage = 0
        self._after = _NOTHING
        self._cpu_owed_s = 0.0
        # By name, the kind of unit that comes next, and what does units of it as long as the budget goes. It looks at
        # the clock after each, not before its first: the loop just did.
        self._stages: tuple[tuple[str, Callable[[], str], Callable[[Turn], None]], ...] = (
            ("forget", lambda: "forget", self._forget_plans),
            ("answers", self.arrivals.next_kind, self._take_answers),
            ("recall", lambda: "recall", self._recall),
            ("cancel", lambda: "walk", self._cancel_unwanted),
            ("send", self.asking.next_kind, self._send),
            ("hand out", lambda: "hand out", self._hand_out),
            ("serve", lambda: "serve", self._serve),
        )

    def run(self, agents: Agents, things: Things, count: int, now_s: float) -> None:
        """Plan for the first ``count`` rows.

        Args:
            now_s: the simulation's time, in seconds.
        """
        self.budget.start()
        cpu_s, self._cpu_owed_s = cpu_clock() - self._cpu_owed_s, 0.0
        turn = Turn(agents, things, count, now_s)
        self.serving.begin()
        if self.asked.has_unsent and self.budget.left("flush"):
            self.asked.flush()
            self.budget.looked()
        start, self._first_stage = self._first_stage, 0
        # Whoever has a new order goes before everything else, and whoever was left over before all but tiers that have
        # a share; but where these leave no time for anything else, the next tick begins with what comes after them.
        after, self._after = self._after, _NOTHING
        obeyed, hurried = after < _ORDERS and self._obey(turn), False
        # A tick that orders took whole has nothing to share: the next one's shares leave as much for others as ever.
        if not obeyed or self.budget.left("serve"):
            self.serving.run_shares(turn, self.budget)
            hurried = after < _LATE and self.serving.run_late(turn, self.budget, self.waits.longest)
        for at in range(start, start + len(self._stages)):
            _, next_kind, work = self._stages[at % len(self._stages)]
            done = self.budget.spent_units
            if not self.budget.left(next_kind()):
                ended_s = cpu_clock()
                # The next tick begins where this one ended: however small the budget, all have their turn.
                self._first_stage = at % len(self._stages)
                if at == start:
                    self._after = _LATE if hurried else _ORDERS if obeyed else after
                for later in range(at, start + len(self._stages)):
                    self.waits.put_off[self._stages[later % len(self._stages)][0]] += 1
                break
            work(turn)
            if self.budget.spent_units == done:
                self.budget.looked()
        else:
            ended_s = cpu_clock()
        # Or what was asked would go out in the next tick only; as it does where there is no time for it.
        if self.budget.may_close or not self.asked.has_unsent:
            self.asked.flush()
        if self._pace.budget_ms:
            self.waits.count(turn, self.serving.has_served_all, len(self._handing))
        self.planning_ms.add(self.budget.elapsed_ms())
        self.planning_cpu_ms.add((cpu_clock() - cpu_s) * 1000)
        self.overruns += self.budget.overrun()
        self.budget.close(cpu_clock() - ended_s)

    def _recall(self, turn: Turn) -> None:
        if self.gateway is not None:
            self.recalling.memory = self.gateway.memory
            self.recalling.run(turn, self.budget)

    def _forget_plans(self, turn: Turn) -> None:
        self._forgetting.run(turn, self.budget)

    # Requests

    @property
    def gateway(self) -> Asker | None:
        """Through which the model is asked; None: nobody is."""
        return self.asked.gateway

    @gateway.setter
    def gateway(self, gateway: Asker | None) -> None:
        self.asked.gateway = gateway

    @property
    def clock(self) -> Callable[[], float]:
        """By which requests wait for their turn and their deadline: seconds, never going backwards."""
        return self.asked.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self.asked.clock = clock

    @property
    def requests(self) -> dict[int, Request]:
        """Those that are with the gateway, by number."""
        return self.asked.requests

    @property
    def counts(self) -> RequestCounts:
        """What became of all."""
        return self.asked.counts

    @property
    def latency_ms(self) -> Window:
        return self.arrivals.latency_ms

    @property
    def raw(self) -> dict[tuple[int, int], str]:
        """The last answers as the model gave them, by (scope, key), for ``sim.why``."""
        return self.arrivals.raw

    def change_gateway(self, gateway: Asker | None, now_s: float) -> None:
        """Ask through another gateway from now on; the old one is told to end, and is not waited for."""
        self.forget_requests(now_s)
        self.asked.change_gateway(gateway)
        self.arrivals.clear()
        self.cache.forget_wanted()

    def forget_requests(self, now_s: float) -> None:
        """Cancel everything under way (the model was taken away)."""
        self.asked.forget(int(now_s * 1000))
        self.asking.forget()

    def reset_counts(self) -> None:
        """Begin all counts anew; what is in flight counts as sent."""
        self.counters[:] = 0
        self.life[:] = 0
        self.asked.counts = RequestCounts(sent=len(self.requests))
        self.cache.unasked.update(stale=0, crowded_out=0)
        self.arrivals.latency_ms.clear()
        self.planning_ms.clear()
        self.planning_cpu_ms.clear()
        self.recalling.reset_counts()
        self.waits.reset()
        self.overruns = 0

    # Observers

    def listen(self, on: bool) -> None:
        """Write down from now on what becomes of requests and which plans are handed out, or no more."""
        if on != self.asked.listens:
            self.asked.listen(on)
            self._handing.handed = [] if on else None

    def read_changes(self) -> list[Change]:
        """What became of requests since this was called last, while it listens."""
        return self.asked.read_changes()

    def read_handed(self) -> list[tuple[int, int]]:
        """The (entry, plan) that were handed out to the last agent since this was called last, while it listens."""
        handed = list(self._handing.handed or ())
        if handed:
            self._handing.handed = []
        return handed

    # Plans to agents

    def _obey(self, turn: Turn) -> bool:
        """Serve those who have a new order, and ask about them now; whether there were any."""
        if not self.serving.obey(turn, self.budget):
            return False
        self.asking.ordered_ms = turn.now_ms
        if self.budget.left(self.asking.next_kind()):
            self._send(turn)
        return True

    def obey_now(self, turn: Turn) -> None:
        """Between two ticks: serve the one that has a new order, as of the last tick, and ask about it, so that the
        model does not wait for the next one, too. If it fits into half of its budget, which pays for it. Where others
        wait, it waits with them.
        """
        if self.gateway is None or not self.gateway.is_ready or len(self.serving.ordered) > 1:
            return
        if not self.budget.borrow(ORDER_UNITS):
            return
        cpu_s = cpu_clock()
        try:
            if self.serving.obey(turn, self.budget):
                self.asking.ordered_ms = turn.now_ms
                if self.gateway.memory is not None:
                    self.recalling.look(turn, self.budget)
                elif self.budget.left(self.asking.next_kind()):
                    self.asking.run(turn, self.budget, orders_only=True)
                self.asked.flush()
        finally:
            self.budget.owe()
            self._cpu_owed_s += cpu_clock() - cpu_s

    def _take_answers(self, turn: Turn) -> None:
        self.arrivals.run(turn, self.budget)

    def _cancel_unwanted(self, turn: Turn) -> None:
        self.asking.cancel_unwanted(turn, self.budget)

    def _send(self, turn: Turn) -> None:
        self.asking.run(turn, self.budget)

    def _hand_out(self, turn: Turn) -> None:
        self._handing.run(turn, self.budget)

    def _serve(self, turn: Turn) -> None:
        self.serving.run(turn, self.budget)

    def hand_out_all(self, arrived: list[tuple[int, int]], agents: Agents, things: Things, count: int) -> None:
        """Hand out (entry, plan) pairs now, within this call's budget. For the warm-up."""
        for entry, plan in arrived:
            self._handing.add(entry, plan)
        self.budget.start()
        self._hand_out(Turn(agents, things, count, 0.0))
