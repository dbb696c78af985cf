"""Whatever a server sends, a model has an answer or an error that says what was wrong; nothing else comes out."""

from __future__ import annotations

import json
from typing import Any, Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.gateway import ModelSpec
from astrasim.gateway.http import HttpError
from astrasim.gateway.messages import read_answer
from astrasim.gateway.models import Completion, ModelError, open_model
from astrasim.gateway.refusals import FORMS, LIMITS, Manner
from astrasim.prompts import Prompt
from astrasim.vocabulary import ActionWords, Vocabulary

Kind = Literal["openai", "ollama"]

WORDS = ["choices", "message", "delta", "content", "thinking", "refusal", "finish_reason", "done", "done_reason"]
WORDS += ["usage", "timings", "prompt_tokens", "completion_tokens", "predicted_ms", "eval_count", "load_duration"]
WORDS += ["error", "param", "loc", "msg", "detail", "response_format", "temperature", "max_tokens", "unsupported"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*WORDS, "stop", "length", "run\ud800"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(WORDS), children, max_size=5),
    max_leaves=12,
)
CHUNKS = st.lists(VALUES | st.just({"done": True, "choices": [{"delta": {}, "finish_reason": "stop"}]}), max_size=4)
WORLD = Vocabulary(
    domain="meadow",
    ruleset="1",
    kinds=("sheep",),
    features=(),
    actions=(ActionWords(name="flee", kinds=("sheep",), targets=("threat",), seconds=2.0),),
    targets=("threat",),
    min_seconds=0.5,
    max_seconds=30.0,
)


def bodies(prefix: str) -> st.SearchStrategy[bytes]:
    lines = CHUNKS.map(lambda chunks: "".join(f"{prefix}{json.dumps(chunk)}\n" for chunk in chunks).encode())
    return lines | VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


async def complete(kind: Kind, replies: list[tuple[int, bytes]]) -> Completion:
    model: Any = await open_model(ModelSpec(kind=kind, name="m", base_url="http://127.0.0.1:9"), 1, lambda text: None)
    left = iter(replies)

    async def ask(method: str, url: str, request: object = None) -> bytes:
        status, body = next(left, (200, b""))
        if status != 200:
            raise HttpError(status, "refused", body)
        return body

    assert callable(model._http.ask)
    model._http.ask = ask
    completion = await model.complete(Prompt("You are a sheep.", "A wolf is near."), {"type": "object"}, 64)
    assert isinstance(completion, Completion)
    return completion


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_whatever_a_server_sends_is_an_answer_or_an_error(kind: Kind, data: st.DataObject) -> None:
    prefix = "data: " if kind == "openai" else ""
    reply = st.tuples(st.sampled_from([200, 400, 404, 422, 500, 503]), bodies(prefix))
    replies = data.draw(st.lists(reply, max_size=7))
    try:
        completion = anyio.run(complete, kind, replies)
    except ModelError as error:
        assert error.reason and isinstance(error.detail, str)
        return
    message = {"steps": [[0, 0, 1.0]], "raw": completion.text, "ms": 1.0, "usage": list(completion.usage)}
    answer = read_answer(message, 1, WORLD)  # which the game can take as it is
    assert answer is not None and answer.usage == completion.usage


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([400, 404, 422, 500]), bodies("")), max_size=20))
def test_stepping_back_from_refusals_comes_to_an_end(refusals: list[tuple[int, bytes]]) -> None:
    manner, steps = Manner(), 0
    for status, body in refusals:
        changed = manner.after(status, body)
        assert manner.and_also(changed) == changed
        steps += changed != manner
        manner = changed
    assert steps <= len(FORMS) + len(LIMITS)
