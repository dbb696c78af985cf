"""What the tuned peers look with: SciPy's KD-tree, all pairs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .fight import CAP, Percepts


def look(positions: NDArray[np.float64], reds: int, radius: float) -> Percepts:
    """The percepts of agents at ``positions``, shape (agents, 2), of whom the first ``reds`` are red.

    The quickest of what was tried with 500 to 8,000 agents: two queries for each team take three times as long, and
    the tree's own threads cost more than they save. Of equally near ones, any may be the nearest.
    """
    n = len(positions)
    # Built anew in each tick for one pass: a balanced tree would take longer to build than it saves.
    pairs = KDTree(positions, balanced_tree=False, compact_nodes=False).query_pairs(radius, output_type="ndarray")
    x, y, one, other = (np.ascontiguousarray(column) for column in (*positions.T, *pairs.T))
    distance = np.sqrt((x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2)
    enemies = (one < reds) != (other < reds)
    seen = []
    for chosen in (np.flatnonzero(enemies), np.flatnonzero(~enemies)):
        a, b, away = one[chosen], other[chosen], distance[chosen]
        nearest, row = np.full(n, np.inf), np.full(n, -1)
        count = np.zeros(n, np.int64)
        for mine in (a, b):
            np.minimum.at(nearest, mine, away)
            count += np.bincount(mine, minlength=n)
        for mine, theirs in ((a, b), (b, a)):
            best = np.flatnonzero(away == nearest[mine])
            row[mine[best]] = theirs[best]
        seen += [row, nearest, np.minimum(count, CAP)]
    return Percepts(*seen)
