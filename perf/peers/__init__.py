"""The arena in other frameworks, one file each, for astrasim.perf.compare; fight.py says what they all do."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import NamedTuple

from .fight import Peer

EXTRA = 'pip install -c constraints.txt -e ".[peers]"'
FRAMES = f"{EXTRA}, then pip install --no-deps mesa-frames==0.1.0a0"


class Contestant(NamedTuple):
    """One way to run the arena: ``module.maker`` is a :class:`Peer`."""

    name: str
    distribution: str
    module: str
    maker: str
    how: str
    install: str = EXTRA

    def load(self) -> type[Peer]:
        """The class. Raises ImportError where a package is missing or does not fit the others."""
        found: type[Peer] = getattr(importlib.import_module(f".{self.module}", __name__), self.maker)
        return found

    def version(self) -> str:
        return version(self.distribution)


OURS = Contestant(
    "AstraSim", "astrasim", "astrasim_arena", "AstraSimArena",
    "the whole arena through the public domain, each agent perceiving in each tick, no model",
)  # fmt: skip
PEERS = (
    Contestant("esper", "esper", "esper_plain", "EsperPlain", "components and processors, cells in a dictionary"),
    Contestant("esper, tuned", "esper", "esper_tuned", "EsperTuned", "one component, SciPy's KD-tree"),
    Contestant("Mesa", "mesa", "mesa_plain", "MesaPlain", "ContinuousSpace, get_neighbors_in_radius, AgentSet.do"),
    Contestant("Mesa, tuned", "mesa", "mesa_tuned", "MesaTuned", "SciPy's KD-tree, positions in one array"),
    Contestant(
        "mesa-frames", "mesa-frames", "mesa_frames_plain", "MesaFramesPlain",
        "polars expressions, cells joined; polars uses all cores", FRAMES,
    ),
    Contestant(
        "mesa-frames, tuned", "mesa-frames", "mesa_frames_tuned", "MesaFramesTuned",
        "polars expressions, SciPy's KD-tree; polars uses all cores", FRAMES,
    ),
)  # fmt: skip
