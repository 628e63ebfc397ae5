"""Who may see what (spec 03.1): one function per rule about a viewer, over (viewer, activity) pairs.

Every rule says of each pair whether it keeps it. The rules without a viewer are in ``window``; the
first rule of 03.1 (the actor is a friend, or the viewer) is how pairs are made (``circle``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from assets.feed.compressed import Compressed, compress
from assets.feed.kernels import Flags, Numbers, admitted, expand, lacks, meets, with_themselves
from assets.feed.people import Relations
from assets.feed.window import Ground


@dataclass(frozen=True)
class Scene:
    """What the rules look at."""

    ground: Ground
    relations: Relations
    hidden: Compressed
    """By viewer, the activities they hid."""
    is_reshare: Flags
    reply_rule: Literal["friends", "all"]


@dataclass(frozen=True)
class Pairs:
    """Viewers and activities side by side, all of one viewer together."""

    viewer: Numbers
    act: Numbers

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return int(self.viewer.size)

    def where(self, is_kept: Flags) -> Pairs:
        """The pairs that are kept."""
        return Pairs(self.viewer[is_kept], self.act[is_kept])


@dataclass(frozen=True)
class Edges:
    """Viewers and the people whose activities they may get."""

    viewer: Numbers
    other: Numbers

    def pairs(self, by_actor: Compressed) -> Pairs:
        """Every edge with every activity of the other."""
        return Pairs(*expand(by_actor.start, by_actor.items, self.viewer, self.other))


def set_scene(ground: Ground, relations: Relations, reply_rule: Literal["friends", "all"]) -> Scene:
    """The scene of one snapshot."""
    is_reshare = (ground.acts["verb"] == "reshare").to_numpy()
    hidden = compress(hidden_acts(ground, relations), relations.people.count)
    return Scene(ground, relations, hidden, is_reshare, reply_rule)


def circle(relations: Relations, viewers: Numbers) -> Edges:
    """Every viewer with themself and with each friend."""
    friends = relations.friends
    return Edges(*with_themselves(friends.start, friends.items, viewers))


def is_in_circle(pairs: Pairs, scene: Scene) -> Flags:
    """The actor is a friend at as_of, or the viewer."""
    actor = scene.ground.actor[pairs.act]
    return np.asarray((actor == pairs.viewer) | scene.relations.friends.holds(pairs.viewer, actor))


def keeps_audience(pairs: Pairs, scene: Scene) -> Flags:
    """The audience admits the viewer for the activity (friends of the actor) and for its object (of the owner)."""
    ground, friends = scene.ground, scene.relations.friends
    by_actor, by_owner = (
        admitted(friends.start, friends.items, pairs.viewer, pairs.act, person, level)
        for person, level in ((ground.actor, ground.actor_level), (ground.owner, ground.owner_level))
    )
    return np.asarray(by_actor & by_owner)


def meets_no_block(pairs: Pairs, scene: Scene) -> Flags:
    """No block in either direction between the viewer and any principal of the activity or its object."""
    blocked, principals = scene.relations.blocked, scene.ground.principals
    return ~meets(blocked.start, blocked.items, pairs.viewer, principals.start, principals.items, pairs.act)


def is_not_muted(pairs: Pairs, scene: Scene) -> Flags:
    """No unexpired mute of actor or owner; scope ``reshares`` hides only their reshares."""
    ground, relations = scene.ground, scene.relations
    actor, owner = ground.actor[pairs.act], ground.owner[pairs.act]
    is_muted = relations.muted.holds(pairs.viewer, actor) | relations.muted.holds(pairs.viewer, owner)
    resharer = np.where(scene.is_reshare[pairs.act], actor, np.int32(-1))
    return np.asarray(~(is_muted | relations.muted_reshares.holds(pairs.viewer, resharer)))


def keeps_reply_rule(pairs: Pairs, scene: Scene) -> Flags:
    """A reply is shown iff the viewer wrote it, or is the person replied to, or is a friend of theirs."""
    if scene.reply_rule == "all":
        return np.ones(pairs.count, dtype=np.bool_)
    replied_to = scene.ground.reply_to[pairs.act]
    is_party = (pairs.viewer == scene.ground.actor[pairs.act]) | (pairs.viewer == replied_to)
    return np.asarray((replied_to < 0) | is_party | scene.relations.friends.holds(pairs.viewer, replied_to))


def is_member(pairs: Pairs, scene: Scene) -> Flags:
    """What belongs to a private group is for its members."""
    members, groups = scene.relations.members, scene.ground.groups
    return ~lacks(members.start, members.items, pairs.viewer, groups.start, groups.items, pairs.act)


def is_not_hidden(pairs: Pairs, scene: Scene) -> Flags:
    """Nothing on a hidden object; a hidden comment hides that comment's own activity too."""
    return ~scene.hidden.holds(pairs.viewer, pairs.act)


def hidden_acts(ground: Ground, relations: Relations) -> pl.DataFrame:
    """``viewer, act`` of everything somebody hid."""
    hides, acts = relations.hides, ground.acts
    on_object = hides.join(acts, on=["object_type", "object_id"]).select("viewer", "act")
    comments = acts.filter(pl.col("verb") == "comment").select("act", pl.col("id").alias("object_id"))
    itself = hides.filter(pl.col("object_type") == "comment").join(comments, on="object_id").select("viewer", "act")
    return pl.concat([on_object, itself])


RULES: tuple[tuple[str, Callable[[Pairs, Scene], Flags]], ...] = (
    ("audience", keeps_audience),
    ("block", meets_no_block),
    ("mute", is_not_muted),
    ("reply_rule", keeps_reply_rule),
    ("private_group", is_member),
    ("hidden", is_not_hidden),
)
"""The rules in the order they are counted."""


def visible(pairs: Pairs, scene: Scene) -> tuple[Pairs, Counter[str]]:
    """The pairs that keep every rule, and how many each rule removed."""
    removed = Counter({reason: 0 for reason, _ in RULES})
    for reason, rule in RULES:
        is_kept = rule(pairs, scene)
        removed[reason] += pairs.count - int(is_kept.sum())
        pairs = pairs.where(is_kept)
    return pairs, removed


def is_visible(pairs: Pairs, scene: Scene) -> Flags:
    """Of each pair, whether it keeps every rule."""
    kept = np.ones(pairs.count, dtype=np.bool_)
    for _, rule in RULES:
        kept &= rule(pairs, scene)
    return kept
