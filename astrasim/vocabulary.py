"""The part of a domain that a model's side needs: names, words, buckets and limits, and nothing that can run.

The game process derives a :class:`Vocabulary` from its :class:`~astrasim.domain.Domain` and sends it to the gateway
process once. After that a request is three integers (request, scope, key), because everything that a prompt says is a
function of scope and key. Both processes read the same declaration, so they cannot disagree.
"""

from __future__ import annotations

import unicodedata
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .errors import DomainError

PROMPT_VERSION = "2"
MAX_STEPS = 8
MAX_KEY = 2**62
ORDER_MAX_CHARS = 200
NAME_MAX_CHARS = 40
_NO_DELIMITERS = str.maketrans("<>", "‹›")

PromptLength = Literal["full", "compressed", "simplified"]
PROMPT_LENGTHS: tuple[PromptLength, ...] = ("full", "compressed", "simplified")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureWords(_Frozen):
    """One feature as a model sees it: a word for each bucket. ``kinds`` are the kinds of agent that have it.

    ``edges`` and ``weight`` are for the plan cache, which compares situations by vector.
    """

    name: str
    kinds: tuple[str, ...]
    words: tuple[str, ...]
    interrupt: bool = False
    edges: tuple[float, ...] = ()
    weight: float = 1.0


class ActionWords(_Frozen):
    """One action as a model sees it. ``seconds`` is how long a step lasts if the plan does not say."""

    name: str
    kinds: tuple[str, ...]
    targets: tuple[str, ...]
    seconds: float
    about: str = ""


class Scope(_Frozen):
    """What must be equal before a plan may be shared between two agents.

    ``order`` is the player's order, normalised by :func:`normalise_order` ("" for none). ``actions`` are the names of
    the actions that the role may use, ``prompt`` how much the model is told.
    """

    kind: str
    role: str
    persona: str
    order: str
    actions: tuple[str, ...]
    domain: str
    ruleset: str
    model: str
    prompt: PromptLength = "full"
    prompt_version: str = PROMPT_VERSION


class Example(_Frozen):
    """A situation of a role and a plan for it, as lines ``action target seconds``: what prompts show as examples."""

    role: str
    kind: str
    key: int
    lines: tuple[str, ...]


class Vocabulary(_Frozen):
    """A domain's words, as both processes know them. Indexes into ``actions`` and ``targets`` are what plans carry."""

    domain: str
    ruleset: str
    kinds: tuple[str, ...]
    features: tuple[FeatureWords, ...]
    actions: tuple[ActionWords, ...]
    targets: tuple[str, ...]
    min_seconds: float
    max_seconds: float
    examples: tuple[Example, ...] = ()
    """Those of one role and kind stand together, the most telling first."""

    @cached_property
    def action_index(self) -> dict[str, int]:
        return {action.name: i for i, action in enumerate(self.actions)}

    @cached_property
    def target_index(self) -> dict[str, int]:
        return {target: i for i, target in enumerate(self.targets)}

    @cached_property
    def _features_of(self) -> dict[str, tuple[tuple[int, int, int], ...]]:
        packed = {}
        for kind in self.kinds:
            multiplier, rows = 1, []
            for index, feature in enumerate(self.features):
                if kind in feature.kinds:
                    rows.append((index, multiplier, len(feature.words)))
                    multiplier *= len(feature.words)
            packed[kind] = tuple(rows)
        return packed

    @cached_property
    def _radix_of(self) -> dict[str, tuple[tuple[str, int, int], ...]]:
        """As :meth:`packing`, with names: heuristics unpack a key in every tick."""
        return {
            kind: tuple((self.features[i].name, multiplier, count) for i, multiplier, count in rows)
            for kind, rows in self._features_of.items()
        }

    def packing(self, kind: str) -> tuple[tuple[int, int, int], ...]:
        """How a key of ``kind`` is packed: (feature index, multiplier, number of buckets), a mixed radix number."""
        return self._features_of[kind]

    def key_space(self, kind: str) -> int:
        """How many different keys an agent of ``kind`` can have."""
        rows = self.packing(kind)
        return rows[-1][1] * rows[-1][2] if rows else 1

    def pack(self, kind: str, buckets: dict[str, int]) -> int:
        """The key of the situation in which each feature stands in the bucket given (bucket 0 where none is given).

        Raises:
            DomainError: for a feature that ``kind`` does not have, or a bucket that the feature does not have.
        """
        counts = {self.features[i].name: count for i, _, count in self.packing(kind)}
        for name, bucket in buckets.items():
            if name not in counts:
                raise DomainError(f"a {kind} has no feature {name!r}; it has: {', '.join(counts) or 'none'}")
            if not 0 <= bucket < counts[name]:
                raise DomainError(f"feature {name!r} has buckets 0 to {counts[name] - 1}, not {bucket!r}")
        return sum(buckets.get(self.features[i].name, 0) * multiplier for i, multiplier, _ in self.packing(kind))

    def buckets(self, kind: str, key: int) -> dict[str, int]:
        """The bucket of each feature of ``kind`` in the situation ``key``; the inverse of :meth:`pack`."""
        return {name: key // multiplier % count for name, multiplier, count in self._radix_of[kind]}

    def words(self, kind: str, key: int) -> tuple[str, ...]:
        """The situation in words, one phrase a feature, in the order of declaration."""
        return tuple(self.features[i].words[key // m % count] for i, m, count in self.packing(kind))

    def interrupt_key(self, kind: str, key: int) -> int:
        """``key`` with each feature that is no ``interrupt`` at bucket 0: what must stay equal while a plan runs."""
        return sum(key // m % count * m for i, m, count in self.packing(kind) if self.features[i].interrupt)

    def steps_of(self, scope: Scope) -> tuple[tuple[ActionWords, tuple[str, ...]], ...]:
        """The actions that ``scope`` may use, each with its targets, in the order of declaration."""
        return tuple((a, a.targets) for a in self.actions if a.name in scope.actions)


def normalise_order(text: str) -> str:
    """An order as it enters a scope: :func:`one_line` of lower case, at most 200 characters, so that orders which only
    look different share plans.

    Raises:
        DomainError: if ``text`` is no string.
    """
    if not isinstance(text, str):
        raise DomainError(f"an order is a string, not {text!r}; use '' to relieve an agent of its order")
    return one_line(text, 2 * ORDER_MAX_CHARS).lower()[:ORDER_MAX_CHARS].rstrip()


def one_line(text: str, most: int) -> str:
    """What a player typed, as data for a prompt: one line, single spaces, no control characters, at most ``most``
    characters. Characters that only look different (full-width forms, ligatures) become one."""
    # Only the first few hundred characters can matter: a pasted book must not cost a frame.
    head = unicodedata.normalize("NFKC", text.strip()[: 4 * most])
    return " ".join("".join(c if c.isprintable() else " " for c in head).split())[:most].rstrip()


def quoted(text: str) -> str:
    """A name that a player typed, for a persona or a phrase: ``<<Ash>>``, one line of at most 40 characters between
    marks that nothing in it can end. A model is not sure to heed the marks; what it answers is checked all the same.

    Raises:
        DomainError: if ``text`` is no string.
    """
    if not isinstance(text, str):
        raise DomainError(f"what is quoted is a string, not {text!r}")
    return delimited(one_line(text, NAME_MAX_CHARS))


def delimited(line: str) -> str:
    """``line`` between marks. What could end them is replaced by what looks like it."""
    return f"<<{line.translate(_NO_DELIMITERS)}>>"
