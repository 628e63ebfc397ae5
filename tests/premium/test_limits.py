"""Rules 16 to 21: what a user may still use, and when shares of the limit were reached."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.premium.burning import Balance, Period, burn
from tests.support.premium import US, Row, World, at, compute, event, feature, grant, meter, plan, user, version


def house(events: list[Row] | None = None, aggregation: str = "sum", **more: Any) -> World:
    world: World = {
        "users": [user(1)],
        "meters": [meter("calls", aggregation)],
        "usage_events": events or [],
        "plans": [plan(1, "free", tier_rank=0), plan(2, "basic"), plan(3, "pro")],
        "plan_features": [
            feature(1, "calls", limit_value=10),
            feature(2, "calls", limit_value=100),
            feature(3, "calls", limit_value=1000),
        ],
    }
    return {**world, **more}


def used(*amounts: tuple[str, int], **more: Any) -> list[Row]:
    return [event(f"e{n}", at(when), value=value, **more) for n, (when, value) in enumerate(amounts)]


def entitlement(world: World, as_of: str = "2024-01-20") -> Row:
    rows = compute(world, at(as_of)).tables["entitlements"]
    assert rows.height == 1
    return rows.row(0, named=True)


@pytest.mark.parametrize(
    ("more", "plan_id"),
    [
        ({"status": "trialing", "trial_end": at("2024-01-21")}, 2),
        ({"status": "trialing", "trial_end": at("2024-01-20")}, 1),
        ({"status": "active"}, 2),
        ({"status": "past_due", "paid_until": at("2024-01-06") + US}, 2),
        ({"status": "past_due", "paid_until": at("2024-01-06")}, 1),
        ({"status": "cancelled", "paid_until": at("2024-01-21"), "trial_end": at("2024-01-25")}, 2),
        ({"status": "cancelled", "paid_until": at("2024-01-20")}, 1),
        ({"status": "paused"}, 1),
        ({"valid_to": at("2024-01-20")}, 1),
    ],
)
def test_a_version_in_force_entitles_by_its_status(more: Row, plan_id: int) -> None:
    assert entitlement(house(subscription_versions=[version(1, **more)]))["plan_id"] == plan_id


def test_the_highest_tier_holds_and_quantity_does_not_multiply() -> None:
    versions = [version(1, subscription_id=1, quantity=5), version(2, subscription_id=2, plan_id=3, quantity=5)]
    row = entitlement(house(subscription_versions=versions))
    assert (row["plan_id"], row["granted"]) == (3, 1000)


def test_of_equal_plans_the_lowest_subscription_holds() -> None:
    versions = [
        version(1, subscription_id=2, anchor_at=at("2024-01-07")),
        version(2, subscription_id=1, anchor_at=at("2024-01-03")),
    ]
    assert entitlement(house(subscription_versions=versions))["period_start"] == at("2024-01-03")


def test_the_default_plan_is_free_of_the_lowest_tier_and_newest_version() -> None:
    plans = [
        plan(1, "free", tier_rank=0),
        plan(2, "free", tier_rank=0, version=2, is_paid=False),
        plan(3, "guest", tier_rank=5, is_paid=False),
    ]
    assert entitlement(house(plans=plans))["plan_id"] == 2


def test_the_default_plan_is_anchored_where_the_user_began() -> None:
    world = house(users=[user(1, created_at=at("2023-11-17 22:00"), time_zone="Asia/Kolkata")])
    row = entitlement(world)
    assert row["period_start"] == at("2024-01-17 18:30")  # 18 January in Kolkata, where it was the 18th already
    assert row["resets_at"] == at("2024-02-17 18:30")


def test_a_calendar_month_and_a_period_that_never_resets() -> None:
    features = [
        feature(1, "a", meter_key="calls", reset="month_calendar"),
        feature(1, "b", meter_key="calls", reset="never"),
    ]
    world = house(
        used(("2023-12-30", 3), ("2024-01-10", 4)), plan_features=features, users=[user(1, created_at=at("2023-12-15"))]
    )
    rows = compute(world, at("2024-01-20")).tables["entitlements"].to_dicts()
    assert [(row["period_start"], row["resets_at"], row["used"]) for row in rows] == [
        (at("2024-01-01"), at("2024-02-01"), 4),
        (at("2023-12-15"), None, 7),
    ]


def test_deleted_users_have_neither_usage_nor_entitlements() -> None:
    tables = compute(house(used(("2024-01-10", 3)), users=[user(1, status="deleted")]), at("2024-01-20")).tables
    assert tables["usage_daily"].is_empty()
    assert tables["entitlements"].is_empty()
    assert tables["usage_intake"]["counted"].to_list() == [1]


def test_what_is_left_rolls_over_up_to_its_maximum() -> None:
    features = [feature(1, "calls", limit_value=10, rollover_max=15)]
    row = entitlement(house(used(("2024-02-10", 4)), plan_features=features), "2024-04-20")
    # January leaves 10, February 10 + 10 - 4 = 16 and so 15, March 25 and so 15.
    assert (row["rolled_over"], row["granted"], row["balance"]) == (15, 25, 25)


def test_overage_stays_in_its_period() -> None:
    features = [feature(1, "calls", limit_value=10, rollover_max=15, overage="soft")]
    row = entitlement(house(used(("2024-01-10", 40)), plan_features=features), "2024-02-20")
    assert (row["rolled_over"], row["overage"], row["balance"], row["has_access"]) == (0, 0, 10, True)
    first = entitlement(house(used(("2024-01-10", 40)), plan_features=features))
    assert (first["overage"], first["balance"], first["has_access"]) == (30, 0, True)


@pytest.mark.parametrize(
    "then",
    [
        [],
        [feature(2, "calls", limit_value=None, rollover_max=50)],
        [feature(2, "calls", meter_key="other", rollover_max=50)],
        [feature(2, "calls", kind="boolean", rollover_max=50)],
    ],
)
def test_nothing_is_carried_out_of_a_period_without_the_limit(then: list[Row]) -> None:
    versions = [version(1, valid_to=at("2024-02-01"))]
    features = [feature(1, "calls", limit_value=10, rollover_max=50), *then]
    row = entitlement(house(plan_features=features, subscription_versions=versions), "2024-02-20")
    assert (row["plan_id"], row["rolled_over"]) == (1, 0)


def test_grants_burn_only_while_they_live() -> None:
    events = used(("2024-01-02", 10), ("2024-01-03", 5), ("2024-01-04", 5), ("2024-01-05", 5))
    grants = [grant(1, amount=7, effective_at=at("2024-01-03"), expires_at=at("2024-01-05"))]
    row = entitlement(house(events, grants=grants))
    assert (row["used"], row["granted"], row["balance"], row["overage"]) == (25, 17, 0, 8)


def test_what_a_grant_lost_in_an_earlier_period_stays_lost() -> None:
    events = used(("2024-01-02", 60), ("2024-02-02", 30))
    row = entitlement(house(events, grants=[grant(1, amount=60)]), "2024-02-20")
    # January burns 50 of the grant; February 10 of the pot, the last 10 of the grant, and 10 are too much.
    assert (row["used"], row["granted"], row["balance"], row["overage"]) == (30, 20, 0, 10)


def test_an_upgrade_does_not_refill_a_grant() -> None:
    world = house(
        used(("2024-01-02", 60)),
        grants=[grant(1, amount=60)],
        subscription_versions=[version(1, valid_from=at("2024-01-15"), anchor_at=at("2024-01-15"))],
    )
    row = entitlement(world)
    assert (row["period_start"], row["used"], row["balance"]) == (at("2024-01-15"), 0, 110)


def test_a_level_stands_against_the_limit_and_the_live_grants() -> None:
    events = used(("2024-01-02", 12), ("2024-01-03", 14), ("2024-01-04", 13))
    for aggregation, level in (("max", 14), ("min", 12), ("latest", 13)):
        row = entitlement(house(events, aggregation, grants=[grant(1, amount=3)]))
        assert (row["used"], row["granted"], row["overage"]) == (level, 13, max(0, level - 13))


def test_a_level_below_nothing_uses_nothing() -> None:
    assert entitlement(house(used(("2024-01-02", -5)), "latest"))["used"] == 0


def test_unlimited_counts_and_never_ends() -> None:
    row = entitlement(house(used(("2024-01-02", 99)), plan_features=[feature(1, "calls", limit_value=None)]))
    assert (row["used"], row["granted"], row["balance"], row["overage"], row["has_access"]) == (99, None, None, 0, True)


def test_what_is_not_metered_has_access_and_no_numbers() -> None:
    row = entitlement(house(plan_features=[feature(1, "flag", kind="boolean", meter_key=None, limit_value=None)]))
    assert [row[name] for name in ("used", "granted", "balance", "overage", "has_access")] == [None] * 4 + [True]


def test_a_subject_is_used_up_once_a_period() -> None:
    events = [event(f"e{n}", at(f"2024-01-0{n + 2}"), subject=subject) for n, subject in enumerate("abab")]
    row = entitlement(house(events, "unique_count"))
    assert (row["used"], row["balance"]) == (2, 8)


def crossings(world: World, as_of: str = "2024-01-20") -> list[tuple[Any, ...]]:
    table = compute(world, at(as_of)).tables["usage_threshold_crossings"]
    return table.select("threshold_percent", "crossed_at", "limit_value").rows()


def test_a_threshold_is_crossed_by_the_first_event_that_reaches_it() -> None:
    events = used(("2024-01-02", 7), ("2024-01-03", 1), ("2024-01-04", 1), ("2024-01-05", 9))
    assert crossings(house(events)) == [(80, at("2024-01-03"), 10), (100, at("2024-01-05"), 10)]


def test_grants_do_not_move_a_threshold() -> None:
    assert len(crossings(house(used(("2024-01-02", 10)), grants=[grant(1)]))) == 2


def test_a_level_crosses_by_itself_and_a_minimum_never() -> None:
    events = used(("2024-01-02", 8), ("2024-01-03", 2), ("2024-01-04", 10))
    expected = [(80, at("2024-01-02"), 10), (100, at("2024-01-04"), 10)]
    assert crossings(house(events, "max")) == crossings(house(events, "latest")) == expected
    assert crossings(house(events, "min")) == []


def test_crossings_are_kept_for_periods_that_end_after_35_days_ago() -> None:
    events = used(("2024-01-02", 10))
    assert crossings(house(events), "2024-03-06 23:59")
    assert crossings(house(events), "2024-03-07") == []


def test_a_huge_limit_does_not_overflow() -> None:
    huge = 9 * 10**18
    world = house(used(("2024-01-02", 10)), plan_features=[feature(1, "calls", limit_value=huge)])
    assert crossings(world) == []
    assert entitlement(world)["balance"] == huge - 10


@given(
    pot=st.integers(0, 50),
    amounts=st.lists(st.integers(0, 30), max_size=8),
    grants=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 40)), max_size=4),
)
def test_used_and_balance_less_overage_is_granted(
    pot: int, amounts: list[int], grants: list[tuple[int, int, int]]
) -> None:
    pieces = list(enumerate(amounts))
    found = burn([Period(pot, 5, True, pieces)], grants, 8)
    granted = pot + found.rolled_over + found.burnt_grants + found.left_grants
    assert sum(amounts) + found.rest + found.left_grants - found.overage == granted
    assert min(found) >= 0


def test_a_second_period_starts_with_what_the_first_left() -> None:
    first, second = Period(10, 4, True, [(0, 3)]), Period(10, 4, True, [(9, 20)])
    assert burn([first, second], [(0, 20, 3)], 9) == Balance(
        rolled_over=4, burnt_grants=3, rest=0, left_grants=0, overage=3
    )


def test_usage_is_final_when_late_events_can_no_longer_come() -> None:
    world = house(used(("2024-01-02 12:00", 1)))
    final = [
        compute(world, at("2024-02-07") + delta).tables["usage_daily"]["is_final"].item()
        for delta in (timedelta(0), US)
    ]
    assert final == [False, True]


def test_usage_falls_on_the_users_own_day() -> None:
    world = house(used(("2024-01-02 12:00", 1)), users=[user(1, time_zone="Pacific/Kiritimati")])
    assert (
        compute(world, at("2024-01-20")).tables["usage_daily"].select(pl.col("day").cast(pl.String)).item()
        == "2024-01-03"
    )
