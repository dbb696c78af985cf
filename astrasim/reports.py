"""What the game's own code raised: logged once, counted ever after, and never in the way of a tick."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger("astrasim")

MAX_ERRORS = 256
"""Different errors that are told apart; a game may run for days."""


class Reports(Counter[str]):
    """How often each error occurred, by what it was."""

    def report(self, what: str, error: BaseException) -> None:
        """The game's code raised ``error`` in ``what`` (``feature danger``): log it the first time, count it."""
        key = f"{what}: {type(error).__name__}: {error}"
        if key not in self and len(self) >= MAX_ERRORS:
            key = "further errors"
        self[key] += 1
        if self[key] == 1:
            log.error("%s (counted from now on, not logged again)", key, exc_info=error)
