"""The demo, headless, by the command that users type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pygame


def test_without_a_display_it_says_so_runs_and_leaves_a_picture_and_figures(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    picture, figures = tmp_path / "last.png", tmp_path / "out.json"
    arguments = ["demo", "--seconds", "1", "--screenshot", str(picture), "--json", str(figures)]
    if not sys.platform.startswith("linux"):
        arguments.append("--headless")
    command = [sys.executable, "-c", "from astrasim.cli import run; run()", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    if sys.platform.startswith("linux"):
        assert "running headless for 1 s" in done.stderr
    out = json.loads(figures.read_text(encoding="utf-8"))
    assert out["frames"] == 60
    assert out["draw"] == "dummy"
    surface = pygame.image.load(picture)
    assert surface.get_size() == (1280, 720)
    colours = {tuple(surface.get_at((x, y))) for x in range(0, 1280, 3) for y in range(0, 720, 3)}
    assert len(colours) > 10, "panel, text, meadow and animals"
