"""Loads every kernel before the first frame. The first time on a machine that compiles them, and says so."""

from __future__ import annotations

import functools
import sys
import threading

import numpy as np

from .domain import Domain
from .handing import Turn
from .membership import inside
from .settings import Settings
from .tiers import TIERS

NOTICE_AFTER_S = 2.0
"""Loading compiled ones takes 0.5 s, and 1.2 on busy cores: a sweep of forty processes must not say so forty times."""
WORLD = "astrasim warm-up"


@functools.cache
def warm_up() -> None:
    """Run a few ticks of a small world that uses every kernel; once a process.

    Kernels have one signature whatever the domain, so what this loads serves every simulation.
    """
    notice = threading.Timer(NOTICE_AFTER_S, _notice)
    notice.start()
    try:
        with inside(WORLD, throw_away=True):
            _run()
    finally:
        notice.cancel()


def _notice() -> None:
    said = "loading its kernels; the first time on a machine they are compiled (10 to 60 s) ..."
    print(f"astrasim: {said}", file=sys.stderr, flush=True)


def _run() -> None:
    from .simulation import Simulation  # here, because a simulation warms up when it is made

    domain = Domain("warmup", ["a", "b"], size=(10, 10))
    domain.thing("pack", amount=1)
    domain.percept("foe", nearest="b", seen_by="a", radius=5, line_of_sight=True)
    domain.percept("pack_near", nearest="pack", radius=5)
    domain.feature("danger", column="foe_distance", edges=[2], words=["near", "far"], interrupt=True)
    domain.stock("attack", targets=["foe"], damage=1, range=3)

    settings = Settings(
        model="none", warmup=False, capacity=8, cache_entries=64, budget_ms=1000,
        # The defaults, lest the environment says otherwise and some kernel has nothing to do.
        budget_units=None, every=1, tick_s=1 / 60, governor=False, tiers=TIERS,
    )  # fmt: skip
    with Simulation(domain, settings) as sim:
        agents = [*sim.spawn_many("a", 3, x=1), *sim.spawn_many("b", 3, x=2)]
        sim.add_thing("pack", 1, 1)
        for _ in range(3):
            sim.tick()
        sim.remove(agents[0])
        sim.shared_from = 0  # as a large world
        sim.tick()
        sim.pace.every = 2
        sim.tick()
        sim.pace.every = 1
        sim.why(agents[1])
        sim.set_tier(agents[1], "hero")
        sim.planner.cache.raise_tier(np.zeros(1, np.int32), 1, 0)
        sim.planner.waits.count(turn := Turn(sim.columns(), sim.thing_columns(), sim.agents.count, 0.0), False, 0)
        sim.planner.cache.put_back(0)
        sim.planner.cache.pick(0)
        sim.planner.cache.due_looks(0, 1, 1)
        sim.planner.cache.tend(0)
        sim.planner.hand_out_all([(0, 0)], sim.columns(), sim.thing_columns(), sim.agents.count)
        sim.planner.choices.options(turn, 0)
        sim.planner.asking.unwanted.walk(turn, 0, turn.rows)
        sim.planner.cache.crowd_out(0, most=0)
        sim.planner.recalling.vectors(np.zeros(1, np.int32), turn)
        sim.planner.cache.find_all([(0, 0)])
        sim.planner.plans.look_through()
        sim.planner.plans.keep(turn.agents.plan)
