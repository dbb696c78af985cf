"""The gateway process: takes requests from the game, asks the model, reads its answers, sends plans back.

What keeps it bounded: at most ``max_in_flight`` requests are with the model, four times as many wait, the rest is
refused; each request is one task under one deadline that starts when it comes in; and while the game does not read
(a paused game), nothing more is read from the game.
"""

from __future__ import annotations

import gc
import sys
import time
import traceback
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import anyio
from anyio import to_thread
from anyio.abc import SocketStream, TaskGroup

from ..errors import PlanRejected
from ..reader import Steps
from ..vocabulary import Scope, Vocabulary
from .asking import Request, ask
from .exchanges import ExchangeLog
from .framing import FrameReader, FramingError, Message, pack
from .idling import event_loop, give_way
from .keeping import Keeping
from .leaving import leave, leave_orphaned, leave_with_game
from .messages import MAX_TO_GAME, MAX_TO_GATEWAY, QUEUE_FACTOR, clean
from .models import BrokenModel, Chooser, Keeper, Model, ModelError, is_chooser, open_model
from .policy import GatewayPolicy
from .questions import Questions
from .recall import Recall
from .recalled import answer_looks
from .spec import ModelSpec

_OUTBOX_BYTES = 1024 * 1024
MOST_SCOPES = 1000
"""In one message."""
_RECEIVE_BYTES = 64 * 1024
_OBJECTS_A_COLLECTION = 10_000
LEAST_SECRET = 8
"""Characters; see :meth:`ModelSpec.hide`."""


def serve(settings: dict[str, Any]) -> NoReturn:
    """Be the gateway until the game is gone."""
    spec = ModelSpec(**settings["model"])
    log = ExchangeLog(Path(settings["log"]), partial(spec.hide, least=LEAST_SECRET)) if settings["log"] else None
    # What function models print goes where people see it; standard output is closed.
    sys.stdout = sys.stderr or sys.stdout
    leave_with_game(log)
    code = 0
    try:
        anyio.run(Server(settings, spec, log).run, backend_options={"loop_factory": event_loop})
    except BaseException:
        print(spec.hide(traceback.format_exc()), file=sys.stderr)
        code = 1
    leave(code, log)


class Server:
    """One game's gateway."""

    def __init__(self, settings: dict[str, Any], spec: ModelSpec, log: ExchangeLog | None) -> None:
        self._port: int = settings["port"]
        self._secret: str = settings["secret"]
        self._spec = spec
        self._policy = GatewayPolicy(**settings["policy"])
        self._keeping = Keeping(**settings.get("cache", {}))
        self._log = log
        self._slots = anyio.CapacityLimiter(self._policy.max_in_flight)
        self._requests: dict[int, Request] = {}
        self._outbox = bytearray()
        self._pushed, self._sent = anyio.Event(), anyio.Event()
        self._questions: Questions
        self._scopes: dict[int, Scope] = {}
        self._recall: Recall
        self._model: Model | Chooser
        self._ready = False

    async def run(self) -> None:
        """Returns when the game has closed the connection."""
        stream, frames = await self._enter()
        async with stream, anyio.create_task_group() as tasks:
            tasks.start_soon(self._send, stream)
            tasks.start_soon(self._watch)
            tasks.start_soon(leave_orphaned, self._log)
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
        push us out. If the game is gone, so are we (``leave_with_game``)."""
        hello = pack({"t": "hello", "secret": self._secret}, MAX_TO_GAME)
        while True:
            with suppress(OSError):
                stream = await anyio.connect_tcp("127.0.0.1", self._port)
                frames = FrameReader(MAX_TO_GATEWAY)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await stream.send(hello)
                    while (setup := frames.take()) is None:
                        frames.feed(await stream.receive(_RECEIVE_BYTES))
                    words = Vocabulary.model_validate(setup["vocabulary"])
                    self._questions, self._recall = Questions(words), Recall(words, self._keeping)
                    return stream, frames
                await stream.aclose()
            await anyio.sleep(0.05)

    async def _open_model(self) -> None:
        try:
            self._model = await open_model(self._spec, self._policy.max_in_flight, self._tell)
        except ModelError as error:
            self._model = BrokenModel(error)
            self._push({"t": "note", "text": self._clean(error.detail)})
        with self._recall.surviving():
            await to_thread.run_sync(self._recall.open)
        for scope_id, scope in self._scopes.items():
            self._recall.declare(scope_id, scope)
        self._ready = True
        # An eighth of a request's CPU time was looking for garbage, most of it among what was loaded and stays.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_A_COLLECTION)
        give_way()
        self._push({"t": "ready"})
        if isinstance(self._model, Keeper):
            await self._model.keep_loaded()

    def _tell(self, text: str) -> None:
        """Say what the model is busy with, "" for nothing any more."""
        self._push({"t": "progress", "text": self._clean(text)})

    async def _watch(self) -> None:
        """Tell the game each second what is remembered, and once if the log is in trouble."""
        told, said = False, dict[str, object]()
        while True:
            await anyio.sleep(1.0)
            if self._ready and len(self._outbox) <= _OUTBOX_BYTES:
                with self._recall.surviving():
                    if (figures := self._recall.figures())["looked"] and figures != said:
                        self._push({"t": "memory", **(said := figures)})
                while not self._recall.notes.empty():
                    self._push({"t": "note", "text": clean(self._recall.notes.get())})
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
                self._take(message, tasks)
            case "cancel":
                request = self._requests.pop(message["id"], None)
                if request is not None:
                    request.cancelled = True
                    request.scope.cancel()
            case "scope":
                self._scopes[message["id"]] = scope = Scope.model_validate(message["scope"])
                self._questions.declare(message["id"], scope)
                if self._ready:
                    self._recall.declare(message["id"], scope)
            case "look":
                self._push({"t": "found", "a": answer_looks(self._recall, message)})
            case "used":
                for scope_id, key in message["q"]:
                    with self._recall.surviving():
                        if self._recall.knows(scope_id):
                            self._recall.used(scope_id, key)
            case "retire":
                for scope_id, key in message["q"]:
                    with self._recall.surviving():
                        if self._recall.knows(scope_id):
                            self._recall.retire(scope_id, key)
            case unknown:
                raise FramingError(f"the game sent a message of unknown type {unknown!r}")

    def _take(self, message: Message, tasks: TaskGroup) -> None:
        seconds = message["s"]
        deadline = anyio.CancelScope(deadline=anyio.current_time() + seconds)
        options = tuple((action, target) for action, target in message.get("o", ()))
        tries = 1 if message.get("probe") else self._policy.tries
        first = bool(message.get("first"))
        request = Request(message["id"], message["scope"], message["key"], options, seconds, tries, deadline, first)
        if not self._ready or request.scope_id not in self._questions:
            self._fail(request, "bad_request", "asked before the model or the scope was known")
        elif len(self._requests) >= self._policy.max_in_flight * (1 + QUEUE_FACTOR):
            self._fail(request, "queue_full", f"{len(self._requests)} requests are waiting or with the model")
        else:
            self._requests[request.id] = request
            tasks.start_soon(self._answer, request)

    async def _answer(self, request: Request) -> None:
        """One request, from its arrival to its end."""
        steps: Steps | None = None
        try:
            question = self._questions.about(
                self._model, request.scope_id, request.key, request.options, request.first
            )
            with request.scope:
                # A model that chooses puts an order first by itself.
                async with nullcontext() if request.first and is_chooser(self._model) else self._slots:
                    request.began = time.perf_counter()
                    steps = await ask(request, question, self._policy, self._log)
            if request.cancelled:
                pass
            elif steps is not None:
                with self._recall.surviving():
                    self._recall.answered(request.scope_id, request.key, steps)
                    for level, scopes in self._recall.withdrawn():
                        for first in range(0, len(scopes), MOST_SCOPES):
                            self._push({"t": "withdraw", "level": level, "q": scopes[first : first + MOST_SCOPES]})
                self._succeed(request, steps)
            elif request.rejected is not None:  # the deadline passed in the second attempt: the first says more
                self._fail(request, request.rejected.reason, request.raw or "", rejected=True)
            else:
                where = "waiting for its turn" if request.began is None else "with the model"
                self._fail(request, "deadline", f"no answer within {request.seconds:g} s ({where} until then)")
        except ModelError as error:
            self._fail(request, error.reason, error.detail, wait_s=error.wait_s)
        except PlanRejected as error:
            self._fail(request, error.reason, request.raw or "", rejected=True)
        except Exception as error:  # a mistake of ours: one request's trouble, not everybody's
            print(self._spec.hide(traceback.format_exc()), file=sys.stderr)
            self._fail(request, "gateway_error", f"{type(error).__name__}: {error}")
        finally:
            if self._requests.get(request.id) is request:
                del self._requests[request.id]

    def _clean(self, text: str) -> str:
        """``text`` as it may leave this process: short, and without the key."""
        return clean(self._spec.hide(text, LEAST_SECRET))

    def _succeed(self, request: Request, steps: Steps) -> None:
        self._push(
            {"t": "answer", "id": request.id, "steps": steps, "raw": self._clean(request.raw or ""),
             "ms": round(request.latency_ms, 3), "usage": request.usage, "tries": request.tries,
             "tokens": request.tokens}
        )  # fmt: skip

    def _fail(
        self, request: Request, reason: str, detail: str, *, rejected: bool = False, wait_s: float = 0.0
    ) -> None:
        if not request.cancelled:
            self._push(
                {"t": "failure", "id": request.id, "reason": reason, "detail": self._clean(detail),
                 "rejected": rejected, "tries": request.tries, "tokens": request.tokens, "wait_s": round(wait_s, 3)}
            )  # fmt: skip
