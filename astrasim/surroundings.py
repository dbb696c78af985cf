"""The half of a domain that the other half refers to: what there is in a game's world, and who can see what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .agents import Agent, Thing
from .arguments import Names, known, name_of, names_of, number, takes
from .declarations import AGENT_COLUMNS, HOME, MAX_KINDS, SELF, THING_COLUMNS, Declared, Percept, Place
from .errors import DomainError
from .kernels import columns
from .table import Table
from .views import Rows

F = TypeVar("F", bound=Callable[..., Any])
OneOrMore = str | Sequence[str]

# A column of such a name would hide, or be hidden by, what handles, rows and tables have already.
_TABLE = Table("agent", {"x": 0.0}, capacity=1)
_ATTRIBUTES = {*dir(Agent), *dir(Thing), *dir(Rows), *dir(Table), *vars(_TABLE), *columns.Agents._fields}


class Surroundings:
    """Kinds, things, columns, places and percepts; the base of :class:`~astrasim.Domain`, which documents all."""

    def __init__(
        self, kinds: Iterable[str] | Mapping[str, Mapping[str, float]], size: tuple[float, float] | None
    ) -> None:
        if isinstance(kinds, str):
            raise DomainError(f"kinds={kinds!r} is one string; write kinds=[{kinds!r}]")
        self.size = None if size is None else _size(size)
        self.kinds: dict[str, dict[str, float]] = {}
        self.declared = Declared()
        attributes = dict.fromkeys(_ATTRIBUTES, "an attribute that every handle, or table, has")
        self._columns = Names("column", attributes | dict.fromkeys(AGENT_COLUMNS, "every agent"))
        self._thing_columns = Names("column", attributes)
        self._targets = Names("target", dict.fromkeys((SELF, HOME), "every agent"))
        self._seen = Names("name", {})
        names = names_of(tuple(kinds) if isinstance(kinds, Mapping) else kinds, "domain: kinds")
        if len(names) > MAX_KINDS:
            raise DomainError(f"a domain has at most {MAX_KINDS} kinds of agent, not {len(names)}")
        for kind in names:
            self._seen.take([name_of(kind, "kind")], f"kind {kind!r}")
            values = kinds[kind] if isinstance(kinds, Mapping) else {}
            self.kinds[kind] = _column_values(values, f"kind {kind!r}")

    def thing(self, name: str, **columns: float) -> None:
        """A kind of thing. ``columns`` gives values at creation, e.g. ``thing("health_pack", amount=25)``."""
        owner = f"thing {name_of(name, 'thing')!r}"
        if len(self.declared.things) == MAX_KINDS:
            raise DomainError(f"{owner}: a domain has at most {MAX_KINDS} kinds of thing")
        values = _column_values(columns, owner)
        self._seen.check([name], owner)
        self._thing_columns.check([name_of(c, f"{owner}: column") for c in columns if c not in THING_COLUMNS], owner)
        self._seen.take([name], owner)
        self.declared.things[name] = values

    def column(self, name: str, default: float = 0.0) -> None:
        """A number (float32) that every agent has: ``agent.NAME``, ``sim.agents.NAME``."""
        owner = f"column {name_of(name, 'column')!r}"
        value = number(default, f"{owner}: default")
        self._take(owner, columns=[name])
        self.declared.columns[name] = value

    def reference(self, name: str) -> None:
        """A reference from an agent to another agent (or None), and a target of the same name: a leader, a mate."""
        self._take(f"reference {name_of(name, 'reference')!r}", columns=[name], targets=[name])
        self.declared.references[name] = None

    def place(self, name: str, x: float, y: float) -> None:
        """A named position; a target of the same name."""
        owner = f"place {name_of(name, 'place')!r}"
        place = Place(name, number(x, f"{owner}: x"), number(y, f"{owner}: y"))
        self._take(owner, targets=[name])
        self.declared.places[name] = place

    def target(self, function: F) -> F:
        """Decorator: a target found by code. It gets one handle and returns something with ``x`` and ``y``, or None.

        It runs once a tick for each agent whose running step has this target, before cooldowns are counted down.
        """
        name = name_of(getattr(function, "__name__", function), "target")
        takes(function, f"target {name!r}", "me")
        self._take(f"target {name!r}", columns=[f"{name}_at_x", f"{name}_at_y"], targets=[name])
        self.declared.resolvers[name] = function
        return function

    def relation(self, name: str, pairs: Iterable[tuple[str, str]], *, mutual: bool = False) -> None:
        """Who sees whom as ``name``: pairs (observer's kind, kind or thing seen); ``mutual``: both ways round."""
        owner = f"relation {name_of(name, 'relation')!r}"
        found: set[tuple[str, str]] = set()
        for observer, seen in _pairs(pairs, owner):
            known(observer, self.kinds, owner, "kind")
            known(seen, self.kinds if mutual else [*self.kinds, *self.declared.things], owner, "kind or thing")
            found |= {(observer, seen), (seen, observer)} if mutual else {(observer, seen)}
        if not found:
            raise DomainError(f"{owner} has no pairs, so nobody sees anybody")
        self._seen.check([name], owner)
        self._seen.take([name], owner)
        self.declared.relations[name] = frozenset(found)

    def percept(
        self,
        name: str,
        *,
        nearest: OneOrMore | None = None,
        weakest: OneOrMore | None = None,
        count: OneOrMore | None = None,
        seen_by: OneOrMore | None = None,
        radius: float,
        by: str | None = None,
        cap: int = 255,
        line_of_sight: bool = False,
    ) -> None:
        """A look at agents or things within ``radius`` (inclusive). Nobody sees itself.

        Exactly one of ``nearest``, ``weakest`` (least of column ``by``; default ``hp``, ``amount`` for things) and
        ``count``, each a kind, a thing, a relation, or a list of these. ``nearest`` and ``weakest`` give ``agent.NAME``
        (a handle or None) and ``agent.NAME_distance`` (infinite for None), and a target; of equals the lower row wins.
        ``count`` gives ``agent.NAME``, at most ``cap``, and ``agent.NAME_saturated`` (1.0 when there were more).
        ``line_of_sight`` adds ``agent.NAME_visible``.

        Args:
            seen_by: the kinds that look; default: all that the relations name as observers, or else all.
        """
        owner = f"percept {name_of(name, 'percept')!r}"
        given = {
            mode: of for mode, of in (("nearest", nearest), ("weakest", weakest), ("count", count)) if of is not None
        }
        if len(given) != 1:
            raise DomainError(f"{owner}: give exactly one of nearest=, weakest= and count=, not {len(given)}")
        [(mode, of)] = given.items()
        if by is not None and mode != "weakest":
            raise DomainError(f"{owner}: by={by!r} is for weakest=; {mode} does not compare a column")
        sees = {kind: self._seen_by(kind, names_of(of, f"{owner}: {mode}"), owner) for kind in self.kinds}
        if seen_by is None:
            sees = {kind: seen for kind, seen in sees.items() if seen}
        else:
            sees = {kind: sees[kind] for kind in self._kinds(seen_by, f"{owner}: seen_by")}
            for kind in [kind for kind, seen in sees.items() if not seen]:
                raise DomainError(f"{owner}: seen_by={kind!r}, and {mode}={of!r} gives a {kind} nobody to see")
        seen = {one for all_seen in sees.values() for one in all_seen}
        things = [one for one in seen if one in self.declared.things]
        if things and len(things) != len(seen):
            raise DomainError(
                f"{owner} mixes agents and things: {', '.join(sorted(seen))}; declare one percept for each"
            )
        by = by or ("amount" if things else "hp")
        percept = Percept(
            name, mode, sees, number(radius, f"{owner}: radius"), by, cap, line_of_sight, of_things=bool(things)
        )
        self._take(owner, columns=percept.columns, targets=[] if percept.counts else [name])
        self.declared.percepts[name] = percept

    def _seen_by(self, observer: str, of: tuple[str, ...], where: str) -> tuple[str, ...]:
        seen: dict[str, None] = {}
        for name in of:
            if name in self.declared.relations:
                seen |= {b: None for a, b in sorted(self.declared.relations[name]) if a == observer}
            else:
                names = [*self.kinds, *self.declared.things, *self.declared.relations]
                seen[known(name, names, where, "kind, thing or relation")] = None
        return tuple(seen)

    # Names

    def _kinds(self, kinds: OneOrMore, where: str) -> tuple[str, ...]:
        return tuple(known(kind, self.kinds, where, "kind") for kind in names_of(kinds, where))

    def _take(self, owner: str, columns: Iterable[str] = (), targets: Iterable[str] = ()) -> None:
        # All checks come before the first change: a declaration that raises leaves nothing behind.
        self._columns.check(columns, owner)
        self._targets.check(targets, owner)
        self._columns.take(columns, owner)
        self._targets.take(targets, owner)


def _size(given: object) -> tuple[float, float]:
    try:
        width, height = (number(side, "domain: size", least=1e-6) for side in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise DomainError(f"domain: size={given!r} must be (width, height), or None for no bounds") from None
    return width, height


def _pairs(given: object, owner: str) -> list[tuple[str, str]]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        pairs = [pair if isinstance(pair, tuple | list) else () for pair in given]
        if all(len(pair) == 2 for pair in pairs):
            return [(observer, seen) for observer, seen in pairs]
    raise DomainError(f'{owner}: {given!r}: write a list of pairs, such as [("sheep", "wolf")]: who sees whom')


def _column_values(given: object, owner: str) -> dict[str, float]:
    if not isinstance(given, Mapping):
        raise DomainError(f'{owner}: {given!r}: write a mapping of columns to values, such as {{"hp": 60}}')
    return {name: number(value, f"{owner}: {name}") for name, value in given.items()}
