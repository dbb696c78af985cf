"""How sure a share is."""

from __future__ import annotations

import math


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of the share ``count`` of ``n``, 95% by default; (0, 1) for ``n`` = 0.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if n == 0:
        return 0.0, 1.0
    p, centre = count / n, count / n + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    return max(0.0, low), min(1.0, high)
