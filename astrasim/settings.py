"""Settings: given in code, else in the environment (``ASTRASIM_...``), else in ``astrasim.toml``, else the defaults."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as NoJson

from .arguments import unknown
from .errors import SettingsError
from .gateway.policy import GatewayPolicy, RequestsPerSecond
from .gateway.spec import ApiKey
from .pace import BudgetMs, BudgetUnits, Every
from .tiers import TIERS, Tier, check_tiers
from .vocabulary import PromptLength

PREFIX = "ASTRASIM_"
FILE = "astrasim.toml"
FOREIGN = {
    "base_url": ("OPENAI_BASE_URL",),
    "api_key": ("OPENAI_API_KEY",),
    "ollama_url": ("OLLAMA_URL", "OLLAMA_HOST"),
    "ollama_model": ("OLLAMA_MODEL",),
}
"""Settings that the environment knows by names which other programs use too; the first that is set counts."""
PRIVATE = ("ASTRASIM_GATEWAY_", "ASTRASIM_SMOLLM_")
"""Beginnings of environment variables by which processes of AstraSim talk to each other."""


def _none(value: Any) -> Any:
    """TOML and the environment have no None: there it is written out."""
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


class Settings(BaseSettings, GatewayPolicy):
    """How a simulation runs. The limits of what is asked of a model are the fields of :class:`GatewayPolicy`.

    Raises:
        SettingsError: for an unknown name or a value out of range: which, where it came from, and what is allowed.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, toml_file=FILE, extra="forbid", frozen=True, allow_inf_nan=False,
        protected_namespaces=(), hide_input_in_errors=True,
    )  # fmt: skip

    budget_ms: BudgetMs = 2.0
    """Milliseconds a tick for all planning; 0 switches it off (agents then stay with their role's default plan)."""
    budget_units: BudgetUnits = None
    """Units of planning work a tick instead of milliseconds: two runs then do exactly the same."""
    model: str = "auto"
    """``auto`` (Ollama if it answers with a model, else the OpenAI-compatible server if there is a ``base_url``, else
    the embedded model if it is installed, else none), ``none``, ``ollama``, ``openai``, ``embedded``, or
    ``function:MODULE:NAME`` (a function (prompt, schema) -> text of your own)."""
    model_name: str = ""
    """Which model to ask an OpenAI-compatible server for."""
    base_url: str = Field("", repr=False)  # it may hold a password
    """Of an OpenAI-compatible server, with its ``/v1``; from ``OPENAI_BASE_URL``."""
    api_key: ApiKey | None = None
    """For that server; from ``OPENAI_API_KEY``. It is shown nowhere."""
    ollama_url: str = Field("", repr=False)  # as base_url
    """Where Ollama is, read as Ollama reads ``OLLAMA_HOST``; empty: ``http://127.0.0.1:11434``. From ``OLLAMA_URL``,
    else ``OLLAMA_HOST``."""
    ollama_model: str = ""
    """Which model to ask Ollama for; empty: the first that it has. From ``OLLAMA_MODEL``."""
    use_llm: bool = True
    """``ASTRASIM_USE_LLM=0`` means no model, whatever ``model`` says."""
    prompt: PromptLength = "full"
    """How much a model is told: ``full`` (what each action does, 4 examples), ``compressed`` (terse, 2 examples) or
    ``simplified`` (three lines, no example, one step)."""
    tiers: Annotated[tuple[Tier, ...], AfterValidator(check_tiers)] = TIERS
    """Who may ask a model, how often, with which deadline and prompt, and which share of the budget is kept for them:
    least first (:class:`~astrasim.tiers.Tier`). In ``astrasim.toml`` a table ``[[tiers]]`` each, in ``ASTRASIM_TIERS``
    JSON."""
    every: Every = 1
    """Each agent perceives in every so-manieth tick, and in its first."""
    governor: bool = False
    """Whether the governor holds ``target_fps``: where frames take too long it moves ``every``, ``budget_ms`` and
    ``requests_per_second`` from what is set to the three bounds below, and back again. See docs/budget.md."""
    target_fps: float = Field(60.0, gt=0, le=1000)
    """Frames a second that the governor holds."""
    most_every: Every = 4
    """How far the governor may raise ``every``."""
    least_budget_ms: BudgetMs = 0.5
    """How far the governor may lower ``budget_ms``; 0: until there is no planning at all."""
    least_requests_per_second: RequestsPerSecond = 2.0
    """How far the governor may lower ``requests_per_second``."""
    tick_s: float = Field(1 / 60, gt=0, le=1)
    """The fixed time step, in seconds."""
    seed: int = Field(0, ge=0, lt=2**31)
    threads: int = Field(2, ge=1, le=2)
    """On how many threads at most perception, situations and actions of large worlds run; nothing depends on it but
    time. The second is used from 8,192 agents on, where there is a second core."""
    capacity: int = Field(1024, ge=1, le=10_000_000)
    """Rows of the agent table to begin with; it doubles by itself."""
    cache_entries: int = Field(131_072, ge=8, le=100_000_000)
    """Situations that the tick knows at a time, with or without a model's plan."""
    cache_plans: int = Field(10_000, ge=1, le=10_000_000)
    """Plans that the gateway remembers at a time; the least recently used makes room."""
    cache_file: Path | None = None
    """An SQLite file in which the gateway saves them; they are there again in the next run."""
    cache_namespace: str = Field("", max_length=200)
    """What they are kept apart by in that file, such as a level or a balance patch."""
    cache_ttl_s: float | None = Field(None, ge=0)
    """How many seconds after it was made a model's plan may be used; none: as long as it is there."""
    cache_ttl_renews: bool = False
    """Whether its use makes that begin anew."""
    near_bound: Annotated[float | None, BeforeValidator(_none)] = Field(None, gt=0, le=100)
    """How far away the vector of another situation may be whose plan is used (each feature is 0 to 1, times its
    weight), such as 0.08; where the model is found to disagree, it becomes less, for each role. ``none``: no near
    look-ups. See docs/cache.md before you switch it on."""
    shadow_share: float = Field(0.05, ge=0, le=1)
    """Which share of the requests goes to finding out how often the plan of a near situation is the wrong one."""
    share_orders: bool = False
    """Whether plans for one order are used for another that means the same."""
    strict: bool = False
    """Raise what the game's own code raises, and check every state transition. For tests and development."""
    warmup: bool = True
    """Load (and the first time compile) all kernels when the simulation is made, not in its first frames."""
    log_exchanges: Path | None = None
    """A file to which the gateway appends every prompt and answer, one JSON object a line. At 64 MiB it is renamed,
    with ".1" at its end, and a new one is begun."""

    def __init__(self, **values: Any) -> None:
        for name in _unknown_variables():
            known = [PREFIX + field.upper() for field in Settings.model_fields]
            raise SettingsError(unknown(name, known, "environment", "setting"))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(problem, values) for problem in error.errors())) from None
        except NoJson as error:
            raise SettingsError(f"the environment's settings: {error}; write JSON there") from None
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{FILE} is no TOML file: {error}") from None

    @property
    def policy(self) -> GatewayPolicy:
        """Their part that the gateway is told."""
        return GatewayPolicy(**{name: getattr(self, name) for name in GatewayPolicy.model_fields})

    def __setattr__(self, name: str, value: Any) -> None:
        raise SettingsError(f"settings do not change once made; make others: Settings({name}=...)")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        foreign = {name: os.environ[variable] for name in FOREIGN if (variable := _foreign(name))}
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, foreign),
            TomlConfigSettingsSource(settings_cls),
        )


def _foreign(name: str) -> str:
    """The variable of other programs that gives this setting, "" for none."""
    return next((variable for variable in FOREIGN.get(name, ()) if os.environ.get(variable)), "")


def origin(name: str) -> str:
    """Where a setting comes from that is not given in code: a variable's name, ``astrasim.toml``, or "" for nowhere.

    Raises:
        tomllib.TOMLDecodeError: if the file is no TOML file.
    """
    variable = PREFIX + name.upper()
    if any(given.upper() == variable and value for given, value in os.environ.items()):  # the case is no matter
        return variable
    if variable := _foreign(name):
        return variable
    file = Path(FILE)
    return FILE if file.is_file() and name in tomllib.loads(file.read_text(encoding="utf-8")) else ""


def _unknown_variables() -> list[str]:
    """A misspelt variable would otherwise be passed over in silence."""
    names = [name for name in map(str.upper, os.environ) if name.startswith(PREFIX) and not name.startswith(PRIVATE)]
    return [name for name in names if name.removeprefix(PREFIX).lower() not in Settings.model_fields]


def _explain(problem: Any, given: dict[str, Any]) -> str:
    name, *inside = map(str, problem["loc"])
    path = ".".join([name, *inside])
    where = "" if name in given else f" (from {origin(name) or FILE})"
    if problem["type"] == "extra_forbidden" and inside:
        return unknown(inside[-1], list(Tier.model_fields), f"setting {path}{where}", "field of a tier")
    if problem["type"] == "extra_forbidden":
        return unknown(name, list(Settings.model_fields), "settings" if name in given else FILE, "setting")
    value = "..." if name == "api_key" else repr(problem["input"])
    return f"setting {path}={value}{where}: {problem['msg']}{'' if inside else _range(name)}"


def _range(name: str) -> str:
    """The limits of a number, all of them, where pydantic's message names the one that was passed."""
    limits = {
        sign: getattr(limit, attribute)
        for limit in Settings.model_fields[name].metadata
        for attribute, sign in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        if hasattr(limit, attribute)
    }
    return f"; it must be {' and '.join(f'{sign} {value}' for sign, value in limits.items())}" if limits else ""
