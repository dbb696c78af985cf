"""What the tests of measuring share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process count from their first frames on: their figures are not for comparing."""
    for module in ("stress", "budgets", "latencies", "observing"):
        monkeypatch.setattr(f"astrasim.perf.{module}.WARM_UP_FRAMES", 2)
