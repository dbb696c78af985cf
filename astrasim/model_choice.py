"""Which model a simulation asks, and why that one."""

from __future__ import annotations

from importlib.util import find_spec

from pydantic import ValidationError

from .arguments import unknown
from .errors import SettingsError
from .gateway import ModelSpec, weights
from .gateway.ollama_host import ollama_url, probe_ollama
from .settings import Settings

KNOWN = ("auto", "none", "ollama", "openai", "embedded", "function:MODULE:NAME")
PROBE_S = 0.3
"""How long Ollama may take to say which models it has. Where it is not running, the answer comes at once."""


def choose_model(settings: Settings) -> tuple[ModelSpec | None, str]:
    """The model to ask, or None, and the reason in a line.

    Raises:
        SettingsError: if the settings name a model that does not exist, or one without what it needs.
    """
    wanted = settings.model
    if not settings.use_llm:
        return None, "ASTRASIM_USE_LLM (use_llm) is 0"
    if wanted == "none":
        return None, "the setting model is 'none'"
    if wanted.startswith("function:"):
        return _spec(kind="function", name=wanted.removeprefix("function:")), f"the setting model is {wanted!r}"
    if wanted not in KNOWN:
        if ":" not in wanted and wanted.lower() not in KNOWN:
            named = "a model of Ollama's is named by OLLAMA_MODEL, one of a server by ASTRASIM_MODEL_NAME"
            raise SettingsError(f"{unknown(wanted, KNOWN, 'setting model', 'model')}. ({named})")
        raise SettingsError(unknown(wanted, KNOWN, "setting model", "model"))
    if wanted == "auto":
        return _first_there_is(settings)
    because = f"the setting model is {wanted!r}"
    if wanted == "ollama":
        return ollama_spec(settings, settings.ollama_model), because
    if wanted == "openai":
        if not settings.base_url:
            raise SettingsError(
                "setting model='openai' needs a server: set OPENAI_BASE_URL (base_url) to its address, with /v1"
            )
        return openai_spec(settings), because
    if lacks := embedded_lacks():
        raise SettingsError(f"setting model='embedded': {lacks}")
    return embedded_spec(), because


def _first_there_is(settings: Settings) -> tuple[ModelSpec | None, str]:
    """Ollama if it answers with a model, else a server that was named, else the embedded model, else none."""
    url = ollama_url(settings.ollama_url)
    names = probe_ollama(url, PROBE_S)
    name = settings.ollama_model or (names[0] if names else "")
    if names and is_pulled(name, names):
        return ollama_spec(settings, name), f"auto: Ollama answers at {url}, with {name}"
    if names is None:
        passed = f"Ollama does not answer at {url}"
    else:
        passed = f"Ollama has no model{f' {name!r}' if name else ''} (ollama pull {name or 'llama3.2'})"
    if settings.base_url:
        spec = openai_spec(settings)
        return spec, f"auto: {passed}; OPENAI_BASE_URL (base_url) is set: {spec}"
    passed += "; OPENAI_BASE_URL (base_url) is not set"
    if lacks := embedded_lacks():
        return None, f"auto: {passed}; {lacks}; so heuristics decide"
    return embedded_spec(), f"auto: {passed}; the embedded model is installed"


def is_pulled(name: str, names: list[str]) -> bool:
    """Whether Ollama, which has the models ``names``, has the one called ``name``; it calls ``x`` ``x:latest``."""
    return {name.lower(), f"{name.lower()}:latest"} & {known.lower() for known in names} != set()


def embedded_lacks() -> str:
    """What the embedded model still needs, with the command that brings it; "" for nothing."""
    if find_spec("xllamacpp") is None:
        return "the embedded model is not installed: pip install 'astrasim[embedded]' && astrasim model install"
    if weights.find() is None:
        return "the embedded model's weights are not there: astrasim model install"
    return ""


def embedded_spec() -> ModelSpec:
    """The embedded model."""
    return _spec(kind="embedded", name=weights.NAME)


def ollama_spec(settings: Settings, name: str) -> ModelSpec:
    """The model called ``name`` ("" for the first there is) in the Ollama of the settings."""
    return _spec(kind="ollama", name=name, base_url=ollama_url(settings.ollama_url))


def openai_spec(settings: Settings) -> ModelSpec:
    """The OpenAI-compatible server of the settings.

    Raises:
        SettingsError: if its address is none.
    """
    given = {"name": settings.model_name, "base_url": settings.base_url, "api_key": settings.api_key}
    try:
        return _spec(kind="openai", **given)
    except SettingsError:
        # What it is instead is not shown: it may hold a password, or a key.
        raise SettingsError(
            "OPENAI_BASE_URL (base_url) is no address of a server; one is http://localhost:8080/v1"
        ) from None


def _spec(**values: object) -> ModelSpec:
    try:
        return ModelSpec.model_validate(values)
    except ValidationError as error:
        said = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors())
        raise SettingsError(f"setting model: {said}") from None
