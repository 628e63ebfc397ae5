"""Who dealt with whom: comments, reactions, reshares, replies and mentions of the last 90 days.

Lives here: the pairs and their counts, and which activities a viewer may read (02, 2.4; the rules
of 03, 3.1 for someone who is no friend of the actor). Does not belong here: feeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from assets.friends.config import INTERACTION_DAYS
from assets.friends.graph import PAIR, People, Rows

Frames = Mapping[str, pl.LazyFrame]
ACTED_ON = ("comment", "reaction", "reshare")


def activities(frames: Frames, as_of: datetime) -> pl.LazyFrame:
    """Undeleted activities of the window with their object's own activity and resolved owner.

    Columns: those of the activity, ``owner_id``, ``is_known``, and ``own_*`` of the own activity.
    """
    everything = frames["staged_activities"].filter(pl.col("created_at") < as_of)
    own = everything.filter(pl.col("verb").is_in(["post", "comment"])).select(
        pl.col("id").alias("object_id"),
        pl.col("verb").alias("object_type"),
        pl.col("actor_id").alias("own_actor_id"),
        pl.col("audience").alias("own_audience"),
        pl.col("group_id").alias("own_group_id"),
        pl.col("reply_to_user_id").alias("own_reply_to_user_id"),
        pl.col("mentioned_user_ids").alias("own_mentioned_user_ids"),
        pl.col("deleted_at").alias("own_deleted_at"),
    )
    since = as_of - timedelta(days=INTERACTION_DAYS)
    is_thing = pl.col("object_type").is_in(["post", "comment"])
    owner = pl.when(pl.col("object_type") == "user").then("object_id").otherwise(
        pl.coalesce("own_actor_id", "object_owner_id")
    )  # fmt: skip
    return (
        everything.filter((pl.col("created_at") >= since) & pl.col("deleted_at").is_null())
        .join(own, on=["object_type", "object_id"], how="left")
        .filter(pl.col("own_deleted_at").is_null())
        .with_columns(owner_id=owner, is_known=~is_thing | pl.col("own_actor_id").is_not_null())
    )


def events(frames: Frames, who: People, as_of: datetime) -> pl.DataFrame:
    """``viewer, candidate, id``: activity ``id`` passed between the two, listed for both of them."""
    acts = activities(frames, as_of)
    target = pl.col("target_id")
    on_object = acts.filter(pl.col("verb").is_in(ACTED_ON)).select("id", "actor_id", owner_id="owner_id")
    parts = [
        on_object.select("id", "actor_id", target_id="owner_id"),
        acts.select("id", "actor_id", target_id="reply_to_user_id"),
        acts.select("id", "actor_id", target_id="mentioned_user_ids").explode("target_id"),
    ]
    between = pl.concat(parts).filter(target.is_not_null() & (target != pl.col("actor_id"))).unique()
    located = who.locate(between, viewer="actor_id", candidate="target_id").select("viewer", "candidate", "id")
    turned = located.select(pl.col("candidate").alias("viewer"), pl.col("viewer").alias("candidate"), "id")
    return pl.concat([located, turned]).unique().sort("viewer", "candidate", "id").collect()


def counts(between: pl.DataFrame) -> pl.DataFrame:
    """``viewer, candidate, interaction_count`` of distinct activities between the two."""
    return between.group_by("viewer", "candidate").agg(pl.len().cast(pl.Int64).alias("interaction_count"))


def readable(
    pairs: pl.DataFrame, between: pl.DataFrame, frames: Frames, who: People, friends: Rows, as_of: datetime
) -> pl.DataFrame:
    """The ``pairs`` joined by an activity that the viewer made or may read (distinct)."""
    wanted = between.join(pairs.select(list(PAIR)).unique(), on=list(PAIR), how="semi")
    if wanted.is_empty():
        return pl.DataFrame(schema=PAIR)
    number = pl.LazyFrame(
        {"viewer": range(who.size), "viewer_id": who.ids}, schema={"viewer": pl.Int32, "viewer_id": pl.Int64}
    )
    acts = wanted.lazy().join(activities(frames, as_of), on="id").join(number, on="viewer")
    made = acts.filter(pl.col("actor_id") == pl.col("viewer_id"))
    others = acts.filter((pl.col("actor_id") != pl.col("viewer_id")) & pl.col("is_known"))
    reading = friends.pairs().join(wanted.select("viewer").unique(), on="viewer", how="semi")
    admitted = _audience_admits(others, who, reading)
    admitted = _groups_admit(admitted, frames, as_of)
    read = _nobody_blocks(admitted, frames)
    found = pl.concat([made.select(list(PAIR)), read.select(list(PAIR))])
    return found.unique().sort(list(PAIR)).collect()


def _audience_admits(acts: pl.LazyFrame, who: People, friendships: pl.DataFrame) -> pl.LazyFrame:
    """Public for strangers to the actor; object audiences as for friends of the owner, who is there."""
    ids = pl.LazyFrame({"index": range(who.size), "id": who.ids}, schema={"index": pl.Int32, "id": pl.Int64})
    known = (
        friendships.lazy()
        .join(ids.rename({"id": "viewer_id"}), left_on="viewer", right_on="index")
        .join(ids.rename({"id": "owner_id"}), left_on="candidate", right_on="index")
        .select("viewer_id", "owner_id", is_owners_friend=pl.lit(value=True))
    )  # fmt: skip
    there = ids.select(owner_id="id", is_there=pl.lit(value=True))
    is_owner = (pl.col("owner_id") == pl.col("viewer_id")).fill_null(value=False)
    is_near = is_owner | pl.col("is_owners_friend").fill_null(value=False)

    def admits(column: str) -> pl.Expr:
        audience = pl.col(column)
        for_friends = (audience == "friends") & is_near
        return audience.is_null() | (audience == "public") | for_friends | ((audience == "only_me") & is_owner)

    is_there = pl.col("owner_id").is_null() | pl.col("is_there")
    joined = acts.join(known, on=["viewer_id", "owner_id"], how="left").join(there, on="owner_id", how="left")
    is_public = pl.col("audience") == "public"
    return joined.filter(is_public & admits("object_audience") & admits("own_audience") & is_there)


def _groups_admit(acts: pl.LazyFrame, frames: Frames, as_of: datetime) -> pl.LazyFrame:
    """Every group the activity stands in or is about is public, or the viewer is a member."""
    public = frames["staged_groups"].filter(~pl.col("is_private")).select(pl.col("id").alias("place"))
    lasting = pl.col("left_at").is_null() | (pl.col("left_at") > as_of)
    members = frames["staged_memberships"].filter((pl.col("joined_at") < as_of) & lasting)
    members = members.select(pl.col("user_id").alias("viewer_id"), pl.col("group_id").alias("place"))
    about = pl.when(pl.col("object_type") == "group").then("object_id")
    places = pl.concat(
        [acts.select("viewer_id", "id", place=e) for e in (pl.col("group_id"), pl.col("own_group_id"), about)]
    ).drop_nulls("place")
    closed = places.join(public, on="place", how="anti").join(members, on=["viewer_id", "place"], how="anti")
    return acts.join(closed, on=["viewer_id", "id"], how="anti")


def _nobody_blocks(acts: pl.LazyFrame, frames: Frames) -> pl.LazyFrame:
    """No block, in either direction, with anyone the activity or its object names."""
    one_way = frames["staged_blocks"].select(viewer_id="blocker_id", person="blocked_id")
    blocks = pl.concat([one_way, one_way.select(viewer_id="person", person="viewer_id")])
    single = ("actor_id", "owner_id", "reply_to_user_id", "own_actor_id", "own_reply_to_user_id")
    people = [acts.select("viewer_id", "id", person=pl.col(name)) for name in single]
    people += [
        acts.select("viewer_id", "id", person=pl.col(name)).explode("person")
        for name in ("mentioned_user_ids", "own_mentioned_user_ids")
    ]
    barred = pl.concat(people).join(blocks, on=["viewer_id", "person"], how="semi")
    return acts.join(barred, on=["viewer_id", "id"], how="anti")
