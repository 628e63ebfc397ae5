"""The global pass of selection, compiled: who is shown to whom under k and the exposure cap.

Lives here: the order of lists, and one greedy loop over all pairs in one total order (score desc,
viewer asc, mutual friends desc, candidate asc). Listed pairs come sorted; pairs that only popularity proposes are
never listed: they stand on shelves by level. The order agrees with every viewer's and every
candidate's own, so the result is the one stable assignment. Does not belong here: scores.

Shelves: shelf r is ``shelf_idx[shelf_ptr[r]:shelf_ptr[r + 1]]``; first (country, level), then the
levels of all countries together. ``skip[i]`` leads to the next place whose candidate is below
the cap; ``place[c]`` holds a candidate's places of either kind (-1: none).
"""

from __future__ import annotations

import numpy as np

from assets.compiled import kernel
from assets.friends.graph import Flags, Index, Ints, Whole
from assets.friends.kernels import COUNT_BITS, holds

CHOSEN, CAPPED = 1, 2


@kernel
def next_open(skip: Ints, i: Whole) -> np.int64:
    """The first place at or after i that is still open; paths are halved on the way."""
    while skip[i] != i:
        skip[i] = skip[skip[i]]
        i = skip[i]
    return np.int64(i)


@kernel
def show(c: Whole, shown_to: Ints, cap: int, skip: Ints, place: Ints) -> None:
    """Count one more viewer; at the cap the candidate leaves the shelves."""
    shown_to[c] += 1
    if shown_to[c] == cap:
        for kind in range(2):
            if place[c, kind] >= 0:
                skip[place[c, kind]] = place[c, kind] + 1


@kernel
def take_before(
    p: Whole, top: Whole, v: Whole, c: Whole, viewer: Index, candidate: Index, score: Ints, is_near: Flags,
    room: Ints, shown_to: Ints, cap: int, verdict: Ints, skip: Ints, place: Ints,
) -> np.int64:  # fmt: skip
    """Judge the listed pairs from p that stand before (score top, viewer v, candidate c); return the next."""
    while p < viewer.size:
        w, d = np.int64(viewer[p]), np.int64(candidate[p])
        if score[p] < top or (score[p] == top and (w > v or (w == v and d >= c))):
            break
        if room[w] > 0:
            if not is_near[p] and shown_to[d] >= cap:
                verdict[p] = 2
            else:
                verdict[p] = 1
                room[w] -= 1
                if not is_near[p]:
                    show(d, shown_to, cap, skip, place)
        p += 1
    return np.int64(p)


@kernel
def assign(
    viewer: Index, candidate: Index, score: Ints, is_near: Flags, room: Ints, cap: int, waiting: Index,
    country: Index, bonus: int,
    levels: int, shelf_ptr: Ints, shelf_idx: Index, skip: Ints, place: Ints, listed_ptr: Ints, listed_idx: Index,
    friend_ptr: Ints, friend_idx: Index, barred_ptr: Ints, barred_idx: Index,
) -> tuple[Ints, Index, Ints]:  # fmt: skip
    """Walk the total order once.

    ``room`` (per person): rows the viewer may still have; ``is_near``: outside the cap;
    ``waiting``: viewers that the popular may fill, ascending; ``bonus``: score of country alone;
    ``levels``: how many scores popularity gives.
    ``room`` and ``waiting`` are used up.
    Returns the verdict of every listed pair (0 left, 1 chosen, 2 capped), the filled pairs (m, 2)
    and their scores.
    """
    n = country.size
    verdict = np.zeros(viewer.size, dtype=np.int64)
    shown_to = np.zeros(n, dtype=np.int64)
    need = 0
    for a in range(waiting.size):
        need += room[waiting[a]]
    pairs = np.empty((need, 2), dtype=np.int32)
    scores = np.empty(need, dtype=np.int64)
    active_count = waiting.size
    everywhere = shelf_ptr.size - 1 - levels
    least = np.int64(-1)
    p = np.int64(0)
    out = 0
    for step in range(bonus + levels):
        top = np.int64(bonus + levels - 1 - step)
        is_home = top >= bonus
        level = top - bonus if is_home else top
        if level >= levels or shelf_ptr[everywhere + level] == shelf_ptr[everywhere + level + 1]:
            continue
        still = 0
        for a in range(active_count):
            v = np.int64(waiting[a])
            home = np.int64(country[v])
            row = home * levels + level if is_home else everywhere + level
            i = stop = least
            if home >= 0 or not is_home:
                i, stop = next_open(skip, shelf_ptr[row]), shelf_ptr[row + 1]
            while i < stop and room[v] > 0:
                c = np.int64(shelf_idx[i])
                p = take_before(p, top, v, c, viewer, candidate, score, is_near, room, shown_to, cap, verdict,
                                skip, place)  # fmt: skip
                if (
                    room[v] > 0 and shown_to[c] < cap and c != v
                    and (is_home or home < 0 or country[c] != home)
                    and not holds(listed_ptr, listed_idx, v, c)
                    and not holds(friend_ptr, friend_idx, v, c)
                    and not holds(barred_ptr, barred_idx, v, c)
                ):  # fmt: skip
                    pairs[out, 0], pairs[out, 1] = v, c
                    scores[out] = top
                    out += 1
                    room[v] -= 1
                    show(c, shown_to, cap, skip, place)
                i = next_open(skip, i + 1)
            p = take_before(p, top, v, n, viewer, candidate, score, is_near, room, shown_to, cap, verdict,
                                skip, place)  # fmt: skip
            if room[v] > 0:
                waiting[still] = v
                still += 1
        active_count = still
    take_before(p, least, least, least, viewer, candidate, score, is_near, room, shown_to, cap, verdict, skip, place)
    return verdict, pairs[:out].copy(), scores[:out].copy()


@kernel
def stands_before(p: Whole, q: Whole, key: Ints, candidate: Index) -> bool:
    """Whether place p comes before place q in a list."""
    if key[p] != key[q]:
        return bool(key[p] > key[q])
    return bool(candidate[p] < candidate[q])


@kernel
def in_lists(viewer: Index, candidate: Index, score: Ints, mutual: Ints) -> tuple[Ints, Ints]:
    """Every viewer's list (their entries stand together) by (score desc, mutual desc, candidate asc), by merging.

    Score and mutual friends are told in one number, as in `kernels.expand`. Returns the places in
    their new order, and each one's rank from 1.
    """
    order, rank = np.arange(viewer.size), np.empty(viewer.size, dtype=np.int64)
    key, merged = (score << COUNT_BITS) + mutual, np.empty(viewer.size, dtype=np.int64)
    start = 0
    while start < viewer.size:
        stop = start
        while stop < viewer.size and viewer[stop] == viewer[start]:
            rank[stop] = stop - start + 1
            stop += 1
        for first in range(start, stop, 8):
            for last in range(first + 1, min(first + 8, stop)):
                p, i = order[last], last
                while i > first and stands_before(p, order[i - 1], key, candidate):
                    order[i] = order[i - 1]
                    i -= 1
                order[i] = p
        run = 8
        while run < stop - start:
            for low in range(start, stop, 2 * run):
                middle, high = min(low + run, stop), min(low + 2 * run, stop)
                i, j = low, middle
                for out in range(low, high):
                    if j == high or (i < middle and stands_before(order[i], order[j], key, candidate)):
                        merged[out] = order[i]
                        i += 1
                    else:
                        merged[out] = order[j]
                        j += 1
            order[start:stop] = merged[start:stop]
            run *= 2
        start = stop
    return order, rank


@kernel
def by_score(score: Ints, order: Ints) -> Ints:
    """The places of ``order`` by score (>= 0) desc, equal ones as they stand: a radix sort from the lowest digit."""
    bits, most = 11, score.max() if score.size else np.int64(0)
    digits = (1 << bits) - 1
    now, then = order.copy(), np.empty(order.size, dtype=np.int64)
    shift = 0
    while most >> shift > 0:
        begin = np.zeros(digits + 2, dtype=np.int64)
        for p in now:
            begin[digits - ((score[p] >> shift) & digits) + 1] += 1
        for digit in range(digits):
            begin[digit + 1] += begin[digit]
        for p in now:
            digit = digits - ((score[p] >> shift) & digits)
            then[begin[digit]] = p
            begin[digit] += 1
        now, then = then, now
        shift += bits
    return now
