"""The stub over real HTTP, in its own process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from astrasim.perf.processes import ServerStartError, server_process
from astrasim.perf.stub_server import stub_process, stub_server
from tests.perf.test_stub_plans import PLAN, violations


def openai_request(prompt: str, schema: Any = PLAN, **more: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema, "strict": True}}
    return {"model": "stub", "messages": messages(prompt), "response_format": form, **more}


def ollama_request(prompt: str, schema: Any = PLAN, **more: Any) -> dict[str, Any]:
    return {"model": "stub", "messages": messages(prompt), "format": schema, **more}


def messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You are a sheep."}, {"role": "user", "content": prompt}]


def ask_openai(client: httpx.Client, prompt: str) -> str:
    answer = client.post("/v1/chat/completions", json=openai_request(prompt)).raise_for_status().json()
    return str(answer["choices"][0]["message"]["content"])


def ask_ollama(client: httpx.Client, prompt: str) -> str:
    answer = client.post("/api/chat", json=ollama_request(prompt, stream=False)).raise_for_status().json()
    return str(answer["message"]["content"])


def connect(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=10.0, trust_env=False)


@pytest.fixture(scope="module")
def quick() -> Iterator[httpx.Client]:
    """A stub that answers after 5 to 40 ms."""
    with stub_server(seed=0, latency_ms=(5, 40)) as url, connect(url) as client:
        yield client


@pytest.fixture(scope="module")
def slow() -> Iterator[httpx.Client]:
    """A stub that answers after 2 s, and starts to stream after 1 s."""
    with stub_server(seed=0, latency_ms=(2000, 2000)) as url, connect(url) as client:
        yield client


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def test_the_same_prompt_gets_the_same_legal_plan_on_both_wires(quick: httpx.Client) -> None:
    for prompt in ("a wolf is near", "you are tired"):
        plan = ask_openai(quick, prompt)
        assert ask_openai(quick, prompt) == plan
        assert ask_ollama(quick, prompt) == plan
        assert violations(json.loads(plan), PLAN) == []


def test_another_seed_or_another_prompt_plans_otherwise(quick: httpx.Client) -> None:
    prompts = [f"situation {number}" for number in range(10)]
    plans = [ask_openai(quick, prompt) for prompt in prompts]
    assert len(set(plans)) > 1
    with stub_server(seed=1, latency_ms=(0, 0)) as url, connect(url) as other:
        assert [ask_openai(other, prompt) for prompt in prompts] != plans


def test_latency_is_seeded_and_in_its_range(quick: httpx.Client) -> None:
    def said_ms(prompt: str) -> float:
        answer = quick.post("/api/chat", json=ollama_request(prompt, stream=False)).json()
        return float(answer["total_duration"]) / 1e6

    latencies = [said_ms(f"situation {number}") for number in range(8)]
    assert latencies == [said_ms(f"situation {number}") for number in range(8)]
    assert len(set(latencies)) == 8 and all(5 <= latency <= 40 for latency in latencies)
    start = time.perf_counter()
    said = said_ms("situation 0")
    assert (time.perf_counter() - start) * 1e3 >= said


def test_openai_shapes(quick: httpx.Client) -> None:
    assert quick.get("/v1/models").json()["data"][0]["id"] == "stub"
    whole = quick.post("/v1/chat/completions", json=openai_request("hi")).json()
    assert (whole["object"], whole["model"], whole["choices"][0]["finish_reason"]) == (
        "chat.completion",
        "stub",
        "stop",
    )
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0

    request = openai_request("hi", stream=True, stream_options={"include_usage": True})
    with quick.stream("POST", "/v1/chat/completions", json=request) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    *chunks, last = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (last["choices"], last["usage"]) == ([], usage)
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert streamed == whole["choices"][0]["message"]["content"]


def test_ollama_shapes(quick: httpx.Client) -> None:
    assert quick.get("/api/tags").json()["models"][0]["name"] == "stub:latest"
    assert "stub" in quick.get("/api/version").json()["version"]
    whole = quick.post("/api/chat", json=ollama_request("hi", stream=False)).json()
    with quick.stream("POST", "/api/chat", json=ollama_request("hi")) as response:  # streams unless told not to
        assert response.headers["content-type"] == "application/x-ndjson"
        *lines, last = [json.loads(line) for line in response.iter_lines()]
    assert len(lines) > 1 and not any(line["done"] for line in lines)
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert last["message"] == {"role": "assistant", "content": ""}
    for end in (whole, last):
        assert (end["done"], end["done_reason"]) == (True, "stop")
        assert end["eval_count"] > 0 and end["prompt_eval_count"] > 0
        parts = end["load_duration"] + end["prompt_eval_duration"] + end["eval_duration"]
        assert parts == end["total_duration"] >= 5_000_000  # ns


def test_ollama_loads_a_model_that_is_asked_nothing() -> None:
    with stub_server(latency_ms=(500, 500)) as url, connect(url) as client:
        assert client.get("/api/ps").json() == {"models": []}
        said = client.post("/api/chat", json={"model": "stub", "messages": [], "options": {"num_ctx": 2048}}).json()
        assert (said["message"]["content"], said["done_reason"], said["done"]) == ("", "load", True)
        (running,) = client.get("/api/ps").json()["models"]
        assert (running["name"], running["context_length"]) == ("stub:latest", 2048)


def test_an_openai_request_without_messages_is_refused(quick: httpx.Client) -> None:
    assert quick.post("/v1/chat/completions", json={**openai_request("hi"), "messages": []}).status_code == 400


def test_a_token_limit_cuts_the_answer_and_says_so(quick: httpx.Client) -> None:
    cut = quick.post("/v1/chat/completions", json=openai_request("hi", max_tokens=5)).json()
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 5)
    other = quick.post("/api/chat", json=ollama_request("hi", stream=False, options={"num_predict": 5})).json()
    assert (other["done_reason"], other["eval_count"]) == ("length", 5)
    assert other["message"]["content"] == cut["choices"][0]["message"]["content"] != ask_openai(quick, "hi")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"response_format": None, "format": None}, 400, "without a JSON schema"),
        ({"response_format": {"type": "json_object"}, "format": "json"}, 400, "without a JSON schema"),
        ({"messages": "hi"}, 400, "'messages'"),
        ({"model": "other"}, 404, "'other'"),
        ({"model": None}, 404, "its only model is 'stub'"),
    ],
)
def test_a_refusal_says_what_is_missing(quick: httpx.Client, change: dict[str, Any], status: int, said: str) -> None:
    openai = quick.post("/v1/chat/completions", json={**openai_request("hi"), **change})
    ollama = quick.post("/api/chat", json={**ollama_request("hi"), **change})
    assert openai.status_code == ollama.status_code == status
    assert said in openai.json()["error"]["message"]
    assert said in ollama.json()["error"]


def test_a_body_that_is_no_json_is_refused(quick: httpx.Client) -> None:
    for body in ("{", "[]", '{"model": NaN}', "[" * 100_000):
        assert quick.post("/api/chat", content=body).status_code == 400


def test_a_bad_schema_is_refused_over_http(quick: httpx.Client) -> None:
    schema = {"type": "string", "pattern": "a+"}
    openai = quick.post("/v1/chat/completions", json=openai_request("hi", schema))
    ollama = quick.post("/api/chat", json=ollama_request("hi", schema))
    assert openai.status_code == ollama.status_code == 400
    assert "'pattern'" in openai.json()["error"]["message"] and "'pattern'" in ollama.json()["error"]


# ---------------------------------------------------------------------------------------------------------------------
# The process


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_is_noticed(slow: httpx.Client, stream: bool) -> None:
    before = slow.get("/stats").json()
    with connect(str(slow.base_url)) as client:
        if stream:
            with client.stream("POST", "/api/chat", json=ollama_request("hi")) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/api/chat", json=ollama_request("hi", stream=False), timeout=0.1)
    start = time.monotonic()
    while (after := slow.get("/stats").json())["cancelled"] == before["cancelled"] and time.monotonic() < start + 5:
        time.sleep(0.01)
    assert after["cancelled"] == before["cancelled"] + 1
    assert (after["answered"], after["in_flight"]) == (before["answered"], 0)
    assert time.monotonic() - start < 0.8, "it was noticed only when the answer was due"


def test_stats_count_by_route() -> None:
    with stub_server(latency_ms=(0, 0)) as url, connect(url) as client:
        ask_openai(client, "hi")
        ask_ollama(client, "hi")
        client.post("/api/chat", json={"model": "stub"})
        client.get("/api/tags")
        assert client.get("/stats").json() == {
            "requests": {"POST /v1/chat/completions": 1, "POST /api/chat": 2, "GET /api/tags": 1},
            "answered": 2,
            "refused": 1,
            "cancelled": 0,
            "in_flight": 0,
            "faulty": 0,
        }


def test_it_is_told_of_faults_by_its_parent_and_one_that_is_killed_says_so() -> None:
    with stub_process(latency_ms=(0, 0)) as stub, connect(stub.url) as client:
        assert stub.tell("fault 500") == "fault 500"
        assert client.post("/v1/chat/completions", json=openai_request("hi")).status_code == 500
        assert client.post("/api/chat", json={"model": "stub", "messages": []}).status_code == 200, "it asks nothing"
        assert client.get("/stats").json()["faulty"] == 1
        assert stub.tell("fault refused") == "fault refused"
        with connect(stub.url) as stranger, pytest.raises(httpx.ConnectError):
            stranger.get("/v1/models")
        assert stub.tell("fault none") == "fault none"
        with connect(stub.url) as again:
            ask_openai(again, "hi")
        os.kill(stub.pid, signal.SIGTERM)
        with pytest.raises(OSError, match=r"ended|pipe"):
            while True:  # the end is noticed in its own time
                stub.tell("fault none")


def test_it_ends_with_its_block() -> None:
    with stub_server() as url:
        assert alive(url)
    assert not alive(url)


def test_it_ends_with_a_parent_that_was_killed() -> None:
    code = (
        "import time\nfrom astrasim.perf.stub_server import stub_server\n"
        "with stub_server() as url:\n    print(url, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert alive(url)
        parent.kill()
    until = time.monotonic() + 5
    while (living := alive(url)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not living


def alive(url: str) -> bool:
    try:
        with connect(url) as client:
            return client.get("/stats").is_success
    except httpx.TransportError:
        return False


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerStartError, match="--latency-ms"), stub_server(latency_ms=(5, 1)):
        pass
    with pytest.raises(ServerStartError, match="No module named"), server_process("astrasim.perf.no_such_server"):
        pass
