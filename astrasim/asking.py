"""Asking: the situations that most deserve it are put to the model, one after the other, and requests that nobody waits
for any more are cancelled."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

from .admission import Admission
from .asked import Asked
from .budget import Budget
from .cache import PlanCache
from .choices import Choices
from .gateway.policy import GatewayPolicy
from .handing import Turn
from .kernels.lookup import ORDERED, ORDERS
from .recalling import Recalling
from .requests import Request, RequestState
from .tiers import Tier
from .unwanted import Unwanted

OPTIONS_AGAIN_MS = 1000
ORDERS_MS = 1000
"""For so long after an order, a request about it may be waiting."""
NEVER_MS = 1 << 62


class _Picked(NamedTuple):
    """The situation that is asked about next; its entry is held."""

    entry: int
    is_lent: bool
    """It has the plan of another, which is to be compared with the model's own."""
    options: list[tuple[int, int]] | None
    """What the model may choose from; empty if it writes its plans itself, None if that is not known yet."""


class Asking:
    """A situation is picked in one unit and asked about in another, which may be in the next tick."""

    def __init__(
        self, asked: Asked, admission: Admission, cache: PlanCache, choices: Choices, recalling: Recalling,
        policy: GatewayPolicy, tiers: tuple[Tier, ...],
    ) -> None:  # fmt: skip
        self._asked, self._admission, self._cache, self._choices = asked, admission, cache, choices
        self._recalling, self._policy, self._tiers = recalling, policy, tiers
        self.unwanted = Unwanted(cache, policy.unwanted_s)
        self.ordered_ms: int | None = None
        """When the last order was given, in the simulation's time; None: never."""
        self._next_id = 1
        self._picked: _Picked | None = None
        self._present: int | None = None
        self._examines = True
        self._made_room = False

    def next_kind(self) -> str:
        """Which kind of unit :meth:`run` goes on with."""
        if self._cache.is_crowded and not self._made_room:
            return "crowd out"
        return "pick" if self._picked is None else "options" if self._picked.options is None else "ask"

    def run(self, turn: Turn, budget: Budget, *, orders_only: bool = False) -> None:
        """Ask, as far as requests may go out and the budget goes."""
        if self._asked.gateway is None:
            return
        self._admission.pass_time(self._asked.clock())
        self._present, self._examines = None, not orders_only
        while True:
            kind = self.next_kind()
            if kind != "options":
                self._made_room = kind == "crowd out" or (self._made_room and kind == "pick")
            if kind == "crowd out":
                self._cache.crowd_out(turn.now_ms)
            elif kind == "pick":
                self._picked = self._pick(turn, orders_only)
                if self._picked is None:
                    return
            elif kind == "options":
                self._find_options(turn)
            elif not self._ask():
                return
            budget.spend(kind)
            if not budget.left(self.next_kind()):
                return

    def cancel_unwanted(self, turn: Turn, budget: Budget) -> None:
        """Cancel the requests that nobody waits for any more."""
        if self._asked.gateway is None:
            return
        # Nobody waits for those that find out whether a near plan is right, and that is no reason to cancel them.
        before, plans = budget.spent_units, self._cache.entries.model
        waited_for = (request for request in self._asked.requests.values() if plans.item(request.entry) < 0)
        self.unwanted.look(turn, waited_for, budget)
        if budget.spent_units > before and not budget.left("give up"):
            return
        while request := self.unwanted.next(turn):
            if request.id in self._asked.requests:
                self._asked.give_up(request, RequestState.CANCELLED, "unwanted", turn.now_ms)
                budget.spend("give up")
                if not budget.left("give up"):
                    return

    def forget(self) -> None:
        """What was picked is not asked about (the model was taken away)."""
        if self._picked is not None:
            self._put_back(self._picked.entry, self._picked.is_lent)
            self._picked = None

    def _pick(self, turn: Turn, orders_only: bool) -> _Picked | None:
        """The situation that deserves a request most now, if one may be asked."""
        gateway = self._asked.gateway
        assert gateway is not None
        may_ask = self._may_ask(turn) & (-1 << ORDERS if orders_only else -1)
        if not may_ask:
            return None
        self._examines = self._examines and not self._admission.everyone & ~may_ask
        entry = self._recalling.examine() if self._examines else -1
        is_lent = entry >= 0
        if not is_lent:
            entry = self._cache.pick(
                turn.now_ms, may_ask, looks=gateway.memory is not None, chooses=gateway.chooses
            )
        if entry < 0:
            return None
        self._cache.hold(entry)
        return _Picked(entry, is_lent, None if gateway.chooses else [])

    def _may_ask(self, turn: Turn) -> int:
        """The tiers that may ask now, a bit each, and from the bit ``ORDERS`` on those that may about a new order."""
        gateway = self._asked.gateway
        assert gateway is not None
        in_flight, most = len(self._asked.requests), gateway.max_in_flight
        # To walk over all rows is only worth it where places get scarce, and once a tick.
        if in_flight >= most - most // 4 and self._present is None:
            of, self._present = turn.agents.tier[: turn.rows], 0
            kept_for = [number for number, tier in enumerate(self._tiers) if tier.slots]
            for number in kept_for:
                # Once there was an order, the highest tier's places are kept for further ones, too.
                if (number == kept_for[-1] and self.ordered_ms is not None) or (of == number).any():
                    self._present |= 1 << number
        is_ready = gateway.is_ready
        tiers = self._admission.decide(is_ready, in_flight, most, self._present or 0)
        has_ordered = self.ordered_ms is not None and turn.now_ms - self.ordered_ms <= ORDERS_MS
        # A model that chooses leaves what it has in hand for an order, so that one needs no place to be free.
        most_orders = 2 * most if gateway.chooses else most
        if tiers or (has_ordered and self._admission.lends(is_ready, in_flight, most_orders)):
            tiers |= self._admission.lenders() << ORDERS
        return tiers

    def _find_options(self, turn: Turn) -> None:
        """What a model that only chooses may choose from; where that is nothing, it is not asked."""
        assert self._picked is not None
        entry, is_lent, _ = self._picked
        # Nobody waits where a plan was lent: those who follow it are whom the model chooses for.
        options = self._choices.options(turn, entry, not is_lent)
        if len(options) >= 2:
            self._picked = _Picked(entry, is_lent, options)
            return
        self._picked = None
        if is_lent:
            self._put_back(entry, is_lent)  # nobody is there to choose for, or there is nothing to choose
            self._examines = False
        else:
            self._asked.counts.obvious += 1
            # Where the heuristic has several ideas, others may be possible in a moment.
            again_ms = turn.now_ms + OPTIONS_AGAIN_MS if len(self._choices.ideas(entry)) > 1 else NEVER_MS
            self._cache.unanswered(entry, again_ms)

    def _ask(self) -> bool:
        """Ask about the situation that was picked; False if the gateway takes no request now."""
        asked, entries = self._asked, self._cache.entries
        assert asked.gateway is not None and self._picked is not None
        (entry, is_lent, options), self._picked = self._picked, None
        tier = entries.tier.item(entry)
        own_s = self._tiers[tier].deadline_s if tier >= 0 else None
        deadline_s = self._policy.deadline_s if own_s is None else own_s
        now_s = asked.clock()
        request = Request(
            self._next_id, entries.scope.item(entry), entries.key.item(entry), entry, tier, entries.demand.item(entry),
            perf_counter(), now_s + deadline_s,
        )  # fmt: skip
        self._next_id += 1
        asked.declare(request.scope_id)
        asked.note(request)
        first = bool(entries.flags.item(entry) & ORDERED)
        if not asked.gateway.ask(request.id, request.scope_id, request.key, deadline_s, options or (), first):
            asked.move(request, RequestState.CANCELLED, "refused")
            asked.counts.refused += 1
            self._put_back(entry, is_lent)
            return False
        asked.move(request, RequestState.SENT)
        asked.requests[request.id] = request
        self._cache.sent(entry)
        asked.counts.sent += 1
        asked.has_unsent = True
        self._admission.sent(request.id, now_s, tier)
        self._recalling.asked(is_lent)
        return True

    def _put_back(self, entry: int, is_lent: bool) -> None:
        self._cache.let_go(entry)
        (self._recalling if is_lent else self._cache).put_back(entry)
