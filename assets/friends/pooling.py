"""The hot loop that gathers a viewer's pool for the learned ranker, compiled: one pass over what is near.

Lives here: Adamic-Adar, paths and PageRank in the same pass, the best by each, joined with what
other sources propose; integers only, each call is one slice of viewers. Does not belong here:
frames, other signals, trees.
"""

from __future__ import annotations

import numpy as np

from assets.friends.graph import Flags, Index, Ints, Whole
from assets.friends.kernels import COUNT_BITS, fetch_row, keep_best, kernel

MASS = 10**10
"""Mass that every friend of the viewer passes on: its sums stay whole and below 2^63 times 85."""
NEAR, WALKED = 1, 2


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
    friends, Adamic-Adar, mass of two steps, mass of all steps and the bits `NEAR`, `WALKED` (m, 5);
    and the number of eligible friends of friends of each viewer.
    """
    n = is_showable.size
    zero = np.int64(0)
    below = -(np.int64(1) << 62)
    paths = (np.int64(1) << COUNT_BITS) - 1
    sums, mass, far = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for x in range(n):
        if not is_showable[x]:
            sums[x] = below
    kind = np.zeros(n, dtype=np.uint8)
    touched, seen = np.empty(n + 1, dtype=np.int32), np.empty(n + 1, dtype=np.int32)
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
    values = np.empty((room, 5), dtype=np.int64)
    eligible = np.zeros(viewers.size, dtype=np.int64)
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        sums[v] = below
        for j in range(ptr[v], ptr[v + 1]):
            sums[idx[j]] = below
        for j in range(barred_ptr[v], barred_ptr[v + 1]):
            sums[barred_idx[j]] = below
        count = np.uint64(0)
        for j in range(ptr[v], ptr[v + 1]):
            x = idx[j]
            if j + 2 < ptr[v + 1]:
                fetch_row(idx, ptr[idx[j + 2]])
            w, part = (weight[x] << COUNT_BITS) + 1, share[x]
            for q in range(np.uint64(ptr[x]), np.uint64(ptr[x + 1])):
                y = np.uint64(idx[q])
                before = mass[y]
                touched[count] = idx[q]
                count += np.uint64(before == 0)
                mass[y] = before + part
                sums[y] += w
        size = near_size = found = zero
        bar, near_bar = zero, zero if near_limit > 0 else -below
        for t in range(count):
            y = np.uint64(touched[t])
            total, arrived = sums[y], mass[y]
            found += total > 0
            if arrived >= bar:
                size = keep_best(best, size, width, arrived, zero, np.int64(y))
                bar = best[0, 0] if size == width else zero
            if total >= near_bar:
                near_size = keep_best(near, near_size, near_limit, total >> COUNT_BITS, zero, np.int64(y))
                near_bar = near[0, 0] << COUNT_BITS if near_size == near_limit else zero
        eligible[i] = found
        reached = pass_on(best, size, edges, percent, ptr, idx, far, seen, np.uint64(0))
        size = bar = zero
        for t in range(reached):
            y = np.uint64(seen[t])
            if far[y] >= bar:
                size = keep_best(best, size, width, far[y], zero, np.int64(y))
                bar = best[0, 0] if size == width else zero
        reached = pass_on(best, size, edges, percent, ptr, idx, far, seen, reached)
        size = held = zero
        bar = zero if walk_limit > 0 else -below
        for t in range(near_size):
            c = near[t, 2]
            kind[c] = 1
            members[held] = c
            held += 1
            if mass[c] + far[c] >= bar:
                size = keep_best(best, size, walk_limit, mass[c] + far[c], zero, c)
                bar = best[0, 0] if size == walk_limit else zero
        for t in range(count):
            y = np.uint64(touched[t])
            arrived = mass[y] + far[y]
            if arrived >= bar and sums[y] > 0 and kind[y] == 0:
                size = keep_best(best, size, walk_limit, arrived, zero, np.int64(y))
                bar = best[0, 0] if size == walk_limit else zero
        for t in range(reached):
            y = np.uint64(seen[t])
            if far[y] >= bar and sums[y] == 0:
                size = keep_best(best, size, walk_limit, far[y], zero, np.int64(y))
                bar = best[0, 0] if size == walk_limit else zero
        for t in range(size):
            c = best[t, 2]
            if kind[c] == 0:
                members[held] = c
                held += 1
            kind[c] |= 2
        for j in range(given_ptr[v], given_ptr[v + 1]):
            c = np.int64(given_idx[j])
            if kind[c] == 0 and sums[c] >= 0:
                members[held] = c
                held += 1
        members[:held].sort()
        for t in range(held):
            c = np.int64(members[t])
            who[out], candidates[out] = v, c
            values[out, 0], values[out, 1] = sums[c] & paths, sums[c] >> COUNT_BITS
            values[out, 2], values[out, 3] = mass[c], mass[c] + far[c]
            values[out, 4] = kind[c]
            kind[c] = 0
            out += 1
        for t in range(count):
            y = np.uint64(touched[t])
            if sums[y] > 0:
                sums[y] = 0
            elif not is_showable[y]:
                sums[y] = below
            mass[y] = 0
        for t in range(reached):
            far[seen[t]] = 0
        sums[v] = zero if is_showable[v] else below
        for j in range(ptr[v], ptr[v + 1]):
            sums[idx[j]] = zero if is_showable[idx[j]] else below
        for j in range(barred_ptr[v], barred_ptr[v + 1]):
            sums[barred_idx[j]] = zero if is_showable[barred_idx[j]] else below
    return who[:out].copy(), candidates[:out].copy(), values[:out].copy(), eligible


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
