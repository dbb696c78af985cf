"""Handles: the components by which game code meets one agent or one thing.

``esper.get_component(Agent)`` gives them like any component. A handle holds no data: ``agent.hp -= 5`` writes to a row
of the agent table. Each domain has its own subclasses with a property for every column and reference it declares.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .errors import AgentGone
from .kernels.columns import X, Y

if TYPE_CHECKING:
    from .table import Table


class HasPosition(Protocol):
    """Whatever can be steered to: a handle, a :class:`Spot`, or any object of the game with ``x`` and ``y``."""

    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...


class Spot(NamedTuple):
    """A position with a name: what a place, a home or a resolver's answer is to an action."""

    name: str
    x: float
    y: float

    def __repr__(self) -> str:
        return f"Spot({self.name}, {self.x:g}, {self.y:g})"


class _GoneTable:
    """Stands in for the table of a handle whose row is no more."""

    __slots__ = ("_entity", "_kind")

    def __init__(self, kind: str, entity: int) -> None:
        self._kind, self._entity = kind, entity

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Python's own look-ups, as copy.deepcopy makes them
            raise AttributeError(name)
        raise AgentGone(
            f"{self._kind} {self._entity} was deleted; test handle.alive before using a handle that you kept"
        )


_UNBORN = _GoneTable("handle", 0)


class Handle:
    """A row of a table, as an object. ``entity`` is its esper id, ``uid`` a number never used again."""

    __slots__ = ("__weakref__", "_row", "_table", "entity", "uid")

    _table: Any
    _row: int

    def __init__(self, entity: int) -> None:
        self.entity = entity
        self.uid = 0
        self._row = -1
        self._table = _UNBORN

    def _attach(self, table: Table, row: int, uid: int) -> None:
        self._table, self._row, self.uid = table, row, uid

    def _detach(self, kind: str) -> None:
        self._table, self._row = _GoneTable(kind, self.entity), -1

    @property
    def alive(self) -> bool:
        """Whether it is still in the world (a deletion is noticed at the start of the next tick)."""
        return self._row >= 0

    @property
    def row(self) -> int:
        """Its row at this moment; rows move when others are deleted."""
        self._table.kind  # noqa: B018  raises AgentGone for a handle without a row
        return self._row

    @property
    def kind(self) -> str:
        """The name of its kind."""
        name: str = self._table.kind_names[self._table.kind.item(self._row)]
        return name

    def distance_to(self, target: HasPosition) -> float:
        """Distance in world units."""
        f, row = self._table.f, self._row  # not by its own properties: half the cost of a small game's tick is here
        return math.hypot(target.x - f.item(X, row), target.y - f.item(Y, row))

    def __repr__(self) -> str:
        return f"{self.kind} {self.entity}" if self._row >= 0 else f"entity {self.entity} (deleted)"

    def __getattr__(self, name: str) -> Any:
        columns = [n for n in dir(type(self)) if not n.startswith("_")]
        near = difflib.get_close_matches(name, columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; it has: {', '.join(columns)}"
        raise AttributeError(f"{type(self).__name__} has no column {name!r}{hint}")

    if TYPE_CHECKING:  # columns are declared at run time: let type checkers accept setting them

        def __setattr__(self, name: str, value: Any) -> None: ...


class Agent(Handle):
    """An agent: something that perceives, plans and acts. Query it with ``esper.get_component(Agent)``."""

    __slots__ = ()

    @property
    def tier(self) -> str:
        """The name of its tier. Set it to another, and what it waits for ranks so at once (``sim.set_tier``)."""
        name: str = self._table.tier_names[self._table.tier.item(self._row)]
        return name

    @tier.setter
    def tier(self, name: str) -> None:
        self._table.set_tier(self, name)

    def steer_to(self, target: HasPosition, speed: float) -> None:
        """Set the velocity towards ``target``, ``speed`` in world units a second; it does not overshoot."""
        self._steer(target, speed, 1.0)

    def steer_away(self, target: HasPosition, speed: float) -> None:
        """Set the velocity away from ``target``, ``speed`` in world units a second."""
        self._steer(target, speed, -1.0)

    def stop(self) -> None:
        """Set the velocity to zero."""
        self.vx = self.vy = 0.0

    def _steer(self, target: HasPosition, speed: float, sign: float) -> None:
        f, row = self._table.f, self._row
        dx, dy = target.x - f.item(X, row), target.y - f.item(Y, row)
        distance = math.hypot(dx, dy)
        if distance < 1e-6:
            dx, dy, distance = (0.0, 0.0, 1.0) if sign > 0 else (1.0, 0.0, 1.0)
        if sign > 0:
            speed = min(speed, distance / self._table.tick_s)
        self.vx = sign * speed * dx / distance
        self.vy = sign * speed * dy / distance


class Thing(Handle):
    """A thing in the world that is no agent: a door, a health pack."""

    __slots__ = ()


def handle_class(base: type[Handle], floats: dict[str, int], references: dict[str, int]) -> type[Handle]:
    """A subclass of ``base`` with a property for each column (numbers) and each reference (a handle or None)."""
    members: dict[str, Any] = {"__slots__": ()}
    members.update({name: _float_property(name, index) for name, index in floats.items()})
    members.update({name: _reference_property(name, index) for name, index in references.items()})
    return type(base.__name__, (base,), members)


def _float_property(name: str, index: int) -> property:
    # ndarray.item gives a Python float; a numpy scalar would double the cost of all arithmetic that follows.
    def get(self: Handle) -> float:
        value: float = self._table.f.item(index, self._row)
        return value

    def put(self: Handle, value: float) -> None:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{self!r}: {name} = {value!r} is no number") from None
        if number != number:
            raise ValueError(f"{self!r}: {name} cannot be NaN; look for 0/0 or inf - inf in what was computed")
        self._table.f[index, self._row] = number

    return property(get, put)


def _reference_property(name: str, index: int) -> property:
    def get(self: Handle) -> Handle | None:
        row = self._table.r.item(index, self._row)
        found: Handle | None = self._table.refers_to[index].handles[row] if row >= 0 else None
        return found

    def put(self: Handle, other: Handle | None) -> None:
        row, table = -1, self._table.refers_to[index]
        if other is not None:
            if not isinstance(other, Handle):
                raise TypeError(f"{self!r}: {name} = {other!r} must be a handle or None")
            row = other.row  # raises AgentGone for one that was deleted
            if other._table is not table:
                raise TypeError(
                    f"{self!r}: {name} refers to {table.what}s of its own simulation, which {other!r} is not"
                )
        self._table.r[index, self._row] = row

    return property(get, put)
