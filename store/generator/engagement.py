"""What posts set off: reactions, comments, replies and reshares, wave after wave.

Wave one acts on posts, wave two on the comments of wave one, wave three on the replies of wave
two. Who acts are friends of the author (at that time), members of the post's group, or, on public
posts, now and then a stranger; the driven act more. A private group's posts stay among its members.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from store.generator.clock import DAY, HOUR, MINUTE, SECOND
from store.generator.draws import Bools, Floats, Ints, first_of_each, pick, stream
from store.generator.friendships import Friendships
from store.generator.groups import Groups
from store.generator.people import People
from store.generator.posts import FRIENDS, PUBLIC, Posts, Tastes
from store.generator.texts import COMMENT, GREETING, POST, QUOTE, REPLY, THANKS, book

VERBS = ("post", "reshare", "comment", "reaction", "friend_add", "group_join")
V_POST, V_RESHARE, V_COMMENT, V_REACTION, V_FRIEND_ADD, V_GROUP_JOIN = range(6)
OBJECTS = ("post", "comment", "user", "group")
O_POST, O_COMMENT, O_USER, O_GROUP = range(4)
ACTS_PER_PERSON = 5.6
"""Acts on posts (wave one) per person and window, before rejections."""


@dataclass(frozen=True)
class Acts:
    """Activities before they get ids. Objects of posts and comments are positions in the same table."""

    actor: Ints
    verb: Ints
    object_type: Ints
    object: Ints
    owner: Ints
    """-1 for groups."""
    reply_to: Ints
    group: Ints
    audience: Ints
    object_audience: Ints
    at: Ints
    subject: Ints
    thing: Ints
    root: Ints
    """First author of the thread."""
    kind: Ints
    """Kind of text, -1 for none."""

    def part(self, rows: Ints | Bools) -> Acts:
        """Some of the rows."""
        return Acts(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.actor)


_COMPACT: dict[str, Any] = {"at": np.int64, "subject": np.int16}
_COMPACT |= dict.fromkeys(("verb", "object_type", "audience", "object_audience", "kind"), np.int8)


def join(parts: list[Acts]) -> Acts:
    """Tables one after the other, in as few bytes as they need."""
    return Acts(*(
        np.concatenate([getattr(p, f.name).astype(_COMPACT.get(f.name, np.int32)) for p in parts]) for f in fields(Acts)
    ))  # fmt: skip


def posts_as_acts(posts: Posts) -> Acts:
    """Posts: the object is the post itself."""
    n = len(posts.actor)
    nobody = np.full(n, -1, np.int64)
    return Acts(
        posts.actor, np.full(n, V_POST), np.full(n, O_POST), np.arange(n), posts.actor, nobody, posts.group,
        posts.audience, posts.audience, posts.at, posts.subject, posts.thing, posts.actor, np.full(n, POST),
    )  # fmt: skip


def make_threads(seed: int, people: People, friends: Friendships, groups: Groups, posts: Posts, tastes: Tastes) -> Acts:
    """Posts and everything that follows from them, parents before children."""
    rng = stream(seed, "engagement")
    table = posts_as_acts(posts)
    reach = friends.of.degree[posts.actor].astype(np.float64)
    members = groups.by_group.degree[np.maximum(posts.group, 0)] if len(groups.group) else np.zeros(len(reach))
    reach += np.where(posts.group >= 0, np.minimum(members, 60), 0)
    pull = np.where(posts.audience <= FRIENDS, reach**0.62 * posts.appeal, 0.0)
    first = _in_their_language(rng, tastes, _wave_one(rng, people, friends, groups, table, pull))
    if not len(first):
        return table
    table = join([table, first])
    fresh = np.arange(len(table) - len(first), len(table))
    for share in (0.72, 0.5):
        replies = _wave_on_comments(rng, people, friends, groups, table, fresh, share)
        replies = _in_their_language(rng, tastes, replies)
        if not len(replies):
            break
        table = join([table, replies])
        fresh = np.arange(len(table) - len(replies), len(table))
    return table


def _respondents(
    rng: np.random.Generator, people: People, friends: Friendships, groups: Groups, near: Ints, table: Acts, about: Ints
) -> Ints:
    """Somebody who acts on each row of ``about``, from around ``near``; -1 where nobody fits."""
    who = np.full(len(about), -1, np.int64)
    spot = friends.of.sample(rng, near)
    if len(friends.a):
        since, until = friends.since(spot)
        at = table.at[about]
        fits = (spot >= 0) & (since < at) & (until > at)
        who = np.where(fits, friends.of.value[spot], who)
    stranger = (table.audience[about] == PUBLIC) & (table.group[about] < 0) & (rng.random(len(about)) < 0.07)
    if len(friends.a):
        second = friends.of.sample(rng, np.maximum(who, 0))
        who = np.where(stranger & (second >= 0) & (who >= 0), friends.of.value[second], who)
    in_group = table.group[about] >= 0
    if len(groups.group):
        mate = groups.by_group.sample(rng, np.maximum(table.group[about], 0))
        row = groups.by_group.row[mate]
        fits = (mate >= 0) & (groups.joined[row] < table.at[about]) & (groups.left[row] > table.at[about])
        # friends-only posts in a group are seen by friends in the group; most group posts are public within it
        fits &= table.audience[about] == PUBLIC
        who = np.where(in_group, np.where(fits, groups.person[row], -1), who)
    eager = np.minimum(1.0, 0.35 + 0.55 * people.drive[np.maximum(who, 0)])
    return np.where(rng.random(len(about)) < eager, who, -1)


def _delay(rng: np.random.Generator, people: People, who: Ints, after: Ints, median_hours: float) -> Ints:
    """When somebody acts: soon after, or, if that is their night, mostly the next morning."""
    size = len(who)
    at = after + 20 * SECOND + (rng.lognormal(np.log(median_hours), 1.25, size) * HOUR).astype(np.int64)
    hour = people.clock.local(people.zone[who], at) % DAY // HOUR
    sleeps = (hour < 7) & (rng.random(size) < 0.85)
    wake = (7 - hour) * HOUR + rng.integers(0, 150 * MINUTE, size)
    return np.where(sleeps, at + wake, at)


def _wave_one(
    rng: np.random.Generator, people: People, friends: Friendships, groups: Groups, posts: Acts, pull: Floats
) -> Acts:
    total = pull.sum()
    rate = pull * (ACTS_PER_PERSON * 1.75 * people.count / total) if total > 0 else pull
    about = np.repeat(np.arange(len(posts)), rng.poisson(np.minimum(rate, 900)))
    who = _respondents(rng, people, friends, groups, posts.actor[about], posts, about)
    verb = np.array([V_REACTION, V_COMMENT, V_RESHARE])[pick(rng, np.array([63, 30, 7.0]), len(about))]
    shareable = (posts.audience[about] == PUBLIC) & (posts.group[about] < 0)
    shareable |= (posts.group[about] < 0) & (rng.random(len(about)) < 0.04)
    verb = np.where((verb == V_RESHARE) & ~shareable, V_REACTION, verb)
    return _acts(rng, people, posts, about, who, verb, 2.2)


def _acts(
    rng: np.random.Generator, people: People, table: Acts, about: Ints, who: Ints, verb: Ints, hours: float
) -> Acts:
    """Acts of ``who`` on rows ``about`` of ``table``; impossible and repeated ones are dropped."""
    safe = np.maximum(who, 0)
    at = _delay(rng, people, safe, table.at[about], hours)
    keep = (who >= 0) & (at < people.clock.as_of) & (at < people.stopped[safe]) & (at > people.created[safe])
    keep &= (who != table.actor[about]) | (verb == V_COMMENT)
    rows = np.flatnonzero(keep)
    once = verb[rows] != V_COMMENT
    key = (about[rows] * people.count + safe[rows]) * 8 + verb[rows]
    unique = first_of_each(np.where(once, key, -1 - np.arange(len(rows))))
    rows = rows[unique]
    about, who, verb, at = about[rows], who[rows], verb[rows], at[rows]
    parent_owner = table.actor[about]
    is_comment, is_reshare = verb == V_COMMENT, verb == V_RESHARE
    own = np.where(is_reshare, np.where(rng.random(len(rows)) < 0.6, PUBLIC, FRIENDS), table.audience[about])
    kind = np.where(is_comment, np.where(table.object_type[about] == O_COMMENT, REPLY, COMMENT), -1)
    answers = is_comment & (table.verb[about] == V_COMMENT)
    kind = np.where(answers, np.where(who == table.root[about], THANKS, REPLY), kind)
    kind = np.where(is_reshare & (rng.random(len(rows)) < 0.55), QUOTE, kind)
    return Acts(
        who, verb, np.where(table.verb[about] == V_POST, O_POST, O_COMMENT), about, parent_owner,
        np.where(is_comment, parent_owner, -1), np.where(is_reshare, -1, table.group[about]), own,
        table.audience[about], at, table.subject[about], table.thing[about], table.root[about], kind,
    )  # fmt: skip


def _wave_on_comments(
    rng: np.random.Generator, people: People, friends: Friendships, groups: Groups, table: Acts, fresh: Ints,
    share: float,
) -> Acts:  # fmt: skip
    comments = fresh[table.verb[fresh] == V_COMMENT]
    about = np.repeat(comments, rng.poisson(share * 1.9, len(comments)))
    root = table.root[about]
    host_answers = (rng.random(len(about)) < 0.42) & (root != table.actor[about])
    other = _respondents(rng, people, friends, groups, root, table, about)
    who = np.where(host_answers, root, other)
    verb = np.where(rng.random(len(about)) < 0.47, V_COMMENT, V_REACTION)
    verb = np.where(who == table.actor[about], V_REACTION, verb)
    return _acts(rng, people, table, about, who, verb, 1.6)


def _in_their_language(rng: np.random.Generator, tastes: Tastes, acts: Acts) -> Acts:
    """Who does not speak the thread's language mostly reacts; some say a general word in English."""
    pages = book()
    spoken = pages.language_of[acts.subject]
    strange = (acts.kind >= 0) & (spoken != 0) & (tastes.language[acts.actor] != spoken)
    speaks = rng.random(len(acts)) < 0.3
    verb = np.where(strange & ~speaks & (acts.verb == V_COMMENT), V_REACTION, acts.verb)
    kind = np.where(strange, np.where(speaks & (acts.verb == V_COMMENT), GREETING, -1), acts.kind)
    topic = pages.topic_of[acts.subject]
    subject = np.where(strange & speaks, pages.subject_of[0, topic], acts.subject)
    reply_to = np.where(verb == V_COMMENT, acts.reply_to, -1)
    said = replace(acts, verb=verb, kind=kind, subject=subject, reply_to=reply_to)
    # one reaction a person and object
    key = (acts.object.astype(np.int64) << 32) + acts.actor
    return said.part(first_of_each(np.where(verb == V_REACTION, key, -1 - np.arange(len(acts)))))
