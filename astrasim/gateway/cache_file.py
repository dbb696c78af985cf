"""A file of the plan cache: SQLite in WAL mode, its tables, and what it says about its namespaces."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .keeping import CacheRefused

VERSION = "1"
TABLES = """
CREATE TABLE IF NOT EXISTS about (namespace TEXT, name TEXT, value TEXT, PRIMARY KEY (namespace, name));
CREATE TABLE IF NOT EXISTS scopes (id INTEGER PRIMARY KEY, namespace TEXT, scope TEXT, UNIQUE (namespace, scope));
CREATE TABLE IF NOT EXISTS plans (scope INTEGER, key INTEGER, vector BLOB, steps TEXT, born_s REAL, used_s REAL,
  uses INTEGER, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wanted (scope INTEGER, key INTEGER, vector BLOB, times INTEGER, PRIMARY KEY (scope, key))
  WITHOUT ROWID;
"""


def connect(file: Path) -> sqlite3.Connection:
    """A connection as all of ours are. It may be used by one thread after the other."""
    connection = sqlite3.connect(file, timeout=5.0, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def refusing(file: Path) -> Iterator[None]:
    """Turns what SQLite says about a file into what a user can do about it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CacheRefused(f"{file} cannot be used as a plan cache: {error}. Move it away, or name another") from error


def about_namespace(connection: sqlite3.Connection, namespace: str) -> dict[str, str]:
    """What a file says about a namespace; empty if there is none of that name."""
    return dict(connection.execute("SELECT name, value FROM about WHERE namespace = ?", (namespace,)).fetchall())


def named(namespace: str) -> str:
    return f", namespace {namespace!r}," if namespace else ""
