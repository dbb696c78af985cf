"""A game of the user's own as a workload: what can be wrong with it is said in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from astrasim import Settings, SettingsError
from astrasim.perf.apart import measure_apart
from astrasim.perf.stress import Run, measure
from astrasim.perf.workloads import build

GAME = """
from astrasim.perf.arena import build_arena
def make(agents, settings):
    return build_arena(agents, settings)
def forgets(agents, settings):
    build_arena(agents, settings).close()
def raises(agents, settings):
    raise KeyError("sword")
def refuses(agents, settings):
    return build_arena(agents, settings.model_copy(update={"model": "gpt"}))
SIZE = 7
"""


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_game.py").write_text(GAME)
    (tmp_path / "broken_game.py").write_text("import no_such_thing\n")
    (tmp_path / "odd_game.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("own_game", "broken_game", "odd_game"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("in_a_folder")
def test_a_game_of_this_folder_is_measured_and_its_plans_ages_are_told() -> None:
    figures = measure_apart(Run(30, frames=60, model="none", workload="own_game:make", warm_up=60))
    assert figures is not None and figures["agents"] == 30 and figures["workload"] == "own_game:make"
    assert figures["plans"]["age_s"] is None  # nobody asked a model
    assert 0 <= figures["plans"]["wait_s"] < 1


@pytest.mark.usefixtures("in_a_folder")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chess", "no workload 'chess'; there are: arena, herd; or a game of your own: write module:factory"),
        ("own_game:", "no workload 'own_game:'"),
        ("no_game:make", "no_game:make: cannot import no_game .*; write module:factory"),
        ("broken_game:make", "cannot import broken_game .*no_such_thing"),
        ("odd_game:make", "importing odd_game raised ZeroDivisionError: .*odd_game.py, line 1"),
        ("own_game:mak", "own_game has no 'mak'; it has: build_arena, make, forgets, raises, refuses"),
        ("own_game:SIZE", "own_game:SIZE is a int, not a function"),
        ("own_game:forgets", "own_game:forgets returned None, not a Simulation"),
        ("own_game:raises", "own_game:raises.3, settings. raised KeyError: 'sword' .*own_game.py, line 8"),
        ("own_game:refuses", "no model 'gpt'"),
    ],
)
def test_what_is_wrong_with_a_game_is_said(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        build(name, 3, Settings(model="none"))


@pytest.mark.usefixtures("in_a_folder")
def test_a_cache_file_of_the_game_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRASIM_CACHE_FILE", str(tmp_path / "plans.sqlite"))
    measure(Run(10, frames=5, model="stub", warm_up=5))
    assert not (tmp_path / "plans.sqlite").exists()
