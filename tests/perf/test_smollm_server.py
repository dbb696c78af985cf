"""The real small model over real HTTP. Slow: it loads 98 MB, and fetches them the first time."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from astrasim.perf.smollm_server import MODEL, smollm_server

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install 'astrasim[embedded]'")
pytestmark = pytest.mark.slow

TARGETS = {"attack": ["nearest_enemy"], "patrol": ["bridge", "gate"]}
STEP = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "action": {"const": action},
                "target": {"enum": targets},
                "seconds": {"type": "integer", "minimum": 2, "maximum": 9},
            },
            "required": ["action", "target", "seconds"],
            "additionalProperties": False,
        }
        for action, targets in TARGETS.items()
    ]
}
PLAN = {
    "type": "object",
    "properties": {"steps": {"type": "array", "minItems": 2, "maxItems": 3, "items": STEP}},
    "required": ["steps"],
    "additionalProperties": False,
}


def request(seed: int, **more: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": 'You plan for a guard. Answer with JSON only: {"steps": [...]}'},
            {"role": "user", "content": "Situation: an enemy is near; your health is fair. What do you do?"},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "schema": PLAN, "strict": True}},
        "max_tokens": 250,
        "temperature": 1.0,
        "seed": seed,
        **more,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with smollm_server() as address:
        headers = {"Authorization": f"Bearer {address.api_key}"}
        with httpx.Client(base_url=address.url, headers=headers, timeout=60.0, trust_env=False) as client:
            yield client


def legal(text: str) -> bool:
    steps = json.loads(text)["steps"]
    return 2 <= len(steps) <= 3 and all(
        set(step) == {"action", "target", "seconds"}
        and step["target"] in TARGETS[step["action"]]
        and isinstance(step["seconds"], int)
        and 2 <= step["seconds"] <= 9
        for step in steps
    )


def test_answers_obey_the_schema(server: httpx.Client) -> None:
    for seed in range(3):
        answer = server.post("/v1/chat/completions", json=request(seed)).raise_for_status().json()
        assert answer["model"] == MODEL
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert legal(answer["choices"][0]["message"]["content"])


def test_a_stream_carries_the_same_kind_of_answer(server: httpx.Client) -> None:
    with server.stream("POST", "/v1/chat/completions", json=request(0, stream=True)) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert choices[-1]["finish_reason"] == "stop"
    assert legal("".join(choice["delta"].get("content") or "" for choice in choices))


def test_a_token_limit_is_told(server: httpx.Client) -> None:
    answer = server.post("/v1/chat/completions", json=request(0, max_tokens=5)).json()
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_wrong_key_is_refused(server: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        url = f"{str(server.base_url).rstrip('/')}/v1/chat/completions"
        response = httpx.post(url, json=request(0), headers=headers, trust_env=False)
        assert response.status_code == 401
        assert response.json()["error"]["message"] == "Invalid API Key"
