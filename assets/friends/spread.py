"""The hot loops behind the learned ranker, compiled: the walk over all that is near, shared context, recency.

Lives here: numba kernels over pairs in compressed rows (one row per viewer, candidates ascending),
integers only; each call is one slice of viewers. Does not belong here: frames, training, trees.
"""

from __future__ import annotations

import numpy as np

from assets.compiled import kernel
from assets.friends.graph import Flags, Index, Ints
from assets.friends.kernels import holds, keep_best, step_on
from assets.friends.recency import NO_PATH


@kernel
def masses(
    viewers: Index, ptr: Ints, idx: Index, given_ptr: Ints, given_idx: Index, friend_ptr: Ints, friend_idx: Index,
    barred_ptr: Ints, barred_idx: Index, is_showable: Flags, mass: int, percent: int, width: int, limit: int,
) -> tuple[Ints, Index, Ints]:  # fmt: skip
    """Truncated personalised PageRank of four steps: the mass that arrives at steps 2-4.

    The walk is over ``ptr, idx``, which need not be all friendships; the last two steps expand only
    the ``width`` best nodes by (mass desc, index asc). Returns the mass of the given pairs of these
    viewers, in their order; and the ``limit`` best candidates by (mass desc, index asc): pairs
    (m, 2) and mass (m,).
    """
    n = is_showable.size
    now, then, total = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    friend_of = np.full(n, -1, dtype=np.int64)
    frontier, reached, seen = np.empty(n + 1, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    best = np.empty((max(width, limit) + 1, 3), dtype=np.int64)
    wanted = 0
    for i in range(viewers.size):
        wanted += given_ptr[viewers[i] + 1] - given_ptr[viewers[i]]
    given = np.zeros(wanted, dtype=np.int64)
    pairs = np.empty((viewers.size * limit, 2), dtype=np.int32)
    values = np.empty(viewers.size * limit, dtype=np.int64)
    zero = np.int64(0)
    out = told = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        friend_of[v] = v
        for j in range(friend_ptr[v], friend_ptr[v + 1]):
            friend_of[friend_idx[j]] = v
        seen_count = 0
        count = np.int64(1)
        frontier[0] = v
        now[v] = mass
        for step in range(1, 5):
            count = step_on(now, then, frontier, count, reached, best, width if step > 2 else zero, ptr, idx, percent)
            for t in range(count if step > 1 else zero):
                y = frontier[t]
                if total[y] == 0:
                    seen[seen_count] = y
                    seen_count += 1
                total[y] += now[y]
        for t in range(count):
            now[frontier[t]] = 0
        for j in range(given_ptr[v], given_ptr[v + 1]):
            given[told] = total[given_idx[j]]
            told += 1
        size = zero
        for t in range(seen_count):
            y = seen[t]
            may_stand = size < limit or total[y] >= best[0, 0]
            if may_stand and friend_of[y] != v and is_showable[y] and not holds(barred_ptr, barred_idx, v, y):
                size = keep_best(best, size, limit, total[y], zero, y)
            total[y] = 0
        for b in range(size):
            pairs[out, 0], pairs[out, 1] = v, best[b, 2]
            values[out] = best[b, 0]
            out += 1
    return given, pairs[:out].copy(), values[:out].copy()


@kernel
def common(
    viewers: Index, pair_ptr: Ints, pair_idx: Index, ptr: Ints, idx: Index, log_weight: Ints, fresh: Ints, hours: Ints,
) -> Ints:  # fmt: skip
    """What times say of the common friends of pairs (2, p): fresh Adamic-Adar, youngest path.

    The first weighs a common friend by how fresh the two friendships are (``fresh``: per entry of
    ``idx``, per mille); the last is the least age of a path, that of its older friendship
    (``hours``: per entry; `NO_PATH` where there is none).
    """
    n = ptr.size - 1
    mark, age, since = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    size = 0
    for i in range(viewers.size):
        size += pair_ptr[viewers[i] + 1] - pair_ptr[viewers[i]]
    sums = np.zeros((2, size), dtype=np.int64)
    sums[1] = NO_PATH
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        for j in range(ptr[v], ptr[v + 1]):
            mark[idx[j]] = v
            age[idx[j]] = fresh[j]
            since[idx[j]] = hours[j]
        for p in range(pair_ptr[v], pair_ptr[v + 1]):
            c = np.int64(pair_idx[p])
            for j in range(ptr[c], ptr[c + 1]):
                x = np.int64(idx[j])
                if mark[x] == v:
                    sums[0, out] += log_weight[x] * (age[x] + fresh[j]) // 1000
                    sums[1, out] = min(sums[1, out], max(since[x], hours[j]))
            out += 1
    return sums


@kernel
def context(
    viewers: Index, pair_ptr: Ints, pair_idx: Index, friend_ptr: Ints, friend_idx: Index, own_ptr: Ints,
    own_idx: Index, own_weight: Ints, member_ptr: Ints, member_idx: Index, kind: Ints, kinds: int, log_weight: Ints,
    limit: int,
) -> Ints:  # fmt: skip
    """Shared groups of pairs (kinds + 4, p); groups above ``limit`` members count nothing.

    By kind the rarity of the common ones; the sum of ``10^6 / size``; likeness by weight (cosine,
    micro); how far the viewer's friends are in the candidate's groups, and the candidate's friends
    in the viewer's (both as means over friends).
    """
    n, groups = friend_ptr.size - 1, member_ptr.size - 1
    share = np.zeros(groups, dtype=np.int64)
    for g in range(groups):
        members = member_ptr[g + 1] - member_ptr[g]
        if 2 <= members <= limit:
            share[g] = 1_000_000 // members
    norm = np.zeros(n, dtype=np.float64)
    for x in range(n):
        for j in range(own_ptr[x], own_ptr[x + 1]):
            norm[x] += (own_weight[j] * log_weight[own_idx[j]] / 1e9) ** 2
    mine = np.zeros(groups, dtype=np.int64)
    heard = np.zeros(groups, dtype=np.int64)
    alike = np.zeros(n, dtype=np.int64)
    size = 0
    for i in range(viewers.size):
        size += pair_ptr[viewers[i] + 1] - pair_ptr[viewers[i]]
    sums = np.zeros((kinds + 4, size), dtype=np.int64)
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        for j in range(own_ptr[v], own_ptr[v + 1]):
            g = own_idx[j]
            mine[g] = own_weight[j] + 1
            if share[g] > 0:
                for q in range(member_ptr[g], member_ptr[g + 1]):
                    alike[member_idx[q]] += share[g]
        for j in range(friend_ptr[v], friend_ptr[v + 1]):
            x = friend_idx[j]
            for q in range(own_ptr[x], own_ptr[x + 1]):
                heard[own_idx[q]] += 1
        for p in range(pair_ptr[v], pair_ptr[v + 1]):
            c = np.int64(pair_idx[p])
            dot = 0.0
            for j in range(own_ptr[c], own_ptr[c + 1]):
                g = own_idx[j]
                if share[g] > 0:
                    sums[kinds + 2, out] += heard[g] * share[g]
                    if mine[g] > 0:
                        sums[kind[g], out] += log_weight[g]
                        sums[kinds, out] += share[g]
                        dot += ((mine[g] - 1) * log_weight[g] / 1e9) * (own_weight[j] * log_weight[g] / 1e9)
            if dot > 0:
                sums[kinds + 1, out] = np.int64(1_000_000 * dot / np.sqrt(norm[v] * norm[c]))
            sums[kinds + 2, out] //= max(friend_ptr[v + 1] - friend_ptr[v], 1)
            near = np.int64(0)
            for j in range(friend_ptr[c], friend_ptr[c + 1]):
                if friend_idx[j] != v:
                    near += alike[friend_idx[j]]
            sums[kinds + 3, out] = near // max(friend_ptr[c + 1] - friend_ptr[c], 1)
            out += 1
        for j in range(own_ptr[v], own_ptr[v + 1]):
            g = own_idx[j]
            mine[g] = 0
            if share[g] > 0:
                for q in range(member_ptr[g], member_ptr[g + 1]):
                    alike[member_idx[q]] = 0
        for j in range(friend_ptr[v], friend_ptr[v + 1]):
            x = friend_idx[j]
            for q in range(own_ptr[x], own_ptr[x + 1]):
                heard[own_idx[q]] = 0
    return sums
