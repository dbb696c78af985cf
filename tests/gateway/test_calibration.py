"""Calibrations on disk, their arithmetic, and the lane in which they are made."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from astrasim.gateway.calibration import SITUATIONS, Basis, CalibrationStore, Tally, by_action, situations
from astrasim.gateway.lane import Lane
from astrasim.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tests.gateway.conftest import Meadow

BASIS = Basis("weights", ("one", "two", "three"), ("flee threat", "rest home"))
WHOLE = {"flee": -1.0, "rest": -2.0}


def test_an_actions_probability_is_that_of_all_its_steps() -> None:
    found = by_action({"rest home": math.log(0.25), "rest pasture": math.log(0.25), "flee threat": math.log(0.5)})
    assert math.isclose(found["rest"], found["flee"])


def test_an_actions_probability_is_never_above_one() -> None:
    logs = by_action({f"rest place{i}": math.log(0.1000001) for i in range(10)})
    assert logs == {"rest": 0.0}


def test_a_tally_is_the_mean_so_far_and_goes_on_from_what_was_kept() -> None:
    tally = Tally()
    tally.add({"rest home": -1.0, "flee threat": -2.0})
    tally.add({"rest home": -3.0, "flee threat": -2.0})
    assert tally.mean() == pytest.approx({"rest": -2.0, "flee": -2.0})
    again = Tally(tally.done, tally.mean())
    again.add({"rest home": -5.0, "flee threat": -2.0})
    assert again.done == 3 and again.mean() == pytest.approx({"rest": -3.0, "flee": -2.0})


def test_what_a_calibration_depends_on_gives_it_another_name() -> None:
    basis = Basis("weights", ("one", "two"), ("flee threat",))
    others = [basis._replace(weights="w"), basis._replace(prompts=("one",)), basis._replace(lines=("rest home",))]
    assert len({each.digest() for each in [basis, *others, basis]}) == 4


def test_a_part_is_kept_until_there_is_all_of_it(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    assert store.load(BASIS).done == 0
    store.save(BASIS, Tally(2, WHOLE), "test")
    assert (store.load(BASIS).done, store.load(BASIS).mean()) == (2, WHOLE)
    store.save(BASIS, Tally(3, WHOLE), "test")
    assert (store.load(BASIS).done, store.load(BASIS).mean()) == (3, WHOLE)
    assert [file.name for file in tmp_path.iterdir()] == [f"{BASIS.digest()}.json"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "\0\xff",
        '{"bias": []}',
        '{"bias": {"flee": -1}, "done": 2}',
        '{"bias": {"flee": -1, "rest": NaN}, "done": 2}',
        '{"bias": {"flee": -1, "rest": -Infinity}, "done": 2}',
        '{"bias": {"flee": -1, "rest": 0.1}, "done": 2}',
        '{"bias": {"flee": -1, "rest": -71}, "done": 2}',
        '{"bias": {"flee": -1, "rest": true}, "done": 2}',
        '{"bias": {"flee": -1, "rest": "-1"}, "done": 2}',
        f'{{"bias": {{"flee": -1, "rest": -1{"0" * 400}}}, "done": 2}}',
        f'{{"bias": {{"flee": -1, "rest": -1{"0" * 5000}}}, "done": 2}}',
        "[" * 100_000,
        '{"bias": ' * 100_000,
    ],
    ids=range(16),
)
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, damage: str) -> None:
    store = CalibrationStore(tmp_path)
    for done in (2, 3):
        store.save(BASIS, Tally(done, WHOLE), "test")
        (file,) = tmp_path.iterdir()
        file.write_text(damage, encoding="latin-1")
        assert store.load(BASIS).done == 0
        store.save(BASIS, Tally(done, WHOLE), "test")
        assert store.load(BASIS).done == done
        assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("done", [0, -1, 4, 1.5, True, "2", None, 10**400])
def test_a_part_that_cannot_be_one_counts_as_none(tmp_path: Path, done: object) -> None:
    (tmp_path / f"{BASIS.digest()}.part.json").write_text(json.dumps({"bias": WHOLE, "done": done}))
    assert CalibrationStore(tmp_path).load(BASIS).done == 0


def test_a_small_key_space_is_calibrated_over_all_of_it_and_a_large_one_over_some(meadow: Meadow) -> None:
    assert situations(meadow.vocabulary, meadow.scope()) == list(range(6))
    feature = meadow.vocabulary.features[0]
    many = meadow.vocabulary.model_copy(
        update={"features": tuple(feature.model_copy(update={"name": f"f{i}"}) for i in range(6))}
    )
    many = Vocabulary(**many.model_dump())
    assert len(set(situations(many, meadow.scope()))) == SITUATIONS
    assert situations(many, meadow.scope()) == situations(many, meadow.scope())


def test_requests_and_background_work_take_turns() -> None:
    done: list[str] = []

    def work() -> Iterator[None]:
        for _ in range(2):
            done.append("w")
            yield

    async def play() -> None:
        lane, ready = Lane("test"), threading.Event()

        async def ask(what: str) -> None:
            await lane.run(lambda given_up: done.append(what))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lane.run, lambda given_up: ready.wait(20))
            await anyio.sleep(0.02)
            lane.in_background(work())
            for _ in range(20):  # somebody always waits
                tasks.start_soon(ask, "r")
            await anyio.sleep(0.02)
            ready.set()

    anyio.run(play)
    assert "".join(done) == "wrwr" + "r" * 18


def test_background_work_that_raises_does_not_end_the_lane(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[None]:
        yield
        raise ValueError("oh no")

    async def play() -> int:
        lane = Lane("test")
        lane.in_background(work())
        await anyio.sleep(0.02)
        return await lane.run(lambda given_up: 42)

    assert anyio.run(play) == 42
    assert "oh no" in capfd.readouterr().err


def test_work_that_is_dropped_does_not_begin_again() -> None:
    done: list[str] = []

    def work(name: str) -> Iterator[None]:
        for _ in range(3):
            done.append(name)
            yield

    async def play() -> None:
        lane, ready = Lane("test"), threading.Event()
        works = {name: work(name) for name in "abc"}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lane.run, lambda given_up: ready.wait(20))
            await anyio.sleep(0.02)
            for each in works.values():
                lane.in_background(each)
            assert len(lane._background) == 3
            lane.drop(works["b"])
            lane.drop(works["b"])
            assert len(lane._background) == 2
            ready.set()
        with anyio.fail_after(20):
            while len(lane._background):
                await anyio.sleep(0.002)

    anyio.run(play)
    assert "".join(done) == "aaaccc"
