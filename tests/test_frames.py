"""The paced frame loop."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

from astrasim.frames import PERIOD_S, FrameTimes, run_frames


def test_frames_are_paced_at_sixty_a_second() -> None:
    times = run_frames(lambda _: None, 30)
    assert times.seconds >= 29 * PERIOD_S
    assert len(times.work_ms) == 30


def test_the_work_of_a_frame_is_what_is_measured_not_the_wait() -> None:
    times = run_frames(lambda _: time.sleep(0.005), 10)
    assert (times.work_ms >= 5).all()
    assert np.median(times.work_ms) < 16


def test_a_frame_whose_work_takes_longer_than_a_period_is_missed_once() -> None:
    times = run_frames(lambda frame: time.sleep(0.05) if frame == 5 else None, 20)
    assert times.missed >= 1
    assert times.work_ms.argmax() == 5


def test_the_loop_ends_when_the_work_returns_false() -> None:
    assert len(run_frames(lambda frame: frame < 4, None).work_ms) == 5


def test_fewer_than_600_frames_sustain_nothing() -> None:
    assert not FrameTimes(np.ones(599), 0, 10.0).sustained()
    assert FrameTimes(np.ones(600), 0, 10.0).sustained()
    assert not FrameTimes(np.full(600, 16.7), 0, 10.0).sustained()


def test_garbage_collection_is_as_before_afterwards_also_when_the_work_raises() -> None:
    def fail(_: int) -> None:
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_frames(fail, 3)
    assert gc.isenabled()
