"""The embedded model: SmolLM2-135M-Instruct inside the gateway process. It chooses, and does not write.

Of the steps that the heuristic thinks of, it takes the one whose action gains most by the situation: an action's
probability after this situation, against its mean over many situations (the calibration). It is a demonstration model,
and its choices are no better than that: ``python -m astrasim.perf.decisions`` measures them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from anyio import to_thread

from ..prompts import Prompt, choice_prompt, steps_of
from ..vocabulary import Scope, Vocabulary
from . import calibration, weights
from .calibration import Basis, Bias, CalibrationStore, by_action
from .lane import Lane
from .llama import Branches, Llama, cores_for_a_model, load
from .messages import Usage
from .models import Completion, ModelError
from .spec import ModelSpec
from .weights import NAME

_SCOPES = 256


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
        llama = await to_thread.run_sync(load, file, cores_for_a_model())
    finally:
        tell("")
    return Embedded(llama, CalibrationStore(file.parent / "calibrations"), tell)


class Known:
    """What is kept of a scope: its steps as branches, and what is subtracted, once that is known."""

    def __init__(self, branches: Branches) -> None:
        self.branches = branches
        self.bias: Bias | None = None


class Embedded:
    """A loaded model as a :class:`~astrasim.gateway.models.Chooser`.

    All evaluations run in one thread, one at a time; requests before calibrations. A request that is cancelled while
    it is evaluated is left behind at its next fork: at most one evaluation (about 0.3 s) runs for nobody.
    """

    def __init__(self, llama: Llama, store: CalibrationStore, tell: Callable[[str], None]) -> None:
        self._llama, self._store, self._tell = llama, store, tell
        self._lane = Lane("astrasim-llama")
        self._known: dict[Scope, Known] = {}  # by scope without its order

    def prompt(self, vocabulary: Vocabulary, scope: Scope, key: int) -> Prompt:
        """A text to go on with, in two parts; the first depends on the scope without its order only."""
        return choice_prompt(vocabulary, scope, key)

    async def choose(self, vocabulary: Vocabulary, scope: Scope, key: int, options: tuple[str, ...]) -> Completion:
        """One of ``options``; of equally good ones the first, which is the heuristic's own choice.

        Raises:
            ModelError: if there is none.
        """
        return await self._lane.run(partial(self._choose, vocabulary, scope, key, options))

    def _choose(
        self,
        vocabulary: Vocabulary,
        scope: Scope,
        key: int,
        options: tuple[str, ...],
        given_up: Callable[[], bool],
    ) -> Completion:
        start = time.perf_counter()
        known = self._know(vocabulary, scope)
        text = "".join(choice_prompt(vocabulary, scope, key))
        logs, evaluated = known.branches.weigh(self._llama, text, options, given_up)
        chosen = choose_step(logs, known.bias)
        return Completion(chosen, Usage(evaluated, 1, 1000 * (time.perf_counter() - start)))

    def _know(self, vocabulary: Vocabulary, scope: Scope) -> Known:
        """What is known of the scope; the first time, its calibration is begun."""
        scope = scope.model_copy(update={"order": ""})
        known = self._known.pop(scope, None)
        if known is None:
            known = Known(Branches(steps_of(vocabulary, scope), self._llama.tokenise))
            self._lane.in_background(self._calibrate(vocabulary, scope, known))
        self._known[scope] = known  # at the end: the one at the front was not used for longest
        if len(self._known) > _SCOPES:
            del self._known[next(iter(self._known))]
        return known

    def _calibrate(self, vocabulary: Vocabulary, scope: Scope, known: Known) -> Iterator[None]:
        lines = steps_of(vocabulary, scope)
        keys = calibration.situations(vocabulary, scope)
        texts = ["".join(choice_prompt(vocabulary, scope, key)) for key in keys]
        basis = Basis(weights.GGUF_SHA256, tuple(texts), lines)
        known.bias = self._store.load(basis)
        if known.bias is not None:
            return
        try:
            sums: dict[str, float] = {}
            for done, text in enumerate(texts):
                self._say(f"calibrating the model for role {scope.role}: {done} of {len(texts)}")
                yield
                logs, _ = known.branches.weigh(self._llama, text, lines)
                for action, log in by_action(logs).items():
                    sums[action] = sums.get(action, 0.0) + log / len(texts)
            self._store.save(basis, sums, f"{NAME}: {scope.domain}, role {scope.role}, kind {scope.kind}")
            known.bias = sums
        except ModelError as error:
            told = f"astrasim gateway: the model stays uncalibrated for role {scope.role}: {error.detail}"
            print(told, file=sys.stderr)
        finally:
            self._say("")

    def _say(self, text: str) -> None:
        self._lane.call_in_loop(self._tell, text)


def choose_step(logs: dict[str, float], bias: Bias | None) -> str:
    """The step whose log-probability gains most against its action's ``bias``; of equal ones the first."""
    # A margin by which another had to be better than the heuristic's first step was tried; it changed nothing.
    return max(logs, key=lambda line: logs[line] - (bias[line.partition(" ")[0]] if bias is not None else 0.0))
