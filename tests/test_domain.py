"""Declaring a game: what is wrong raises at the line that says it, and names are only names."""

from __future__ import annotations

import contextlib
import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrasim import Agent, Domain, DomainError, Rows, Settings, Simulation, Situation, Status, kernels

Simulate = Callable[..., Simulation]


def make_meadow() -> Domain:
    meadow = Domain("meadow", ["sheep", "wolf"])
    meadow.thing("clover", amount=3)
    meadow.relation("fears", [("sheep", "wolf")])
    meadow.percept("threat", nearest="wolf", seen_by="sheep", radius=30)
    meadow.percept("food", nearest="clover", seen_by="sheep", radius=30)
    meadow.feature("hunger", column="stamina", edges=[50], words=["hungry", "full"])
    return meadow


def run(me: Agent, target: Any, dt: float) -> Status:
    return Status.DONE


async def dream(me: Agent, target: Any, dt: float) -> Status:
    return Status.DONE


class Dance:
    def update(self, me: Agent, target: Any, dt: float) -> Status:
        return Status.DONE


class Statue:
    pass


class Choosy:
    def __init__(self, tune: str) -> None:
        self.tune = tune

    update = Dance.update


class Forgetful:
    def update(self, me: Agent, target: Any) -> Status:
        return Status.DONE


WORDS = ["low", "high"]

# What is wrong is often of a wrong type as well.
D: Any = Domain

MISTAKES: dict[str, tuple[Callable[[Any], object], str]] = {
    # names
    "a name with a space": (lambda m: m.place("the bridge", 1, 2), "place 'the bridge': a name is a letter"),
    "a keyword": (lambda m: m.column("class"), "column 'class': a name is .* no Python keyword"),
    "a name that is no string": (lambda m: m.thing(3), "thing 3: a name is"),
    "an endless name": (lambda m: m.column("x" * 41), "up to 39 letters"),
    "a lambda as feature": (lambda m: m.feature(edges=[1], words=WORDS)(lambda me: 1), "feature '<lambda>': a name is"),
    "a column twice": (lambda m: [m.column("wool"), m.column("wool")], "the column 'wool', taken by column 'wool'"),
    "a column that all have": (lambda m: m.column("hp"), "the column 'hp', taken by every agent; choose another"),
    "a column named like a handle's method": (lambda m: m.column("stop"), "'stop', taken by an attribute that every"),
    "a column named like the planner's": (lambda m: m.column("plan"), "'plan', taken by an attribute that every"),
    "a thing's column named like a handle's": (lambda m: m.thing("box", alive=1), "'alive', taken by an attribute"),
    "a percept named like a column": (
        lambda m: [m.column("prey_distance"), m.percept("prey", nearest="sheep", radius=9)],
        "percept 'prey' needs the column 'prey_distance', taken by column 'prey_distance'",
    ),
    "a place named like a percept": (lambda m: m.place("threat", 1, 2), "the target 'threat', taken by percept"),
    "a place named home": (lambda m: m.place("home", 1, 2), "the target 'home', taken by every agent"),
    "a thing named like a kind": (lambda m: m.thing("wolf"), "the name 'wolf', taken by kind 'wolf'"),
    "a relation named like a thing": (lambda m: m.relation("clover", [("sheep", "wolf")]), "taken by thing 'clover'"),
    "a feature twice": (
        lambda m: m.feature("hunger", column="hp", edges=[1], words=WORDS), "'hunger', taken by feature 'hunger'",
    ),
    "a feature that hides a situation's own": (
        lambda m: m.feature("order", column="hp", edges=[1], words=WORDS), "'order', taken by every situation",
    ),
    "an action twice": (
        lambda m: [m.stock("flee", targets="threat", speed=1), m.stock("flee", targets="threat", speed=2)],
        "action 'flee' needs the name 'flee', taken by action 'flee'",
    ),
    "an action of every domain": (lambda m: m.stock("wait", targets="self"), "'wait', taken by every domain"),
    "a role twice": (lambda m: [m.role("alpha"), m.role("alpha")], "'alpha', taken by role 'alpha'"),
    "a second heuristic": (
        lambda m: [m.heuristic("wolf")(lambda s: "wait self"), m.heuristic("wolf")(lambda s: "wait self")],
        "'wolf' has a heuristic already",
    ),
    # kinds
    "kinds as a string": (lambda m: D("d", "wolf"), r"kinds='wolf' is one string; write kinds=\['wolf'\]"),
    "no kinds": (lambda m: D("d", []), "kinds is empty"),
    "a kind twice": (lambda m: D("d", ["wolf", "wolf"]), "'wolf' stands there twice"),
    "a kind that is no name": (lambda m: D("d", [3]), "3 is no name"),
    "64 kinds": (lambda m: D("d", [f"k{n}" for n in range(64)]), "at most 63 kinds of agent, not 64"),
    "a kind with a number": (
        lambda m: D("d", {"wolf": 60}),
        "kind 'wolf': 60: write a mapping of columns",
    ),
    "a kind with a word": (
        lambda m: D("d", {"wolf": {"hp": "much"}}),
        "kind 'wolf': hp='much' must be a finite number",
    ),
    "a domain without a name": (lambda m: Domain(" ", ["wolf"]), "name=' ' must be a string of one line"),
    "a ruleset that is no string": (
        lambda m: D("d", ["wolf"], ruleset=2),
        "ruleset=2 must be a string",
    ),
    "a size of one number": (lambda m: D("d", ["wolf"], size=5), r"size=5 must be \(width, height\)"),
    "a size below 0": (lambda m: D("d", ["wolf"], size=(5, -1)), "size=-1 must be a finite number of at least"),
    "endless steps": (lambda m: D("d", ["wolf"], max_seconds=math.inf), "max_seconds=inf must be a finite number"),
    "64 things": (lambda m: [m.thing(f"t{n}") for n in range(64)], "at most 63 kinds of thing"),
    # relations and percepts
    "one pair instead of a list": (lambda m: m.relation("hunts", ("wolf", "sheep")), "write a list of pairs, such as"),
    "a relation as a string": (lambda m: m.relation("hunts", "wolf"), "'wolf': write a list of pairs"),
    "a relation of a kind that is none": (
        lambda m: m.relation("hunts", [("wolf", "shep")]), "no kind or thing 'shep'; did you mean 'sheep'",
    ),
    "a thing that looks": (lambda m: m.relation("hunts", [("clover", "sheep")]), "relation 'hunts': no kind 'clover'"),
    "a relation without pairs": (lambda m: m.relation("hunts", []), "has no pairs, so nobody sees anybody"),
    "a percept of nobody": (lambda m: m.percept("p", nearest="wolff", radius=1), "'wolff'; did you mean 'wolf'"),
    "a percept of nothing": (lambda m: m.percept("p", radius=1), "exactly one of nearest=, weakest= and count=, not 0"),
    "a percept of two sorts": (lambda m: m.percept("p", nearest="wolf", count="wolf", radius=1), "count=, not 2"),
    "a percept of an empty list": (lambda m: m.percept("p", nearest=[], radius=1), "nearest is empty; name at least"),
    "a percept of agents and things": (
        lambda m: m.percept("p", nearest=["wolf", "clover"], radius=1), "mixes agents and things: clover, wolf",
    ),
    "a percept seen by nobody": (lambda m: m.percept("p", nearest="wolf", seen_by="shep", radius=1), "seen_by: no"),
    "a percept seen by those who cannot": (
        lambda m: m.percept("p", nearest="fears", seen_by=["sheep", "wolf"], radius=1), "gives a wolf nobody to see",
    ),
    "a radius of 0": (lambda m: m.percept("p", nearest="wolf", radius=0), "percept 'p': radius=0.* must be a number"),
    "an endless radius": (lambda m: m.percept("p", nearest="wolf", radius=math.inf), "radius=inf must be"),
    "a radius in words": (lambda m: m.percept("p", nearest="wolf", radius="far"), "radius='far' must be"),
    "a cap of a half": (lambda m: m.percept("p", count="wolf", radius=1, cap=2.5), "cap=2.5 must be a whole number"),
    "a cap that float32 cannot count to": (lambda m: m.percept("p", count="wolf", radius=1, cap=2**24), "cap=16777216"),
    "a count by a column": (lambda m: m.percept("p", count="wolf", by="hp", radius=1), "by='hp' is for weakest="),
    "a count with a line of sight": (
        lambda m: m.percept("p", count="wolf", radius=1, line_of_sight=True), "a count has no line of sight",
    ),
    # features
    "an edge that is no list": (lambda m: m.feature("f", column="hp", edges=5, words=WORDS), r"edges=5: write a list"),
    "edges as a string": (lambda m: m.feature("f", column="hp", edges="12", words=WORDS), "edges='12': write a list"),
    "an edge that is no number": (lambda m: m.feature("f", column="hp", edges=["5"], words=WORDS), "edges='5' must be"),
    "an edge that is NaN": (lambda m: m.feature("f", column="hp", edges=[math.nan], words=WORDS), "edges=nan must be"),
    "no edges": (lambda m: m.feature("f", column="hp", edges=[], words=["x"]), "0 edges; a feature has 1 to 254"),
    "falling edges": (lambda m: m.feature("f", column="hp", edges=[5, 3], words=list("abc")), "must rise"),
    "edges that are one in float32": (
        lambda m: m.feature("f", column="hp", edges=[1, 1 + 1e-9], words=list("abc")), "must rise",
    ),
    "too many edges": (
        lambda m: m.feature("f", column="hp", edges=range(255), words=["w"] * 256), "255 edges; a feature has 1 to 254",
    ),
    "words as a string": (lambda m: m.feature("f", column="hp", edges=[1], words="ab"), "words='ab': write a list"),
    "too few words": (lambda m: m.feature("f", column="hp", edges=[1], words=["x"]), "1 edges make 2 buckets, .*got 1"),
    "a word that is no string": (lambda m: m.feature("f", column="hp", edges=[1], words=["x", 1]), "a list of phrases"),
    "a word that says nothing": (lambda m: m.feature("f", column="hp", edges=[1], words=["x", " "]), "phrase ' ' must"),
    "a word of two lines": (lambda m: m.feature("f", column="hp", edges=[1], words=["x", "a\nb"]), "must be one line"),
    "a feature of nobody": (
        lambda m: m.feature("f", column="hp", edges=[1], words=WORDS, kinds=[]), "feature 'f': kinds is empty",
    ),
    "a feature of a kind that is none": (
        lambda m: m.feature("f", column="hp", edges=[1], words=WORDS, kinds="wulf"), "kinds: no kind 'wulf'; did",
    ),
    "hysteresis below 0": (
        lambda m: m.feature("f", column="hp", edges=[1], words=WORDS, hysteresis=-1), "hysteresis=-1.* at least 0",
    ),
    "a column without a name": (
        lambda m: m.feature(column="hp", edges=[1], words=WORDS), r"needs a name: domain.feature\('NAME', column='hp'",
    ),
    "a column and a function": (
        lambda m: m.feature("f", column="hp", edges=[1], words=WORDS)(run), "'f' has a column and a function",
    ),
    "a vectorised column": (
        lambda m: m.feature("f", column="hp", edges=[1], words=WORDS, vectorised=True), "vectorised is for functions",
    ),
    "a feature of three arguments": (
        lambda m: m.feature(edges=[1], words=WORDS)(run), r"feature 'run' is called with \(me\), and \(me: ",
    ),
    # actions
    "a verb that is none": (lambda m: m.stock("fleee", targets="threat"), "no verb 'fleee'; did you mean 'flee'"),
    "a parameter that is none": (
        lambda m: m.stock("attack", targets="threat", damage=1, range=1, ammuntion=1),
        "stock action 'attack': no parameter 'ammuntion'; did you mean 'ammunition'",
    ),
    "a parameter too few": (
        lambda m: m.stock("attack", targets="threat", damage=1),
        r"'attack' needs range: domain.stock\('attack', range=...\)",
    ),
    "a parameter in words": (lambda m: m.stock("flee", targets="threat", speed="fast"), "flee': speed='fast' must be"),
    "a parameter below 0": (lambda m: m.stock("flee", targets="threat", speed=-1), "speed=-1 must be .* at least 0"),
    "a parameter that float32 cannot hold": (lambda m: m.stock("flee", targets="threat", speed=1e39), "speed=1e.39"),
    "no targets": (lambda m: m.action(targets=[])(run), "action 'run' has no targets; .* takes targets='self'"),
    "a target twice": (lambda m: m.action(targets=["threat", "threat"])(run), "'threat' stands there twice"),
    "a target that is no name": (lambda m: m.action(targets=[("threat",)])(run), "is no name; write a name, or a list"),
    "targets as a mapping": (lambda m: m.action(targets={"threat": 1})(run), "write a name, or a list of names"),
    "an action of nobody": (lambda m: m.action(targets="threat", kinds=[])(run), "action 'run': kinds is empty"),
    "an action of a kind that is none": (lambda m: m.stock("flee", targets="threat", kinds="shep", speed=1), "'shep'"),
    "an action that lasts too long": (
        lambda m: m.action(targets="threat", seconds=11)(run), "'run': seconds=11 must be a number from 0.1 to 10",
    ),
    "an action that lasts no time": (lambda m: m.action(targets="threat", seconds=0)(run), "seconds=0 must be"),
    "a range below 0": (lambda m: m.action(targets="threat", range=-1)(run), "range=-1 must be"),
    "a cooldown in words": (lambda m: m.action(targets="threat", cooldown="1s")(run), "cooldown='1s' must be"),
    "needs as a list": (lambda m: m.action(targets="threat", needs=["ammo"])(run), "write a mapping of columns"),
    "a need in words": (lambda m: m.action(targets="threat", needs={"ammo": "some"})(run), "ammo='some' must be"),
    "too many needs": (
        lambda m: m.action(targets="threat", needs=dict.fromkeys(["hp", "x", "y", "vx", "vy"], 1))(run), "at most 4",
    ),
    "an async action": (lambda m: m.action(targets="threat")(dream), "'dream' is async, and a tick cannot wait"),
    "an action of one argument": (
        lambda m: m.action(targets="threat", name="hop")(lambda me: Status.DONE), r"called with \(me, target, dt\)",
    ),
    "an action that is no function": (lambda m: m.action(targets="threat", name="hop")(3), "3 is no function"),
    "a class without update": (lambda m: m.action(targets="threat")(Statue), "class 'Statue' has no method update"),
    "a class that wants arguments": (lambda m: m.action(targets="threat")(Choosy), r"'Choosy' is called with \(\)"),
    "a class whose update takes too little": (lambda m: m.action(targets="threat")(Forgetful), "Forgetful': update is"),
    "a vectorised class": (lambda m: m.action(targets="threat", vectorised=True)(Dance), "one agent's state"),
    "a target function of two arguments": (lambda m: m.target(Forgetful.update), "target 'update' is called with"),
    # roles and heuristics
    "a style that is none": (lambda m: m.role("r", style="tacticl"), "'tacticl'; did you mean 'tactical'"),
    "a role of a kind that is none": (lambda m: m.role("r", kinds=["wulf"]), "role 'r': kinds: no kind 'wulf'"),
    "a role without actions": (lambda m: m.role("r", actions=[]), "role 'r': actions is empty"),
    "a heuristic that is a plan": (lambda m: m.heuristic("wolf")("wait self"), "'wait self' is no function"),
    "a heuristic of no arguments": (lambda m: m.heuristic("wolf")(lambda: "wait self"), r"called with \(situation\)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_raises_at_the_line_that_declares_it(mistake: str) -> None:
    declare, said = MISTAKES[mistake]
    with pytest.raises(DomainError, match=said):
        declare(make_meadow())


def test_a_declaration_that_raised_leaves_nothing_behind() -> None:
    for mistake, (declare, _) in MISTAKES.items():
        meadow = make_meadow()
        with contextlib.suppress(DomainError):
            declare(meadow)
        try:
            meadow.check()
        except DomainError as error:
            pytest.fail(f"{mistake}: {error}")


def test_one_name_will_do_where_a_list_is_meant(simulate: Simulate) -> None:
    def declare(one: Callable[[str], Any]) -> Domain:
        meadow = make_meadow()
        meadow.percept("prey", nearest=one("sheep"), seen_by=one("wolf"), radius=9)
        meadow.stock("flee", targets=one("threat"), kinds=one("sheep"), speed=3)
        meadow.feature("fear", column="threat_distance", kinds=one("sheep"), edges=[3], words=WORDS)
        meadow.role("coward", kinds=one("sheep"), actions=one("flee"), default=one("wait self"))
        return meadow

    one, several = simulate(declare(lambda name: name)), simulate(declare(lambda name: [name]), world="other")
    assert one.compiled.vocabulary == several.compiled.vocabulary
    assert one.compiled.roles == several.compiled.roles
    assert [a.targets for a in one.compiled.vocabulary.actions] == [("self",), ("threat",)]


def test_kinds_have_their_own_values_from_spawning_on(simulate: Simulate) -> None:
    zoo = Domain("zoo", {"mouse": {"hp": 2, "cheese": 7}, "cat": {}})
    zoo.column("cheese", default=1)
    sim = simulate(zoo)
    mouse, cat = sim.spawn("mouse"), sim.spawn("cat", cheese=3)
    assert (mouse.hp, mouse.cheese, cat.hp, cat.cheese) == (2, 7, 100, 3)


def test_features_and_actions_belong_to_those_who_can_have_them(simulate: Simulate) -> None:
    """What a percept makes belongs to who has the percept, if the declaration does not say whose it is."""
    meadow = make_meadow()
    meadow.percept("foe", nearest="fears", radius=9)
    meadow.percept("crowd", count="sheep", seen_by="wolf", radius=9)
    meadow.feature("fear", column="foe_distance", edges=[3], words=WORDS)
    meadow.feature("choice", column="crowd_saturated", edges=[1], words=WORDS)
    meadow.stock("flee", targets=["threat", "foe"], speed=1)
    meadow.stock("hold", targets="home")
    words = simulate(meadow).compiled.vocabulary
    assert {f.name: f.kinds for f in words.features} == {
        "hunger": ("sheep", "wolf"), "fear": ("sheep",), "choice": ("wolf",),
    }  # fmt: skip
    assert {a.name: a.kinds for a in words.actions} == {
        "wait": ("sheep", "wolf"), "flee": ("sheep",), "hold": ("sheep", "wolf"),
    }  # fmt: skip


def test_a_role_without_a_heuristic_does_what_its_style_prefers_and_its_kind_can(simulate: Simulate) -> None:
    meadow = make_meadow()
    meadow.percept("prey", nearest="sheep", seen_by="wolf", radius=30)
    meadow.stock("approach", targets=["threat", "prey"], speed=1)
    meadow.stock("attack", name="bite", kinds="wolf", targets="prey", damage=1, range=1)
    meadow.action(targets="self")(run)
    sim = simulate(meadow)
    scope = sim.situation(sim.spawn("wolf")).scope
    words = sim.compiled.vocabulary
    plan = [(words.actions[a].name, words.targets[t]) for a, t, _ in sim.compiled.style_plan(scope)]
    assert plan == [("bite", "prey"), ("approach", "prey"), ("run", "self"), ("wait", "self")]


# Names are only names


def make_battle(name: Callable[[str], str], actions_in_code: bool) -> Domain:
    """Two teams that fight; ``name`` renames every feature and action."""
    battle = Domain("battle", ["red", "blue"], size=(60, 60))
    battle.relation("enemy", [("red", "blue")], mutual=True)
    battle.percept("foe", nearest="enemy", radius=20)
    battle.percept("foes", count="enemy", radius=20, cap=9)
    battle.percept("friend", weakest=["red", "blue"], radius=15)
    battle.place("flag", 30, 30)
    battle.feature(name("danger"), column="foe_distance", edges=[4, 12], words=["close", "near", "far"], interrupt=True)
    battle.feature(name("odds"), column="foes", edges=[1, 4], words=["none", "few", "many"])
    battle.feature(name("health"), column="hp", edges=[30, 70], words=["bad", "fair", "good"], interrupt=True)

    def rested(me: Agent) -> Any:
        return me.stamina / 100

    def flag_distance(me: Rows) -> Any:
        return np.hypot(me.x - 30, me.y - 30)

    battle.feature(name("rested"), edges=[0.4], words=WORDS)(rested)
    battle.feature(name("flag_distance"), edges=[8], words=WORDS, vectorised=True)(flag_distance)
    battle.stock("attack", name=name("strike"), targets="foe", damage=7, range=6, speed=3, cooldown=0.4)
    battle.stock("approach", name=name("charge"), targets=["foe", "flag"], speed=5, stamina_rate=4)
    battle.stock("patrol", name=name("roam"), targets=["flag", "home"], speed=3, radius=12, seconds=1.5)
    battle.stock("rest", name=name("doze"), targets="self", rate=20)

    def flee(me: Agent, target: Any, dt: float) -> Status:
        me.steer_away(target, speed=6)
        return Status.RUNNING

    if actions_in_code:
        battle.action(name=name("run"), targets="foe", seconds=1)(flee)
    else:
        battle.stock("flee", name=name("run"), targets="foe", speed=6, seconds=1)

    def sense(situation: Situation) -> list[str]:
        feel = {
            plain: getattr(situation, name(plain)) for plain in ("danger", "odds", "health", "rested", "flag_distance")
        }
        if feel["health"] == 0 or feel["odds"] == 2:
            return [f"{name('run')} foe", f"{name('doze')} self 2"]
        if feel["danger"] < 2:
            return [f"{name('strike')} foe", f"{name('charge')} foe 0.7", f"{name('roam')} home"]
        if not feel["rested"]:
            return [f"{name('doze')} self"]
        return (
            [f"{name('roam')} flag"]
            if feel["flag_distance"] == 0
            else [f"{name('charge')} flag 2", f"{name('roam')} flag"]
        )

    battle.heuristic("red")(sense)
    return battle


def fight(domain: Domain, world: str) -> Simulation:
    sim = Simulation(domain, Settings(model="none", strict=True, seed=5, budget_units=10**6), world=world)
    for team in ("red", "blue"):
        sim.spawn_many(team, 30, x=sim.rng.uniform(0, 60, 30), y=sim.rng.uniform(0, 60, 30))
    for _ in range(300):
        sim.tick()
    return sim


@pytest.mark.parametrize("actions_in_code", [False, True], ids=["stock actions", "an action in code"])
def test_renaming_every_feature_and_action_changes_no_result(actions_in_code: bool) -> None:
    before = fight(make_battle(lambda name: name, actions_in_code), "before")
    after = fight(make_battle(lambda name: f"Q{name[::-1].replace('_', '')}", actions_in_code), "after")
    for column in ("x", "y", "vx", "vy", "hp", "stamina", "key", "plan", "step"):
        assert np.array_equal(before.agents.column(column), after.agents.column(column)), column
    assert before.agents.hp.min() < 80, "they did fight"
    assert len(np.unique(before.agents.plan)) > 2
    before.close()
    after.close()


def dispatchers() -> Iterator[tuple[str, Any]]:
    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if hasattr(function, "signatures") and function.__module__ == module.name:
                yield f"{module.name}.{name}", function


def test_a_new_domain_compiles_nothing(simulate: Simulate) -> None:
    """After the warm-up: whatever a domain declares, it is data to the kernels."""
    empty = simulate(Domain("empty", ["stone"]), world="empty")
    before = {name: list(kernel.signatures) for name, kernel in dispatchers()}
    assert len(before) > 12
    empty.spawn("stone")
    bare = Domain("bare", ["stone", "ant"])
    bare.thing("grain")
    bare.reference("queen")
    bare.percept("food", weakest="grain", radius=3, line_of_sight=True)
    bare.stock("take", targets="food", speed=1)
    bare.stock("heal", targets="queen", amount=1, range=2)
    bare.stock("follow", targets="queen", speed=1)

    @bare.target
    def north(me: Agent) -> Agent:
        return me

    @bare.action(targets=["north", "queen"], cooldown=1, needs={"hp": 1}, vectorised=True)
    def shine(me: Rows, target: Any, dt: float) -> Status:
        return Status.DONE

    few = simulate(bare, world="bare", settings={"every": 3, "capacity": 1, "seed": 9})
    few.set_obstacles([[0, 1], [0, 0]], cell=2)
    queen = few.spawn("ant")
    for n in range(5):
        few.spawn("ant", x=n).queen = queen
        few.add_thing("grain", x=n)
    battle = fight(make_battle(lambda name: name, actions_in_code=True), "battle")
    for sim in (few, empty, battle):
        for _ in range(40):
            sim.tick(1 / 50)
        sim.remove(sim.agents.handles[0])
        sim.tick()
        sim.why(sim.spawn(sim.compiled.names.kinds[0]))
        sim.stats()
    battle.close()
    assert {name: list(kernel.signatures) for name, kernel in dispatchers()} == before


@given(st.text("abcXYZ019_", max_size=45) | st.text(max_size=6))
def test_every_name_that_is_let_in_is_safe_in_python_prompts_and_grammars(name: str) -> None:
    domain = Domain("d", ["k"])
    try:
        domain.place(name, 0, 0)
    except DomainError:
        return
    assert name.isidentifier() and name.isascii() and not name.startswith("_") and len(name) <= 40
