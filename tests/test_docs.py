"""The games in docs/ run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from astrasim import Settings, Simulation
from astrasim.demos.meadow import meadow

DOCS = Path(__file__).parent.parent / "docs"


def test_a_factory_as_in_the_guide_to_the_budget_makes_the_game_of_forty_lines() -> None:
    found = re.search(r"<!-- factory -->\n```python\n(.*?)```", (DOCS / "budget.md").read_text("utf-8"), re.DOTALL)
    assert found
    names: dict[str, Any] = {"Simulation": Simulation, "meadow": meadow}
    exec(found.group(1), names)
    for agents in (1, 30):
        with names["factory"](agents, Settings(model="none")) as sim:
            sim.tick()
            assert sim.agents.count == agents


def test_the_game_with_tiers_in_the_guide_to_the_budget_runs() -> None:
    text = (DOCS / "budget.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- tiers -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found.group(1), names)
    sim = names["sim"]
    assert sim.ticks == 60 and sim.agents.count == 501, "tables keep their last values when a simulation is closed"
    assert set(sim.agents.tier.tolist()) == {0, 1}
