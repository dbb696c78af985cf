"""What OpenAI-compatible servers refuse to be asked, and how they are asked from then on.

Servers differ in what they know of the protocol. Nobody can look it up beforehand, but a refusal names what it is
about, so what is refused is left out or said otherwise, and the request is sent again. Shapes met in the wild:

* OpenAI: ``{"error": {"message": "Unsupported parameter: 'max_tokens' ...", "param": "max_tokens"}}``, status 400
* LM Studio: ``{"error": "'response_format.type' must be 'json_schema' or 'text'"}``, status 400
* DeepSeek: ``This response_format type is unavailable now``, status 400 or 422
* vLLM: ``The provided JSON schema contains features not supported by xgrammar.``, status 400
* llama.cpp: ``Failed to initialize samplers: failed to parse grammar``, status 400
* Mistral: ``{"message": {"detail": [{"loc": ["body", "stream_options", "include_usage"], ...}]}}``, status 422
* OpenRouter: ``No endpoints found that can handle the requested parameters``, status 404
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .http import error_message

FORMS = ("json_schema", "json_object", "text")
"""How an answer's shape is asked for, the best first. In the last two the schema stands in the prompt."""
LIMITS = ("max_tokens", "max_completion_tokens")

_STATUSES = (400, 404, 415, 422, 500, 501)
_FORM_WORDS = re.compile(
    r"response_?format|json_?schema|json schema|json_object|schema for|grammar|guided|structured.?output"
    r"|no endpoints found that",
    re.IGNORECASE,
)
# "max_tokens is too large: 512" names the parameter as well, and leaving it out is no remedy.
_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|forbidden|deprecated"
    r"|extra (inputs|fields)|only the default",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is asked."""

    form: int = 0
    """Index into ``FORMS``."""
    limit: int = 0
    """Index into ``LIMITS``."""
    temperature: bool = True
    usage: bool = True
    """Whether a stream is asked to say, at its end, what it cost."""

    def after(self, status: int, body: bytes) -> Manner:
        """How to ask a server that refused this manner so; unchanged if nothing else can be tried."""
        if status not in _STATUSES:
            return self
        about = " ".join(_about(body))
        unknown = _UNKNOWN.search(error_message(body)) is not None or _UNKNOWN.search(about) is not None
        changed = self
        if self.usage and ("stream_options" in about or "include_usage" in about):
            changed = replace(changed, usage=False)
        if self.temperature and unknown and "temperature" in about:
            changed = replace(changed, temperature=False)
        if self.limit + 1 < len(LIMITS) and unknown and LIMITS[self.limit] in about:
            changed = replace(changed, limit=self.limit + 1)
        # One cause at a time where the words are vague: a refused temperature may well mention structured outputs.
        if changed == self and self.form + 1 < len(FORMS) and _FORM_WORDS.search(about):
            changed = replace(changed, form=self.form + 1)
        return changed

    def and_also(self, other: Manner) -> Manner:
        """The manner that asks for nothing that either of the two leaves out."""
        return Manner(
            max(self.form, other.form),
            max(self.limit, other.limit),
            self.temperature and other.temperature,
            self.usage and other.usage,
        )


def _about(body: bytes) -> list[str]:
    """What a refusal is about: the parameters that it names as such, else its text."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return [error_message(body)]
    # Not the whole body, because validators quote what they were sent, and that names everything.
    return list(_named(said)) or [error_message(body)]


def _named(said: Any, depth: int = 0) -> Iterator[str]:
    """The values of ``param``, and those of ``loc`` with what is wrong there."""
    if depth > 5:
        return
    if isinstance(said, list):
        for each in said[:20]:
            yield from _named(each, depth + 1)
    elif isinstance(said, dict):
        if isinstance(said.get("param"), str):
            yield said["param"]
        if isinstance(said.get("loc"), list):
            yield " ".join([*(str(part) for part in said["loc"]), str(said.get("type")), str(said.get("msg"))])
        for name in ("error", "message", "detail"):
            yield from _named(said.get(name), depth + 1)
