"""Parameters: the rule of each kind, the order of checks, and names nested as in PHP."""

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from minifn.api.wire.kinds import (
    Cron,
    EventName,
    Instant,
    QueryTexts,
    RequestHeaders,
    Role,
    ScopeName,
    SpecificationSlug,
)
from minifn.api.wire.params import (
    Boolean,
    CustomId,
    Id,
    Integer,
    Kind,
    Limits,
    ListOf,
    OneOf,
    Params,
    Reader,
    Text,
    nest,
)
from minifn.errors import ArgumentInvalid

LIMITS = Limits(
    timeout_max_seconds=900, specifications=("s-1vcpu-512mb",), runtimes=frozenset({"python-3.11"})
)


class Sample(Params, frozen=True, kw_only=True):
    """Parameters of which one is required."""

    sample_id: Annotated[str, Id()]
    name: Annotated[str, Text(5)]
    timeout: Annotated[int, Integer(1, lambda limits: limits.timeout_max_seconds)] = 15
    enabled: Annotated[bool, Boolean()] = True
    later: Annotated[bool, Boolean(loose=True)] = msgspec.field(name="async", default=False)
    tags: Annotated[tuple[str, ...], ListOf(Text(3), 2)] = ()


READER = Reader(Sample, LIMITS)


def test_reads_by_wire_name_and_fills_defaults() -> None:
    sample = READER.read({"sampleId": "a", "name": "b", "async": "1", "unknown": object()})
    assert sample == Sample(sample_id="a", name="b", later=True)


def test_null_counts_as_absent() -> None:
    assert READER.read({"sampleId": "a", "name": "b", "timeout": None, "tags": None}).timeout == 15
    with pytest.raises(ArgumentInvalid, match='Param "name" is not optional'):
        READER.read({"sampleId": "a", "name": None})


def test_the_first_param_in_order_is_named() -> None:
    with pytest.raises(
        ArgumentInvalid, match="Invalid `sampleId` param: UID must contain at most 36 chars"
    ):
        READER.read({"sampleId": "-a", "timeout": "never"})
    with pytest.raises(ArgumentInvalid, match='Param "name" is not optional'):
        READER.read({"sampleId": "a", "timeout": "never"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "longer"),
        ("name", 5),
        ("name", ["a"]),
        ("timeout", 0),
        ("timeout", 901),
        ("timeout", "10.0"),
        ("timeout", 1.0),
        ("timeout", True),
        ("timeout", "ten"),
        ("enabled", "true"),
        ("enabled", 1),
        ("async", "yes"),
        ("async", 2),
        ("tags", "a"),
        ("tags", ["a", "b", "c"]),
        ("tags", ["long"]),
        ("tags", {"0": "a"}),
        ("sampleId", "unique()"),
        ("sampleId", "a" * 37),
        ("sampleId", "a b"),
    ],
)
def test_values_that_break_a_rule(name: str, value: object) -> None:
    with pytest.raises(ArgumentInvalid, match=f"Invalid `{name}` param: "):
        READER.read({"sampleId": "a", "name": "b", name: value})


def test_numbers_and_loose_booleans_may_be_text() -> None:
    sample = READER.read({"sampleId": "a", "name": "ä" * 5, "timeout": "20", "async": "false"})
    assert (sample.timeout, sample.later) == (20, False)


def check(kind: Kind, value: object) -> Any:
    return kind.check(value, LIMITS)


def refused(kind: Kind, value: object) -> bool:
    try:
        kind.check(value, LIMITS)
    except ValueError:
        return True
    return False


def test_custom_ids_are_made_for_unique() -> None:
    made = check(CustomId(), "unique()")
    assert len(made) == 20
    assert check(CustomId(), "My.id-1_x") == "My.id-1_x"
    assert refused(CustomId(), "$id")


@pytest.mark.parametrize(
    "role",
    [
        "any", "guests", "users", "users/verified", "user:u1", "user:u1/unverified", "team:t",
        "team:t/owner",
        "member:m", "label:vip1",
    ],
)  # fmt: skip
def test_execute_roles(role: str) -> None:
    assert check(Role(), role) == role


@pytest.mark.parametrize(
    "role",
    [
        "*", "role:all", "some-random-string", "any:x", "any/verified", "users:x", "users/odd",
        "user:", "user",
        "team:", "team:t/", "member:m/x", "label:with-dash", "label:", "users/", "user:-a",
        "a" * 129, 7, None,
        "owners:x",
    ],
)  # fmt: skip
def test_invalid_execute_roles(role: object) -> None:
    assert refused(Role(), role)


@pytest.mark.parametrize(
    "event",
    [
        "users.*", "users.x", "users.*.create", "users.x.update.email", "users.x.sessions.*.delete",
        "databases.*.collections.*.documents.*.create", "databases.d.tables.t.rows.r.update",
        "buckets.b.files.*",
        "teams.t.memberships.m.update.status", "users.x.sessions",
        "databases.d.collections.c.documents",
        "orders.42.create", "orders.*.create",
    ],
)  # fmt: skip
def test_events_that_may_be_subscribed_to(event: str) -> None:
    assert check(EventName(), event) == event


@pytest.mark.parametrize(
    "event",
    [
        "", "users", "users.", ".x", "users.x.unknown", "users.x.delete.email",
        "functions.*.create", "functions.*",
        "users.x.create.y.z", "orders", "orders.42", "orders..create",
        "users.x.sessions..create", "a.b.c.d.e.f.g.h", 5,
    ],
)  # fmt: skip
def test_invalid_events(event: object) -> None:
    assert refused(EventName(), event)


@pytest.mark.parametrize(
    "text", ["", "* * * * *", "*/5 * * * *", "0 0 1 JAN SUN", "0 0 * * 7", "@hourly", "@Midnight"]
)
def test_cron_expressions(text: str) -> None:
    assert check(Cron(), text) == text


@pytest.mark.parametrize(
    "text", ["x", "* * * *", "* * * * * *", "61 * * * *", "@reboot", "* * * * 8", 5, "* " * 80]
)
def test_invalid_cron_expressions(text: object) -> None:
    assert refused(Cron(), text)


def test_scopes_and_specifications() -> None:
    assert check(ScopeName(), "executions.read") == "executions.read"
    assert refused(ScopeName(), "functions.*")
    with pytest.raises(ValueError, match=r"^Specification must be one of: s-1vcpu-512mb$"):
        check(SpecificationSlug(), "s-8vcpu-8gb")


def test_request_headers() -> None:
    assert check(RequestHeaders(), {"X-A": "1", "b": None, "c": 2, "d": True}) == (
        ("x-a", "1"),
        ("b", ""),
        ("c", "2"),
        ("d", "true"),
    )
    assert check(RequestHeaders(), '{"x-a": "1"}') == (("x-a", "1"),)
    nothing: list[object] = [[], {}, "", "{not json", "[]", "null"]
    for empty in nothing:
        assert check(RequestHeaders(), empty) == ()


@pytest.mark.parametrize(
    "headers",
    [
        ["a"], 5, '["a"]', {"": "x"}, {"-a": "x"}, {"a-": "x"}, {"12": "x"}, {"a b": "x"},
        {"x-appwrite-key": "x"},
        {"X-Appwrite-Key": "x"}, {"a": ["x"]}, {"a": "x\r\nb: y"}, {"a": "x" * 16384}, "x" * 65536,
        {f"h{number}": "" for number in range(101)}, {"ä": "x"},
    ],
)  # fmt: skip
def test_request_headers_that_are_refused(headers: object) -> None:
    assert refused(RequestHeaders(), headers)


def test_instants() -> None:
    assert check(Instant(), "2026-01-02T03:04:00.000Z") == 1767323040000
    assert check(Instant(), "2026-01-02 03:04:00") == 1767323040000
    for wrong in ("soon", "", 5, None, "99999-01-01", "26-01-01"):
        assert refused(Instant(), wrong)


def test_queries_are_texts() -> None:
    assert check(QueryTexts(), ["a"]) == ("a",)
    assert refused(QueryTexts(), [{"method": "limit"}])
    assert refused(QueryTexts(), {"x": "a"})


def test_every_kind_has_a_schema() -> None:
    kinds: list[Kind] = [
        Text(5), Integer(1, 2), Boolean(), OneOf(("a",)), Id(), CustomId(), ListOf(Text(3)),
        Cron(), EventName(),
        Instant(), QueryTexts(), RequestHeaders(), Role(), ScopeName(), SpecificationSlug(),
    ]  # fmt: skip
    for kind in kinds:
        assert kind.schema(LIMITS)["type"]


def test_nested_names() -> None:
    assert nest([("q[]", "a"), ("q[]", "b"), ("h[x-a]", "1"), ("plain", "x"), ("plain", "y")]) == {
        "q": ["a", "b"],
        "h": {"x-a": "1"},
        "plain": "y",
    }
    assert nest([("q[1]", "b"), ("q[0]", "a"), ("q[7]", "c")]) == {"q": ["a", "b", "c"]}
    assert nest([("f[0][m]", "x"), ("f[1][m]", "y")]) == {"f": [{"m": "x"}, {"m": "y"}]}
    assert nest([("a]", "x"), ("[a]", "y"), ("a[", "z")]) == {"a]": "x", "[a]": "y", "a[": "z"}


@given(st.lists(st.tuples(st.text("ab0[]", max_size=12), st.text(max_size=3))))
def test_nesting_takes_any_names(pairs: list[tuple[str, str]]) -> None:
    try:
        nested = nest(pairs)
    except ArgumentInvalid:
        return
    assert len(nested) <= len(pairs)
    assert msgspec.json.encode(nested)
