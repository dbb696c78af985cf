"""Which esper entities still carry our handle: noticed without asking every frame.

esper (3.x) has no hook for deletion, a query over 100,000 handles costs 29 ms after any change, and its components are
kept in one set of entity ids a type. The set of our component type is therefore replaced by one that writes down
which ids were touched. Looking for changes costs two comparisons when there are none, and the touched ids when there are.
``tests/test_membership.py`` pins what this relies on.
"""

from __future__ import annotations

from collections.abc import Iterable

import esper


class _WatchedSet(set[int]):
    """A set of entity ids that remembers which were added, or taken out, since it was last looked at."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        super().__init__(ids)
        self.touched: set[int] = set()

    def add(self, entity: int) -> None:
        super().add(entity)
        self.touched.add(entity)

    def discard(self, entity: int) -> None:
        super().discard(entity)
        self.touched.add(entity)


class Membership:
    """The entities of one world that carry one type of component, each with the very object that was put there.

    Every method expects that world to be the current one.
    """

    def __init__(self, component_type: type) -> None:
        self._type = component_type
        self._set: _WatchedSet | None = None
        self._handles: dict[int, object] = {}
        self._overwritten: list[object] = []

    def _watch(self) -> _WatchedSet:
        current = esper._components.get(self._type)
        if self._set is None or current is not self._set:
            # The last one was deleted, the database was cleared, or the world is new to us: look at all of ours.
            self._set = _WatchedSet(current or ())
            self._set.touched.update(self._handles)
            esper._components[self._type] = self._set
        return self._set

    def add(self, handles: Iterable[tuple[int, object]]) -> None:
        """Put each handle on its (existing) entity."""
        watched = self._watch()
        for entity, handle in handles:
            if (old := self._handles.get(entity)) is not None:  # ids start again at 1 after clear_database()
                self._overwritten.append(old)
            esper.add_component(entity, handle, type_alias=self._type)
            self._handles[entity] = handle
            watched.touched.discard(entity)

    def gone(self) -> list[object]:
        """The handles that have left their entity since the last call, by whatever way."""
        if not self._handles and not self._overwritten:
            return []
        watched = self._watch()
        if not watched.touched and not self._overwritten:
            return []
        lost, self._overwritten = self._overwritten, []
        for entity in watched.touched:
            handle = self._handles.get(entity)
            if handle is not None and not self._carries(entity, handle):
                lost.append(self._handles.pop(entity))
        watched.touched.clear()
        return lost

    def _carries(self, entity: int, handle: object) -> bool:
        components = esper._entities.get(entity)
        return components is not None and components.get(self._type) is handle
