"""Distributions of a generated world: degrees, circles, hours, days, money and usage."""

from __future__ import annotations

import random
from itertools import combinations
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl

from store.generator import DEFAULT_AS_OF
from store.generator.clock import add_months
from tests.support.worlds_made import table

USERS = 5_000


def neighbours() -> dict[int, set[int]]:
    near: dict[int, set[int]] = {}
    for a, b in table("friendships", USERS).select("user_a_id", "user_b_id").iter_rows():
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    return near


def test_degrees_are_heavy_tailed() -> None:
    near = neighbours()
    degrees = np.array([len(near.get(user, ())) for user in range(1, USERS + 1)])
    assert 9 <= degrees.mean() <= 13
    assert degrees.max() >= 8 * np.median(degrees)
    assert np.mean(degrees == 0) < 0.1


def test_friends_of_one_person_know_each_other_far_more_than_chance() -> None:
    near = neighbours()
    rows = [near[user] for user in random.Random(5).sample(sorted(near), 800) if 2 <= len(near[user]) <= 100]
    closed = [np.mean([b in near[a] for a, b in combinations(sorted(row), 2)]) for row in rows]
    density = sum(len(row) for row in near.values()) / USERS / (USERS - 1)
    assert np.mean(closed) > 30 * density


def test_new_friendships_close_triangles_that_were_open_before() -> None:
    rows = table("friendships", USERS).sort("created_at")
    cut = rows.height * 4 // 5
    near: dict[int, set[int]] = {}
    for a, b in rows.head(cut).select("user_a_id", "user_b_id").iter_rows():
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    later = rows.tail(rows.height - cut).select("user_a_id", "user_b_id").rows()
    old = [(a, b) for a, b in later if a in near and b in near]
    assert np.mean([bool(near[a] & near[b]) for a, b in old]) > 0.4


def test_friendships_form_over_more_than_a_year_and_some_end() -> None:
    rows = table("friendships", USERS)
    span = rows["created_at"].max() - rows["created_at"].min()
    assert span.days > 365
    assert 0.005 < rows["ended_at"].is_not_null().mean() < 0.1
    assert rows["created_at"].dt.date().n_unique() > 300


def test_people_are_spread_over_many_zones_of_zoneinfo() -> None:
    zones = table("users", USERS)["time_zone"]
    assert set(zones) <= available_timezones()
    assert zones.n_unique() > 100
    assert zones.value_counts()["count"].max() < USERS / 4


def local_hours(rows: pl.DataFrame, person: str, at: str) -> pl.DataFrame:
    users = table("users", USERS).select(pl.col("id").alias(person), "time_zone")
    users = users.filter(pl.len().over("time_zone") >= 40)
    parts = []
    for (zone,), part in rows.join(users, on=person).group_by("time_zone", maintain_order=True):
        local = part[at].dt.convert_time_zone(ZoneInfo(str(zone)).key)
        parts.append(pl.DataFrame({"hour": local.dt.hour(), "day": local.dt.weekday()}))
    return pl.concat(parts)


def test_people_post_by_day_and_sleep_by_night_where_they_live() -> None:
    posts = table("activities", USERS).filter(pl.col("verb") == "post")
    local = local_hours(posts, "actor_id", "created_at")
    by_day = local.filter(pl.col("hour").is_between(9, 22)).height / 14
    by_night = local.filter(pl.col("hour").is_between(1, 4)).height / 4
    assert by_day > 5 * by_night
    weekend = local.filter(pl.col("day") >= 6).height / 2
    midweek = local.filter(pl.col("day").is_between(1, 4)).height / 4
    assert weekend > 1.05 * midweek


def test_a_good_share_of_digests_is_due_in_the_hours_before_as_of() -> None:
    users = table("users", USERS).select("time_zone", user_id="id")
    daily = table("digest_schedules", USERS).filter(pl.col("kind") == "daily").join(users, on="user_id")
    recent = 0
    for zone, local_time in daily.select("time_zone", "local_time").iter_rows():
        now = DEFAULT_AS_OF.astimezone(ZoneInfo(zone))
        since_due = now.hour * 60 + now.minute - local_time.hour * 60 - local_time.minute
        recent += since_due % (24 * 60) <= 6 * 60
    assert recent / daily.height > 0.25
    full_hours = daily.filter(pl.col("local_time").dt.minute() == 0).height
    assert full_hours / daily.height > 0.75


def test_notifications_come_in_every_category_and_part_is_read() -> None:
    rows = table("notifications", USERS)
    assert set(rows["category"]) == {
        "social",
        "mention",
        "comment",
        "reaction",
        "group",
        "billing",
        "security",
        "product",
    }
    assert set(rows["priority"]) == {"low", "normal", "high", "critical"}
    assert 0.3 < rows["read_at"].is_not_null().mean() < 0.9
    assert rows["sent_channels"].list.len().max() >= 1
    assert rows.filter(pl.col("recipient_id") == pl.col("actor_id")).is_empty()
    keyed = rows.filter(pl.col("dedupe_key").is_not_null())
    assert 0 < keyed.height - keyed["dedupe_key"].n_unique() < keyed.height * 0.05


def test_subscriptions_live_through_everything_money_can_do() -> None:
    rows = table("subscription_versions", USERS)
    assert set(rows["status"]) == {"trialing", "active", "past_due", "paused", "cancelled"}
    assert set(rows["currency"]) == {"EUR", "USD", "GBP"}
    assert set(rows["interval"]) == {"month", "quarter", "half_year", "year"}
    assert rows["quantity"].max() > 1
    assert rows["discount_minor"].max() > 0
    assert rows.group_by("subscription_id").agg(pl.col("plan_id").n_unique()).filter(pl.col("plan_id") > 1).height > 10
    corrections = rows.filter(pl.col("recorded_at") > pl.col("valid_from") + pl.duration(hours=1))
    assert corrections.height > 5
    assert rows.filter(pl.col("valid_to") <= pl.col("valid_from")).is_empty()


def test_without_corrections_the_versions_of_a_subscription_follow_each_other() -> None:
    rows = table("subscription_versions", USERS)
    first = rows.filter(pl.col("recorded_at") <= pl.col("valid_from") + pl.duration(minutes=30))
    ordered = first.sort("subscription_id", "valid_from").with_columns(
        next_from=pl.col("valid_from").shift(-1).over("subscription_id")
    )
    inner = ordered.filter(pl.col("next_from").is_not_null())
    assert inner.height > 500
    assert (inner["valid_to"] == inner["next_from"]).all()


def test_usage_has_late_double_conflicting_and_impossible_events() -> None:
    rows = table("usage_events", USERS)
    late = rows.filter(pl.col("ingested_at") - pl.col("occurred_at") > pl.duration(hours=1)).height / rows.height
    assert 0.01 < late < 0.08
    twice = rows.filter(pl.struct("source", "event_id").is_duplicated())
    same = twice.drop("ingested_at").is_duplicated().sum()
    assert 0 < same < twice.height
    users, meters = table("users", USERS)["id"].implode(), table("meters", USERS)["key"].implode()
    for bad in (
        ~pl.col("user_id").is_in(users), ~pl.col("meter_key").is_in(meters),
        pl.col("occurred_at") > pl.col("ingested_at") + pl.duration(minutes=5),
        pl.col("ingested_at") - pl.col("occurred_at") > pl.duration(days=35), pl.col("value") < 0,
        (pl.col("meter_key") == "collaborators") & pl.col("subject").is_null(),
    ):  # fmt: skip
        assert 0 < rows.filter(bad).height < rows.height * 0.01
    assert set(rows["meter_key"]) >= set(table("meters", USERS)["key"])
    assert set(table("meters", USERS)["aggregation"]) == {"sum", "count", "unique_count", "max", "min", "latest"}


def test_relations_of_every_kind_occur() -> None:
    assert set(table("friend_requests", USERS)["status"]) == {"pending", "accepted", "declined", "cancelled"}
    assert set(table("groups", USERS)["kind"]) == {"group", "interest", "school", "employer", "place"}
    assert table("groups", USERS)["is_private"].any()
    assert set(table("users", USERS)["status"]) == {"active", "deactivated", "suspended", "deleted"}
    assert set(table("mutes", USERS)["scope"]) == {"all", "reshares"}
    assert 0 < table("mutes", USERS)["expires_at"].null_count() < table("mutes", USERS).height
    assert table("recommendation_dismissals", USERS)["dismissal_count"].max() == 3
    shown = table("recommendation_impressions", USERS).group_by("user_id", "candidate_id").len()
    assert shown["len"].max() >= 10
    assert set(table("digest_schedules", USERS)["kind"]) == {"daily", "weekdays", "weekly"}
    for name in ("blocks", "feed_hides", "feed_reads", "grants", "erasure_requests"):
        assert table(name, USERS).height > 0, name


def test_a_pending_request_is_between_people_who_are_not_friends() -> None:
    pending = (
        table("friend_requests", USERS)
        .filter(pl.col("status") == "pending")
        .select(
            user_a_id=pl.min_horizontal("requester_id", "addressee_id"),
            user_b_id=pl.max_horizontal("requester_id", "addressee_id"),
        )
    )
    assert pending.join(table("friendships", USERS), on=["user_a_id", "user_b_id"]).is_empty()


def test_months_are_added_with_the_day_clamped() -> None:
    def us(text: str) -> int:
        return int(np.datetime64(text, "us").astype(np.int64))

    start = np.array([us("2024-01-31T10:00"), us("2023-12-31T23:59"), us("2024-02-29T00:00"), us("2024-03-15T05:00")])
    expected = [us("2024-02-29T10:00"), us("2024-01-31T23:59"), us("2024-03-29T00:00"), us("2024-04-15T05:00")]
    assert add_months(start, 1).tolist() == expected
    assert add_months(start, 12)[2] == us("2025-02-28T00:00")
