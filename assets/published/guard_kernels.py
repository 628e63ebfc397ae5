"""Who may revoke a feed item, compiled: activities by hash, guard ids sorted and once (spec 06.1, law 8).

Lives here: numba kernels over integer arrays, one item after another. Does not belong here: which columns they are
made of and what a guard is (``guards``), how guards are stored (``rows``). A number below zero is nobody or nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assets.feed.kernels import kernel

Longs = NDArray[np.int64]
Numbers = NDArray[np.int32]
Codes = NDArray[np.uint8]

ID, ACTOR, REPLY_TO, GROUP, OWNER, OBJECT, CREATED, WORDS = range(8)
"""Columns of the activities: eight of them, so that an activity is one line of the processor's cache."""

TYPE_SHIFT: Final = 8
IS_INNER: Final = 1 << 16
IS_OBJECT_INNER: Final = 1 << 17
"""``WORDS``: the verb's code, above it that of the object's type; whether it, whether its object is not public."""

UNKNOWN: Final = 255
"""Code of a word outside the vocabulary: equal to none."""

_POST, _RESHARE = 0, 1
_BODIES, _USER, _GROUP_TYPE = 2, 2, 3
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SMALL: Final = 32


class Activities(NamedTuple):
    """``facts[activity, column]``; whom each mentions, end to end, and the cuts."""

    facts: Longs
    mentioned: Longs
    mentioned_cuts: Longs


class Chains(NamedTuple):
    """Activities by id, and by deed (object and actor): per bucket its first one, per activity the next."""

    shift: int
    by_id: Numbers
    after_id: Numbers
    by_deed: Numbers
    after_deed: Numbers


class Items(NamedTuple):
    """Columns of feed items; the sampled actors end to end, and the cuts."""

    viewer: Longs
    lead: Longs
    lead_actor: Longs
    owner: Longs
    object: Longs
    verb: Codes
    type: Codes
    actor_count: Longs
    first_at: Longs
    last_at: Longs
    sampled: Longs
    sampled_cuts: Longs


@kernel
def _bucket_of_id(id_: int, shift: int) -> int:
    """Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4)."""
    return np.int64((np.uint64(id_) * _GOLDEN) >> np.uint64(shift))


@kernel
def _bucket_of_deed(type_: int, object_id: int, actor: int, shift: int) -> int:
    mixed = (np.uint64(object_id) * _MIX) ^ (np.uint64(actor) * _GOLDEN) ^ np.uint64(type_)
    return np.int64(((mixed ^ (mixed >> np.uint64(29))) * _GOLDEN) >> np.uint64(shift))


@kernel
def chained(facts: Longs) -> tuple[int, Numbers, Numbers, Numbers, Numbers]:
    """The fields of :class:`Chains`."""
    rows, bits = facts.shape[0], 1
    while (1 << bits) < 2 * rows:
        bits += 1
    shift = 64 - bits
    by_id, by_deed = np.full(1 << bits, -1, dtype=np.int32), np.full(1 << bits, -1, dtype=np.int32)
    after_id, after_deed = np.empty(rows, dtype=np.int32), np.empty(rows, dtype=np.int32)
    for act in range(rows - 1, -1, -1):
        bucket = _bucket_of_id(facts[act, ID], shift)
        after_id[act], by_id[bucket] = by_id[bucket], act
        type_ = (facts[act, WORDS] >> TYPE_SHIFT) & UNKNOWN
        bucket = _bucket_of_deed(type_, facts[act, OBJECT], facts[act, ACTOR], shift)
        after_deed[act], by_deed[bucket] = by_deed[bucket], act
    return shift, by_id, after_id, by_deed, after_deed


@kernel
def _sort(values: Longs, begin: int, end: int) -> None:
    if end - begin > _SMALL:
        values[begin:end].sort()
        return
    for i in range(begin + 1, end):
        value, at = values[i], i
        while at > begin and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@kernel
def once(values: Longs, begin: int, end: int) -> int:
    """Sort ``values[begin:end]`` in place, each value once; returns the new end."""
    _sort(values, begin, end)
    last = begin
    for i in range(begin, end):
        if last == begin or values[i] != values[last - 1]:
            values[last] = values[i]
            last += 1
    return last


@kernel
def _known(values: Longs, begin: int, end: int) -> int:
    """As :func:`once`, without nobody."""
    last = begin
    for i in range(begin, end):
        if values[i] >= 0:
            values[last] = values[i]
            last += 1
    return once(values, begin, last)


@kernel
def _roomy(ids: Longs, used: int, more: int) -> Longs:
    if used + more <= ids.size:
        return ids
    grown = np.empty(2 * (used + more), dtype=np.int64)
    grown[:used] = ids[:used]
    return grown


@kernel
def _found(facts: Longs, chains: Chains, id_: int) -> int:
    act = np.int64(chains.by_id[_bucket_of_id(id_, chains.shift)])
    while act >= 0 and facts[act, ID] != id_:
        act = np.int64(chains.after_id[act])
    return act


@kernel
def _stood_on(facts: Longs, chains: Chains, items: Items, row: int, out: Longs) -> tuple[Longs, int]:
    """The activities that an item stands on: its lead, the object's own (-1 if not known), its actors' deeds."""
    object_id, type_, verb = items.object[row], items.type[row], items.verb[row]
    out[0] = _found(facts, chains, items.lead[row])
    out[1] = -1
    if type_ < _BODIES and object_id >= 0:
        out[1] = out[0] if object_id == items.lead[row] else _found(facts, chains, object_id)
    count = 2
    if items.actor_count[row] <= 1 or object_id < 0 or type_ == UNKNOWN:
        return out, count
    for place in range(items.sampled_cuts[row], items.sampled_cuts[row + 1]):
        actor = items.sampled[place]
        act = np.int64(chains.by_deed[_bucket_of_deed(type_, object_id, actor, chains.shift)])
        while act >= 0:
            words = facts[act, WORDS]
            is_deed = facts[act, OBJECT] == object_id and facts[act, ACTOR] == actor
            is_deed &= (words >> TYPE_SHIFT) & UNKNOWN == type_
            is_deed &= words & UNKNOWN == verb or (verb == _POST and words & UNKNOWN == _RESHARE)
            if is_deed and items.first_at[row] <= facts[act, CREATED] <= items.last_at[row]:
                out = _roomy(out, count, 1)
                out[count] = act
                count += 1
            act = np.int64(chains.after_deed[act])
    return out, count


@kernel
def guard_ids(
    acts: Activities, chains: Chains, items: Items, is_friends_rule: bool
) -> tuple[tuple[Longs, Longs], tuple[Longs, Longs], tuple[Longs, Longs], tuple[Longs, Longs]]:
    """Per item the ids of users, groups, activities and circle (``assets.published.guards``), ascending; the cuts."""
    rows = items.viewer.size
    user_cuts, group_cuts = np.zeros(rows + 1, dtype=np.int64), np.zeros(rows + 1, dtype=np.int64)
    thing_cuts, inner_cuts = np.zeros(rows + 1, dtype=np.int64), np.zeros(rows + 1, dtype=np.int64)
    users, groups = np.empty(4 * rows + 64, dtype=np.int64), np.empty(rows + 64, dtype=np.int64)
    things, inner = np.empty(2 * rows + 64, dtype=np.int64), np.empty(rows + 64, dtype=np.int64)
    stood = np.empty(64, dtype=np.int64)
    u, g, t, c = 0, 0, 0, 0
    for row in range(rows):
        viewer, owner, object_id, type_ = items.viewer[row], items.owner[row], items.object[row], items.type[row]
        stood, count = _stood_on(acts.facts, chains, items, row, stood)
        begin, end = items.sampled_cuts[row], items.sampled_cuts[row + 1]
        users, groups = _roomy(users, u, 4 + end - begin), _roomy(groups, g, 1 + count)
        things, inner = _roomy(things, t, 2 + count), _roomy(inner, c, 3 * count + 2)
        users[u], users[u + 1] = items.lead_actor[row], owner
        users[u + 2] = object_id if type_ == _USER else -1
        users[u + 3] = -1 if stood[1] < 0 else acts.facts[stood[1], OWNER]
        users[u + 4 : u + 4 + end - begin] = items.sampled[begin:end]
        groups[g] = object_id if type_ == _GROUP_TYPE else -1
        things[t], things[t + 1] = items.lead[row], object_id if type_ < _BODIES else -1
        u, g, t = u + 4 + end - begin, g + 1, t + 2
        if stood[0] < 0:  # what is not known may not be public
            inner[c], inner[c + 1] = items.lead_actor[row], owner
            c += 2
        elif type_ < _BODIES and stood[1] < 0:
            inner[c] = owner
            c += 1
        for place in range(count):
            act = stood[place]
            if act < 0:
                continue
            words, replied_to = acts.facts[act, WORDS], acts.facts[act, REPLY_TO]
            actor = items.lead_actor[row] if place == 0 else acts.facts[act, ACTOR]
            since, until = acts.mentioned_cuts[act], acts.mentioned_cuts[act + 1]
            users = _roomy(users, u, 2 + until - since)
            users[u], users[u + 1] = acts.facts[act, ACTOR], replied_to
            u += 2
            for i in range(since, until):
                users[u] = acts.mentioned[i]
                u += 1
            groups[g], things[t] = acts.facts[act, GROUP], acts.facts[act, ID]
            g, t = g + 1, t + 1
            if place == 1:
                inner[c] = owner if words & IS_INNER else -1
                c += 1
                continue
            inner[c] = actor if words & IS_INNER else -1
            inner[c + 1] = owner if words & IS_OBJECT_INNER else -1
            inner[c + 2] = replied_to if is_friends_rule and viewer not in (actor, replied_to) else -1
            c += 3
        u, g = _known(users, user_cuts[row], u), _known(groups, group_cuts[row], g)
        t, c = _known(things, thing_cuts[row], t), _known(inner, inner_cuts[row], c)
        user_cuts[row + 1], group_cuts[row + 1], thing_cuts[row + 1], inner_cuts[row + 1] = u, g, t, c
    return (users[:u], user_cuts), (groups[:g], group_cuts), (things[:t], thing_cuts), (inner[:c], inner_cuts)
