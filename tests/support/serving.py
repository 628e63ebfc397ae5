"""Small generations for tests: real frames, real builders, real files.

``sample_frames`` is a hand-made world of a few users; ``small_generation`` publishes it below a home.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from assets.published.datasets import Carried, build_datasets
from quality.digests import DIGESTS
from quality.feed import FEED
from quality.friends import FRIENDS
from quality.premium import PREMIUM
from quality.staged import STAGED
from store.datasets import DatasetRows
from store.generations import GenerationPlan, Publication, cursor_key_input, publish
from store.manifest import InputEntry
from store.payloads import cursor_keys
from store.settings import RetentionSettings

AS_OF = datetime(2026, 11, 22, 14, 10, 3, tzinfo=UTC)
USERS = tuple(range(1, 8))
"""1 reads everything; 2 has one feed item; 3 only suggested ones; 4 nothing; 5 is dormant; 6 wants no
recommendations; 7 is deactivated."""
ITEMS_OF_1 = 45
SCHEMAS = {contract.name: contract.schema for contract in (*STAGED, *FRIENDS, *FEED, *DIGESTS, *PREMIUM)}
PUBLISHED = frozenset({"growth_accounting", "engagement_daily", "engagement_lness", "mrr_waterfall_monthly",
                       "revenue_monthly", "plan_daily"})  # fmt: skip
KEEP = RetentionSettings(generations=3, generation_hours=0)


def table(name: str, rows: Sequence[Mapping[str, Any]] = ()) -> pl.LazyFrame:
    """A frame of ``name``'s schema; columns that ``rows`` leave out are null."""
    schema = SCHEMAS[name]
    columns = {column: [row.get(column) for row in rows] for column in schema}
    return pl.DataFrame(columns, schema=schema).lazy()


def user(user_id: int, **columns: Any) -> dict[str, Any]:
    """A row of `staged_users`: active, seen an hour before ``AS_OF``."""
    return {
        "id": user_id,
        "handle": f"user{user_id}",
        "display_name": f"User {user_id}",
        "time_zone": "Europe/Berlin",
        "locale": "en",
        "status": "active",
        "profile_visibility": "public",
        "friend_list_visibility": "public",
        "is_discoverable": True,
        "wants_recommendations": True,
        "created_at": AS_OF - timedelta(days=400),
        "updated_at": AS_OF - timedelta(days=400),
        "last_seen_at": AS_OF - timedelta(hours=1),
        **columns,
    }


def feed_item(viewer_id: int, mode: str, position: int, **columns: Any) -> dict[str, Any]:
    """A row of `feed_items` about post ``1000 + position`` of user 2."""
    at = AS_OF - timedelta(minutes=position)
    score = columns.get("score", 0 if mode == "chronological" else 10_000_000 - position)
    return {
        "viewer_id": viewer_id,
        "mode": mode,
        "position": position,
        "item_id": f"{viewer_id * 1000 + position:016x}",
        "verb": "post",
        "object_type": "post",
        "object_id": 1000 + position,
        "object_owner_id": 2,
        "lead_activity_id": 1000 + position,
        "lead_actor_id": 2,
        "actor_count": 1,
        "sample_actor_ids": [2],
        "other_count": 0,
        "first_activity_at": at,
        "last_activity_at": at,
        "score": score,
        **dict.fromkeys(("k_verb", "k_engagement", "k_affinity", "k_diversity"), 0),
        "k_time": score,
        "reason": "friend",
        "is_unseen": position % 2 == 0,
        **columns,
    }


def recommendation(viewer_id: int, rank: int, candidate_id: int, **columns: Any) -> dict[str, Any]:
    """A row of `friend_recommendations`."""
    return {
        "viewer_id": viewer_id,
        "rank": rank,
        "candidate_id": candidate_id,
        "score": 1000 - rank,
        "reason_code": "mutual_friends",
        "mutual_count": 1,
        "mutual_sample_ids": [2],
        "shared_group_count": 0,
        "shared_group_ids": [],
        "sources": ["friends_of_friends"],
        "variant": "control",
        **columns,
    }


def built_digest(number: int, user_id: int = 1, **columns: Any) -> dict[str, Any]:
    """A row of `digest_history` with one group, due ``number`` days before ``AS_OF``."""
    due = AS_OF - timedelta(days=number)
    group = {
        "rank": 1, "group_key": f"reaction|post|{5000 + number}", "category": "reaction", "verb": "reaction",
        "object_type": "post", "object_id": 5000 + number, "item_count": 2, "actor_count": 2,
        "sample_actor_ids": [2, 3], "last_activity_at": due - timedelta(hours=1),
        "text": 'Zoë "Z" and another reacted\nto your post', "notification_ids": [number * 10, -number],
        "principal_ids": [2, 3, 6],
    }  # fmt: skip
    return {
        "digest_id": f"{number:04x}" + f"{user_id:060x}",
        "user_id": user_id,
        "kind": "daily",
        "channel": "email",
        "period_key": f"daily:{due.date()}",
        "window_start": due - timedelta(days=1),
        "window_end": due,
        "due_at": due,
        "deliver_after": due,
        "time_zone": "Europe/Berlin",
        "subject": "2 reactions",
        "eligible_count": 2,
        "group_count": 1,
        "more_count": 0,
        "late_count": 0,
        "content_hash": "ab",
        "groups": [group],
        "text": "2 reactions",
        "html": f"<p>Zoë &amp; others, {number}</p>",
        **columns,
    }


def entitlement(user_id: int, feature_key: str, **columns: Any) -> dict[str, Any]:
    """A row of `entitlements`: 120 of 500 used."""
    return {
        "user_id": user_id, "feature_key": feature_key, "plan_id": 1, "kind": "metered", "meter_key": "posts",
        "period_start": datetime(2026, 11, 1, tzinfo=UTC), "resets_at": datetime(2026, 12, 1, tzinfo=UTC),
        "limit_value": 500, "rolled_over": 0, "used": 120, "granted": 500, "balance": 380, "overage": 0,
        "has_access": True, "as_of": AS_OF, **columns,
    }  # fmt: skip


def used(user_id: int, day: date, value: int, **columns: Any) -> dict[str, Any]:
    """A row of `usage_daily`."""
    return {"user_id": user_id, "meter_key": "posts", "day": day, "value": value, "event_count": value,
            "is_final": False, "revision": 1, **columns}  # fmt: skip


def sample_frames() -> dict[str, pl.LazyFrame]:
    """The staged tables and products of :data:`USERS` at :data:`AS_OF`, to be changed at will."""
    return dict(_sample_frames())


@cache
def _sample_frames() -> dict[str, pl.LazyFrame]:
    month, day = date(2026, 10, 1), AS_OF.date() - timedelta(days=1)
    frames = {name: table(name) for name in SCHEMAS}
    frames["staged_users"] = table("staged_users", [
        user(1), user(2), user(3), user(4, last_seen_at=None), user(5, last_seen_at=AS_OF - timedelta(days=60)),
        user(6, wants_recommendations=False), user(7, status="deactivated"),
    ])  # fmt: skip
    posts = [{"id": 1000 + n, "actor_id": 2, "verb": "post", "object_type": "post", "object_id": 1000 + n,
              "reply_to_user_id": None, "mentioned_user_ids": [3, 6], "group_id": 77 if n == 1 else None}
             for n in range(1, ITEMS_OF_1 + 1)]  # fmt: skip
    own = [{"id": 5000 + n, "actor_id": 1, "verb": "post", "object_type": "post", "object_id": 5000 + n,
            "object_owner_id": 1, "audience": "public", "object_audience": "public",
            "created_at": AS_OF - timedelta(days=300), "mentioned_user_ids": []} for n in range(1, 24)]  # fmt: skip
    frames["staged_activities"] = table("staged_activities", [*posts, *own])
    frames["staged_plans"] = table("staged_plans", [{"id": 1, "code": "basic", "version": 1, "tier_rank": 1}])
    frames["staged_meters"] = table("staged_meters", [{"key": "posts", "aggregation": "count", "unit": "event"}])
    feeds = [feed_item(1, mode, n) for mode in ("ranked", "chronological") for n in range(1, ITEMS_OF_1 + 1)]
    frames["feed_items"] = table("feed_items", [
        *feeds, feed_item(2, "ranked", 1), feed_item(2, "chronological", 1),
        *(feed_item(3, "ranked", n, reason="suggested") for n in (1, 2)),
    ])  # fmt: skip
    frames["friend_recommendations"] = table("friend_recommendations", [
        *(recommendation(1, rank, candidate) for rank, candidate in enumerate((3, 4, 5), start=1)),
        recommendation(3, 1, 4, reason_code="suggested", mutual_count=0, mutual_sample_ids=[]),
    ])  # fmt: skip
    frames["digest_history"] = table("digest_history", [built_digest(n) for n in range(1, 24)])
    frames["entitlements"] = table("entitlements", [entitlement(1, "export"), entitlement(1, "posts"), entitlement(
        1, "unlimited", limit_value=None, granted=None, balance=None)])  # fmt: skip
    frames["usage_daily"] = table("usage_daily", [used(1, AS_OF.date() - timedelta(days=n), n) for n in range(120)])
    frames["growth_accounting"] = table("growth_accounting", [
        {"grain": "week", "period_start": date(2026, 11, 9), "segment": "all", "new_count": 12, "retained_count": 340,
         "resurrected_count": 11, "churned_count": 20, "active_count": 363, "revision": 1}])  # fmt: skip
    frames["retention_cohorts"] = table("retention_cohorts", [
        {"grain": "month", "cohort_start": month, "definition": "classic", "age": 1, "size_count": 9,
         "retained_count": None, "is_censored": True}])  # fmt: skip
    frames["engagement_daily"] = table("engagement_daily", [
        {"day": day, "dau_count": 3, "wau_count": 4, "mau_count": 5, "revision": 1}])  # fmt: skip
    frames["engagement_lness"] = table("engagement_lness", [
        {"day": day, "window_days": 7, "active_days": 2, "user_count": 4}])  # fmt: skip
    frames["mrr_waterfall_monthly"] = table("mrr_waterfall_monthly", [
        {"month": month, "currency": currency, "plan_code": "basic", **dict.fromkeys(
            ("start_arr_minor", "new_minor", "reactivation_minor", "expansion_minor", "contraction_minor",
             "churn_minor", "transfer_in_minor", "transfer_out_minor", "end_arr_minor"), 7), "revision": 1}
        for currency in ("EUR", "USD")])  # fmt: skip
    frames["revenue_monthly"] = table("revenue_monthly", [
        {"month": month, "currency": "EUR", "start_arr_minor": 3, "nrr_num_minor": 4, "grr_num_minor": 2},
        {"month": month, "currency": "USD", "start_arr_minor": 0, "nrr_num_minor": 0, "grr_num_minor": 0},
    ])  # fmt: skip
    frames["plan_daily"] = table("plan_daily", [
        {"day": day, "plan_code": "basic", "currency": "EUR", "active_count": 1, "trialing_count": 0, "new_count": 0,
         "churned_count": 0, "arr_minor": 12, "revision": 1}])  # fmt: skip
    return frames


def plan_of(home: Path, as_of: datetime = AS_OF, salt: str = "") -> GenerationPlan:
    """A plan at ``as_of``; another ``salt`` is another config, so another fingerprint."""
    entry = InputEntry(id=f"staged/{as_of:%Y%m%dT%H%M%S}", sha256="0" * 64)
    inputs = (entry, cursor_key_input(cursor_keys(home, [])[0]))
    return GenerationPlan(as_of=as_of, inputs=inputs, code_version="test", config_hash=f"config{salt}")


def datasets_of(
    home: Path,
    generation: str,
    as_of: datetime = AS_OF,
    frames: Mapping[str, pl.LazyFrame] | None = None,
    carried: Mapping[str, Carried] | None = None,
) -> dict[str, DatasetRows]:
    """The datasets of ``frames`` (else :func:`sample_frames`), with the cursor key kept in ``home``."""
    return build_datasets(
        frames or sample_frames(),
        generation=generation,
        as_of=as_of,
        carried=carried,
        cursor_key=cursor_keys(home, [])[0],
        published=PUBLISHED,
    )


def small_generation(
    home: Path,
    as_of: datetime = AS_OF,
    *,
    salt: str = "",
    frames: Mapping[str, pl.LazyFrame] | None = None,
    retention: RetentionSettings = KEEP,
    **how: Any,
) -> Publication:
    """Build and publish a generation below ``home``, as ``published`` does."""
    how.setdefault("now", as_of + timedelta(minutes=5))
    return publish(
        home,
        plan_of(home, as_of, salt),
        lambda generation: datasets_of(home, generation, as_of, frames),
        retention=retention,
        **how,
    )
