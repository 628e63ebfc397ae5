"""Who may revoke a feed item, compiled: activities by hash, guard ids sorted and once (spec 06.1, law 8).

Lives here: numba kernels over integer arrays, one item after another. Does not belong here: which columns they are
made of and what a guard is (``guards``), how guards are stored (``rows``). A number below zero is nobody or nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assets.compiled import kernel, part

Longs = NDArray[np.int64]
Numbers = NDArray[np.int32]
Codes = NDArray[np.uint8]
Lists = tuple[Longs, Longs, Longs, Longs]
"""Of users, groups, activities and circle."""

ID, ACTOR, REPLY_TO, GROUP, OWNER, OBJECT, CREATED, WORDS = range(8)
"""Columns of the activities: eight of them, so that an activity is one line of the processor's cache."""

TYPE_SHIFT: Final = 8
IS_INNER: Final = 1 << 16
IS_OBJECT_INNER: Final = 1 << 17
NAMES_SOMEBODY: Final = 1 << 18
"""``WORDS``: the verb's code, above it that of the object's type; whether it, whether its object is not public; whether
it mentions anybody, for most do not, and whom is not in the same line of the cache."""

UNKNOWN: Final = 255
"""Code of a word outside the vocabulary: equal to none."""

_AHEAD: Final = 32
_POST, _RESHARE = 0, 1
_BODIES, _USER, _IN_GROUP = 2, 2, 3
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xC2B2AE3D27D4EB4F)


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


@part
def _bucket_of_id(id_: int, shift: int) -> np.int64:
    """Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4)."""
    return np.int64((np.uint64(id_) * _GOLDEN) >> np.uint64(shift))


@part
def _bucket_of_deed(type_: int, object_id: int, actor: int, shift: int) -> np.int64:
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


@part
def _sort(values: Longs, begin: int, end: int) -> None:
    """Shell's sort with Knuth's gaps: for the few ids of an item it is an insertion sort, and short to compile."""
    gap = 1
    while 9 * gap < end - begin:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(begin + gap, end):
            value, at = values[i], i
            while at >= begin + gap and values[at - gap] > value:
                values[at] = values[at - gap]
                at -= gap
            values[at] = value
        gap //= 3


@part
def once(values: Longs, begin: int, end: int) -> int:
    """Sort ``values[begin:end]`` in place, each value once; returns the new end."""
    _sort(values, begin, end)
    last = begin
    for i in range(begin, end):
        if last == begin or values[i] != values[last - 1]:
            values[last] = values[i]
            last += 1
    return last


@part
def _known(values: Longs, begin: int, end: int) -> int:
    """As :func:`once`, without nobody."""
    last = begin
    for i in range(begin, end):
        if values[i] >= 0:
            values[last] = values[i]
            last += 1
    return once(values, begin, last)


@part
def _found(facts: Longs, by_id: Numbers, after_id: Numbers, id_: int, shift: int) -> np.int32:
    act: np.int32 = by_id[_bucket_of_id(id_, shift)]
    while act >= 0 and facts[act, ID] != id_:
        act = after_id[act]
    return act


@part
def _is_told(verb: int, card: int) -> bool:
    """Whether an activity of that verb is on a card of that verb: a reshare is on its post's (03.2)."""
    return verb == card or (verb == _RESHARE and card == _POST)


@part
def _find_ahead(acts: Activities, chains: Chains, items: Items, row: int, leads: Longs, own: Longs) -> None:
    """Where the lead and the object's own activity are, of the items from ``row`` on; -1 where they are not known.

    In loops of their own, as :func:`_find_deeds`: the processor waits for the memory of several at once.
    """
    many = min(_AHEAD, items.viewer.size - row)
    for i in range(many):
        leads[i] = chains.by_id[_bucket_of_id(items.lead[row + i], chains.shift)]
    for i in range(many):
        lead, object_id, act = items.lead[row + i], items.object[row + i], leads[i]
        while act >= 0 and acts.facts[act, ID] != lead:
            act = np.int64(chains.after_id[act])
        leads[i], own[i] = act, -1
        if items.type[row + i] < _BODIES and object_id >= 0:
            is_lead = object_id == lead
            own[i] = act if is_lead else _found(acts.facts, chains.by_id, chains.after_id, object_id, chains.shift)


@part
def _find_deeds(acts: Activities, chains: Chains, items: Items, row: int, deeds: Numbers) -> None:
    """The first deed of each sampled actor with the object of their item, of the items from ``row`` on; -1 without."""
    begin, end = items.sampled_cuts[row], min(row + _AHEAD, items.viewer.size)
    for i in range(row, end):
        object_id, type_ = items.object[i], items.type[i]
        is_told = items.actor_count[i] > 1 and object_id >= 0 and type_ != UNKNOWN
        for place in range(items.sampled_cuts[i], items.sampled_cuts[i + 1]):
            bucket = _bucket_of_deed(type_, object_id, items.sampled[place], chains.shift)
            deeds[place - begin] = chains.by_deed[bucket] if is_told else np.int32(-1)
    for i in range(row, end):
        for place in range(items.sampled_cuts[i], items.sampled_cuts[i + 1]):
            act = deeds[place - begin]
            while act >= 0 and not _is_deed(acts.facts, act, items.type[i], items.object[i], items.sampled[place]):
                act = chains.after_deed[act]
            deeds[place - begin] = act


@part
def _is_deed(facts: Longs, act: np.int32, type_: int, object_id: int, actor: int) -> bool:
    is_same: bool = facts[act, OBJECT] == object_id and facts[act, ACTOR] == actor
    return is_same and (facts[act, WORDS] >> TYPE_SHIFT) & UNKNOWN == type_


@part
def _most_sampled(cuts: Longs, first: int) -> int:
    """Actors that are sampled in any items that are looked up together, from the item ``first`` on."""
    most, last = 0, cuts.size - 1
    for row in range(first, last, _AHEAD):
        most = max(most, cuts[min(row + _AHEAD, last)] - cuts[row])
    return most


@kernel
def guard_rows(
    acts: Activities, chains: Chains, items: Items, is_friends_rule: bool, first: int, ids: Lists, id_cuts: Lists
) -> int:
    """Write the guards of the items from ``first`` on while there is room; returns the first item without any."""
    # Each array has a name of its own, set once: others are counted as in use anew at every item.
    facts, mentioned, mentioned_cuts = acts
    after_deed = chains.after_deed
    viewers, leads, lead_actors, owners, objects, verbs, types, actor_counts, first_at, last_at, sampled, cuts = items
    users, groups, things, inner = ids
    user_cuts, group_cuts, thing_cuts, inner_cuts = id_cuts
    stood = np.empty(facts.shape[0] + 2, dtype=np.int64)  # what is never written costs no memory
    lead_rows, own_rows = np.empty(_AHEAD, dtype=np.int64), np.empty(_AHEAD, dtype=np.int64)
    deeds, deeds_begin = np.empty(_most_sampled(cuts, first), dtype=np.int32), 0
    for row in range(first, viewers.size):
        slot = (row - first) % _AHEAD
        if slot == 0:
            _find_ahead(acts, chains, items, row, lead_rows, own_rows)
            _find_deeds(acts, chains, items, row, deeds)
            deeds_begin = cuts[row]
        u, g, t, c = user_cuts[row], group_cuts[row], thing_cuts[row], inner_cuts[row]
        viewer, lead_id, lead_actor, owner = viewers[row], leads[row], lead_actors[row], owners[row]
        object_id, verb, type_ = objects[row], verbs[row], types[row]
        begin, end, is_body = cuts[row], cuts[row + 1], types[row] < _BODIES
        # What the item stands on: its lead, the object's own activity (-1 where they are not known), its actors' deeds.
        stood[0], stood[1], count = lead_rows[slot], own_rows[slot], 2
        if actor_counts[row] > 1 and object_id >= 0 and type_ != UNKNOWN:
            for place in range(begin, end):
                actor, is_first = sampled[place], True
                for earlier in range(begin, place):
                    is_first &= sampled[earlier] != actor
                act = deeds[place - deeds_begin] if is_first else np.int32(-1)
                while act >= 0:
                    is_told = _is_told(facts[act, WORDS] & UNKNOWN, verb)
                    is_told &= first_at[row] <= facts[act, CREATED] <= last_at[row]
                    if is_told and _is_deed(facts, act, type_, object_id, actor):
                        stood[count] = act
                        count += 1
                    act = after_deed[act]
        more = 4 + end - begin + 2 * count
        for place in range(count):
            if stood[place] >= 0 and facts[stood[place], WORDS] & NAMES_SOMEBODY:
                more += mentioned_cuts[stood[place] + 1] - mentioned_cuts[stood[place]]
        if (
            u + more > users.size
            or g + count + 1 > groups.size
            or t + count + 2 > things.size
            or c + 3 * count + 2 > inner.size
        ):
            return row
        users[u], users[u + 1], users[u + 2] = lead_actor, owner, object_id if type_ == _USER else -1
        users[u + 3] = -1 if stood[1] < 0 else facts[stood[1], OWNER]
        u += 4
        for place in range(begin, end):
            users[u] = sampled[place]
            u += 1
        groups[g] = object_id if type_ == _IN_GROUP else -1
        things[t], things[t + 1] = lead_id, object_id if is_body else -1
        # Of what is not known nobody can say that it is public.
        inner[c] = lead_actor if stood[0] < 0 else -1
        inner[c + 1] = owner if stood[0] < 0 or (is_body and stood[1] < 0) else -1
        g, t, c = g + 1, t + 2, c + 2
        for place in range(count):
            known = stood[place]
            if known < 0 or (place == 1 and known == stood[0] and facts[known, WORDS] & IS_INNER == 0):
                continue
            words, replied_to = facts[known, WORDS], facts[known, REPLY_TO]
            users[u], users[u + 1] = facts[known, ACTOR], replied_to
            u += 2
            if words & NAMES_SOMEBODY:
                for i in range(mentioned_cuts[known], mentioned_cuts[known + 1]):
                    users[u] = mentioned[i]
                    u += 1
            groups[g], things[t] = facts[known, GROUP], facts[known, ID]
            g, t = g + 1, t + 1
            if place == 1:
                inner[c] = owner if words & IS_INNER else -1
                c += 1
                continue
            actor = lead_actor if place == 0 else facts[known, ACTOR]
            inner[c] = actor if words & IS_INNER else -1
            inner[c + 1] = owner if words & IS_OBJECT_INNER else -1
            inner[c + 2] = replied_to if is_friends_rule and viewer not in (actor, replied_to) else -1
            c += 3
        u, g = _known(users, user_cuts[row], u), _known(groups, group_cuts[row], g)
        t, c = _known(things, thing_cuts[row], t), _known(inner, inner_cuts[row], c)
        user_cuts[row + 1], group_cuts[row + 1], thing_cuts[row + 1], inner_cuts[row + 1] = u, g, t, c
    return viewers.size
