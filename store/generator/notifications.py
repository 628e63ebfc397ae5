"""Notifications: what the app would have told people about the last six weeks.

Each comes from something that happened: a comment, reaction, reshare, mention, friendship, request,
a newcomer or a post in a group, a subscription's turn, a sign-in. Texts are in the recipient's
language. Part is read (more of the old, more by those who come often), some are sent twice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from store.generator.activities import Activities
from store.generator.clock import DAY, HOUR, MINUTE, SECOND
from store.generator.columns import Column, array, compute, labels, lists, maybe, null_text
from store.generator.draws import Ints, stream
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
    V_RESHARE,
)  # fmt: skip
from store.generator.groups import GROUP, Groups
from store.generator.people import NEVER, People
from store.generator.phrases import parse, render
from store.generator.places import load
from store.generator.preferences import (
    BILLING,
    CATEGORIES,
    CHANNELS,
    COMMENTS,
    GROUPS,
    IMMEDIATE,
    MENTION,
    PRODUCT,
    REACTIONS,
    SECURITY,
    SOCIAL,
    Preferences,
)  # fmt: skip
from store.generator.subscriptions import PAST_DUE, TRIALING, Subscriptions
from store.generator.tables import CHUNK, WorldWriter
from store.generator.texts import write_texts

WINDOW_DAYS = 42
EXCERPT = 72
PRIORITIES = ("low", "normal", "high", "critical")
VERBS = ("comment", "reply", "reaction", "reshare", "mention", "friend_add", "friend_request",
         "group_join", "group_post", "trial_ending", "payment_failed", "renewed",
         "new_sign_in", "password_changed", "tip")  # fmt: skip
(COMMENT, REPLY, REACTION, RESHARE, MENTIONED, FRIEND_ADD, FRIEND_REQUEST, GROUP_JOIN, GROUP_POST, TRIAL_ENDING,
 PAYMENT_FAILED, RENEWED, NEW_SIGN_IN, PASSWORD_CHANGED, TIP) = range(len(VERBS))  # fmt: skip
_CATEGORY = np.array([COMMENTS, COMMENTS, REACTIONS, SOCIAL, MENTION, SOCIAL, SOCIAL, GROUPS, GROUPS, BILLING, BILLING,
                      BILLING, SECURITY, SECURITY, PRODUCT])  # fmt: skip
_PRIORITY = np.array([1, 1, 0, 1, 2, 1, 1, 0, 0, 2, 2, 0, 3, 2, 0])


@dataclass(frozen=True)
class Notes:
    """Notifications before they get ids; -1 is null."""

    recipient: Ints
    verb: Ints
    actor: Ints
    object_type: Ints
    object: Ints
    source: Ints
    """The activity whose text is quoted."""
    group: Ints
    at: Ints


def _notes(recipient: Ints, verb: Ints | int, **columns: Ints | int) -> Notes:
    n = len(recipient)
    filled = {f.name: columns.get(f.name, -1) for f in fields(Notes)} | {"recipient": recipient, "verb": verb}
    return Notes(**{
        name: np.broadcast_to(np.asarray(value, np.int64 if name == "at" else np.int32), (n,))
        for name, value in filled.items()
    })  # fmt: skip


def _from_activities(rng: np.random.Generator, people: People, groups: Groups, activities: Activities) -> list[Notes]:
    a = activities.acts
    recent = a.at > people.clock.as_of - WINDOW_DAYS * DAY
    said = np.flatnonzero(recent & (a.verb == V_COMMENT))
    liked = np.flatnonzero(recent & (a.verb == V_REACTION) & (rng.random(len(a)) < 0.78))
    shared = np.flatnonzero(recent & (a.verb == V_RESHARE))
    named = np.flatnonzero(recent & (activities.mentioned >= 0))
    befriended = np.flatnonzero(recent & (a.verb == V_FRIEND_ADD))
    made = [
        _notes(a.owner[said], np.where(a.object_type[said] == O_COMMENT, REPLY, COMMENT), actor=a.actor[said],
               object_type=a.object_type[said], object=a.object[said], source=said, at=a.at[said]),
        _notes(a.owner[liked], REACTION, actor=a.actor[liked], object_type=a.object_type[liked],
               object=a.object[liked], at=a.at[liked]),
        _notes(a.owner[shared], RESHARE, actor=a.actor[shared], object_type=O_POST, object=a.object[shared],
               at=a.at[shared]),
        _notes(activities.mentioned[named], MENTIONED, actor=a.actor[named], source=named, at=a.at[named],
               object_type=np.where(a.verb[named] == V_POST, O_POST, O_COMMENT), object=named),
        _notes(a.actor[befriended], FRIEND_ADD, actor=a.object[befriended], object_type=O_USER,
               object=a.object[befriended], at=a.at[befriended]),
    ]  # fmt: skip
    return made + _from_groups(rng, groups, activities, np.flatnonzero(recent & (a.group >= 0)))


def _from_groups(rng: np.random.Generator, groups: Groups, activities: Activities, rows: Ints) -> list[Notes]:
    a = activities.acts
    posts = np.repeat(rows[a.verb[rows] == V_POST], 2)
    joins = rows[(a.verb[rows] == V_GROUP_JOIN) & (groups.kind[a.group[rows]] == GROUP)]
    made = []
    for verb, told in ((GROUP_POST, posts), (GROUP_JOIN, joins)):
        seat = groups.by_group.sample(rng, a.group[told])
        row = groups.by_group.row[seat]
        keep = (seat >= 0) & (groups.joined[row] < a.at[told]) & (groups.left[row] > a.at[told])
        about, row = told[keep], row[keep]
        is_post = verb == GROUP_POST
        made.append(_notes(
            groups.person[row], verb, actor=a.actor[about], object_type=O_POST if is_post else O_GROUP,
            object=about if is_post else a.group[about], source=about if is_post else -1, group=a.group[about],
            at=a.at[about],
        ))  # fmt: skip
    return made


def _from_elsewhere(
    rng: np.random.Generator, people: People, requests: tuple[Ints, Ints, Ints, Ints, Ints], subs: Subscriptions
) -> list[Notes]:
    asker, asked, status, created, _ = requests
    open_ = np.flatnonzero(status != 1)
    line = subs.subscription
    trial = np.flatnonzero((subs.status == TRIALING) & (subs.valid_from < subs.paid_until - 3 * DAY))
    trial = trial[subs.valid_to[trial] > subs.paid_until[trial] - 3 * DAY]
    failed = np.flatnonzero(subs.status == PAST_DUE)
    renewed = np.flatnonzero(subs.status == 1)
    seen = np.flatnonzero(people.status == 0)
    signed_in = seen[rng.random(len(seen)) < 0.16]
    changed = seen[rng.random(len(seen)) < 0.02]
    tipped = seen[rng.random(len(seen)) < 0.25]
    as_of = people.clock.as_of

    def some_day(who: Ints) -> Ints:
        around = as_of - (rng.random(len(who)) * WINDOW_DAYS * DAY).astype(np.int64)
        return people.clock.waking(rng, people.zone[who], people.habit[who], around)

    who = asker[open_]
    return [
        _notes(asked[open_], FRIEND_REQUEST, actor=who, object_type=O_USER, object=who, at=created[open_]),
        _notes(subs.person[line[trial]], TRIAL_ENDING, at=subs.paid_until[trial] - 3 * DAY),
        _notes(subs.person[line[failed]], PAYMENT_FAILED, at=subs.recorded[failed] + MINUTE),
        _notes(subs.person[line[renewed]], RENEWED, at=subs.recorded[renewed] + MINUTE),
        _notes(signed_in, NEW_SIGN_IN, at=some_day(signed_in)),
        _notes(changed, PASSWORD_CHANGED, at=some_day(changed)),
        _notes(tipped, TIP, at=as_of - 9 * DAY + rng.integers(0, HOUR, len(tipped))),
    ]  # fmt: skip


def _collect(parts: list[Notes], people: People) -> Notes:
    whole = Notes(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Notes)))
    as_of = people.clock.as_of
    keep = (whole.recipient != whole.actor) & (whole.at < as_of) & (whole.at > as_of - WINDOW_DAYS * DAY)
    keep &= (whole.at >= people.created[whole.recipient]) & (whole.at < people.stopped[whole.recipient])
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(whole.at[rows], kind="stable")]
    return Notes(*(getattr(whole, f.name)[rows] for f in fields(Notes)))


def write_notifications(
    world: WorldWriter, seed: int, people: People, groups: Groups, activities: Activities,
    requests: tuple[Ints, Ints, Ints, Ints, Ints], subs: Subscriptions, preferences: Preferences,
) -> None:  # fmt: skip
    """Write ``notifications``."""
    rng = stream(seed, "notifications")
    parts = _from_activities(rng, people, groups, activities) + _from_elsewhere(rng, people, requests, subs)
    first = _collect(parts, people)
    parts.clear()
    # the app tells of some things twice, under the same dedupe_key
    twice = np.flatnonzero(rng.random(len(first.at)) < 0.012)
    again = Notes(*(getattr(first, f.name)[twice] for f in fields(Notes)))
    np.add(again.at, rng.integers(MINUTE, 9 * HOUR, len(twice)), out=again.at)
    notes = _collect([first, again], people)
    del first, again
    read = _read(rng, people, notes)
    removed = notes.at + (rng.exponential(20, len(notes.at)) * HOUR).astype(np.int64) + MINUTE
    deleted = np.where((rng.random(len(notes.at)) < 0.01) & (removed < people.clock.as_of), removed, NEVER)
    for begin in range(0, len(notes.at), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(notes.at)))
        part = Notes(*(getattr(notes, f.name)[rows] for f in fields(Notes)))
        category = _CATEGORY[part.verb]
        immediate = preferences.mode[part.recipient, category] == IMMEDIATE
        sent = np.nonzero(immediate)[1]
        world.write("notifications", {
            "id": rows + 1, "recipient_id": part.recipient + 1, "category": labels(category, CATEGORIES),
            "verb": labels(np.where(part.verb == REPLY, COMMENT, part.verb), VERBS),
            "actor_id": maybe(part.actor + 1, part.actor >= 0),
            "object_type": compute.if_else(
                array(part.object_type >= 0), labels(np.maximum(part.object_type, 0), OBJECTS), null_text()
            ),
            "object_id": maybe(part.object + 1, part.object >= 0), "priority": labels(_PRIORITY[part.verb], PRIORITIES),
            "dedupe_key": _dedupe_keys(part), "sent_channels": lists(labels(sent, CHANNELS), immediate.sum(axis=1)),
            "payload": _payloads(seed, people, groups, activities, part, rows), "created_at": part.at,
            "read_at": maybe(read[rows], read[rows] < NEVER), "deleted_at": maybe(deleted[rows], deleted[rows] < NEVER),
        })  # fmt: skip


def _read(rng: np.random.Generator, people: People, notes: Notes) -> Ints:
    """When each was read: soon after, if its recipient came by; the older, the likelier."""
    n, as_of = len(notes.at), people.clock.as_of
    age_days = (as_of - notes.at) / DAY
    likely = 0.25 + 0.6 * (1 - np.exp(-age_days / 4))
    delay = (rng.lognormal(1.6, 1.3, n) * HOUR).astype(np.int64) + 20 * SECOND
    at = notes.at + delay
    who = notes.recipient
    is_read = (rng.random(n) < likely) & (at <= people.last_seen[who]) & people.has_been_seen[who]
    return np.where(is_read, at, NEVER)


def _dedupe_keys(part: Notes) -> Column:
    texts = [array(v).cast(pa.string()) for v in (part.object + 1, part.actor + 1, part.recipient + 1)]
    day = array(np.where(part.object < 0, part.at // (14 * HOUR), np.maximum(part.source, -1) + 1)).cast(pa.string())
    keys = compute.binary_join_element_wise(labels(part.verb, VERBS), *texts, day, ":")
    # what has no key is never folded: tips
    return compute.if_else(array(part.verb != TIP), keys, null_text())


def _payloads(seed: int, people: People, groups: Groups, activities: Activities, part: Notes, rows: Ints) -> Column:
    lines = load("notifications.toml")
    templates = [parse(line[verb]) for line in lines.values() for verb in VERBS]
    language = np.array([list(lines).index(name) if name in lines else 0 for name in people.locale], np.int64)
    which = language[people.locale_code[part.recipient]] * len(VERBS) + part.verb
    quoting = np.flatnonzero(part.source >= 0)
    quotes = array([""]).take(array(np.zeros(len(rows), np.int64)))
    if len(quoting):
        full = write_texts(seed, people, activities.writing(part.source[quoting]))
        cut = compute.utf8_slice_codeunits(full, 0, EXCERPT)
        cut = compute.if_else(
            compute.equal(cut, full),
            full,
            compute.binary_join_element_wise(compute.utf8_rtrim_whitespace(cut), "…", ""),
        )
        quotes = compute.replace_with_mask(quotes, array(part.source >= 0), cut)
    names = array(groups.name, pa.string()) if groups.name else array([""])
    text = render(seed, templates, which, rows, {
        "actor": lambda i: people.names.display.take(array(np.maximum(part.actor[i], 0))),
        "group": lambda i: names.take(array(np.maximum(part.group[i], 0))),
        "excerpt": lambda i: quotes.take(array(i)),
    })  # fmt: skip
    return compute.binary_join_element_wise('{"text": "', text, '"}', "")
