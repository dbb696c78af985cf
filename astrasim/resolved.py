"""Every name of a domain that the tables hold as a number: columns, references and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .declarations import AGENT_COLUMNS, HOME, SELF, THING_COLUMNS, Action, Feature
from .domain import Domain
from .kernels.columns import AT_AGENT, AT_HOME, AT_PLACE, AT_RESOLVED, AT_SELF, AT_THING


class Target(NamedTuple):
    """Where a target is found; see :class:`~astrasim.kernels.columns.Targets`."""

    sort: int
    at: int = -1
    visible: int = -1
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Resolved:
    """The names of one domain. The position in a dict or tuple is the number in the tables.

    Attributes:
        floats: the agents' float columns, with the value at spawning.
        thing_references: those of ``references`` that refer to things.
        observers: the kinds that have a percept's column or target; what no percept makes, everybody has.
    """

    kinds: tuple[str, ...]
    floats: dict[str, float]
    references: tuple[str, ...]
    thing_floats: dict[str, float]
    thing_references: frozenset[str]
    targets: dict[str, Target]
    observers: dict[str, tuple[str, ...]]

    def column(self, name: str) -> int:
        """The number of a float column of agents."""
        return list(self.floats).index(name)

    def kinds_with(self, name: str) -> tuple[str, ...]:
        """The kinds that have the column or target ``name``."""
        return self.observers.get(name, self.kinds)

    def kinds_of_feature(self, feature: Feature) -> tuple[str, ...]:
        """Those it names, else those that have its column."""
        return feature.kinds or self.kinds_with(feature.column)

    def kinds_of_action(self, action: Action) -> tuple[str, ...]:
        """Those it names, else those that have one of its targets."""
        return action.kinds or tuple(k for k in self.kinds if any(k in self.kinds_with(t) for t in action.targets))


def resolve(domain: Domain) -> Resolved:
    """Give every column, reference and target of ``domain`` its number."""
    d = domain.declared
    floats = AGENT_COLUMNS | d.columns  # AGENT_COLUMNS first: kernels know them by number
    references = list(d.references)
    for p in d.percepts.values():
        if p.counts:
            floats |= dict.fromkeys(p.columns, 0.0)
        else:
            references.append(p.name)
            floats |= dict.fromkeys(p.columns[1:], 0.0) | {f"{p.name}_distance": float("inf")}
    floats |= {a.cooldown_column: 0.0 for a in d.actions.values() if a.cooldown_column}
    floats |= {f.column: 0.0 for f in d.features.values() if f.function is not None}
    floats |= {f"{name}_at_{axis}": float("nan") for name in d.resolvers for axis in "xy"}
    # THING_COLUMNS first: kernels know them by number.
    thing_floats = THING_COLUMNS | {n: 0.0 for values in d.things.values() for n in values if n not in THING_COLUMNS}
    thing_references = frozenset(p.name for p in d.percepts.values() if p.of_things and not p.counts)
    return Resolved(
        kinds=tuple(domain.kinds),
        floats=floats,
        references=tuple(references),
        thing_floats=thing_floats,
        thing_references=thing_references,
        targets=_targets(domain, list(floats), references, thing_references),
        observers={name: tuple(p.sees) for p in d.percepts.values() for name in p.columns},
    )


def _targets(
    domain: Domain, columns: list[str], references: list[str], thing_references: frozenset[str]
) -> dict[str, Target]:
    found = {SELF: Target(AT_SELF), HOME: Target(AT_HOME)}
    for index, name in enumerate(references):
        visible = f"{name}_visible"
        found[name] = Target(
            AT_THING if name in thing_references else AT_AGENT,
            index,
            columns.index(visible) if visible in columns else -1,
        )
    for place in domain.declared.places.values():
        found[place.name] = Target(AT_PLACE, x=place.x, y=place.y)
    for name in domain.declared.resolvers:
        found[name] = Target(AT_RESOLVED, columns.index(f"{name}_at_x"))
    return found
