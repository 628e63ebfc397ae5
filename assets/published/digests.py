"""Built digests as clients get them (spec 06.2 Digest, DigestDetail) and their mails. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from assets.published.columns import binary
from assets.published.encoding import compressed, cumulative, instant, json_texts, text_buffers
from assets.published.rows import GUARDS, NO_IDS, etag_number, guard_columns
from store.datasets import MAILS

_DIGEST: Final = (
    "digest_id",
    "kind",
    "channel",
    "period_key",
    "window_start",
    "window_end",
    "due_at",
    "deliver_after",
    "time_zone",
    "subject",
    "eligible_count",
    "group_count",
    "more_count",
    "late_count",
)
_GROUP: Final = (
    "rank",
    "group_key",
    "category",
    "verb",
    "object_type",
    "object_id",
    "actor_count",
    "sample_actor_ids",
    "notification_ids",
    "last_activity_at",
    "text",
    "item_count",
)
_BODIES: Final = ("post", "comment")


def digest_list(history: pl.DataFrame, activities: pl.LazyFrame) -> pl.DataFrame:
    """Digests, newest first, as :func:`assets.published.rows.list_rows` takes them."""
    guards = _groups(history, activities).group_by("digest_id").agg(
        pl.col(GUARDS).list.explode(keep_nulls=False, empty_as_null=False)
    )  # fmt: skip
    newest = history.sort("user_id", "due_at", "digest_id", descending=[False, True, False]).join(
        guards, on="digest_id", how="left", maintain_order="left"
    )
    return newest.select(
        pl.col("user_id").alias("viewer_id"),
        json_texts(newest.select(_DIGEST)),
        (instant("due_at") + "|" + pl.col("digest_id")).alias("fragment_key"),
        pl.lit(value=False).alias("is_cold"),
        pl.col(GUARDS).fill_null(NO_IDS),
    )


def detail_rows(history: pl.DataFrame, activities: pl.LazyFrame) -> pa.Table:
    """Rows of ``digest_details`` (``store.datasets.MAILS``), by the first 16 hex digits of ``digest_id``."""
    keyed = history.with_columns(digest_keys(history["digest_id"])).sort("key", "digest_id")
    groups = (
        _groups(history, activities)
        .join(keyed.select("digest_id", "key"), on="digest_id")
        .sort("key", "digest_id", "rank")
    )  # fmt: skip
    texts = groups.group_by("digest_id", maintain_order=True).agg(pl.col("fragment").str.join(","))
    digests = keyed.join(texts.rename({"fragment": "groups_json"}), on="digest_id", how="left", maintain_order="left")
    documents = digests.select(json_texts(digests.select(_DIGEST)).alias("digest"), "groups_json").select(
        (pl.lit('{"digest":') + pl.col("digest") + ',"groups":[' + pl.col("groups_json").fill_null("") + "]}").alias(
            "body"
        )
    )
    counts = keyed["groups"].list.len().cast(pl.Int64).to_numpy()
    guards, guard_offsets = guard_columns(groups, np.cumsum(counts) - counts, counts)
    bodies = documents["body"]
    html_cuts, html = text_buffers(keyed["html"])
    mails, mail_sizes = compressed(html, html_cuts)
    return pa.Table.from_arrays(
        [
            pa.array(keyed["key"].to_numpy()),
            pa.array(np.array([etag_number(text.encode(), "ready") for text in bodies], dtype=np.uint64)),
            pa.array(keyed["user_id"].to_numpy().astype(np.uint64)),
            binary(*text_buffers(bodies)),
            binary(cumulative(mail_sizes), mails),
            guards,
            guard_offsets,
        ],
        schema=MAILS,
    )


def digest_keys(digest_ids: pl.Series) -> pl.Series:
    """The number that the first 16 hex digits of each id stand for."""
    numbers = [int(digest_id[:16], 16) for digest_id in digest_ids]
    return pl.Series("key", numbers, dtype=pl.UInt64)


def _groups(history: pl.DataFrame, activities: pl.LazyFrame) -> pl.DataFrame:
    """One row per rendered group: its JSON and its guards; the circle is the owner of what is not public."""
    flat = (
        history.select("digest_id", "groups")
        .explode("groups", keep_nulls=False, empty_as_null=False)
        .unnest("groups")
    )  # fmt: skip
    is_body = pl.col("object_type").is_in(_BODIES)
    objects = flat.filter(is_body)["object_id"].unique()
    own = activities.filter(pl.col("id").is_in(objects.implode())).select(
        pl.col("id").alias("object_id"), "actor_id", "group_id", "audience"
    )
    joined = flat.join(own.collect(), on="object_id", how="left", maintain_order="left")

    def when(condition: pl.Expr, column: str) -> pl.Expr:
        return pl.concat_list(pl.when(condition).then(column))

    def of(object_type: str) -> pl.Expr:
        return when(pl.col("object_type") == object_type, "object_id")

    return joined.select(
        "digest_id",
        "rank",
        json_texts(joined.select(_GROUP)),
        pl.concat_list("principal_ids", "sample_actor_ids", of("user")).alias("guard_users"),
        pl.concat_list(of("group"), when(is_body, "group_id")).alias("guard_groups"),
        when(is_body, "object_id").alias("guard_objects"),
        when(is_body & (pl.col("audience") != "public"), "actor_id").alias("guard_circle"),
    )
