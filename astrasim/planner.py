"""The planner: arrivals, hand-outs, needs and requests, inside the tick's budget.

It never waits. Every agent has a plan before it runs (its role's default), takes the cached or the heuristic's plan for
its situation when it needs one, and the model's when that arrives and still fits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import get_clock_info, monotonic, perf_counter, thread_time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .admission import Admission
from .budget import Budget
from .cache import PlanCache
from .choices import Choices
from .forgetting import Forgetting
from .gateway import Answer, Failure
from .gateway.recalled import Memory
from .handing import HandOut, Turn
from .kernels.columns import COUNTERS, WAIT_PLAN, Agents, Things
from .kernels.lookup import ORDERS
from .plans import Origin, PlanStore
from .reader import Steps
from .recalling import Recalling
from .requests import Change, Request, RequestState
from .scopes import Scopes
from .serving import Serving
from .statistics import RequestCounts, Window
from .unwanted import Unwanted
from .vocabulary import Scope
from .waits import Waits

if TYPE_CHECKING:
    from .compiled import Compiled
    from .pace import Pace
    from .settings import Settings

log = logging.getLogger("astrasim")

GRACE_S = 1.0
"""The gateway keeps the deadline itself; the planner gives a request up when it hears nothing for so long after it."""
MAX_RAW = 512
MESSAGES = 1
OPTIONS_AGAIN_MS = 1000
ORDERS_MS = 1000
"""For so long after an order, a request about it may be waiting."""
NEVER_MS = 1 << 62
# Windows counts a thread's time in steps of 16 ms, which says nothing about 2.
cpu_clock = thread_time if get_clock_info("thread_time").resolution < 1e-4 else perf_counter


class _Picked(NamedTuple):
    """The situation that is asked about next; its entry is held."""

    entry: int
    is_lent: bool
    """It has the plan of another, which is to be compared with the model's own."""
    options: list[tuple[int, int]] | None
    """What the model may choose from; empty if it writes its plans itself, None if that is not known yet."""


class Asker(Protocol):
    """What the planner needs of a gateway."""

    def declare_scope(self, scope_id: int, scope: Scope) -> None: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def chooses(self) -> bool: ...
    @property
    def max_in_flight(self) -> int: ...
    @property
    def memory(self) -> Memory | None: ...
    def ask(
        self, request_id: int, scope_id: int, key: int, deadline_s: float, options: Sequence[tuple[int, int]] = ()
    ) -> bool: ...
    def cancel(self, request_id: int) -> None: ...
    def exchange(self) -> None: ...
    def read(self, max_messages: int = 64) -> list[Answer | Failure]: ...
    def flush(self) -> None: ...
    def describe(self) -> str: ...
    def close(self) -> None: ...


class Planner:
    """Plans for the rows of one agent table. :meth:`run` is one tick's planning."""

    def __init__(self, compiled: Compiled, settings: Settings, pace: Pace, gateway: Asker | None) -> None:
        self._compiled, self._settings, self._pace = compiled, settings, pace
        self.gateway = gateway
        words = compiled.vocabulary
        self.plans = PlanStore(words)
        wait = self.plans.intern(((words.action_index["wait"], words.target_index["self"], 1.0),), Origin.HEURISTIC)
        assert wait == WAIT_PLAN
        self.scopes = Scopes(compiled, self.plans)
        self._policy, self._tiers = settings.policy, settings.tiers
        self.cache = PlanCache(
            settings.cache_entries, self._policy, settings.cache_ttl_s, settings.cache_ttl_renews
        )
        self.choices = Choices(compiled, self.cache, self.plans)
        self.admission = Admission(self._policy, pace, self._tiers)
        self.unwanted = Unwanted(self.cache, self._policy.unwanted_s)
        self.budget = Budget(pace)
        self.requests: dict[int, Request] = {}
        self.counters: NDArray[np.int64] = np.zeros(COUNTERS, np.int64)
        self.life: NDArray[np.float64] = np.zeros(1, np.float64)
        self.counts = RequestCounts()
        self.latency_ms = Window(4096)
        self.planning_ms = Window(4096)
        self.planning_cpu_ms = Window(4096)
        self.overruns = 0
        self.waits = Waits()
        self.raw: dict[tuple[int, int], str] = {}
        """The last answers as the model gave them, by (scope, key), for ``sim.why``."""
        self._handing = HandOut(compiled, self.cache, self.counters, self.life)
        self._forgetting = Forgetting(self.plans, self.cache, self.scopes, self._handing)
        self.recalling = Recalling(
            compiled, self.cache, self.plans, self._handing, self._declare, self._fit, settings.shadow_share,
            settings.seed,
        )  # fmt: skip
        self._changes: list[Change] | None = None
        self._next_id = 1
        self._messages: deque[Answer | Failure] = deque()
        """Those that were read and not taken in yet."""
        self._unread = False
        """Whether more may have been received than was read."""
        self._picked: _Picked | None = None
        self.clock: Callable[[], float] = monotonic
        self._declared: set[int] = set()
        self._first_stage = 0
        self._orders_alone = False
        self._ordered_ms: int | None = None
        self._present: int | None = None
        self.serving = Serving(compiled, self.cache, self.scopes, self.counters, self.life, settings)
        # By name, the kind of unit that comes next, and what does units of it as long as the budget goes. It looks at
        # the clock after each, not before its first: the loop just did.
        self._stages: tuple[tuple[str, Callable[[], str], Callable[[Turn], None]], ...] = (
            ("forget", lambda: "forget", self._forget_plans),
            ("answers", self._answers_kind, self._take_answers),
            ("recall", lambda: "recall", self._recall),
            ("cancel", lambda: "walk", self._cancel_unwanted),
            ("send", self._send_kind, self._send),
            ("hand out", lambda: "hand out", self._hand_out),
            ("serve", lambda: "serve", self._serve),
        )

    def run(self, agents: Agents, things: Things, count: int, now_s: float) -> None:
        """Plan for the first ``count`` rows.

        Args:
            now_s: the simulation's time, in seconds.
        """
        self.budget.start()
        cpu_s = cpu_clock()
        turn = Turn(agents, things, count, now_s)
        self.admission.pass_time(self.clock())
        self.serving.has_served_all = False
        start, self._first_stage = self._first_stage, 0
        # Whoever has a new order goes before everything else; but orders never take two ticks in a row for themselves.
        obeyed = not self._orders_alone and self._obey(turn)
        self._orders_alone = False
        # A tick that orders took whole has nothing to share: the next one's shares leave as much for others as ever.
        if not obeyed or self.budget.left("serve"):
            self.serving.run_shares(turn, self.plans, self.budget)
        for at in range(start, start + len(self._stages)):
            _, next_kind, work = self._stages[at % len(self._stages)]
            kind, done = next_kind(), self.budget.spent_units
            if not self.budget.left(kind):
                begun_s = perf_counter()
                # The next tick begins where this one ended: however small the budget, all have their turn.
                self._first_stage = at % len(self._stages)
                self._orders_alone = obeyed and at == start
                for later in range(at, start + len(self._stages)):
                    self.waits.put_off[self._stages[later % len(self._stages)][0]] += 1
                break
            work(turn)
            if self.budget.spent_units == done:
                self.budget.looked(kind)
        else:
            begun_s = perf_counter()
        if self.gateway is not None:
            self.gateway.flush()  # or what was asked would go out in the next tick only
        if self._pace.budget_ms:
            self.waits.count(turn, self.serving.has_served_all, len(self._handing))
        self.planning_ms.add(self.budget.elapsed_ms())
        self.planning_cpu_ms.add((cpu_clock() - cpu_s) * 1000)
        self.overruns += self.budget.overrun()
        self.budget.close(perf_counter() - begun_s)

    # Answers

    def _answers_kind(self) -> str:
        """The next unit of taking in answers."""
        return "take" if self._messages else "read" if self._unread else "receive"

    def _take_answers(self, turn: Turn) -> None:
        """Receive once, read what came, and take it in; what the last tick left over goes first."""
        gateway = self.gateway
        if gateway is None:
            return
        has_received = False
        while True:
            if self._messages:
                self._take(turn, self._messages.popleft())
                self.budget.spend("take")
            elif self._unread:
                self._messages.extend(gateway.read(MESSAGES))
                self._unread = len(self._messages) == MESSAGES
                if self._messages:
                    self.budget.spend("read")
            elif not has_received:
                gateway.exchange()
                has_received = self._unread = True
                self.budget.looked("receive")
            else:
                break
            if not self.budget.left(self._answers_kind()):
                return
        late_s = self.clock() - GRACE_S if self.requests else 0.0
        for request in [r for r in self.requests.values() if late_s > r.deadline_s]:
            self._give_up(request, RequestState.EXPIRED, "expired", turn.now_ms)
            self.budget.spend("give up")
            if not self.budget.left("give up"):
                return

    def _take(self, turn: Turn, message: Answer | Failure) -> None:
        request = self.requests.pop(message.request_id, None)
        self.admission.ended(message.request_id, message.tries, message.tokens)
        self.counts.retries += max(message.tries - 1, 0)
        if request is None:
            self.counts.late += 1
        elif isinstance(message, Failure):
            state = RequestState.REJECTED if message.rejected else RequestState.FAILED
            self._end(request, state, message.reason, turn.now_ms)
            self.counts.reasons[message.reason] += 1
            self._keep_raw(request, f"{message.detail} ({message.reason})")
            # Each reason is said once, and counted from then on.
            level = logging.WARNING if self.counts.reasons[message.reason] == 1 else logging.DEBUG
            log.log(level, "no plan from the model: %s: %s", message.reason, message.detail)
        else:
            self._store(request, message, turn.now_ms)

    def _recall(self, turn: Turn) -> None:
        if self.gateway is not None:
            self.recalling.memory = self.gateway.memory
            self.recalling.run(turn, self.budget)

    def _store(self, request: Request, answer: Answer, now_ms: int) -> None:
        self._move(request, RequestState.ANSWERED)
        # By the clock on the wall: the simulation's own stands still within a tick and is late when frames are missed.
        self.latency_ms.add((perf_counter() - request.asked_at) * 1000)
        self.counts.use(answer.usage)
        chose = self.gateway is not None and self.gateway.chooses
        steps = self.choices.put_first(request.entry, answer.steps[0]) if chose else answer.steps
        plan = self.plans.intern(steps, Origin.MODEL)
        self.cache.answered(request.entry, plan, now_ms)
        self._handing.add(request.entry, plan)
        self._keep_raw(request, answer.raw)
        self._move(request, RequestState.STORED, plan=plan)
        self.counts.answered += 1

    def _keep_raw(self, request: Request, text: str) -> None:
        self.raw.pop((request.scope_id, request.key), None)
        self.raw[request.scope_id, request.key] = text
        if len(self.raw) > MAX_RAW:
            del self.raw[next(iter(self.raw))]

    def _move(self, request: Request, state: RequestState, reason: str = "", plan: int = -1) -> None:
        request.move(state)
        self._note(request, reason, plan)

    def _note(self, request: Request, reason: str = "", plan: int = -1) -> None:
        if self._changes is not None:
            self._changes.append(Change(perf_counter(), request, request.state, reason, plan))

    def _end(self, request: Request, state: RequestState, reason: str, now_ms: int) -> None:
        self._move(request, state, reason)
        retry_s = 0.0 if state is RequestState.CANCELLED else self._settings.retry_after_s
        self.cache.unanswered(request.entry, now_ms + int(retry_s * 1000))
        if state is RequestState.REJECTED:
            self.counts.rejected += 1
        elif state is RequestState.CANCELLED:
            self.counts.cancelled += 1
        else:
            self.counts.failed += 1

    def _forget_plans(self, turn: Turn) -> None:
        self._forgetting.run(turn, self.budget)

    # Requests

    def _cancel_unwanted(self, turn: Turn) -> None:
        if self.gateway is None:
            return
        # Nobody waits for those that find out whether a near plan is right, and that is no reason to cancel them.
        before = self.budget.spent_units
        plans = self.cache.entries.model
        waited_for = (request for request in self.requests.values() if plans.item(request.entry) < 0)
        self.unwanted.look(turn, waited_for, self.budget)
        if self.budget.spent_units > before and not self.budget.left("give up"):
            return
        while request := self.unwanted.next(turn):
            if request.id in self.requests:
                self._give_up(request, RequestState.CANCELLED, "unwanted", turn.now_ms)
                self.budget.spend("give up")
                if not self.budget.left("give up"):
                    return

    def _send_kind(self) -> str:
        """The next unit of sending."""
        if self.cache.is_crowded:
            return "crowd out"
        return "pick" if self._picked is None else "options" if self._picked.options is None else "ask"

    def _send(self, turn: Turn) -> None:
        if self.gateway is None:
            return
        self._present, self._examines = None, True
        while True:
            kind = self._send_kind()
            if kind == "crowd out":
                self.cache.crowd_out(turn.now_ms)
            elif kind == "pick":
                self._picked = self._pick(turn)
                if self._picked is None:
                    return
            elif kind == "options":
                self._find_options(turn)
            elif not self._ask():
                return
            self.budget.spend(kind)
            if not self.budget.left(self._send_kind()):
                return

    def _pick(self, turn: Turn) -> _Picked | None:
        """The situation that deserves a request most now, if one may be asked."""
        assert self.gateway is not None
        may_ask = self._may_ask(turn)
        if not may_ask:
            return None
        self._examines = self._examines and not self.admission.everyone & ~may_ask
        entry = self.recalling.examine() if self._examines else -1
        is_lent = entry >= 0
        if not is_lent:
            entry = self.cache.pick(turn.now_ms, may_ask, looks=self.gateway.memory is not None)
        if entry < 0:
            return None
        self.cache.hold(entry)
        return _Picked(entry, is_lent, None if self.gateway.chooses else [])

    def _find_options(self, turn: Turn) -> None:
        """What a model that only chooses may choose from; where that is nothing, it is not asked."""
        assert self._picked is not None
        entry, is_lent, _ = self._picked
        # Nobody waits where a plan was lent: those who follow it are whom the model chooses for.
        options = self.choices.options(turn, entry, not is_lent)
        if len(options) >= 2:
            self._picked = _Picked(entry, is_lent, options)
            return
        self._picked = None
        if is_lent:
            self._put_back(entry, is_lent)  # nobody is there to choose for, or there is nothing to choose
            self._examines = False
        else:
            self.counts.obvious += 1
            # Where the heuristic has several ideas, others may be possible in a moment.
            again_ms = turn.now_ms + OPTIONS_AGAIN_MS if len(self.choices.ideas(entry)) > 1 else NEVER_MS
            self.cache.unanswered(entry, again_ms)

    def _put_back(self, entry: int, is_lent: bool) -> None:
        self.cache.let_go(entry)
        (self.recalling if is_lent else self.cache).put_back(entry)

    def _may_ask(self, turn: Turn) -> int:
        """The tiers that may ask now, a bit each, and from the bit ``ORDERS`` on those that may about a new order."""
        assert self.gateway is not None
        in_flight, most = len(self.requests), self.gateway.max_in_flight
        # To walk over all rows is only worth it where places get scarce, and once a tick.
        if in_flight >= most - most // 4 and self._present is None:
            of, self._present = turn.agents.tier[: turn.rows], 0
            kept_for = [number for number, tier in enumerate(self._tiers) if tier.slots]
            for number in kept_for:
                # Once there was an order, the highest tier's places are kept for further ones, too.
                if (number == kept_for[-1] and self._ordered_ms is not None) or (of == number).any():
                    self._present |= 1 << number
        is_ready = self.gateway.is_ready
        tiers = self.admission.decide(is_ready, in_flight, most, self._present or 0)
        has_ordered = self._ordered_ms is not None and turn.now_ms - self._ordered_ms <= ORDERS_MS
        if tiers or (has_ordered and self.admission.lends(is_ready, in_flight, most)):
            tiers |= self.admission.lenders() << ORDERS
        return tiers

    def _fit(self, entry: int, steps: Steps) -> Steps | None:
        """Steps from the gateway's memory as they suit an entry: a model that chooses chose among its ideas only."""
        if self.gateway is None or not self.gateway.chooses:
            return steps
        ideas = self.choices.ideas(entry)
        return self.choices.put_first(entry, steps[0]) if steps[0][:2] in ideas else None

    def _give_up(self, request: Request, state: RequestState, reason: str, now_ms: int) -> None:
        assert self.gateway is not None
        del self.requests[request.id]
        self.gateway.cancel(request.id)
        self.admission.gave_up(request.id)
        self._end(request, state, reason, now_ms)
        self.counts.reasons[reason] += 1

    def _ask(self) -> bool:
        """Ask about the situation that was picked; False if the gateway takes no request now."""
        assert self.gateway is not None and self._picked is not None
        (entry, is_lent, options), self._picked = self._picked, None
        entries = self.cache.entries
        tier = entries.tier.item(entry)
        own_s = self._tiers[tier].deadline_s if tier >= 0 else None
        deadline_s = self._policy.deadline_s if own_s is None else own_s
        request = Request(
            self._next_id, entries.scope.item(entry), entries.key.item(entry), entry, tier, entries.demand.item(entry),
            perf_counter(), self.clock() + deadline_s,
        )  # fmt: skip
        self._next_id += 1
        self._declare(request.scope_id)
        self._note(request)
        if not self.gateway.ask(request.id, request.scope_id, request.key, deadline_s, options or ()):
            self._move(request, RequestState.CANCELLED, "refused")
            self.counts.refused += 1
            self._put_back(entry, is_lent)
            return False
        self._move(request, RequestState.SENT)
        self.requests[request.id] = request
        self.cache.sent(entry)
        self.counts.sent += 1
        self.admission.sent(request.id, self.clock(), tier)
        self.recalling.asked(is_lent)
        return True

    def _declare(self, scope_id: int) -> None:
        if self.gateway is not None and scope_id not in self._declared:
            self.gateway.declare_scope(scope_id, self.scopes[scope_id])
            self._declared.add(scope_id)

    def change_gateway(self, gateway: Asker | None, now_s: float) -> None:
        """Ask through another gateway from now on; the old one is told to end, and is not waited for."""
        self.forget_requests(now_s)
        if self.gateway is not None:
            threading.Thread(target=self.gateway.close, name="astrasim-gateway-close", daemon=True).start()
        self.gateway = gateway
        self._messages.clear()
        self._unread = False
        self._declared.clear()
        self.cache.forget_wanted()

    def forget_requests(self, now_s: float) -> None:
        """Cancel everything under way (the model was taken away)."""
        for request in self.requests.values():
            if self.gateway is not None:
                self.gateway.cancel(request.id)
            self.admission.gave_up(request.id)
            self._end(request, RequestState.CANCELLED, "model taken away", int(now_s * 1000))
        self.requests.clear()
        if self._picked is not None:
            self._put_back(self._picked.entry, self._picked.is_lent)
            self._picked = None

    def reset_counts(self) -> None:
        """Begin all counts anew; what is in flight counts as sent."""
        self.counters[:] = 0
        self.life[:] = 0
        self.counts = RequestCounts(sent=len(self.requests))
        self.cache.unasked.update(stale=0, crowded_out=0)
        self.latency_ms.clear()
        self.planning_ms.clear()
        self.planning_cpu_ms.clear()
        self.recalling.reset_counts()
        self.waits.reset()
        self.overruns = 0

    # Observers

    def listen(self, on: bool) -> None:
        """Write down from now on what becomes of requests and which plans are handed out, or no more."""
        if on != (self._changes is not None):
            self._changes = [] if on else None
            self._handing.handed = [] if on else None

    def read_changes(self) -> list[Change]:
        """What became of requests since this was called last, while it listens."""
        changes = list(self._changes or ())
        if changes:
            self._changes = []
        return changes

    def read_handed(self) -> list[tuple[int, int]]:
        """The (entry, plan) that were handed out to the last agent since this was called last, while it listens."""
        handed = list(self._handing.handed or ())
        if handed:
            self._handing.handed = []
        return handed

    # Plans to agents

    def _obey(self, turn: Turn) -> bool:
        """Serve those who have a new order, and ask about them now; whether there were any."""
        if not self.serving.obey(turn, self.plans, self.budget):
            return False
        self._ordered_ms = turn.now_ms
        if self.budget.left(self._send_kind()):
            self._send(turn)
        return True

    def _hand_out(self, turn: Turn) -> None:
        self._handing.run(turn, self.plans.table, self.budget)

    def _serve(self, turn: Turn) -> None:
        self.serving.run(turn, self.plans, self.budget)

    def hand_out_all(self, arrived: list[tuple[int, int]], agents: Agents, things: Things, count: int) -> None:
        """Hand out (entry, plan) pairs now, within this call's budget. For the warm-up."""
        for entry, plan in arrived:
            self._handing.add(entry, plan)
        self.budget.start()
        self._hand_out(Turn(agents, things, count, 0.0))
