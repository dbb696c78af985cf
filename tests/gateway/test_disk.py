"""The file of the plan cache: what is in it after a crash, on a full disk, and when something else was declared."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from astrasim.gateway.cache_file import connect
from astrasim.gateway.disk import Disk
from astrasim.gateway.keeping import CacheRefused, Keeping
from astrasim.gateway.store import Store
from astrasim.gateway.travel import clear
from astrasim.gateway.vectors import centre
from tests.gateway.test_store import FIELDS, FLEE, REST, hare

KILLED = """
import sys, time
from pathlib import Path
from astrasim.gateway.disk import Disk
from astrasim.gateway.keeping import Keeping
from astrasim.gateway.vectors import centre
from astrasim.gateway.store import Store
from tests.gateway.test_store import FIELDS, FLEE, hare
disk = Disk(Path(sys.argv[1]), "", FIELDS)
store = Store(FIELDS, Keeping())
disk.load(store.intern)
store.saver = disk
disk.start(store.scopes)
n = 0
while True:
    turn, at = divmod(n, FIELDS.key_space("hare"))
    scope = store.intern(hare(str(turn)))
    store.put(scope, at, centre(FIELDS, "hare", at), ((0, 0, 1.0 + n % 29),) * (1 + n % 8))
    print(n, time.time(), flush=True)
    n += 1
    time.sleep(0.001)
"""


def saved(file: Path, namespace: str = "", **rules: int) -> Store:
    store = Store(FIELDS, Keeping(**rules))  # type: ignore[arg-type]  # pydantic takes what fits
    disk = Disk(file, namespace, FIELDS)
    store.saver = disk
    disk.scopes = store.scopes
    store.fill(disk.load(store.intern).plans)
    return store


def put(store: Store, at: int, steps: object = FLEE) -> None:
    store.put(store.intern(hare()), at, centre(FIELDS, "hare", at), steps)  # type: ignore[arg-type]


def save(store: Store) -> None:
    assert isinstance(store.saver, Disk)
    store.saver.save()
    store.saver.close()


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    put(store, 1)
    put(store, 2, REST)
    put(store, 3)
    store.drop(0, 3)
    save(store)
    again = saved(tmp_path / "plans")
    assert {kept.key: kept.steps for kept in again} == {1: FLEE, 2: REST}
    assert np.array_equal(next(iter(again)).vector, centre(FIELDS, "hare", 1))
    assert again.scopes == [hare()]


def test_namespaces_do_not_see_each_other(tmp_path: Path) -> None:
    for namespace, at in (("level 1", 1), ("level 2", 2)):
        store = saved(tmp_path / "plans", namespace)
        put(store, at)
        save(store)
    assert [kept.key for kept in saved(tmp_path / "plans", "level 1")] == [1]
    assert [kept.key for kept in saved(tmp_path / "plans", "level 2")] == [2]
    assert len(saved(tmp_path / "plans")) == 0


def test_more_than_there_is_room_for_is_left_out_the_least_recently_used_first(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    for at in range(6):
        put(store, at)
        time.sleep(0.002)
    save(store)
    again = saved(tmp_path / "plans", entries=2)
    assert [kept.key for kept in again] == [4, 5]
    save(again)
    assert len(saved(tmp_path / "plans")) == 6, "the next run may have room for all"


def test_what_is_too_old_now_stays_in_the_file(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    put(store, 1)
    save(store)
    again = saved(tmp_path / "plans", ttl_s=0)
    assert len(again) == 0
    save(again)
    assert len(saved(tmp_path / "plans")) == 1


@pytest.mark.parametrize("namespace", [None, ""])
def test_cleared_beside_a_running_game_no_plan_comes_to_another_scope(tmp_path: Path, namespace: str | None) -> None:
    file = tmp_path / "plans"
    running = saved(file)
    put(running, 1)
    assert isinstance(running.saver, Disk)
    running.saver.save()
    assert clear(file, namespace) == 1
    other = saved(file)
    other.put(other.intern(hare("run")), 2, centre(FIELDS, "hare", 2), REST)
    save(other)
    put(running, 3)
    save(running)
    again = saved(file)
    found = {(again.scopes[kept.scope].order, kept.key, kept.steps) for kept in again}
    assert found == {("run", 2, REST), ("", 3, FLEE)}


def test_what_was_cleared_and_made_for_another_domain_is_not_written_to(tmp_path: Path) -> None:
    running = saved(tmp_path / "plans", "level 2")
    clear(tmp_path / "plans", "level 2")
    woods = FIELDS.model_copy(update={"domain": "woods"})
    Disk(tmp_path / "plans", "level 2", woods).close()
    put(running, 1)
    with pytest.raises(CacheRefused, match=r"this is 'fields'.*astrasim cache clear .* --namespace 'level 2'"):
        save(running)
    with pytest.raises(CacheRefused, match="made for the domain 'woods'"):
        saved(tmp_path / "plans", "level 2")


def test_a_step_that_the_role_of_its_scope_does_not_have_is_passed_over(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    calm = hare().model_copy(update={"actions": ("rest",)})
    for at, steps in ((1, FLEE), (2, REST), (3, ((1, 0, 3.0),))):
        store.put(store.intern(calm), at, centre(FIELDS, "hare", at), steps)
    save(store)
    assert [kept.key for kept in saved(tmp_path / "plans")] == [2], "nobody flees here, and nobody rests at the fox"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_at_any_moment_it_lacks_a_second_at_most_and_nothing_is_torn(tmp_path: Path) -> None:
    file = tmp_path / "plans"
    for run in range(2):
        command = [sys.executable, "-c", KILLED, str(file)]
        root = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": root}
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.35 + 0.2 * run)
        process.send_signal(signal.SIGKILL)
        said = [line.split() for line in process.stdout.read().splitlines() if len(line.split()) == 2]
        process.wait()
        seconds = {int(n): float(at) for n, at in said}
        killed_s = max(seconds.values())
        store = saved(file)
        newest = 0
        for kept in store:
            n = int(store.scopes[kept.scope].order) * FIELDS.key_space("hare") + kept.key
            assert kept.steps == ((0, 0, 1.0 + n % 29),) * (1 + n % 8), "whole"
            newest = max(n, newest)
        assert killed_s - seconds[min(newest + 1, max(seconds))] <= 1.0
        save(store)


def wanted(file: Path) -> dict[int, int]:
    connection = connect(file)
    found = dict(connection.execute("SELECT key, times FROM wanted").fetchall())
    connection.close()
    return found


def want(file: Path, *keys: int, met: tuple[int, ...] = ()) -> None:
    store = saved(file)
    store.intern(hare())
    assert isinstance(store.saver, Disk)
    for at in keys:
        store.saver.want(0, at, centre(FIELDS, "hare", at))
    for at in met:
        store.saver.met(0, at)
    save(store)


def test_how_often_a_situation_was_wanted_adds_up_from_run_to_run(tmp_path: Path) -> None:
    want(tmp_path / "plans", 1, 1, 2)
    want(tmp_path / "plans", 1, 3, met=(2,))
    assert wanted(tmp_path / "plans") == {1: 3, 3: 1}


def test_what_was_wanted_while_saving_failed_is_counted_too(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    store.intern(hare())
    disk = store.saver
    assert isinstance(disk, Disk)
    disk.want(0, 1, centre(FIELDS, "hare", 1))
    lock = connect(tmp_path / "plans")
    lock.execute("BEGIN IMMEDIATE")
    disk._connection.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        disk.save()
    lock.rollback()
    lock.close()
    disk.want(0, 1, centre(FIELDS, "hare", 1))
    save(store)
    assert wanted(tmp_path / "plans") == {1: 2}


def test_only_so_many_wanted_situations_are_remembered_those_met_most_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrasim.gateway.disk.WANTED", 20)
    want(tmp_path / "plans", *range(5), *range(5))
    for first in range(5, 60, 5):
        want(tmp_path / "plans", *range(first, first + 5))
        assert len(wanted(tmp_path / "plans")) <= 20
    assert {at for at, times in wanted(tmp_path / "plans").items() if times == 2} == set(range(5))


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    store = saved(tmp_path / "plans")
    put(store, 0)
    disk = store.saver
    assert isinstance(disk, Disk)
    disk.save()
    pages = disk._connection.execute("PRAGMA page_count").fetchone()[0]
    disk._connection.execute(f"PRAGMA max_page_count = {pages}")
    for at in range(1, 60):
        store.put(0, at, centre(FIELDS, "hare", at), tuple((0, 0, 1.0 + (n + at) % 29) for n in range(8)))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        disk.save()
    disk._connection.execute("PRAGMA max_page_count = 100000")
    put(store, 60)
    save(store)
    assert len(saved(tmp_path / "plans")) == 61


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"domain": "woods"}, "the domain 'fields', this is 'woods'"),
        ({"features": FIELDS.features[:2]}, "3 features, and here there are 2"),
        ({"features": (*FIELDS.features[:2], FIELDS.features[2].model_copy(update={"words": tuple("abcx")}))}, "noise"),
        ({"targets": ("fox", "burrow")}, "without home, with burrow"),
        ({"actions": FIELDS.actions[::-1]}, "another order"),
    ],
)
def test_a_file_of_another_declaration_is_refused_saying_what_differs(
    tmp_path: Path, changed: dict[str, object], why: str
) -> None:
    save(saved(tmp_path / "plans"))
    with pytest.raises(CacheRefused, match=why) as refused:
        Disk(tmp_path / "plans", "", FIELDS.model_copy(update=changed))
    assert "astrasim cache clear" in str(refused.value)
    assert len(saved(tmp_path / "plans", "another namespace")) == 0


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    save(saved(tmp_path / "plans"))
    with pytest.raises(CacheRefused, match="embedder"):
        Disk(tmp_path / "plans", "", FIELDS, embedder="other")


def test_other_weights_are_no_reason_to_refuse(tmp_path: Path) -> None:
    save(saved(tmp_path / "plans"))
    heavier = tuple(f.model_copy(update={"weight": 2.0}) for f in FIELDS.features)
    Disk(tmp_path / "plans", "", FIELDS.model_copy(update={"features": heavier})).close()


@pytest.mark.parametrize("rubbish", [b"no database at all, but long" * 40, b"SQLite format 3\0" + b"x" * 2000])
def test_what_is_no_cache_is_refused(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "plans").write_bytes(rubbish)
    with pytest.raises(CacheRefused, match="cannot be used as a plan cache"):
        Disk(tmp_path / "plans", "", FIELDS)
    assert (tmp_path / "plans").read_bytes() == rubbish


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheRefused, match="cannot be used"):
        Disk(tmp_path / "nowhere" / "plans", "", FIELDS)


@pytest.mark.parametrize(
    "damage",
    [
        "steps = 'rubbish'", "steps = '[[99, 0, 2.0]]'", "steps = '[]'", "key = -5", "key = 99999999", "vector = x'00'",
        "vector = x'0000c07f0000c07f0000c07f'", "scope = 77", "vector = 'text'",
        "born_s = NULL", "used_s = 'x'", "used_s = 9e999", "uses = 1.5", "uses = NULL", "uses = -1",
    ],
)  # fmt: skip
def test_rows_that_make_no_sense_are_passed_over(tmp_path: Path, damage: str) -> None:
    store = saved(tmp_path / "plans")
    put(store, 1)
    put(store, 2)
    save(store)
    connection = connect(tmp_path / "plans")
    with connection:
        connection.execute(f"UPDATE plans SET {damage} WHERE key = 1")
    connection.close()
    assert [kept.key for kept in saved(tmp_path / "plans")] == [2]
