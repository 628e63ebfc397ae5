"""The hot loops of the feed, compiled: membership in compressed rows, pairs, groups, order (spec 03.5).

Lives here: numba kernels over integer arrays, one viewer after another, so that any cut of the
viewers gives the same bytes. Does not belong here: what a rule says (``visibility``, ``cards``,
``selection``), frames, ids.

Compressed rows: row ``i`` holds ``items[start[i]:start[i + 1]]``, ascending. Arrays of one entry per
(viewer, …) are contiguous by viewer; a number below zero is nobody or nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assets.compiled import kernel

Longs = NDArray[np.int64]
Numbers = NDArray[np.int32]
Levels = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@kernel
def find(start: Longs, items: Numbers, row: int, item: int) -> int:
    """Where ``item`` stands in ``items`` within the row, or -1."""
    low, high = start[row], start[row + 1]
    stop = high
    while low < high:
        middle = (low + high) // 2
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low if low < stop and items[low] == item else -1


@kernel
def holds(start: Longs, items: Numbers, rows: Numbers, wanted: Numbers) -> Flags:
    """Which ``(rows[i], wanted[i])`` are there; nobody is nowhere."""
    out = np.zeros(rows.size, dtype=np.bool_)
    for i in range(rows.size):
        if rows[i] >= 0 and wanted[i] >= 0:
            out[i] = find(start, items, rows[i], wanted[i]) >= 0
    return out


@kernel
def meets(start: Longs, items: Numbers, rows: Numbers, role_start: Longs, roles: Numbers, acts: Numbers) -> Flags:
    """Whether row ``rows[i]`` holds anyone of ``roles`` of ``acts[i]``."""
    out = np.zeros(rows.size, dtype=np.bool_)
    for i in range(rows.size):
        row = rows[i]
        if start[row] == start[row + 1]:
            continue
        for j in range(role_start[acts[i]], role_start[acts[i] + 1]):
            if find(start, items, row, roles[j]) >= 0:
                out[i] = True
                break
    return out


@kernel
def lacks(start: Longs, items: Numbers, rows: Numbers, need_start: Longs, needs: Numbers, acts: Numbers) -> Flags:
    """Whether row ``rows[i]`` lacks any of ``needs`` of ``acts[i]``."""
    out = np.zeros(rows.size, dtype=np.bool_)
    for i in range(rows.size):
        for j in range(need_start[acts[i]], need_start[acts[i] + 1]):
            if find(start, items, rows[i], needs[j]) < 0:
                out[i] = True
                break
    return out


@kernel
def admitted(
    start: Longs, items: Numbers, viewers: Numbers, acts: Numbers, person_of: Numbers, level_of: Levels
) -> Flags:
    """Whether level 0 (everyone), 1 (friends of the person) or 2 (the person) of the act admits the viewer.

    Rows are symmetric; the viewer's is searched, because it stays at hand from pair to pair, and not
    again for the person of the pair before.
    """
    out = np.ones(viewers.size, dtype=np.bool_)
    last_viewer, last_person, is_friend = -1, -1, False
    for i in range(viewers.size):
        level = level_of[acts[i]]
        if level == 0:
            continue
        person = person_of[acts[i]]
        if person == viewers[i]:
            continue
        if level != 1 or person < 0:
            out[i] = False
            continue
        if person != last_person or viewers[i] != last_viewer:
            last_viewer, last_person = viewers[i], person
            is_friend = find(start, items, last_viewer, last_person) >= 0
        out[i] = is_friend
    return out


@kernel
def with_themselves(start: Longs, items: Numbers, viewers: Numbers) -> tuple[Numbers, Numbers]:
    """(viewer, other) of every viewer with themself and with each of their row."""
    size = viewers.size
    for viewer in viewers:
        size += start[viewer + 1] - start[viewer]
    left, right = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    at = 0
    for viewer in viewers:
        left[at], right[at] = viewer, viewer
        at += 1
        for j in range(start[viewer], start[viewer + 1]):
            left[at], right[at] = viewer, items[j]
            at += 1
    return left, right


@kernel
def two_steps(start: Longs, items: Numbers, viewers: Numbers, is_wanted: Flags) -> tuple[Numbers, Numbers]:
    """(viewer, other) of wanted others at distance exactly two, once each."""
    mark = np.full(is_wanted.size, -1, dtype=np.int64)
    left, right = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
    for is_second_pass in (False, True):
        at = 0
        mark[:] = -1
        for k in range(viewers.size):
            viewer = viewers[k]
            mark[viewer] = k
            for j in range(start[viewer], start[viewer + 1]):
                mark[items[j]] = k
            for j in range(start[viewer], start[viewer + 1]):
                friend = items[j]
                for m in range(start[friend], start[friend + 1]):
                    other = items[m]
                    if is_wanted[other] and mark[other] != k:
                        mark[other] = k
                        if is_second_pass:
                            left[at], right[at] = viewer, other
                        at += 1
        if not is_second_pass:
            left, right = np.empty(at, dtype=np.int32), np.empty(at, dtype=np.int32)
    return left, right


@kernel
def expand(start: Longs, items: Numbers, left: Numbers, right: Numbers) -> tuple[Numbers, Numbers]:
    """(left, item) for every pair (left, right) and every item of row ``right``."""
    size = 0
    for i in range(left.size):
        size += start[right[i] + 1] - start[right[i]]
    rows, found = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    at = 0
    for i in range(left.size):
        for j in range(start[right[i]], start[right[i] + 1]):
            rows[at], found[at] = left[i], items[j]
            at += 1
    return rows, found


@kernel
def run_end(values: Numbers, begin: int) -> int:
    """Where the run of equal values that begins at ``begin`` ends."""
    end = begin
    while end < values.size and values[end] == values[begin]:
        end += 1
    return end


@kernel
def grouped(
    viewers: Numbers, cards: Numbers, acts: Numbers, actor_of: Numbers, people: int
) -> tuple[Numbers, Numbers, Numbers, Numbers, Longs, Numbers]:
    """Groups by (viewer, card), in that order, of acts numbered newest first.

    Gives ``viewer, card, newest act, oldest act`` of every group and, compressed by group, the newest
    act of each of its actors, newest first.
    """
    size = viewers.size
    viewer, card = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    newest, oldest = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.int32)
    start, latest = np.zeros(size + 1, dtype=np.int64), np.empty(size, dtype=np.int32)
    mark = np.full(people, -1, dtype=np.int64)
    groups, actors, begin = 0, 0, 0
    while begin < size:
        end = run_end(viewers, begin)
        keys = np.empty(end - begin, dtype=np.int64)
        for i in range(begin, end):
            keys[i - begin] = (np.int64(cards[i]) << 32) | acts[i]
        keys.sort()
        for i in range(keys.size):
            key_card, act = keys[i] >> 32, keys[i] & 0xFFFFFFFF
            if i == 0 or key_card != keys[i - 1] >> 32:
                viewer[groups], card[groups], newest[groups] = viewers[begin], key_card, act
                start[groups] = actors
                groups += 1
            oldest[groups - 1] = act
            if mark[actor_of[act]] != groups:
                mark[actor_of[act]] = groups
                latest[actors] = act
                actors += 1
        begin = end
    start[groups] = actors
    return viewer[:groups], card[:groups], newest[:groups], oldest[:groups], start[: groups + 1], latest[:actors]


@kernel
def ordered(viewers: Numbers, first: Longs, second: Longs) -> tuple[Longs, Longs]:
    """Rows by (first, second) ascending within each viewer, and their positions 1 … n in that order."""
    rows, positions = np.empty(viewers.size, dtype=np.int64), np.empty(viewers.size, dtype=np.int64)
    begin = 0
    while begin < viewers.size:
        end = run_end(viewers, begin)
        rows[begin:end] = np.argsort(first[begin:end]) + begin
        tie = begin
        while tie < end:
            stop = tie + 1
            while stop < end and first[rows[stop]] == first[rows[tie]]:
                stop += 1
            if stop > tie + 1:
                tied = rows[tie:stop].copy()
                rows[tie:stop] = tied[np.argsort(second[tied])]
            tie = stop
        for i in range(begin, end):
            positions[i] = i - begin + 1
        begin = end
    return rows, positions


@kernel
def taken(start: Longs, items: Numbers, rows: Longs) -> tuple[Longs, Numbers]:
    """These compressed rows, in this order."""
    new_start = np.zeros(rows.size + 1, dtype=np.int64)
    for i in range(rows.size):
        new_start[i + 1] = new_start[i] + start[rows[i] + 1] - start[rows[i]]
    out = np.empty(new_start[-1], dtype=np.int32)
    for i in range(rows.size):
        begin = start[rows[i]]
        for j in range(new_start[i + 1] - new_start[i]):
            out[new_start[i] + j] = items[begin + j]
    return new_start, out


@kernel
def rank_within(viewers: Numbers, members: Numbers, place: Longs, people: int) -> Longs:
    """Of every row its rank 0, 1, 2 … by ``place`` among the viewer's rows of the same member."""
    ranks = np.empty(viewers.size, dtype=np.int64)
    counts = np.zeros(people, dtype=np.int64)
    begin = 0
    while begin < viewers.size:
        end = run_end(viewers, begin)
        for k in np.argsort(place[begin:end]):
            member = members[begin + k]
            ranks[begin + k] = counts[member]
            counts[member] += 1
        for i in range(begin, end):
            counts[members[i]] = 0
        begin = end
    return ranks


@kernel
def values_at(start: Longs, items: Numbers, values: Longs, rows: Numbers, wanted: Numbers) -> Longs:
    """The value beside ``wanted[i]`` in row ``rows[i]``, 0 where it is not there."""
    out = np.zeros(rows.size, dtype=np.int64)
    for i in range(rows.size):
        at = find(start, items, rows[i], wanted[i])
        if at >= 0:
            out[i] = values[at]
    return out


@kernel
def best_three(start: Longs, first: Longs, second: Longs, third: Numbers) -> tuple[Longs, Numbers]:
    """Of each compressed row up to three entries by (first desc, second asc, third asc): new starts, and thirds."""
    new_start = np.zeros(start.size, dtype=np.int64)
    for row in range(start.size - 1):
        new_start[row + 1] = new_start[row] + min(3, start[row + 1] - start[row])
    out = np.empty(new_start[-1], dtype=np.int32)
    for row in range(start.size - 1):
        size = 0
        best = np.empty(3, dtype=np.int64)
        for j in range(start[row], start[row + 1]):
            at = size
            while at > 0:
                k = best[at - 1]
                if (first[k], -second[k], -third[k]) > (first[j], -second[j], -third[j]):
                    break
                at -= 1
            if at < 3:
                for m in range(min(size, 2), at, -1):
                    best[m] = best[m - 1]
                best[at] = j
                size = min(size + 1, 3)
        for m in range(size):
            out[new_start[row] + m] = third[best[m]]
    return new_start, out
