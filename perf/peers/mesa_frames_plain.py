"""The arena in mesa-frames as its users write it: an agent set in a data frame, all rules as polars expressions.

Who is near is found by joining each agent's cell and the eight around it with everybody's cell.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from mesa_frames import AgentSetPolars, ModelDF
from numpy.typing import NDArray

from .fight import (
    BADLY_HURT,
    BLOW_STAMINA,
    CAP,
    CONDUCT,
    COOLDOWN_S,
    DAMAGE,
    EXHAUSTED,
    FIGHT,
    FLAG,
    FLEE,
    FOE,
    FOLLOW,
    FRIEND,
    GO_HOME,
    HOLD,
    HOME,
    HURT,
    IN_REACH_SOON,
    REACH,
    RELOAD,
    REST,
    Fight,
    Percepts,
)

AROUND = pl.DataFrame({"right": [-1, 0, 1] * 3, "up": [-1] * 3 + [0] * 3 + [1] * 3})
TARGET, SPEED, NEAR, STAMINA_RATE, AMMO_RATE = (pl.Series(column) for column in zip(*CONDUCT, strict=True))


class Fighters(AgentSetPolars):
    """``unique_id`` is the row; ``foe`` and ``friend`` are rows, -1 for nobody."""

    agents: pl.DataFrame

    def __init__(self, model: ModelDF, fight: Fight) -> None:
        super().__init__(model)
        self.fight = fight
        x, y, stamina = fight.start()
        number = np.arange(fight.agents)
        drawn = {"unique_id": number, "red": number < fight.reds, "x": x, "y": y, "stamina": stamina}
        self.add(
            pl.DataFrame(drawn).with_columns(
                home_x="x", home_y="y", vx=0.0, vy=0.0, hp=100.0, ammo=fight.ammunition, cooldown=0.0,
                foe=pl.lit(-1, pl.Int64), foe_distance=math.inf, foes=pl.lit(0, pl.Int64),
                friend=pl.lit(-1, pl.Int64), friend_distance=math.inf, friends=pl.lit(0, pl.Int64),
            )
        )  # fmt: skip

    def step(self) -> None:
        if self.fight.agents:
            self.look()
            self.act()
            self.move()

    def look(self) -> None:
        radius = self.fight.radius
        everybody = self.agents.lazy().select(
            "unique_id", "red", "x", "y",
            column=(pl.col("x") / radius).floor().cast(pl.Int64), row=(pl.col("y") / radius).floor().cast(pl.Int64),
        )  # fmt: skip
        looking = everybody.join(AROUND.lazy(), how="cross").with_columns(
            column=pl.col("column") + pl.col("right"), row=pl.col("row") + pl.col("up")
        )
        pairs = (
            looking.join(everybody, on=["column", "row"], suffix="_other")
            .with_columns(
                distance=((pl.col("x") - pl.col("x_other")) ** 2 + (pl.col("y") - pl.col("y_other")) ** 2).sqrt()
            )
            .filter((pl.col("distance") <= radius) & (pl.col("unique_id") != pl.col("unique_id_other")))
        )
        seen = self.agents.lazy().drop("foe", "foe_distance", "foes", "friend", "friend_distance", "friends")
        for one, all_of, chosen in (
            ("foe", "foes", pl.col("red") != pl.col("red_other")),
            ("friend", "friends", pl.col("red") == pl.col("red_other")),
        ):
            found = pairs.filter(chosen).group_by("unique_id").agg(
                pl.col("unique_id_other").get(pl.col("distance").arg_min()).alias(one),
                pl.col("distance").min().alias(f"{one}_distance"),
                pl.len().cast(pl.Int64).clip(0, CAP).alias(all_of),
            )
            seen = seen.join(found, on="unique_id", how="left", maintain_order="left").with_columns(
                pl.col(one).fill_null(-1), pl.col(f"{one}_distance").fill_null(math.inf), pl.col(all_of).fill_null(0)
            )
        self.agents = seen.collect()

    def act(self) -> None:
        tick_s, flag = self.fight.tick_s, self.fight.side / 2
        in_sight = pl.col("foe_distance") < math.inf
        outnumbered = (pl.col("foes") > pl.col("friends")) & (pl.col("friends") > 0)
        action = (
            pl.when(pl.col("hp") < BADLY_HURT).then(pl.when(in_sight).then(FLEE).otherwise(REST))
            .when(pl.col("stamina") < EXHAUSTED).then(REST)
            .when(pl.col("ammo") < 1).then(pl.when(pl.col("foe_distance") < IN_REACH_SOON).then(FLEE).otherwise(RELOAD))
            .when(in_sight & outnumbered & (pl.col("hp") < HURT)).then(FOLLOW)
            .when(in_sight).then(FIGHT)
            .when(pl.col("friends") > 0).then(HOLD)
            .otherwise(GO_HOME)
        )  # fmt: skip
        acting = self.agents.with_columns(
            action=action, cooldown=(pl.col("cooldown") - tick_s).clip(0)
        ).with_columns(
            pl.lit(TARGET).gather(pl.col("action")).alias("target"),
            pl.lit(SPEED).gather(pl.col("action")).alias("speed"),
            pl.lit(NEAR).gather(pl.col("action")).alias("near"),
            strikes=(pl.col("action") == FIGHT) & (pl.col("foe_distance") <= REACH) & (pl.col("cooldown") <= 0),
        ).with_columns(
            dx=self._target("x", flag) - pl.col("x"), dy=self._target("y", flag) - pl.col("y")
        ).with_columns(
            distance=(pl.col("dx") ** 2 + pl.col("dy") ** 2).sqrt()
        )  # fmt: skip
        towards = pl.min_horizontal("speed", (pl.col("distance") - pl.col("near")).clip(0) / tick_s)
        speed = pl.when(pl.col("speed") > 0).then(towards).otherwise("speed")
        rate = pl.when(pl.col("distance") > 0).then(speed / pl.col("distance")).otherwise(0.0)
        stamina = pl.col("stamina") - pl.col("strikes") * BLOW_STAMINA
        ammo = pl.col("ammo") - pl.col("strikes").cast(pl.Float64)
        acting = acting.with_columns(
            vx=rate * pl.col("dx"), vy=rate * pl.col("dy"),
            stamina=(stamina + pl.lit(STAMINA_RATE).gather(pl.col("action")) * tick_s).clip(0, 100),
            ammo=(ammo + pl.lit(AMMO_RATE).gather(pl.col("action")) * tick_s).clip(None, self.fight.ammunition),
            cooldown=pl.when("strikes").then(COOLDOWN_S).otherwise("cooldown"),
        )  # fmt: skip
        blows = acting.filter("strikes").group_by(unique_id="foe").agg(blows=pl.len())
        self.agents = (
            acting.join(blows, on="unique_id", how="left", maintain_order="left")
            .with_columns(hp=pl.col("hp") - pl.col("blows").fill_null(0) * DAMAGE)
            .drop("action", "target", "speed", "near", "strikes", "dx", "dy", "distance", "blows")
        )

    def _target(self, axis: str, flag: float) -> pl.Expr:
        target = pl.col("target")
        return (
            pl.when(target == FOE).then(pl.col(axis).gather(pl.col("foe").clip(0)))
            .when(target == FRIEND).then(pl.col(axis).gather(pl.col("friend").clip(0)))
            .when(target == FLAG).then(flag)
            .when(target == HOME).then(f"home_{axis}")
            .otherwise(axis)
        )  # fmt: skip

    def move(self) -> None:
        tick_s, side = self.fight.tick_s, self.fight.side
        moved = self.agents.with_columns(
            x=(pl.col("x") + pl.col("vx") * tick_s).clip(0, side), y=(pl.col("y") + pl.col("vy") * tick_s).clip(0, side)
        )
        dead = pl.col("hp") <= 0
        if moved.select(dead.any()).item():
            draw = self.random.uniform
            moved = moved.with_columns(
                x=pl.when(dead).then(pl.Series(draw(0, side, len(moved)))).otherwise("x"),
                y=pl.when(dead).then(pl.Series(draw(0, side, len(moved)))).otherwise("y"),
                stamina=pl.when(dead).then(100.0).otherwise("stamina"),
                ammo=pl.when(dead).then(self.fight.ammunition).otherwise("ammo"),
                hp=pl.when(dead).then(100.0).otherwise("hp"),
            )
        self.agents = moved


class MesaFramesPlain:
    fighters: type[Fighters] = Fighters

    def __init__(self, fight: Fight) -> None:
        self.model = ModelDF(fight.seed)
        self.model.agents += self.fighters(self.model, fight)

    @property
    def frame(self) -> pl.DataFrame:
        frame: pl.DataFrame = self.model.get_agents_of_type(self.fighters).agents
        return frame

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        fighters = self.model.get_agents_of_type(self.fighters)
        fighters.agents = fighters.agents.with_columns(x=pl.Series(x), y=pl.Series(y))

    def tick(self) -> None:
        self.model.step()

    def percepts(self) -> Percepts:
        return Percepts(*(self.frame[name].to_numpy() for name in Percepts._fields))

    def state(self) -> NDArray[np.float64]:
        state: NDArray[np.float64] = self.frame.select("x", "y", "hp", "stamina", "ammo", "cooldown").to_numpy().T
        return state

    def close(self) -> None:
        pass
