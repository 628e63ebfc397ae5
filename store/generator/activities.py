"""The table ``activities``: threads, new friendships and joined groups, in order of time.

Ids follow the instants, so the id of a post or comment is also its place in time. Mentions, edits
and deletions are decided here; texts are rendered chunk by chunk while writing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from store.generator.clock import DAY, HOUR, MINUTE, SECOND
from store.generator.columns import Column, array, compute, labels, lists, maybe
from store.generator.draws import Ints, compact, pick, stable_order, stream
from store.generator.engagement import (
    O_COMMENT,
    O_GROUP,
    O_POST,
    O_USER,
    OBJECTS,
    V_COMMENT,
    V_FRIEND_ADD,
    V_GROUP_JOIN,
    V_POST,
    V_REACTION,
    VERBS,
    Acts,
    join,
)  # fmt: skip
from store.generator.friendships import Friendships
from store.generator.groups import Groups
from store.generator.people import NEVER, People
from store.generator.posts import AUDIENCES, FRIENDS, PUBLIC, WINDOW_DAYS
from store.generator.tables import CHUNK, WorldWriter
from store.generator.texts import Writing, write_texts

REACTIONS = ("like", "love", "haha", "wow", "sad", "care")


@dataclass(frozen=True)
class Activities:
    """All activities by id (position + 1); objects that are posts or comments are positions here."""

    acts: Acts
    mentioned: Ints
    """One person at most is mentioned; -1 for nobody."""
    updated: Ints
    deleted: Ints
    """NEVER where not."""
    reaction: Ints
    sibling: Ints
    """How many comments or reshares of the same object came before."""

    def __len__(self) -> int:
        return len(self.acts)

    def writing(self, rows: Ints) -> Writing:
        """What the texts of some rows need."""
        a = self.acts
        to = np.where(a.reply_to[rows] >= 0, a.reply_to[rows], a.actor[rows])
        return Writing(rows, a.kind[rows], a.subject[rows], a.thing[rows], a.actor[rows], a.root[rows], to,
                       self.mentioned[rows], a.at[rows], self.sibling[rows], a.object[rows])  # fmt: skip


def make_activities(seed: int, people: People, friends: Friendships, groups: Groups, threads: Acts) -> Activities:
    """Merge everything, sort by time, decide mentions, edits and deletions."""
    rng = stream(seed, "activities")
    merged = join([threads, _friend_adds(rng, people, friends), _group_joins(rng, people, groups)])
    del threads
    acts = _in_order(merged)
    del merged
    mentioned = _mentions(rng, friends, acts)
    updated = _edited(rng, acts, people.clock.as_of)
    deleted = _deleted(rng, acts, people.clock.as_of)
    np.copyto(updated, deleted, where=deleted < NEVER)
    reaction = compact(pick(rng, np.array([58, 22, 9, 5, 3, 3.0]), len(acts)), np.int8)
    return Activities(acts, mentioned, updated, deleted, reaction, _siblings(acts))


def _in_order(merged: Acts) -> Acts:
    """Rows by time; what points at a row points at its new place."""
    order = np.argsort(merged.at, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    acts = merged.part(order)
    on_text = np.isin(acts.object_type, (O_POST, O_COMMENT))
    acts.object[on_text] = place[acts.object[on_text]]
    return acts


def _edited(rng: np.random.Generator, acts: Acts, as_of: int) -> Ints:
    edited = acts.at + (rng.exponential(2.5, len(acts)) * HOUR).astype(np.int64) + 30 * SECOND
    is_text = np.isin(acts.verb, (V_POST, V_COMMENT))
    return np.where(is_text & (rng.random(len(acts)) < 0.035) & (edited < as_of), edited, NEVER)


def _deleted(rng: np.random.Generator, acts: Acts, as_of: int) -> Ints:
    removed = acts.at + (rng.exponential(30, len(acts)) * HOUR).astype(np.int64) + MINUTE
    is_text = np.isin(acts.verb, (V_POST, V_COMMENT))
    share = np.where(is_text, 0.014, np.where(acts.verb == V_REACTION, 0.01, 0.002))
    return np.where((rng.random(len(acts)) < share) & (removed < as_of), removed, NEVER)


def _siblings(acts: Acts) -> Ints:
    """Per spoken answer, the number of earlier ones to the same object."""
    rank = compact(np.zeros(len(acts), np.int64))
    rows = np.flatnonzero((acts.kind >= 0) & (acts.verb != V_POST))
    if len(rows):
        ordered = rows[stable_order(acts.object[rows])]
        what = acts.object[ordered]
        begins = np.flatnonzero(np.diff(what, prepend=-1))
        rank[ordered] = np.arange(len(ordered)) - np.repeat(begins, np.diff(begins, append=len(ordered)))
    return rank


def _friend_adds(rng: np.random.Generator, people: People, friends: Friendships) -> Acts:
    rows = np.flatnonzero(friends.created > people.clock.as_of - WINDOW_DAYS * DAY)
    actor = friends.asker[rows]
    other = friends.a[rows] + friends.b[rows] - actor
    own = np.where((people.profile[actor] == 0) & (rng.random(len(rows)) < 0.6), PUBLIC, FRIENDS)
    theirs = np.where(people.profile[other] == 0, PUBLIC, FRIENDS)
    return _plain(actor, V_FRIEND_ADD, O_USER, other, other, -1, own, theirs, friends.created[rows])


def _group_joins(rng: np.random.Generator, people: People, groups: Groups) -> Acts:
    rows = np.flatnonzero((groups.joined > people.clock.as_of - WINDOW_DAYS * DAY) & (groups.kind[groups.group] < 4))
    rows = rows[rng.random(len(rows)) < 0.9]
    is_open = ~groups.is_private[groups.group[rows]] & (rng.random(len(rows)) < 0.7)
    audience = np.where(is_open, PUBLIC, FRIENDS)
    # a group has no owner to be friends with: as an object it is public, its privacy is is_private
    return _plain(groups.person[rows], V_GROUP_JOIN, O_GROUP, groups.group[rows], -1, groups.group[rows], audience,
                  PUBLIC, groups.joined[rows])  # fmt: skip


def _plain(
    actor: Ints, verb: int, object_type: int, what: Ints, owner: Ints | int, group: Ints | int, audience: Ints,
    object_audience: Ints | int, at: Ints,
) -> Acts:  # fmt: skip
    n = len(actor)
    full = [np.broadcast_to(np.asarray(v, np.int64), (n,)) for v in (
        actor, verb, object_type, what, owner, -1, group, audience, object_audience, at, 0, 0, actor, -1)]  # fmt: skip
    return Acts(*full)


def _mentions(rng: np.random.Generator, friends: Friendships, acts: Acts) -> Ints:
    share = np.where(acts.verb == V_POST, 0.06, np.where(acts.verb == V_COMMENT, 0.05, 0.0))
    wants = np.flatnonzero(rng.random(len(acts)) < share)
    mentioned = compact(np.full(len(acts), -1, np.int64))
    if len(friends.a) and len(wants):
        spot = friends.of.sample(rng, acts.actor[wants])
        since, until = friends.since(spot)
        friend = friends.of.value[spot]
        fits = (spot >= 0) & (since < acts.at[wants]) & (until > acts.at[wants]) & (friend != acts.reply_to[wants])
        mentioned[wants[fits]] = friend[fits]
    return mentioned


def write_activities(world: WorldWriter, seed: int, people: People, activities: Activities) -> None:
    """Write ``activities``, a chunk of rows at a time."""
    for begin in range(0, len(activities), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(activities)))
        a = activities.acts.part(rows)
        has_mention = activities.mentioned[rows] >= 0
        world.write("activities", {
            "id": rows + 1, "actor_id": a.actor + 1, "verb": labels(a.verb, VERBS),
            "object_type": labels(a.object_type, OBJECTS), "object_id": a.object + 1,
            "object_owner_id": maybe(a.owner + 1, a.owner >= 0),
            "reply_to_user_id": maybe(a.reply_to + 1, a.reply_to >= 0),
            "mentioned_user_ids": lists(array(activities.mentioned[rows][has_mention] + 1), has_mention.astype(int)),
            "group_id": maybe(a.group + 1, a.group >= 0), "audience": labels(a.audience, AUDIENCES),
            "object_audience": labels(a.object_audience, AUDIENCES),
            "body": _bodies(seed, people, activities, rows), "created_at": a.at,
            "updated_at": maybe(activities.updated[rows], activities.updated[rows] < NEVER),
            "deleted_at": maybe(activities.deleted[rows], activities.deleted[rows] < NEVER),
        })  # fmt: skip


def _bodies(seed: int, people: People, activities: Activities, rows: Ints) -> Column:
    verb, kind = activities.acts.verb[rows], activities.acts.kind[rows]
    body = array(["{}"]).take(array(np.zeros(len(rows), np.int64)))
    reacts = verb == V_REACTION
    kinds = array([f'{{"kind": "{name}"}}' for name in REACTIONS])
    body = compute.replace_with_mask(body, array(reacts), kinds.take(array(activities.reaction[rows][reacts])))
    speaks = kind >= 0
    texts = write_texts(seed, people, activities.writing(rows[speaks]))
    return compute.replace_with_mask(
        body, array(speaks), compute.binary_join_element_wise('{"text": "', texts, '"}', "")
    )
