"""Numba kernels. Each has one signature, whatever the domain: a domain is data to them, so editing it compiles nothing.

``fastmath`` never includes ``nnan``: with it, LLVM deletes the checks for NaN.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

FASTMATH = {"contract", "nsz", "arcp"}


def _drop_stale_caches() -> None:
    """Delete compiled kernels that are older than any kernel's source.

    Numba compares a compiled function with its own file only. One kernel calls another across files, so after an edit
    it would go on with the old body of the other.
    """
    here = Path(__file__).parent
    newest = max(path.stat().st_mtime for path in here.glob("*.py"))
    for path in (here / "__pycache__").glob("*.nbi"):
        with contextlib.suppress(OSError):  # another process did the same, or the folder is read-only
            if path.stat().st_mtime < newest:
                path.unlink()


_drop_stale_caches()
