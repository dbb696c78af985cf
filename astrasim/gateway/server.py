"""The gateway process: takes requests from the game, asks the model, reads its answers, sends plans back.

What keeps it bounded: at most ``max_in_flight`` requests are with the model, four times as many wait, the rest is
refused; each request is one task under one deadline that starts when it comes in; and while the game does not read
(a paused game), nothing more is read from the game.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import anyio
from anyio.abc import SocketStream, TaskGroup

from ..errors import PlanRejected
from ..prompts import Prompt, json_prompt, situation_words
from ..reader import Steps, plan_schema, read_choice
from ..recovery import recover_plan
from ..vocabulary import Scope, Vocabulary
from .exchanges import ExchangeLog
from .framing import FrameReader, FramingError, Message, pack
from .messages import MAX_TO_GAME, MAX_TO_GATEWAY, NO_USAGE, QUEUE_FACTOR, Usage, clean
from .models import MAX_TOKENS, BrokenModel, Chooser, Completion, Keeper, Model, ModelError, open_model
from .spec import ModelSpec

_HANG_S = 20.0
_OUTBOX_BYTES = 1024 * 1024
_CACHED_SCOPES = 1024
_RECEIVE_BYTES = 64 * 1024


@dataclass(eq=False, slots=True)
class _Request:
    id: int
    scope_id: int
    key: int
    options: tuple[tuple[int, int], ...]
    seconds: float
    scope: anyio.CancelScope
    cancelled: bool = False


def serve(settings: dict[str, Any]) -> NoReturn:
    """Be the gateway until the game is gone."""
    log = ExchangeLog(Path(settings["log"])) if settings["log"] else None
    # What function models print goes where people see it; standard output is closed.
    sys.stdout = sys.stderr or sys.stdout
    threading.Thread(target=_leave_with_game, args=(_take_stdin(), log), name="astrasim-leave", daemon=True).start()
    code = 0
    try:
        anyio.run(Server(settings, log).run)
    except BaseException:
        traceback.print_exc()
        code = 1
    _leave(code, log)


def _take_stdin() -> int:
    """Standard input under another number, so that neither a function model nor a program that it starts reads it."""
    mine = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return mine


def _leave_with_game(stdin: int, log: ExchangeLog | None) -> None:
    """End this process when the game closes our standard input, or ends. A thread, so that a busy loop is no matter."""
    with suppress(OSError):
        while os.read(stdin, 1024):
            pass
    _leave(0, log)


def _leave(code: int, log: ExchangeLog | None) -> NoReturn:
    if log is not None:
        log.close(0.2)
    with suppress(Exception):
        sys.stderr.flush()
    os._exit(code)  # not sys.exit, which waits for threads, and a function model's may never end


class Question(NamedTuple):
    """A request in the dialect of the model that is asked."""

    prompt: Prompt
    ask: Callable[[], Awaitable[Completion]]
    """Whatever is to be tried again is tried again in here, inside the request's one deadline."""
    read: Callable[[str], Steps]


class Server:
    """One game's gateway."""

    def __init__(self, settings: dict[str, Any], log: ExchangeLog | None) -> None:
        self._port: int = settings["port"]
        self._secret: str = settings["secret"]
        self._spec = ModelSpec(**settings["model"])
        self._max_in_flight: int = settings["max_in_flight"]
        self._log = log
        self._slots = anyio.CapacityLimiter(self._max_in_flight)
        self._requests: dict[int, _Request] = {}
        self._scopes: dict[int, Scope] = {}
        self._prepared: OrderedDict[int, tuple[str, dict[str, Any]]] = OrderedDict()
        self._outbox = bytearray()
        self._pushed, self._sent = anyio.Event(), anyio.Event()
        self._vocabulary: Vocabulary
        self._model: Model | Chooser
        self._ready = False

    async def run(self) -> None:
        """Returns when the game has closed the connection."""
        stream, frames = await self._enter()
        async with stream, anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, stream)
            tasks.start_soon(self._watch)
            tasks.start_soon(self._open_model)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    while (message := frames.take()) is not None:
                        self._accept(message, tasks)
                    while len(self._outbox) > _OUTBOX_BYTES:  # the game does not read, so we do not either
                        self._sent = anyio.Event()
                        await self._sent.wait()
                    frames.feed(await stream.receive(_RECEIVE_BYTES))
            tasks.cancel_scope.cancel()

    async def _enter(self) -> tuple[SocketStream, FrameReader]:
        """Connect, say the secret, and wait for the vocabulary. Tried until it works: a crowd at the game's door can
        push us out. If the game is gone, so are we (``_leave_with_game``)."""
        hello = pack({"t": "hello", "secret": self._secret}, MAX_TO_GAME)
        while True:
            with suppress(OSError):
                stream = await anyio.connect_tcp("127.0.0.1", self._port)
                frames = FrameReader(MAX_TO_GATEWAY)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await stream.send(hello)
                    while (setup := frames.take()) is None:
                        frames.feed(await stream.receive(_RECEIVE_BYTES))
                    self._vocabulary = Vocabulary.model_validate(setup["vocabulary"])
                    return stream, frames
                await stream.aclose()
            await anyio.sleep(0.05)

    async def _open_model(self) -> None:
        try:
            self._model = await open_model(self._spec, self._max_in_flight, self._tell)
        except ModelError as error:
            self._model = BrokenModel(error)
            self._push({"t": "note", "text": clean(error.detail)})
        self._ready = True
        self._push({"t": "ready"})
        if isinstance(self._model, Keeper):
            await self._model.keep_loaded()

    def _tell(self, text: str) -> None:
        """Say what the model is busy with, "" for nothing any more."""
        self._push({"t": "progress", "text": clean(text)})

    async def _watch(self) -> None:
        """What is looked at each second: whether the log is in trouble, and two ways to outlive a game that its end of
        our standard input does not show. Another process of the game's may hold that end too; and a function model
        that never lets go of the interpreter keeps us from looking. For the second, a thread outside the interpreter
        ends this process (and prints where it hangs) unless it is told each second that all is well."""
        parent, told = os.getppid(), False
        while True:
            if sys.stderr is not None:
                faulthandler.dump_traceback_later(_HANG_S, exit=True)
            await anyio.sleep(1.0)
            if sys.platform != "win32" and os.getppid() != parent:
                _leave(0, self._log)
            if self._log is not None and self._log.trouble and not told:
                told = True
                print(f"astrasim gateway: {self._log.trouble}", file=sys.stderr)
                self._push({"t": "note", "text": clean(self._log.trouble)})

    async def _send(self, stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError):  # the reader notices too, and ends everything
            while True:
                if not self._outbox:
                    self._pushed = anyio.Event()
                    await self._pushed.wait()
                data = bytes(self._outbox)
                self._outbox.clear()
                self._sent.set()
                await stream.send(data)

    def _push(self, message: Message) -> None:
        self._outbox += pack(message, MAX_TO_GAME)
        self._pushed.set()

    def _accept(self, message: Message, tasks: TaskGroup) -> None:
        match message["t"]:
            case "ping":
                self._push({"t": "pong"})
            case "ask":
                self._ask(message, tasks)
            case "cancel":
                request = self._requests.pop(message["id"], None)
                if request is not None:
                    request.cancelled = True
                    request.scope.cancel()
            case "scope":
                self._scopes[message["id"]] = Scope.model_validate(message["scope"])
                self._prepared.pop(message["id"], None)
            case unknown:
                raise FramingError(f"the game sent a message of unknown type {unknown!r}")

    def _ask(self, message: Message, tasks: TaskGroup) -> None:
        request_id, seconds = message["id"], message["s"]
        if not self._ready or message["scope"] not in self._scopes:
            self._fail(request_id, "bad_request", "asked before the model or the scope was known")
        elif len(self._requests) >= self._max_in_flight * (1 + QUEUE_FACTOR):
            self._fail(request_id, "queue_full", f"{len(self._requests)} requests are waiting or with the model")
        else:
            deadline = anyio.CancelScope(deadline=anyio.current_time() + seconds)
            options = tuple((action, target) for action, target in message.get("o", ()))
            request = _Request(request_id, message["scope"], message["key"], options, seconds, deadline)
            self._requests[request_id] = request
            tasks.start_soon(self._answer, request)

    async def _answer(self, request: _Request) -> None:
        """One request, from its arrival to its end."""
        raw, usage, started, outcome = None, NO_USAGE, None, "deadline"
        try:
            question = self._question(request)
            with request.scope:
                async with self._slots:
                    started = time.perf_counter()
                    raw, usage = await question.ask()
            latency_ms = 1000 * (time.perf_counter() - started) if started else 0.0
            if request.cancelled:
                outcome = "cancelled"
            elif raw is None:
                where = "with the model" if started else "waiting for its turn"
                self._fail(request.id, "deadline", f"no answer within {request.seconds:g} s ({where} until then)")
            else:
                self._succeed(request.id, question.read(raw), raw, latency_ms, usage)
                outcome = "answered"
        except ModelError as error:
            outcome = error.reason
            if not request.cancelled:
                self._fail(request.id, error.reason, error.detail)
        except PlanRejected as error:
            outcome = error.reason
            self._fail(request.id, error.reason, raw or "", rejected=True)
        except Exception as error:  # a mistake of ours: one request's trouble, not everybody's
            traceback.print_exc()
            outcome = "gateway_error"
            self._fail(request.id, outcome, f"{type(error).__name__}: {error}")
        finally:
            if self._requests.get(request.id) is request:
                del self._requests[request.id]
        if self._log is not None and started:
            self._log.write(request.id, question.prompt, raw, outcome, 1000 * (time.perf_counter() - started))

    def _question(self, request: _Request) -> Question:
        """The request in the dialect of the model."""
        words, scope, model = self._vocabulary, self._scopes[request.scope_id], self._model
        if isinstance(model, Chooser):
            options = tuple(f"{words.actions[a].name} {words.targets[t]}" for a, t in request.options)
            prompt = model.prompt(words, scope, request.key)
            return Question(
                prompt,
                partial(model.choose, words, scope, request.key, options),
                partial(read_choice, options=options, vocabulary=words, scope=scope),
            )
        prompt, schema = self._prepare(request, scope)
        return Question(
            prompt,
            partial(model.complete, prompt, schema, MAX_TOKENS),
            partial(recover_plan, vocabulary=words, scope=scope),
        )

    def _prepare(self, request: _Request, scope: Scope) -> tuple[Prompt, dict[str, Any]]:
        """Prompt and schema; what depends on the scope alone is kept."""
        known = self._prepared.get(request.scope_id)
        if known is None:
            known = json_prompt(self._vocabulary, scope, 0).system, plan_schema(self._vocabulary, scope)
            self._prepared[request.scope_id] = known
            if len(self._prepared) > _CACHED_SCOPES:
                self._prepared.popitem(last=False)
        else:
            self._prepared.move_to_end(request.scope_id)
        return Prompt(known[0], situation_words(self._vocabulary, scope, request.key)), known[1]

    def _succeed(self, request_id: int, steps: Steps, raw: str, latency_ms: float, usage: Usage) -> None:
        self._push(
            {"t": "answer", "id": request_id, "steps": steps, "raw": clean(raw), "ms": round(latency_ms, 3),
             "usage": usage}
        )  # fmt: skip

    def _fail(self, request_id: int, reason: str, detail: str, *, rejected: bool = False) -> None:
        message = {"t": "failure", "id": request_id, "reason": reason, "detail": clean(detail), "rejected": rejected}
        self._push(message)
