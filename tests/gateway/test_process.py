"""The gateway's process as the system sees it: what it may read, how it is run, and that it outlives no game."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import astrasim.gateway
from astrasim.errors import AstraSimError
from astrasim.gateway import Gateway, GatewayState, ModelSpec, process

if TYPE_CHECKING:
    from tests.gateway.conftest import Game, Meadow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Start = Callable[..., tuple["subprocess.Popen[str]", psutil.Process]]


def gone(child: psutil.Process) -> bool:
    try:
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.fixture
def start_game() -> Iterator[Start]:
    """Starts game.py; returns it and its gateway process."""
    games: list[subprocess.Popen[str]] = []
    children: list[psutil.Process] = []
    others: list[psutil.Process] = []  # what a game forked

    def start(*arguments: str) -> tuple[subprocess.Popen[str], psutil.Process]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        game = subprocess.Popen(
            [sys.executable, str(HERE / "game.py"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        )
        games.append(game)
        assert game.stdout is not None
        word, number = game.stdout.readline().split()
        assert word == "up"
        children.append(psutil.Process(int(number)))
        others.extend(each for each in psutil.Process(game.pid).children() if each.pid != int(number))
        return game, children[-1]

    yield start
    for game in games:
        game.kill()
        game.wait()
        assert game.stdout is not None
        game.stdout.close()
    for child in (*children, *others):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


@pytest.mark.parametrize(
    ("how", "persona"),
    [
        ("plain", ""),
        ("plain", "play sleep 60"),
        pytest.param("forked", "", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")),
        pytest.param("plain", "play hold", marks=pytest.mark.slow),
    ],
)
def test_a_killed_game_leaves_no_process_behind(start_game: Start, how: str, persona: str) -> None:
    game, child = start_game(how, persona)
    assert not gone(child)
    time.sleep(0.3)  # the request is with the model by now
    game.kill()
    game.wait()
    wait_until(lambda: gone(child), "the gateway outlived its game")


@pytest.mark.skipif(sys.platform != "linux", reason="nothing wakes a stopped process there when its parent dies")
def test_a_gateway_that_is_stopped_when_its_game_is_killed_ends_too(start_game: Start) -> None:
    game, child = start_game("plain")
    child.suspend()
    game.kill()
    game.wait()
    wait_until(lambda: gone(child), "the gateway outlived its game")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process there")
def test_ctrl_c_is_for_the_game_alone(start_game: Start) -> None:
    game, child = start_game("plain")
    child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert not gone(child)
    game.send_signal(signal.SIGINT)
    game.wait(20)
    wait_until(lambda: gone(child), "the gateway outlived its game")


def test_a_frozen_game_is_its_own_gateway(start_game: Start) -> None:
    game, child = start_game("frozen")
    assert process.FLAG in child.cmdline()
    assert game.stdout is not None
    assert game.stdout.readline().strip() == "Answer"


@pytest.mark.skipif(sys.platform == "win32", reason="other means there")
def test_how_it_runs_and_what_it_shows(play_a_game: Callable[..., Game]) -> None:
    game = play_a_game("play").up()
    assert game.gateway.pid is not None
    child = psutil.Process(game.gateway.pid)
    assert child.nice() == min(os.nice(0) + 10, 19)
    # Away from Ctrl-C, but in the game's session: Linux weighs priorities only within one (sched_autogroup).
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == os.getsid(0)
    secret = game.gateway._life._settings
    assert secret["model"]["name"] == "minds:play"
    assert not any("minds" in word or "secret" in word for word in child.cmdline())
    assert child.environ().get(process.CHILD_ENV) == "1"
    assert not any("minds" in value for name, value in child.environ().items() if not name.startswith("PYTEST"))


def test_nobody_else_gets_in_while_it_runs(play_a_game: Callable[..., Game], monkeypatch: pytest.MonkeyPatch) -> None:
    game = play_a_game("play")
    game.gateway.start()
    door = game.gateway._life._door
    assert door is not None
    with socket.create_connection(("127.0.0.1", door.port)) as early:
        early.sendall(b'\x00\x00\x00\x20{"t": "hello", "secret": "guess"}')
        game.until_state(GatewayState.READY)
        with contextlib.suppress(ConnectionError):
            assert early.recv(1) == b""
    assert game.gateway.statistics().strangers == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", door.port))
    game.ask(1)
    game.answer(1)


def test_a_gateway_process_starts_no_gateways(monkeypatch: pytest.MonkeyPatch, meadow: Meadow) -> None:
    monkeypatch.setenv(process.CHILD_ENV, "1")
    gateway = Gateway(meadow.vocabulary, ModelSpec(kind="function", name="minds:play"))
    with pytest.raises(AstraSimError, match=r"freeze_support\(\)"):
        gateway.start()


def test_by_hand_it_says_who_starts_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "astrasim.gateway"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == 1
    assert "astrasim.gateway" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("statement", "kept_out"),
    [
        ("import astrasim.gateway", ["pydantic", "aiohttp", "httpx", "anyio", "numpy", "numba", "esper"]),
        (
            "from astrasim.gateway import Gateway",
            ["aiohttp", "httpx", "anyio", "numpy", "numba", "esper", "astrasim.gateway.server"],
        ),
        ("from astrasim.cli import run", ["aiohttp", "httpx", "anyio", "numba", "esper", "astrasim.simulation"]),
    ],
)
def test_importing_it_loads_little(statement: str, kept_out: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {kept_out} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout.strip() == "[]"


def test_the_package_exports_what_it_names() -> None:
    for name in astrasim.gateway.__all__:
        assert getattr(astrasim.gateway, name).__name__ == name
    with pytest.raises(AttributeError, match="it has: Answer"):
        _ = astrasim.gateway.Door  # type: ignore[attr-defined]
