"""Plans between cache files and JSON, with names instead of numbers: to look at, to ship, to keep in a repository."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from ..errors import AstraSimError, PlanRejected
from ..reader import check_step, short
from ..vocabulary import MAX_STEPS, Scope, Vocabulary
from .cache_file import about_namespace, connect, refusing
from .disk import Disk
from .keeping import CacheRefused, Keeping
from .messages import is_number
from .store import Kept, Store
from .vectors import centre

FORM = "astrasim plans 1"


class NamespaceFigures(NamedTuple):
    """What is in one namespace of a file. Times are seconds since 1970; ``wanted`` counts situations without a plan."""

    namespace: str
    domain: str
    plans: int
    scopes: int
    uses: int
    oldest_s: float
    newest_s: float
    wanted: int


def figures(file: Path) -> list[NamespaceFigures]:
    """What is in a cache file, a line a namespace.

    Raises:
        CacheRefused: it is no cache file.
    """
    _must_be_there(file)
    with refusing(file):
        connection = connect(file)
        found = []
        for [namespace] in connection.execute("SELECT DISTINCT namespace FROM about ORDER BY namespace").fetchall():
            words = Vocabulary.model_validate_json(about_namespace(connection, namespace)["vocabulary"])
            scopes = "(SELECT id FROM scopes WHERE namespace = ?)"
            [(plans, uses, oldest_s, newest_s)] = connection.execute(
                f"SELECT COUNT(*), TOTAL(uses), MIN(born_s), MAX(born_s) FROM plans WHERE scope IN {scopes}",
                (namespace,),
            ).fetchall()
            [(number,)] = connection.execute(
                "SELECT COUNT(*) FROM scopes WHERE namespace = ?", (namespace,)
            ).fetchall()
            [(wanted,)] = connection.execute(
                f"SELECT COUNT(*) FROM wanted WHERE scope IN {scopes}", (namespace,)
            ).fetchall()
            found.append(
                NamespaceFigures(
                    namespace, words.domain, plans, number, int(uses), oldest_s or 0.0, newest_s or 0.0, wanted
                )
            )
        connection.close()
    return found


def vocabulary_of(file: Path, namespace: str) -> Vocabulary:
    """The vocabulary that a namespace's plans were made with.

    Raises:
        CacheRefused: there is no such file or namespace.
    """
    _must_be_there(file)
    with refusing(file):
        connection = connect(file)
        about = about_namespace(connection, namespace)
        connection.close()
    if "vocabulary" not in about:
        known = ", ".join(repr(each.namespace) for each in figures(file)) or "none"
        raise CacheRefused(f"{file} has no namespace {namespace!r}; it has: {known}")
    return Vocabulary.model_validate_json(about["vocabulary"])


def opened(file: Path, namespace: str, vocabulary: Vocabulary, room: int = 10_000_000) -> Store:
    """A namespace's plans, of which ``room`` are kept; changes go to the file with ``store.saver.save()``.

    Raises:
        CacheRefused: it cannot be used, or was made for something else.
    """
    store = Store(vocabulary, Keeping(entries=room))
    disk = Disk(file, namespace, vocabulary)
    store.saver = disk
    store.fill(disk.load(store.intern).plans)
    disk.scopes = store.scopes
    return store


def export_plans(file: Path, namespace: str, to: Path) -> int:
    """Write all plans of a namespace to a JSON file; returns how many.

    Raises:
        CacheRefused: there is no such file or namespace.
        OSError: it could not be written.
    """
    words = vocabulary_of(file, namespace)
    store = opened(file, namespace, words)
    plans: list[dict[str, Any]] = [
        {
            "scope": kept.scope,
            "situation": words.buckets(store.scopes[kept.scope].kind, kept.key),
            "vector": [round(float(value), 6) for value in kept.vector],
            "steps": [[words.actions[a].name, words.targets[t], seconds] for a, t, seconds in kept.steps],
            "made": kept.born_s, "uses": kept.uses,
        }
        for kept in store
    ]  # fmt: skip
    scopes = [scope.model_dump(mode="json") for scope in store.scopes]
    told = {"form": FORM, "vocabulary": words.model_dump(mode="json"), "scopes": scopes, "plans": plans}
    to.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return len(plans)


def import_plans(file: Path, namespace: str, source: Path) -> tuple[int, list[str]]:
    """Add the plans of an exported file to a cache file (which is made if there is none). Plans that are there already
    for the same situation stay.

    Returns:
        how many were added, and what was wrong with others.

    Raises:
        CacheRefused: the cache file was made for something else.
        AstraSimError: the exported file makes no sense.
    """
    try:
        told = json.loads(source.read_text(encoding="utf-8"))
        if told["form"] != FORM:
            raise ValueError(f"its form is {told['form']!r}, not {FORM!r}")
        words = Vocabulary.model_validate(told["vocabulary"])
        scopes = [Scope.model_validate(scope) for scope in told["scopes"]]
        rows = list(told["plans"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise AstraSimError(f"{source} holds no exported plans: {type(error).__name__}: {error}") from error
    store = opened(file, namespace, words)
    added, wrong = 0, []
    for at, row in enumerate(rows):
        try:
            kept = _read(row, scopes, store, words)
        except (AstraSimError, PlanRejected, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            wrong.append(f"plan {at}: {error}")
            continue
        if store.get(kept.scope, kept.key) is None:
            store.keep(kept)
            added += 1
    assert isinstance(store.saver, Disk)
    store.saver.save()
    store.saver.close()
    return added, wrong


def _read(row: dict[str, Any], scopes: list[Scope], store: Store, words: Vocabulary) -> Kept:
    at, made, uses = row["scope"], row["made"], row["uses"]
    if type(at) is not int or at < 0 or not is_number(made) or type(uses) is not int or not 0 <= uses <= 10**15:
        raise ValueError(f"its scope, uses and made must be numbers, not {short(at)}, {short(uses)} and {short(made)}")
    if not isinstance(row["situation"], dict):
        raise ValueError("its situation must give a bucket for each feature's name")
    scope = scopes[at]
    key = words.pack(scope.kind, {str(name): int(bucket) for name, bucket in row["situation"].items()})
    steps = tuple(check_step(action, target, seconds, words, scope) for action, target, seconds in row["steps"])
    if not 1 <= len(steps) <= MAX_STEPS:
        raise PlanRejected("wrong_length", f"{len(steps)} steps")
    vector = np.array(row["vector"], np.float32)
    if vector.shape != centre(words, scope.kind, key).shape or not np.isfinite(vector).all():
        raise ValueError("its vector has another width, or holds what is no finite number")
    return Kept(store.intern(scope), key, vector, steps, float(made), time.time(), uses)


def clear(file: Path, namespace: str | None) -> int:
    """Forget the plans of a namespace, or of all (None); returns how many there were.

    Raises:
        CacheRefused: it is no cache file.
    """
    _must_be_there(file)
    before = sum(each.plans for each in figures(file) if namespace is None or each.namespace == namespace)
    with refusing(file):
        connection = connect(file)
        which, values = ("", ()) if namespace is None else (" WHERE namespace = ?", (namespace,))
        with connection:
            for table in ("plans", "wanted"):
                connection.execute(f"DELETE FROM {table} WHERE scope IN (SELECT id FROM scopes{which})", values)
            for table in ("scopes", "about"):
                connection.execute(f"DELETE FROM {table}{which}", values)
        connection.close()
    return before


def _must_be_there(file: Path) -> None:
    if not file.is_file():
        raise CacheRefused(f"there is no file {file}; a game with Settings(cache_file=...) makes one")
