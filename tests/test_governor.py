"""The governor holds the frame rate between its bounds, does not swing, and can be replayed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim import Domain, Settings, SettingsError, Simulation, run_frames
from astrasim.decisions import PaceDecision, read_decisions, write_decisions
from astrasim.frames import Frame
from astrasim.governor import Governor, rungs
from astrasim.pace import Pace

Simulate = Callable[..., Simulation]
PERIOD_MS = 1000 / 60
FRAMES = 600


class Machine:
    """A game whose frames take what its pace and its load say: ``load_ms`` and what perceiving, planning and asking
    cost."""

    def __init__(self, perceiving_ms: float = 9.0, noise: float = 0.0, seed: int = 0, **settings: Any) -> None:
        self.settings = Settings(model="none", **{"governor": True, **settings})
        self.pace = Pace(**{name: getattr(self.settings, name) for name in Pace.model_fields})
        self.governor = Governor(self.pace, self.settings)
        self._perceiving_ms, self._noise, self._rng = perceiving_ms, noise, np.random.default_rng(seed)
        self.tick = 0

    def run(self, load_ms: float, frames: int = FRAMES) -> tuple[int, list[PaceDecision]]:
        """How many frames were late, and what was decided."""
        before, late = len(self.governor.decisions), 0
        for _ in range(frames):
            self.tick += 1
            self.governor.begin_tick(self.tick)
            pace = self.pace
            work_ms = load_ms + self._perceiving_ms / pace.every + pace.budget_ms + pace.requests_per_second / 200
            work_ms *= 1 + self._noise * self._rng.random()
            late += work_ms > PERIOD_MS
            self.governor.frame(work_ms)
        return late, list(self.governor.decisions)[before:]


def ruling(pace: Pace) -> tuple[float, int, float]:
    return pace.budget_ms, pace.every, pace.requests_per_second


# A load that steps up and down


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_it_backs_off_within_three_frames_of_a_step_and_comes_back_when_the_load_goes(noise: float) -> None:
    machine = Machine(noise=noise)
    light, heavy = 2.0, 9.0
    assert machine.run(light)[1] == [], "nothing to do"
    for _ in range(5):
        begun = machine.tick
        late, decided = machine.run(heavy)
        assert decided[0].tick <= begun + 3 + 1, "it rules the tick after the third frame"
        assert decided[0].every > 1
        assert late <= 10
        machine.run(light)
        assert ruling(machine.pace) == (2.0, 1, 20.0)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_once_settled_it_stays_but_for_a_try_now_and_then(noise: float) -> None:
    machine = Machine(noise=noise)
    machine.run(2.0)
    machine.run(8.0, 120)
    late, decided = machine.run(8.0, 10 * 60 * 60)
    assert len(decided) <= 40, "ten minutes: three a try, and tries get rarer up to one in 64 s"
    assert late <= 80


def test_where_nothing_helps_it_rests_at_its_bounds() -> None:
    machine = Machine()
    late, decided = machine.run(40.0)
    assert late == FRAMES
    assert ruling(machine.pace) == (0.5, 4, 2.0)
    assert len(decided) == 3 and decided[-1].tick <= 10, "1, 2 and 4 rungs, and what is left"


def test_a_small_overload_costs_one_rung() -> None:
    machine = Machine()
    machine.run(6.0)
    assert ruling(machine.pace) == (2.0, 2, 20.0)


def test_it_recovers_one_rung_in_half_a_second() -> None:
    machine = Machine()
    machine.run(40.0)
    _, decided = machine.run(0.0)
    ticks = [decision.tick for decision in decided]
    assert len(decided) == len(rungs(machine.settings)) - 1
    assert np.diff(ticks).tolist() == [30] * (len(ticks) - 1)


def test_one_late_frame_alone_changes_nothing() -> None:
    machine = Machine()
    machine.run(2.0)
    for _ in range(20):
        machine.governor.frame(25.0)
        assert machine.run(2.0, 50)[1] == []


def test_a_frame_of_two_periods_is_answered_at_once_but_not_every_time() -> None:
    machine = Machine()
    machine.run(2.0)
    machine.governor.frame(60.0)
    assert machine.pace.every == 2
    assert [decision.every for decision in machine.run(2.0, 300)[1]] == [1]
    machine.governor.frame(60.0)
    assert machine.run(2.0, 300)[1] == []


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.floats(0, 60), st.integers(1, 200)), max_size=12),
    perceiving_ms=st.floats(0, 30), noise=st.floats(0, 1), seed=st.integers(0, 99),
    bounds=st.fixed_dictionaries({
        "budget_ms": st.floats(0, 4), "least_budget_ms": st.floats(0, 4),
        "every": st.integers(1, 9), "most_every": st.integers(1, 60),
        "requests_per_second": st.floats(0, 100), "least_requests_per_second": st.floats(0, 100),
        "target_fps": st.floats(0.1, 500),
    }),
)  # fmt: skip
def test_it_never_leaves_its_bounds_whatever_frames_take(
    steps: list[tuple[float, int]], perceiving_ms: float, noise: float, seed: int, bounds: dict[str, float]
) -> None:
    machine = Machine(perceiving_ms, noise, seed, **bounds)
    for load_ms, frames in steps:
        machine.run(load_ms, frames)
    s = machine.settings
    for decision in machine.governor.decisions:
        assert min(s.budget_ms, s.least_budget_ms) <= decision.budget_ms <= s.budget_ms
        assert s.every <= decision.every <= max(s.every, s.most_every)
        least = min(s.requests_per_second, s.least_requests_per_second)
        assert least <= decision.requests_per_second <= s.requests_per_second
        assert decision.reason
    assert ruling(machine.pace) == machine.governor.decisions[-1][1:4]
    again = Machine(perceiving_ms, noise, seed, **bounds)
    for load_ms, frames in steps:
        again.run(load_ms, frames)
    assert again.governor.decisions == machine.governor.decisions, "equal frames, equal decisions"


def test_bounds_of_0_are_0() -> None:
    machine = Machine(least_budget_ms=0, least_requests_per_second=0)
    machine.run(40.0)
    assert ruling(machine.pace) == (0.0, 4, 0.0)
    nothing = Machine(budget_ms=0, requests_per_second=0, most_every=1)
    nothing.run(40.0)
    assert ruling(nothing.pace) == (0.0, 1, 0.0) and len(nothing.governor.decisions) == 1


def test_where_planning_counts_units_its_milliseconds_stay() -> None:
    machine = Machine(budget_units=8)
    machine.run(40.0)
    assert ruling(machine.pace) == (2.0, 4, 2.0)


def test_a_bound_that_is_worse_than_what_is_set_leaves_that_as_it_is() -> None:
    machine = Machine(budget_ms=0.1, every=8, requests_per_second=1)
    machine.run(40.0)
    assert ruling(machine.pace) == (0.1, 8, 1.0)


@pytest.mark.parametrize("work_ms", [float("nan"), float("inf"), -float("inf"), -0.1])
def test_a_time_that_cannot_be_is_refused_in_words(work_ms: float) -> None:
    machine = Machine()
    with pytest.raises(ValueError, match="must be a finite number of milliseconds, at least 0"):
        machine.governor.frame(work_ms)
    machine.governor.frame(0.0)


def test_a_frame_makes_nothing_that_stays() -> None:
    machine = Machine()
    governor = machine.governor
    for _ in range(100):
        governor.frame(5.0)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        governor.frame(5.0)
    assert sys.getallocatedblocks() - before < 20


# On and off


def test_off_it_does_nothing() -> None:
    machine = Machine(governor=False)
    late, decided = machine.run(40.0)
    assert late == FRAMES and decided == [] and str(machine.governor) == "off"


def test_switched_off_and_on_the_pace_is_what_was_set() -> None:
    machine = Machine()
    machine.run(40.0)
    machine.governor.on = False
    assert ruling(machine.pace) == (2.0, 1, 20.0)
    machine.pace.budget_ms = 1.0  # by hand
    machine.run(40.0)
    assert machine.pace.budget_ms == 1.0
    machine.governor.on = True
    assert ruling(machine.pace) == (2.0, 1, 20.0)


def test_it_says_what_it_does() -> None:
    machine = Machine()
    assert str(machine.governor) == "every tick, 2 ms, 20/s: frames 0.0 ms"
    machine.run(2.0)
    assert str(machine.governor) == "every tick, 2 ms, 20/s: frames 13.1 ms"
    machine.run(6.0)
    assert str(machine.governor) == "every 2 ticks, 2 ms, 20/s: frames 12.6 ms"
    machine.run(40.0)
    assert str(machine.governor) == "every 4 ticks, 0.5 ms, 2/s: frames 42.8 ms"
    assert machine.governor.decisions[1].reason == "2 of 3 frames late; the last took 17.1 ms of 16.7"


@pytest.mark.parametrize(("name", "value"), [("budget_ms", -1), ("every", 0), ("requests_per_second", float("nan"))])
def test_a_pace_that_cannot_be_is_refused_and_changes_nothing(name: str, value: float) -> None:
    pace = Pace()
    with pytest.raises(SettingsError, match=rf"pace\.{name}={value}"):
        setattr(pace, name, value)
    assert pace == Pace()


# In a simulation


def world() -> Domain:
    """Cows that look at each other and walk to and fro: moods change by what they see."""
    domain = Domain("yard", ["cow"], size=(60, 60))
    domain.column("mood")
    domain.percept("friend", nearest="cow", radius=20)
    domain.percept("friends", count="cow", radius=10, cap=8)
    domain.feature("company", column="friends", edges=[1, 3], words=["alone", "two", "many"], interrupt=True)
    domain.feature("near", column="friend_distance", edges=[2, 6], words=["here", "near", "far"])
    domain.place("barn", 30, 30)
    domain.stock("approach", name="go", targets=["barn", "friend"], speed=3, seconds=2)
    domain.stock("flee", targets=["friend"], speed=4, seconds=1)
    domain.stock("patrol", targets=["home", "barn"], speed=5, radius=25, seconds=2)
    domain.heuristic("cow")(lambda s: ["flee friend", "patrol home"] if s.company else ["go barn", "go friend"])
    return domain


def play(sim: Simulation, stand_in: Any, work_ms: Callable[[int], float] | None) -> list[Any]:
    """400 ticks; everything that could differ: columns, and who was asked in which tick."""
    sim.planner.gateway = stand_in
    rng = np.random.default_rng(5)
    sim.spawn_many("cow", 200, x=rng.uniform(0, 60, 200), y=rng.uniform(0, 60, 200))
    asked: list[tuple[int, int, int]] = []
    for tick in range(400):
        sim.tick(1 / 60)
        for request in list(stand_in.asked):
            asked.append((tick, *stand_in.asked[request]))
            stand_in.answer(sim, request, f"{'go barn' if asked[-1][2] % 2 else 'flee friend'} 2")
        if work_ms is not None:
            sim.governor.frame(work_ms(tick))
    n = sim.agents.count
    return [sim.agents.f[:, :n].copy(), sim.agents.r[:, :n].copy(), sim.agents.plan[:n].copy(), asked]


def test_a_replay_of_its_decisions_gives_the_same_world(
    simulate: Simulate, stand_in: Any, tmp_path: Path
) -> None:
    def heavy_at_times(tick: int) -> float:
        return 30.0 if 50 <= tick < 60 else 40.0 if tick == 380 else 4.0

    chosen = {"budget_units": 3, "requests_per_second": 50.0, "strict": False}
    first = simulate(world(), settings={**chosen, "governor": True})
    state = play(first, stand_in, heavy_at_times)
    made = list(first.governor.decisions)
    assert {decision.every for decision in made} == {1, 2, 4} and len(made) > 6
    write_decisions(made, tmp_path / "decisions.jsonl")
    first.close()

    again = simulate(world(), settings=chosen, world="again")
    again.governor.follow(read_decisions(tmp_path / "decisions.jsonl"))
    replayed = play(again, type(stand_in)(), lambda tick: 500.0)  # whatever its frames take
    assert list(again.governor.decisions) == made
    for one, other in zip(state[:3], replayed[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    assert state[3] == replayed[3] and state[3]
    again.close()

    free = simulate(world(), settings=chosen, world="free")
    assert not np.array_equal(state[0], play(free, type(stand_in)(), None)[0]), "the decisions made a difference"


def test_a_game_that_tells_no_frames_is_governed_by_its_ticks(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += takes_s
        return now_s

    monkeypatch.setattr("astrasim.simulation.perf_counter", clock)
    monkeypatch.setattr("astrasim.systems.perception.perf_counter", clock)
    sim = simulate(world(), settings={"governor": True})
    sim.spawn("cow")
    takes_s = 0.1
    for _ in range(3):
        sim.tick()
    assert sim.pace.every > 1
    sim.governor.frame(3.0)
    fewer = len(sim.governor.decisions)
    for _ in range(3):
        sim.tick()
    assert len(sim.governor.decisions) == fewer, "it has been told a frame, and goes by frames from then on"


def test_run_frames_tells_what_each_frame_took() -> None:
    told: list[Frame] = []
    times = run_frames(lambda frame: frame < 4, None, after=told.append)
    assert [frame.work_ms for frame in told] == times.work_ms.tolist()


@settings(max_examples=30)
@given(changes=st.lists(st.tuples(st.integers(1, 6), st.integers(6, 12)), max_size=6))
def test_when_the_interval_changes_nobody_waits_for_long(changes: list[tuple[int, int]]) -> None:
    """At most the old interval and the new one, where the old had its time."""
    with Simulation(world(), Settings(model="none", warmup=False, capacity=64), world="turns") as sim:
        sim.spawn_many("cow", 60)
        looked, before = np.zeros(60, np.int64), 1
        for every, ticks in changes:
            sim.pace.every = every
            for _ in range(ticks):
                sim.tick()
                looked[sim.looking] = sim.ticks
                assert (sim.ticks - looked).max() < before + every
            assert (sim.ticks - looked).max() < every
            before = every


# Records


def test_a_record_can_be_read_again(tmp_path: Path) -> None:
    machine = Machine()
    machine.run(40.0)
    machine.run(1.0)
    write_decisions(machine.governor.decisions, tmp_path / "d.jsonl")
    assert read_decisions(tmp_path / "d.jsonl") == list(machine.governor.decisions)
    (tmp_path / "none.jsonl").write_text("\n")
    assert read_decisions(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("junk", "line 2: line: Invalid JSON"),
        ('{"tick": 1}', "line 2: budget_ms: Field required; each line needs tick, budget_ms, every"),
        ('{"tick": 9, "budget_ms": NaN, "every": 1, "requests_per_second": 1}', "line 2: budget_ms: "),
        ('{"tick": 9, "budget_ms": 1, "every": 0, "requests_per_second": 1}', "line 2: every: "),
        ('{"tick": 2, "budget_ms": 1, "every": 1, "requests_per_second": 1}', "of tick 2 comes after tick 3"),
        ("\xff", "line 2: line: "),
    ],
)
def test_a_record_that_cannot_be_is_refused_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "d.jsonl"
    good = '{"tick": 3, "budget_ms": 1, "every": 1, "requests_per_second": 1, "reason": "so"}'
    file.write_text(f"{good}\n{line}\n", encoding="latin-1")
    with pytest.raises(SettingsError, match=says):
        read_decisions(file)


def test_a_record_is_followed_from_before_its_first_tick_only(simulate: Simulate) -> None:
    sim = simulate(world(), settings={"every": 2})
    for _ in range(5):
        sim.tick()
    with pytest.raises(SettingsError, match="tick 5 comes after tick 5, which is over already"):
        sim.governor.follow([PaceDecision(5, 1.0, 4, 1.0)])
    with pytest.raises(SettingsError, match="tick 6 comes after tick 7"):
        sim.governor.follow([PaceDecision(7, 1.0, 4, 1.0), PaceDecision(6, 1.0, 4, 1.0)])
    assert sim.pace.every == 2 and not sim.governor.on
    sim.governor.follow([PaceDecision(6, 1.0, 3, 1.0), PaceDecision(8, 1.0, 4, 1.0)])
    assert str(sim.governor) == "follows a record; the next decision is for tick 6"
    followed = []
    for _ in range(4):
        sim.tick()
        followed.append(sim.pace.every)
    assert followed == [3, 3, 4, 4]
