"""The demo in a real window, on an X server without a screen (Xvfb)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

XVFB = shutil.which("Xvfb")
pytestmark = pytest.mark.skipif(XVFB is None, reason="needs Xvfb, an X server that draws to memory")


@pytest.fixture
def display() -> Iterator[str]:
    """A screen of 1920x1080 of our own, as DISPLAY names it."""
    read, write = os.pipe()
    command = [str(XVFB), "-displayfd", str(write), "-screen", "0", "1920x1080x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:  # the server says the number that it took, once it is up
            yield f":{told.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


def test_it_opens_a_window_and_leaves_nothing_behind(display: str, tmp_path: Path) -> None:
    (tmp_path / "window_mind.py").write_text("def decide(prompt, schema):\n    return '{}'\n")
    figures, picture = tmp_path / "out.json", tmp_path / "last.png"
    unset = ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment |= {"DISPLAY": display, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "from astrasim.cli import run; run()", "demo", "--seconds", "1", "--json",
               str(figures), "--screenshot", str(picture), "--model", "function:window_mind:decide"]  # fmt: skip
    game = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        gateway = _child(game)
        _, said = game.communicate(timeout=60)
    finally:
        game.kill()
    assert game.returncode == 0, said
    gone, _ = psutil.wait_procs([gateway], timeout=10)
    assert gone, "the gateway's process outlives the game"
    out = json.loads(figures.read_text(encoding="utf-8"))
    assert out["draw"] == "window" and out["driver"] == "x11"
    assert out["settings"]["size"] == [1280, 720]
    assert picture.exists()


def _child(game: subprocess.Popen[str]) -> psutil.Process:
    """The game's gateway, as soon as there is one."""
    parent, waited = psutil.Process(game.pid), 0.0
    while not (children := parent.children()) and waited < 60:
        waited += 0.1
        try:
            game.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(game.communicate()[1])
    return children[0]
