"""A simulation's place in an esper world: its processors, and which entities still carry our handle.

esper (3.x) has no hook for deletion, a query over 100,000 handles costs 29 ms after any change, and its components are
kept in one set of entity ids a type. The set of our component type is therefore replaced by one that writes down which
ids were touched. Looking for changes costs two comparisons when there are none, and the touched ids when there are.
``tests/test_membership.py`` pins what this relies on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import esper

from .errors import WorldError

if TYPE_CHECKING:
    from .agents import Handle


@contextmanager
def inside(world: str, *, throw_away: bool = False) -> Iterator[None]:
    """Make ``world`` esper's current one for a while; ``throw_away`` deletes it afterwards."""
    before = esper.current_world
    if before == world:
        yield
        return
    esper.switch_world(world)
    try:
        yield
    finally:
        esper.switch_world(before)
        if throw_away:
            esper.delete_world(world)


class World:
    """The esper world called ``name`` (the current one for None), as far as one simulation uses it."""

    def __init__(self, name: str | None) -> None:
        self.name = name or esper.current_world
        self._processors: list[esper.Processor] = []
        self._closed = False

    def enter(self, processors: list[esper.Processor]) -> None:
        """Add the processors, the first with the highest priority.

        Raises:
            WorldError: if the world has a simulation already.
        """
        with inside(self.name):
            if any(esper.get_processor(type(processor)) for processor in processors):
                raise WorldError(
                    f"esper world {self.name!r} has a simulation already; close that one (sim.close()) or give "
                    f"another world: Simulation(domain, world='another')"
                )
            self._processors = processors
            for position, processor in enumerate(processors):
                # Room between priorities: a game's own processor may run between two of ours.
                esper.add_processor(processor, priority=10 * (len(processors) - position))

    @property
    def exists(self) -> bool:
        """Whether esper has a world of this name."""
        return self.is_current or self.name in esper.list_worlds()

    @property
    def is_current(self) -> bool:
        """Whether it is esper's current one."""
        return self.name == esper.current_world

    def all_processors(self) -> list[esper.Processor]:
        """Those of the game as well, in order."""
        if self.is_current:  # asked for in each tick that is observed
            return esper._processors
        with inside(self.name):
            return esper._processors

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make it the current one for a while.

        Raises:
            WorldError: if the simulation is closed, or is in this world no more.
        """
        if self._closed:
            raise WorldError("this simulation is closed; make a new one")
        if not self.exists:
            raise WorldError(f"esper world {self.name!r} was deleted; make a new simulation")
        with inside(self.name):
            if not any(map(_runs, self._processors)):
                raise WorldError(
                    f"esper world {self.name!r} runs none of this simulation's processors: the world was deleted and "
                    f"made anew, or they were removed; make a new simulation"
                )
            yield

    def leave(self) -> None:
        """Take the processors out. :meth:`open` raises from now on."""
        self._closed = True
        if self.exists:
            with inside(self.name):
                for processor in filter(_runs, self._processors):
                    esper.remove_processor(type(processor))


def _runs(processor: esper.Processor) -> bool:
    return esper.get_processor(type(processor)) is processor


class _WatchedSet(set[int]):
    """A set of entity ids that remembers which were added, or taken out, since it was last looked at."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        super().__init__(ids)
        self.touched: set[int] = set()

    def add(self, entity: int) -> None:
        super().add(entity)
        self.touched.add(entity)

    def discard(self, entity: Any) -> None:
        set.discard(self, entity)  # ten thousand may leave at once, and super() would cost as much again
        self.touched.add(entity)


class Membership:
    """The entities of one world that carry one type of component, each with the very object that was put there.

    Every method expects that world to be the current one.
    """

    def __init__(self, component_type: type[Handle]) -> None:
        self._type = component_type
        self._set: _WatchedSet | None = None
        self._handles: dict[int, Handle] = {}
        self._overwritten: list[Handle] = []

    def _watch(self) -> _WatchedSet:
        current = esper._components.get(self._type)
        if isinstance(current, _WatchedSet) and current is self._set:
            return current
        # The last one was deleted, the database was cleared, or the world is new to us: look at all of ours.
        watched = _WatchedSet(current or ())
        watched.touched.update(self._handles)
        self._set = esper._components[self._type] = watched
        return watched

    def add(self, handles: Iterable[Handle]) -> None:
        """Make an entity for each handle, which gets its number."""
        watched, ours, component_type = self._watch(), self._handles, self._type
        create, theirs = esper.create_entity, esper._entities
        entities = []
        for handle in handles:
            entity = handle.entity = create()
            theirs[entity][component_type] = handle  # as esper.add_component, which takes twice as long
            if entity in ours:  # ids start again at 1 after clear_database()
                self._overwritten.append(ours[entity])
            ours[entity] = handle
            entities.append(entity)
        set.update(watched, entities)
        watched.touched.difference_update(entities)

    def delete(self, handles: Iterable[Handle]) -> None:
        """Have esper delete the handles' entities, as ``esper.delete_entity`` does, if they still carry the handles."""
        delete, theirs, component_type = esper.delete_entity, esper._entities, self._type
        for handle in handles:
            components = theirs.get(handle.entity)
            if components is not None and components.get(component_type) is handle:
                delete(handle.entity)

    def delete_all(self) -> None:
        """Delete every entity that carries one of these handles, at once."""
        for entity, handle in self._handles.items():
            if esper._entities.get(entity, {}).get(self._type) is handle:
                esper.delete_entity(entity, immediate=True)
                # One that waits for its deletion must not be deleted twice: esper's next process() would raise.
                esper._dead_entities.discard(entity)
        self._handles.clear()

    def gone(self) -> list[Handle]:
        """The handles that have left their entity since the last call, by whatever way."""
        if not self._handles and not self._overwritten:
            return []
        watched = self._watch()
        if not watched.touched and not self._overwritten:
            return []
        lost, self._overwritten = self._overwritten, []
        ours, theirs, component_type = self._handles, esper._entities, self._type
        for entity in watched.touched:
            handle = ours.get(entity)
            if handle is None:
                continue
            components = theirs.get(entity)
            if components is None or components.get(component_type) is not handle:
                lost.append(ours.pop(entity))
        watched.touched.clear()
        return lost
