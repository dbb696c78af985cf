"""A step is RUNNING, DONE, FAILED or INTERRUPTED, and goes from one to another only along the ways of its table."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from astrasim import Status, TransitionError
from astrasim.steps import ALLOWED, check_transition, check_transitions

WAYS = {
    (Status.RUNNING, Status.DONE),
    (Status.RUNNING, Status.FAILED),
    (Status.RUNNING, Status.INTERRUPTED),
    (Status.DONE, Status.RUNNING),
    (Status.FAILED, Status.RUNNING),
    (Status.INTERRUPTED, Status.RUNNING),
}


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_a_step_goes_only_the_ways_it_has(before: Status, after: Status) -> None:
    if (before, after) in WAYS:
        check_transition(before, after)
        return
    with pytest.raises(TransitionError) as raised:
        check_transition(before, after)
    message = str(raised.value)
    assert message.startswith(f"a step cannot go from {before.name} to {after.name}; from {before.name}: ")
    assert set(message.rpartition(": ")[2].split(", ")) == {to.name for to in ALLOWED[before]}


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_the_check_over_columns_agrees_with_the_check_of_one_step(before: Status, after: Status) -> None:
    befores = np.array([Status.RUNNING, before, Status.DONE], np.uint8)
    afters = np.array([Status.RUNNING, after, Status.DONE], np.uint8)
    if before is after or (before, after) in WAYS:
        check_transitions(befores, afters)
    else:
        with pytest.raises(TransitionError, match=f"from {before.name} to {after.name}"):
            check_transitions(befores, afters)


def test_no_rows_are_no_transition() -> None:
    check_transitions(np.zeros(0, np.uint8), np.zeros(0, np.uint8))
