"""So many plans a second through one gateway, and what each costs.

    python -m astrasim.perf.gateway_load [--rate 100] [--seconds 60] [--latency-ms 200] [--json FILE]

One game's gateway asks the stub, over HTTP, about situations of the arena drawn at random; each in a process of its
own, as in a game. This process asks at the rate given and takes the plans in, once a millisecond instead of once a
frame: what is measured is the way to a tick's hands, not the wait for the next tick.

``latency_ms`` is from asking to the plan in the tick's hands. ``overhead_ms`` is that without the time that the stub is
told to take, so it holds everything else: both ways between tick and gateway, the gateway's own work, HTTP, the stub's
work, and each process's wait for a core. ``gateway_ms``, a part of it, leaves out what the gateway saw as the model's
time. CPU times are what the two processes used, user and system, divided by the requests that ended.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from astrasim.compiled import compile_domain
from astrasim.errors import AstraSimError
from astrasim.figures import machine, write_json
from astrasim.gateway import Answer, Gateway, GatewayPolicy, GatewayState, ModelSpec
from astrasim.vocabulary import Scope, Vocabulary

from .arena import TEAMS, make_arena
from .stub_server import stub_server

STUB = "astrasim.perf.stub_server"
WARM_UP_S = 2.0
"""Connections are opened and code is warmed up; not counted."""
READY_S = 60.0
DEADLINE_S = 10.0
_POLL_S = 0.001


class Ended(NamedTuple):
    """What came in some seconds. Each list has one element a plan, in ms."""

    seconds: float
    refused: int
    reasons: Counter[str]
    latency_ms: list[float]
    gateway_ms: list[float]


class Cost(NamedTuple):
    gateway_cpu_s: float
    stub_cpu_s: float
    gateway_mb: float


class Player:
    """Asks a gateway at an even rate, and takes in what comes."""

    def __init__(self, gateway: Gateway, words: Vocabulary, scopes: list[Scope], rate: float, seed: int) -> None:
        self._gateway, self._words, self._scopes, self._rate = gateway, words, scopes, rate
        self._random, self._numbers = random.Random(seed), count(1)
        self._asked_at: dict[int, float] = {}

    def play(self, seconds: float) -> Ended:
        """Ask for so long; what was asked before and ends now is in it, what ends later is not."""
        ended = Ended(seconds, 0, Counter(), [], [])
        begun, asked, refused = time.perf_counter(), 0, 0
        while (passed := time.perf_counter() - begun) < seconds:
            while asked < passed * self._rate:
                asked += 1
                refused += not self._ask(next(self._numbers))
            self._take(ended)
            time.sleep(_POLL_S)
        return ended._replace(seconds=passed, refused=refused)

    def _ask(self, number: int) -> bool:
        at = self._random.randrange(len(self._scopes))
        key = self._random.randrange(self._words.key_space(self._scopes[at].kind))
        if asked := self._gateway.ask(number, at, key, DEADLINE_S):
            self._asked_at[number] = time.perf_counter()
        return asked

    def _take(self, ended: Ended) -> None:
        for result in self._gateway.poll():
            took = 1000 * (time.perf_counter() - self._asked_at.pop(result.request_id))
            if isinstance(result, Answer):
                ended.latency_ms.append(took)
                ended.gateway_ms.append(took - result.latency_ms)
            else:
                ended.reasons[result.reason] += 1


def measure(rate: float, seconds: float, latency_ms: float, seed: int = 0) -> tuple[Ended, Cost]:
    """Ask for ``rate`` plans a second for so many seconds, of a stub that takes ``latency_ms`` for each.

    Raises:
        AstraSimError: the gateway did not come up.
    """
    words, scopes = _arena()
    at_a_time = min(1024, max(32, round(2 * rate * (latency_ms / 1000 + 0.1))))
    with stub_server(seed, (latency_ms, latency_ms)) as url:
        [stub] = [child for child in psutil.Process().children() if STUB in child.cmdline()]
        model = ModelSpec(kind="openai", name="stub", base_url=f"{url}/v1")
        with Gateway(words, model, policy=GatewayPolicy(max_in_flight=at_a_time)) as gateway:
            for at, scope in enumerate(scopes):
                gateway.declare_scope(at, scope)
            process = _ready(gateway)
            player = Player(gateway, words, scopes, rate, seed)
            player.play(WARM_UP_S)
            before = _cpu_s(process), _cpu_s(stub)
            ended = player.play(seconds)
            used = _cpu_s(process) - before[0], _cpu_s(stub) - before[1]
            return ended, Cost(*used, process.memory_info().rss / 2**20)


def _arena() -> tuple[Vocabulary, list[Scope]]:
    compiled = compile_domain(make_arena(1000))
    return compiled.vocabulary, [compiled.scope(team, compiled.role_for(team, None), "", "stub") for team in TEAMS]


def _ready(gateway: Gateway) -> psutil.Process:
    until = time.monotonic() + READY_S
    while gateway.state is not GatewayState.READY:
        if time.monotonic() > until:
            raise AstraSimError(f"the gateway did not come up in {READY_S:g} s: {gateway.describe()}")
        gateway.poll()
        time.sleep(_POLL_S)
    return psutil.Process(gateway.pid)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def figures(ended: Ended, cost: Cost, rate: float, latency_ms: float) -> dict[str, Any]:
    """The measurement as one JSON-able object; times in ms."""

    def spread(ms: list[float]) -> dict[str, float]:
        p50, p95, p99 = np.percentile(ms or [0.0], [50, 95, 99])
        return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "p99": round(float(p99), 2)}

    plans = len(ended.latency_ms)
    requests = max(1, plans + ended.reasons.total())
    return {
        "seconds": round(ended.seconds, 2),
        "plans": plans,
        "plans_per_second": round(plans / ended.seconds, 2),
        "refused": ended.refused,
        "failed": dict(ended.reasons),
        "gateway_cpu_ms": round(1000 * cost.gateway_cpu_s / requests, 3),
        "stub_cpu_ms": round(1000 * cost.stub_cpu_s / requests, 3),
        "latency_ms": spread(ended.latency_ms),
        "overhead_ms": spread([ms - latency_ms for ms in ended.latency_ms]),
        "gateway_ms": spread(ended.gateway_ms),
        "gateway_rss_mb": round(cost.gateway_mb, 1),
        "settings": {"rate": rate, "stub_latency_ms": latency_ms, "warm_up_s": WARM_UP_S},
        "machine": machine(),
    }


def show(told: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{told['plans_per_second']:.1f} plans a second for {told['seconds']:.0f} s")
    for heading in ("ms", "p50", "p95", "p99"):
        table.add_column(heading, justify="right" if heading != "ms" else "left")
    for name, says in (
        ("latency_ms", "from asking to the plan in the tick's hands"),
        ("overhead_ms", "without the stub's own time"),
        ("gateway_ms", "without the model's time as the gateway saw it"),
    ):
        table.add_row(says, *(f"{value:.1f}" for value in told[name].values()))
    console.print(table)
    lost = ", ".join(f"{number} {reason}" for reason, number in told["failed"].items()) or "none failed"
    console.print(
        f"CPU a request: gateway {told['gateway_cpu_ms']:.2f} ms, stub {told['stub_cpu_ms']:.2f} ms; "
        f"gateway {told['gateway_rss_mb']:.0f} MiB; {told['plans']} plans, {lost}, {told['refused']} refused"
    )


def main(
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Plans to ask for, a second.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to ask.")] = 60.0,
    latency_ms: Annotated[float, typer.Option(min=0, max=5000, help="What the stub takes for an answer.")] = 200.0,
    seed: Annotated[int, typer.Option(help="Of the situations and the stub's plans.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """How many plans a second one gateway brings, and what each costs."""
    told = figures(*measure(rate, seconds, latency_ms, seed), rate, latency_ms)
    show(told, Console())
    if json_file is not None:
        write_json(json_file, told)


if __name__ == "__main__":
    typer.run(main)
