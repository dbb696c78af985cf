"""Which models there are, and those that are functions."""

from __future__ import annotations

import threading
import time
from typing import Any

import anyio
import pytest
from pydantic import SecretStr, ValidationError

from astrasim.gateway import ModelSpec
from astrasim.gateway.models import Completion, FunctionModel, ModelError, open_model
from astrasim.prompts import Prompt

PROMPT = Prompt("You are a sheep.", "A wolf is near.")
SCHEMA: dict[str, Any] = {"type": "object"}
KEY = "sk-very-secret"


def test_a_spec_keeps_its_secrets() -> None:
    spec = ModelSpec(kind="openai", name="m", base_url=f"http://u:{KEY}@h:1/v1", api_key=SecretStr(KEY))
    assert str(spec) == "openai at http://h:1/v1"
    with pytest.raises(ValidationError) as caught:
        ModelSpec(kind="openai", name="m", base_url=f"http://u:{KEY}@h:1/v1?q", api_key=SecretStr(KEY))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "openai", "name": "m"},
        {"kind": "openai", "name": "m", "base_url": "localhost:8080"},
        {"kind": "openai", "name": "m", "base_url": "ftp://localhost"},
        {"kind": "openai", "name": "m", "base_url": "http://h:port"},
        {"kind": "openai", "name": "m", "base_url": "http://h/?a=1"},
        {"kind": "function", "name": "think"},
        {"kind": "function", "name": "mine:"},
        {"kind": "function", "name": "my-mind:think"},
        {"kind": "function", "name": "mine/../x:think"},
        {"kind": "magic", "name": "m"},
        {"kind": "function", "name": "a:b", "surprise": 1},
    ],
)
def test_a_spec_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSpec(**wrong)


def test_a_function_that_never_returns_is_left_behind_and_counted() -> None:
    release = threading.Event()

    def hang(prompt: Prompt, schema: dict[str, Any]) -> str:
        release.wait(20)
        return "late"

    async def play() -> None:
        model = FunctionModel(hang, 2)
        for _ in range(2):
            with anyio.move_on_after(0.05):
                await model.complete(PROMPT, SCHEMA, 8)
        with pytest.raises(ModelError) as caught:
            await model.complete(PROMPT, SCHEMA, 8)
        assert caught.value.reason == "function_busy"
        release.set()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                assert await model.complete(PROMPT, SCHEMA, 8) == Completion("late")
                return
            except ModelError:
                await anyio.sleep(0.01)
        pytest.fail("the threads that ended still count")

    anyio.run(play)


@pytest.mark.parametrize(
    ("name", "said"),
    [("no_such_module:f", "ModuleNotFoundError"), ("json:no_such", "AttributeError"), ("json:__doc__", "no function")],
)
def test_a_function_that_cannot_be_found(name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        anyio.run(open_model, ModelSpec(kind="function", name=name), 4, print)
    assert caught.value.reason == "no_model"
