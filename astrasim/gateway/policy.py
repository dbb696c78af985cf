"""What may be asked of a model, when, and for how long: all limits of the gateway in one place."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

RequestsPerSecond = Annotated[float, Field(ge=0, le=10_000)]


class GatewayPolicy(BaseModel):
    """How a gateway asks its model. Every field is a setting of the same name, too (``Settings(retries=0)``,
    ``ASTRASIM_RETRIES=0``, ``retries = 0`` in ``astrasim.toml``); ``Settings.policy`` is the policy that they make.

    Raises:
        pydantic.ValidationError: for an unknown name or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    requests_per_second: RequestsPerSecond = 20.0
    """Requests that go out a second, at most; 0 asks nothing. Retries count."""
    tokens_per_minute: int | None = Field(default=None, ge=0)
    """Tokens, read and written, that requests may cost in any minute; None for any number. A request that is under way
    counts as 1000, or as the dearest lately if that was more."""
    max_in_flight: int = Field(default=32, ge=1, le=1024)
    """Requests that are with the model at a time, at most. The embedded model has never more than 2."""
    max_waiting: int = Field(default=1024, ge=1, le=1_000_000)
    """Situations that wait to be asked about, at most; the least worthy are dropped first."""
    aging_s: float = Field(default=10.0, ge=0.001, le=3600)
    """What waits is asked by tier, then by the number of agents, then by age; so many seconds count as a tier more."""
    unwanted_s: float = Field(default=2.0, ge=0, le=3600)
    """A request whose agents are all dead or gone on, and whose situation nobody was in for so long, is cancelled."""
    deadline_s: float = Field(default=10.0, gt=0, le=600)
    """How long an answer may take, retries and all, before it is given up and the connection closed. A tier may have
    its own (:class:`~astrasim.tiers.Tier`)."""
    retry_after_s: float = Field(default=5.0, ge=0, le=3600)
    """How long a situation whose request brought no plan is not asked about again."""
    retries: int = Field(default=3, ge=0, le=10)
    """How often a request is sent again after a fault that may pass: a broken connection, status 408, 429 or 5xx."""
    retry_pause_ms: float = Field(default=50.0, ge=0, le=60_000)
    """The pause before the first retry; each further one is twice as long. Up to half of this is added by chance, and
    a server's ``Retry-After`` takes the pause's place. What would end after the deadline is not begun."""
    rest_after_failures: int = Field(default=5, ge=1, le=1000)
    """After so many failed requests in a row, the server is given a rest: nothing is asked, heuristics decide."""
    rest_s: float = Field(default=1.0, gt=0, le=600)
    """How long the first rest is. One request tries then; each that fails doubles the rest."""
    longest_rest_s: float = Field(default=8.0, gt=0, le=600)
    """Where the doubling ends."""

    gateway_memory_mb: int = Field(default=512, ge=1, le=1_000_000)
    """How large (resident, in MiB) the gateway process may get; over it, it is ended and started again."""
    model_memory_mb: int = Field(default=2048, ge=0, le=1_000_000)
    """What a model that runs in that process (the embedded one, a function) may take in addition."""

    @property
    def tries(self) -> int:
        """How often a request may be sent."""
        return 1 + self.retries

    def memory_mb(self, with_model: bool) -> int:
        """How large the gateway process may get, in MiB, with or without a model in it."""
        return self.gateway_memory_mb + (self.model_memory_mb if with_model else 0)
