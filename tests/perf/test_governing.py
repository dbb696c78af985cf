"""The command that shows the governor, on a machine whose frames take what pace and load say."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from astrasim import FrameTimes, Settings, SettingsError, Simulation
from astrasim.frames import PERIOD_MS
from astrasim.perf import governing
from astrasim.perf.arena import build_arena


@pytest.fixture
def machine_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What perceiving costs there in every tick, in milliseconds; the rest of a frame takes 1 ms."""
    perceiving_ms = [8.0]

    def play(sim: Simulation, frames: int, load_ms: float) -> FrameTimes:
        took_ms = []
        for _ in range(frames):
            sim.tick()
            took_ms.append(load_ms + 1.0 + perceiving_ms[0] / sim.pace.every)
            sim.governor.frame(took_ms[-1])
        return FrameTimes(np.array(took_ms), sum(ms > PERIOD_MS for ms in took_ms), frames / 60)

    monkeypatch.setattr(governing, "play", play)
    yield perceiving_ms


def two_arenas(stack: ExitStack) -> tuple[Simulation, Simulation]:
    arenas = [stack.enter_context(build_arena(20, Settings(model="none"))) for _ in range(2)]
    return arenas[0], arenas[1]


def test_it_shows_what_the_governor_changes(machine_of: list[float], tmp_path: Path) -> None:
    with ExitStack() as stack:
        found = list(governing.phases(two_arenas(stack), 300))
    assert [phase.load_ms > 0 for phase in found] == [False, True, False, True]
    for phase in found:
        assert phase.changes_late == 0
        if phase.load_ms:
            assert phase.without.missed == 300 and phase.governed.missed <= 3
            assert phase.back_off_frames is not None and phase.back_off_frames <= 3
            assert phase.ends.every > 1
        else:
            assert phase.without.missed == phase.governed.missed == 0 and phase.back_off_frames is None
            assert phase.ends.every == 1
    figures = json.loads(json.dumps(found[1].figures()))
    assert figures["missed"]["without"] == 300 and figures["decisions"][0]["every"] == 2
    governing.show(Console(file=io.StringIO()), found)
    governing.plot(found, "a test", tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 10_000


@pytest.mark.parametrize(("perceiving_ms", "says"), [(15.0, "give fewer --agents"), (1.0, "give more --agents")])
def test_where_agents_do_not_suit_the_machine_it_says_so(
    machine_of: list[float], perceiving_ms: float, says: str
) -> None:
    machine_of[0] = perceiving_ms
    with ExitStack() as stack, pytest.raises(SettingsError, match=says):
        list(governing.phases(two_arenas(stack), 60))


@pytest.mark.parametrize("arguments", [["--agents", "0"], ["--seconds", "nan"], ["--seconds", "0"]])
def test_what_cannot_be_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["governing", *arguments])
    with pytest.raises(SystemExit):
        governing.main()
    assert "give at least one agent, and phases of 1 to 600 seconds" in capsys.readouterr().err
