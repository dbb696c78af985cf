"""How the gateway process keeps off the cores: on Linux, where it may use more than one."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from astrasim.gateway import idling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it gives no way")


@pytest.mark.parametrize(("cores", "gives_way"), [({0}, False), ({3}, False), ({0, 5}, True)])
def test_it_gives_way_only_where_this_process_may_use_several_cores(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], gives_way: bool
) -> None:
    """Bound to one core, like the game that started it, it might never run again."""
    asked = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_setscheduler", lambda thread, policy, how: asked.append(policy))
    monkeypatch.setattr("platform.machine", lambda: "none whose system call is known")
    idling.give_way()
    assert set(asked) == ({os.SCHED_IDLE} if gives_way else set())


def bound(monkeypatch: pytest.MonkeyPatch, cores: set[int] | None = None) -> dict[int, set[int]]:
    """To which cores threads were bound since, in a process of three that are not Python's. Our game is ourselves."""
    to: dict[int, set[int]] = {}
    if cores is not None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores)
    monkeypatch.setattr(os, "sched_setaffinity", to.__setitem__)
    monkeypatch.setattr(os, "getppid", os.getpid)
    monkeypatch.setattr(idling, "native_threads", lambda: frozenset({101, 102, 103}))
    return to


def test_what_is_not_urgent_runs_beside_the_game_and_then_anywhere_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core: nobody can step aside")
    to = bound(monkeypatch)
    idling.step_aside({102, 999})
    assert to.keys() == {101, 103} and to[101] == to[103] and len(to[101]) == 1 and to[101] < cores
    idling.step_back()
    assert to == dict.fromkeys((101, 102, 103), cores)


def test_where_the_game_has_the_only_core_or_one_that_is_not_ours_nobody_steps_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores in ({0}, {4094, 4095}):
        to = bound(monkeypatch, cores)
        idling.step_aside({102})
        assert to == {}


def test_threads_that_python_started_are_not_native_ones() -> None:
    assert {each.native_id for each in threading.enumerate()}.isdisjoint(idling.native_threads())
