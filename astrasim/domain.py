"""The domain: a game's vocabulary, declared once.

Everything else is derived from these declarations: the key, the prompt, the JSON schema, the grammar, the reader of
answers, and the tables by which the kernels run. There is no second list of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import Names, known, line_of, name_of, names_of, number, numbers, takes
from .declarations import MIN_SECONDS, SELF, WAIT, Action, Feature, default_hysteresis
from .errors import DomainError
from .roles import STYLES, Role
from .situation import Situation
from .stock import VERBS, stock_action
from .surroundings import F, OneOrMore, Surroundings

if TYPE_CHECKING:
    from .check import Report

PERSONA_MAX_CHARS = 1000


class Domain(Surroundings):
    """A game's vocabulary.

    Args:
        name: of the game, as a model reads it.
        kinds: the kinds of agent; as a mapping, with values of columns that differ from the default:
            ``{"sheep": {}, "wolf": {"hp": 60}}``.
        size: (width, height) of the world; agents are kept inside. None: no bounds.
        ruleset: change it when a balance patch makes old plans wrong; it is part of every scope.
        max_seconds: the longest that a plan's step may last.

    Raises:
        DomainError: in every method, for a declaration that is wrong on its own or repeats a name. What only shows once
            all is declared (a name that nobody declares), :meth:`check` and :class:`~astrasim.Simulation` raise.
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
        for what, text in (("name", name), ("ruleset", ruleset)):
            if not isinstance(text, str) or not text.strip() or not text.isprintable():
                raise DomainError(f"domain: {what}={text!r} must be a string of one line that says something")
        super().__init__(kinds, size)
        self.name, self.ruleset = name, ruleset
        self.max_seconds = number(max_seconds, "domain: max_seconds", least=1)
        self._features = Names("name", {n: f"every situation (situation.{n})" for n in dir(Situation)})
        self._actions, self._roles = Names("name", {}), Names("name", {})
        self.stock(WAIT, targets=[SELF], seconds=1.0)

    # What agents know

    def feature(
        self,
        name: str | None = None,
        *,
        column: str | None = None,
        edges: Sequence[float],
        words: Sequence[str],
        kinds: OneOrMore | None = None,
        interrupt: bool = False,
        hysteresis: float | None = None,
        weight: float = 1.0,
        vectorised: bool = False,
    ) -> Callable[[F], F]:
        """One thing an agent knows, in ``len(edges) + 1`` buckets with a phrase for each.

        Give ``name`` and ``column``, or use it as a decorator on a function (whose name it takes) of one handle that
        returns a number; with ``vectorised=True`` the function gets columns and returns an array. A bucket holds
        edge <= value < next edge. To fall back below an edge a value must be under it by more than ``hysteresis`` (in
        the feature's unit; default 2% of the span of the edges, at most a quarter of the narrowest bucket), so that
        one that trembles around an edge does not flicker. Rising has no such margin, so edges may be whole numbers.
        When an ``interrupt`` feature changes, the running plan is dropped. The ``weight`` says how much the feature
        counts when the plan cache looks for a situation near this one; 0: it does not.
        """

        def declare(name: str, column: str, function: F | None) -> None:
            owner = f"feature {name_of(name, 'feature')!r}"
            if isinstance(edges, str) or not isinstance(edges, Iterable):
                raise DomainError(f"{owner}: edges={edges!r}: write a list of numbers that rise, such as edges=[5, 15]")
            phrases = () if isinstance(words, str) or not isinstance(words, Iterable) else tuple(words)
            if not phrases or not all(isinstance(phrase, str) for phrase in phrases):
                raise DomainError(f"{owner}: words={words!r}: write a list of phrases, one for each bucket")
            for phrase in phrases:
                line_of(phrase, f"{owner}: words")
            bounds = tuple(number(edge, f"{owner}: edges") for edge in edges)
            feature = Feature(
                name, column, function, vectorised, bounds, phrases,
                None if kinds is None else self._kinds(kinds, f"{owner}: kinds"), interrupt,
                default_hysteresis(bounds) if hysteresis is None else number(hysteresis, f"{owner}: hysteresis"),
                number(weight, f"{owner}: weight"),
            )  # fmt: skip
            self._features.check([name], owner)
            self._take(owner, columns=[] if function is None else [column])
            self._features.take([name], owner)
            self.declared.features[name] = feature

        if column is None:
            unfinished = self.declared.begun(f"feature {name!r} has no column= and is on no function")
        elif name is None:
            raise DomainError(
                f"a feature over column {column!r} needs a name: domain.feature('NAME', column={column!r}, ...)"
            )
        elif vectorised:
            raise DomainError(f"feature {name!r}: vectorised is for functions; column={column!r} is columns already")
        else:
            declare(name, column, None)

        def decorate(function: F) -> F:
            if column is not None:
                raise DomainError(f"feature {name!r} has a column and a function; give one of them")
            self.declared.unfinished.pop(unfinished, None)
            found = name_of(name or getattr(function, "__name__", function), "feature")
            declare(found, f"{found}_value", takes(function, f"feature {found!r}", "me"))
            return function

        return decorate

    # What agents do

    def stock(
        self,
        verb: str,
        *,
        targets: OneOrMore,
        name: str | None = None,
        kinds: OneOrMore | None = None,
        seconds: float | None = None,
        about: str = "",
        line_of_sight: bool = False,
        needs: Mapping[str, float] | None = None,
        interruptible: bool | None = None,
        column: str | None = None,
        **parameters: float,
    ) -> None:
        """A stock action (see ``astrasim/stock.py`` for verbs and their parameters), run in a fixed kernel.

        ``column`` is what hits, gains and takings change (default: hp, ammo for reload, stamina for rest). Without
        ``kinds`` it belongs to every kind that has one of the targets. A step lasts ``seconds`` unless its plan says
        otherwise or it is done before: by default 10 for those that go somewhere (approach, take), else 3.
        """
        spec = stock_action(verb, parameters, column)
        if seconds is None:
            seconds = min(VERBS[verb].seconds, self.max_seconds)
        more = numbers(needs or {}, f"action {name or verb!r}: needs")
        for parameter, spent in (("ammunition", "ammo"), ("stamina", "stamina")):
            if spec.parameters.get(parameter):
                more.setdefault(spent, spec.parameters[parameter])
        self._add_action(
            name or verb, kinds, targets, seconds, about=about or VERBS[verb].about, range=spec.parameters.get("range"),
            cooldown=spec.parameters.get("cooldown", 0.0), line_of_sight=line_of_sight, needs=more, stock=spec,
            interruptible=not VERBS[verb].hits if interruptible is None else interruptible,
        )  # fmt: skip

    def action(
        self,
        *,
        targets: OneOrMore,
        name: str | None = None,
        kinds: OneOrMore | None = None,
        seconds: float = 3.0,
        about: str = "",
        range: float | None = None,
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
            kinds: default: every kind that has one of the targets.
            range, cooldown, line_of_sight, needs: preconditions, checked before a step starts: distance to the target,
                seconds since the last start, sight of the target, least values of columns.
            interruptible: whether a model's plan may take over at once, not only when the step ends.
        """
        unfinished = self.declared.begun(f"action {name!r} (targets={targets!r}) is on no function and no class")

        def decorate(run: F) -> F:
            self.declared.unfinished.pop(unfinished, None)
            found = name_of(name or getattr(run, "__name__", run), "action")
            where = f"action {found!r}"
            if isinstance(run, type):
                if not callable(getattr(run, "update", None)):
                    raise DomainError(f"action class {found!r} has no method update(self, me, target, dt)")
                if vectorised:
                    raise DomainError(f"{where}: a class holds one agent's state; vectorised actions are functions")
                takes(run, where)
                for method, arguments in (("start", "me target"), ("update", "me target dt"), ("cancel", "me")):
                    if hasattr(run, method):
                        takes(getattr(run, method), f"{where}: {method}", "self", *arguments.split())
            else:
                takes(run, where, "me", "target", "dt")
            self._add_action(
                found, kinds, targets, seconds, about=about or (run.__doc__ or "").strip().split("\n")[0], range=range,
                cooldown=number(cooldown, f"{where}: cooldown"), line_of_sight=line_of_sight,
                needs=numbers(needs or {}, f"{where}: needs"), interruptible=interruptible, run=run,
                vectorised=vectorised,
            )  # fmt: skip
            return run

        return decorate

    def _add_action(
        self, name: str, kinds: OneOrMore | None, targets: OneOrMore, seconds: float, *, about: str, **rest: Any
    ) -> None:
        owner = f"action {name_of(name, 'action')!r}"
        if not targets:
            raise DomainError(f"{owner} has no targets; one without a target of its own takes targets='self'")
        action = Action(
            name=name,
            kinds=None if kinds is None else self._kinds(kinds, f"{owner}: kinds"),
            targets=names_of(targets, f"{owner}: targets"),
            seconds=number(seconds, f"{owner}: seconds", least=MIN_SECONDS, most=self.max_seconds),
            about=line_of(about, f"{owner}: about"),
            **rest,
        )
        self._actions.check([name], owner)
        self._take(owner, columns=[action.cooldown_column] if action.cooldown_column else [])
        self._actions.take([name], "every domain" if name == WAIT else owner)
        self.declared.actions[name] = action

    # Who decides without a model

    def role(
        self,
        name: str,
        *,
        kinds: OneOrMore | None = None,
        style: str = "tactical",
        persona: str | None = None,
        actions: OneOrMore | None = None,
        default: OneOrMore = "wait self",
    ) -> None:
        """A role: ``style`` (tactical, stealth, support, exploration) or a heuristic decides without a model.

        ``persona`` is what a model is told of it, one line of at most 1,000 characters; a name in it that a player
        typed belongs into :func:`astrasim.quoted`.
        ``default`` is the plan it has from spawning on; its steps must have no preconditions. Every kind has a plain
        role of its own name besides, which an agent spawned without ``role=`` gets; declare it to change it.
        """
        owner = f"role {name_of(name, 'role')!r}"
        known(style, STYLES, f"{owner}: style", "style")
        role = Role(
            name, tuple(self.kinds) if kinds is None else self._kinds(kinds, f"{owner}: kinds"), style,
            STYLES[style].persona if persona is None else line_of(persona, f"{owner}: persona", PERSONA_MAX_CHARS),
            None if actions is None else names_of(actions, f"{owner}: actions"), names_of(default, f"{owner}: default"),
        )  # fmt: skip
        self._roles.check([name], owner)
        self._roles.take([name], owner)
        self.declared.roles[name] = role

    def heuristic(self, name: str) -> Callable[[F], F]:
        """Decorator: plans without a model, for a kind or a role (a role's goes first).

        The function gets a :class:`~astrasim.situation.Situation` and returns one line ``"action target [seconds]"`` or
        a list of up to 8. It is called once for each distinct situation and remembered, so it must depend on nothing
        else.
        A plan starts at its first step that is legal then.
        """
        unfinished = self.declared.begun(
            f"heuristic for {name!r} is on no function; write @domain.heuristic(KIND OR ROLE)"
        )

        def decorate(function: F) -> F:
            self.declared.unfinished.pop(unfinished, None)
            if name in self.declared.heuristics:
                raise DomainError(f"{name!r} has a heuristic already: {self.declared.heuristics[name]!r}")
            self.declared.heuristics[name] = takes(function, f"heuristic for {name!r}", "situation")
            return function

        return decorate

    def check(self) -> Report:
        """Look for mistakes in the whole domain, try its heuristics, and show what a model would see.

        Raises:
            DomainError: listing every mistake found.
        """
        from .check import check_domain  # here, because it compiles the domain and so imports this module

        return check_domain(self)
