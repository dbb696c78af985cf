"""Near neighbours by feature vector: exact, with numpy, among a few thousand; by hnswlib among more.

A situation is near another if its vector is within a bound of it, and if of the 16 nearest none that is less than
twice as far away has another plan: close to where plans change, the nearest one is no evidence (Lowe's ratio test, from
"Distinctive image features from scale-invariant keypoints", IJCV 60, 2004). Distances are Euclidean, over vectors whose
features were weighted already. What is near here must also be what ``tree.py`` expects.

hnswlib (`pip install "astrasim[semantic]"`) is fast and trusting, so all that is known to crash or mislead it is kept
from it here: it is made ready (``init_index``) before anything else is called; widths and numbers are checked by us; it
grows before it is full; it is never asked for more than it has; ``ef`` is set whenever it is made; it is never saved
or loaded, but built anew, by a thread, while numpy answers; and after that only one thread touches it. Without
it numpy does all the work.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import AstraSimError

LARGE = 3000
"""From so many vectors on hnswlib is faster than numpy."""
AROUND = 2.0
"""How many times as far as the nearest one the surroundings reach in which all plans must agree."""
NEIGHBOURS = 16
"""How many neighbours are looked at, at most."""
WORN = 8
_LINKS, _BUILD_EF, _FIND_EF = 12, 64, 64

Vectors = NDArray[np.float32]


class Near(NamedTuple):
    """The nearest situation known: its number, and how far away it is."""

    number: int
    distance: float


class Neighbours:
    """Vectors of one width, each with a number of its own and a mark for its plan; equal marks are the same decision.

    Not for use by several threads.
    """

    def __init__(self, width: int, large: int = LARGE) -> None:
        self.width = width
        self._large = large
        self._vectors: Vectors = np.zeros((16, width), np.float32)
        self._numbers: NDArray[np.int64] = np.zeros(16, np.int64)
        self._marks: NDArray[np.int64] = np.zeros(16, np.int64)
        self._place: dict[int, int] = {}
        self._index: _Index | None = None
        self._building: _Building | None = None

    def __len__(self) -> int:
        return len(self._place)

    @property
    def has_index(self) -> bool:
        """Whether hnswlib answers by now."""
        self._adopt()
        return self._index is not None

    def every(self, step: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Vectors and marks of every so many."""
        n = len(self)
        return self._vectors[:n:step].copy(), self._marks[:n:step].copy()

    def add(self, numbers: NDArray[np.int64], vectors: Vectors, marks: NDArray[np.int64]) -> None:
        """Add vectors, shape (n, width), whose numbers, shape (n,), were never used before.

        Raises:
            AstraSimError: for another shape, or one that holds what is no finite number; nothing is added then.
        """
        vectors = self._checked(vectors)
        self._adopt()  # before they have places: an index that was built meanwhile does not know them
        first = len(self._place)
        last = first + len(vectors)
        while last > len(self._numbers):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
            self._marks = np.concatenate([self._marks, np.zeros_like(self._marks)])
        self._vectors[first:last], self._numbers[first:last], self._marks[first:last] = vectors, numbers, marks
        self._place.update(zip(numbers.tolist(), range(first, last), strict=True))
        if self._index is not None and self._index.is_worn:
            self._index = None
        if self._index is None and self._building is None:
            self._build_if_large()
        else:
            for number, vector in zip(numbers.tolist(), vectors, strict=True):
                self._changed(number, vector)
            if self._index is not None:
                for number, at in zip(numbers.tolist(), range(first, last), strict=True):
                    self._index.move(number, at)

    def remove(self, number: int) -> None:
        """Without effect if there is none with this number."""
        self._adopt()
        at = self._place.pop(number, None)
        if at is None:
            return
        last = len(self._place)
        if at != last:  # the last one moves into its place
            self._vectors[at], self._marks[at] = self._vectors[last], self._marks[last]
            moved = int(self._numbers[last])
            self._numbers[at], self._place[moved] = moved, at
        self._changed(number, None)
        if at != last and self._index is not None:
            self._index.move(moved, at)

    def find(self, vectors: Vectors, bound: float) -> list[Near | None]:
        """For each of ``vectors``, shape (n, width), the nearest one within ``bound`` if all around agree with it.

        Raises:
            AstraSimError: for another shape, or one that holds what is no finite number.
        """
        vectors = self._checked(vectors)
        if not self._place:
            return [None] * len(vectors)
        self._adopt()
        k = min(NEIGHBOURS, len(self))
        found = self._index.nearest(vectors, k) if self._index is not None else None
        places, squared = self._search(vectors, k) if found is None else found
        return self._judge(places, squared, bound)

    def _search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The places of the ``k`` nearest and their squared distances, shape (n, k) each, by trying them all."""
        places, squared = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), np.float32)
        for row, vector in enumerate(vectors):
            away = self._vectors[: len(self)] - vector
            distances = np.einsum("ij,ij->i", away, away)
            places[row] = np.argpartition(distances, k - 1)[:k]
            squared[row] = distances[places[row]]
        return places, squared

    def _judge(
        self, places: NDArray[np.int64], squared: NDArray[np.float32], bound: float
    ) -> list[Near | None]:
        rows = np.arange(len(places))
        best = squared.argmin(1)
        distance = np.sqrt(squared[rows, best].astype(np.float64))
        around = squared <= (AROUND * distance[:, None]) ** 2
        marks = self._marks[places]
        agree = ((marks == marks[rows, best][:, None]) | ~around).all(1)
        good = agree & (distance <= bound)
        numbers = self._numbers[places[rows, best]].tolist()
        return [
            Near(number, far) if is_good else None
            for number, far, is_good in zip(numbers, distance.tolist(), good.tolist(), strict=True)
        ]

    def _checked(self, vectors: Vectors) -> Vectors:
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise AstraSimError(f"vectors of shape {vectors.shape} among vectors of {self.width} features")
        if not np.isfinite(vectors).all():
            raise AstraSimError("a situation's vector holds what is no finite number")
        return vectors

    def _changed(self, number: int, vector: Vectors | None) -> None:
        if self._index is not None:
            self._index.change(number, vector)
        elif self._building is not None:
            self._building.missed[number] = vector

    def _build_if_large(self) -> None:
        n = len(self)
        if n >= self._large and _hnswlib() is not None:
            self._building = _Building(self._vectors[:n].copy(), self._numbers[:n].copy())

    def _adopt(self) -> None:
        built = self._building
        if built is not None and built.done.is_set():
            self._building = None
            if built.index is not None:
                for number, vector in built.missed.items():
                    built.index.change(number, vector)
                for number, at in self._place.items():
                    built.index.move(number, at)
                self._index = built.index

    def wait(self, timeout_s: float = 60.0) -> bool:
        """Wait until what is being built is ready (for measurements and tests); whether hnswlib answers now."""
        if self._building is not None:
            self._building.done.wait(timeout_s)
        return self.has_index


class _Building:
    """An index in the making, by a thread; what changes meanwhile waits in ``missed``."""

    def __init__(self, vectors: Vectors, numbers: NDArray[np.int64]) -> None:
        self.missed: dict[int, Vectors | None] = {}
        self.index: _Index | None = None
        self.done = threading.Event()
        self._vectors, self._numbers = vectors, numbers
        threading.Thread(target=self._build, name="astrasim-index", daemon=True).start()

    def _build(self) -> None:
        try:
            self.index = _Index(self._vectors, self._numbers)
        finally:
            self.done.set()


class _Index:
    """An hnswlib index, behind all guards."""

    def __init__(self, vectors: Vectors, numbers: NDArray[np.int64]) -> None:
        self._index: Any = _hnswlib().Index(space="l2", dim=vectors.shape[1])
        self._capacity = max(1024, 2 * len(vectors))
        self._index.init_index(
            max_elements=self._capacity, M=_LINKS, ef_construction=_BUILD_EF, random_seed=1,
            allow_replace_deleted=True,
        )  # fmt: skip
        self._index.set_ef(_FIND_EF)
        self._index.set_num_threads(1)
        # Labels are our own: hnswlib refuses one that was deleted before.
        self._label = {number: label for label, number in enumerate(numbers.tolist())}
        self._places: NDArray[np.int64] = np.zeros(2 * self._capacity, np.int64)
        self._index.add_items(vectors, np.arange(len(vectors)))
        self._used = self._next = len(vectors)

    def change(self, number: int, vector: Vectors | None) -> None:
        """The vector with this number is gone (None), or new; then say where it stands by :meth:`move`."""
        label = self._label.pop(number, None)
        if label is not None:
            self._index.mark_deleted(label)
        if vector is None:
            return
        replaces = self._used > len(self._label)
        if not replaces and self._used == self._capacity:
            self._capacity *= 2
            self._index.resize_index(self._capacity)
        self._index.add_items(vector[None, :], np.array([self._next]), replace_deleted=replaces)
        self._label[number] = self._next
        self._next += 1
        self._used += not replaces

    @property
    def is_worn(self) -> bool:
        """Whether so many vectors came and went that it is better built anew."""
        return self._next > WORN * self._capacity

    def move(self, number: int, place: int) -> None:
        """Among the vectors, this one stands at ``place`` now."""
        label = self._label[number]
        if label >= len(self._places):
            self._places = np.concatenate([self._places, np.zeros_like(self._places)])
        self._places[label] = place

    def nearest(self, vectors: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Places and squared distances of the ``k`` nearest, or None if it does not find so many."""
        try:
            labels, squared = self._index.knn_query(vectors, k=k)
        except RuntimeError:  # "Cannot return the results in a contiguous 2D array": it lost sight of some
            return None
        return self._places[labels.astype(np.int64)], squared


def _hnswlib() -> Any:
    """The module, or None where it is not installed."""
    try:
        import hnswlib
    except ImportError:
        return None
    return hnswlib
