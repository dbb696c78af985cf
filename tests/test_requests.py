"""A request goes from QUEUED to one of its ends, and never on from there."""

from __future__ import annotations

from itertools import product

import pytest

from astrasim import TransitionError
from astrasim.requests import ALLOWED, Request, RequestState

S = RequestState
WAYS = {
    (S.QUEUED, S.SENT),
    (S.QUEUED, S.CANCELLED),
    (S.SENT, S.ANSWERED),
    (S.SENT, S.FAILED),
    (S.SENT, S.REJECTED),
    (S.SENT, S.EXPIRED),
    (S.SENT, S.CANCELLED),
    (S.ANSWERED, S.STORED),
}


def request(state: RequestState) -> Request:
    return Request(id=7, scope_id=0, key=12, entry=3, tier=0, waiting=1, asked_at=0.0, deadline_s=10.0, state=state)


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_a_request_goes_only_the_ways_it_has(before: RequestState, after: RequestState) -> None:
    one = request(before)
    if (before, after) in WAYS:
        one.move(after)
        assert one.state is after
        return
    with pytest.raises(TransitionError) as raised:
        one.move(after)
    assert one.state is before
    message = str(raised.value)
    assert message.startswith(f"request 7 cannot go from {before.name} to {after.name}; from {before.name}: ")
    allowed = message.partition(f"from {before.name}: ")[2]
    assert allowed == (", ".join(sorted(to.name for to in ALLOWED[before])) or "nothing: it has ended")


def test_every_way_leads_from_queued_to_an_end() -> None:
    ends = {state for state in S if not ALLOWED[state]}
    assert ends == {S.STORED, S.FAILED, S.REJECTED, S.EXPIRED, S.CANCELLED}
    reached, frontier = {S.QUEUED}, [S.QUEUED]
    while frontier:
        for state in ALLOWED[frontier.pop()] - reached:
            reached.add(state)
            frontier.append(state)
    assert reached == set(S)
