"""Settings: given in code, else in the environment (``ASTRASIM_...``), else in ``astrasim.toml``, else the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from .errors import SettingsError


class Settings(BaseSettings):
    """How a simulation runs.

    Raises:
        SettingsError: for an unknown name or a value out of range, saying which.
    """

    model_config = SettingsConfigDict(
        env_prefix="ASTRASIM_", toml_file="astrasim.toml", extra="forbid", frozen=True, allow_inf_nan=False
    )

    budget_ms: float = Field(2.0, ge=0, le=1000)
    """Milliseconds a tick for all planning; 0 switches it off (agents then stay with their role's default plan)."""
    budget_units: int | None = Field(None, ge=0)
    """Units of planning work a tick instead of milliseconds: two runs then do exactly the same."""
    model: str = "auto"
    """``auto``, ``none``, ``openai``, or ``function:MODULE:NAME`` (a function (prompt, schema) -> text of your own)."""
    model_name: str = ""
    """Which model to ask an OpenAI-compatible server for; empty: the first that it lists."""
    base_url: str = Field("", validation_alias="OPENAI_BASE_URL")
    """Of an OpenAI-compatible server, with its ``/v1``; from ``OPENAI_BASE_URL``."""
    api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    use_llm: bool = True
    """``ASTRASIM_USE_LLM=0`` means no model, whatever ``model`` says."""
    requests_per_second: float = Field(20.0, ge=0, le=10_000)
    max_in_flight: int = Field(32, ge=1, le=1024)
    deadline_s: float = Field(10.0, gt=0, le=600)
    """How long an answer may take before it is given up and the connection closed."""
    retry_after_s: float = Field(5.0, ge=0, le=3600)
    """How long a situation whose request failed is not asked about again."""
    every: int = Field(1, ge=1, le=60)
    """Each agent perceives in every so-manieth tick."""
    tick_s: float = Field(1 / 60, gt=0, le=1)
    """The fixed time step, in seconds."""
    seed: int = Field(0, ge=0, lt=2**31)
    capacity: int = Field(1024, ge=1, le=10_000_000)
    """Rows of the agent table to begin with; it doubles by itself."""
    cache_entries: int = Field(131_072, ge=8, le=100_000_000)
    strict: bool = False
    """Raise what the game's own code raises, and check every state transition. For tests and development."""
    warmup: bool = True
    """Load (and the first time compile) all kernels when the simulation is made, not in its first frames."""
    log_exchanges: Path | None = None
    """A file to which the gateway appends every prompt and answer, one JSON object a line."""

    def __init__(self, **values: Any) -> None:
        # Fields with an alias from the environment take their own name in code.
        for name in ("base_url", "api_key"):
            if name in values:
                values[f"OPENAI_{name.upper()}"] = values.pop(name)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            lines.append(f"no setting {name!r}; there are: {', '.join(Settings.model_fields)}")
        else:
            lines.append(f"setting {name}={problem['input']!r}: {problem['msg']}")
    return "; ".join(lines)
