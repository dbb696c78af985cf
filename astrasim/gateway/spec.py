"""Which model a gateway asks."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, model_validator


def _sendable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value().strip()  # a line's end is easily copied along
    if not (text.isascii() and text.isprintable()):
        raise ValueError("the key holds what no HTTP header can (a line break, a letter with an accent); copy it anew")
    return SecretStr(text)


ApiKey = Annotated[SecretStr, AfterValidator(_sendable)]
"""A key as an HTTP header can hold it."""


def _login(url: str) -> tuple[str, str] | None:
    parts = urlsplit(url)
    return (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None


def login_secrets(url: str) -> set[str]:
    """The password in an address (the user where there is none), in all its spellings."""
    if (login := _login(url)) is None:
        return set()
    user, password = login
    raw = urlsplit(url).password or urlsplit(url).username or ""
    return {password or user, raw, base64.b64encode(f"{user}:{password}".encode()).decode()} - {""}


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
    api_key: ApiKey | None = None

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
    def address(self) -> str:
        """``base_url`` without user and password, which are sent in a header: libraries log the addresses they ask."""
        parts = urlsplit(self.base_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def login(self) -> tuple[str, str] | None:
        """User and password in ``base_url``, if there are any."""
        return _login(self.base_url)

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        """In all their spellings, the longest first: one may hold another."""
        found = {self.api_key.get_secret_value()} if self.api_key else set[str]()
        found |= login_secrets(self.base_url)
        return tuple(sorted(found - {""}, key=len, reverse=True))

    def hide(self, text: str, least: int = 1) -> str:
        """``text`` without key and password, for people: servers repeat them in errors, and might in answers.

        Args:
            least: how long a secret must be. Keys such as ``x`` or ``none``, for servers that want none, are no
                secrets, and may be a part of many words.
        """
        for secret in self._secrets:
            if len(secret) >= least:
                text = text.replace(secret, "***")
        return text

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
        where = f"@{urlsplit(self.address).netloc}" if self.base_url else ""
        return f"{self.kind}:{self.name}{where}" if self.name else str(self)

    def __str__(self) -> str:
        """For people: without key and password."""
        if self.kind == "function":
            return f"function {self.name}"
        if self.kind == "embedded":
            return "embedded model"
        return f"{self.kind} at {self.address}"
