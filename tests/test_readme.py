"""What README says is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


UNPACED = """
import runpy, sys
from astrasim import frames
frames.wait_until = lambda when_s: None
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs a script whose frames come as fast as they go: the 10 s of the game in the README in less than one."""

HELPS = """
import runpy, sys
for module in sys.argv[1:]:
    sys.argv = [module, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
"""


def block(marker: str, text: str = README) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, f"there is no code block marked {marker}"
    return found.group(1)


def test_the_forty_line_game_in_the_readme_is_the_one_in_demos() -> None:
    game = block("meadow")
    assert game == (ROOT / "demos" / "meadow.py").read_text(encoding="utf-8")
    assert len(game.splitlines()) <= 40


def test_the_forty_line_game_runs_as_written(tmp_path: Path) -> None:
    script = tmp_path / "meadow.py"
    script.write_text(block("meadow"), encoding="utf-8")
    command = [sys.executable, "-c", UNPACED, str(script)]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "600 frames in" in done.stdout
    assert "source: " in done.stdout


@pytest.mark.parametrize("marker", ["dashboard", "observer"])
def test_the_code_that_looks_into_a_game_runs_as_written(marker: str) -> None:
    guide = (ROOT / "docs" / "budget.md").read_text(encoding="utf-8")
    exec(compile(block(marker, guide), marker, "exec"), {"__name__": marker})


def test_every_module_that_the_readme_runs_exists() -> None:
    modules = set(re.findall(r"python -m (astrasim[\w.]*)", README))
    command = [sys.executable, "-P", "-c", HELPS, *modules]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().count("usage: ") == len(modules)


def test_every_test_that_the_documents_name_exists() -> None:
    named = [
        (document.name, *found)
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for found in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", document.read_text(encoding="utf-8"))
    ]
    assert len(named) > 20, "docs/security.md names the test of each promise"
    for document, file, test in named:
        source = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        assert re.search(rf"^def {test or 'test_'}", source, re.MULTILINE), f"{document} names {file}::{test}"


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
