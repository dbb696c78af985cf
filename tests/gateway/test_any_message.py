"""Whatever comes over the local socket, the game has sound results or lets the process go; nothing raises in a tick.

The test is the gateway process: it comes in by the door, with the secret. In the suite it tries some hundred streams;
by name a hundred times as many (some minutes): ``pytest tests/gateway/test_any_message.py --hypothesis-profile=fuzz``
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from astrasim.gateway import Answer, Failure, Gateway, GatewayState, ModelSpec, life
from astrasim.gateway.keeping import Keeping
from astrasim.gateway.recalled import Recalled
from astrasim.vocabulary import ActionWords, Scope, Vocabulary

ABLE = ActionWords(name="flee", kinds=("sheep",), targets=("threat",), seconds=2.0)
WORLD = Vocabulary(
    domain="meadow", ruleset="1", kinds=("sheep",), features=(), targets=("threat", "home"), min_seconds=0.5,
    max_seconds=30.0, actions=(ABLE, ABLE.model_copy(update={"name": "rest", "targets": ("home",)}),
                               ABLE.model_copy(update={"name": "bite"})),
)  # fmt: skip
SHEEP = Scope(
    kind="sheep", role="sheep", persona="", order="", actions=("flee", "rest"), domain="meadow", ruleset="1", model="m"
)
LEGAL = {(0, 0), (1, 1)}
"""The steps (action, target) of a sheep."""

_numbers = count()


class NoChild:
    """Stands in for the process that a gateway would start."""

    pid, ended, error, exit_code = None, False, "", None

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def memory_mb(self) -> float:
        return 0.0

    def kill(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def no_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "Child", NoChild)
        yield


BEYOND = "beyond what floats hold"
_PLAIN = [0, 1, 2, 7, -1, 0.5, 3, 30.5, -0.0, 1e308, 2**31, 2**62, 2**63, 10**30, 10**400, BEYOND, True, None, "1", ""]
NUMBERS = st.integers(0, len(_PLAIN) - 1).map(lambda at: _PLAIN[at])
ANYTHING = st.recursive(
    NUMBERS | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
NEARLY = st.tuples(st.integers(0, 3), st.integers(0, 2), st.just(3.0))
STEPS = st.one_of(
    st.lists(st.sampled_from([(0, 0, 3.0), (1, 1, 2)]), min_size=1, max_size=9),
    st.lists(NEARLY, min_size=1, max_size=2),
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=3),
    ANYTHING,
)
IDS = st.just(1) | NUMBERS
FOUND = st.lists(st.tuples(IDS, NUMBERS) | st.tuples(IDS, NUMBERS, NUMBERS, STEPS, NUMBERS), max_size=3)
FIELDS = st.fixed_dictionaries(
    {"t": st.sampled_from(["answer", "failure", "found", "memory", "withdraw", "ready", "note", "progress", "pong"])
        | st.sampled_from(["ask", "?"])},
    optional={
        "id": IDS, "steps": STEPS, "raw": st.text(max_size=5) | ANYTHING, "ms": NUMBERS, "tries": NUMBERS,
        "usage": st.lists(NUMBERS, min_size=4, max_size=4) | ANYTHING, "tokens": NUMBERS, "wait_s": NUMBERS,
        "reason": st.just("http_500") | ANYTHING, "detail": st.just("no") | ANYTHING,
        "rejected": st.booleans() | ANYTHING, "text": ANYTHING,
        "a": FOUND | ANYTHING, "level": NUMBERS | ANYTHING, "q": st.lists(NUMBERS, max_size=3) | ANYTHING,
    },
)  # fmt: skip
ANSWERS = st.fixed_dictionaries({"t": st.just("answer"), "id": st.just(1), "steps": STEPS, "raw": st.text(max_size=5)},
                                optional={"ms": NUMBERS}).map(lambda message: {"ms": 1.0} | message)  # fmt: skip
COUNTS = ["looked", "exact", "near", "order", "retired", "entries", "evictions", "expiries"]
MEMORIES = st.fixed_dictionaries(
    {"t": st.just("memory"), **dict.fromkeys(COUNTS, st.just(1) | NUMBERS)},
    optional=dict.fromkeys(["age_s", "lookup_us"], st.tuples(NUMBERS, NUMBERS)),
).map(lambda said: {"age_s": [0, 0], "lookup_us": [0, 0], "truth": {}, "orders": {"r": [0.1] * 5 + [True]}} | said)


def packed(message: object) -> bytes:
    body = json.dumps(message).replace(json.dumps(BEYOND), "1e999").encode()
    return struct.pack("!I", len(body)) + body


WITHDRAWALS = st.fixed_dictionaries(
    {"t": st.just("withdraw"), "level": st.sampled_from([1, 2]) | NUMBERS, "q": st.lists(NUMBERS, max_size=3)}
)
MESSAGES = st.one_of(
    FIELDS, ANSWERS, FOUND.map(lambda found: {"t": "found", "a": found}), MEMORIES, WITHDRAWALS
).map(packed)  # fmt: skip
STREAMS = st.builds(
    lambda messages, end: b"".join(messages) + end,
    st.lists(MESSAGES, min_size=1, max_size=5), st.just(b"") | st.binary(max_size=20) | ANYTHING.map(packed),
)  # fmt: skip


def heard(stream: bytes) -> tuple[list[Answer | Failure], list[Recalled]]:
    """What a game makes of a gateway process that says this, and leaves."""
    model = ModelSpec(kind="function", name=f"minds:play{next(_numbers)}")  # a name of its own: failures are remembered
    keeping = Keeping(near_bound=0.1)
    with Gateway(WORLD, model, keeping=keeping, clock=lambda: 0.0) as gateway, socket.socket() as process:
        gateway.declare_scope(1, SHEEP)
        door = gateway._life._door
        assert door is not None
        process.connect(("127.0.0.1", door.port))
        process.sendall(packed({"t": "hello", "secret": door.secret}) + packed({"t": "ready"}))
        while not gateway.is_ready:
            assert gateway.poll() == []
        assert gateway.ask(1, 1, 0, 10.0)
        with suppress(OSError):  # refused half-way
            process.sendall(stream)
            process.shutdown(socket.SHUT_WR)
        results: list[Answer | Failure] = []
        while gateway.state is not GatewayState.DOWN:
            results += gateway.poll()
            assert gateway.describe() and gateway.statistics()
        assert gateway.memory is not None
        told = gateway.memory.statistics
        assert len(f"{told.age_s[0]:.1f} {told.looked / 2:.1f}") < 50  # as panels show them
        for level, scopes in gateway.memory.withdrawn():  # so do these
            assert level in (1, 2) and np.array(scopes, np.int32).ndim == 1
        return results + gateway.poll(), gateway.memory.found()


@settings(max_examples=2 * settings().max_examples)
@given(STREAMS)
@example(packed({"t": "found", "a": [[10**30, 10**30]]}))
@example(packed({"t": "found", "a": [[1, 0, 0, [[0, 0, 3.0]], BEYOND]]}))
@example(packed({"t": "withdraw", "level": 1, "q": [0, 7, 2**31, -1, 10**30]}))
@example(packed({"t": "withdraw", "level": BEYOND, "q": [True]}))
@example(packed({"t": "answer", "id": 1, "steps": [[0, 1, 3.0]], "raw": "", "ms": 1.0}))
@example(packed({"t": "answer", "id": 1, "steps": [[2, 0, 3.0]], "raw": "", "ms": 1.0}))
def test_whatever_the_gateway_sends_is_a_sound_result_or_the_end_of_it(stream: bytes) -> None:
    results, found = heard(stream)
    [result] = results  # exactly one for the one request
    event(result.reason if isinstance(result, Failure) else "a plan")
    event(f"{sum(each.steps is not None for each in found)} plans recalled")
    plans = [each.steps for each in (result, *found) if isinstance(each, Answer | Recalled) and each.steps]
    for steps in plans:
        assert 1 <= len(steps) <= 8
        assert {step[:2] for step in steps} <= LEGAL and all(0.5 <= seconds <= 30.0 for _, _, seconds in steps)
    for each in found:  # these go into columns of the tick
        assert np.array([each.scope_id], np.int32) >= 0 and np.array([each.key], np.int64) >= 0
        assert each.remaining_s is None or int(1000 * each.remaining_s) <= 2**62
    if isinstance(result, Failure):
        result.detail.encode()
