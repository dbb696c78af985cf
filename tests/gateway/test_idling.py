"""How the gateway process keeps off the cores: on Linux, where it may use more than one."""

from __future__ import annotations

import os
import sys

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
