"""Tiers: how much of the model's attention, and of the planning budget, an agent gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .vocabulary import PromptLength

MOST_TIERS = 16
MOST_SHARES = 0.9
"""Of the budget, so much at most is kept for tiers: what is left is everyone's, so that nobody waits for ever."""


class Tier(BaseModel):
    """A tier, as a game declares it: ``Settings(tiers=[Tier(name="mob", requests_per_second=0), Tier(name="chief")])``
    or ``[[tiers]]`` tables in ``astrasim.toml``, least first. A situation in which agents of several tiers wait is
    asked about for the highest of them.

    Raises:
        pydantic.ValidationError: for an unknown name or a value out of range; ``Settings`` makes a SettingsError of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")
    """What ``sim.spawn(..., tier="...")`` and ``agent.tier`` say."""
    requests_per_second: float | None = Field(default=None, ge=0, le=10_000)
    """Requests that go out a second for this tier, at most; None for as many as all may make together. At 0 its agents
    never ask a model: they follow heuristics, and the model's plans that are there, made for others or earlier."""
    deadline_s: float | None = Field(default=None, gt=0, le=600)
    """How long an answer may take where somebody of this tier waits for it; None: as the setting of that name."""
    prompt: PromptLength | None = None
    """How much the model is told for its agents; None: as the setting of that name. Plans made from one prompt are not
    shared with tiers that have another."""
    slots: int = Field(default=0, ge=0, le=1024)
    """So many of the places for requests (``max_in_flight``) are kept for this tier and those above it, where there are
    agents of it. A quarter of them at most is kept for all tiers together."""
    budget_share: float = Field(default=0.0, ge=0, le=MOST_SHARES)
    """This share of each tick's planning budget goes to its agents first, as long as one of them needs a plan. What
    they do not need is everyone's."""

    @property
    def asks(self) -> bool:
        """Whether it may ever cause a request."""
        return self.requests_per_second != 0

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        fields = type(self).model_fields
        return [(name, value) for name, value in super().__repr_args__() if value != fields[name or ""].default]


TIERS = (
    Tier(name="minion"),
    Tier(name="leader", budget_share=0.1),
    Tier(name="boss", budget_share=0.15),
    Tier(name="hero", budget_share=0.25, slots=2),
)
"""Those of a game that declares none, least first."""


def check_tiers(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """``tiers``, if they go together.

    Raises:
        ValueError: otherwise.
    """
    names = [tier.name for tier in tiers]
    if not 1 <= len(tiers) <= MOST_TIERS:
        raise ValueError(f"there are {len(tiers)}; declare 1 to {MOST_TIERS}, least first")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two are called {twice[0]!r}; give each a name of its own")
    if (kept := sum(tier.budget_share for tier in tiers)) > MOST_SHARES + 1e-9:
        raise ValueError(f"budget_share adds up to {kept:g}; {MOST_SHARES:g} at most may be kept for tiers")
    return tiers
