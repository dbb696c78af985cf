"""A model behind Ollama's own ``/api/chat``.

Its OpenAI-compatible door would do, but has no say in how long a model stays loaded, how large its context is and
whether it thinks, and these decide whether an answer takes one second or twenty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import anyio

from ..prompts import Prompt
from .http import HttpClient, HttpError, error_message, measured
from .messages import Usage
from .models import Completion, ModelError, request_body, schema_text, with_schema
from .ollama_host import model_names
from .spec import ModelSpec

TEMPERATURE = 0.3
LEAST_CONTEXT = 4096
MOST_CONTEXT = 32 * 1024
"""Tokens of context asked for: memory, and time to load. Another size makes Ollama load the model anew."""
CHECK_PAUSE_S = 5.0
"""Between two attempts to have the model loaded, in seconds."""
SUGGESTED_MODEL = "llama3.2"

_FORMS = ("schema", "json", "")
"""How the answer's shape is asked for, the best first: before 0.5 Ollama knew no schemas."""
_FORMAT_WORDS = re.compile(rb"format|grammar|schema", re.IGNORECASE)


class _Answer(NamedTuple):
    text: str
    thought: bool
    finish: object
    usage: Usage


class OllamaModel:
    """Asks ``/api/chat`` for JSON that fits the schema; see ``Model`` for what it is to the gateway.

    ``keep_loaded`` runs beside the requests. It is what loads the model: Ollama stops loading when the request that
    asked for it is given up, so that a model which takes longer to load than a request may take would never be there.
    """

    def __init__(self, spec: ModelSpec, tell: Callable[[str], None]) -> None:
        self._name = spec.name
        self._naming = anyio.Lock()
        self._place = str(spec)
        self._base = spec.address.rstrip("/")
        self._http = HttpClient(spec)
        self._tell = tell
        self._told = ""
        self._context = LEAST_CONTEXT
        self._think: bool | str | None = False  # None: not said
        self._form = 0
        self._doubt = anyio.Event()

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        """The answer's text and its usage.

        Raises:
            ModelError: ``unreachable``, ``proxy_refused``, ``connection_lost``, ``http_<status>``, ``too_large``,
                ``bad_response``, ``server_error`` (said in mid-stream), ``server_busy`` (its queue is full),
                ``cut_off`` (at ``max_tokens``) or ``no_model`` (it is not pulled, or none is; the detail holds the
                command that does).
        """
        try:
            completion = await self._complete(prompt, schema, max_tokens)
        except ModelError as error:
            if error.reason not in ("cut_off", "bad_response", "too_large"):  # the others may mean: it is not loaded
                self._doubt.set()
            raise
        except anyio.get_cancelled_exc_class():
            self._doubt.set()  # most likely the deadline; perhaps because the model is not loaded any more
            raise
        self._say("")
        return completion

    async def _complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        name = await self._model_name()
        # In the prompt too: the format binds only what is written, the model must also know what is wanted. And some
        # versions lose the format of models that could think (ollama issues 14645 and 15260).
        system = with_schema(prompt.system, schema)
        self._context = max(self._context, context_for(len(system.encode()) + len(prompt.user.encode()), max_tokens))
        request: dict[str, Any] = {
            "model": name,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}],
            "stream": True,  # only of a stream can a server notice that we hung up
            "options": {"num_ctx": self._context, "num_predict": max_tokens, "temperature": TEMPERATURE},
            "keep_alive": -1,
        }
        while True:
            think, form = self._think, self._form
            said = {} if think is None else {"think": think}
            shape = {} if form == len(_FORMS) - 1 else {"format": json.dumps(_FORMS[form])}
            if form == 0:
                shape["format"] = schema_text(schema)
            try:
                answer = self._read(await self._ask("POST", "/api/chat", request_body(request | said, **shape), name))
            except HttpError as error:
                if not self._learn(error, think, form):
                    raise
                continue
            if answer.thought and not answer.text.strip() and think is False:
                # gpt-oss thinks whatever it is told, and may have nothing left to say; "low" is its least.
                self._think = "low"
                continue
            if answer.finish == "length":
                self._http.fail("cut_off", f"the answer reached its {max_tokens} tokens before its end")
            return Completion(answer.text, answer.usage)

    def _learn(self, error: HttpError, think: bool | str | None, form: int) -> bool:
        """Whether the request can be sent again, without what the server refused; that is left out from then on."""
        if error.status == 400 and think is not None and b"think" in error.body:
            self._think = None
        elif error.status in (400, 500) and form + 1 < len(_FORMS) and _FORMAT_WORDS.search(error.body):
            self._form = max(self._form, form + 1)
        else:
            return False
        return True

    async def keep_loaded(self) -> None:
        """Have the model loaded, and again whenever requests fail as if it were not. Ends by being cancelled."""
        first = True
        while True:
            self._doubt = anyio.Event()
            if await self._load(aloud=first or bool(self._told)):
                first = False
                await self._doubt.wait()
            await anyio.sleep(CHECK_PAUSE_S)

    async def _load(self, aloud: bool) -> bool:
        try:
            name = await self._model_name()
            if aloud and _is_among(name, await self._list("/api/tags")):
                self._say(f"loading {name} ...")
            # The context as for requests, or the first of them would have it loaded again.
            request: dict[str, Any] = {"model": name, "messages": [], "stream": False, "keep_alive": -1}
            request["options"] = {"num_ctx": self._context}
            await self._ask("POST", "/api/chat", request_body(request), name)
        except ModelError as error:
            self._say(error.detail)
            return False
        self._say("")
        return True

    async def _model_name(self) -> str:
        """The name given, else that of a model that is loaded, else the first that is there."""
        if self._name:
            return self._name
        async with self._naming:
            if not self._name:
                names = await self._list("/api/ps") or await self._list("/api/tags")
                if not names:
                    pull = f"get one: ollama pull {SUGGESTED_MODEL}"
                    self._http.fail("no_model", f"{self._place} has no model that can chat; {pull}")
                self._name = names[0]
            return self._name

    async def _list(self, path: str) -> list[str]:
        body = await self._ask("GET", path)
        try:
            return model_names(body)
        except ValueError as error:
            self._http.fail("bad_response", f"{self._place}{path}: {error}")

    async def _ask(self, method: str, path: str, content: bytes | None = None, name: str = "") -> bytes:
        """The body of a response with status 200; what to do about other things, in the errors."""
        try:
            return await self._http.ask(method, self._base + path, content)
        except HttpError as error:
            if error.status == 404 and name and b"model" in error.body and b"not found" in error.body:
                self._http.fail("no_model", f"model {name!r} is not pulled; get it: ollama pull {name}")
            if error.status == 503:
                self._http.fail("server_busy", error.detail or "the server's queue is full", error.wait_s)
            raise
        except ModelError as error:
            if error.reason == "unreachable":
                self._http.fail("unreachable", f"{error.detail}; start it: ollama serve")
            raise

    def _read(self, body: bytes) -> _Answer:
        """An answer of JSON objects, one a line; the last says that it is, and what it all cost."""
        content, thoughts = [], []
        for line in body.splitlines():
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._http.fail("bad_response", f"a line of the answer is no JSON: {type(error).__name__}: {error}")
            if not isinstance(said, dict):
                self._http.fail("bad_response", f"a line of the answer is a {type(said).__name__}, not an object")
            if said.get("error") is not None:  # under status 200, because the answer had begun
                self._http.fail("server_error", error_message(line))
            message = said.get("message")
            if isinstance(message, dict):
                content.append(message.get("content") or "")
                thoughts.append(message.get("thinking") or "")
            if said.get("done") is True:
                if not all(isinstance(text, str) for text in content):
                    self._http.fail("bad_response", "a line of the answer holds content that is no text")
                return _Answer("".join(content), any(thoughts), said.get("done_reason"), _usage(said))
        self._http.fail("connection_lost", "the stream ended before the answer did")

    def _say(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._tell(text)


def _is_among(name: str, listed: list[str]) -> bool:
    """Whether a model is there: the list gives all names with their tags, and of small or large letters as pulled."""
    tagged = name if ":" in name else f"{name}:latest"
    return tagged.lower() in (each.lower() for each in listed)


def _usage(last: dict[str, Any]) -> Usage:
    return Usage(  # durations are in ns
        prompt_tokens=int(measured(last.get("prompt_eval_count"))),
        tokens=int(measured(last.get("eval_count"))),
        writing_ms=measured(last.get("eval_duration"), 1e-6),
        load_ms=measured(last.get("load_duration"), 1e-6),
    )


def context_for(prompt_bytes: int, max_tokens: int) -> int:
    """The context to ask for, in tokens, for a prompt of so many bytes of UTF-8 and its answer: a power of two.

    A token is 3 bytes at least, on average, in any language; English has 4 and more. What does not fit is cut from the
    prompt by Ollama without a word, so the estimate is careful.
    """
    needed, context = prompt_bytes / 3 + max_tokens + 64, LEAST_CONTEXT
    while context < needed and context < MOST_CONTEXT:
        context *= 2
    return context
