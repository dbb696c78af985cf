from astrasim import Domain, Settings, Simulation, Status, run_frames

meadow = Domain("meadow", kinds=["sheep", "wolf"], size=(100, 100))
meadow.percept("threat", nearest="wolf", seen_by="sheep", radius=30)  # me.threat, me.threat_distance
meadow.percept("prey", nearest="sheep", seen_by="wolf", radius=40)
meadow.place("pasture", x=50, y=50)
meadow.feature("danger", column="threat_distance", edges=[6, 15], interrupt=True,
               words=["a wolf is upon you", "a wolf is near", "no wolf in sight"])
meadow.feature("hunger", column="prey_distance", edges=[10, 41],
               words=["prey is close", "prey is in sight", "no prey in sight"])

@meadow.feature(edges=[0.4], words=["you are tired", "you are rested"])
def vigour(me):
    return me.stamina / 100

@meadow.action(kinds="sheep", targets=["threat"], seconds=2, about="run away")
def flee(me, target, dt):
    me.steer_away(target, speed=6)
    me.stamina = max(0, me.stamina - 12 * dt)
    return Status.RUNNING

meadow.stock("patrol", name="graze", kinds="sheep", targets=["pasture"], speed=1.5, radius=30, about="eat grass")
meadow.stock("rest", targets=["self", "home"], rate=15, about="lie down and get new strength")
meadow.stock("follow", name="chase", kinds="wolf", targets=["prey"], speed=7, near=1, stamina_rate=12, about="hunt it")
meadow.stock("patrol", name="prowl", kinds="wolf", targets=["home"], speed=3, radius=30, about="look for prey")

@meadow.heuristic("sheep")
def sheep_sense(situation):
    return "flee threat" if situation.danger == 0 else ["graze pasture", "rest self"]

@meadow.heuristic("wolf")
def wolf_sense(situation):
    return ["chase prey", "rest self"] if situation.vigour == 1 else ["rest self", "prowl home"]

if __name__ == "__main__":
    with Simulation(meadow, Settings(budget_ms=2.0)) as sim:
        sim.spawn_many("sheep", 17, x=sim.rng.uniform(0, 100, 17), y=sim.rng.uniform(0, 100, 17))
        wolves = sim.spawn_many("wolf", 3, x=[5, 50, 95], y=[5, 95, 5], tier="boss")
        print(run_frames(lambda frame: sim.tick(), 600))  # 10 s at 60 FPS
        print(sim.why(wolves[0]))
