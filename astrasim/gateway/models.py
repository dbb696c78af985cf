"""What turns a prompt into text: the protocol, and the models that are functions."""

from __future__ import annotations

import importlib
import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from anyio import to_thread

from ..errors import AstraSimError
from ..prompts import Prompt
from ..vocabulary import Scope, Vocabulary
from .messages import NO_USAGE, Usage
from .spec import ModelSpec

if TYPE_CHECKING:
    from typing_extensions import TypeIs

MAX_TOKENS = 512
"""How long an answer may get: 8 steps of JSON take about 250 tokens."""


_MAY_PASS = ("unreachable", "connection_lost", "server_busy", "server_error", "http_408", "http_429")


class ModelError(AstraSimError):
    """A model gave no answer.

    Attributes:
        reason: one word that statistics count by, such as ``unreachable``, ``http_404`` or ``cut_off``.
        detail: what exactly was wrong, for a person.
        wait_s: for how many seconds the server asks to be left alone (``Retry-After``); 0 if it does not say.
    """

    def __init__(self, reason: str, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.wait_s = wait_s

    @property
    def may_pass(self) -> bool:
        """Whether the same request, sent again in a moment, may well be answered."""
        return self.reason in _MAY_PASS or self.reason.startswith("http_5")


class Completion(NamedTuple):
    """What a model wrote, and what it cost, as far as the model says."""

    text: str
    usage: Usage = NO_USAGE
    waited_s: float = 0.0
    """How long it took until the model began, as far as it says."""


class Model(Protocol):
    """A model that writes plans as JSON. The gateway asks it several requests at a time, each cancelled when its
    deadline passes."""

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        """The model's answer to ``prompt``, which should be JSON that fits ``schema``.

        Raises:
            ModelError: if there is none.
        """
        ...


class Chooser(Protocol):
    """A model too small to write plans: it chooses one of the steps that the heuristic thinks of, in the compact
    dialect. Asked and cancelled as a :class:`Model` is."""

    def prompt(self, vocabulary: Vocabulary, scope: Scope, key: int) -> Prompt:
        """What it is asked in the situation (scope, key)."""
        ...

    async def choose(
        self, vocabulary: Vocabulary, scope: Scope, key: int, options: tuple[str, ...], first: bool = False
    ) -> Completion:
        """One of ``options`` (2 to 8 different lines such as ``flee threat``), for the situation (scope, key).
        ``first``: before all that is not, and instead of what it has in hand.

        Raises:
            ModelError: if there is none.
        """
        ...


def is_chooser(model: Model | Chooser) -> TypeIs[Chooser]:
    """Which of the two it is. (``isinstance`` of a protocol takes 30 µs to say no.)"""
    return hasattr(model, "choose")


@runtime_checkable
class Keeper(Protocol):
    """A model that has something to do beside the requests."""

    async def keep_loaded(self) -> None:
        """Runs for as long as the gateway does, which cancels it: loads the model wherever it is not."""
        ...


def with_schema(text: str, schema: dict[str, Any]) -> str:
    """``text`` (a prompt's stable part), and below it the schema of the answer, compactly."""
    return f"{text}\nThe JSON schema of your answer: {schema_text(schema)}"


_texts: OrderedDict[int, tuple[dict[str, Any], str]] = OrderedDict()
_KEPT_TEXTS = 1024


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as compact JSON. Kept: it is most of a request, and the same object for each request of a scope."""
    known = _texts.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    text = json.dumps(schema, separators=(",", ":"))
    _texts[id(schema)] = schema, text
    if len(_texts) > _KEPT_TEXTS:
        _texts.popitem(last=False)
    return text


def request_body(request: dict[str, Any], **encoded: str) -> bytes:
    """A request (of one member at least) as JSON, and with members more, which are JSON already."""
    more = "".join(f', "{name}": {value}' for name, value in encoded.items())
    return f"{json.dumps(request)[:-1]}{more}}}".encode()


async def open_model(spec: ModelSpec, max_in_flight: int, tell: Callable[[str], None]) -> Model | Chooser:
    """The model that ``spec`` names.

    Args:
        tell: takes what the model is busy with (loading, calibrating), for people; "" for nothing any more.

    Raises:
        ModelError: with reason ``no_model``, if it cannot be asked at all.
    """
    if spec.kind == "openai":
        from .openai import OpenAIModel

        return OpenAIModel(spec)
    if spec.kind == "ollama":
        from .ollama import OllamaModel

        return OllamaModel(spec, tell)
    if spec.kind == "embedded":
        from .embedded import open_embedded

        return await open_embedded(spec, tell)
    # In a thread, because some modules take seconds to import and the game must hear that we are alive.
    function = await to_thread.run_sync(_find_function, spec.name)
    return FunctionModel(function, max_in_flight)


def _find_function(name: str) -> Callable[..., Any]:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ModelError("no_model", f"cannot import {name!r}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ModelError("no_model", f"{name!r} is no function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


class BrokenModel:
    """Stands in for a model that could not be opened: every request learns why."""

    def __init__(self, error: ModelError) -> None:
        self._error = error

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        raise self._error


class FunctionModel:
    """A Python function as a model: for tests, and for models that a game brings along.

    It is called with (prompt, schema) and returns the answer's text. A plain function runs in a thread, and cannot be
    stopped: where its request's deadline passes, it runs on to its end and what it returns is thrown away. Of those,
    ``max_running`` at most run at a time.
    """

    def __init__(self, function: Callable[..., Any], max_running: int) -> None:
        self._function = function
        self._max_running = max_running
        self._running = 0
        self._lock = threading.Lock()
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (objects with an async __call__)
        )

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        try:
            if self._is_async:
                text = await self._function(prompt, schema)
            else:
                text = await self._in_thread(prompt, schema)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError("function_raised", f"{type(error).__name__}: {error}") from error
        if not isinstance(text, str):
            raise ModelError("bad_response", f"the function returned {type(text).__name__}, not str")
        return Completion(text)

    async def _in_thread(self, prompt: Prompt, schema: dict[str, Any]) -> object:
        # anyio's own limiter forgets threads that were abandoned; these must keep counting until they end.
        with self._lock:
            if self._running >= self._max_running:
                raise ModelError("function_busy", f"{self._running} calls are still running, most of them too late")
            self._running += 1
        return await to_thread.run_sync(partial(self._call, prompt, schema), abandon_on_cancel=True)

    def _call(self, prompt: Prompt, schema: dict[str, Any]) -> object:
        try:
            return self._function(prompt, schema)
        finally:
            with self._lock:
                self._running -= 1
