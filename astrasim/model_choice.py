"""Which model a simulation asks, and why that one."""

from __future__ import annotations

from pydantic import ValidationError

from .arguments import unknown
from .errors import SettingsError
from .gateway import ModelSpec
from .settings import Settings

KNOWN = ("auto", "none", "embedded", "openai", "function:MODULE:NAME")


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
    if wanted == "embedded":
        return _spec(kind="embedded", name="SmolLM2-135M-Instruct"), "the setting model is 'embedded'"
    if wanted not in KNOWN:
        raise SettingsError(unknown(wanted, KNOWN, "setting model", "model"))
    if not settings.base_url:
        needed = "set OPENAI_BASE_URL (base_url) to a server's address, with /v1"
        if wanted == "openai":
            raise SettingsError(f"setting model='openai' needs a server: {needed}")
        return None, f"no model to ask, so heuristics decide; to have one, {needed}"
    spec = _spec(kind="openai", name=settings.model_name, base_url=settings.base_url, api_key=settings.api_key)
    return spec, f"OPENAI_BASE_URL (base_url) is set: {spec}"


def _spec(**values: object) -> ModelSpec:
    try:
        return ModelSpec.model_validate(values)
    except ValidationError as error:
        said = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors())
        raise SettingsError(f"setting model: {said}") from None
