"""What a frame pays for its gateway while that fails (run with --benchmark-only): Max is the figure that counts."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from astrasim.gateway import Gateway, GatewayPolicy, GatewayState, ModelSpec, process
from astrasim.vocabulary import ActionWords, Scope, Vocabulary

FAKE_CHILD = Path(__file__).parents[1] / "gateway" / "fake_child.py"
FRAMES = 600
ASKS = 50
"""A frame; those of the frame before are cancelled. Far more than a game asks, to fill the outbox within seconds."""

WORDS = Vocabulary(
    domain="bench", ruleset="1", kinds=("sheep",), features=(), targets=("self",), min_seconds=0.5, max_seconds=30.0,
    actions=(ActionWords(name="rest", kinds=("sheep",), targets=("self",), seconds=3.0),),
)  # fmt: skip
SCOPE = Scope(
    kind="sheep", role="sheep", persona="", order="", actions=("rest",), domain="bench", ruleset="1", model="fake"
)


class Frames:
    """A gateway, and what a game does with it in a frame."""

    def __init__(self) -> None:
        model = ModelSpec(kind="function", name="none:at_all")
        self.gateway = Gateway(WORDS, model, policy=GatewayPolicy(max_in_flight=1024))
        self.gateway.declare_scope(1, SCOPE)
        self.outbox_was_full = False
        self._asked: list[int] = []
        self._numbers = count(1)

    def work(self) -> None:
        for request in self._asked:
            self.gateway.cancel(request)
        self._asked = [n for _, n in zip(range(ASKS), self._numbers, strict=False) if self.gateway.ask(n, 1, 0, 5.0)]
        self.gateway.poll()

    def between(self) -> None:
        link = self.gateway._life.link
        self.outbox_was_full |= link is not None and not link.has_room
        time.sleep(1 / 60)


@pytest.fixture
def frames() -> Iterator[Frames]:
    made = Frames()
    yield made
    made.gateway.close()


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("good", "control: it answers"),
        ("half a message", "it stops in the middle of a message"),
        ("last words", "it is killed in the middle of a message, and so is each that follows it"),
        ("deaf", "it reads nothing, so that the outbox fills up"),
    ],
)
def test_a_frame_with_a_gateway_that_fails(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, frames: Frames, behaviour: str, says: str
) -> None:
    monkeypatch.setattr(process, "command", lambda: [sys.executable, str(FAKE_CHILD), behaviour])
    frames.gateway.start()
    until = time.monotonic() + 20
    while frames.gateway.state is not GatewayState.READY:
        assert time.monotonic() < until, frames.gateway.describe()
        frames.gateway.poll()
        time.sleep(0.01)
    link = frames.gateway._life.link
    assert link is not None
    link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)  # the outbox is to fill up, not the kernel
    benchmark.extra_info["gateway"] = says
    benchmark.pedantic(frames.work, setup=frames.between, rounds=FRAMES)
    figures = frames.gateway.statistics()
    assert frames.outbox_was_full is (behaviour == "deaf")
    assert figures.restarts > 0 if behaviour == "last words" else figures.sent > FRAMES
