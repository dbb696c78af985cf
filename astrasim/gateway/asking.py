"""One request: asked, asked again where that is worth it, and read, all under one deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio
import stamina

from ..errors import PlanRejected
from ..reader import Steps
from .exchanges import ExchangeLog
from .messages import NO_USAGE, Usage
from .models import MAX_TOKENS, Completion, ModelError
from .policy import GatewayPolicy
from .questions import Question

# It would log each retry; they are counted instead (``Answer.tries``, ``Failure.tries``).
stamina.instrumentation.set_on_retry_hooks([])


@dataclass(eq=False, slots=True)
class Request:
    """What the game asked, and what came of it so far. ``scope`` ends everything that is done for it: at the deadline,
    or when nobody wants it any more."""

    id: int
    scope_id: int
    key: int
    options: tuple[tuple[int, int], ...]
    seconds: float
    tries_left: int
    scope: anyio.CancelScope
    first: bool = False
    """It is about a new order, which a model that chooses takes before all else."""
    cancelled: bool = False
    began: float | None = None
    """When it was its turn, by ``perf_counter``."""
    tries: int = 0
    tokens: int = 0
    """What it cost: as the server says, else about (3 characters a token)."""
    usage: Usage = NO_USAGE
    raw: str | None = None
    """What the model answered last."""
    rejected: PlanRejected | None = None
    """Why that was no plan."""

    @property
    def latency_ms(self) -> float:
        """How long it has been with the model, retries and pauses included."""
        return 0.0 if self.began is None else 1000 * (time.perf_counter() - self.began)


async def ask(request: Request, question: Question, policy: GatewayPolicy, log: ExchangeLog | None) -> Steps:
    """The model's plan. A model whose answer is none is asked once more, in the shortest prompt.

    To be called inside ``request.scope``; it is cancelled at the deadline.

    Raises:
        ModelError: if there is no answer, after the last of the tries.
        PlanRejected: if the answer is no plan.
    """
    try:
        return await _exchange(request, question, policy, log)
    except (ModelError, PlanRejected) as error:
        if question.simpler is None or (isinstance(error, ModelError) and error.reason != "cut_off"):
            raise
    return await _exchange(request, question.simpler(), policy, log)


async def _exchange(request: Request, question: Question, policy: GatewayPolicy, log: ExchangeLog | None) -> Steps:
    raw, outcome, begun = None, "", time.perf_counter()
    try:
        completion = await _complete(request, question, policy)
        request.raw = raw = completion.text
        steps = question.read(raw)
        outcome = "answered"
        return steps
    except PlanRejected as error:
        request.rejected, outcome = error, error.reason
        raise
    except ModelError as error:
        outcome = error.reason
        raise
    except Exception:
        outcome = "gateway_error"
        raise
    finally:
        if log is not None:
            outcome = outcome or ("cancelled" if request.cancelled else "deadline")
            log.write(request.id, question.prompt, raw, outcome, 1000 * (time.perf_counter() - begun))


async def _complete(request: Request, question: Question, policy: GatewayPolicy) -> Completion:
    pause_s = policy.retry_pause_ms / 1000
    attempt: stamina.Attempt

    def again(error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds."""
        if not isinstance(error, ModelError) or not error.may_pass:
            return False  # the deadline's cancellation comes by here as well
        longest_s = error.wait_s or attempt.next_wait + pause_s / 2
        if anyio.current_time() + longest_s >= request.scope.deadline:
            return False  # what is known to be wrong says more than that the deadline passed in a pause
        return error.wait_s or True

    # The first try, nearly always the only one, is made without stamina, which takes longer than reading the answer; if
    # it fails, stamina hears of it as its first.
    failure: ModelError | None = None
    try:
        return await _once(request, question)
    except ModelError as error:
        failure = error
    tries = stamina.retry_context(
        on=again, attempts=request.tries_left, timeout=None,
        wait_initial=pause_s, wait_max=float("inf"), wait_jitter=pause_s / 2,
    )  # fmt: skip
    async for attempt in tries:
        with attempt:
            if failure is not None:
                try:
                    raise failure
                finally:
                    failure = None
            return await _once(request, question)
    raise AssertionError("the last try ends by returning or raising")


async def _once(request: Request, question: Question) -> Completion:
    """One try, and what it cost. One that is cut short has cost its prompt; one that no server took, nothing."""
    request.tries += 1
    about, before = question.prompt.about_tokens, request.tokens
    request.tokens += about
    try:
        completion = await question.ask()
    except ModelError as error:
        if error.may_pass:
            request.tokens = before
        elif error.reason == "cut_off":
            request.tokens += MAX_TOKENS
        raise
    if request.began is not None:
        request.began += completion.waited_s
    usage = completion.usage
    said = usage.prompt_tokens + usage.tokens
    request.tokens = before + (said or about + -(-len(completion.text) // 3))
    request.usage = request.usage.plus(usage)
    return completion
