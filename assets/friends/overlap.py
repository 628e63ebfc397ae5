"""The hot loops over given pairs, compiled: common friends, common groups, reach.

Lives here: numba kernels as in `kernels`, each call one slice of the pairs. Does not belong here:
what proposes pairs, frames, the wording of reasons.
"""

from __future__ import annotations

import numpy as np

from assets.compiled import kernel
from assets.friends.graph import Flags, Index, Ints, Whole
from assets.friends.kernels import fetch_row, holds, may_be_named


@kernel
def meet(
    viewer: Index, candidate: Index, ptr: Ints, idx: Index, log_weight: Ints,
    has_private_list: Flags, block_ptr: Ints, block_idx: Index,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Common friends of pairs (a viewer's stand together), by one pass over the friends of the viewer's friends.

    Returns (p, 4): count, Adamic-Adar, resource allocation (both micro), and the single mutual
    friend that may not be named (-1 otherwise); and (p, 3): the nameable mutual friends by
    (degree asc, index asc), -1 where there are fewer.
    """
    n = ptr.size - 1
    sums = np.zeros((viewer.size, 4), dtype=np.int64)
    named = np.full((viewer.size, 3), -1, dtype=np.int64)
    place, met = np.zeros(n, dtype=np.int32), np.empty(n + 1, dtype=np.int32)
    start = 0
    while start < viewer.size:
        v = np.int64(viewer[start])
        stop = start
        while stop < viewer.size and viewer[stop] == v:
            place[candidate[stop]] = stop - start + 1
            stop += 1
        friends, known = in_order(v, ptr, idx, log_weight, has_private_list, block_ptr, block_idx)
        for r in range(friends.size):
            x = friends[r]
            if r + 2 < friends.size:
                fetch_row(idx, ptr[friends[r + 2]])
            count = np.uint64(0)
            for j in range(np.uint64(ptr[x]), np.uint64(ptr[x + 1])):
                met[count] = place[np.uint64(idx[j])]
                count += np.uint64(met[count] > 0)
            for m in range(count):
                p = start + met[m] - 1
                c = np.int64(candidate[p])
                sums[p, 0] += 1
                sums[p, 1] += known[r, 0]
                sums[p, 2] += known[r, 1]
                sums[p, 3] = x
                if known[r, 2] == 0 or named[p, 2] >= 0 or has_private_list[c]:
                    continue
                if known[r, 3] == 0 or not holds(block_ptr, block_idx, x, c):
                    named[p, 0 if named[p, 0] < 0 else 1 if named[p, 1] < 0 else 2] = x
        for p in range(start, stop):
            place[candidate[p]] = 0
            if sums[p, 0] != 1 or named[p, 0] >= 0:
                sums[p, 3] = -1
        start = stop
    return sums, named


@kernel
def published(
    viewer: Index, candidate: Index, common: Ints, ptr: Ints, idx: Index,
    has_private_list: Flags, block_ptr: Ints, block_idx: Index,
) -> Ints:  # fmt: skip
    """Mutual friends of pairs (a viewer's stand together) as published: 0 where a single one may not be named.

    Who the single one is, is looked up only where somebody around the pair keeps a name back.
    """
    told = common.copy()
    friend_of = np.full(ptr.size - 1, -1, dtype=np.int32)
    v, is_told = np.int64(-1), True
    for p in range(viewer.size):
        if viewer[p] != v:
            v = np.int64(viewer[p])
            is_told = block_ptr[v] == block_ptr[v + 1]
            for j in range(ptr[v], ptr[v + 1]):
                friend_of[idx[j]] = v
                is_told &= not has_private_list[idx[j]]
        c = np.int64(candidate[p])
        if common[p] == 1 and (has_private_list[c] or not is_told or block_ptr[c] < block_ptr[c + 1]):
            j = ptr[c]
            while friend_of[idx[j]] != v:
                j += 1
            told[p] = np.int64(may_be_named(np.int64(idx[j]), v, c, has_private_list, block_ptr, block_idx))
    return told


@kernel
def in_order(
    v: Whole, ptr: Ints, idx: Index, log_weight: Ints, has_private_list: Flags, block_ptr: Ints, block_idx: Index
) -> tuple[Ints, Ints]:
    """The viewer's friends by (degree asc, index asc), and of each what every pair of the viewer asks (d, 4).

    Weight, ``10^6 / degree``, whether the viewer may be told the name, how many blocks the friend has.
    """
    row = idx[ptr[v] : ptr[v + 1]].astype(np.int64)
    friends = row[np.argsort((ptr[row + 1] - ptr[row]) * ptr.size + row)]
    known = np.zeros((friends.size, 4), dtype=np.int64)
    for r in range(friends.size):
        x = friends[r]
        known[r, 0], known[r, 1] = log_weight[x], 1_000_000 // (ptr[x + 1] - ptr[x])
        known[r, 2] = not has_private_list[x] and not holds(block_ptr, block_idx, x, v)
        known[r, 3] = block_ptr[x + 1] - block_ptr[x]
    return friends, known


@kernel
def share(viewer: Index, candidate: Index, ptr: Ints, idx: Index, kind: Ints, weight: Ints) -> tuple[Ints, Ints]:
    """Common groups of pairs.

    ``kind`` is the bit of a group that may be a reason, 0 for places. Returns (p, 4): groups of
    such kinds, their bits, the weight of all common groups, all common groups; and (p, 3): the
    first that may be a reason by index, -1 where there are fewer.
    """
    sums = np.zeros((viewer.size, 4), dtype=np.int64)
    named = np.zeros((viewer.size, 3), dtype=np.int64)
    for p in range(viewer.size):
        v, c = np.int64(viewer[p]), np.int64(candidate[p])
        i, j = ptr[v], ptr[c]
        named[p, 0] = named[p, 1] = named[p, 2] = -1
        while i < ptr[v + 1] and j < ptr[c + 1]:
            if idx[i] < idx[j]:
                i += 1
            elif idx[i] > idx[j]:
                j += 1
            else:
                g = np.int64(idx[i])
                i += 1
                j += 1
                sums[p, 2] += weight[g]
                sums[p, 3] += 1
                if kind[g] > 0:
                    if sums[p, 0] < 3:
                        named[p, sums[p, 0]] = g
                    sums[p, 0] += 1
                    sums[p, 1] |= kind[g]
    return sums, named


@kernel
def reach(viewer: Index, candidate: Index, hidden: Ints, ptr: Ints, idx: Index) -> Flags:
    """Whether a path of at most four edges joins each pair; pairs are sorted by viewer.

    Where ``hidden`` names a person (>= 0), only a path that avoids that person counts: the answer
    is the one that would be given if that person were not there (02, 2.4). ``paths`` counts the
    two-step paths from the viewer to each person and ``last`` remembers the middle of the latest,
    so what lies within two steps without the hidden person is known at once.
    """
    n = ptr.size - 1
    paths = np.zeros(n, dtype=np.int64)
    last = np.zeros(n, dtype=np.int64)
    is_friend = np.zeros(n, dtype=np.bool_)
    is_third = np.zeros(n, dtype=np.bool_)
    touched = np.empty(n, dtype=np.int64)
    thirds = np.empty(n, dtype=np.int64)
    answer = np.zeros(viewer.size, dtype=np.bool_)
    start = 0
    while start < viewer.size:
        v = np.int64(viewer[start])
        count = third_count = 0
        for i in range(ptr[v], ptr[v + 1]):
            x = np.int64(idx[i])
            is_friend[x] = True
            for j in range(ptr[x], ptr[x + 1]):
                y = np.int64(idx[j])
                if paths[y] == 0:
                    touched[count] = y
                    count += 1
                paths[y] += 1
                last[y] = x
        p = start
        while p < viewer.size and viewer[p] == v:
            c, gone = np.int64(candidate[p]), hidden[p]
            if gone < 0 and third_count == 0:
                for t in range(count):
                    for j in range(ptr[touched[t]], ptr[touched[t] + 1]):
                        y = np.int64(idx[j])
                        if not is_third[y]:
                            is_third[y] = True
                            thirds[third_count] = y
                            third_count += 1
            for j in range(ptr[c], ptr[c + 1]):
                y = np.int64(idx[j])
                if y == gone or answer[p]:
                    continue
                if gone < 0:
                    answer[p] = is_friend[y] or paths[y] > 0 or is_third[y]
                elif is_friend[y] or paths[y] > 1 or (paths[y] == 1 and last[y] != gone):
                    answer[p] = True
                else:
                    for q in range(ptr[y], ptr[y + 1]):
                        z = np.int64(idx[q])
                        if z not in (gone, c) and (is_friend[z] or paths[z] > 1 or (paths[z] == 1 and last[z] != gone)):
                            answer[p] = True
                            break
            p += 1
        for t in range(count):
            paths[touched[t]] = 0
        for t in range(third_count):
            is_third[thirds[t]] = False
        for i in range(ptr[v], ptr[v + 1]):
            is_friend[idx[i]] = False
        start = p
    return answer
