"""Every fault of a model server, made by the stub: it reaches the gateway, and the game counts it for what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from astrasim.gateway import Answer, Failure, ModelSpec
from astrasim.perf.processes import ServerProcess
from astrasim.perf.stub_faults import ELSEWHERE, FAULTS
from astrasim.perf.stub_server import stub_process

if TYPE_CHECKING:
    from tests.gateway.conftest import Game

Play = Callable[..., "Game"]


@pytest.fixture(scope="module")
def stub() -> Iterator[ServerProcess]:
    with stub_process(latency_ms=(0, 0)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_fault_is_left_behind(stub: ServerProcess) -> Iterator[None]:
    yield
    stub.tell("fault none")


@pytest.fixture(scope="module", params=["openai", "ollama"])
def asker(request: pytest.FixtureRequest, stub: ServerProcess, play_a_game: Play) -> Asker:
    spec = ModelSpec(kind=request.param, name="stub", base_url=stub.url)
    return Asker(play_a_game(spec, retries=1, retry_pause_ms=1, rest_after_failures=999).up())


class Asker:
    """A game that asks one thing after the other."""

    def __init__(self, game: Game) -> None:
        self.game, self._last = game, 0

    def ask(self, deadline_s: float = 20.0) -> Answer | Failure:
        self._last += 1
        self.game.ask(self._last, deadline_s=deadline_s)
        return self.game.result(self._last)


def faulty(stub: ServerProcess) -> int:
    return int(httpx.get(f"{stub.url}/stats", trust_env=False).json()["faulty"])


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.share == 1])
def test_a_fault_is_counted_under_its_own_reason_and_the_next_answer_is_a_plan(
    name: str, asker: Asker, stub: ServerProcess
) -> None:
    fault, before = FAULTS[name], faulty(stub)
    assert stub.tell(f"fault {name}") == f"fault {name}"
    waits = fault.refusal is not None and fault.refusal.headers  # longer than the deadline: it is not waited for
    result = asker.ask(0.1 if "deadline" in fault.reasons else 0.5 if waits else 20.0)
    assert stub.tell("fault none") == "fault none"
    if fault.reasons:
        assert isinstance(result, Failure), result
        assert result.reason in fault.reasons, result
    else:
        assert isinstance(result, Answer), result
    assert not fault.listens or faulty(stub) > before, "it did not reach the model"
    asker.game.clock.skip(300)  # past the rest that a Retry-After asks for
    assert isinstance(asker.ask(), Answer)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.share < 1])
def test_a_share_of_the_requests_fails_and_is_counted_as_failures_or_retries(
    name: str, asker: Asker, stub: ServerProcess
) -> None:
    fault, before = FAULTS[name], faulty(stub)
    stub.tell(f"fault {name}")
    results = [asker.ask() for _ in range(40)]
    stub.tell("fault none")
    failed = [result for result in results if isinstance(result, Failure)]
    assert {result.reason for result in failed} <= set(fault.reasons)
    tries = sum(result.tries for result in results)
    assert faulty(stub) - before == tries - len(results) + len(failed), "each that failed was a retry or a failure"
    assert abs((faulty(stub) - before) / tries - fault.share) < 0.3


def test_nobody_follows_a_redirect(asker: Asker, stub: ServerProcess) -> None:
    stub.tell("fault redirect")
    asker.ask()
    stub.tell("fault none")
    asked = httpx.get(f"{stub.url}/stats", trust_env=False).json()["requests"]
    assert asked and not any(ELSEWHERE in route for route in asked)


def test_a_fault_that_is_none_is_refused_and_the_stub_goes_on(asker: Asker, stub: ServerProcess) -> None:
    assert "no fault 'flood'; there are: none, refused" in stub.tell("fault flood")
    assert isinstance(asker.ask(), Answer)
