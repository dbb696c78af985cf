"""Which model a simulation asks, and why that one."""

from __future__ import annotations

from .errors import SettingsError
from .gateway import ModelSpec
from .settings import Settings

KNOWN = "auto, none, openai, function:MODULE:NAME"


def choose_model(settings: Settings) -> tuple[ModelSpec | None, str]:
    """The model to ask, or None, and the reason in a line.

    Raises:
        SettingsError: if the settings name a model that does not exist, or one without what it needs.
    """
    wanted = settings.model
    if not settings.use_llm:
        return None, "ASTRASIM_USE_LLM is 0"
    if wanted == "none":
        return None, "the setting model is 'none'"
    if wanted.startswith("function:"):
        name = wanted.removeprefix("function:")
        if name.count(":") != 1 or not all(name.split(":")):
            raise SettingsError(f"model={wanted!r}: write function:MODULE:NAME, for example function:mygame.brain:decide")
        return ModelSpec(kind="function", name=name), f"the setting model is {wanted!r}"
    if wanted not in ("auto", "openai"):
        raise SettingsError(f"no model {wanted!r}; there are: {KNOWN}")
    if settings.base_url:
        spec = ModelSpec(
            kind="openai", name=settings.model_name, base_url=settings.base_url, api_key=settings.api_key
        )
        return spec, f"OPENAI_BASE_URL (base_url) is {settings.base_url}"
    if wanted == "openai":
        raise SettingsError("model='openai' needs a server: set OPENAI_BASE_URL (or base_url) to its address with /v1")
    return None, "OPENAI_BASE_URL is not set, so there is no model to ask; heuristics decide"
