"""The examples in prompts come from the game's own heuristics."""

from __future__ import annotations

from typing import Any

from astrasim import Domain
from astrasim.compiled import compile_domain
from astrasim.examples import EXAMPLES, examples_of
from astrasim.perf.arena import make_arena
from astrasim.reader import read_compact_plan


def test_examples_are_legal_plans_for_situations_of_their_kind() -> None:
    compiled = compile_domain(make_arena(100))
    examples = examples_of(compiled)
    assert {e.kind for e in examples} == {"red", "blue"}
    for example in examples:
        scope = compiled.scope(example.kind, compiled.roles[example.role], "", "none")
        assert read_compact_plan("\n".join(example.lines), compiled.vocabulary, scope)
        assert 0 <= example.key < compiled.vocabulary.key_space(example.kind)


def test_no_plan_stands_twice_before_all_stood_once() -> None:
    compiled = compile_domain(make_arena(100))
    red = [e.lines for e in examples_of(compiled) if e.kind == "red"]
    assert len(red) == EXAMPLES
    assert len(set(red)) >= 6


def test_they_are_the_same_each_time() -> None:
    assert examples_of(compile_domain(make_arena(100))) == examples_of(compile_domain(make_arena(100)))


def test_a_heuristic_that_raises_gives_none() -> None:
    moods = Domain("moods", ["unit"])
    moods.column("mood")
    moods.feature("humour", column="mood", edges=[0.5], words=["calm", "cross"])

    def broken(situation: Any) -> str:
        if situation.humour:
            raise RuntimeError("never occurs")
        return "wait self 2"

    moods.heuristic("unit")(broken)
    assert [e.lines for e in examples_of(compile_domain(moods))] == [("wait self 2",)]


def test_a_role_without_a_heuristic_has_none() -> None:
    assert examples_of(compile_domain(Domain("empty", ["rock"]))) == ()
