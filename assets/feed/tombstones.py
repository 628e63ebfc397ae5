"""Items of the previous generation that are gone, and why (spec 03.4).

An item is ``displaced`` when an activity of it is still eligible inside the window (it lost its
place), ``aged_out`` when one is eligible but for the window, ``removed`` otherwise. Activities
older than the item ever showed do not speak for it. Does not belong here: the rules themselves.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from assets.feed.cards import DAILY_VERBS
from assets.feed.compressed import compress, numbers
from assets.feed.fill import at_distance_two
from assets.feed.kernels import Flags
from assets.feed.visibility import Pairs, Scene, is_in_circle, is_visible

KEEP_DAYS = 30
KEY = ("viewer_id", "mode", "item_id")
COLUMNS = (*KEY, "reason", "removed_at")
ITEM_COLUMNS = (
    *KEY, "reason", "verb", "object_type", "object_id", "lead_activity_id", "lead_actor_id", "first_activity_at",
)  # fmt: skip
"""What is read of a previous item."""


def gone_items(previous: pl.DataFrame, items: pl.DataFrame, viewer_ids: pl.Series) -> pl.DataFrame:
    """Previous items of viewers with a feed that are not among the current ones (by key)."""
    if previous.is_empty():
        return previous
    return previous.filter(pl.col("viewer_id").is_in(viewer_ids.implode())).join(items, on=list(KEY), how="anti")


def still_told(previous: pl.DataFrame, items: pl.DataFrame, viewer_ids: pl.Series, as_of: datetime) -> pl.DataFrame:
    """Earlier tombstones: dropped when the item is back, the viewer has no feed, or after 30 days."""
    if previous.is_empty():
        return previous
    return previous.filter(
        pl.col("viewer_id").is_in(viewer_ids.implode()) & (pl.col("removed_at") > as_of - timedelta(days=KEEP_DAYS))
    ).join(items, on=list(KEY), how="anti")


def bury(gone: pl.DataFrame, earlier: pl.DataFrame, scene: Scene, suggestible: Flags, as_of: datetime) -> pl.DataFrame:
    """The tombstones of ``gone`` items beside the ``earlier`` ones, one per item, sorted by key."""
    fresh = gone.select(*KEY, why_gone(gone, scene, suggestible), pl.lit(as_of).alias("removed_at"))
    fresh = fresh.with_columns(pl.col("removed_at").cast(pl.Datetime("us", "UTC")))
    kept = earlier.select(COLUMNS).join(fresh.select(KEY), on=list(KEY), how="anti")
    return pl.concat([kept, fresh]).sort(KEY)


def why_gone(gone: pl.DataFrame, scene: Scene, suggestible: Flags) -> pl.Series:
    """The reason of each gone item, in order. ``suggestible``: which activities may fill a feed."""
    items = gone.with_row_index("item").with_columns(
        viewer=scene.relations.people.number(gone["viewer_id"]),
        lead_actor=scene.relations.people.number(gone["lead_actor_id"]),
        first_us=gone["first_activity_at"].to_physical(),
    )
    if items.is_empty():
        return pl.Series("reason", [], dtype=pl.String)
    members = _eligible_members(items, _members(items, scene), scene, suggestible)
    inside = members.group_by("item").agg((pl.col("act") < scene.ground.in_window).any().alias("inside"))
    return (
        items.select("item")
        .join(inside, on="item", how="left", maintain_order="left")
        .select(
            pl.when(pl.col("inside").is_null())
            .then(pl.lit("removed"))
            .when("inside")
            .then(pl.lit("displaced"))
            .otherwise(pl.lit("aged_out"))
            .alias("reason")
        )
        .to_series()
    )


def _members(items: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """``item, act``: the activities that an item of its key may be made of."""
    acts = scene.ground.acts
    dated = acts.with_columns(day=pl.col("created_at").dt.date(), actor=pl.Series(scene.ground.actor.astype(np.uint32)))
    ranked = items.filter(pl.col("mode") == "ranked")
    by_object = acts.select("verb", "object_type", "object_id", "act")
    in_post = by_object.filter(pl.col("verb").is_in(["post", "reshare"])).drop("verb")
    found = [
        items.filter(pl.col("mode") == "chronological").join(acts, left_on="lead_activity_id", right_on="id"),
        ranked.filter(pl.col("verb") == "post").join(in_post, on=["object_type", "object_id"]),
        ranked.filter(~pl.col("verb").is_in(["post", *DAILY_VERBS])).join(
            by_object, on=["verb", "object_type", "object_id"]
        ),
        ranked.filter(pl.col("verb").is_in(DAILY_VERBS))
        .with_columns(day=pl.col("first_activity_at").dt.date())
        .join(dated, left_on=["verb", "lead_actor", "day"], right_on=["verb", "actor", "day"]),
    ]
    return pl.concat([frame.select("item", "act") for frame in found])


def _eligible_members(items: pl.DataFrame, members: pl.DataFrame, scene: Scene, suggestible: Flags) -> pl.DataFrame:
    """``item, act`` that keep every rule but the window; a reshare counts for a post's item only beside its post."""
    ground = scene.ground
    rows = members.join(items.select("item", "viewer", "mode", "verb", "reason", "first_us"), on="item")
    pairs = Pairs(numbers(rows["viewer"]), numbers(rows["act"]))
    is_near = is_in_circle(pairs, scene)
    rows = rows.with_columns(
        ground.acts["verb"].gather(pairs.act).alias("act_verb"),
        ground.acts["created_us"].gather(pairs.act).alias("created_us"),
        is_near=is_near,
        is_visible=is_visible(pairs, scene),
        may_be_suggested=suggestible[pairs.act] & ~is_near & _are_at_distance_two(pairs, scene),
    ).filter(pl.col("is_visible"))
    near = rows.filter("is_near")
    posts = near.filter(pl.col("act_verb") == "post").select("item")
    is_reshare = (pl.col("mode") == "ranked") & (pl.col("verb") == "post") & (pl.col("act_verb") == "reshare")
    near = pl.concat([near.filter(~is_reshare), near.filter(is_reshare).join(posts, on="item", how="semi")])
    far = rows.filter((pl.col("reason") == "suggested") & pl.col("may_be_suggested"))
    return pl.concat([near, far]).filter(pl.col("created_us") >= pl.col("first_us")).select("item", "act")


def _are_at_distance_two(pairs: Pairs, scene: Scene) -> Flags:
    ground, relations = scene.ground, scene.relations
    actor = ground.actor[pairs.act]
    is_wanted = np.zeros(relations.people.count, dtype=np.bool_)
    is_wanted[actor] = True
    edges = at_distance_two(np.unique(pairs.viewer), is_wanted, relations)
    frame = pl.DataFrame({"viewer": edges.viewer, "other": edges.other})
    return compress(frame, relations.people.count).holds(pairs.viewer, actor)
