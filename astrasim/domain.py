"""The domain: a game's vocabulary, declared once.

Everything else is derived from these declarations: the key, the prompt, the JSON schema, the grammar, the reader of
answers, and the tables by which the kernels run. There is no second list of anything.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .agents import Agent, Handle
from .errors import DomainError
from .roles import STYLES, Role
from .stock import VERBS, StockAction, stock_action
from .vocabulary import MAX_STEPS

if TYPE_CHECKING:
    from .check import Report

F = TypeVar("F", bound=Callable[..., Any])

AGENT_COLUMNS: dict[str, float] = {
    "x": 0.0, "y": 0.0, "vx": 0.0, "vy": 0.0, "home_x": 0.0, "home_y": 0.0,
    "hp": 100.0, "stamina": 100.0, "ammo": 0.0,
}  # fmt: skip
"""Float columns that every agent has, with the value at spawning (the home is where it spawned)."""

THING_COLUMNS: dict[str, float] = {"x": 0.0, "y": 0.0, "amount": 0.0}
SELF, HOME = "self", "home"
MAX_KINDS = 63
MIN_SECONDS = 0.1


@dataclass(frozen=True)
class Percept:
    """A look at the world: the nearest or weakest of the kinds that ``sees`` gives for an observer's kind, or a count."""

    name: str
    mode: str
    sees: Mapping[str, tuple[str, ...]]
    radius: float
    by: str
    cap: int
    line_of_sight: bool
    of_things: bool


@dataclass(frozen=True)
class Feature:
    """One thing an agent knows, cut into buckets at ``edges``. ``function`` of None: the column of the table."""

    name: str
    column: str
    function: Callable[[Any], Any] | None
    vectorised: bool
    edges: tuple[float, ...]
    words: tuple[str, ...]
    kinds: tuple[str, ...] | None
    interrupt: bool
    hysteresis: float


@dataclass(frozen=True)
class Action:
    """One thing an agent can do. Exactly one of ``stock`` and ``run`` is set."""

    name: str
    kinds: tuple[str, ...] | None
    targets: tuple[str, ...]
    seconds: float
    about: str
    range: float | None
    cooldown: float
    line_of_sight: bool
    needs: Mapping[str, float]
    interruptible: bool
    stock: StockAction | None = None
    run: Any = None
    vectorised: bool = False


@dataclass(frozen=True)
class Place:
    """A named position that never moves."""

    name: str
    x: float
    y: float


@dataclass
class Declared:
    """All that was declared, by name, in order. Read it; declare through :class:`Domain`."""

    things: dict[str, dict[str, float]] = field(default_factory=dict)
    columns: dict[str, float] = field(default_factory=dict)
    references: dict[str, None] = field(default_factory=dict)
    relations: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    percepts: dict[str, Percept] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    resolvers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    features: dict[str, Feature] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    heuristics: dict[str, Callable[[Any], Any]] = field(default_factory=dict)


class Domain:
    """A game's vocabulary.

    Args:
        name: of the game, as a model reads it.
        kinds: the kinds of agent; as a mapping, with values of columns that differ from the default:
            ``{"sheep": {}, "wolf": {"hp": 60}}``.
        size: (width, height) of the world; agents are kept inside. None: no bounds.
        ruleset: change it when a balance patch makes old plans wrong; it is part of every scope.
        max_seconds: the longest that a plan's step may last.

    Raises:
        DomainError: in every method, for a declaration that is wrong; what only shows once all is declared
            (a name that nobody declares) is raised by :meth:`check`, which :class:`~astrasim.Simulation` calls too.
    """

    def __init__(
        self,
        name: str,
        kinds: Iterable[str] | Mapping[str, Mapping[str, float]],
        *,
        size: tuple[float, float] | None = None,
        ruleset: str = "1",
        max_seconds: float = 10.0,
    ) -> None:
        self.name, self.ruleset, self.size, self.max_seconds = name, ruleset, size, max_seconds
        self.kinds: dict[str, dict[str, float]] = {}
        self.declared = Declared()
        if isinstance(kinds, str):
            raise DomainError(f"kinds={kinds!r} is one string; write kinds=[{kinds!r}]")
        if not 1 <= max_seconds < float("inf"):
            raise DomainError(f"max_seconds={max_seconds!r} must be a finite number of at least 1")
        if size is not None and not (len(size) == 2 and all(0 < s < float("inf") for s in size)):
            raise DomainError(f"size={size!r} must be (width, height), both finite and above 0, or None")
        for kind in kinds:
            self._new(kind, "kind", self.kinds)
            self.kinds[kind] = dict(kinds[kind]) if isinstance(kinds, Mapping) else {}
        if not 1 <= len(self.kinds) <= MAX_KINDS:
            raise DomainError(f"a domain has 1 to {MAX_KINDS} kinds of agent, not {len(self.kinds)}")
        self.stock("wait", targets=[SELF], seconds=1.0)

    # The world

    def thing(self, name: str, **columns: float) -> None:
        """A kind of thing. ``columns`` gives values at creation, e.g. ``thing("health_pack", amount=25)``."""
        self._new(name, "thing", self.declared.things, self.kinds)
        self.declared.things[name] = columns

    def column(self, name: str, default: float = 0.0) -> None:
        """A number (float32) that every agent has: ``agent.NAME``, ``sim.agents.NAME``."""
        self._new_column(name)
        self.declared.columns[name] = float(default)

    def reference(self, name: str) -> None:
        """A reference from an agent to another agent (or None), and a target of the same name: a leader, a mate."""
        self._new_column(name)
        self.declared.references[name] = None

    def place(self, name: str, x: float, y: float) -> None:
        """A named position; a target of the same name."""
        self._new(name, "place", self.declared.places)
        self.declared.places[name] = Place(name, float(x), float(y))

    def target(self, function: F) -> F:
        """Decorator: a target found by code. It gets one handle and returns something with ``x`` and ``y``, or None.

        It runs once a tick for each agent whose running step has this target.
        """
        self._new(function.__name__, "target", self.declared.resolvers)
        self.declared.resolvers[function.__name__] = function
        return function

    def relation(self, name: str, pairs: Iterable[tuple[str, str]], *, mutual: bool = False) -> None:
        """Who sees whom as ``name``: pairs (observer's kind, kind seen). ``mutual`` adds each pair turned round."""
        self._new(name, "relation", self.declared.relations)
        found = {(a, b) for a, b in pairs}
        self.declared.relations[name] = frozenset(found | {(b, a) for a, b in found} if mutual else found)

    def percept(
        self,
        name: str,
        *,
        nearest: str | Sequence[str] | None = None,
        weakest: str | Sequence[str] | None = None,
        count: str | Sequence[str] | None = None,
        seen_by: str | Sequence[str] | None = None,
        radius: float,
        by: str = "hp",
        cap: int = 255,
        line_of_sight: bool = False,
    ) -> None:
        """A look at agents or things within ``radius``.

        Exactly one of ``nearest``, ``weakest`` (least of column ``by``) and ``count``, each a kind, a thing, a relation,
        or a list of kinds or things. ``nearest`` and ``weakest`` give ``agent.NAME`` (a handle or None) and
        ``agent.NAME_distance`` (infinite for None), and a target; of equals the lower row wins. ``count`` gives ``agent.NAME``, at
        most ``cap``, and ``agent.NAME_saturated`` (1.0 when there were more). ``line_of_sight`` adds ``agent.NAME_visible``.
        """
        given = {"nearest": nearest, "weakest": weakest, "count": count}
        modes = [mode for mode, of in given.items() if of is not None]
        if len(modes) != 1:
            raise DomainError(f"percept {name!r}: give exactly one of nearest=, weakest= and count=, not {len(modes)}")
        if not 0 < radius < float("inf"):
            raise DomainError(f"percept {name!r}: radius={radius!r} must be a finite number above 0")
        if not 1 <= cap < 2**24:
            raise DomainError(f"percept {name!r}: cap={cap!r} must lie between 1 and {2**24 - 1}")
        mode, of = modes[0], _names(given[modes[0]])
        for column in percept_columns(name, mode, line_of_sight):
            self._new_column(column)
        observers = _names(seen_by) if seen_by is not None else tuple(self.kinds)
        for observer in observers:
            self._known(observer, self.kinds, f"percept {name!r}: seen_by", "kind")
        things = [n for n in of if n in self.declared.things]
        if things and len(things) != len(of):
            raise DomainError(f"percept {name!r} mixes agents and things: {', '.join(of)}; declare one percept for each")
        if mode == "weakest" and things and by == "hp":
            by = "amount"
        sees = {observer: self._seen(name, observer, of) for observer in observers}
        self.declared.percepts[name] = Percept(
            name, mode, sees, float(radius), by, cap, line_of_sight and mode != "count", bool(things)
        )

    def _seen(self, percept: str, observer: str, of: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, None] = {}
        for name in of:
            if name in self.declared.relations:
                seen.update(dict.fromkeys(b for a, b in sorted(self.declared.relations[name]) if a == observer))
            else:
                known = {**self.kinds, **self.declared.things, **self.declared.relations}
                self._known(name, known, f"percept {percept!r}", "kind, thing or relation")
                seen[name] = None
        return tuple(seen)

    # What agents know

    def feature(
        self,
        name: str | None = None,
        *,
        column: str | None = None,
        edges: Sequence[float],
        words: Sequence[str],
        kinds: str | Sequence[str] | None = None,
        interrupt: bool = False,
        hysteresis: float | None = None,
        vectorised: bool = False,
    ) -> Callable[[F], F]:
        """One thing an agent knows, in ``len(edges) + 1`` buckets with a word for each.

        Give ``name`` and ``column``, or use it as a decorator on a function (whose name it takes) of one handle that
        returns a number; with ``vectorised=True`` the function gets columns and returns an array. A bucket holds
        edge <= value < next edge. A value must pass an edge by ``hysteresis`` (in the feature's unit; default 2% of the
        span of the edges) to change the bucket. When an ``interrupt`` feature changes, the running plan is dropped.
        """
        ordered = tuple(float(e) for e in edges)
        if not ordered or any(not a < b for a, b in zip(ordered, ordered[1:], strict=False)) or not _finite(ordered):
            raise DomainError(f"feature {name or ''}: edges={list(edges)!r} must be finite numbers in rising order")
        if isinstance(words, str) or len(words) != len(ordered) + 1:
            raise DomainError(
                f"feature {name or ''}: {len(ordered)} edges make {len(ordered) + 1} buckets, each with a phrase; "
                f"got words={words!r}"
            )
        if len(ordered) > 254:
            raise DomainError(f"feature {name or ''}: at most 254 edges, got {len(ordered)}")
        span = ordered[-1] - ordered[0] if len(ordered) > 1 else abs(ordered[0]) or 1.0
        margin = 0.02 * span if hysteresis is None else float(hysteresis)
        if not 0 <= margin < float("inf"):
            raise DomainError(f"feature {name or ''}: hysteresis={hysteresis!r} must be a finite number of at least 0")

        def declare(name: str, column: str, function: F | None) -> None:
            self._new(name, "feature", self.declared.features)
            self.declared.features[name] = Feature(
                name, column, function, vectorised, ordered, tuple(words),
                None if kinds is None else self._kinds(kinds, f"feature {name!r}"), interrupt, margin,
            )  # fmt: skip

        if column is not None:
            if name is None:
                raise DomainError(f"a feature over column {column!r} needs a name: domain.feature('NAME', column=...)")
            declare(name, column, None)

        def decorate(function: F) -> F:
            if column is not None:
                raise DomainError(f"feature {name!r} has a column and a function; give one of them")
            found = name or function.__name__
            declare(found, f"{found}_value", function)
            return function

        return decorate

    # What agents do

    def stock(
        self,
        verb: str,
        *,
        targets: Sequence[str],
        name: str | None = None,
        kinds: str | Sequence[str] | None = None,
        seconds: float = 3.0,
        about: str = "",
        line_of_sight: bool = False,
        needs: Mapping[str, float] | None = None,
        interruptible: bool | None = None,
        column: str | None = None,
        **parameters: float,
    ) -> None:
        """A stock action (see ``astrasim/stock.py`` for verbs and their parameters), run in a fixed kernel.

        ``column`` is what hits, gains and takings change (default: hp, ammo for reload, stamina for rest).
        """
        spec = stock_action(verb, parameters, column)
        more = dict(needs or {})
        if parameters.get("ammunition"):
            more.setdefault("ammo", float(parameters["ammunition"]))
        if parameters.get("stamina"):
            more.setdefault("stamina", float(parameters["stamina"]))
        self._add_action(
            Action(
                name or verb, None if kinds is None else self._kinds(kinds, f"action {name or verb!r}"),
                tuple(targets), float(seconds), about or VERBS[verb].about,
                spec.parameters.get("range"), spec.parameters.get("cooldown", 0.0), line_of_sight, more,
                not VERBS[verb].hits if interruptible is None else interruptible, stock=spec,
            )
        )  # fmt: skip

    def action(
        self,
        *,
        targets: Sequence[str],
        name: str | None = None,
        kinds: str | Sequence[str] | None = None,
        seconds: float = 3.0,
        about: str = "",
        range: float | None = None,  # noqa: A002  the word that a game maker looks for
        cooldown: float = 0.0,
        line_of_sight: bool = False,
        needs: Mapping[str, float] | None = None,
        interruptible: bool = True,
        vectorised: bool = False,
    ) -> Callable[[F], F]:
        """Decorator: an action in the game's own code.

        On a function ``(me, target, dt) -> Status`` it runs every tick while a step of it runs. On a class, one object
        is made a step, so ``self`` holds the step's state; ``update(me, target, dt) -> Status`` is required,
        ``start(me, target)`` and ``cancel(me)`` are optional. With ``vectorised=True`` a function gets columns
        (:class:`~astrasim.views.Rows`) of all agents that run it, and returns one Status or an array of them.

        Args:
            range, cooldown, line_of_sight, needs: preconditions, checked before a step starts: distance to the target,
                seconds since the last start, sight of the target, least values of columns.
            interruptible: whether a model's plan may take over at once, not only when the step ends.
        """

        def decorate(run: F) -> F:
            found = name or run.__name__
            if isinstance(run, type) and not callable(getattr(run, "update", None)):
                raise DomainError(f"action class {found!r} has no method update(self, me, target, dt)")
            if isinstance(run, type) and vectorised:
                raise DomainError(f"action {found!r}: a class holds one agent's state; vectorised actions are functions")
            self._add_action(
                Action(
                    found, None if kinds is None else self._kinds(kinds, f"action {found!r}"), tuple(targets),
                    float(seconds), about or (run.__doc__ or "").strip().split("\n")[0], range, float(cooldown),
                    line_of_sight, dict(needs or {}), interruptible, run=run, vectorised=vectorised,
                )
            )  # fmt: skip
            return run

        return decorate

    def _add_action(self, action: Action) -> None:
        self._new(action.name, "action", self.declared.actions)
        where = f"action {action.name!r}"
        if not action.targets:
            raise DomainError(f"{where} has no targets; one without a target of its own takes targets=['self']")
        if not MIN_SECONDS <= action.seconds <= self.max_seconds:
            raise DomainError(f"{where}: seconds={action.seconds!r} must lie within {MIN_SECONDS} and {self.max_seconds}")
        for what, value in (("range", action.range or 0.0), ("cooldown", action.cooldown), *action.needs.items()):
            if not 0 <= value < float("inf"):
                raise DomainError(f"{where}: {what}={value!r} must be a finite number of at least 0")
        self.declared.actions[action.name] = action

    # Who decides without a model

    def role(
        self,
        name: str,
        *,
        kinds: str | Sequence[str] | None = None,
        style: str = "tactical",
        persona: str | None = None,
        actions: Sequence[str] | None = None,
        default: str | Sequence[str] = "wait self",
    ) -> None:
        """A role: ``style`` (tactical, stealth, support, exploration) or a heuristic decides without a model.

        ``default`` is the plan it has from spawning on; its steps must have no preconditions. A kind without a role
        gets one of its own name.
        """
        self._new(name, "role", self.declared.roles)
        self._known(style, STYLES, f"role {name!r}: style", "style")
        self.declared.roles[name] = Role(
            name, tuple(self.kinds) if kinds is None else self._kinds(kinds, f"role {name!r}"), style,
            STYLES[style].persona if persona is None else persona,
            None if actions is None else tuple(actions), _names(default),
        )  # fmt: skip

    def heuristic(self, name: str) -> Callable[[F], F]:
        """Decorator: plans without a model, for a kind or a role (a role's goes first).

        The function gets a :class:`~astrasim.situation.Situation` and returns one line ``"action target [seconds]"`` or a
        list of up to 8. It is called once for each distinct situation and remembered, so it must depend on nothing else.
        A plan starts at its first step that is legal then.
        """

        def decorate(function: F) -> F:
            if name in self.declared.heuristics:
                raise DomainError(f"{name!r} has a heuristic already: {self.declared.heuristics[name].__name__}")
            self.declared.heuristics[name] = function
            return function

        return decorate

    def check(self) -> Report:
        """Look for mistakes in the whole domain, and show what a model would see.

        Raises:
            DomainError: listing every mistake found.
        """
        from .check import check_domain  # here, because it compiles the domain and so imports this module

        return check_domain(self)

    # Names

    def _kinds(self, kinds: str | Sequence[str], where: str) -> tuple[str, ...]:
        for kind in _names(kinds):
            self._known(kind, self.kinds, where, "kind")
        return _names(kinds)

    def _known(self, name: str, known: Iterable[str], where: str, what: str) -> None:
        if name not in (names := list(known)):
            raise DomainError(f"{where}: no {what} {name!r}; declared are: {', '.join(names) or 'none'}")

    def _new_column(self, name: str) -> None:
        declared = self.declared
        taken = [*AGENT_COLUMNS, *declared.columns, *declared.references]
        taken += [c for p in declared.percepts.values() for c in percept_columns(p.name, p.mode, p.line_of_sight)]
        self._new(name, "column", taken)
        if hasattr(Agent, name) or name in Handle.__slots__:
            raise DomainError(f"column {name!r}: agents have an attribute of that name; choose another")

    def _new(self, name: str, what: str, *taken: Iterable[str]) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name) or keyword.iskeyword(name):
            raise DomainError(
                f"{what} {name!r}: names are a letter, then up to 39 letters, digits and underscores (models, grammars and "
                "Python read them)"
            )
        if any(name in names for names in taken):
            raise DomainError(f"{what} {name!r} is declared already")


def percept_columns(name: str, mode: str, line_of_sight: bool) -> list[str]:
    """The columns that a percept writes. For nearest and weakest the first is a reference."""
    if mode == "count":
        return [name, f"{name}_saturated"]
    return [name, f"{name}_distance", *([f"{name}_visible"] if line_of_sight else [])]


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _finite(values: Sequence[float]) -> bool:
    return all(abs(v) < float("inf") for v in values)


__all__ = ["MAX_STEPS", "Action", "Domain", "Feature", "Percept", "Place"]
