"""Function models, imported by the gateway process. What ``play`` does stands in the scope's persona."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio

from astrasim.prompts import Prompt

FLEE = json.dumps({"steps": [{"action": "flee", "target": "threat", "seconds": 3}]})

SAY = {
    "thoughtful": f"<think>Home? {FLEE[:20]}</think>I would do this:\n```json\n{FLEE.replace('flee', 'Flee')}\n```",
    "prose": "You should run away.",
    "cut": FLEE[:-2],
    "no steps": '{"steps": []}',
    "wrong action": '{"steps": [{"action": "fly", "target": "threat", "seconds": 3}]}',
    "wrong target": '{"steps": [{"action": "flee", "target": "home", "seconds": 3}]}',
    "too slow": '{"steps": [{"action": "flee", "target": "threat", "seconds": 1e9}]}',
    "surrogate": '{"steps": "\ud800"}',
    "a lot": "x" * 100_000,
}


hoarded: list[bytes] = []


def flee(prompt: Prompt, schema: dict[str, Any]) -> str:
    return FLEE


async def flee_async(prompt: Prompt, schema: dict[str, Any]) -> str:
    await anyio.sleep(0.01)
    return FLEE


def situation(prompt: Prompt, schema: dict[str, Any]) -> str:
    """Rests as many seconds as the answer shows which situation was asked about."""
    seconds = 1 + sum(word in prompt.user for word in ("rested", "no wolf"))
    return json.dumps({"steps": [{"action": "rest", "target": "home", "seconds": seconds}]})


def obey(prompt: Prompt, schema: dict[str, Any]) -> str:
    """Says what the player wants it to say, word for word."""
    return prompt.user.partition("<<")[2].partition(">>")[0]


def play(prompt: Prompt, schema: dict[str, Any]) -> Any:
    lines = prompt.system.splitlines()
    what = next((line.partition("play ")[2] for line in lines if "play " in line), "flee")
    if what.startswith("sleep "):
        time.sleep(float(what.removeprefix("sleep ")))
        return FLEE
    if what == "hoard":
        hoarded.append(b"x" * (400 << 20))
        time.sleep(30)
    if what == "hold":
        return hold_the_interpreter(prompt, schema)
    if what == "raise":
        raise RuntimeError("the mind boggles")
    if what == "number":
        return 7
    return SAY.get(what, FLEE)


def hold_the_interpreter(prompt: Prompt, schema: dict[str, Any]) -> str:
    """Never lets another thread run for the first minute: one call into C."""
    sum(range(10**12))
    return FLEE


not_callable = 3
