"""What a small game costs: 20 agents whose features, actions and heuristics are all plain Python over handles.

    python -m astrasim.perf.small_game

prints milliseconds a tick (paced at 60 Hz, no model) and the seconds from starting Python to the first tick's end.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time

from astrasim import Agent, Domain, Settings, Simulation, Situation, Status, run_frames

AGENTS = 20
FIRST_TICK = "first tick done"


def make_game() -> Domain:
    """Guards walk their round, thieves sneak to the vault; everybody gets tired."""
    game = Domain("museum", ["guard", "thief"], size=(60, 60))
    game.percept("thief_seen", nearest="thief", seen_by="guard", radius=15)
    game.percept("guard_seen", nearest="guard", seen_by="thief", radius=15)
    game.place("vault", x=30, y=30)

    @game.feature(edges=[4, 15], words=["within reach", "close", "nobody there"], interrupt=True)
    def danger(me: Agent) -> float:
        other = me.thief_seen if me.kind == "guard" else me.guard_seen
        return me.distance_to(other) if other else 99.0

    @game.feature(edges=[30, 70], words=["tired", "fit", "fresh"])
    def vigour(me: Agent) -> float:
        return float(me.stamina)

    @game.feature(edges=[5, 20], words=["at the vault", "near the vault", "far from the vault"])
    def vault_distance(me: Agent) -> float:
        return math.hypot(me.x - 30, me.y - 30)

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


def play(frames: int) -> str:
    """Run the game for so many frames and say what a tick cost."""
    with Simulation(make_game(), Settings(model="none")) as sim:
        for kind in ("guard", "thief"):
            for _ in range(AGENTS // 2):
                sim.spawn(kind, x=sim.rng.uniform(0, 60), y=sim.rng.uniform(0, 60))
        sim.tick()
        print(FIRST_TICK, flush=True)
        return str(run_frames(lambda _: sim.tick(), frames)) if frames else ""


def start_up_s(runs: int) -> list[float]:
    """Seconds from starting a Python process to the end of its first tick, once a run."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "astrasim.perf.small_game", "--frames", "0"], stdout=subprocess.PIPE, text=True
        )
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
    frames: int = parser.parse_args().frames
    result = play(frames)
    if frames:
        print(f"{AGENTS} agents in plain Python: {result}")
        taken = sorted(start_up_s(3))
        print(f"start-up, three runs: {', '.join(f'{t:.2f}' for t in taken)} s")


if __name__ == "__main__":
    main()
