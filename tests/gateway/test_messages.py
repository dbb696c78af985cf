from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astrasim.gateway.messages import RAW_CHARS, clean, read_answer, read_failure

if TYPE_CHECKING:
    from tests.gateway.conftest import Meadow

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
step_likes = st.lists(
    st.lists(st.integers(-1, 3) | st.floats() | st.booleans() | st.none(), min_size=2, max_size=4) | anything,
    max_size=9,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "steps": step_likes | anything,
        "raw": st.text() | anything,
        "ms": st.floats() | anything,
        "reason": st.text(max_size=60) | anything,
        "detail": st.text() | anything,
        "rejected": st.booleans() | anything,
    },
)


@settings(deadline=None, max_examples=50)
@given(fields)
def test_whatever_comes_is_a_sound_result_or_none(meadow: Meadow, message: dict[str, object]) -> None:
    answer = read_answer(message, 1, meadow.vocabulary, meadow.scope())
    if answer is not None:
        assert 1 <= len(answer.steps) <= 8
        for action, target, seconds in answer.steps:
            assert meadow.vocabulary.actions[action] and meadow.vocabulary.targets[target]
            assert action >= 0 and target >= 0 and 0.5 <= seconds <= 30.0
        assert answer.latency_ms >= 0
        answer.raw.encode()
    failure = read_failure(message, 1)
    if failure is not None:
        assert failure.reason
        failure.detail.encode()


@pytest.mark.parametrize("text", ["", "plan", "Übung 🐑", "x" * 5000, "\ud800", "🐑" * 3000])
def test_clean_text_is_short_and_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) == min(len(text), RAW_CHARS)
    assert cleaned.encode().decode() == cleaned
