"""What a small game costs: 20 or 200 agents whose features, actions and heuristics are all plain Python over handles.

    python -m astrasim.perf.small_game [--agents 20 200]

prints milliseconds a tick (paced at 60 Hz, no model), the memory of the whole process, and the seconds from starting
Python to the first tick's end. A larger game has more room: it is no denser.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time

import psutil

from astrasim import Agent, Domain, Settings, Simulation, Situation, Status, run_frames

AGENTS = (20, 200)
FIRST_TICK = "first tick done"


def side_of(agents: int) -> float:
    """The side of the museum: 60 for 20 agents, and as much room for each whatever their number."""
    return 60 * math.sqrt(agents / 20)


def make_game(side: float = 60) -> Domain:
    """Guards walk their round, thieves sneak to the vault; everybody gets tired."""
    game = Domain("museum", ["guard", "thief"], size=(side, side))
    middle = side / 2
    game.percept("thief_seen", nearest="thief", seen_by="guard", radius=15)
    game.percept("guard_seen", nearest="guard", seen_by="thief", radius=15)
    game.place("vault", x=middle, y=middle)

    @game.feature(edges=[4, 15], words=["within reach", "close", "nobody there"], interrupt=True)
    def danger(me: Agent) -> float:
        other = me.thief_seen if me.kind == "guard" else me.guard_seen
        return me.distance_to(other) if other else 99.0

    @game.feature(edges=[30, 70], words=["tired", "fit", "fresh"])
    def vigour(me: Agent) -> float:
        return float(me.stamina)

    @game.feature(edges=[5, 20], words=["at the vault", "near the vault", "far from the vault"])
    def vault_distance(me: Agent) -> float:
        return math.hypot(me.x - middle, me.y - middle)

    @game.action(targets=["vault", "home"], seconds=4)
    def walk(me: Agent, target: Agent, dt: float) -> Status:
        me.steer_to(target, speed=3)
        me.stamina = max(0.0, me.stamina - 2 * dt)
        return Status.DONE if me.distance_to(target) < 1 else Status.RUNNING

    @game.action(targets=["thief_seen"], kinds="guard", seconds=3)
    def catch(me: Agent, target: Agent, dt: float) -> Status:
        me.steer_to(target, speed=4)
        return Status.RUNNING

    @game.action(targets=["guard_seen"], kinds="thief", seconds=2)
    def sneak_off(me: Agent, target: Agent, dt: float) -> Status:
        me.steer_away(target, speed=3.5)
        return Status.RUNNING

    @game.action(targets=["self"], seconds=3)
    def breathe(me: Agent, target: Agent, dt: float) -> Status:
        me.stop()
        me.stamina = min(100.0, me.stamina + 20 * dt)
        return Status.RUNNING

    @game.heuristic("guard")
    def guard_sense(s: Situation) -> list[str]:
        return ["catch thief_seen", "walk home"] if s.danger < 2 else ["walk vault", "breathe self", "walk home"]

    @game.heuristic("thief")
    def thief_sense(s: Situation) -> list[str]:
        return ["sneak_off guard_seen"] if s.danger < 2 else ["walk vault", "breathe self"]

    return game


def play(agents: int, frames: int) -> str:
    """Run the game for so many frames and say what a tick cost, and how much memory the process has."""
    side = side_of(agents)
    with Simulation(make_game(side), Settings(model="none")) as sim:
        for kind in ("guard", "thief"):
            for _ in range(agents // 2):
                sim.spawn(kind, x=sim.rng.uniform(0, side), y=sim.rng.uniform(0, side))
        sim.tick()
        print(FIRST_TICK, flush=True)
        times = run_frames(lambda _: sim.tick(), frames)
    return f"{times}, {psutil.Process().memory_info().rss / 2**20:.0f} MB"


def start_up_s(agents: int, runs: int) -> list[float]:
    """Seconds from starting a Python process to the end of its first tick, once a run."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "astrasim.perf.small_game", "--agents", str(agents), "--frames", "0"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                if FIRST_TICK in line:
                    taken.append(time.perf_counter() - begun)
        child.wait()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1800, help="frames to measure; 0: only start up (default: 1800)")
    parser.add_argument("--agents", type=int, nargs="+", default=AGENTS, help="how many (default: 20 200)")
    arguments = parser.parse_args()
    for agents in arguments.agents:
        result = play(agents, arguments.frames)
        if arguments.frames:
            print(f"{agents} agents in plain Python: {result}")
            taken = sorted(start_up_s(agents, 3))
            print(f"start-up, three runs: {', '.join(f'{t:.2f}' for t in taken)} s")


if __name__ == "__main__":
    main()
