"""The embedded model where it is installed: the real llama.cpp with the real weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from astrasim.gateway import Answer, Failure, ModelSpec, weights
from astrasim.gateway.llama import Branches, load
from astrasim.gateway.models import ModelError

if TYPE_CHECKING:
    from tests.gateway.conftest import Game

OPTIONS = ("flee threat", "rest home", "rest pasture")


def needs_the_real_model() -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install 'astrasim[embedded]'")
    if weights.find() is None:
        pytest.skip(f"no weights at {weights.path()}: astrasim model install")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    needs_the_real_model()
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(ModelError, match="does not load") as caught:
        load(tmp_path / "bad.gguf", 1)
    assert caught.value.reason == "no_model"


def test_the_gateway_with_the_real_model_chooses_one_of_the_options(
    play_a_game: Callable[..., Game], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_the_real_model()
    real = weights.path()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # what is calibrated here is nobody's
    weights.path().parent.mkdir(parents=True)
    weights.path().symlink_to(real)
    game = play_a_game(ModelSpec(kind="embedded")).up()
    steps = [(0, 0), (1, 1), (1, 2)]
    number, deadline = 1000, time.monotonic() + 60.0
    assert game.gateway.ask(number, 1, 0, 20.0, steps)
    while isinstance(refusal := game.result(number), Failure):
        assert refusal.reason == "calibrating" and time.monotonic() < deadline
        time.sleep(0.05)
        number += 1
        assert game.gateway.ask(number, 1, 0, 20.0, steps)
    assert number > 1000
    for request_id, key in enumerate(range(6), start=1):
        assert game.gateway.ask(request_id, 1, key, 20.0, steps)
    for request_id in range(1, 7):
        answer = game.answer(request_id)
        assert isinstance(answer, Answer)
        assert answer.steps[0][:2] in steps and len(answer.steps) == 1
        assert answer.raw in OPTIONS
        assert answer.usage.prompt_tokens > 0
    _the_port_wants_a_key(game)


def _the_port_wants_a_key(game: Game) -> None:
    open_ones = psutil.Process(game.gateway.pid).net_connections()
    listening = [each.laddr for each in open_ones if each.status == psutil.CONN_LISTEN]
    assert len(listening) == 2  # one for orders
    for ip, port in listening:
        assert ip == "127.0.0.1"
        for path in ("/v1/chat/completions", "/completion", "/tokenize"):
            said = httpx.post(f"http://{ip}:{port}{path}", json={"prompt": "x", "content": "x"}, trust_env=False)
            assert said.status_code == 401, path


def test_the_real_model_weighs_real_lines() -> None:
    needs_the_real_model()
    file = weights.find()
    assert file is not None
    llama = load(file, 1)
    lines = ("attack foe", "approach foe", "approach flag", "reload self")
    branches = Branches(lines, llama.tokenise)
    start = time.perf_counter()
    logs, evaluated = branches.weigh(llama, "The king said: attack the foe! So you", lines)
    assert math.isclose(sum(map(math.exp, logs.values())), 1.0, rel_tol=1e-3)
    assert max(logs, key=logs.__getitem__) == "attack foe"
    assert evaluated < 30 and time.perf_counter() - start < 20
    again, evaluated = branches.weigh(llama, "The king said: attack the foe! So you", lines)
    assert again == pytest.approx(logs, abs=0.05)
    assert evaluated <= 4, "the beginning was evaluated again"
