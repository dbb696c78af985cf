"""Whether two orders mean the same, so that a plan made for the one will do for the other.

An embedding alone will not do: to MiniLM "open the gate" and "close the gate" are more alike than "hold the bridge" and
"guard that crossing". So an order is taken apart first, into what is done and all else that counts, in its order: to
what, by or for whom, which way, on what condition, and what negates (:class:`Frame`). All of that must be equal: the
same words about another one mean something else. Only where what is done stands in no list of ours does the embedding
decide, about two orders that are equal otherwise. An order in another language
has few words that we know, so hardly more than the same words in the same order share; that is safe.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

from . import order_words
from .order_words import NOUNS, SHORT, VERBS

ALIKE = 0.8
"""From which cosine on two orders with equal frames but for an unknown verb mean the same."""
_GAP = 4
"""How many words may stand between two words of a phrase ("set the old beacon on fire")."""


def _inverse(lists: dict[str, str]) -> dict[str, str]:
    return {word: name for name, words in lists.items() for word in words.split()}


_PERSONS, _CONDITIONS, _SYNONYMS = map(_inverse, (order_words.PERSONS, order_words.CONDITIONS, NOUNS))
_NEGATIONS, _EMPTY, _NOT, _ENDING, _BETWEEN = (
    frozenset(words.split())
    for words in (
        order_words.NEGATIONS, order_words.EMPTY, order_words.NOT, order_words.ENDING, order_words.BETWEEN
    )
)  # fmt: skip
_VERB, _PAUSE = "*", ","


class Frame(NamedTuple):
    """An order, taken apart. ``verb``: a name of ``VERBS``, or a word that is not known, with a ``?`` before it.
    ``rest``: all other words that count, in their order, ``*`` where the verb stands; of words that mean the same, one
    stands for all."""

    verb: str
    rest: tuple[str, ...]


def same_intent(one: str, other: str, cosine: Callable[[str, str], float]) -> bool:
    """Whether two orders, normalised by :func:`~astrasim.vocabulary.normalise_order`, mean the same.

    Args:
        cosine: of their embeddings; asked only if it can decide.
    """
    if one == other:
        return True
    a, b = frame(one), frame(other)
    if a.rest != b.rest:
        return False
    if a.verb.startswith("?") or b.verb.startswith("?"):
        return cosine(one, other) >= ALIKE
    return a.verb == b.verb


@lru_cache(4096)
def frame(order: str) -> Frame:
    """``order`` taken apart."""
    words = _words(order)
    verb, negated, used = _find_verb(words)
    rest: list[str] = []
    for at, word in enumerate(words):
        if at in used:
            if at == min(used):
                rest += ["not", _VERB] if negated else [_VERB]
        elif word in _ENDING:
            rest.append(word if _is_told_to_end(words[at + 1 :]) else "not")
        elif word in _NOT:
            rest.append(f"{word}!" if words[at + 1 : at + 2] == [_PAUSE] else "not")
        elif word in _BETWEEN and rest and rest[-1] != _VERB and _VERB in rest:
            rest.append(word)
        elif not (word == _PAUSE or word in _EMPTY):
            rest.append(_PERSONS.get(word) or _CONDITIONS.get(word) or _SYNONYMS.get(word, word))
    return Frame(verb, tuple(rest))


def _is_told_to_end(after: list[str]) -> bool:
    """Whether "stop" is an order of its own: "stop, attack" or "stop attack it", not "stop attacking"."""
    return not after or after[0] == _PAUSE or after[0] in _phrases()


def _words(order: str) -> list[str]:
    words = re.findall(r"\w+(?:'\w+)?|[,.;:!]", order.lower().replace("’", "'"))
    words = [_PAUSE if word in ".;:!" else word for word in words]
    expanded = " ".join(SHORT.get(word, word.removesuffix("'s")) for word in words)
    for phrase, noun in _long_nouns():
        expanded = re.sub(rf"\b{phrase}\b", noun, expanded)
    return expanded.split()


def _find_verb(words: list[str]) -> tuple[str, bool, set[int]]:
    """What is done, whether its phrase negates it, and which words say so."""
    best: tuple[tuple[int, int, int], str, set[int]] | None = None
    for start, word in enumerate(words):
        for phrase, name in _phrases().get(_stem(word), ()):
            places = _match(phrase, words, start)
            if places:
                telling = sum(words[at] not in _EMPTY for at in places)
                rank = telling, len(places), -places[-1]
                if best is None or rank > best[0]:
                    best = rank, name, set(places)
        if not (word == _PAUSE or word in _EMPTY or word in _NEGATIONS or word in _PERSONS):
            if best is None:
                return f"?{_stem(word)}", False, {start}
            break
    if best is None:
        return "?", False, set()
    return best[1].removeprefix("!"), best[1].startswith("!"), best[2]


def _match(phrase: tuple[str, ...], words: list[str], start: int) -> list[int]:
    """Where the words of ``phrase`` stand, the first at ``start``; none if they do not all."""
    places = [start]
    for wanted in phrase[1:]:
        window = range(places[-1] + 1, min(places[-1] + 2 + _GAP, len(words)))
        at = next((at for at in window if words[at] in (wanted, _PAUSE)), None)
        if at is None or words[at] == _PAUSE:  # "hold, fire" is not "hold fire"
            return []
        places.append(at)
    return places


@cache
def _phrases() -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """The phrases of verbs, by their first word."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name, phrases in VERBS.items():
        for phrase in phrases.split(", "):
            words = tuple(phrase.split())
            found.setdefault(words[0], []).append((words, name))
    return found


def _stem(word: str) -> str:
    """The verb without its ending, if that makes one that we know: attacking, attacks, hiding."""
    for ending, instead in (("", ""), ("ing", ""), ("ing", "e"), ("s", ""), ("es", ""), ("ed", ""), ("ed", "e")):
        if word.endswith(ending) and (stem := word.removesuffix(ending) + instead) in _phrases():
            return stem
    return word


@cache
def _long_nouns() -> list[tuple[str, str]]:
    """Nouns of several words, each with the one word that stands for it."""
    return [(noun, others.split()[0]) for noun, others in NOUNS.items() if " " in noun]
