"""The pace: what a tick may spend, as it stands now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import SettingsError
from .gateway.policy import RequestsPerSecond

BudgetMs = Annotated[float, Field(ge=0, le=1000)]
BudgetUnits = Annotated[int | None, Field(ge=0)]
Every = Annotated[int, Field(ge=1, le=60)]


class Pace(BaseModel):
    """What may be changed while the game runs: planning and perception read it in every tick.

    ``sim.pace`` begins as the settings of the same names, which say what each means. A game, its keys or the governor
    write to it; while the governor is on, the pace is the governor's.

    Raises:
        SettingsError: for a value out of range. Nothing changes then.
    """

    model_config = ConfigDict(validate_assignment=True, extra="forbid", allow_inf_nan=False)

    budget_ms: BudgetMs = 2.0
    budget_units: BudgetUnits = None
    every: Every = 1
    """After a change each agent looks within so many ticks, and from then on at least every so many."""
    requests_per_second: RequestsPerSecond = 20.0

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            raise SettingsError(f"pace.{name}={value!r}: {error.errors()[0]['msg']}") from None
