"""llama.cpp inside this process, through xllamacpp: how likely each of a few ways to go on with a text is.

Nothing is generated and read back. One evaluation of a text gives the probabilities of the next token, of which those
that may follow are compared; so no answer can ramble, break off or fit no grammar.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx

from .idling import native_threads
from .lane import Stopped
from .models import ModelError

CONTEXT = 2048
"""Tokens of context that the slots share, 23 KB each."""
SLOTS = 4
"""Texts whose evaluated beginnings are kept: the stable parts of so many scopes' prompts need no second evaluation."""
BATCH = 8
"""Tokens that are evaluated at a time. Who is told to stop does so after two such pieces at most. Pieces of 4 cost a
sixth more for a token, of 2 a third; all at once costs a tenth less, and takes a second. (llama.cpp needs one for each
slot.)"""

_FORCED = 100.0
"""Added to the logits of the tokens that may follow: all others then have no weight beside them."""
_NEVER = -69.0
"""The logarithm of a probability too small to be told: 1e-30."""
_TOKENISE_S = 30.0


class Engine(Protocol):
    """What is used of ``xllamacpp.Server``. It never raises: errors come back as ``{"error": ...}``."""

    def handle_completions(self, body: dict[str, Any], told: Callable[[Any], bool]) -> None:
        """Tells of what it has done, piece by piece; it stops when ``told`` returns True."""


class Weights(NamedTuple):
    """How likely each of the tokens asked about is to come next, and what finding out cost."""

    logs: tuple[float, ...]
    """Natural logarithms of probabilities, which add up to 1 over the tokens asked about."""
    evaluated: int
    """Tokens that had to be evaluated: those that no slot knew."""


class Llama:
    """A loaded model. Its methods block; they may be called from any thread, but only one at a time is fast."""

    def __init__(self, engine: Engine, tokenise: Callable[[str], list[int]]) -> None:
        self._engine = engine
        self.tokenise = tokenise
        self.threads: frozenset[int] = frozenset()
        """The numbers of its threads, where they are known."""

    def weigh(
        self, text: str, then: Sequence[int], tokens: Sequence[int], should_stop: Callable[[], bool] = lambda: False
    ) -> Weights:
        """How likely each of ``tokens`` (different ones) is to follow ``text`` and the tokens ``then``.

        Args:
            should_stop: asked after each ``BATCH`` tokens.

        Raises:
            ModelError: ``too_long`` for more text than there is context, else ``bad_response``.
            Stopped: once it should.
        """
        said: list[Any] = []
        stopped = False

        def told(message: Any) -> bool:
            nonlocal stopped
            said.append(message)
            stopped = "prompt_progress" in message and should_stop()
            return stopped

        self._engine.handle_completions(
            {
                "prompt": [text, *then],
                "n_predict": 1,
                "temperature": 1.0,
                "samplers": ["temperature"],
                "logit_bias": [[token, _FORCED] for token in tokens],
                "n_probs": len(tokens),
                "post_sampling_probs": True,
                "cache_prompt": True,
                "stream": True,
                "return_progress": True,
                "stream_options": {"include_usage": True},
            },
            told,
        )
        if stopped:
            raise Stopped
        return _read(said, tokens)

def _read(said: list[Any], tokens: Sequence[int]) -> Weights:
    """What the engine told, of which the progress comes first, then the token, and what it cost at last. Raises as
    :meth:`Llama.weigh` does."""
    try:
        error = next((each["error"] for each in said if "error" in each), None)
        if error is not None:
            reason = "too_long" if error.get("type") == "exceed_context_size_error" else "bad_response"
            raise ModelError(reason, f"llama.cpp: {error.get('message', error)}")
        written = next(each["choices"][0]["logprobs"] for each in said if each["choices"][0]["logprobs"])
        found = {each["id"]: each["prob"] for each in written["content"][0]["top_probs"]}
        logs = tuple(math.log(p) if (p := found.get(token, 0.0)) > 1e-30 else _NEVER for token in tokens)
        usage = said[-1]["usage"]
        return Weights(logs, usage["prompt_tokens"] - usage.get("prompt_tokens_details", {}).get("cached_tokens", 0))
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        what = f"llama.cpp gave no probabilities: {error!r} in {str(said)[:200]}"
        raise ModelError("bad_response", what) from None


class Branches:
    """Lines such as ``flee threat`` as ways through a tree of tokens, each ending with the end of its line."""

    def __init__(self, lines: Iterable[str], tokenise: Callable[[str], list[int]]) -> None:
        end = tokenise("\n")
        # A space first, because a line follows a word.
        self._ways = {line: (*tokenise(f" {line}"), *end) for line in lines}
        self._next: dict[tuple[int, ...], dict[int, None]] = {}
        for way in self._ways.values():
            for i, token in enumerate(way):
                self._next.setdefault(way[:i], {})[token] = None

    def weigh(
        self, llama: Llama, text: str, lines: Iterable[str], should_stop: Callable[[], bool] = lambda: False
    ) -> tuple[dict[str, float], int]:
        """How likely each of ``lines`` is to follow ``text``, if one of all lines must: logarithms, and how many tokens
        were evaluated. Only the forks on the ways to ``lines`` are looked at.

        Raises:
            ModelError, Stopped: as :meth:`Llama.weigh` does.
        """
        forks: dict[tuple[int, ...], dict[int, float]] = {}
        logs, evaluated = {}, 0
        for line in lines:
            way, log = self._ways[line], 0.0
            for i, token in enumerate(way):
                if len(self._next[way[:i]]) == 1:
                    continue
                if way[:i] not in forks:
                    if should_stop():
                        raise Stopped
                    tokens = tuple(self._next[way[:i]])
                    weights = llama.weigh(text, way[:i], tokens, should_stop)
                    forks[way[:i]] = dict(zip(tokens, weights.logs, strict=True))
                    evaluated += weights.evaluated
                log += forks[way[:i]][token]
            logs[line] = log
        return logs, evaluated


def cores_for_a_model() -> int:
    """All cores that this process may use but one, which is the game's."""
    # Python 3.13 has os.process_cpu_count for this. In a container, or under taskset, os.cpu_count says too many.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, allowed - 1)


def load(file: Path, threads: int) -> Llama:
    """The weights in ``file``, loaded (half a second, 170 MB, of which the weights are shared by all who load them).

    xllamacpp always opens an HTTP port. It is on the loopback, no web page may read from it, and it wants a key that is
    drawn here and told to nobody: only :meth:`Llama.tokenise` uses it, there being no other way to a text's tokens.
    Without the key it only says that it is there (``/health``).

    Raises:
        ModelError: ``no_model``, if xllamacpp is not installed or does not take the file.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise ModelError(
            "no_model", f'the embedded model needs xllamacpp ({error}): pip install "astrasim[embedded]"'
        ) from None
    key = secrets.token_urlsafe(32)
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    params.n_threads_http = 1
    params.n_ctx, params.n_parallel, params.kv_unified = CONTEXT, SLOTS, True
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0  # the same on every machine, and the GPU is the game's
    params.cache_ram_mib = 0  # no second prompt cache beside the slots' own, which would grow to 8 GiB
    params.verbosity = -1
    try:
        before = native_threads()
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ModelError(
            "no_model", f"llama.cpp does not load {file} ({error}): `astrasim model list` checks the file"
        ) from None
    llama = Llama(server, Tokeniser(server.listening_address, key))
    llama.weigh(" ", (), (0,))  # the last of its threads begin now
    llama.threads = native_threads() - before
    return llama


class Tokeniser:
    """Tokens of a text, from the server's own port, with its key."""

    def __init__(self, url: str, key: str) -> None:
        # One connection for all: a client of its own takes ten times as long as the answer.
        # trust_env: the loopback is reached directly, whatever proxy the player has set.
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TOKENISE_S,
            trust_env=False,
            # The server hangs up after 5 s: by then the connection is given up, so that no request meets it closing.
            limits=httpx.Limits(keepalive_expiry=2.0),
        )

    def __call__(self, text: str) -> list[int]:
        try:
            said = self._client.post("/tokenize", json={"content": text})
            tokens = said.raise_for_status().json()["tokens"]
            if not tokens or not all(type(token) is int for token in tokens):
                raise ValueError(f"tokens {str(tokens)[:100]}")
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ModelError("bad_response", f"llama.cpp did not tokenise {text[:60]!r}: {error!r}") from None
        return list(tokens)
