"""A viewer's pool is the best there are, however many are near."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from assets.friends import pooling
from assets.friends.graph import Ints, Rows, log_weights

PERCENT, WIDTH, EDGES = 85, 12, 900


def graph(seed: int, people: int, friendships: int) -> Rows:
    rng = np.random.default_rng(seed)
    a, b = (np.floor(people * rng.random(friendships) ** 1.7).astype(np.int64) for _ in range(2))
    a, b = a[a != b], b[a != b]
    return Rows.of(np.concatenate([a, b]), np.concatenate([b, a]), people, people)


def misleading() -> Rows:
    """Every second one of the first viewer's 400 is in the sample, and 36 of those are better than the rest."""
    pairs = [(0, 1), (0, 2), *((1, y) for y in range(3, 403)), *((2, y) for y in range(4, 76, 2))]
    a, b = (np.asarray(side) for side in zip(*pairs, strict=True))
    return Rows.of(np.concatenate([a, b]), np.concatenate([b, a]), 403, 403)


def best(values: dict[int, int], limit: int) -> list[tuple[int, int]]:
    return sorted(values.items(), key=lambda one: (-one[1], one[0]))[:limit]


def handed_on(friends: list[list[int]], mass: dict[int, int]) -> Counter[int]:
    """What the best of ``mass`` hand to their friends, as far as `EDGES` go."""
    arrived: Counter[int] = Counter()
    spent = 0
    for place, (x, held) in enumerate(best(mass, WIDTH)):
        spent += len(friends[x])
        if place > 0 and spent > EDGES:
            break
        for y in friends[x]:
            arrived[y] += held * PERCENT // (100 * max(len(friends[x]), 1))
    return arrived


@pytest.mark.parametrize(("near_limit", "walk_limit"), [(20, 30), (0, 25), (40, 0), (5, 5), (40, 40)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_pool_is_the_best_by_paths_and_by_walks(seed: int, near_limit: int, walk_limit: int) -> None:
    rows, rng = graph(seed, 500, 5000) if seed else misleading(), np.random.default_rng(seed)
    people, some = rows.ptr.size - 1, 900 if seed else 0
    barred, given = (
        Rows.of(rng.integers(0, people, some), rng.integers(0, people, some), people, people) for _ in "ab"
    )
    is_showable = rng.random(people) < (0.8 if seed else 1)
    weight: Ints = log_weights(rows.sizes)
    share = pooling.MASS // np.maximum(rows.sizes, 1)
    viewers = np.arange(0, people, 7).astype(np.int32)
    who, candidates, values, eligible = pooling.pooled(
        viewers, rows.ptr, rows.idx, weight, share, given.ptr, given.idx, barred.ptr, barred.idx, is_showable,
        PERCENT, WIDTH, EDGES, near_limit, walk_limit,
    )  # fmt: skip
    friends = [rows.idx[rows.ptr[x] : rows.ptr[x + 1]].tolist() for x in range(people)]
    found = {}
    for i, v in enumerate(viewers.tolist()):
        common: Counter[int] = Counter(y for x in friends[v] for y in friends[x])
        adamic: Counter[int] = Counter()
        mass: Counter[int] = Counter()
        for x in friends[v]:
            for y in friends[x]:
                adamic[y] += int(weight[x])
                mass[y] += int(share[x])
        third = handed_on(friends, mass)
        far = third + handed_on(friends, third)
        out = {v, *friends[v], *barred.idx[barred.ptr[v] : barred.ptr[v + 1]].tolist()}
        fine = {y for y in range(people) if is_showable[y] and y not in out}
        assert eligible[i] == len(fine & set(common))
        near = {y for y, _ in best({y: adamic[y] for y in fine & set(common)}, near_limit)}
        both = mass + far
        walked = {y for y, _ in best({y: both[y] for y in fine & set(both)}, walk_limit)}
        told = fine & set(given.idx[given.ptr[v] : given.ptr[v + 1]].tolist())
        for y in near | walked | told:
            found[v, y] = (common[y], adamic[y], mass[y], both[y], (y in near) + 2 * (y in walked))
    assert list(zip(who.tolist(), candidates.tolist(), strict=True)) == sorted(found)
    assert [tuple(row) for row in values.T.tolist()] == [found[pair] for pair in sorted(found)]
