"""Feed items as clients get them (spec 06.2 FeedItem), with sort keys and guards (06.1). Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from assets.published.encoding import (
    encoded,
    hex_digits,
    json_texts,
    list_buffers,
    list_series,
    text_buffers,
    text_series,
)
from assets.published.kernels import Bytes, Longs, distinct, feed_principals
from store.payloads import Mode

_ITEM: Final = (
    "item_id",
    "sort_key",
    "verb",
    "object_type",
    "object_id",
    "object_owner_id",
    "lead_activity_id",
    "lead_actor_id",
    "actor_count",
    "sample_actor_ids",
    "other_count",
    "first_activity_at",
    "last_activity_at",
    "reason",
    "is_unseen",
)
_ITEM_ID_BYTES: Final = 16
_BAR: Final = np.frombuffer(b"|", dtype=np.uint8).reshape(1, 1)
_NOBODY: Final = -1
_BODIES: Final = ("post", "comment")
"""Object types that an activity of their own made (01.1)."""


def feed_list(feed_items: pl.LazyFrame, activities: pl.LazyFrame, mode: Mode) -> pl.DataFrame:
    """Items of one mode as :func:`assets.published.rows.list_rows` takes them."""
    items = feed_items.filter(pl.col("mode") == mode).sort("viewer_id", "position").collect()
    keyed = items.with_columns(sort_keys(items, mode).alias("sort_key"))
    return keyed.select(
        "viewer_id",
        json_texts(keyed.select(_ITEM)),
        pl.col("sort_key").alias("fragment_key"),
        (pl.col("reason") == "suggested").alias("is_cold"),
    ).hstack(feed_guards(items, activities))


def tombstone_documents(tombstones: pl.LazyFrame, viewers: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Viewers and bodies of the dataset ``feed_tombstones``: what left a feed, and why (03.4)."""
    buried = (
        tombstones.filter(pl.col("viewer_id").is_in(viewers.implode()))
        .sort("viewer_id", "mode", "item_id")
        .group_by("viewer_id", maintain_order=True)
        .agg(pl.struct("mode", "item_id", "reason").alias("gone"))
        .collect()
    )
    return buried["viewer_id"], buried.select(encoded(pl.col("gone"))).to_series()


def sort_keys(items: pl.DataFrame, mode: Mode) -> pl.Series:
    """The opaque, fixed-width keys of ``store.payloads`` (ranked and chronological), vectorised."""
    newest_first = hex_digits(((1 << 59) - items["last_activity_at"].to_physical().to_numpy()).astype(np.uint64))[:, 1:]
    if mode == "chronological":
        return _joined(newest_first, _BAR, hex_digits(items["lead_activity_id"].to_numpy().astype(np.uint64)))
    suggested = (items["reason"] == "suggested").to_numpy().astype(np.uint64) << np.uint64(63)
    by_score = ((1 << 62) - items["score"].to_numpy()).astype(np.uint64)
    _, item_ids = text_buffers(items["item_id"])
    return _joined(hex_digits(suggested | by_score), newest_first, _BAR, item_ids.reshape(-1, _ITEM_ID_BYTES))


def _joined(*parts: Bytes) -> pl.Series:
    """Texts of a fixed width from their parts, each a row of bytes per text (or one row for all)."""
    rows = len(parts[0])
    wide = np.concatenate([np.broadcast_to(part, (rows, part.shape[1])) for part in parts], axis=1)
    cuts = np.arange(rows + 1, dtype=np.int64) * wide.shape[1]
    return text_series("sort_key", np.ascontiguousarray(wide).ravel(), cuts)


def feed_guards(items: pl.DataFrame, activities: pl.LazyFrame) -> pl.DataFrame:
    """Per item: every principal of 03.1 that is known here, the groups, the activities it stands on.

    Principals: lead and sampled actors, the owner, and the replied-to and mentioned of the lead activity and
    of the object's own activity; a user who is the object.
    """
    is_body = items["object_type"].is_in(_BODIES)
    own_ids = items.select(pl.when(is_body).then("object_id").otherwise(_NOBODY)).to_series().to_numpy()
    wanted = pl.concat([items["lead_activity_id"], items["object_id"].filter(is_body)]).unique()
    found = activities.filter(pl.col("id").is_in(wanted.implode())).select(
        "id",
        "group_id",
        pl.concat_list(
            pl.col("mentioned_user_ids"), pl.concat_list("actor_id"), pl.concat_list("reply_to_user_id")
        ).alias("principals"),
    ).sort("id").collect()  # fmt: skip
    lead, own = (_places(found["id"].to_numpy(), ids) for ids in (items["lead_activity_id"].to_numpy(), own_ids))
    groups = np.append(found["group_id"].fill_null(_NOBODY).to_numpy(), _NOBODY)
    principal_cuts, principals, is_there = list_buffers(found["principals"])
    sample_cuts, samples, _ = list_buffers(items["sample_actor_ids"])
    people = _several(items["lead_actor_id"], items["object_owner_id"], _when(items, "user"))
    users = feed_principals(
        lead, own, people, samples, sample_cuts, np.where(is_there, principals, _NOBODY), principal_cuts
    )
    places = np.stack([groups[lead], groups[own], _when(items, "group").to_numpy()], axis=1)
    acts = np.stack([items["lead_activity_id"].to_numpy(), own_ids], axis=1)
    return pl.DataFrame(
        [list_series("guard_users", *users), _known("guard_groups", places), _known("guard_objects", acts)]
    )


def _when(items: pl.DataFrame, object_type: str) -> pl.Series:
    """The object's id where it is of that type."""
    return items.select(pl.when(pl.col("object_type") == object_type).then("object_id").otherwise(_NOBODY)).to_series()


def _places(sorted_ids: Longs, ids: Longs) -> Longs:
    """Where each of ``ids`` stands, -1 for those that are not there."""
    at = np.searchsorted(sorted_ids, ids)
    at[at == len(sorted_ids)] = -1
    return np.where(sorted_ids[at] == ids, at, -1) if len(sorted_ids) else np.full(len(ids), -1)


def _several(*columns: pl.Series) -> Longs:
    return np.stack([column.fill_null(_NOBODY).to_numpy() for column in columns])


def _known(name: str, ids: Longs) -> pl.Series:
    """Each row's ids that are somebody's, as lists."""
    return list_series(
        name, *distinct(ids.ravel(), np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1], ids.ravel() >= 0)
    )
