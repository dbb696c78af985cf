"""How the tests play the companion demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from astrasim.demos.companion.app import Options, Outcome, run_demo
from astrasim.demos.companion.view import View


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Outcome]:
    """Plays a script as fast as it goes, until its time or the game is over; then ``look`` is shown the view, and what
    is in ``at`` is shown it at these seconds of the game."""

    def run(
        script: str, seconds: float, look: Callable[[View], None] | None = None, *, to_the_end: bool = False,
        at: Mapping[float, Callable[[View], None]] | None = None, **options: object,
    ) -> Outcome:  # fmt: skip
        keys, last = tmp_path / "keys.txt", round(seconds * 60) - 1
        keys.write_text(script, encoding="utf-8")
        looks = {round(second * 60): shown for second, shown in (at or {}).items()}

        def watch(view: View, frame: int) -> None:
            if frame in looks:
                looks[frame](view)
            view.quit = view.quit or (view.game.state != "playing" and not to_the_end)
            if look is not None and (frame == last or view.quit):
                look(view)

        chosen = {"headless": True, "paced": False, "model": "none", **options}
        return run_demo(Options(seconds=seconds, keys=keys, watch=watch, **chosen))  # type: ignore[arg-type]  # options by name

    return run
