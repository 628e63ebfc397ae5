"""Rules 4 to 11, each as a sentence about one customer."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from store.settings import PremiumSettings
from tests.support.premium import US, Row, World, at, compute, plan, user, version

OPEN_HOUSE = PremiumSettings(k_anonymity=1, dominance_percent=100, ltv_min_churns=1)
YEAR = 12_000


def house(versions: list[Row], users: int = 1) -> World:
    return {
        "users": [user(n) for n in range(1, users + 1)],
        "subscription_versions": versions,
        "plans": [plan(1, "free"), plan(2, "basic"), plan(3, "pro"), plan(4, "max")],
    }


def moves(versions: list[Row], as_of: str = "2024-06-01", **more: Any) -> list[tuple[Any, ...]]:
    table = compute(house(versions), at(as_of), OPEN_HOUSE).tables["mrr_movements_daily"]
    columns = ["day", "plan_code", "kind", "arr_delta_minor", *more]
    return [(row[0].isoformat()[5:], *row[1:]) for row in table.select(columns).iter_rows()]


def test_a_newer_version_wins_where_versions_overlap_and_the_older_returns() -> None:
    versions = [
        version(1),
        version(2, amount_minor=2000, valid_from=at("2024-02-01"), valid_to=at("2024-03-01")),
    ]
    assert moves(versions) == [
        ("01-01", "basic", "new", YEAR),
        ("02-01", "basic", "expansion", YEAR),
        ("03-01", "basic", "contraction", -YEAR),
    ]


def test_a_correction_restates_the_past_and_not_what_was_said_before() -> None:
    versions = [version(1), version(2, amount_minor=500, recorded_at=at("2024-02-10"))]
    assert moves(versions, "2024-02-10") == [("01-01", "basic", "new", YEAR)]
    assert moves(versions, "2024-02-11") == [("01-01", "basic", "new", YEAR // 2)]


def test_of_versions_recorded_at_once_the_higher_id_wins() -> None:
    versions = [version(2, amount_minor=300), version(1)]
    assert moves(versions) == [("01-01", "basic", "new", 3600)]


@pytest.mark.parametrize(("interval", "times"), [("month", 12), ("quarter", 4), ("half_year", 2), ("year", 1)])
def test_arr_is_the_line_less_its_discount_a_year(interval: str, times: int) -> None:
    line = version(1, interval=interval, quantity=3, discount_minor=400)
    assert moves([line]) == [("01-01", "basic", "new", 2600 * times)]


def test_a_discount_above_the_line_brings_nothing() -> None:
    assert moves([version(1, discount_minor=1001)]) == []


@pytest.mark.parametrize(
    ("more", "ends_on"),
    [
        ({"status": "past_due"}, "02-15"),
        ({"status": "past_due", "paid_until": at("2024-02-10")}, "02-24"),
        ({"status": "past_due", "paid_until": at("2024-02-10") + US}, "02-24"),
        ({"status": "cancelled", "paid_until": at("2024-02-20")}, "02-20"),
        ({"status": "cancelled", "paid_until": at("2024-02-20"), "trial_end": at("2024-02-20")}, "02-01"),
        ({"status": "cancelled", "paid_until": at("2024-02-20"), "trial_end": at("2024-02-19")}, "02-20"),
        ({"status": "cancelled"}, "02-01"),
        ({"status": "paused"}, "02-01"),
        ({"status": "trialing"}, "02-01"),
    ],
)
def test_churn_falls_on_the_day_on_which_the_arr_ends(more: Row, ends_on: str) -> None:
    found = moves([version(1, valid_to=at("2024-02-01")), version(2, valid_from=at("2024-02-01"), **more)])
    assert found == [("01-01", "basic", "new", YEAR), (ends_on, "basic", "churn", -YEAR)]


def test_what_begins_and_ends_within_a_day_was_not_there() -> None:
    assert moves([version(1, valid_to=at("2024-01-01 23:59"))]) == []
    assert len(moves([version(1, valid_to=at("2024-01-02"))])) == 2


def test_the_second_time_is_a_reactivation() -> None:
    versions = [version(1, valid_to=at("2024-02-01")), version(2, valid_from=at("2024-03-01"))]
    assert [row[2] for row in moves(versions)] == ["new", "churn", "reactivation"]


def test_another_currency_is_new_again() -> None:
    versions = [version(1), version(2, subscription_id=2, currency="EUR", valid_from=at("2024-02-01"))]
    assert [row[2] for row in moves(versions)] == ["new", "new"]


def test_a_pure_change_of_plan_has_transfers_only() -> None:
    versions = [version(1, valid_to=at("2024-02-01")), version(2, plan_id=3, valid_from=at("2024-02-01"))]
    assert moves(versions)[1:] == [("02-01", "basic", "transfer_out", -YEAR), ("02-01", "pro", "transfer_in", YEAR)]


def test_an_upgrade_transfers_first_and_expands_by_the_rest() -> None:
    versions = [
        version(1, valid_to=at("2024-02-01")),
        version(2, plan_id=3, amount_minor=1500, valid_from=at("2024-02-01")),
    ]
    assert moves(versions)[1:] == [
        ("02-01", "basic", "transfer_out", -YEAR),
        ("02-01", "pro", "expansion", 6000),
        ("02-01", "pro", "transfer_in", YEAR),
    ]


def test_transfers_are_used_up_in_the_order_of_plan_codes() -> None:
    day = at("2024-02-01")
    versions = [
        version(1, subscription_id=1, plan_id=3, amount_minor=1000, valid_to=day),
        version(2, subscription_id=2, plan_id=2, amount_minor=700, valid_from=day),
        version(3, subscription_id=3, plan_id=4, amount_minor=900, valid_from=day),
    ]
    assert moves(versions)[1:] == [
        ("02-01", "basic", "transfer_in", 8400),
        ("02-01", "max", "expansion", 7200),
        ("02-01", "max", "transfer_in", 3600),
        ("02-01", "pro", "transfer_out", -YEAR),
    ]


def test_losses_are_handed_over_in_the_order_of_plan_codes_too() -> None:
    day = at("2024-02-01")
    versions = [
        version(1, subscription_id=1, plan_id=3, amount_minor=1000, valid_from=day),
        version(2, subscription_id=2, plan_id=2, amount_minor=700, valid_to=day),
        version(3, subscription_id=3, plan_id=4, amount_minor=900, valid_to=day),
    ]
    assert moves(versions)[2:] == [
        ("02-01", "basic", "transfer_out", -8400),
        ("02-01", "max", "contraction", -7200),
        ("02-01", "max", "transfer_out", -3600),
        ("02-01", "pro", "transfer_in", YEAR),
    ]


def test_a_new_version_of_a_plan_is_no_movement() -> None:
    world = house([version(1, valid_to=at("2024-02-01")), version(2, plan_id=9, valid_from=at("2024-02-01"))])
    world["plans"].append(plan(9, "basic", version=2))
    assert compute(world, at("2024-06-01")).tables["mrr_movements_daily"]["kind"].to_list() == ["new"]


@pytest.mark.parametrize(
    ("then", "reason", "requested"),
    [
        ({"status": "cancelled"}, "cancel", at("2024-02-01")),
        ({"status": "past_due", "paid_until": at("2024-01-10")}, "payment_failed", None),
        ({"status": "paused"}, "pause", None),
        ({"status": "paused", "valid_to": at("2024-02-02")}, "pause", None),
        ({"status": "paused", "valid_to": at("2024-02-02") - US}, "expired", None),
        ({"amount_minor": 0}, "downgrade", None),
        ({"status": "trialing"}, "downgrade", None),
        (None, "expired", None),
    ],
)
def test_a_churn_says_why(then: Row | None, reason: str, requested: datetime | None) -> None:
    versions = [version(1, valid_to=at("2024-02-01"))]
    versions += [version(2, valid_from=at("2024-02-01"), **then)] if then else []
    row = compute(house(versions), at("2024-06-01")).tables["mrr_movements_daily"].row(1, named=True)
    assert (row["kind"], row["churn_reason"], row["churn_requested_at"]) == ("churn", reason, requested)


def test_a_cancellation_outranks_other_reasons_and_was_requested_when_it_began() -> None:
    versions = [
        version(1, subscription_id=1, valid_to=at("2024-03-01")),
        version(2, subscription_id=2, status="cancelled", valid_from=at("2024-01-05"), paid_until=at("2024-03-01")),
    ]
    row = compute(house(versions), at("2024-06-01")).tables["mrr_movements_daily"].row(-1, named=True)
    assert (row["churn_reason"], row["churn_requested_at"]) == ("cancel", at("2024-01-05"))


def test_the_reporting_zone_moves_the_day() -> None:
    config = PremiumSettings(reporting_time_zone="America/New_York", k_anonymity=1, dominance_percent=100)
    tables = compute(house([version(1, valid_from=at("2024-01-01 04:59"))]), at("2024-02-01 04:59"), config).tables
    assert tables["mrr_movements_daily"]["day"].to_list() == [date(2023, 12, 31)]
    assert tables["mrr_waterfall_monthly"]["month"].to_list() == [date(2023, 12, 1)]


def test_months_are_dense_and_chain_from_start_to_end() -> None:
    versions = [version(1, valid_to=at("2024-03-10")), version(2, valid_from=at("2024-05-02"))]
    rows = compute(house(versions), at("2024-06-01"), OPEN_HOUSE).tables["mrr_waterfall_monthly"]
    assert rows["month"].to_list() == [date(2024, month, 1) for month in range(1, 6)]
    assert rows["start_arr_minor"].to_list() == [0, YEAR, YEAR, 0, 0]
    assert rows["churn_minor"].to_list() == [0, 0, -YEAR, 0, 0]
    assert rows["reactivation_minor"].to_list() == [0, 0, 0, 0, YEAR]


def test_revenue_keeps_numerators_and_denominators() -> None:
    february = at("2024-02-10")
    versions = [
        version(1, subscription_id=1, user_id=1, valid_to=february),
        version(2, subscription_id=1, user_id=1, amount_minor=1500, valid_from=february),
        version(3, subscription_id=2, user_id=2, valid_to=february),
        version(4, subscription_id=3, user_id=3, valid_from=february),
    ]
    row = compute(house(versions, 3), at("2024-03-01"), OPEN_HOUSE).tables["revenue_monthly"].row(1, named=True)
    assert row == {
        "month": date(2024, 2, 1),
        "currency": "USD",
        "start_arr_minor": 2 * YEAR,
        "end_arr_minor": 30_000,
        "paying_start_count": 2,
        "paying_end_count": 2,
        "nrr_num_minor": 18_000,
        "grr_num_minor": YEAR,
        "logo_churned_count": 1,
        "churn_event_count": 1,
        "quick_num_minor": 18_000,
        "quick_den_minor": YEAR,
        "ltv_minor": 2000,
        "trials_started_count": 0,
        "trials_mature_count": 0,
        "trials_converted_count": 0,
    }


def test_ltv_needs_enough_churns() -> None:
    versions = [version(1, valid_to=at("2024-02-10"))]
    rows = compute(house(versions), at("2024-03-01"), PremiumSettings(k_anonymity=1, dominance_percent=100)).tables[
        "revenue_monthly"
    ]
    assert rows["ltv_minor"].to_list() == [None, None]


def test_someone_who_leaves_and_returns_within_a_month_is_no_lost_logo_but_two_churns_are_two() -> None:
    versions = [
        version(1, valid_to=at("2024-02-05")),
        version(2, valid_from=at("2024-02-10"), valid_to=at("2024-02-15")),
        version(3, valid_from=at("2024-02-20")),
    ]
    row = compute(house(versions), at("2024-03-01"), OPEN_HOUSE).tables["revenue_monthly"].row(1, named=True)
    assert (row["logo_churned_count"], row["churn_event_count"], row["grr_num_minor"]) == (0, 2, YEAR)


@pytest.mark.parametrize(
    ("paid_from", "as_of", "counts"),
    [
        ("2024-01-15", "2024-02-01", (1, 1, 1)),
        ("2024-01-21 23:59", "2024-02-01", (1, 1, 1)),
        ("2024-01-22", "2024-02-01", (1, 1, 0)),
        ("2024-01-15", "2024-02-01", (1, 1, 1)),
    ],
)
def test_a_trial_converts_within_seven_days_of_its_end(paid_from: str, as_of: str, counts: tuple[int, ...]) -> None:
    trial = version(1, status="trialing", trial_end=at("2024-01-15"), valid_to=at("2024-01-15"))
    world = house([trial, version(2, valid_from=at(paid_from))])
    row = compute(world, at(as_of), OPEN_HOUSE).tables["revenue_monthly"].row(0, named=True)
    assert tuple(row[f"trials_{name}_count"] for name in ("started", "mature", "converted")) == counts


@pytest.mark.parametrize(("less", "converted"), [(timedelta(0), 1), (US, 0)])
def test_a_trial_converts_by_what_it_brings_at_the_last_microsecond(less: timedelta, converted: int) -> None:
    trial = version(1, status="trialing", trial_end=at("2024-01-15"), valid_to=at("2024-01-15"))
    world = house([trial, version(2, valid_from=at("2024-01-15"), valid_to=at("2024-01-22") - less)])
    rows = compute(world, at("2024-02-01"), OPEN_HOUSE).tables["revenue_monthly"]
    assert rows["trials_converted_count"].to_list() == [converted]


def test_a_trial_is_not_judged_before_its_window_has_passed() -> None:
    trial = version(1, status="trialing", trial_end=at("2024-01-26"))
    on_time, early = (
        compute(house([trial]), at("2024-02-02") - late, OPEN_HOUSE).tables["revenue_monthly"]
        for late in (timedelta(0), US)
    )
    assert on_time["trials_mature_count"].to_list() == [1]
    assert (early["trials_started_count"].to_list(), early["trials_mature_count"].to_list()) == ([1], [0])


def test_plan_daily_counts_people_at_the_end_of_each_day() -> None:
    versions = [
        version(1, subscription_id=1, user_id=1, valid_to=at("2024-01-03")),
        version(2, subscription_id=2, user_id=1, valid_to=at("2024-01-04")),
        version(
            3, subscription_id=3, user_id=2, status="trialing", valid_from=at("2024-01-02"), trial_end=at("2024-01-04")
        ),
    ]
    rows = compute(house(versions, 2), at("2024-01-06"), OPEN_HOUSE).tables["plan_daily"]
    assert rows["day"].to_list() == [date(2024, 1, day) for day in range(1, 6)]
    assert rows["active_count"].to_list() == [1, 1, 1, 0, 0]
    assert rows["trialing_count"].to_list() == [0, 1, 1, 0, 0]
    assert rows["new_count"].to_list() == [1, 0, 0, 0, 0]
    assert rows["churned_count"].to_list() == [0, 0, 0, 1, 0]
    assert rows["arr_minor"].to_list() == [2 * YEAR, 2 * YEAR, YEAR, 0, 0]


def test_a_version_of_an_unknown_plan_stops_premium() -> None:
    with pytest.raises(ValueError, match=r"do not exist: \[77\]"):
        compute(house([version(1, plan_id=77)]), at("2024-06-01"))


def test_money_is_whole() -> None:
    tables = compute(house([version(1)]), at("2024-06-01"), OPEN_HOUSE).tables
    for name in ("mrr_movements_daily", "mrr_waterfall_monthly", "revenue_monthly", "plan_daily"):
        schema = tables[name].schema
        assert all(dtype == pl.Int64 for column, dtype in schema.items() if column.endswith("_minor"))
