"""The hot loops that propose pairs, compiled: the two-step expansion and the truncated walk.

Lives here: numba kernels over compressed rows, integers only, O(people) scratch per call and
O(viewers x k) output; each call is one slice of viewers, so slices may run in threads in any
split. Scalars are int64 throughout, so that every helper is compiled once. Does not belong here:
frames, ids, configuration, the features of given pairs (`overlap`), the global pass (`filling`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from assets.compiled import kernel
from assets.friends.graph import Flags, Index, Ints, Whole

COUNT_BITS = 22
"""Low bits of a sum that count paths (fewer than four million); the rest holds weights up to 10^12."""


def _prefetch(_: Any, array: Any, __: Any) -> Any:
    """LLVM's prefetch of a place of an array: it changes nothing, and a place beyond the end is harmless."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
        told = [ir.Constant(word, value) for value in (0, 3, 1)]
        builder.call(ask, [builder.bitcast(builder.gep(data, [arguments[1]]), byte), *told])
        return context.get_dummy_value()

    return types.void(array, types.uint64), code


_fetch = cast(Callable[[Index | Ints, np.uint64], None], intrinsic(_prefetch))


@kernel
def fetch_row(idx: Index, start: Whole) -> None:
    """Ask for the row that begins at ``start`` before it is needed: its first four cache lines, the rest comes along.

    Rows lie scattered and are short, so without it every row of a large graph begins with a wait.
    """
    place = np.uint64(start)
    _fetch(idx, place)
    _fetch(idx, place + np.uint64(16))
    _fetch(idx, place + np.uint64(32))
    _fetch(idx, place + np.uint64(48))


@kernel
def fetch_two(pairs: Ints, row: Whole) -> None:
    """Ask for a row of two numbers before it is needed."""
    _fetch(pairs, np.uint64(2) * np.uint64(row))


@kernel
def holds(ptr: Ints, idx: Index, row: Whole, value: Whole) -> bool:
    """Whether ``value`` is in the row (binary search)."""
    low, high = ptr[row], ptr[row + 1]
    stop = high
    while low < high:
        middle = (low + high) // 2
        if idx[middle] < value:
            low = middle + 1
        else:
            high = middle
    return bool(low < stop and idx[low] == value)


@kernel
def ranks_after(best: Ints, i: Whole, first: Whole, second: Whole, third: Whole) -> bool:
    """Whether entry i stands after (first desc, second desc, third asc)."""
    if best[i, 0] != first:
        return bool(best[i, 0] < first)
    if best[i, 1] != second:
        return bool(best[i, 1] < second)
    return bool(best[i, 2] > third)


@kernel
def keep_best(best: Ints, size: Whole, limit: Whole, first: Whole, second: Whole, third: Whole) -> np.int64:
    """Offer an entry to a bounded heap with the worst on top; returns the heap's new size."""
    i = np.int64(0)
    if size < limit:
        i = np.int64(size)
        size += 1
        while i > 0:
            parent = (i - 1) // 2
            if ranks_after(best, parent, first, second, third):
                break
            best[i, 0], best[i, 1], best[i, 2] = best[parent, 0], best[parent, 1], best[parent, 2]
            i = parent
    else:
        if limit == 0 or not ranks_after(best, 0, first, second, third):
            return np.int64(size)
        while 2 * i + 1 < size:
            child = 2 * i + 1
            if child + 1 < size and ranks_after(best, child + 1, best[child, 0], best[child, 1], best[child, 2]):
                child += 1
            if not ranks_after(best, child, first, second, third):
                break
            best[i, 0], best[i, 1], best[i, 2] = best[child, 0], best[child, 1], best[child, 2]
            i = child
    best[i, 0], best[i, 1], best[i, 2] = first, second, third
    return np.int64(size)


@kernel
def may_be_named(
    x: Whole, viewer: Whole, candidate: Whole, has_private_list: Flags, block_ptr: Ints, block_idx: Index
) -> bool:
    """Whether mutual friend x may be named to the viewer (02, 2.4)."""
    if has_private_list[x] or has_private_list[candidate]:
        return False
    return not (holds(block_ptr, block_idx, x, viewer) or holds(block_ptr, block_idx, x, candidate))


@kernel
def mark(marks: Ints | Index, ptr: Ints, idx: Index, row: Whole, value: Whole) -> None:
    """Mark a row's entries with ``value``."""
    for j in range(ptr[row], ptr[row + 1]):
        marks[idx[j]] = value


@kernel
def mark_counts(marks: Ints, ptr: Ints, idx: Index, counts: Ints, row: Whole) -> None:
    """Mark a row's entries with their counts."""
    for j in range(ptr[row], ptr[row + 1]):
        marks[idx[j]] = counts[j]


@kernel
def single_mutual(a: Whole, b: Whole, ptr: Ints, idx: Index) -> np.int64:
    """The first common entry of two rows; -1 where there is none."""
    i, j = ptr[a], ptr[b]
    while i < ptr[a + 1] and j < ptr[b + 1]:
        if idx[i] == idx[j]:
            return np.int64(idx[i])
        if idx[i] < idx[j]:
            i += 1
        else:
            j += 1
    return np.int64(-1)


@kernel
def expand(
    viewers: Index, first_ptr: Ints, first_idx: Index, second_ptr: Ints, second_idx: Index, weight: Ints,
    friend_ptr: Ints, friend_idx: Index, barred_ptr: Ints, barred_idx: Index,
    shown_ptr: Ints, shown_idx: Index, shown_count: Ints, has_private_list: Flags,
    block_ptr: Ints, block_idx: Index, k: int, depth: Ints, room: int,
) -> tuple[Index, Ints, Ints]:  # fmt: skip
    """Every viewer's best two-step candidates: viewer -> middle (weighted) -> candidate (who may be shown).

    Kept are the ``k`` best by (weight after impressions desc, mutual friends as published desc,
    index asc) and the ``depth[i]`` best by (weight desc, index asc); ``room`` = all of them at
    most. Returns pairs (m, 2); weight, published mutual friends and whether the pair is of the
    first kind (m, 3); and the number of eligible candidates of each viewer.

    One whole number per candidate holds the weight (high) and the count of paths (low `COUNT_BITS`);
    friends and whom a filter removes start far below zero, so no path leads to them. Most of the
    touched fall below ``bar``, the worst that is still kept: one look each, which also clears it.
    Indexes of the innermost loops are unsigned, which spares them a test for negative ones.
    """
    n = has_private_list.size
    sums = np.zeros(n, dtype=np.int64)
    shown = np.zeros(n, dtype=np.int64)
    touched = np.empty(n + 1, dtype=np.int32)
    kept, packed = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int64)
    best = np.empty((room + 1, 3), dtype=np.int64)
    deep = np.empty((room + 1, 3), dtype=np.int64)
    pairs = np.empty((room * viewers.size, 2), dtype=np.int32)
    values = np.empty((room * viewers.size, 3), dtype=np.int64)
    eligible = np.zeros(viewers.size, dtype=np.int64)
    zero = np.int64(0)
    below = -(np.int64(1) << 62)
    paths = (np.int64(1) << COUNT_BITS) - 1
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        sums[v] = below
        mark(sums, friend_ptr, friend_idx, v, below)
        mark(sums, barred_ptr, barred_idx, v, below)
        mark_counts(shown, shown_ptr, shown_idx, shown_count, v)
        count = np.uint64(0)
        end = first_ptr[v + 1]
        for j in range(first_ptr[v], end):
            x = first_idx[j]
            if j + 2 < end:
                fetch_row(second_idx, second_ptr[first_idx[j + 2]])
            w = (weight[x] << COUNT_BITS) + 1
            if w > 1:
                for q in range(np.uint64(second_ptr[x]), np.uint64(second_ptr[x + 1])):
                    y = np.uint64(second_idx[q])
                    before = sums[y]
                    touched[count] = second_idx[q]
                    count += np.uint64(before == 0)
                    sums[y] = before + w
        eligible[i] = count
        limit = depth[i]
        size = deep_size = kept_count = zero
        bar = zero if k > 0 or limit > 0 else -below
        for t in range(count):
            y = np.uint64(touched[t])
            total = sums[y]
            sums[y] = 0
            if total >= bar:
                c, told = np.int64(y), total >> COUNT_BITS
                kept[kept_count], packed[kept_count] = c, total
                kept_count += 1
                if limit > 0 and (deep_size < limit or told >= deep[0, 0]):
                    deep_size = keep_best(deep, deep_size, limit, told, zero, c)
                if k > 0 and (size < k or told >= best[0, 0]):
                    score = told
                    for _ in range(shown[c]):
                        score = score * 9 // 10
                    mutual = total & paths
                    if mutual == 1:
                        x = single_mutual(v, c, friend_ptr, friend_idx)
                        mutual = np.int64(may_be_named(x, v, c, has_private_list, block_ptr, block_idx))
                    size = keep_best(best, size, k, score, mutual, c)
                if size == k and deep_size == limit:
                    bar = -below
                    if k > 0:
                        bar = best[0, 0] << COUNT_BITS
                    if limit > 0:
                        bar = min(bar, deep[0, 0] << COUNT_BITS)
        for t in range(kept_count):
            sums[kept[t]] = packed[t]
        for b in range(size + deep_size):
            c = best[b, 2] if b < size else deep[b - size, 2]
            if sums[c] > 0:
                pairs[out, 0], pairs[out, 1] = v, c
                values[out, 0] = sums[c] >> COUNT_BITS
                values[out, 1] = best[b, 1] if b < size else 0
                values[out, 2] = 1 if b < size else 0
                sums[c] = 0
                out += 1
        for t in range(kept_count):
            sums[kept[t]] = 0
        sums[v] = 0
        mark(sums, friend_ptr, friend_idx, v, zero)
        mark(sums, barred_ptr, barred_idx, v, zero)
        for j in range(shown_ptr[v], shown_ptr[v + 1]):
            shown[shown_idx[j]] = 0
    return pairs[:out].copy(), values[:out].copy(), eligible


@kernel
def step_on(
    now: Ints, then: Ints, frontier: Ints, count: Whole, reached: Ints, best: Ints, width: Whole,
    ptr: Ints, idx: Index, percent: int,
) -> np.int64:  # fmt: skip
    """One step of a walk: every frontier node hands ``percent`` of its mass to its friends in equal whole shares.

    With ``width`` > 0 only the ``width`` best nodes by (mass desc, index asc) do. ``now`` is the
    mass of the ``frontier`` before and after, ``then`` is all zero before and after; returns the
    size of the new frontier.
    """
    zero = np.int64(0)
    size = zero
    if width > 0:
        for t in range(count):
            if size < width or now[frontier[t]] >= best[0, 0]:
                size = keep_best(best, size, width, now[frontier[t]], zero, frontier[t])
    next_count = zero
    for t in range(size if width > 0 else count):
        x = best[t, 2] if width > 0 else frontier[t]
        if t + 2 < (size if width > 0 else count):
            fetch_row(idx, ptr[best[t + 2, 2] if width > 0 else frontier[t + 2]])
        share = now[x] * percent // (100 * max(ptr[x + 1] - ptr[x], 1))
        if share > 0:
            for j in range(ptr[x], ptr[x + 1]):
                y = np.int64(idx[j])
                if then[y] == 0:
                    reached[next_count] = y
                    next_count += 1
                then[y] += share
    for t in range(count):
        now[frontier[t]] = 0
    for t in range(next_count):
        y = reached[t]
        frontier[t] = y
        now[y] = then[y]
        then[y] = 0
    return next_count


@kernel
def walk(
    viewers: Index, ptr: Ints, idx: Index, barred_ptr: Ints, barred_idx: Index, is_showable: Flags,
    mass: int, percent: int, width: int, limit: Whole, near: int,
) -> tuple[Index, Ints]:  # fmt: skip
    """Truncated personalised PageRank of four steps, in integers: `step_on`, the last two ``width`` wide.

    Candidates are reached after step ``near`` and not before: the ``limit`` best by (mass arrived at
    the later steps desc, index asc). Returns pairs (m, 2), mass (m,).
    """
    n = is_showable.size
    now, then, far = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    is_near = np.zeros(n, dtype=np.bool_)
    frontier, reached, seen = np.empty(n + 1, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    best = np.empty((width + limit + 1, 3), dtype=np.int64)
    pairs = np.empty((viewers.size * limit, 2), dtype=np.int32)
    values = np.empty(viewers.size * limit, dtype=np.int64)
    zero = np.int64(0)
    out = 0
    for i in range(viewers.size):
        v = np.int64(viewers[i])
        near_count = far_count = 0
        count = np.int64(1)
        frontier[0] = v
        now[v] = mass
        for step in range(1, 5):
            count = step_on(now, then, frontier, count, reached, best, width if step > 2 else zero, ptr, idx, percent)
            for t in range(count):
                y = frontier[t]
                if step <= near and not is_near[y]:
                    is_near[y] = True
                    seen[near_count] = y
                    near_count += 1
                elif step > near and not is_near[y]:
                    if far[y] == 0:
                        seen[near_count + far_count] = y
                        far_count += 1
                    far[y] += now[y]
        for t in range(count):
            now[frontier[t]] = 0
        size = zero
        for t in range(near_count + far_count):
            y = seen[t]
            may_stand = t >= near_count and (size < limit or far[y] >= best[0, 0])
            if may_stand and y != v and is_showable[y] and not holds(barred_ptr, barred_idx, v, y):
                size = keep_best(best, size, limit, far[y], zero, y)
            is_near[y] = False
            far[y] = 0
        for b in range(size):
            pairs[out, 0], pairs[out, 1] = v, best[b, 2]
            values[out] = best[b, 0]
            out += 1
    return pairs[:out].copy(), values[:out].copy()
