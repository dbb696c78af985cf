"""What Perfetto and chrome://tracing make of a trace: a reader as strict as both together, and what it finds.

After the "Trace Event Format" (the document that :mod:`astrasim.trace_events` names), and after what Perfetto's
``src/trace_processor/importers/json`` refuses or drops without a word. Neither can be run here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import pytest

Event = dict[str, Any]
UINT32, EXACT = 1 << 32, 1 << 53
"""Perfetto keeps so many processes and threads; chrome://tracing, being JavaScript, knows whole numbers so far."""
KNOWN = {
    "X": {"name", "cat", "ts", "dur"}, "B": {"name", "cat", "ts"}, "E": {"ts"}, "b": {"name", "cat", "ts", "id"},
    "e": {"name", "cat", "ts", "id"}, "M": {"name", "args"},
}  # fmt: skip
"""The phases that we write, and what each must have besides ``ph``, ``pid`` and ``tid``."""
OPTIONAL = {"args", "bind_id", "flow_in", "flow_out"}


def opened(text: str) -> list[Event]:
    """The events of a file that may end anywhere, as Perfetto reads an array; a last event that is cut off is left out.

    Raises:
        ValueError: it is none that Perfetto opens.
    """
    if not text.startswith("["):
        raise ValueError("no array")
    events: list[Event] = []
    decoder = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_object)
    at, whole = 1, len(text)
    while True:
        while at < whole and (text[at].isspace() or text[at] == ","):
            at += 1
        if at < whole and text[at] == "]":
            if text[at + 1 :]:
                raise ValueError("data after the end")  # Perfetto refuses it if it comes in a piece of its own
            return events
        try:
            event, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            if "\n" in text[at:].rstrip("\n"):  # an event is a line: only the last may be broken
                raise
            return events
        events.append(event)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> Event:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(f"a name twice in {pairs}")
    return dict(pairs)


def problems(events: list[Event], cut: bool = False) -> list[str]:
    """What would be refused, dropped or drawn wrongly. ``cut``: the file ended early, so slices may be open still."""
    found = [f"{what}: {event}" for event in events for what in _of_one(event)]
    if found:
        return found  # the rest would fall over it
    found += _processes(events)
    # As theirs, this keeps the order of those that have the same time.
    timed = sorted((event for event in events if event["ph"] != "M"), key=lambda event: event["ts"])
    stacks: dict[Any, list[Event]] = defaultdict(list)
    arrows: set[str] = set()
    for event in timed:
        track = (event["cat"], event["id"]) if event["ph"] in "be" else event["tid"]
        stack = stacks[track]
        while stack and stack[-1]["ph"] == "X" and stack[-1]["ts"] + stack[-1]["dur"] <= event["ts"]:
            stack.pop()
        if event["ph"] in "Ee":
            if not stack or stack[-1]["ph"] not in "Bb":
                found.append(f"ends nothing: {event}")
            elif (begun := stack.pop()).get("name") != event.get("name", begun["name"]):
                found.append(f"ends {begun['name']}, which it is not: {event}")
            continue
        if stack and stack[-1]["ph"] == "X" and _end(event) > _end(stack[-1]):
            found.append(f"overlaps {stack[-1]}: {event}")
        stack.append(event)
        if event.get("flow_out"):
            if event["bind_id"] in arrows:
                found.append(f"a second arrow of this id: {event}")
            arrows.add(event["bind_id"])
        if event.get("flow_in") and event["bind_id"] not in arrows:
            found.append(f"an arrow from nowhere: {event}")
    if not cut:
        found += [f"never ends: {event}" for stack in stacks.values() for event in stack if event["ph"] != "X"]
    return found


def _end(event: Event) -> float:
    return float(event["ts"] + event["dur"]) if event["ph"] == "X" else math.inf


def _of_one(event: Event) -> list[str]:
    phase = event.get("ph")
    if phase not in KNOWN:
        return ["no such phase"]
    given = set(event) - {"ph", "pid", "tid"}
    found = [f"lacks {name}" for name in sorted(KNOWN[phase] - given)]
    found += [f"has {name}, which nobody reads" for name in sorted(given - KNOWN[phase] - OPTIONAL)]
    for name in ("pid", "tid"):
        if type(event.get(name)) is not int or not 0 < event[name] < UINT32:
            found.append(f"{name} is no whole number that Perfetto keeps")
    for name in given & {"ts", "dur"}:
        if type(event[name]) is not int or not 0 <= event[name] < EXACT:
            found.append(f"{name} is not in whole microseconds")
    for name in given & {"name", "cat"}:
        if not isinstance(event[name], str) or not event[name] or (name == "cat" and "," in event[name]):
            found.append(f"{name} is no text")
    for name in given & {"id", "bind_id"}:
        if not isinstance(event[name], str) or int(event[name], 16) >= 1 << 64:
            found.append(f"{name} is no hexadecimal number of 64 bits")
    for name in given & {"flow_in", "flow_out"}:
        if event[name] is not True or "bind_id" not in event or phase not in "XBb":
            found.append(f"{name} says nothing")
    args = event.get("args", {})
    if not isinstance(args, dict):
        return [*found, "args is no object"]
    return found + [f"args.{name} is nothing that both can show" for name, value in args.items() if not _shown(value)]


def _shown(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= EXACT
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, bool))


def _processes(events: list[Event]) -> list[str]:
    """Perfetto knows a thread by its ``tid`` alone; a name that comes twice replaces the first."""
    found: list[str] = []
    of: dict[int, int] = {}
    named: set[tuple[str, int]] = set()
    for event in events:
        if of.setdefault(event["tid"], event["pid"]) != event["pid"]:
            found.append(f"a thread of two processes: {event}")
        if event["ph"] == "M":
            about = (event["name"], event["tid"])
            if event["name"] not in ("process_name", "thread_name") or not event["args"].get("name"):
                found.append(f"names nothing: {event}")
            if about in named:
                found.append(f"names it again: {event}")
            named.add(about)
    return found


def test_the_reader_sees_what_is_wrong() -> None:
    tick = {"ph": "X", "pid": 1, "tid": 1, "name": "tick", "cat": "tick", "ts": 10, "dur": 10}
    begin = {"ph": "B", "pid": 2, "tid": 5, "name": "plan", "cat": "plan", "ts": 10}
    asked = {"ph": "b", "pid": 1, "tid": 1, "name": "request", "cat": "request", "id": "0x1", "ts": 1}
    end, answered = {"ph": "E", "pid": 2, "tid": 5, "ts": 20}, asked | {"ph": "e", "ts": 2}
    assert problems([tick, begin, end, asked | {"bind_id": "0x1", "flow_out": True}, answered]) == []
    wrong: list[tuple[str, list[Event]]] = [
        ("overlaps", [tick, tick | {"ts": 15}]),
        ("whole microseconds", [tick | {"ts": 1.5}]),
        ("whole microseconds", [tick | {"dur": -1}]),
        ("lacks dur", [{name: value for name, value in tick.items() if name != "dur"}]),
        ("no such phase", [tick | {"ph": "Q"}]),
        ("never ends", [begin]),
        ("ends nothing", [end]),
        ("ends request, which it is not", [asked, answered | {"name": "sent"}]),
        ("no whole number", [tick | {"tid": 0}]),
        ("no whole number", [tick | {"tid": 1 << 32}]),
        ("two processes", [tick, begin | {"tid": 1}, end | {"tid": 1}]),
        ("from nowhere", [begin | {"bind_id": "0x9", "flow_in": True}, end]),
        ("says nothing", [begin | {"flow_in": True}, end]),
        ("can show", [tick | {"args": {"key": 1 << 60}}]),
        ("can show", [tick | {"args": {"where": [1, 2]}}]),
        ("names nothing", [{"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {}}]),
    ]
    for words, events in wrong:
        assert any(words in problem for problem in problems(events)), (words, problems(events))
    for text in ("", '{"a": 1}', "[\n]\n", '[\n{"a": NaN}]', '[\n{"a": 1, "a": 2}]', '[\n{"a": \n,{}]'):
        with pytest.raises(ValueError):
            opened(text)
    assert opened('[\n{"a": 1},\n{"b') == [{"a": 1}]
