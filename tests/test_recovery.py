"""Plans out of what models really send: read where there is one meaning, refused where there are none or two."""

from __future__ import annotations

import json

import pytest

from astrasim import Domain, PlanRejected
from astrasim.compiled import compile_domain
from astrasim.reader import MAX_ANSWER_CHARS, Steps
from astrasim.recovery import recover_plan
from astrasim.vocabulary import Scope

REASONS = {
    "too_long", "not_json", "wrong_shape", "wrong_length", "unknown_action", "unknown_target", "bad_duration",
    "cut_off", "ambiguous",
}  # fmt: skip


def make_fort() -> Domain:
    fort = Domain("fort", ["guard", "thief"], max_seconds=12.5)
    fort.percept("nearest_enemy", nearest="thief", seen_by="guard", radius=30)
    fort.place("bridge", x=5, y=5)
    fort.place("gate", x=0, y=5)
    fort.place("gate_2", x=9, y=5)
    fort.stock("attack", targets=["nearest_enemy"], damage=3, range=2, seconds=3)
    fort.stock("hold", targets=["bridge", "gate", "gate_2", "home"], seconds=2.5)
    fort.stock("patrol", name="walk_around", targets=["bridge"], speed=2, seconds=5)
    fort.role("statue", kinds="guard", actions="hold")
    return fort


FORT = compile_domain(make_fort())
WORDS = FORT.vocabulary
GUARD = FORT.scope("guard", FORT.role_for("guard", None), "", "none")
STATUE = FORT.scope("guard", FORT.role_for("guard", "statue"), "", "none")

ATTACK, HOLD, WALK = ("attack", "nearest_enemy", 3), ("hold", "bridge", 4), ("walk_around", "bridge", 5)


def named(steps: Steps) -> list[tuple[str, str, float]]:
    return [(WORDS.actions[a].name, WORDS.targets[t], seconds) for a, t, seconds in steps]


def read(text: str, scope: Scope = GUARD) -> list[tuple[str, str, float]]:
    return named(recover_plan(text, WORDS, scope))


def why_not(text: str, scope: Scope = GUARD) -> str:
    with pytest.raises(PlanRejected) as caught:
        read(text, scope)
    assert len(str(caught.value)) < 400, "an answer of 64 KiB is not repeated in full"
    return caught.value.reason


# What models sent, in the manner of each

SENT: dict[str, tuple[str, list[tuple[str, str, float]]]] = {
    "a plain answer": (
        '{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}]}', [ATTACK]),
    "Gemma's fence": (
        '```json\n{\n  "steps": [\n    {\n      "action": "hold",\n      "target": "bridge",\n      "seconds": 4\n'
        "    }\n  ]\n}\n```\n", [HOLD]),
    "a fence that does not end": (
        '```json\n{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}\n', [HOLD]),
    "GPT's prose": (
        "Sure! Here's the plan I'd suggest for the guard:\n\n```json\n"
        '{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}, '
        '{"action": "hold", "target": "bridge", "seconds": 4}]}\n```\n\n'
        "**Why?** The thief (see [above]) is in reach, so it's best to strike first {then hold}. Good luck!",
        [ATTACK, HOLD]),
    "prose without a fence": (
        'The guard should hold. {"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]} Let me know [1].',
        [HOLD]),
    "Qwen that thought": (
        "<think>\nOkay, the thief is near. Options: {\"steps\": [{\"action\": \"hold\", ... Hmm, no. I'd attack.\n"
        '</think>\n\n{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}]}', [ATTACK]),
    "Qwen that did not": (
        '<think>\n\n</think>\n\n{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}', [HOLD]),
    "DeepSeek, whose template opens the thought": (
        'So maybe {"steps": [{"action": "hold", "target": "gate", "seconds": 4}]}? No: the bridge.\n</think>\n'
        '```json\n{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}\n```', [HOLD]),
    "Magistral's thought": (
        '[THINK]hold or attack?[/THINK]{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}]}',
        [ATTACK]),
    "Mistral's tool call": (
        '[TOOL_CALLS][{"name": "plan", "arguments": '
        '{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}}]', [HOLD]),
    "Mistral's newer tool call": (
        '[TOOL_CALLS]plan[ARGS]{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}', [HOLD]),
    "Llama 3's tool call": (
        '<|python_tag|>{"name": "make_plan", "parameters": {"steps": '
        '[{"action": "attack", "target": "nearest_enemy", "seconds": "3"}]}}<|eom_id|>', [ATTACK]),
    "Llama 3 that takes the actions for tools": (
        '{"name": "attack", "parameters": {"target": "nearest_enemy", "seconds": "3"}}', [ATTACK]),
    "Llama 3.1's function tag": (
        '<function=plan>{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}</function>', [HOLD]),
    "Hermes's tool call": (
        '<tool_call>\n{"name": "plan", "arguments": {"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}}'
        "\n</tool_call>", [HOLD]),
    "OpenAI's message": (
        json.dumps({"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "plan",
            "arguments": '{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}]}'}}]}), [ATTACK]),
    "OpenAI's older message": (
        json.dumps({"function_call": {"name": "hold", "arguments": '{"target": "bridge", "seconds": 4}'}}), [HOLD]),
    "a response in a response": (
        json.dumps({"response":
            '```json\n{"plan": {"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}}\n```'}), [HOLD]),
    "JSON as a string": (
        json.dumps('{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}'), [HOLD]),
    "a thought as a key": (
        '{"thought": "They are close, [sigh].", "steps": [{"action": "attack", "target": "nearest_enemy", '
        '"seconds": 3, "reason": "it is near"}], "confidence": 0.9}', [ATTACK]),
    "a bare list": (
        '[{"action": "attack", "target": "nearest_enemy", "seconds": 3}, '
        '{"action": "hold", "target": "bridge", "seconds": 4}]', [ATTACK, HOLD]),
    "one step, as asked by the simplified prompt": (
        '{"action": "hold", "target": "bridge", "seconds": 4}', [HOLD]),
    "one step where a list should be": (
        '{"steps": {"action": "hold", "target": "bridge", "seconds": 4}}', [HOLD]),
    "Phi's lines": (
        '{"steps": ["attack nearest_enemy 3", "hold bridge 4 seconds", "walk around bridge"]}', [ATTACK, HOLD, WALK]),
    "a bare list of lines": (
        '["attack nearest_enemy 3", "Hold bridge 4s"]', [ATTACK, HOLD]),
    "lines in one string": (
        '{"steps": "attack nearest_enemy 3\\nhold bridge 4"}', [ATTACK, HOLD]),
    "a list in a string": (
        json.dumps({"steps": '[{"action": "hold", "target": "bridge", "seconds": 4}]'}), [HOLD]),
    "TinyLlama's Python": (
        "{'steps': [{'action': 'attack', 'target': 'nearest_enemy', 'seconds': 3, 'note': 'it\\'s \"near\"',},], "
        "'ok': True,}", [ATTACK]),
    "StarCoder's JavaScript": (
        '{\n  steps: [ // first strike\n    {action: "attack", target: "nearest_enemy", seconds: 3}, // then\n'
        "    {action: 'hold', target: 'bridge', seconds: 4.0},\n  ], # done\n}", [ATTACK, HOLD]),
    "a small model's spelling": (
        '{"Steps": [{"Action": "Attack", "Target": "Nearest Enemy", "Seconds": 3}, '
        '{"action": "walk-around", "target": "BRIDGE", "duration": "5 seconds"}]}', [ATTACK, WALK]),
    "Mixtral's Markdown": (
        r'{"steps": [{"action": "walk\_around", "target": "bridge", "seconds": 5}]}', [WALK]),
    "fractions": (
        '{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 2.6}, '
        '{"action": "hold", "target": "bridge", "seconds": "3.5s"}]}', [ATTACK, HOLD]),
    "no seconds": (
        '{"steps": [{"action": "attack", "target": "nearest_enemy"}, '
        '{"action": "hold", "target": "home", "seconds": null}]}',
        [ATTACK, ("hold", "home", 2.5)]),
    "the only target left out": (
        '{"steps": [{"action": "attack", "seconds": 3}, {"action": "wait", "target": null, "seconds": 1}]}',
        [ATTACK, ("wait", "self", 1)]),
    "the prompt's template first": (
        'In the form {"steps": [{"action": ..., "target": ..., "seconds": ...}]}:\n'
        '{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}', [HOLD]),
    "the same plan twice": (
        '{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}\n\n'
        'In short:\n{"plan": ["hold bridge 4"]}', [HOLD]),
    "a bare list in a fence and nothing else": (
        '```json\n["attack nearest_enemy 3", "hold bridge 4"]\n```', [ATTACK, HOLD]),
    "a bare list of tool calls": (
        '[TOOL_CALLS][{"name": "attack", "arguments": {"target": "nearest_enemy", "seconds": 3}}, '
        '{"name": "wait", "arguments": {}}]', [ATTACK, ("wait", "self", 1)]),
    "a tool call with more to it": (
        '{"index": 0, "id": "call_1", "type": "function", "name": "hold", "seconds": 4, '
        '"arguments": {"target": "bridge"}}', [HOLD]),
    "gpt-oss, thinking on a channel of its own": (
        f'<|channel|>analysis<|message|>Maybe {json.dumps({"steps": ["hold gate 2"]})}? No.<|end|><|start|>assistant'
        '<|channel|>final<|message|>["hold bridge 4"]<|return|>', [HOLD]),
    "gpt-oss behind a server that drops its marks": (
        'analysisMaybe {"steps": ["hold gate 2"]}? No.assistantfinal{"steps": ["hold bridge 4"]}', [HOLD]),
    "gpt-oss's tool call": (
        '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.plan '
        '<|constrain|>json<|message|>{"steps": ["hold bridge 4"]}<|call|>', [HOLD]),
    "Kimi's thought": (
        '◁think▷{"steps": ["hold gate 2"]}? No.◁/think▷{"steps": ["hold bridge 4"]}', [HOLD]),
    "a thought by any other name": (
        '<analysis>["hold gate 2"]</analysis><reasoning>["hold gate"]</reasoning><thinking>[1]</thinking>'
        '["hold bridge 4"]', [HOLD]),
    "steps that are numbered": (
        '[{"step": 1, "action": "attack", "target": "nearest_enemy"}, '
        '{"step": "Step 2", "action": "hold", "target": "bridge", "seconds": 4}]', [ATTACK, HOLD]),
    "one step of several, by its number": (
        '{"step": 2, "score": 0.9, "action": "hold", "target": "bridge", "seconds": 4, "duration_ms": null}', [HOLD]),
    "words about time, and things that are none": (
        '{"reason": "the second thief", "sentiment": "angry", "msg": "1 s", "items": [], "action": "hold", '
        '"target": "bridge", "seconds": 4}', [HOLD]),
    "doubled braces": (
        '{{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}}', [HOLD]),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_a_plan_is_found_in_what_models_send(name: str) -> None:
    text, meant = SENT[name]
    assert read(text) == meant


LATE_TAGS = {"DeepSeek, whose template opens the thought", "gpt-oss behind a server that drops its marks"}


@pytest.mark.parametrize("name", [name for name in SENT if name not in LATE_TAGS])
def test_no_beginning_of_an_answer_passes_for_another_plan(name: str) -> None:
    # LATE_TAGS' thoughts look like an answer until the tag comes; servers say that such a one was cut off.
    text, meant = SENT[name]
    for length in range(len(text)):
        try:
            assert read(text[:length]) == meant, text[:length]
        except PlanRejected as error:
            assert error.reason in REASONS


P = '{"steps": [{"action": "hold", "target": "bridge", "seconds": 4}]}'
Q = '{"steps": [{"action": "attack", "target": "nearest_enemy", "seconds": 3}]}'
REFUSED: dict[str, tuple[str, str]] = {
    "nothing": ("", "not_json"),
    "prose": ("I would hold the bridge.", "not_json"),
    "lines without JSON": ("attack nearest_enemy 3\nhold bridge 4", "not_json"),
    "a refusal": ("I'm sorry, but I can't help with violence.", "not_json"),
    "an empty fence": ("```json\n{}\n```", "not_json"),
    "a citation": ("As said in [1], {see above}.", "not_json"),
    "too long": (P + " " * MAX_ANSWER_CHARS, "too_long"),
    "cut off in a step": (P[:-20], "cut_off"),
    "cut off before the last bracket": (P[:-1], "cut_off"),
    "cut off in a string": (P[:25], "cut_off"),
    "cut off in a fence": ("```json\n" + P[:40], "cut_off"),
    "cut off behind a whole plan": (P + "\n" + Q[:30], "cut_off"),
    "cut off in an envelope": ('{"plan": ' + P, "cut_off"),
    "cut off in a tool call's arguments": (json.dumps({"name": "plan", "arguments": P[:-4]}), "cut_off"),
    "cut off in a thought": ("<think>I could hold. " + P, "cut_off"),
    "cut off in a second thought": (P + "<think>or not?", "cut_off"),
    "a plan in a thought only": ("<think>" + P + "</think>Done.", "not_json"),
    "two plans": (P + "\nor\n" + Q, "ambiguous"),
    "two plans in one object": (f'{{"plan": {P}, "alternative": {Q}}}', "ambiguous"),
    "two tool calls": (json.dumps([{"name": "plan", "arguments": P}, {"name": "plan", "arguments": Q}]), "ambiguous"),
    "a plan, and one against the rules": (P + P.replace("hold", "fly"), "ambiguous"),
    "steps one by one": ('{"action": "attack", "target": "nearest_enemy"}\n{"action": "hold", "target": "home"}',
                         "ambiguous"),
    "a line with two meanings": ('{"steps": ["Hold gate 2"]}', "wrong_shape"),
    "a target that is none": ('{"steps": ["hold the bridge"]}', "wrong_shape"),
    "a step, and something else": ('[{"action": "hold", "target": "bridge"}, {"target": "gate"}]', "wrong_shape"),
    "a step, and a line that is none": ('["hold bridge 3", "fly away"]', "wrong_shape"),
    "a step in a step": (
        '{"steps": [{"action": "hold", "target": "bridge", "then": {"action": "hold", "target": "gate"}}]}',
        "ambiguous"),
    "a plan in a plan": ('{"steps": ["hold gate", {"steps": ["hold home"]}]}', "ambiguous"),
    "two steps in one tool call": (
        json.dumps({"name": "hold", "arguments": '{"target": "bridge"} {"target": "gate"}'}), "wrong_shape"),
    "a step that is a number": ('{"steps": [3]}', "wrong_shape"),
    "steps that are a number": ('{"steps": 3, "x": 1}', "wrong_shape"),
    "a step without an action": ('{"steps": [{"target": "bridge"}]}', "wrong_shape"),
    "a key that stands twice": ("{'steps': [{'action': 'hold', 'target': 'home', 'Target': 'bridge'}]}", "wrong_shape"),
    "two durations": ('{"steps": [{"action": "attack", "seconds": 3, "duration": 4}]}', "wrong_shape"),
    "no target, and several to choose from": ('{"steps": [{"action": "hold", "seconds": 3}]}', "unknown_target"),
    "no steps": ('{"plan": {"steps": []}}', "wrong_length"),
    "nine steps": (json.dumps({"steps": ["attack nearest_enemy"] * 9}), "wrong_length"),
    "another game's action": ('{"action": "fly", "target": "bridge", "seconds": 4}', "unknown_action"),
    "another role's target": ('{"action": "attack", "target": "bridge", "seconds": 4}', "unknown_target"),
    "two hours": ('{"action": "attack", "target": "nearest_enemy", "seconds": 7200}', "bad_duration"),
    "no time at all": ('{"action": "attack", "target": "nearest_enemy", "seconds": 0.4}', "bad_duration"),
    "backwards": ('{"action": "attack", "target": "nearest_enemy", "seconds": "-3"}', "bad_duration"),
    "a while": ('{"action": "attack", "target": "nearest_enemy", "seconds": "a while"}', "bad_duration"),
    "not a number": ('{"action": "attack", "target": "nearest_enemy", "seconds": NaN}', "bad_duration"),
    "for ever": ('{"action": "attack", "target": "nearest_enemy", "seconds": Infinity}', "bad_duration"),
    "true": ('{"action": "attack", "target": "nearest_enemy", "seconds": true}', "bad_duration"),
    "digits": ('{"action": "attack", "target": "nearest_enemy", "seconds": ' + "9" * 60_000 + "}", "bad_duration"),
    "a comma that is missing": (P.replace(', "target"', ' "target"'), "not_json"),
    "a step that makes no sense, then one that does": (
        '{"steps": [{"action": hold!}, {"action": "attack", "target": "nearest_enemy"}]}', "not_json"),
    "a template": ('{"steps": [{"action": ..., "target": ..., "seconds": ...}]}', "not_json"),
    "a plan that goes on": (P[:-2] + ", ...]}", "not_json"),
    "braces": ("{" * MAX_ANSWER_CHARS, "cut_off"),
    "brackets": ("[" * MAX_ANSWER_CHARS, "wrong_shape"),
    "thoughts": (("<think>" * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS], "cut_off"),
    "a thousand plans": (P * 900, "wrong_shape"),
}  # fmt: skip


STEP = '{"action": "attack", "target": "nearest_enemy"}'
LINES = '["attack nearest_enemy", "hold gate", "hold home"]'


def steps_with(**said: tuple[object, object]) -> str:
    """Two steps which say besides what is given, the first and the second."""
    both = [{"action": "attack"}, {"action": "hold", "target": "gate"}]
    return json.dumps({"steps": [step | {k: v[at] for k, v in said.items()} for at, step in enumerate(both)]})


NO_PLANS: dict[str, tuple[str, str]] = {
    "what is legal, and an answer": ('{"legal": ["hold gate"], "answer": "hold home"}', "ambiguous"),
    "what is legal, and a list as the answer": ('{"legal": ["hold gate"], "answer": ["hold home 3"]}', "ambiguous"),
    "what is available": (f'{{"available_actions": {LINES}}}', "ambiguous"),
    "what is available, beside a plan": (f'{{"available_actions": {LINES}, "steps": ["hold home"]}}', "ambiguous"),
    "what is available, in one string": ('{"legal": "hold gate\\nhold home", "steps": ["hold home"]}', "ambiguous"),
    "options in prose": (f"I cannot decide. My options are {LINES}.", "ambiguous"),
    "options in prose, as objects": (f"I cannot decide between these: [{STEP}]", "ambiguous"),
    "options in a fence in prose": (f"My options are\n```json\n{LINES}\n```", "ambiguous"),
    "options in prose in a string": (json.dumps({"plan": f"{LINES} are my options"}), "ambiguous"),
    "a plan, and options in prose": (P + '\n\nIn short:\n["hold bridge 4"]', "ambiguous"),
    "choices": (f'{{"choices": [{STEP}]}}', "ambiguous"),
    "an answer that is a line": ('{"answer": "hold gate"}', "ambiguous"),
    "an answer of lines": (f'{{"answer": {LINES}}}', "ambiguous"),
    "lists of lists": (f"[{LINES}]", "ambiguous"),
    "what is forbidden": ('{"error": "no plan possible", "forbidden": ["attack nearest_enemy"]}', "ambiguous"),
    "what not to do": (f'{{"do_not": {STEP}}}', "ambiguous"),
    "what to avoid": (f'{{"avoid": [{STEP}]}}', "ambiguous"),
    "candidates": ('{"candidates": [{"action": "attack", "score": 0.1}, {"action": "wait", "score": 0.9}]}',
                   "ambiguous"),
    "candidates for a step": (steps_with(score=(0.1, 0.9)), "ambiguous"),
    "options with numbers": (steps_with(option=(1, 2)), "ambiguous"),
    "plans with names": (f'{{"plan_a": {STEP}, "plan_b": null}}', "ambiguous"),
    "the last plan": (f'{{"previous_plan": {P}}}', "ambiguous"),
    "the last plan, and no new one": ('{"previous_plan": ["attack nearest_enemy"], "new_plan": []}', "ambiguous"),
    "the last plan in an envelope": (f'{{"response": {{"previous": {{"steps": [{STEP}]}}}}}}', "ambiguous"),
    "the last plan, as a tool call": (f'{{"last": [{{"function": {{"arguments": {P}}}}}]}}', "ambiguous"),
    "no steps, and actions": (f'{{"plan": [], "actions": [{STEP}]}}', "ambiguous"),
    "a step after a step": ('{"action": "attack", "then": "hold gate"}', "ambiguous"),
    "steps as numbers' values": (f'{{"1": {STEP}, "2": {STEP}}}', "ambiguous"),
    "an order that the player put so": (json.dumps({"order": STEP}), "ambiguous"),
    "an order that the player put so, beside a plan": (json.dumps({"order": STEP, "steps": ["hold gate"]}),
                                                       "ambiguous"),
    "steps numbered the other way round": (steps_with(step=(2, 1)), "ambiguous"),
    "steps numbered in words": (steps_with(order=("last", "first")), "ambiguous"),
    "steps of which one has a number": (steps_with(index=(1, None)), "ambiguous"),
    "steps of one rank": (steps_with(rank=(1, 1)), "ambiguous"),
    "the more urgent step last": (steps_with(priority=("2", "1")), "ambiguous"),
    "tool calls numbered the other way round": (
        '[{"index": 1, "name": "wait", "arguments": {}}, {"index": 0, "name": "attack", "arguments": {}}]',
        "ambiguous"),
    "a tool call that says two things": (
        '{"name": "hold", "target": "gate", "arguments": {"target": "home"}}', "ambiguous"),
    "milliseconds": ('{"action": "attack", "target": "nearest_enemy", "duration_ms": 2000}', "bad_duration"),
    "time": ('{"action": "attack", "target": "nearest_enemy", "time": 9}', "bad_duration"),
    "seconds and ticks": ('{"action": "attack", "seconds": 3, "ticks": 180}', "bad_duration"),
    "three times": ('{"action": "attack", "seconds": 3, "repeat": 3}', "bad_duration"),
    "until something": ('{"action": "attack", "until": "it is dead"}', "bad_duration"),
    "milliseconds beside a tool call's arguments": (
        '{"name": "attack", "arguments": {"target": "nearest_enemy"}, "time_ms": 9}', "bad_duration"),
    "seconds in a step's parameters": ('{"action": "attack", "parameters": {"seconds": 9}}', "wrong_shape"),
    "seconds in a step's input": ('{"action": "attack", "action_input": {"seconds": 9}}', "wrong_shape"),
    "a plan in an analysis": (f"<analysis>{P}</analysis> no plan", "not_json"),
    "a plan in reasoning": (f"<reasoning>{P}</reasoning> no plan", "not_json"),
    "a plan in thinking": (f"<Thinking>{P}</Thinking> no plan", "not_json"),
    "a plan in Kimi's thought": (f"◁think▷{P}◁/think▷ no plan", "not_json"),
    "a plan in gpt-oss's analysis": (
        f"<|channel|>analysis<|message|>maybe {P}<|end|><|start|>assistant<|channel|>final<|message|>no plan",
        "not_json"),
    "a plan in gpt-oss's first of two analyses": (
        f"<|channel|>analysis<|message|>{P}<|channel|>analysis<|message|>no<|channel|>final<|message|>no plan",
        "not_json"),
    "a plan in gpt-oss's analysis that does not end": (f"<|channel|>analysis<|message|>maybe {P}", "cut_off"),
    "a plan in a thought in a string": (json.dumps({"content": f"{P}</think>no plan"}), "wrong_shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_PLANS)
def test_what_reads_like_a_plan_but_need_not_be_one_is_refused(name: str) -> None:
    text, reason = NO_PLANS[name]
    assert why_not(text) == reason


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_meaning_is_refused_with_one_word(name: str) -> None:
    text, reason = REFUSED[name]
    assert why_not(text) == reason


def test_names_that_differ_by_case_only_are_taken_as_written_or_not_at_all() -> None:
    twins = Domain("twins", ["guard"])
    twins.place("Gate", x=0, y=0)
    twins.place("GATE", x=9, y=0)
    twins.stock("hold", targets=["Gate", "GATE"])
    game = compile_domain(twins)
    scope = game.scope("guard", game.role_for("guard", None), "", "none")
    for target in ("Gate", "GATE"):
        [(_, index, _)] = recover_plan(f'{{"action": "Hold", "target": "{target}"}}', game.vocabulary, scope)
        assert game.vocabulary.targets[index] == target
    for text in ('{"action": "hold", "target": "gate"}', '{"steps": ["hold gate"]}'):
        with pytest.raises(PlanRejected):
            recover_plan(text, game.vocabulary, scope)


def test_a_role_can_only_do_its_own_actions_however_they_are_written() -> None:
    assert read('{"steps": ["Hold bridge 4"]}', STATUE) == [HOLD]
    assert why_not('{"steps": ["Attack nearest_enemy 4"]}', STATUE) == "wrong_shape"
    assert why_not('{"Action": "Attack"}', STATUE) == "unknown_action"


def test_a_line_means_what_the_compact_dialect_means_by_it() -> None:
    assert read('{"steps": ["hold gate 2", "hold gate_2", "hold gate_2 3"]}') == [
        ("hold", "gate", 2), ("hold", "gate_2", 2.5), ("hold", "gate_2", 3)]  # fmt: skip
