"""Spec 05.8: a sum that was tampered with is noticed."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import polars as pl
import pytest

from assets.premium.product import CONTRACTS
from assets.premium.reconciliations import reconcile, verdict
from quality.contract import judge
from store.settings import PremiumSettings
from tests.support.premium import World, at, compute, event, feature, inputs, meter, plan, user, version

AS_OF = at("2024-04-29")


def world() -> World:
    versions = [
        version(
            n,
            subscription_id=n,
            user_id=n,
            plan_id=2 + n % 2,
            valid_from=at("2024-01-03") + timedelta(days=9 * n),
            valid_to=at("2024-04-20") if n % 3 == 0 else None,
        )
        for n in range(1, 7)
    ] + [version(9, subscription_id=2, user_id=2, plan_id=3, valid_from=at("2024-03-05"))]
    events = [
        event(f"{n}-{d}", at("2024-01-05") + timedelta(days=n * d), user_id=n, value=d)
        for n in range(1, 7)
        for d in range(20)
    ]
    return {
        "users": [user(n, country=["DE", "FR"][n % 2]) for n in range(1, 7)],
        "usage_events": events,
        "subscription_versions": versions,
        "meters": [meter("calls", "sum")],
        "plans": [plan(1, "free"), plan(2, "basic"), plan(3, "pro")],
        "plan_features": [feature(1, "calls"), feature(2, "calls"), feature(3, "calls", limit_value=10)],
    }


@cache
def tables() -> dict[str, pl.DataFrame]:
    config = PremiumSettings(k_anonymity=1, dominance_percent=100)
    staged = {name: frame.collect() for name, frame in inputs(world(), AS_OF).frames.items()}
    return {**compute(world(), AS_OF, config).tables, **staged}


def test_what_was_computed_reconciles() -> None:
    assert reconcile(tables()) == []
    assert verdict(tables()) == {}


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("mrr_movements_daily", "arr_delta_minor"),
        ("mrr_waterfall_monthly", "start_arr_minor"),
        ("mrr_waterfall_monthly", "new_minor"),
        ("mrr_waterfall_monthly", "transfer_in_minor"),
        ("mrr_waterfall_monthly", "end_arr_minor"),
        ("plan_daily", "arr_minor"),
        ("revenue_monthly", "end_arr_minor"),
        ("revenue_monthly", "quick_num_minor"),
        ("revenue_monthly", "paying_start_count"),
        ("growth_accounting", "churned_count"),
        ("growth_accounting", "active_count"),
        ("engagement_daily", "dau_count"),
        ("engagement_daily", "mau_count"),
        ("engagement_lness", "user_count"),
        ("retention_cohorts", "retained_count"),
        ("usage_intake", "counted"),
        ("entitlements", "used"),
        ("entitlements", "balance"),
        ("usage_daily", "event_count"),
    ],
)
def test_one_unit_too_many_is_noticed(table: str, column: str) -> None:
    frame = tables()[table]
    # The last row that says something: running periods and recent months are compared too.
    index = int(frame.with_row_index("n").filter(pl.col(column).is_not_null())["n"].max() or 0)
    more = 1000 if column == "event_count" else 1
    tampered = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == index).then(pl.col(column) + more).otherwise(pl.col(column)).alias(column)
    )
    broken = {**tables(), table: tampered}
    assert reconcile(broken) + [str(failure) for failure in judge(CONTRACTS[table], tampered)]
