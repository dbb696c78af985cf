"""The arena in mesa-frames, tuned: a KD-tree looks, in the place of the join."""

from __future__ import annotations

import polars as pl

from .kdtree import look
from .mesa_frames_plain import Fighters, MesaFramesPlain


class TreeFighters(Fighters):
    def look(self) -> None:
        positions = self.agents.select("x", "y").to_numpy()
        seen = look(positions, self.fight.reds, self.fight.radius)
        self.agents = self.agents.with_columns(**{name: pl.Series(column) for name, column in seen._asdict().items()})


class MesaFramesTuned(MesaFramesPlain):
    fighters = TreeFighters
