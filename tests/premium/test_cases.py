"""Behaviour cases of other products, by their id in our case list, asked of the whole product."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from assets.premium.allowances import period_spans
from assets.premium.calendar import microseconds, start
from assets.premium.engagement import lness
from assets.premium.growth import active_periods
from assets.premium.movements import customer_changes, movements
from assets.premium.revenue import mrr_waterfall_monthly
from store.settings import PremiumSettings
from tests.support.premium import Row, World, at, compute, event, feature, grant, meter, plan, user

OPEN_HOUSE = PremiumSettings(k_anonymity=1)


def calls(events: list[Row], aggregation: str = "sum", **more: Any) -> World:
    """One user on the free plan with 0 calls a month, and what happens to it."""
    world: World = {
        "users": [user(1)],
        "plans": [plan(1, "free")],
        "meters": [meter("calls", aggregation)],
        "plan_features": [feature(1, "calls", limit_value=0)],
        "usage_events": events,
    }
    return {**world, **more}


def growth(active: dict[int, list[date]], grain: str, first: date, as_of: str) -> dict[str, list[int]]:
    events = [event(f"{uid}-{day}", at(f"{day}"), user_id=uid, value=1) for uid, days in active.items() for day in days]
    result = compute(calls(events, users=[user(uid) for uid in active]), at(as_of), OPEN_HOUSE)
    rows = result.tables["growth_accounting"].filter(
        (pl.col("grain") == grain) & (pl.col("segment") == "all") & (pl.col("period_start") >= first)
    )
    return {name: rows[f"{name}_count"].to_list() for name in ("new", "retained", "resurrected", "churned")}


def test_a01_lifecycle_by_day() -> None:
    days = {1: (11, 12, 13, 15, 17, 19), 2: (9, 12), 3: (12,), 4: (15,)}
    active = {uid: [date(2020, 1, day) for day in found] for uid, found in days.items()}
    assert growth(active, "day", date(2020, 1, 12), "2020-01-20") == {
        "new": [1, 0, 0, 1, 0, 0, 0, 0],
        "retained": [1, 1, 0, 0, 0, 0, 0, 0],
        "resurrected": [1, 0, 0, 1, 0, 1, 0, 1],
        "churned": [0, 2, 1, 0, 2, 0, 1, 0],
    }


def test_a02_lifecycle_by_iso_week() -> None:
    days = {
        1: ("02-01", "02-05", "02-10", "02-15", "02-27", "03-02"),
        2: ("02-11", "02-18"),
        3: ("02-12",),
        4: ("02-27",),
    }
    active = {uid: [date.fromisoformat(f"2020-{day}") for day in found] for uid, found in days.items()}
    assert growth(active, "week", date(2020, 2, 3), "2020-03-16") == {
        "new": [0, 2, 0, 1, 0, 0],
        "retained": [1, 1, 1, 0, 1, 0],
        "resurrected": [0, 0, 0, 1, 0, 0],
        "churned": [0, 0, 2, 1, 1, 1],
    }


def test_a04_stickiness_counts_users_by_distinct_active_days() -> None:
    first = date(2024, 1, 1)
    spine = [first + timedelta(days=n) for n in range(28)]
    days = [(1, n) for n in range(9)] + [(2, n) for n in (3, 7, 11, 15, 27)] + [(2, 3)]
    frame = pl.DataFrame({"user_id": [u for u, _ in days], "day": [spine[n] for _, n in days]})
    cells = lness(active_periods(frame, "day", spine), spine, 28).filter(pl.col("day") == spine[-1])
    assert dict(cells.select("active_days", "user_count").iter_rows()) == {5: 1, 9: 1}


def test_a05_a_sum_takes_the_last_second_of_its_day() -> None:
    events = [
        event("a", at("2024-01-01 23:59:00"), value=2),
        event("b", at("2024-01-01 23:59:59"), value=3),
        event("c", at("2024-01-02 00:00:00"), value=70),
    ]
    daily = compute(calls(events), at("2024-01-03")).tables["usage_daily"]
    assert daily["value"].to_list() == [5, 70]


def test_a08_an_earlier_as_of_does_not_know_what_came_later() -> None:
    events = [
        event("a", at("2024-01-01 00:00"), value=1),
        event("b", at("2024-01-01 00:30"), value=2, ingested_at=at("2024-01-01 01:00")),
    ]
    assert compute(calls(events), at("2024-01-01 00:30")).tables["usage_daily"]["value"].to_list() == [1]
    assert compute(calls(events), at("2024-01-01 02:00")).tables["usage_daily"]["value"].to_list() == [3]


def test_a09_the_dedupe_key_is_source_and_id() -> None:
    first = event("same", at("2024-01-01 10:00"), value=1)
    second = event("same", at("2024-01-01 10:00"), value=1, meter_key="other", ingested_at=at("2024-01-01 10:01"))
    world = calls([second, first], meters=[meter("calls", "sum"), meter("other", "sum")])
    tables = compute(world, at("2024-01-02")).tables
    assert tables["usage_daily"].select("meter_key", "value").rows() == [("calls", 1)]
    assert tables["usage_conflicts"]["fields"].to_list() == ["meter_key"]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ('{"n": 100}', 100),
        ('{"n": "100"}', 100),
        ("{}", "missing_value"),
        ('{"n": null}', "missing_value"),
        ('{"n": "NaN"}', "not_finite"),
        ('{"n": "Inf"}', "not_finite"),
        ('{"n": "not a number"}', "unparseable"),
        ('{"n": 1.5}', "unparseable"),
        ('{"n": 1e400}', "unparseable"),
        ('{"n": 1000000000000000}', 10**15),
        ('{"n": "1000000000000001"}', "out_of_range"),
        ('{"n": 99999999999999999999999}', "out_of_range"),
        ('{"n": -1}', "negative"),
    ],
)
def test_a10_values_are_parsed_or_quarantined(properties: str, expected: int | str) -> None:
    world = calls([event("a", at("2024-01-01"), properties=properties)], meters=[meter("calls", "sum", "n")])
    tables = compute(world, at("2024-01-02")).tables
    if isinstance(expected, int):
        assert tables["usage_daily"]["value"].to_list() == [expected]
    else:
        assert tables["usage_quarantine"]["reason"].to_list() == [expected]


def entitlement(world: World, as_of: str) -> Row:
    return compute(world, at(as_of)).tables["entitlements"].row(0, named=True)


def test_a11_the_lower_priority_number_burns_first() -> None:
    grants = [grant(1, priority=2), grant(2, priority=1, expires_at=at("2024-01-10"))]
    world = calls([event("a", at("2024-01-02"), value=120)], grants=grants)
    assert entitlement(world, "2024-01-05")["balance"] == 80
    # Once the emptied one is gone, 80 are left in the other.
    assert entitlement(world, "2024-01-12") | {"used": 120, "balance": 80} == entitlement(world, "2024-01-12")


def test_a11_of_equal_priority_the_earlier_expiry_burns_first_and_then_the_lower_id() -> None:
    sooner = [grant(1, expires_at=at("2024-01-20")), grant(2, expires_at=at("2024-01-10"))]
    world = calls([event("a", at("2024-01-02"), value=120)], grants=sooner)
    assert entitlement(world, "2024-01-12")["balance"] == 80
    by_id = [grant(7, voided_at=at("2024-01-10")), grant(9)]
    world = calls([event("a", at("2024-01-02"), value=120)], grants=by_id)
    assert entitlement(world, "2024-01-12")["balance"] == 80


def test_a12_overage_without_grants_and_after_a_void() -> None:
    alone = entitlement(calls([event("a", at("2024-01-02"), value=50)]), "2024-01-03")
    assert (alone["balance"], alone["overage"], alone["has_access"]) == (0, 50, False)
    events = [event("a", at("2024-01-02 00:30"), value=50), event("b", at("2024-01-02 01:30"), value=50)]
    voided = entitlement(calls(events, grants=[grant(1, voided_at=at("2024-01-02 01:00"))]), "2024-01-03")
    assert (voided["balance"], voided["overage"], voided["used"]) == (0, 50, 100)


def test_a14_an_anniversary_on_the_31st_is_clamped_and_does_not_drag() -> None:
    spans = period_spans(at("2024-01-31"), "UTC", "month_anniversary", at("2024-04-02"), at("2024-01-31"))
    days = [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)]
    edges = [microseconds(start(day, "UTC")) for day in days]
    assert spans == list(pairwise(edges))


def test_a16_the_waterfall_chains() -> None:
    steps = [
        (date(2023, 11, 5), 1, 25016546),
        (date(2023, 11, 9), 2, 1314800),
        (date(2023, 12, 9), 3, 6171791),
        (date(2023, 12, 10), 4, 6416321),
        (date(2024, 1, 3), 5, 4334134),
        (date(2024, 1, 4), 6, 2969402),
    ]
    changes = pl.DataFrame(
        [(day, uid, "USD", "pro", amount if uid % 2 else -amount) for day, uid, amount in steps],
        schema={"day": pl.Date, "user_id": pl.Int64, "currency": pl.String, "plan_code": pl.String, "delta": pl.Int64},
        orient="row",
    )
    # Who leaves is one of those who came: all six are the same paying customer but for the kinds.
    one = changes.with_columns(pl.lit(1, pl.Int64).alias("user_id")).with_columns(
        pl.col("day").cast(pl.Datetime("us", "UTC")).alias("day_start_at"),
        pl.col("day").cast(pl.Datetime("us", "UTC")).alias("day_end_at"),
    )
    moves = movements(one, customer_changes(one))
    rows = mrr_waterfall_monthly(moves, date(2024, 1, 1)).sort("month")
    assert rows["end_arr_minor"].to_list() == [23701746, 23457216, 24821948]
    assert rows["start_arr_minor"].to_list() == [0, 23701746, 23457216]
