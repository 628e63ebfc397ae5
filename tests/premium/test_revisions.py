"""Rule 28: what an ended period says now and said before."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.frame import Result
from assets.premium.product import CONTRACTS
from quality.contract import judge
from tests.support.premium import Row, at, compute, event, feature, meter, plan, user
from tests.support.premium_clock import after, start
from tests.support.premium_history import history

TABLES = {
    "usage_daily": ("day", "day", "late_usage"),
    "growth_accounting": ("period_start", "", "late_usage"),
    "engagement_daily": ("day", "day", "late_usage"),
    "mrr_movements_daily": ("day", "day", "late_subscription"),
    "mrr_waterfall_monthly": ("month", "month", "late_subscription"),
    "plan_daily": ("day", "day", "late_subscription"),
}


def by_key(result: Result, table: str) -> dict[tuple[Any, ...], Row]:
    key = CONTRACTS[table].key
    return {tuple(row[name] for name in key): row for row in result.tables[table].to_dicts()}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**9), days=st.integers(1, 20))
def test_ended_periods_that_changed_get_a_revision_and_a_line_per_column(seed: int, days: int) -> None:
    world, as_of, config = history(seed)
    earlier = as_of - timedelta(days=days)
    first = compute(world, earlier, config)
    second = compute(world, as_of, config, previous=first, previous_as_of=earlier)
    plain = compute(world, as_of, config)
    zones = {row["id"]: row["time_zone"] for row in world["users"]}
    said = {(r["table_name"], r["key"], r["column_name"]): r for r in second.tables["metric_restatements"].to_dicts()}
    expected = 0
    for table, (period, grain, cause) in TABLES.items():
        old, new, bare = (by_key(result, table) for result in (first, second, plain))
        assert set(new) == set(bare)
        values = [c for c in CONTRACTS[table].schema if c not in {*CONTRACTS[table].key, "revision", "is_final"}]
        for key in {*old, *new}:
            row = dict(zip(CONTRACTS[table].key, key, strict=True))
            zone = zones[row["user_id"]] if table == "usage_daily" else config.reporting_time_zone
            has_ended = start(after(grain or row["grain"], row[period]), zone) <= earlier
            changed = [c for c in values if old.get(key, {}).get(c) != new.get(key, {}).get(c)] if has_ended else []
            if key in new:
                assert new[key]["revision"] == (2 if changed else 1)
                assert {**new[key], "revision": 1} == bare[key]
            expected += len(changed)
            lines = [
                line
                for (name, text, column), line in said.items()
                if name == table and column in changed and all(str(part) in text for part in key)
            ]
            assert len(lines) >= len(changed)
            assert all(line["revision"] == 2 and line["cause"] == cause for line in lines)
    assert expected == len(said)
    assert [str(failure) for name, frame in second.tables.items() for failure in judge(CONTRACTS[name], frame)] == []


def late(days: int, value: int, **more: Any) -> Row:
    return event(
        f"e{days}{value}",
        at("2024-01-02 12:00"),
        value=value,
        ingested_at=at("2024-01-02 12:00") + timedelta(days=days),
        **more,
    )


def chain(events: list[Row], *instants: datetime, **more: Any) -> list[Result]:
    results: list[Result] = []
    for n, as_of in enumerate(instants):
        world = {
            "users": [user(1), user(2)],
            "plans": [plan(1, "free")],
            "meters": [meter("calls", "sum")],
            "plan_features": [feature(1, "calls")],
            "usage_events": events,
            **more,
        }
        previous = results[-1] if results else None
        results.append(compute(world, as_of, previous=previous, previous_as_of=instants[n - 1] if n else None))
    return results


def test_late_usage_restates_again_and_again() -> None:
    results = chain([late(0, 5), late(3, 2), late(5, 1)], at("2024-01-04"), at("2024-01-06"), at("2024-01-09"))
    assert [r.tables["usage_daily"].select("value", "revision").row(0) for r in results] == [(5, 1), (7, 2), (8, 3)]
    lines = (
        results[-1]
        .tables["metric_restatements"]
        .filter((pl.col("table_name") == "usage_daily") & (pl.col("column_name") == "value"))
    )
    assert lines.select("key", "revision", "old_value", "new_value", "previous_as_of", "as_of").rows() == [
        ('{"user_id":1,"meter_key":"calls","day":"2024-01-02"}', 2, "5", "7", at("2024-01-04"), at("2024-01-06")),
        ('{"user_id":1,"meter_key":"calls","day":"2024-01-02"}', 3, "7", "8", at("2024-01-06"), at("2024-01-09")),
    ]


def test_a_running_day_may_change_without_a_revision() -> None:
    events = [event("a", at("2024-01-02 01:00"), value=1), event("b", at("2024-01-02 20:00"), value=1)]
    results = chain(events, at("2024-01-02 12:00"), at("2024-01-03 12:00"))
    assert results[-1].tables["usage_daily"].select("value", "revision").row(0) == (2, 1)
    assert results[-1].tables["metric_restatements"].filter(pl.col("table_name") == "usage_daily").is_empty()


def test_what_only_becomes_final_is_not_restated() -> None:
    results = chain([late(0, 5)], at("2024-01-04"), at("2024-03-04"))
    assert results[-1].tables["usage_daily"].select("is_final", "revision").row(0) == (True, 1)
    assert results[-1].tables["metric_restatements"].is_empty()


def test_an_answer_that_goes_away_and_comes_back_keeps_counting() -> None:
    first = compute_users([user(1)], at("2024-01-04"))
    gone = compute_users([user(1, status="deleted")], at("2024-01-05"), previous=first, previous_as_of=at("2024-01-04"))
    back = compute_users([user(1)], at("2024-01-06"), previous=gone, previous_as_of=at("2024-01-05"))
    assert gone.tables["usage_daily"].is_empty()
    assert gone.tables["metric_restatements"]["new_value"].to_list() == [None, None]
    assert back.tables["usage_daily"]["revision"].to_list() == [3]


def compute_users(users: list[Row], as_of: datetime, **more: Any) -> Result:
    world = {"users": users, "meters": [meter("calls", "sum")], "usage_events": [late(0, 5)]}
    return compute(world, as_of, **more)


def test_nothing_is_said_again_of_an_erased_user() -> None:
    events = [late(0, 5), late(3, 2)]
    first, second = chain(events, at("2024-01-04"), at("2024-01-06"))
    assert "user_id" in "".join(second.tables["metric_restatements"]["key"].to_list())
    world = {
        "users": [user(2)],
        "meters": [meter("calls", "sum")],
        "erasure_requests": [{"user_id": 1, "requested_at": at("2024-01-07")}],
    }
    third = compute(world, at("2024-01-08"), previous=second, previous_as_of=at("2024-01-06"))
    assert third.tables["metric_restatements"].filter(pl.col("key").str.contains("user_id")).is_empty()
    assert first.tables["usage_daily"]["day"].to_list() == [date(2024, 1, 2)]
