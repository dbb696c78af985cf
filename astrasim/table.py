"""Columns that own the hot state of agents (and of things): one row each, rows dense, one contiguous array a field.

Three sorts of column:

* ``f`` float32 (columns, capacity): positions, health, percepts, whatever the game adds. One block, so that a kernel
  can read a column whose number it finds in a table.
* ``r`` int32 (references, capacity): rows of other agents or things, -1 for none. Kept right when rows move.
* ``b`` uint8 (features, capacity): the bucket in which each feature of an agent stands.
* fixed columns of other types (``kind``, ``uid``, and the planner's for agents).

To read and to write, ``table.NAME`` is the column as far as rows are in use, whatever its sort; ``f``, ``r`` and ``b``
are whole blocks, with the rows not yet in use.

A row is no identity: when an agent dies, the last row moves into its place. The identity is the handle, or its ``uid``,
a number that is never used again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DomainError
from .kernels.rows import remap_references
from .kernels.situating import UNKNOWN_BUCKET
from .kernels.turns import rows_together

if TYPE_CHECKING:
    from .agents import Handle

Fixed = tuple[str, Any, int]
"""A fixed column: its name, dtype and the value of a new row."""


class Table:
    """Rows of one sort of entity.

    Args:
        what: ``"agent"`` or ``"thing"``, for messages.
        floats: names of the float columns, with the value of a new row.
        references: names of the reference columns.
        fixed: further columns (name, dtype, value of a new row).
        buckets: rows of the block ``b``.
        capacity: rows to begin with; doubles when full.
    """

    f: NDArray[np.float32]
    r: NDArray[np.int32]
    b: NDArray[np.uint8]
    kind: NDArray[np.int16]
    uid: NDArray[np.int64]
    due: NDArray[np.uint8]

    def __init__(
        self,
        what: str,
        floats: dict[str, float],
        references: Sequence[str] = (),
        fixed: Iterable[Fixed] = (),
        buckets: int = 0,
        capacity: int = 1024,
    ) -> None:
        self._columns: frozenset[str] = frozenset()
        self.what = what
        self.float_index = {name: i for i, name in enumerate(floats)}
        self.reference_index = {name: i for i, name in enumerate(references)}
        self.defaults = np.array(list(floats.values()), dtype=np.float32)
        self.fixed: tuple[Fixed, ...] = (("kind", np.int16, 0), ("uid", np.int64, 0), ("due", np.uint8, 1), *fixed)
        self.handles: list[Handle] = []
        self.count = 0
        self.departures = 0
        """How many rows were ever removed."""
        self.kind_names: tuple[str, ...] = ()
        self.tier_names: tuple[str, ...] = ()
        self.set_tier: Callable[[Any, str], None]
        """What a handle whose tier is set calls, with itself and the name. The simulation says."""
        self.refers_to: list[Table] = []
        """For each reference column, the table that its rows are of."""
        self.tick_s = 1 / 60
        """The length of this tick: a velocity set by a handle must not carry further than its target in it."""
        self._buckets = max(1, buckets)
        self._next_uid = 1
        self._views: list[weakref.ref[NDArray[Any]]] = []
        self._whole: dict[str, NDArray[Any]] = {}
        self._allocate(max(1, capacity))
        self._columns = frozenset([*floats, *references, *self._whole])

    @property
    def capacity(self) -> int:
        return int(self.f.shape[1])

    def _allocate(self, capacity: int) -> None:
        self.f = np.zeros((len(self.float_index), capacity), dtype=np.float32)
        self.r = np.full((max(1, len(self.reference_index)), capacity), -1, dtype=np.int32)
        self.b = np.full((self._buckets, capacity), UNKNOWN_BUCKET, dtype=np.uint8)
        self._whole = {name: np.zeros(capacity, dtype=dtype) for name, dtype, _ in self.fixed}
        self._set_count(self.count)

    def _set_count(self, count: int) -> None:
        self.count = count
        # Fixed columns are plain attributes, because the systems read many of them in every tick.
        self.__dict__.update({name: array[:count] for name, array in self._whole.items()})

    def _arrays(self) -> list[NDArray[Any]]:
        return [self.f, self.r, self.b, *self._whole.values()]

    def _grow(self, capacity: int) -> None:
        count, old = self.count, self._arrays()
        old_views = [getattr(self, name) for name in self._whole]
        self._allocate(capacity)
        for new, array in zip(self._arrays(), old, strict=True):
            new[..., :count] = array[..., :count]
        if rows_together(capacity) != rows_together(len(old[0][0])):  # turns go round in other runs now
            self.due[:] = 1
        # Whoever kept one of the old arrays would write into nowhere: let that raise instead.
        for array in [*old, *old_views, *(view for ref in self._views if (view := ref()) is not None)]:
            array.flags.writeable = False
        self._views.clear()

    # Rows

    def add(self, handles: Sequence[Handle], kind: int, columns: dict[str, Any]) -> slice:
        """Append one row a handle.

        Args:
            columns: values for float columns, a number or an array of shape (len(handles),) each.

        Raises:
            DomainError: for a column that does not exist or an array of another length. Nothing is added then.
        """
        size, first = len(handles), self.count
        values = {self._float(name): self._checked(name, value, size) for name, value in columns.items()}
        if first + size > self.capacity:
            self._grow(max(self.capacity * 2, first + size))
        rows = slice(first, first + size)
        self._set_count(first + size)
        self.f[:, rows] = self.defaults[:, None]
        self.r[:, rows] = -1
        self.b[:, rows] = UNKNOWN_BUCKET
        for name, _, initial in self.fixed:
            self._whole[name][rows] = initial
        for index, value in values.items():
            self.f[index, rows] = value
        self.kind[rows] = kind
        self.uid[rows] = np.arange(self._next_uid, self._next_uid + size)
        for number, handle in enumerate(handles):
            handle._attach(self, first + number, self._next_uid + number)
        self._next_uid += size
        self.handles.extend(handles)
        return rows

    def _checked(self, name: str, value: Any, size: int) -> NDArray[np.float32]:
        try:
            with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused below
                array = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            raise DomainError(f"{self.what} column {name!r}: {value!r} is no number and no array of numbers") from None
        if array.shape not in ((), (size,)):
            raise DomainError(f"{self.what} column {name!r}: shape {array.shape}, expected () or ({size},)")
        if not np.isfinite(array).all():
            raise DomainError(f"{self.what} column {name!r}: {value!r} has values that are not finite")
        return array

    def _float(self, name: str) -> int:
        if name in self.float_index:
            return self.float_index[name]
        if name in self.reference_index:
            raise DomainError(
                f"{self.what} column {name!r} is a reference, not a number; set it afterwards: handle.{name}"
            )
        how = f"domain.column({name!r}, default=...)" if self.what == "agent" else f"domain.thing(..., {name}=...)"
        known = ", ".join(self.float_index)
        raise DomainError(f"{self.what}s have no column {name!r}; they have: {known}. A game adds one with {how}")

    def remove(self, rows: Sequence[int], referrers: Sequence[tuple[NDArray[np.int32], int]]) -> None:
        """Delete ``rows``; the last rows move into the gaps, and references follow them.

        Args:
            rows: distinct rows.
            referrers: reference columns that point into this table, as (column, number of rows in use).
        """
        gone = np.sort(np.array(rows, dtype=np.int64))
        if not len(gone):
            return
        before, after = self.count, self.count - len(gone)
        self.departures += len(gone)
        holes = gone[gone < after]
        movers = np.setdiff1d(np.arange(after, before), gone[gone >= after], assume_unique=True)
        handles, names = self.handles, self.kind_names
        for row, kind in zip(gone.tolist(), self.kind[gone].tolist(), strict=True):
            handles[row]._detach(names[kind])
        if len(holes):
            for array in self._arrays():
                array[..., holes] = array[..., movers]
            self.due[holes] = 1  # the turn to look may have passed this row already
            for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
                handles[hole] = handle = handles[mover]
                handle._row = hole
        del handles[after:]
        self._set_count(after)
        moved = np.arange(before, dtype=np.int32)
        moved[gone] = -1
        moved[movers] = holes
        for column, count in referrers:
            remap_references(column, min(count, column.shape[0]), moved)

    # What users see

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column for the rows now in use, shape (count,); writing to it writes to the agents.

        Hold it no longer than a tick: rows move when agents die, and after the next growth of the table it is
        read-only, so that writing to it raises. (A slice that you took of it is not.)

        Raises:
            DomainError: if there is no such column.
        """
        view = self.view(name)
        if len(self._views) >= 64:
            self._views = [ref for ref in self._views if ref() is not None]
        self._views.append(weakref.ref(view))
        return view

    def view(self, name: str) -> NDArray[Any]:
        """As :meth:`column`, for kernels: nobody keeps it, so growth need not be told of it."""
        if name in self.reference_index:
            return self.r[self.reference_index[name], : self.count]
        if name in self._whole:
            return self._whole[name][: self.count]
        return self.f[self._float(name), : self.count]

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or "_columns" not in self.__dict__:
            raise AttributeError(name)
        try:
            return self.column(name)
        except DomainError as error:
            raise AttributeError(str(error)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        # ``sim.agents.hp -= 5`` ends in an assignment, which must not put an array in the column's place.
        if name in self.__dict__.get("_columns", ()):
            self.view(name)[:] = value
        else:
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return self.count
