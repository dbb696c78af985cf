"""What noticing deletions relies on in esper, and what it makes of it. If one of the first tests fails after an upgrade
of esper, `astrasim/membership.py` must be thought over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import esper
import pytest

from astrasim import Agent
from astrasim.membership import Membership


class Watched(set[int]):
    """In the place of a set of esper's, to see what is done to it."""

    def __init__(self, ids: Iterable[int]) -> None:
        super().__init__(ids)
        self.calls: list[tuple[str, object]] = []

    def add(self, entity: int) -> None:
        self.calls.append(("add", entity))
        super().add(entity)

    def discard(self, entity: object) -> None:
        self.calls.append(("discard", entity))
        super().discard(entity)


class Apple:
    pass


@pytest.fixture
def watched() -> Watched:
    for _ in range(3):
        esper.create_entity(Apple())
    esper._components[Apple] = Watched(esper._components[Apple])
    return esper._components[Apple]  # type: ignore[return-value]


def test_esper_keeps_one_set_of_entities_a_type_and_one_dict_of_components_an_entity() -> None:
    apple = Apple()
    entity = esper.create_entity(apple)
    assert esper._components == {Apple: {entity}}
    assert esper._entities == {entity: {Apple: apple}}


def delete_later(then: Callable[[], None]) -> None:
    esper.delete_entity(2)
    then()


@pytest.mark.parametrize(
    ("leave", "discards"),
    [
        (lambda: esper.delete_entity(2, immediate=True), [2]),
        (lambda: delete_later(then=esper.clear_dead_entities), [2]),
        (lambda: delete_later(then=esper.process), [2]),
        (lambda: delete_later(then=esper.timed_process), [2]),
        (lambda: esper.remove_component(2, Apple), [2]),
        (lambda: esper.try_remove_component(2, Apple), [2]),
        (lambda: esper.delete_entity(2), []),
    ],
)
def test_esper_takes_entities_out_by_discard(
    watched: Watched, leave: Callable[[], object], discards: list[int]
) -> None:
    leave()
    assert watched.calls == [("discard", entity) for entity in discards]
    assert esper._components[Apple] is watched


def test_esper_puts_entities_in_by_add_also_when_a_component_is_replaced(watched: Watched) -> None:
    new = esper.create_entity(Apple())
    esper.add_component(1, Apple())
    esper.add_component(1, Apple(), type_alias=Apple)
    assert watched.calls == [("add", new), ("add", 1), ("add", 1)]


def test_esper_drops_the_set_with_its_last_entity_and_makes_a_plain_one(watched: Watched) -> None:
    for entity in (1, 2, 3):
        esper.delete_entity(entity, immediate=True)
    assert Apple not in esper._components
    esper.create_entity(Apple())
    assert type(esper._components[Apple]) is set


def test_esper_drops_all_sets_and_begins_its_numbers_anew_when_the_database_is_cleared(watched: Watched) -> None:
    esper.clear_database()
    assert esper._components == {}
    assert esper.create_entity() == 1


def test_esper_keeps_our_set_when_worlds_are_switched(watched: Watched) -> None:
    home = esper.current_world
    esper.switch_world("elsewhere")
    assert esper._components == {}
    esper.switch_world(home)
    assert esper._components[Apple] is watched


# ---- what we make of it


@pytest.fixture
def members() -> Membership:
    return Membership(Agent)


def add(members: Membership, number: int) -> list[Agent]:
    handles = [Agent(0) for _ in range(number)]
    members.add(handles)
    return handles


def test_nobody_is_gone_as_long_as_nobody_leaves(members: Membership) -> None:
    assert members.gone() == []
    handles = add(members, 3)
    assert [handle.entity for handle in handles] == [1, 2, 3]
    assert members.gone() == []


def test_each_who_leaves_is_told_once(members: Membership) -> None:
    first, second, third = add(members, 3)
    esper.delete_entity(second.entity, immediate=True)
    assert members.gone() == [second]
    assert members.gone() == []
    esper.delete_entity(third.entity)
    assert members.gone() == []
    esper.clear_dead_entities()
    assert members.gone() == [third]
    esper.delete_entity(first.entity, immediate=True)
    assert members.gone() == [first]
    assert members.gone() == []


def test_a_handle_given_to_another_entity_has_left_its_own(members: Membership) -> None:
    first, second = add(members, 2)
    esper.add_component(second.entity, first, type_alias=Agent)
    assert members.gone() == [second]
    esper.remove_component(first.entity, Agent)
    assert members.gone() == [first]


def test_a_handle_that_comes_back_in_time_never_left(members: Membership) -> None:
    (only,) = add(members, 1)
    esper.remove_component(only.entity, Agent)
    esper.add_component(only.entity, only, type_alias=Agent)
    assert members.gone() == []


def test_a_component_of_our_type_that_is_not_ours_is_no_business_of_ours(members: Membership) -> None:
    (ours,) = add(members, 1)
    entity = esper.create_entity()
    esper.add_component(entity, Agent(entity), type_alias=Agent)
    esper.delete_entity(entity, immediate=True)
    assert members.gone() == []
    esper.delete_entity(ours.entity, immediate=True)
    assert members.gone() == [ours]


def test_old_handles_whose_number_was_given_again_are_gone(members: Membership) -> None:
    old = add(members, 3)
    esper.clear_database()
    new = add(members, 2)
    assert [handle.entity for handle in new] == [1, 2]
    assert set(members.gone()) == set(old)
    assert members.gone() == []
    esper.delete_entity(2, immediate=True)
    assert members.gone() == [new[1]]


def test_deleting_all_also_takes_those_that_wait_for_their_deletion(members: Membership) -> None:
    first, _ = add(members, 2)
    mine: Any = esper.create_entity(Apple())
    esper.delete_entity(first.entity)
    members.delete_all()
    esper.process()
    assert list(esper.get_entities()) == [mine]
    assert members.gone() == []
