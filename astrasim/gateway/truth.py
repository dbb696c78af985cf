"""How often near answers are right, and how near is near enough.

Some situations that got another's plan are asked about all the same, in the shadow. The model's own plan agrees if its
first step has the same action and the same target. Situations that are asked about because nothing was near enough give
such samples as well, for a wider bound, at no cost. For each role the last 2,000 samples are pooled, and Wilson's 95%
interval of the share that disagrees steers the role's bound:

- Within the bound the interval is above the target altogether, or its upper limit is and there are enough samples that
  it could be below (381 for 1%): tighter.
- Within some wider bound the upper limit is below the target: as wide as the narrowest of those.
- Otherwise there is not enough evidence, and the bound stays.

That is looked at after every 20 samples.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from ..intervals import wilson

TARGET = 0.01
"""The share of false hits that is accepted."""
FIRST_BOUND = 0.08
WIDEST, TIGHTEST = 1.0, 0.001
TIGHTER, WIDER = 0.7, 1.25
SAMPLES = 2000
FRESH = 20


class Verdict(NamedTuple):
    """What is known of one role's near hits: those looked into, the false ones among them, and the 95% interval of
    their share. ``enough``: whether that is enough evidence to say that the target is kept or missed."""

    bound: float
    samples: int
    false: int
    low: float
    high: float
    enough: bool


class Truth:
    """One role's samples and bound."""

    def __init__(self, first_bound: float = FIRST_BOUND, target: float = TARGET) -> None:
        self.bound = first_bound
        self._target = target
        self._samples: deque[tuple[float, bool]] = deque(maxlen=SAMPLES)
        self._fresh = 0

    def add(self, distance: float, agreed: bool) -> None:
        """A situation at this distance from the nearest one was asked about."""
        self._samples.append((distance, agreed))
        self._fresh += 1
        if self._fresh < FRESH:
            return
        self._fresh = 0
        now = self.verdict()
        if now.enough and now.high > self._target:
            # At the tightest, only the same vector is near.
            self.bound = max(self.bound * TIGHTER, min(self.bound, TIGHTEST))
            return
        wider = max(self.bound, TIGHTEST) * WIDER
        while wider <= WIDEST:
            verdict = self.verdict(wider)
            if verdict.enough and verdict.high <= self._target:
                self.bound = wider
                return
            wider *= WIDER

    def verdict(self, bound: float | None = None) -> Verdict:
        """Over the samples within the bound as it is now, or within another."""
        bound = self.bound if bound is None else bound
        within = [agreed for distance, agreed in self._samples if distance <= bound]
        false = within.count(False)
        low, high = wilson(false, len(within))
        enough = wilson(0, len(within))[1] <= self._target or low > self._target
        return Verdict(bound, len(within), false, low, high, enough)

    @property
    def is_refuted(self) -> bool:
        """Whether it is sure that more than the target are false."""
        return self.verdict().low > self._target

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` takes, as JSON has it."""
        return {"bound": self.bound, "samples": [[round(d, 6), agreed] for d, agreed in self._samples]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another run was."""
        self.bound = float(state["bound"])
        self._samples.extend((float(d), bool(agreed)) for d, agreed in state["samples"])
