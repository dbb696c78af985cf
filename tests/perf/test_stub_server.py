"""The stub over real HTTP, in its own process, and its drawing from schemas directly."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.perf.processes import ServerStartError, server_process
from astrasim.perf.stub_plans import SchemaError, check, draw
from astrasim.perf.stub_server import stub_process, stub_server

STEPS = {
    "flee": {"target": {"enum": ["threat"]}, "seconds": {"type": "integer", "minimum": 1, "maximum": 8}},
    "graze": {"target": {"enum": ["pasture", "home"]}, "seconds": {"type": "number", "minimum": 2, "maximum": 12}},
}
PLAN = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 8,
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"action": {"const": action}, **rest},
                        "required": ["action", "target", "seconds"],
                        "additionalProperties": False,
                    }
                    for action, rest in STEPS.items()
                ]
            },
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}


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


# ---------------------------------------------------------------------------------------------------------------------
# Plans from schemas


def violations(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """What is wrong with `value`, keyword by keyword, as the JSON Schema specification defines each alone."""

    def inner(keyword: str) -> list[list[str]]:
        return [violations(value, branch, f"{where}.{keyword}") for branch in schema[keyword]]

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    types: dict[str, Callable[[Any], bool]] = {
        "object": lambda value: isinstance(value, dict),
        "array": lambda value: isinstance(value, list),
        "string": lambda value: isinstance(value, str),
        "boolean": lambda value: isinstance(value, bool),
        "number": number,
        "integer": lambda value: number(value) and value == int(value),
    }
    rules: dict[str, Callable[[Any], bool]] = {
        "type": lambda kind: types[kind](value),
        "const": lambda wanted: equal(value, wanted),
        "enum": lambda wanted: any(equal(value, each) for each in wanted),
        "anyOf": lambda branches: [] in inner("anyOf"),
        "oneOf": lambda branches: inner("oneOf").count([]) == 1,
        "minimum": lambda least: not number(value) or value >= least,
        "maximum": lambda most: not number(value) or value <= most,
        "minItems": lambda least: not isinstance(value, list) or len(value) >= least,
        "maxItems": lambda most: not isinstance(value, list) or len(value) <= most,
        "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
        "additionalProperties": lambda allowed: (
            allowed or not isinstance(value, dict) or set(value) <= set(schema.get("properties", {}))
        ),
    }
    found = [
        f"{where}: {keyword}" for keyword, holds in rules.items() if keyword in schema and not holds(schema[keyword])
    ]
    if isinstance(value, list) and "items" in schema:
        found += [each for item in value for each in violations(item, schema["items"], f"{where}[]")]
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                found += violations(value[name], child, f"{where}.{name}")
    return found


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which 1 is 1.0 but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return bool(one == other)


NUMBERS = st.integers(-20, 20) | st.floats(-20, 20) | st.sampled_from([1e300, -1e300, 10**20])
VALUES = st.recursive(
    st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 1.5, None, "a", "b"]),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.sampled_from("ab"), children, max_size=2),
    max_leaves=3,
)


@st.composite
def ranges(draw: st.DrawFn, kind: str, lower: str, upper: str, bounds: st.SearchStrategy[Any]) -> dict[str, Any]:
    low, high = sorted([draw(bounds), draw(bounds)])
    return {"type": kind, **draw(st.fixed_dictionaries({}, optional={lower: st.just(low), upper: st.just(high)}))}


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def finish(made: tuple[dict[str, Any], set[str], dict[str, Any]]) -> dict[str, Any]:
        properties, required, more = made
        return {"type": "object", "properties": properties, "required": sorted(required & set(properties)), **more}

    properties = st.dictionaries(st.sampled_from("abcd"), children, max_size=3)
    more = st.fixed_dictionaries({}, optional={"additionalProperties": st.booleans(), "title": st.just("t")})
    return st.tuples(properties, st.sets(st.sampled_from("abcd")), more).map(finish)


def arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(ranges("array", "minItems", "maxItems", st.integers(0, 9)), children).map(
        lambda made: {**made[0], "items": made[1]}
    )


def unions(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda keyword, branches: {keyword: branches},
        st.sampled_from(["anyOf", "oneOf"]),
        st.lists(children, min_size=1, max_size=3),
    )


SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}])
    | ranges("number", "minimum", "maximum", NUMBERS)
    | ranges("integer", "minimum", "maximum", NUMBERS)
    | VALUES.map(lambda value: {"const": value})
    | st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values})
    | st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": [*values, "a"], "type": "string"}),
    lambda children: objects(children) | arrays(children) | unions(children),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 1000))
def test_whatever_is_drawn_obeys_its_schema(schema: dict[str, Any], seed: int) -> None:
    try:
        check(schema)
        value = draw(schema, random.Random(seed))
    except SchemaError as error:
        assert "oneOf" in str(error) or "no integer lies between" in str(error)
        return
    value = json.loads(json.dumps(value, allow_nan=False))  # as the client sees it
    assert violations(value, schema) == []
    assert draw(schema, random.Random(seed)) == value


def test_plans_are_short_as_models_write_them() -> None:
    lengths = [len(draw(PLAN, random.Random(seed))["steps"]) for seed in range(500)]
    assert set(lengths) == set(range(1, 9))
    assert 0.85 < sum(length <= 4 for length in lengths) / 500 < 1.0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (True, "needs an object"),
        ({}, "needs 'type'"),
        ({"type": "null"}, "'type' is \"null\""),
        ({"type": ["string", "boolean"]}, "'type' is"),
        ({"$ref": "#/$defs/step"}, r"\$ref"),
        ({"type": "string", "pattern": "a+"}, "'pattern'"),
        ({"type": "array", "items": {"type": "string", "minLength": 1}}, "schema.items: .* 'minLength'"),
        ({"type": "array"}, "schema.items is null"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 2}, "'minItems' 3 is above"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 10**9}, "at most 1000"),
        ({"type": "integer", "minimum": 0.2, "maximum": 0.8}, "no integer lies between"),
        ({"type": "number", "minimum": "3"}, "'minimum' is \"3\""),
        ({"type": "number", "maximum": 1e999}, "'maximum' is Infinity"),
        ({"type": "object", "required": ["a"]}, "'required' names \"a\""),
        ({"type": "object", "properties": {"a": {"allOf": []}}}, r"schema\.a: .*allOf"),
        ({"anyOf": []}, "'anyOf' is"),
        ({"anyOf": [{"type": "string"}], "type": "string"}, "'type'"),
        ({"enum": []}, "'enum' is"),
        ({"const": 3, "type": "string"}, "'const' holds no value"),
    ],
)
def test_a_schema_that_it_cannot_draw_from_is_named(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        check(schema)


def test_a_one_of_whose_branches_are_the_same_is_refused() -> None:
    schema = {"oneOf": [{"type": "integer"}, {"type": "integer"}]}
    check(schema)
    with pytest.raises(SchemaError, match="exactly one branch"):
        draw(schema, random.Random(0))


def test_a_bad_schema_is_refused_over_http(quick: httpx.Client) -> None:
    schema = {"type": "string", "pattern": "a+"}
    openai = quick.post("/v1/chat/completions", json=openai_request("hi", schema))
    ollama = quick.post("/api/chat", json=ollama_request("hi", schema))
    assert openai.status_code == ollama.status_code == 400
    assert "'pattern'" in openai.json()["error"]["message"] and "'pattern'" in ollama.json()["error"]
