"""What reasoning models write before they answer, in the manner of each, and how it is left out."""

from __future__ import annotations

import re

from .errors import PlanRejected

# "assistantfinal" is what is left of gpt-oss's marks where a server drops them: a thought ends there.
_TAG = re.compile(
    r"<(/?)(?:think|thinking|thoughts?|reasoning|analysis)>|\[(/?)think\]|◁(/?)think▷|(assistantfinal)", re.IGNORECASE
)
# gpt-oss thinks on a channel of its own. Its marks for an end close answers too, so they are no closing tags.
_CHANNEL = re.compile(
    r"<\|channel\|>\s*+analysis.*?(?:<\|(?:end|return|call|start)\|>|(?=<\|channel\|>)|(\Z))", re.DOTALL | re.IGNORECASE
)


def without_thoughts(text: str) -> str:
    """``text`` without ``<think>...</think>`` and its like. A closing tag alone ends a thought that the prompt began.

    Raises:
        PlanRejected: ``cut_off`` if a thought does not end: what stands in it was no answer yet.
    """
    text = _CHANNEL.sub(_nothing, text)
    kept: list[str] = []
    at, thinking = 0, False
    for tag in _TAG.finditer(text):
        closes = any(tag.groups())
        if closes and not thinking:
            kept.clear()
        elif not thinking:
            kept.append(text[at : tag.start()])
        thinking, at = not closes, tag.end()
    if thinking:
        raise _cut_off(text)
    return "".join([*kept, text[at:]])


def _nothing(thought: re.Match[str]) -> str:
    if thought[1] is not None:
        raise _cut_off(thought[0])
    return ""


def _cut_off(text: str) -> PlanRejected:
    return PlanRejected("cut_off", f"the answer ends inside a thought: ...{text[-40:]!r}")
