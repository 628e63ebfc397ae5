"""The hot loop that gathers a viewer's pool for the learned ranker, compiled: one pass over what is near.

Lives here: Adamic-Adar, paths and PageRank in the same pass, the best by each, joined with what
other sources propose; integers only, each call is one slice of viewers. Does not belong here:
frames, other signals, trees.
"""

from __future__ import annotations

import numpy as np

from assets.compiled import kernel
from assets.friends.graph import Flags, Index, Ints, Whole
from assets.friends.kernels import COUNT_BITS, fetch_row, fetch_two, keep_best

MASS = 10**10
"""Mass that every friend of the viewer passes on: its sums stay whole and below 2^63 times 85."""
NEAR, WALKED = 1, 2
AHEAD = np.uint64(24)
"""So many people ahead their sums are asked for: in a large graph they are not in the cache."""
SAMPLED, BINS = 256, 256
"""How many values `bar_of` looks at, about, and how finely."""


@kernel
def put_in_order(best: Ints, size: Whole) -> None:
    """Turn the heap into a list, the best first."""
    for last in range(size - 1, 0, -1):
        first, second, third = best[0, 0], best[0, 1], best[0, 2]
        keep_best(best, last, last, best[last, 0], best[last, 1], best[last, 2])
        best[last, 0], best[last, 1], best[last, 2] = first, second, third


@kernel
def pass_on(
    best: Ints, size: Whole, edges: int, percent: int, ptr: Ints, idx: Index, mass: Ints, seen: Index, count: np.uint64
) -> np.uint64:
    """Every node of the heap, the best first, hands ``percent`` of its mass to its friends, as far as ``edges`` go.

    ``seen[:count]``: whose ``mass`` is not zero; returns the new count.
    """
    put_in_order(best, size)
    spent = np.int64(0)
    for t in range(size):
        x = best[t, 2]
        if t + 2 < size:
            fetch_row(idx, ptr[best[t + 2, 2]])
        degree = ptr[x + 1] - ptr[x]
        spent += degree
        if t > 0 and spent > edges:
            break
        part = best[t, 0] * percent // (100 * max(degree, 1))
        if part > 0:
            for j in range(np.uint64(ptr[x]), np.uint64(ptr[x + 1])):
                y = np.uint64(idx[j])
                before = mass[y]
                seen[count] = idx[j]
                count += np.uint64(before == 0)
                mass[y] = before + part
    return count


@kernel
def bar_of(sample: Ints, size: Whole, stride: Whole, limit: int, bins: Ints) -> np.int64:
    """What the ``limit`` best of many values probably reach, by a ``sample`` of every ``stride``-th; 0 if they are few.

    A heap that is offered only what reaches it is offered little. Without it the heap's upkeep
    costs more than all paths of the viewer.
    """
    if size * stride <= 2 * limit:
        return np.int64(0)
    most = np.int64(1)
    for t in range(size):
        most = max(most, sample[t])
    shift = np.int64(0)
    while most >> shift >= bins.size:
        shift += 1
    bins[:] = 0
    for t in range(size):
        bins[max(sample[t], 0) >> shift] += 1
    place, above, wanted = np.int64(bins.size), np.int64(0), 3 * limit // (2 * stride) + 5
    while place > 0 and above < wanted:
        place -= 1
        above += bins[place]
    return place << shift


@kernel
def pooled(
    viewers: Index, ptr: Ints, idx: Index, weight: Ints, share: Ints, given_ptr: Ints, given_idx: Index,
    barred_ptr: Ints, barred_idx: Index, is_showable: Flags, percent: int, width: int, edges: int,
    near_limit: int, walk_limit: int,
) -> tuple[Index, Index, Ints, Ints]:  # fmt: skip
    """Every viewer's pool: who is near by Adamic-Adar, who is at the end of many short walks, and who is given.

    ``share``: `MASS` over the degree. A walk has four steps; the last two go on from the ``width``
    best nodes by (mass desc, index asc), as far as ``edges`` go. The pool is the ``near_limit`` best
    by (Adamic-Adar desc, index asc), the ``walk_limit`` best by (mass desc, index asc), and the
    given, without whom a filter removes. Returns viewer and candidate (both ascending); common
    friends, Adamic-Adar, mass of two steps, mass of all steps and the bits `NEAR`, `WALKED` (5, m);
    and the number of eligible friends of friends of each viewer.

    ``sums[y]``: the mass and, as in `expand`, the weight and count of the paths to y; both in one
    cache line. A sample of them tells the bars of the three lists from which the best are taken;
    where a list is too short after all, it is filled again without a bar.
    """
    n = is_showable.size
    zero = np.int64(0)
    below = -(np.int64(1) << 62)
    paths = (np.int64(1) << COUNT_BITS) - 1
    sums, far = np.zeros((n, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
    for x in range(n):
        if not is_showable[x]:
            sums[x, 1] = below
    kind = np.zeros(n, dtype=np.uint8)
    touched, seen = np.zeros(n + 65, dtype=np.int32), np.zeros(n + 65, dtype=np.int32)
    masses, totals, walked = (
        np.empty(2 * SAMPLED, np.int64),
        np.empty(2 * SAMPLED, np.int64),
        np.empty(2 * SAMPLED, np.int64),
    )
    wide_list, near_list, walk_list = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32), np.empty(n + 1, np.int32)
    last = np.uint64(idx.size - 1)
    bins = np.zeros(BINS, dtype=np.int64)
    near = np.empty((near_limit + 1, 3), dtype=np.int64)
    best = np.empty((max(width, walk_limit) + 1, 3), dtype=np.int64)
    room = (near_limit + walk_limit) * viewers.size
    largest = near_limit + walk_limit
    for i in range(viewers.size):
        held = given_ptr[viewers[i] + 1] - given_ptr[viewers[i]]
        room += held
        largest = max(largest, near_limit + walk_limit + held)
    members = np.empty(largest, dtype=np.int32)
    who, candidates = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    values = np.empty((5, room), dtype=np.int64)
    eligible = np.zeros(viewers.size, dtype=np.int64)
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        sums[v, 1] = below
        for j in range(ptr[v], ptr[v + 1]):
            sums[idx[j], 1] = below
        for j in range(barred_ptr[v], barred_ptr[v + 1]):
            sums[barred_idx[j], 1] = below
        count = np.uint64(0)
        for j in range(ptr[v], ptr[v + 1]):
            x = idx[j]
            if j + 2 < ptr[v + 1]:
                fetch_row(idx, ptr[idx[j + 2]])
            w, part = (weight[x] << COUNT_BITS) + 1, share[x]
            for q in range(np.uint64(ptr[x]), np.uint64(ptr[x + 1])):
                fetch_two(sums, idx[min(q + AHEAD, last)])
                y = np.uint64(idx[q])
                before = sums[y, 0]
                touched[count] = idx[q]
                count += np.uint64(before == 0)
                sums[y, 0] = before + part
                sums[y, 1] += w
        stride = np.int64(count) // SAMPLED + 1
        size = zero
        for t in range(zero, np.int64(count), stride):
            c = np.int64(touched[t])
            masses[size], totals[size] = sums[c, 0], sums[c, 1]
            walked[size] = sums[c, 0] if sums[c, 1] > 0 else zero
            size += 1
        bar = bar_of(masses, size, stride, width, bins)
        near_bar = bar_of(totals, size, stride, near_limit, bins) if near_limit > 0 else -below
        walk_bar = bar_of(walked, size, stride, walk_limit, bins) if walk_limit > 0 else -below
        is_again = True
        while is_again:
            least = min(bar, walk_bar)
            wide_count, near_count, walk_count, found = np.uint64(0), np.uint64(0), np.uint64(0), zero
            for t in range(count):
                fetch_two(sums, touched[t + AHEAD])
                y = np.uint64(touched[t])
                arrived, total = sums[y, 0], sums[y, 1]
                found += total > 0
                if (arrived >= least) | (total >= near_bar):
                    wide_list[wide_count] = near_list[near_count] = walk_list[walk_count] = touched[t]
                    wide_count += np.uint64(arrived >= bar)
                    near_count += np.uint64(total >= near_bar)
                    walk_count += np.uint64((arrived >= walk_bar) & (total > 0))
            is_again = False
            if bar > 0 and wide_count < width:
                bar, is_again = zero, True
            if near_limit > 0 and near_bar > 0 and near_count < near_limit:
                near_bar, is_again = zero, True
            if walk_limit > 0 and walk_bar > 0 and walk_count < walk_limit:
                walk_bar, is_again = zero, True
        eligible[i] = found
        size = near_size = zero
        for t in range(wide_count):
            c = np.int64(wide_list[t])
            if size < width or sums[c, 0] >= best[0, 0]:
                size = keep_best(best, size, width, sums[c, 0], zero, c)
        for t in range(near_count):
            c = np.int64(near_list[t])
            total = sums[c, 1] >> COUNT_BITS
            if near_size < near_limit or total >= near[0, 0]:
                near_size = keep_best(near, near_size, near_limit, total, zero, c)
        reached = pass_on(best, size, edges, percent, ptr, idx, far, seen, np.uint64(0))
        stride = np.int64(reached) // SAMPLED + 1
        size = zero
        for t in range(zero, np.int64(reached), stride):
            masses[size] = far[seen[t]]
            size += 1
        bar = bar_of(masses, size, stride, width, bins)
        is_again = True
        while is_again:
            wide_count = np.uint64(0)
            for t in range(reached):
                wide_list[wide_count] = seen[t]
                wide_count += np.uint64(far[np.uint64(seen[t])] >= bar)
            is_again = bool(bar > 0 and wide_count < width)
            bar = zero
        size = zero
        for t in range(wide_count):
            c = np.int64(wide_list[t])
            if size < width or far[c] >= best[0, 0]:
                size = keep_best(best, size, width, far[c], zero, c)
        reached = pass_on(best, size, edges, percent, ptr, idx, far, seen, reached)
        size = held = zero
        for t in range(walk_count):
            c = np.int64(walk_list[t])
            if far[c] == 0 and (size < walk_limit or sums[c, 0] >= best[0, 0]):
                size = keep_best(best, size, walk_limit, sums[c, 0], zero, c)
        for t in range(reached):
            fetch_two(sums, seen[t + AHEAD])
            y = np.uint64(seen[t])
            arrived = sums[y, 0] + far[y]
            if arrived >= walk_bar and sums[y, 1] >= 0 and (size < walk_limit or arrived >= best[0, 0]):
                size = keep_best(best, size, walk_limit, arrived, zero, np.int64(y))
        for t in range(near_size):
            c = near[t, 2]
            kind[c] = 1
            members[held] = c
            held += 1
        for t in range(size):
            c = best[t, 2]
            if kind[c] == 0:
                members[held] = c
                held += 1
            kind[c] |= 2
        for j in range(given_ptr[v], given_ptr[v + 1]):
            c = np.int64(given_idx[j])
            if kind[c] == 0 and sums[c, 1] >= 0:
                members[held] = c
                held += 1
        members[:held].sort()
        for t in range(held):
            c = np.int64(members[t])
            who[out], candidates[out] = v, c
            values[0, out], values[1, out] = sums[c, 1] & paths, sums[c, 1] >> COUNT_BITS
            values[2, out], values[3, out] = sums[c, 0], sums[c, 0] + far[c]
            values[4, out] = kind[c]
            kind[c] = 0
            out += 1
        for t in range(count):
            fetch_two(sums, touched[t + AHEAD])
            y = np.uint64(touched[t])
            sums[y, 0] = 0
            sums[y, 1] = zero if is_showable[y] else below
        for t in range(reached):
            far[np.uint64(seen[t])] = 0
        sums[v, 1] = zero if is_showable[v] else below
        for j in range(ptr[v], ptr[v + 1]):
            sums[idx[j], 1] = zero if is_showable[idx[j]] else below
        for j in range(barred_ptr[v], barred_ptr[v + 1]):
            sums[barred_idx[j], 1] = zero if is_showable[barred_idx[j]] else below
    return who[:out], candidates[:out], values[:, :out], eligible


@kernel
def within_reach(viewer: Index, score: Ints, is_near: Flags, k: int) -> Flags:
    """Which pairs (sorted by viewer) selection can come to: those that score no less than the k-th friend of friends.

    Friends of friends are outside the exposure cap, so after k of them a viewer's list is full.
    """
    within = np.ones(viewer.size, dtype=np.bool_)
    start = 0
    while start < viewer.size:
        stop, near = start, 0
        while stop < viewer.size and viewer[stop] == viewer[start]:
            near += is_near[stop]
            stop += 1
        if near > k:
            least = np.sort(score[start:stop][is_near[start:stop]])[near - k]
            for p in range(start, stop):
                within[p] = score[p] >= least
        start = stop
    return within
