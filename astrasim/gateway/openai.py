"""A model behind an HTTP server that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, LM Studio, Ollama).

Answers are asked for as streams. A whole answer is read as well, but only a stream lets a server notice that we have
hung up: llama.cpp stops generating a stream within 20 ms of that, and goes on with a whole answer until it is done.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import anyio

from ..prompts import Prompt
from .http import HttpClient, HttpError, error_message, measured
from .messages import Usage
from .models import Completion, request_body, schema_text, with_schema
from .refusals import FORMS, LIMITS, Manner
from .spec import ModelSpec

TEMPERATURE = 0.3
_CUT_OFF = "the answer reached max_tokens before its end"


class OpenAIModel:
    """Asks ``/v1/chat/completions`` for JSON that fits the schema; see ``Model`` for what it is to the gateway.

    What a server refuses to be asked for (the schema, the temperature, ...) is left out or said otherwise from then on,
    see ``refusals``: each costs one more request, once, within the deadline of the request that met it.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._name = spec.name
        self._naming = anyio.Lock()
        self._place = str(spec)
        self._http = HttpClient(spec)
        self._url = endpoint(spec.address, "chat/completions")
        self._models_url = endpoint(spec.address, "models")
        self._manner = Manner()

    async def complete(self, prompt: Prompt, schema: dict[str, Any], max_tokens: int) -> Completion:
        """The answer's text, and its usage where the server tells it.

        Raises:
            ModelError: ``unreachable``, ``proxy_refused``, ``connection_lost``, ``http_<status>``, ``too_large``,
                ``bad_response``, ``server_error`` (said in mid-stream), ``refused`` (by the model),
                ``cut_off`` (at ``max_tokens``) or ``no_model`` (no name was given, and the server lists none).
        """
        name = await self._model_name()
        while True:
            manner = self._manner
            try:
                body = await self._http.ask("POST", self._url, _request(name, prompt, schema, max_tokens, manner))
            except HttpError as error:
                changed = manner.after(error.status, error.body)
                if changed == manner:
                    raise
                # Others that were asked at the same time may have learnt something else.
                self._manner = self._manner.and_also(changed)
            else:
                is_stream = body.lstrip().startswith((b"data:", b":", b"event:"))
                return self._read_stream(body) if is_stream else self._read(body)

    async def _model_name(self) -> str:
        """The name given, else the first that the server lists."""
        if self._name:
            return self._name
        async with self._naming:
            if not self._name:
                try:
                    self._name = str(json.loads(await self._http.ask("GET", self._models_url))["data"][0]["id"])
                except (ValueError, LookupError, TypeError, RecursionError):
                    self._http.fail("no_model", f"{self._place} lists no model; name one (ASTRASIM_MODEL_NAME)")
            return self._name

    def _read(self, body: bytes) -> Completion:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._http.fail("bad_response", f"the body is no JSON: {type(error).__name__}: {error}")
        if isinstance(answer, dict) and answer.get("error") is not None:  # OpenRouter's, for one: under status 200
            self._http.fail("server_error", error_message(body))
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            finish, content, refusal = choice.get("finish_reason"), message.get("content"), message.get("refusal")
        except (LookupError, TypeError, AttributeError):
            self._http.fail("bad_response", "the body has no choices[0].message")
        if finish == "length":
            self._http.fail("cut_off", _CUT_OFF)
        content = _joined(content)
        if isinstance(content, str):
            return Completion(content, _usage(answer.get("usage"), answer.get("timings")))
        if isinstance(refusal, str):
            self._http.fail("refused", refusal)
        self._http.fail("bad_response", f"choices[0].message.content is {type(content).__name__}, not text")

    def _read_stream(self, body: bytes) -> Completion:
        """The text of server-sent events: ``data: {...}`` a line, ``data: [DONE]`` last."""
        content, refusal, finish = [], [], None
        usage, timings = None, None
        for line in body.splitlines():
            data = line[5:].strip() if line.startswith(b"data:") else b""
            if not data or data == b"[DONE]":
                continue
            try:
                chunk = json.loads(data.decode("utf-8", "surrogatepass"))  # told bytes, loads looks for UTF-16 first
            except (ValueError, RecursionError) as error:
                self._http.fail("bad_response", f"an event of the stream is no JSON: {type(error).__name__}: {error}")
            if not isinstance(chunk, dict):
                self._http.fail("bad_response", f"an event of the stream is a {type(chunk).__name__}, not an object")
            if chunk.get("error") is not None:
                self._http.fail("server_error", error_message(data))
            usage, timings = chunk.get("usage") or usage, chunk.get("timings") or timings
            choices = chunk.get("choices")
            choice = choices[0] if isinstance(choices, list) and choices else None
            if not isinstance(choice, dict):
                continue  # the last chunk may hold the usage alone
            delta = choice.get("delta")
            if isinstance(delta, dict):
                content.append(_joined(delta.get("content")) or "")
                refusal.append(delta.get("refusal") or "")
            finish = choice.get("finish_reason") or finish
        if not all(isinstance(text, str) for text in (*content, *refusal)):
            self._http.fail("bad_response", "a delta of the stream holds content that is no text")
        if finish == "length":
            self._http.fail("cut_off", _CUT_OFF)
        if finish is None:
            self._http.fail("connection_lost", "the stream ended before the answer did")
        if not any(content) and any(refusal):
            self._http.fail("refused", "".join(refusal))
        return Completion("".join(content), _usage(usage, timings))


def _request(name: str, prompt: Prompt, schema: dict[str, Any], max_tokens: int, manner: Manner) -> bytes:
    form = FORMS[manner.form]
    system = prompt.system if form == "json_schema" else with_schema(prompt.system, schema)
    request: dict[str, Any] = {
        "model": name,
        "stream": True,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}],
        LIMITS[manner.limit]: max_tokens,
    }
    if manner.usage:
        request["stream_options"] = {"include_usage": True}
    if manner.temperature:
        request["temperature"] = TEMPERATURE
    if form == "json_schema":
        shape = f'{{"name": "plan", "strict": true, "schema": {schema_text(schema)}}}'
        return request_body(request, response_format=f'{{"type": "json_schema", "json_schema": {shape}}}')
    if form == "json_object":
        request["response_format"] = {"type": form}
    return request_body(request)


def _joined(content: Any) -> Any:
    """The text of content in parts, ``[{"type": "text", "text": "..."}]``; any other content as it is.

    Mistral's thoughts are parts as well, ``{"type": "thinking", ...}``: they belong to no answer.
    """
    if not content or not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return content
    said = [part for part in content if part.get("type") not in ("thinking", "reasoning")]
    texts = [part["text"] for part in said if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "".join(texts) if len(texts) == len(said) else content


def _usage(usage: object, timings: object) -> Usage:
    """What an answer cost. ``timings`` is llama.cpp's own; its prompt_n leaves out what was in the cache already."""
    usage = usage if isinstance(usage, dict) else {}
    timings = timings if isinstance(timings, dict) else {}
    return Usage(
        prompt_tokens=int(measured(usage.get("prompt_tokens", timings.get("prompt_n")))),
        tokens=int(measured(usage.get("completion_tokens", timings.get("predicted_n")))),
        writing_ms=measured(timings.get("predicted_ms")),
    )


def endpoint(base_url: str, path: str) -> str:
    """Where ``path`` is asked for. A base without a path gets ``/v1``; one with a path is taken as it is."""
    base = base_url.rstrip("/")
    return f"{base}/{path}" if urlsplit(base).path else f"{base}/v1/{path}"
