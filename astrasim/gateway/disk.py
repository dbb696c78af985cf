"""How the plan cache is saved: one transaction for all that changed in a quarter of a second.

Killed at any moment, the process leaves a file that opens and lacks that quarter of a second at most: a transaction is
there as a whole or not at all. Where it cannot be written (a full disk), what changed stays in memory and is tried
again, and the game goes on.

A file holds namespaces, each with plans of one domain. A namespace that was made by another declaration of the domain
is refused, because its keys and steps would mean something else.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from ..reader import Steps
from ..vocabulary import Scope, Vocabulary
from .cache_file import TABLES, VERSION, about_namespace, connect, named, refusing
from .keeping import EMBEDDER, CacheRefused, difference, fingerprint
from .messages import is_number, read_steps
from .store import Kept

SAVE_S = 0.25
RETRY_S = 5.0
WANTED = 10_000
"""Situations without a plan that a namespace remembers, at most: those met most often."""


class Loaded(NamedTuple):
    """What was in a file. ``plans`` are the least recently used first; ``damaged`` counts rows that made no sense."""

    scopes: list[Scope]
    plans: list[Kept]
    truth: dict[str, Any]
    damaged: int


class Disk:
    """One namespace of one file, for one process at a time to write.

    After :meth:`start` a thread of its own does all the writing; ``put``, ``drop``, ``want``, ``met`` and
    ``keep_truth`` only note what there is to do.
    """

    def __init__(self, file: Path, namespace: str, vocabulary: Vocabulary, *, embedder: str = EMBEDDER) -> None:
        """Open it, or make it.

        Raises:
            CacheRefused: it is no cache file, is damaged, or was made for something else; says what to do.
        """
        self.file, self._namespace, self._vocabulary = file, namespace, vocabulary
        self.trouble = ""
        """Why the last changes are not on the disk, for people; "" if they are, or will be in a moment."""
        self._lock = threading.Lock()
        self._changes: dict[tuple[str, int, int], Any] = {}
        self._truth: dict[str, Any] = {}
        self.scopes: list[Scope] = []
        """The store's, by number; it may grow."""
        self._ids: dict[int, int] = {}
        self._embedder, self._generation = embedder, ""
        with refusing(file):
            self._connection = connect(file)
            self._connection.executescript(TABLES)
            with self._connection:
                self._check()

    def load(self, intern: Callable[[Scope], int]) -> Loaded:
        """All of the namespace. ``intern`` gives a scope the number that it has in the store from now on.

        Raises:
            CacheRefused: as above.
        """
        with refusing(self.file):
            return self._load(intern)

    def start(self, scopes: list[Scope]) -> None:
        """Save from now on. ``scopes``: the store's, by number; it may grow."""
        self.scopes = scopes
        threading.Thread(target=self._run, name="astrasim-save", daemon=True).start()

    def put(self, kept: Kept) -> None:
        with self._lock:
            self._changes["plans", kept.scope, kept.key] = kept

    def drop(self, scope: int, key: int) -> None:
        with self._lock:
            self._changes["plans", scope, key] = None

    def want(self, scope: int, key: int, vector: Any) -> None:
        """A situation was met for which there is no plan: what to warm the cache with. Not noted while the file cannot
        be written, or it would be noted without end."""
        if self.trouble:
            return
        with self._lock:
            _, times = self._changes.get(("wanted", scope, key)) or (None, 0)
            self._changes["wanted", scope, key] = vector, times + 1

    def met(self, scope: int, key: int) -> None:
        """There is a plan for this situation now."""
        with self._lock:
            self._changes["wanted", scope, key] = None

    def keep_truth(self, truth: dict[str, Any]) -> None:
        with self._lock:
            self._truth = truth

    def save(self) -> None:
        """Write what there is to do, in one transaction.

        Raises:
            sqlite3.Error: it could not be written; nothing is lost.
            CacheRefused: the file was cleared, and then made for something else.
        """
        with self._lock:
            changes, self._changes = self._changes, {}
            truth, self._truth = self._truth, {}
        if not changes and not truth:
            return
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._check()
                self._write(changes, truth)
        except BaseException:
            self._ids.clear()  # rows made in the transaction are gone again
            with self._lock:
                for at, new in self._changes.items():
                    if at[0] == "wanted" and new and changes.get(at):
                        self._changes[at] = new[0], new[1] + changes[at][1]
                self._changes = changes | self._changes
                self._truth = self._truth or truth
            raise

    def close(self) -> None:
        self._connection.close()

    def _run(self) -> None:
        while True:
            time.sleep(SAVE_S)
            try:
                self.save()
                self.trouble = ""
            except (sqlite3.Error, OSError, CacheRefused) as error:
                self.trouble = f"plans are not being saved to {self.file} ({error}); the game goes on without"
                time.sleep(RETRY_S)

    def _write(self, changes: dict[tuple[str, int, int], Any], truth: dict[str, Any]) -> None:
        run = self._connection.execute
        for (table, scope, key), value in changes.items():
            at = (self._id(scope), key)
            if value is None:
                run(f"DELETE FROM {table} WHERE scope = ? AND key = ?", at)
            elif table == "wanted":
                vector, times = value
                run(
                    "INSERT INTO wanted VALUES (?, ?, ?, ?) ON CONFLICT (scope, key) DO UPDATE "
                    "SET times = times + excluded.times, vector = excluded.vector", (*at, vector.tobytes(), times),
                )  # fmt: skip
            else:
                run(
                    "INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*at, value.vector.tobytes(), json.dumps(value.steps), value.born_s, value.used_s, value.uses),
                )
        if truth:
            self._tell_about("truth", json.dumps(truth))
        if any(table == "wanted" for table, _, _ in changes):
            self._forget_rarely_wanted()

    def _forget_rarely_wanted(self) -> None:
        """Where more situations are wanted than may be, let three quarters of those stay: what is new needs room until
        it was met a second time."""
        ours = "WHERE scope IN (SELECT id FROM scopes WHERE namespace = ?)"
        [(number,)] = self._connection.execute(f"SELECT COUNT(*) FROM wanted {ours}", (self._namespace,)).fetchall()
        if number > WANTED:
            self._connection.execute(
                "DELETE FROM wanted WHERE (scope, key) IN "
                f"(SELECT scope, key FROM wanted {ours} ORDER BY times LIMIT ?)",
                (self._namespace, number - WANTED * 3 // 4),
            )

    def _id(self, scope: int) -> int:
        found = self._ids.get(scope)
        if found is None:
            run, row = self._connection.execute, (self._namespace, self.scopes[scope].model_dump_json())
            run("INSERT OR IGNORE INTO scopes (namespace, scope) VALUES (?, ?)", row)
            [found] = run("SELECT id FROM scopes WHERE namespace = ? AND scope = ?", row).fetchone()
            self._ids[scope] = found
        return found

    def _tell_about(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?, ?)", (self._namespace, name, value))

    def _check(self) -> None:
        """Whether the namespace is still the one that we know, in the transaction that is open. One that was cleared
        meanwhile is made anew, with other numbers for its scopes."""
        about = about_namespace(self._connection, self._namespace)
        if self._generation and about.get("generation") == self._generation:
            return
        self._ids.clear()
        ours = {
            "version": VERSION, "fingerprint": fingerprint(self._vocabulary), "embedder": self._embedder,
            "width": str(len(self._vocabulary.features)),
        }  # fmt: skip
        if not about:
            about = {**ours, "vocabulary": self._vocabulary.model_dump_json()}
            for name, value in about.items():
                self._tell_about(name, value)
        wrong = ""
        if about.get("version") != VERSION:
            wrong = f"it is of version {about.get('version')} of the file's form, and this AstraSim writes {VERSION}"
        elif about.get("embedder") != self._embedder:
            wrong = f"its orders were compared by another embedder ({about.get('embedder')!r}, not {self._embedder!r})"
        elif about.get("width") != ours["width"]:
            wrong = f"its vectors have {about.get('width')} features, and here there are {ours['width']}"
        elif about.get("fingerprint") != ours["fingerprint"]:
            wrong = difference(Vocabulary.model_validate_json(about["vocabulary"]), self._vocabulary)
        if wrong:
            which = f" --namespace {shlex.quote(self._namespace)}" if self._namespace else ""
            raise CacheRefused(
                f"the plans in {self.file}{named(self._namespace)} cannot be used: {wrong}. Use another file or "
                f"cache_namespace, or forget them: astrasim cache clear {shlex.quote(str(self.file))}{which}"
            )
        self._generation = about.get("generation") or secrets.token_hex(8)
        self._tell_about("generation", self._generation)

    def _load(self, intern: Callable[[Scope], int]) -> Loaded:
        run, words = self._connection.execute, self._vocabulary
        scopes, damaged = [], 0
        number_of: dict[int, tuple[int, Scope]] = {}
        for id_, text in run("SELECT id, scope FROM scopes WHERE namespace = ?", (self._namespace,)):
            try:
                scope = Scope.model_validate_json(text)
                words.packing(scope.kind)
            except (ValidationError, KeyError):
                damaged += 1
                continue
            number_of[id_] = intern(scope), scope
            self._ids[number_of[id_][0]] = id_
            scopes.append(scope)
        width = {kind: 4 * len(words.packing(kind)) for kind in words.kinds}
        steps_of: dict[tuple[int, str], Steps | None] = {}
        plans = []
        rows = run(
            "SELECT plans.scope, key, vector, steps, born_s, used_s, uses FROM plans "
            "JOIN scopes ON scopes.id = plans.scope WHERE namespace = ? ORDER BY used_s", (self._namespace,),
        )  # fmt: skip
        for id_, key, vector, text, born_s, used_s, uses in rows:
            if id_ not in number_of:
                damaged += 1
                continue
            number, scope = number_of[id_]
            if (id_, text) not in steps_of:
                steps_of[id_, text] = _steps(text, words, scope)
            steps = steps_of[id_, text]
            if steps is None:
                damaged += 1
                continue
            whole = isinstance(vector, bytes) and len(vector) == width[scope.kind]
            whole = whole and is_number(born_s) and is_number(used_s) and type(uses) is int and uses >= 0
            if whole and isinstance(key, int) and 0 <= key < words.key_space(scope.kind):
                plans.append(Kept(number, key, np.frombuffer(vector, np.float32), steps, born_s, used_s, uses))
            else:
                damaged += 1
        finite = [kept for kept in plans if np.isfinite(kept.vector).all()]
        about = about_namespace(self._connection, self._namespace)
        return Loaded(scopes, finite, json.loads(about.get("truth", "{}")), damaged + len(plans) - len(finite))


def _steps(text: str, words: Vocabulary, scope: Scope) -> Steps | None:
    """What a plan's row holds, or None if it makes no sense, or none to those in this scope."""
    try:
        return read_steps(json.loads(text), words, scope)
    except (ValueError, TypeError, RecursionError):
        return None
