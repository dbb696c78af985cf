"""Where plans change, as far as the plans known say: a decision tree over the vectors of situations.

A near neighbour's plan is wrong where a rule of the game turns between the two ("no ammunition: reload"). Others may
show where that is, far away in all else: a tree that splits one feature at a time finds such turns. It is grown as in
CART (Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees", 1984): at each node the split that makes
the sides purest, by Gini's index, until a side is pure or small.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

SMALLEST = 3
"""Situations on each side of a split, at least: one odd plan is no turn."""
FIRST = 20
"""With fewer plans there is no tree."""
MOST = 4000
"""Of more plans, so many that stand for all."""
SHARE = 0.3
"""It is grown anew when this share of the plans is new."""

Vectors = NDArray[np.float32]
Marks = NDArray[np.int64]


class Tree:
    """Grown from vectors, shape (n, width), n > 0, and a mark for the plan of each, shape (n,)."""

    def __init__(self, vectors: Vectors, marks: Marks) -> None:
        names, classes = np.unique(marks, return_inverse=True)
        # Of each node: the feature that it splits (-1: none), where, the nodes below and above that, and its mark.
        self._nodes: list[tuple[int, float, int, int, int]] = []
        waiting = [(np.arange(len(marks)), -1, False)]
        while waiting:
            here, parent, is_above = waiting.pop()
            at = len(self._nodes)
            if parent >= 0:
                feature, edge, below, above, mark = self._nodes[parent]
                self._nodes[parent] = (feature, edge, *((below, at) if is_above else (at, above)), mark)
            counts = np.bincount(classes[here], minlength=len(names))
            split = None if counts.max() == len(here) else _best_split(vectors[here], classes[here], counts)
            feature, edge = split or (-1, 0.0)
            self._nodes.append((feature, edge, -1, -1, int(names[counts.argmax()])))
            if split is not None:
                is_below = vectors[here, feature] <= edge
                waiting += [(here[~is_below], at, True), (here[is_below], at, False)]

    def mark(self, vector: Vectors) -> int:
        """The mark of the plan that it expects at ``vector``, shape (width,)."""
        values, at = vector.tolist(), 0
        while True:
            feature, edge, below, above, mark = self._nodes[at]
            if feature < 0:
                return mark
            at = below if values[feature] <= edge else above


def _best_split(vectors: Vectors, classes: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[int, float] | None:
    """The feature to split and where, or None if no split makes the sides purer."""
    n = len(classes)
    sizes = np.arange(SMALLEST, n - SMALLEST + 1)
    # The sum over both sides of (squares of how many there are of each plan) / size: the larger, the purer.
    best, found = (counts.astype(float) ** 2).sum() / n * (1 + 1e-9), None
    if not len(sizes):
        return None
    one_of = np.eye(len(counts), dtype=np.int32)
    for feature in range(vectors.shape[1]):
        order = np.argsort(vectors[:, feature], kind="stable")
        values = vectors[order, feature]
        is_edge = values[sizes - 1] < values[np.minimum(sizes, n - 1)]
        if not is_edge.any():
            continue
        left = one_of[classes[order]].cumsum(0)[sizes - 1]
        right = counts - left
        purity = (left.astype(float) ** 2).sum(1) / sizes + (right.astype(float) ** 2).sum(1) / (n - sizes)
        at = int(np.where(is_edge, purity, -1.0).argmax())
        if purity[at] > best:
            low, high = values[sizes[at] - 1], values[sizes[at]]
            middle = low / 2 + high / 2
            # Between two numbers side by side there is none.
            best, found = purity[at], (feature, float(middle if low <= middle < high else low))
    return found



class Growing:
    """A tree in the making, by a thread: a tenth of a second for a thousand plans."""

    def __init__(self, vectors: Vectors, marks: Marks) -> None:
        self.tree: Tree | None = None
        self.done = threading.Event()
        self._vectors, self._marks = vectors, marks
        threading.Thread(target=self._grow, name="astrasim-tree", daemon=True).start()

    def _grow(self) -> None:
        try:
            self.tree = Tree(self._vectors, self._marks)
        finally:
            self.done.set()


class Expectation:
    """What plan a scope's plans let expect where. They may come and go; not for use by several threads."""

    def __init__(self) -> None:
        self._tree: Tree | None = None
        self._growing: Growing | None = None
        self._fresh = 0

    def agrees(self, mark: int, vector: Vectors, known: int, gather: Callable[[int], tuple[Vectors, Marks]]) -> bool:
        """Whether the plan with this mark may be right at ``vector``, shape (width,). Never while the first tree grows.

        Args:
            known: how many plans there are.
            gather: gives the vectors and marks of every so many of them.
        """
        self._adopt()
        if self._growing is None and known >= FIRST and (self._tree is None or self._fresh >= SHARE * min(known, MOST)):
            self._growing, self._fresh = Growing(*gather(ceil(known / MOST))), 0
        if self._tree is None:
            return known < FIRST
        return self._tree.mark(vector) == mark

    def added(self, number: int) -> None:
        """So many plans came."""
        self._fresh += number

    def wait(self) -> None:
        """Until the tree that grows is there (for measurements and tests)."""
        if self._growing is not None:
            self._growing.done.wait(60.0)

    def _adopt(self) -> None:
        if self._growing is not None and self._growing.done.is_set():
            self._tree, self._growing = self._growing.tree or self._tree, None
