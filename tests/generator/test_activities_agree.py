"""Activities agree with the friendships, memberships and activities they speak of."""

from __future__ import annotations

import polars as pl

from tests.support.worlds_made import table

USERS = 2_000


def acts() -> pl.DataFrame:
    return table("activities", USERS)


def test_every_verb_audience_and_object_type_occurs() -> None:
    assert set(acts()["verb"]) == {"post", "reshare", "comment", "reaction", "friend_add", "group_join"}
    assert set(acts()["audience"]) == {"public", "friends", "only_me"}
    assert set(acts()["object_type"]) == {"post", "comment", "user", "group"}
    assert acts()["deleted_at"].null_count() < acts().height
    assert acts()["mentioned_user_ids"].list.len().max() >= 1


def test_a_post_is_its_own_object() -> None:
    posts = acts().filter(pl.col("verb") == "post")
    assert (posts["object_id"] == posts["id"]).all()
    assert (posts["object_owner_id"] == posts["actor_id"]).all()
    assert (posts["audience"] == posts["object_audience"]).all()


def test_what_is_acted_on_is_there_and_was_there_before() -> None:
    own = acts().filter(pl.col("verb").is_in(["post", "comment"])).select(
        object_type=pl.col("verb"), object_id="id", owner="actor_id", own_audience="audience", own_at="created_at",
        own_group="group_id",
    )  # fmt: skip
    on_text = acts().filter(pl.col("object_type").is_in(["post", "comment"]) & (pl.col("verb") != "post"))
    joined = on_text.join(own, on=["object_type", "object_id"], how="left")
    assert joined.height == on_text.height
    assert joined["owner"].null_count() == 0
    assert (joined["owner"] == joined["object_owner_id"]).all()
    assert (joined["own_audience"] == joined["object_audience"]).all()
    assert (joined["own_at"] < joined["created_at"]).all()
    comments = joined.filter(pl.col("verb") == "comment")
    assert (comments["reply_to_user_id"] == comments["owner"]).all()
    assert comments["group_id"].eq_missing(comments["own_group"]).all()
    assert joined.filter((pl.col("own_audience") == "only_me") & (pl.col("actor_id") != pl.col("owner"))).is_empty()


def test_nobody_reacts_twice_to_the_same_thing() -> None:
    reactions = acts().filter(pl.col("verb") == "reaction")
    assert not reactions.select("actor_id", "object_type", "object_id").is_duplicated().any()
    assert reactions["reply_to_user_id"].null_count() == reactions.height


def test_every_friend_add_is_a_friendship_formed_at_that_instant() -> None:
    added = acts().filter(pl.col("verb") == "friend_add").select(
        user_a_id=pl.min_horizontal("actor_id", "object_id"), user_b_id=pl.max_horizontal("actor_id", "object_id"),
        at="created_at",
    )  # fmt: skip
    joined = added.join(table("friendships", USERS), on=["user_a_id", "user_b_id"])
    assert joined.height == added.height > 0
    assert (joined["at"] == joined["created_at"]).all()


def test_every_group_join_is_a_membership_and_group_posts_come_from_members() -> None:
    members = table("memberships", USERS)
    joins = acts().filter(pl.col("verb") == "group_join")
    joined = joins.join(members, left_on=["object_id", "actor_id"], right_on=["group_id", "user_id"])
    assert joined.height == joins.height > 0
    assert joins["object_owner_id"].null_count() == joins.height
    assert (joined["created_at"] == joined["joined_at"]).all()
    posts = acts().filter((pl.col("verb") == "post") & pl.col("group_id").is_not_null())
    inside = posts.join(members, left_on=["group_id", "actor_id"], right_on=["group_id", "user_id"])
    assert inside.height == posts.height > 0
    assert (inside["joined_at"] < inside["created_at"]).all()


def test_a_private_groups_posts_are_answered_by_members_only() -> None:
    private = table("groups", USERS).filter("is_private").select("id")
    inside = (
        acts().filter(pl.col("verb").is_in(["comment", "reaction"])).join(private, left_on="group_id", right_on="id")
    )
    members = table("memberships", USERS).select("group_id", "user_id")
    assert inside.height > 0
    assert inside.join(
        members, left_on=["group_id", "actor_id"], right_on=["group_id", "user_id"], how="anti"
    ).is_empty()


def test_a_mentioned_friend_is_named_in_the_text() -> None:
    handles = table("users", USERS).select("id", "handle")
    mentions = (
        acts()
        .explode("mentioned_user_ids", empty_as_null=False)
        .join(handles, left_on="mentioned_user_ids", right_on="id")
    )
    assert mentions.height > 0
    assert mentions.select(pl.col("body").str.contains(pl.concat_str(pl.lit("@"), "handle"), literal=True).all()).item()


def test_friends_do_most_of_the_answering() -> None:
    comments = acts().filter(
        (pl.col("verb") == "comment") & (pl.col("object_type") == "post") & pl.col("group_id").is_null()
    )
    pairs = comments.select(
        user_a_id=pl.min_horizontal("actor_id", "object_owner_id"),
        user_b_id=pl.max_horizontal("actor_id", "object_owner_id"),
    )
    close = pairs.join(table("friendships", USERS), on=["user_a_id", "user_b_id"]).height
    assert close / pairs.height > 0.85
