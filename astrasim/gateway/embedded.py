"""The embedded model: SmolLM2-135M-Instruct inside the gateway process. It chooses, and does not write.

Of the steps that the heuristic thinks of, it takes the one whose action gains most by the situation: an action's
probability after this situation, against its mean over many situations (the calibration). It is a demonstration model,
and its choices are no better than that: ``python -m astrasim.perf.decisions`` measures them.

Until a role is calibrated, its requests are refused at once and heuristics decide. The other ways are worse.
Uncalibrated, the model's choice was right in 26 of 72 situations, the heuristic's first step in 30 (p = 0.29), and such
an answer would be kept for the rest of the game. The heuristic's step passed off as the model's would be a lie in every
figure. Requests that wait would hold up those of other roles, only to be answered about a situation of 10 s ago.
Refusing takes no time from the calibration; what was refused may be asked again after ``retry_after_s``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from anyio import to_thread

from ..prompts import Prompt, choice_prompt
from ..vocabulary import Scope, Vocabulary
from . import weights
from .calibration import Basis, Bias, CalibrationStore, Tally, basis_of, without_order
from .idling import step_aside, step_back
from .lane import Lane, Stopped
from .llama import SLOTS, Branches, Llama, cores_for_a_model, load
from .messages import Usage
from .models import Completion, ModelError
from .spec import ModelSpec
from .weights import NAME

_SCOPES = 256
_ANSWERING_S = 0.005
"""How long an answer takes on its way out of this process, at most as a rule."""


async def open_embedded(spec: ModelSpec, tell: Callable[[str], None]) -> Embedded:
    """The embedded model, loaded.

    Raises:
        ModelError: ``no_model``, if xllamacpp or the weights are missing, or another model than ours is named.
    """
    if spec.name not in ("", NAME):
        raise ModelError("no_model", f"there is no embedded model {spec.name!r}; there is: {NAME}")
    file = weights.find()
    if file is None:
        raise ModelError("no_model", f"there are no weights at {weights.path()}: `astrasim model install` fetches them")
    tell(f"loading {NAME}")
    try:
        # In a thread, because the game must hear meanwhile that we are alive.
        llama, for_orders = [await to_thread.run_sync(load, file, cores_for_a_model()) for _ in range(2)]
    finally:
        tell("")
    return Embedded(llama, for_orders, CalibrationStore(file.parent / "calibrations"), tell)


class Known:
    """What is kept of a scope, whatever order and persona: its steps, and what is subtracted, once that is known."""

    def __init__(self, lines: tuple[str, ...], basis: Basis, tally: Tally) -> None:
        self.lines, self.basis, self.tally = lines, basis, tally
        self.bias: Bias | None = tally.mean() if tally.done == len(basis.prompts) else None
        self.work: Iterator[None] | None = None
        """Its calibration, as long as that is not done."""
        self.in_hand = False
        """Whether the calibration is the one that has begun."""
        self.error: ModelError | None = None
        """Why there will be none in this game."""
        self._branches: Branches | None = None

    def branches(self, llama: Llama) -> Branches:
        """Its steps as branches. Made in the lane, because tokens take time."""
        if self._branches is None:
            self._branches = Branches(self.lines, llama.tokenise)
        return self._branches

    def refusal(self, role: str) -> ModelError | None:
        """Why nobody may ask yet."""
        if self.bias is not None:
            return None
        if self.error is not None:
            return ModelError(self.error.reason, f"the model cannot be calibrated for role {role}: {self.error.detail}")
        done = f"{self.tally.done} of {len(self.basis.prompts)}"
        return ModelError("calibrating", f"the model is being calibrated for role {role} ({done}): heuristics decide")


class Embedded:
    """A loaded model as a :class:`~astrasim.gateway.models.Chooser`.

    Evaluations run in one thread, one at a time: requests of calibrated scopes and the pieces of one calibration take
    turns. What is evaluated is left within a few tokens if it is cancelled.

    A few tokens take frames, for which no order is to wait. So orders have a llama.cpp of their own, over the same
    weights. While one is evaluated there, all else is left, and what it still takes to do so is done aside; then it is
    begun again, and what llama.cpp remembers of it is not lost.
    """

    def __init__(
        self, llama: Llama, for_orders: Llama, store: CalibrationStore, tell: Callable[[str], None]
    ) -> None:
        self._llama, self._for_orders, self._store, self._tell = llama, for_orders, store, tell
        self._lane, self._orders = Lane("astrasim-llama"), Lane("astrasim-orders")
        self._holders = 0
        self._prepared: set[str] = set()
        self._known: dict[Scope, Known] = {}  # by scope without its order and persona

    def prompt(self, vocabulary: Vocabulary, scope: Scope, key: int) -> Prompt:
        """A text to go on with, in two parts; the first depends on the scope without its order only."""
        return choice_prompt(vocabulary, scope, key)

    async def choose(
        self, vocabulary: Vocabulary, scope: Scope, key: int, options: tuple[str, ...], first: bool = False
    ) -> Completion:
        """One of ``options``; of equally good ones the first, which is the heuristic's own choice.

        Raises:
            ModelError: ``calibrating``, at once, until the scope is calibrated; else if there is none.
        """
        known = self._know(vocabulary, scope)
        if (refusal := known.refusal(scope.role)) is not None:
            raise refusal
        asked_s = time.perf_counter()
        llama, lane = (self._for_orders, self._orders) if first else (self._llama, self._lane)
        job = partial(self._choose, llama, known, vocabulary, scope, key, options, asked_s)
        if not first:
            self._prepare(choice_prompt(vocabulary, scope, key).system)
            return await lane.run(job)
        try:
            self._make_way()
            return await lane.run(job)
        finally:
            # Not at once: first this answer goes out.
            asyncio.get_running_loop().call_later(_ANSWERING_S, self._go_on)

    def _make_way(self) -> None:
        self._lane.hold()
        self._holders += 1
        if self._holders == 1:
            step_aside(self._for_orders.threads)

    def _go_on(self) -> None:
        self._holders -= 1
        if not self._holders:
            step_back()
        self._lane.release()

    def _prepare(self, beginning: str) -> None:
        """Have ``beginning`` evaluated where orders are, so that the first one need not. (No more than fit there.)"""
        if beginning not in self._prepared and len(self._prepared) < SLOTS:
            self._prepared.add(beginning)
            self._orders.in_background(self._begin(beginning))

    def _begin(self, beginning: str) -> Iterator[None]:
        is_left = True
        while is_left:
            is_left = False
            try:
                with suppress(ModelError):  # an order will say what is wrong
                    self._for_orders.weigh(beginning, (), (0,), lambda: self._orders.is_wanted)
            except Stopped:  # for an order; what was evaluated is not lost
                is_left = True
            yield

    def _choose(
        self,
        llama: Llama,
        known: Known,
        vocabulary: Vocabulary,
        scope: Scope,
        key: int,
        options: tuple[str, ...],
        asked_s: float,
        should_stop: Callable[[], bool],
    ) -> Completion:
        start = time.perf_counter()
        text = "".join(choice_prompt(vocabulary, scope, key))
        logs, evaluated = known.branches(llama).weigh(llama, text, options, should_stop)
        chosen = choose_step(logs, known.bias)
        usage = Usage(evaluated, 1, 1000 * (time.perf_counter() - start))
        return Completion(chosen, usage, waited_s=start - asked_s)

    def _know(self, vocabulary: Vocabulary, scope: Scope) -> Known:
        """What is known of the scope; where it is not calibrated, that is begun, or goes on where it was left."""
        scope = without_order(scope)
        known = self._known.pop(scope, None)
        if known is None:
            basis = basis_of(vocabulary, scope)
            known = Known(basis.lines, basis, self._store.load(basis))
            if known.bias is None:
                known.work = self._calibrate(scope, known)
                self._lane.in_background(known.work)
        self._known[scope] = known  # at the end: the one at the front was not used for longest
        if len(self._known) > _SCOPES:
            self._forget()
        return known

    def _forget(self) -> None:
        """Forget the scope that was not used for longest, with its calibration; but never the one in hand, so that
        calibrations end however many scopes there are."""
        scope, known = next((scope, known) for scope, known in self._known.items() if not known.in_hand)
        if known.work is not None:
            self._lane.drop(known.work)
        del self._known[scope]

    def _calibrate(self, scope: Scope, known: Known) -> Iterator[None]:
        known.in_hand = True
        texts, tally = known.basis.prompts, known.tally
        try:
            while tally.done < len(texts):
                self._say(f"calibrating the model for role {scope.role}: {tally.done} of {len(texts)}")
                yield
                branches, text = known.branches(self._llama), texts[tally.done]
                try:
                    logs, _ = branches.weigh(self._llama, text, known.lines, lambda: self._lane.should_stop)
                except Stopped:
                    continue
                tally.add(logs)
                # Each time, because nobody knows when the player leaves.
                self._store.save(known.basis, tally, f"{NAME}: {scope.domain}, role {scope.role}, kind {scope.kind}")
            known.bias = tally.mean()
        except ModelError as error:
            known.error = error
            told = f"astrasim gateway: the model cannot be calibrated for role {scope.role}: {error.detail}"
            print(told, file=sys.stderr)
        except Exception as error:  # a mistake of ours, which the lane prints; nobody is to wait for this calibration
            known.error = ModelError("gateway_error", f"{type(error).__name__}: {error}")
            raise
        finally:
            known.in_hand, known.work = False, None
            self._say("")

    def _say(self, text: str) -> None:
        self._lane.call_in_loop(self._tell, text)


def choose_step(logs: dict[str, float], bias: Bias | None) -> str:
    """The step whose log-probability gains most against its action's ``bias``; of equal ones the first."""
    # A margin by which another had to be better than the heuristic's first step was tried; it changed nothing.
    return max(logs, key=lambda line: logs[line] - (bias[line.partition(" ")[0]] if bias is not None else 0.0))
