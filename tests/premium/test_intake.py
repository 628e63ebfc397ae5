"""Rules 1, 13 and 14: which events are counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.premium.intake import canonical_json, read_property
from assets.premium.product import premium
from tests.support.premium import US, Row, World, at, compute, event, inputs, meter, user

NOON = at("2024-01-02 12:00")


def house(events: list[Row], aggregation: str = "sum") -> World:
    return {"users": [user(1)], "meters": [meter("calls", aggregation)], "usage_events": events}


def reasons(row: Row, aggregation: str = "sum") -> list[str]:
    return compute(house([row], aggregation), at("2024-06-01")).tables["usage_quarantine"]["reason"].to_list()


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (timedelta(days=35), []),
        (timedelta(days=35) + US, ["too_old"]),
        (-timedelta(minutes=5), []),
        (-timedelta(minutes=5) - US, ["in_future"]),
    ],
)
def test_late_and_early_events_are_booked_up_to_the_edge(lag: timedelta, expected: list[str]) -> None:
    assert reasons(event("a", NOON, value=1, ingested_at=NOON + lag)) == expected


def test_the_first_reason_that_fits_is_given() -> None:
    wrong = event("a", NOON, user_id=9, meter_key="none", ingested_at=NOON + timedelta(days=99))
    assert reasons(wrong) == ["unknown_user"]
    assert reasons({**wrong, "user_id": 1}) == ["unknown_meter"]
    assert reasons({**wrong, "user_id": 1, "meter_key": "calls"}) == ["too_old"]
    assert reasons(event("a", NOON)) == ["missing_value"]


@pytest.mark.parametrize("subject", [None, ""])
def test_only_a_unique_count_needs_a_subject(subject: str | None) -> None:
    assert reasons(event("a", NOON, subject=subject), "unique_count") == ["missing_subject"]
    assert reasons(event("a", NOON, subject=subject), "count") == []


@pytest.mark.parametrize(
    ("value", "how", "expected"),
    [
        (-1, "sum", ["negative"]),
        (-1, "min", []),
        (10**15, "max", []),
        (10**15 + 1, "max", ["out_of_range"]),
        (-(10**15) - 1, "latest", ["out_of_range"]),
        (-(2**63), "sum", ["out_of_range"]),
        (None, "count", []),
    ],
)
def test_values_have_a_range(value: int | None, how: str, expected: list[str]) -> None:
    assert reasons(event("a", NOON, value=value), how) == expected


def test_an_event_ingested_at_as_of_is_not_there_yet() -> None:
    world = house([event("a", NOON, value=1)])
    result = compute(world, NOON)
    assert result.tables["usage_intake"].row(0) == (0, 0, 0, 0, 0)
    assert result.counts[0].filtered == {"not_ingested_yet": 1}
    assert compute(world, NOON + US).tables["usage_daily"]["value"].to_list() == [1]


def test_a_quarantined_event_keeps_its_key() -> None:
    first = event("a", NOON, value=-1)
    second = {**first, "value": 5, "ingested_at": NOON + timedelta(minutes=1)}
    tables = compute(house([first, second]), at("2024-06-01")).tables
    assert tables["usage_intake"].row(0) == (2, 0, 0, 1, 1)
    assert tables["usage_conflicts"].row(0) == ("app", "a", NOON + timedelta(minutes=1), NOON, "value")


def test_properties_are_compared_as_json() -> None:
    first = event("a", NOON, value=1, properties='{"a": 1, "b": [true, null]}')
    same = {**first, "properties": '{"b":[true,null],"a":1.0}', "ingested_at": NOON + US}
    other = {**first, "properties": '{"b":[true,null],"a":true}', "ingested_at": NOON + 2 * US}
    assert compute(house([same, other, first]), at("2024-06-01")).tables["usage_intake"].row(0) == (3, 1, 1, 1, 0)


def test_another_source_is_another_event() -> None:
    twice = [event("a", NOON, value=1), event("a", NOON, value=1, source="web")]
    assert compute(house(twice), at("2024-06-01")).tables["usage_daily"]["value"].to_list() == [2]


def test_the_counts_of_every_stage_add_up() -> None:
    later = {**event("a", NOON, value=1), "ingested_at": NOON + US}
    result = premium.compute(inputs(house([event("a", NOON, value=1), later, event("b", NOON)]), at("2024-06-01")))
    by_stage = {count.stage: (count.rows_in, count.rows_out, count.rejected) for count in result.counts}
    assert by_stage["usage_intake"] == (3, 1, 1)


@given(st.integers(-(10**17), 10**17))
def test_any_integer_in_a_property_is_read_or_out_of_range(number: int) -> None:
    for text in (f'{{"n": {number}}}', f'{{"n": "{number}"}}'):
        amount, fault = read_property(text, "n")
        assert amount == number or fault == "out_of_range"
        assert abs(number) < 10**16 or fault == "out_of_range" or amount == number


@pytest.mark.parametrize(
    ("one", "two"), [("1", "1.0"), ("100", "1e2"), ('{"a":1,"b":2}', '{"b":2,"a":1}'), ("0", "-0.0")]
)
def test_spellings_of_one_json_value_are_equal(one: str, two: str) -> None:
    assert canonical_json(one) == canonical_json(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1", "true"),
        ("1", '"1"'),
        ("[1,2]", "[2,1]"),
        ("null", "0"),
        ("12345678901234567890123456789012", "12345678901234567890123456789013"),
    ],
)
def test_different_json_values_are_not(one: str, two: str) -> None:
    assert canonical_json(one) != canonical_json(two)
