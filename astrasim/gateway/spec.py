"""Which model a gateway asks."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator


class ModelSpec(BaseModel):
    """Which model a gateway asks, and where.

    ``kind`` "openai" is any server that speaks OpenAI's chat completions at ``base_url`` (``http://localhost:8080``
    or with a path, ``https://api.openai.com/v1``); ``name`` is the model's name there, empty for the first that it
    lists. ``kind`` "ollama" is Ollama's own ``/api/chat`` there (``http://127.0.0.1:11434``; see ``ollama_url``), whose
    ``name`` may be empty for a model that is loaded, else the first there. ``kind`` "embedded" is the small model that
    runs in the gateway process itself. ``kind`` "function" is a Python function named ``module:function``, imported in
    the gateway process (by the same ``sys.path`` as the game's), called with (prompt, schema), plain (in a thread) or
    async (which must not block), and returning the answer's text.

    Raises:
        pydantic.ValidationError: if name or address do not fit the kind.
    """

    # hide_input_in_errors: an error must not print the address, which may hold a password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["openai", "ollama", "embedded", "function"]
    name: str = ""
    base_url: str = ""
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if self.kind == "function":
            module, _, function = self.name.partition(":")
            if not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
                raise ValueError(
                    f"a function model is named 'module:function', such as 'mygame.minds:think', not {self.name!r}"
                )
            return self
        if self.kind == "embedded":
            return self
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"an {self.kind} model needs a base_url such as 'http://localhost:8080'")
        _ = parts.port  # raises ValueError for what is no port
        return self

    @property
    def chooses(self) -> bool:
        """Whether the model is too small to write plans, and chooses among the heuristic's steps instead."""
        return self.kind == "embedded"

    @property
    def is_in_gateway(self) -> bool:
        """Whether the model runs in the gateway process itself."""
        return self.kind in ("embedded", "function")

    @property
    def tag(self) -> str:
        """The model as scopes name it."""
        where = f"@{urlsplit(self.base_url).netloc.rpartition('@')[2]}" if self.base_url else ""
        return f"{self.kind}:{self.name}{where}" if self.name else str(self)

    def __str__(self) -> str:
        """For people: without key and password."""
        if self.kind == "function":
            return f"function {self.name}"
        if self.kind == "embedded":
            return "embedded model"
        parts = urlsplit(self.base_url)
        return f"{self.kind} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
