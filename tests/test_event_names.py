"""Event names: valid subscriptions, possible events, and which events reach which subscriptions."""

import itertools

import pytest
from hypothesis import given, strategies as st

from minifn.event_names import CATALOGUE, is_event, is_subscribable, names

IDS = st.text("abcXYZ0189_-", min_size=1, max_size=8).filter(lambda text: text[0] not in "_-")
WORDS = st.sampled_from(["orders", "items", "notes", "carts"])


def concrete(pairs: list[tuple[str, str]], tail: list[str]) -> str:
    return ".".join([*itertools.chain.from_iterable(pairs), *tail])


EVENTS = st.builds(
    concrete,
    st.lists(st.tuples(WORDS, IDS), min_size=1, max_size=3),
    st.sampled_from([["create"], ["paid"]]),
)


@pytest.mark.parametrize(
    ("event", "count"),
    [
        ("users.u.create", 4),
        ("users.u.update.email", 6),
        ("functions.f.deployments.d.create", 10),
        ("teams.t.memberships.m.update.status", 14),
        ("databases.d.collections.c.documents.x.create", 22),
    ],
)
def test_counts(event: str, count: int) -> None:
    assert len(names(event.split("."))) == count


def test_names_of_two_ids_in_order() -> None:
    assert names(["functions", "f", "deployments", "d", "create"]) == (
        "functions.f.deployments.d.create",
        "functions.*.deployments.*.create",
        "functions.f.deployments.*.create",
        "functions.*.deployments.d.create",
        "functions.f.deployments.d",
        "functions.*.deployments.*",
        "functions.f.deployments.*",
        "functions.*.deployments.d",
        "functions.f",
        "functions.*",
    )


def test_an_attribute_comes_first() -> None:
    assert names(["users", "u", "update", "email"])[:3] == (
        "users.u.update.email",
        "users.*.update.email",
        "users.u.update",
    )


@given(EVENTS)
def test_every_name_is_a_mix_of_the_event_and_stars(event: str) -> None:
    found = names(event.split("."))
    parts = event.split(".")
    assert found[0] == event
    assert len(set(found)) == len(found) == {3: 4, 5: 10, 7: 22}[len(parts)]
    for name in found:
        for place, part in enumerate(name.split(".")):
            assert part == parts[place] or (part == "*" and place % 2 == 1)


@given(EVENTS)
def test_names_of_the_apps_own_events_can_be_subscribed_to(event: str) -> None:
    assert is_event(event)
    actions = [name for name in names(event.split(".")) if len(name.split(".")) > 2]
    assert all(is_subscribable(name) for name in actions)


@given(st.text("ab.*", max_size=12) | EVENTS)
def test_every_possible_event_can_be_subscribed_to(text: str) -> None:
    assert not is_event(text) or is_subscribable(text)


@pytest.mark.parametrize(
    "event",
    [
        "users.u.update.email",
        "users.u.sessions.create.create",
        "databases.d.tables.t.rows.r.update",
        "rules.r.delete",
        "orders.42.create",
        "orders.42.items.7.paid.late",
    ],
)
def test_events_that_can_happen(event: str) -> None:
    assert is_event(event)


@pytest.mark.parametrize(
    "event",
    [
        "",
        "users",
        "users.u",
        "users.*.create",
        "users.u.sessions",
        "users.u.sessions.s",
        "users.u.unknown",
        "users.u.delete.email",
        "functions.f.executions.e.create",
        "orders.42",
        "orders.4 2.create",
        "a.1.b.2.c.3.d.4",
    ],
)
def test_events_that_cannot_happen(event: str) -> None:
    assert not is_event(event)


def test_the_catalogue_ends_with_the_same_actions_everywhere() -> None:
    """`is_event` knows an action by its name alone."""
    resources = list(CATALOGUE.values())
    for resource in resources:
        resources.extend(resource.inside.values())
        assert set(resource.actions) <= {"create", "update", "delete"}
        assert not set(resource.actions) & set(resource.inside)
