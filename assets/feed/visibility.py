"""Who may see what (spec 03.1): one function per rule about a viewer, over (viewer, activity) pairs.

Every rule takes pairs and gives back those that keep it. The rules without a viewer are in
``window``; the first rule of 03.1 (the actor is a friend, or the viewer) is how pairs are made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from assets.feed.people import Relations
from assets.feed.window import Ground


@dataclass(frozen=True)
class Scene:
    """What the rules look at."""

    ground: Ground
    relations: Relations
    reply_rule: Literal["friends", "all"]


def pairs_of(edges: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """``viewer, act`` for every edge ``viewer, other`` and every activity of ``acts`` by the other."""
    return edges.join(acts.select("actor", "act"), left_on="other", right_on="actor").select("viewer", "act")


def circle(relations: Relations, viewers: pl.Series) -> pl.DataFrame:
    """``viewer, other``: every viewer with themself and with each friend."""
    viewers = viewers.cast(pl.UInt32)
    own = pl.DataFrame([viewers.alias("viewer"), viewers.alias("other")])
    return pl.concat([own, relations.friends.filter(pl.col("viewer").is_in(viewers.implode()))])


def keep_audience(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """The audience admits the viewer for the activity (friends of the actor) and for its object (of the owner)."""
    for person, level in (("actor", "actor_level"), ("owner", "owner_level")):
        pairs = _keep(
            pairs,
            scene.ground.of(pairs["act"], level) > 0,
            lambda subject, person=person, level=level: _is_admitted(subject, scene, person, level),  # type: ignore[misc]
        )
    return pairs


def _is_admitted(subject: pl.DataFrame, scene: Scene, person: str, level: str) -> pl.Series:
    viewer, who = subject["viewer"], scene.ground.of(subject["act"], person)
    is_self = (viewer == who).fill_null(value=False)
    is_friends = scene.ground.of(subject["act"], level) == 1
    return is_self | (is_friends & scene.relations.are_friends(viewer, who))


def drop_blocked(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """No block in either direction between the viewer and any principal of the activity or its object."""
    return _without(pairs, scene, [_meet(pairs, scene.ground.principals, scene.relations.blocked)])


def drop_muted(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """No unexpired mute of actor or owner; scope ``reshares`` hides only their reshares."""
    acts = scene.ground.acts
    by_actor, by_owner = (acts.select("act", pl.col(name).alias("other")) for name in ("actor", "owner"))
    reshares = acts.filter(pl.col("verb") == "reshare").select("act", pl.col("actor").alias("other"))
    muted = scene.relations.muted
    forbidden = [_meet(pairs, by_actor, muted), _meet(pairs, by_owner, muted)]
    return _without(pairs, scene, [*forbidden, _meet(pairs, reshares, scene.relations.muted_reshares)])


def keep_replies(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """A reply is shown iff the viewer wrote it, or is the person replied to, or is a friend of theirs."""
    if scene.reply_rule == "all":
        return pairs
    return _keep(
        pairs,
        scene.ground.of(pairs["act"], "reply_to").is_not_null(),
        lambda subject: _is_reply_shown(subject, scene),
    )


def _is_reply_shown(subject: pl.DataFrame, scene: Scene) -> pl.Series:
    viewer = subject["viewer"]
    writer, replied_to = (scene.ground.of(subject["act"], name) for name in ("actor", "reply_to"))
    return (viewer == writer) | (viewer == replied_to) | scene.relations.are_friends(viewer, replied_to)


def keep_members(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """What belongs to a private group is for its members."""
    relations = scene.relations
    required = scene.ground.groups.filter(pl.col("group_id").is_in(relations.private_groups.implode()))
    missing = pairs.join(required, on="act").join(relations.members, on=["viewer", "group_id"], how="anti")
    return _without(pairs, scene, [missing.select("viewer", "act")])


def drop_hidden(pairs: pl.DataFrame, scene: Scene) -> pl.DataFrame:
    """Nothing on a hidden object; a hidden comment hides that comment's own activity too."""
    return _without(pairs, scene, [hidden_acts(scene.ground, scene.relations)])


def hidden_acts(ground: Ground, relations: Relations) -> pl.DataFrame:
    """``viewer, act`` of everything somebody hid."""
    hides, acts = relations.hides, ground.acts
    on_object = hides.join(acts, on=["object_type", "object_id"]).select("viewer", "act")
    comments = acts.filter(pl.col("verb") == "comment").select("act", pl.col("id").alias("object_id"))
    itself = hides.filter(pl.col("object_type") == "comment").join(comments, on="object_id").select("viewer", "act")
    return pl.concat([on_object, itself])


RULES: tuple[tuple[str, Callable[[pl.DataFrame, Scene], pl.DataFrame]], ...] = (
    ("audience", keep_audience),
    ("block", drop_blocked),
    ("mute", drop_muted),
    ("reply_rule", keep_replies),
    ("private_group", keep_members),
    ("hidden", drop_hidden),
)
"""The rules in the order they are counted."""


def visible(pairs: pl.DataFrame, scene: Scene) -> tuple[pl.DataFrame, Counter[str]]:
    """The pairs that keep every rule, and how many each rule removed."""
    removed = Counter({reason: 0 for reason, _ in RULES})
    if pairs.is_empty():
        return pairs, removed
    for reason, rule in RULES:
        kept = rule(pairs, scene)
        removed[reason] += pairs.height - kept.height
        pairs = kept
    return pairs, removed


def _keep(pairs: pl.DataFrame, concerned: pl.Series, is_kept: Callable[[pl.DataFrame], pl.Series]) -> pl.DataFrame:
    """Ask only the concerned pairs."""
    if not concerned.any():
        return pairs
    subject = pairs.filter(concerned)
    return pl.concat([pairs.filter(~concerned), subject.filter(is_kept(subject))])


def _meet(pairs: pl.DataFrame, roles: pl.DataFrame, relation: pl.DataFrame) -> pl.DataFrame:
    """``viewer, act`` where the relation holds between a viewer of ``pairs`` and someone in a role of the activity."""
    if relation.is_empty() or pairs.is_empty():
        return pl.DataFrame(schema={"viewer": pl.UInt32, "act": pl.UInt32})
    of_viewers = relation.join(pairs.select("viewer").unique(), on="viewer", how="semi")
    if of_viewers.is_empty():
        return pl.DataFrame(schema={"viewer": pl.UInt32, "act": pl.UInt32})
    return of_viewers.join(roles, on="other").select("viewer", "act")


def _without(pairs: pl.DataFrame, scene: Scene, forbidden: list[pl.DataFrame]) -> pl.DataFrame:
    every = pl.concat(forbidden)
    if every.is_empty():
        return pairs
    packed = scene.ground.pack(every["viewer"], every["act"])
    return pairs.filter(~scene.ground.pack(pairs["viewer"], pairs["act"]).is_in(packed.implode()))
