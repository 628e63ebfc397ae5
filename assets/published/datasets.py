"""The datasets of a generation from the frames of staged tables and products: the pure entry point (06.1).

Lives here: which dataset is made of what, for which viewers. Does not belong here: the JSON of an item (the
other files of this folder), files and publication (``store.generations``), Dagster (``defs.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import pyarrow as pa

from assets.published.carry import rows_of_known, still_allowed, still_recommendable
from assets.published.digests import detail_rows, digest_list
from assets.published.encoding import UnwritableInstant
from assets.published.feed import feed_list, tombstone_documents
from assets.published.feed import score_documents as feed_scores
from assets.published.friends import recommendation_list
from assets.published.friends import score_documents as friend_scores
from assets.published.guards import ReplyRule
from assets.published.metrics import metric_documents
from assets.published.people import feed_viewers, known_users, user_documents, wanting_recommendations
from assets.published.premium import entitlement_list, usage_list
from assets.published.rows import Envelope, document_rows, list_rows
from store.datasets import DatasetRows, Rows
from store.manifest import Counts, snapshot_id_of
from store.payloads import DEFAULT_LIMIT, Cursor, Mode, Resource, instant_text, write_cursor
from store.settings import FriendsSettings

MODES: Final[Mapping[str, Mode]] = {"feed": "ranked", "feed_chronological": "chronological"}

PRODUCT_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "friends": ("friend_recommendations",),
    "feed": ("feed_items", "feed_tombstones"),
    "digests": ("digest_history",),
    "premium": (
        "entitlements",
        "usage_daily",
        "growth_accounting",
        "retention_cohorts",
        "engagement_daily",
        "engagement_lness",
        "mrr_waterfall_monthly",
        "revenue_monthly",
        "plan_daily",
    ),
}
"""The tables of each product that a generation is made of, where they exist."""

STAGED_TABLES: Final = (
    "staged_users",
    "staged_activities",
    "staged_plans",
    "staged_meters",
    "staged_friendships",
    "staged_friend_requests",
    "staged_blocks",
    "staged_mutes",
    "staged_recommendation_dismissals",
    "staged_groups",
    "staged_memberships",
)
"""The staged tables of the newest snapshot that a generation is made of."""


@dataclass(frozen=True)
class Carried:
    """Where the rows of a product come from when it is not of the newest snapshot."""

    snapshot_id: str
    as_of: datetime


@dataclass(frozen=True)
class _Build:
    frames: Mapping[str, pl.LazyFrame]
    known: pl.DataFrame
    generation: str
    as_of: datetime
    carried: Mapping[str, Carried]
    cursor_key: bytes
    friends: FriendsSettings
    reply_rule: ReplyRule

    def has(self, *tables: str) -> bool:
        return all(table in self.frames for table in tables)

    def as_of_of(self, product: str) -> datetime:
        return self.carried[product].as_of if product in self.carried else self.as_of

    def viewers(self, product: str, viewers: pl.Series) -> pl.Series:
        """Of ``viewers``, those the product can have known: a carried one did not see newer users."""
        there = self.known.filter(pl.col("created_at") < self.as_of_of(product))["id"]
        return viewers.filter(viewers.is_in(there.implode()))

    def envelope(self, product: str, resource: Resource | None, variant: str = "") -> Envelope:
        def next_cursor(user_id: int, value: str) -> str:
            assert resource is not None  # noqa: S101 (narrowing)
            cursor = Cursor(resource, variant, user_id, self.generation, True, DEFAULT_LIMIT, value)
            return write_cursor(cursor, self.cursor_key)

        as_of_text = instant_text(self.as_of_of(product))
        return Envelope(self.generation, as_of_text, next_cursor if resource else None)

    def rows(self, product: str, table: pa.Table | Rows, counts: Counts | None = None) -> DatasetRows:
        if (carried := self.carried.get(product)) is not None:
            return DatasetRows(table, carried.snapshot_id, carried.as_of, is_carried_over=True, counts=counts)
        return DatasetRows(table, snapshot_id_of(self.as_of), self.as_of, counts=counts)

    def lists(
        self,
        product: str,
        items: pl.DataFrame,
        viewers: pl.Series,
        envelope: Envelope | None,
        filtered: Mapping[str, int] | None = None,
    ) -> DatasetRows:
        """Lists of ``items``; ``filtered``: rows of the product that were left out before, by reason."""
        table, before = list_rows(items, viewers, envelope=envelope), dict(filtered or {})
        gone = {**before, "viewer_not_served": items.height - table.item_count}
        counts = Counts(in_=items.height + sum(before.values()), out=table.item_count, filtered=gone)
        return self.rows(product, table, counts)


def build_datasets(
    frames: Mapping[str, pl.LazyFrame | pl.DataFrame],
    *,
    generation: str,
    as_of: datetime,
    carried: Mapping[str, Carried] | None = None,
    cursor_key: bytes,
    published: Collection[str],
    friends: FriendsSettings | None = None,
    reply_rule: ReplyRule = "friends",
    reporting_time_zone: str = "UTC",
) -> dict[str, DatasetRows]:
    """Every dataset whose product is among ``frames``; ``users`` and ``metrics`` always.

    ``frames``: :data:`STAGED_TABLES` of the newest snapshot and the :data:`PRODUCT_TABLES` at hand;
    ``carried``: products taken from an earlier ``as_of``, filtered again here; ``cursor_key``: the newest key
    that signs cursors; ``published``: names of the analyst tables that may be shown (05.6). Raises
    :class:`assets.published.encoding.UnwritableInstant` naming dataset, column and row.
    """
    lazy = {name: frame.lazy() for name, frame in frames.items()}
    known = known_users(lazy["staged_users"].collect(), as_of)
    config = friends or FriendsSettings()
    build = _Build(lazy, known, generation, as_of, carried or {}, cursor_key, config, reply_rule)
    metrics = metric_documents(lazy, published=published, reporting_time_zone=reporting_time_zone)
    return {
        "users": build.rows("users", document_rows(*user_documents(known))),
        "metrics": build.rows("premium", document_rows(*metrics)),
        **_friends(build),
        **_feeds(build),
        **_digests(build),
        **_premium(build),
    }


@contextmanager
def _made(dataset: str) -> Iterator[None]:
    """Name the dataset in what is wrong with its rows."""
    try:
        yield
    except UnwritableInstant as error:
        raise UnwritableInstant(f"dataset {dataset}: {error}") from error


def _friends(build: _Build) -> dict[str, DatasetRows]:
    if not build.has("friend_recommendations"):
        return {}
    recommendations = build.frames["friend_recommendations"]
    if "friends" in build.carried:
        recommendations = still_recommendable(recommendations, build.frames, build.as_of, build.friends)
    wanting = wanting_recommendations(build.known)
    viewers = build.viewers("friends", build.known["id"])
    envelope = build.envelope("friends", "friend_recommendations")
    shown = rows_of_known(recommendations, "viewer_id", wanting)
    items = recommendation_list(shown)
    gone = {"no_longer_shown": _height(build.frames["friend_recommendations"]) - items.height}
    scores = document_rows(*friend_scores(shown, viewers))
    return {
        "friend_recommendations": build.lists("friends", items, viewers, envelope, gone),
        "friend_scores": build.rows("friends", scores),
    }


def _feeds(build: _Build) -> dict[str, DatasetRows]:
    if not build.has("feed_items"):
        return {}
    viewers = feed_viewers(build.known, build.as_of)
    rows = {}
    for name, mode in MODES.items():
        items = feed_list(build.frames["feed_items"], build.frames["staged_activities"], mode, build.reply_rule)
        with _made(name):
            rows[name] = build.lists("feed", items, viewers, build.envelope("feed", "feed", mode))
    rows["feed_scores"] = build.rows("feed", document_rows(*feed_scores(build.frames["feed_items"], viewers)))
    if build.has("feed_tombstones"):
        buried = tombstone_documents(build.frames["feed_tombstones"], viewers)
        rows["feed_tombstones"] = build.rows("feed", document_rows(*buried))
    return rows


def _digests(build: _Build) -> dict[str, DatasetRows]:
    if not build.has("digest_history"):
        return {}
    of_known = rows_of_known(build.frames["digest_history"], "user_id", build.known)
    history = still_allowed(of_known.collect(), build.frames, build.known, build.as_of)
    activities = build.frames["staged_activities"]
    gone = {"no_longer_shown": _height(build.frames["digest_history"]) - history.height}
    with _made("digests"):
        items, envelope = digest_list(history, activities), build.envelope("digests", "digests")
    with _made("digest_details"):
        details = detail_rows(history, activities)
    return {
        "digests": build.lists("digests", items, build.known["id"], envelope, gone),
        "digest_details": build.rows("digests", details),
    }


def _premium(build: _Build) -> dict[str, DatasetRows]:
    rows = {}
    viewers, meters = build.viewers("premium", build.known["id"]), build.frames["staged_meters"]
    if build.has("entitlements"):
        with _made("entitlements"):
            items = entitlement_list(build.frames["entitlements"], build.frames["staged_plans"], meters)
        rows["entitlements"] = build.lists("premium", items, viewers, build.envelope("premium", None))
    if build.has("usage_daily"):
        items = usage_list(build.frames["usage_daily"], meters, build.as_of_of("premium"))
        rows["usage"] = build.lists("premium", items, viewers, None)
    return rows


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
