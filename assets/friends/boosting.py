"""Gradient boosting over symmetric trees, for integers: the learned ranker's arithmetic (02, 2.3).

Every level of a tree asks all its leaves the same question, so a tree is `DEPTH` comparisons and a
table of `2 ** DEPTH` values. Gradients are rounded to whole numbers and summed exactly, so a forest
does not depend on the order of the rows; scoring is whole numbers to the last step.
Does not belong here: which features there are, what is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assets.compiled import kernel
from assets.friends.config import MICRO
from assets.friends.graph import Ints, stable_hash

DEPTH, TREES, BINS = 4, 300, 64
SHRINKAGE, PENALTY, UNIT = 0.05, 2.0, 1 << 16
SEEN_PERCENT, SEEN_LEAST = 50, 8
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Forest:
    """Trees over binned features: ``borders[f]`` ascending; a row's bin = borders below its value."""

    borders: tuple[Ints, ...]
    feature: Ints
    """(trees, DEPTH): which feature a level asks."""
    border: Ints
    """(trees, DEPTH): a row goes right where its bin is above this."""
    value: Ints
    """(trees, 2 ** DEPTH): micro-logits."""
    base: int
    gain: Ints
    """Per feature its share of what the trees gained, in parts per million."""

    @cached_property
    def asked(self) -> Ints:
        """The features that any tree asks, ascending."""
        return np.unique(self.feature)

    def score(self, columns: list[Ints]) -> Ints:
        """``floor(10^6 p)`` of rows given as one int64 array per feature, of those `asked`."""
        asked = self.asked
        binned = binned_by([columns[f] for f in asked], tuple(self.borders[f] for f in asked))
        logits = total(binned, np.searchsorted(asked, self.feature), self.border, self.value, self.base)
        return np.asarray(np.floor(MICRO / (1.0 + np.exp(-logits / MICRO))), dtype=np.int64)


def borders_of(columns: list[Ints]) -> tuple[Ints, ...]:
    """At most `BINS` - 1 borders per feature, at its quantiles."""
    found = []
    for column in columns:
        ordered = np.sort(column)
        at = (np.arange(1, BINS) * ordered.size) // BINS
        cuts = np.unique(ordered[at]) if ordered.size else ordered
        found.append(np.unique(np.concatenate([cuts, ordered[:1]])) if ordered.size else cuts)
    return tuple(cuts[: BINS - 1] for cuts in found)


def binned_by(columns: list[Ints], borders: tuple[Ints, ...]) -> Bytes:
    """(features, rows): how many borders lie strictly below each value."""
    out = np.empty((len(columns), columns[0].size), dtype=np.uint8)
    for f, column in enumerate(columns):
        find_bins(column, borders[f], out[f])
    return out


@kernel
def find_bins(column: Ints, borders: Ints, out: Bytes) -> None:
    """How many of the borders lie strictly below each value: few borders, so all are asked, in loops that vectorise.

    Twice as many values go into one instruction where the borders are 32-bit: others are cut to that.
    """
    width, low, high = 1024, np.int64(-(1 << 31)), np.int64((1 << 31) - 1)
    wide, short = np.zeros(width, dtype=np.int64), np.zeros(width, dtype=np.int32)
    wide_places, places = np.zeros(width, dtype=np.int64), np.zeros(width, dtype=np.int32)
    is_short = borders.size == 0 or (borders[0] >= low and borders[-1] < high)
    for start in range(0, column.size, width):
        size = min(width, column.size - start)
        if is_short:
            for i in range(size):
                short[i] = min(max(column[start + i], low), high)
            places[:] = 0
            for b in range(borders.size):
                border = np.int32(borders[b])
                for i in range(width):
                    places[i] += np.int32(border < short[i])
            out[start : start + size] = places[:size]
        else:
            wide[:size] = column[start : start + size]
            wide_places[:] = 0
            for b in range(borders.size):
                for i in range(width):
                    wide_places[i] += borders[b] < wide[i]
            out[start : start + size] = wide_places[:size]


def fit(columns: list[Ints], target: NDArray[np.float64] | NDArray[np.bool_], shuffle: NDArray[np.uint64]) -> Forest:
    """A forest for the log-loss against ``target``, 0 to 1 per row.

    ``shuffle`` (a stable hash per row) picks the half of the rows that each tree sees; of the
    features it sees `SEEN_PERCENT`, at least `SEEN_LEAST`, by a hash of its number.
    """
    numbers = np.arange(len(columns), dtype=np.int64)
    width = min(max(len(columns) * SEEN_PERCENT // 100, SEEN_LEAST), len(columns))
    borders = borders_of(columns)
    binned = binned_by(columns, borders)
    wanted = np.rint(target * np.float64(UNIT)).astype(np.int64)
    share = max(int(wanted.sum()) / (UNIT * max(wanted.size, 1)), 1e-6)
    base = round(MICRO * float(np.log(share / (1 - share))))
    logits = np.full(wanted.size, base, dtype=np.int64)
    feature, border = (np.zeros((TREES, DEPTH), dtype=np.int64) for _ in range(2))
    value = np.zeros((TREES, 1 << DEPTH), dtype=np.int64)
    gain = np.zeros(len(columns), dtype=np.float64)
    for t in range(TREES):
        p = 1.0 / (1.0 + np.exp(-logits / MICRO))
        gradient = np.rint(p * UNIT).astype(np.int64) - wanted
        weight = np.rint(p * (1 - p) * UNIT).astype(np.int64)
        seen = np.flatnonzero((shuffle >> np.uint64(t % 60)) & np.uint64(1))
        leaf = np.zeros(seen.size, dtype=np.int64)
        asked = np.sort(np.argsort(stable_hash(numbers, f"tree {t}"), kind="stable")[:width])
        half = binned[np.ix_(asked, seen)]
        g_seen, h_seen = gradient[seen], weight[seen]
        for level in range(DEPTH):
            sums = histogram(half, leaf, g_seen, h_seen, 1 << level, BINS)
            f, b, better = best_split(sums, PENALTY * UNIT)
            feature[t, level], border[t, level] = asked[f], b
            gain[asked[f]] += max(better, 0.0)
            leaf |= (half[f] > b).astype(np.int64) << level
        g = np.bincount(leaf, weights=g_seen, minlength=1 << DEPTH)
        h = np.bincount(leaf, weights=h_seen, minlength=1 << DEPTH)
        value[t] = np.rint(-MICRO * SHRINKAGE * g / (h + PENALTY * UNIT)).astype(np.int64)
        one = slice(t, t + 1)
        logits += total(binned, feature[one], border[one], value[one], 0)
    share_of_gain = np.floor(MICRO * gain / max(gain.sum(), 1e-9)).astype(np.int64)
    return Forest(borders, feature, border, value, base, share_of_gain)


@kernel
def histogram(binned: Bytes, leaf: Ints, gradient: Ints, weight: Ints, leaves: int, bins: int) -> Ints:
    """(features, leaves, bins, 2): sums of gradient and weight."""
    sums = np.zeros((binned.shape[0], leaves, bins, 2), dtype=np.int64)
    for f in range(binned.shape[0]):
        for i in range(leaf.size):
            cell = sums[f, leaf[i], binned[f, i]]
            cell[0] += gradient[i]
            cell[1] += weight[i]
    return sums


@kernel
def best_split(sums: Ints, penalty: float) -> tuple[int, int, float]:
    """The feature and the border that part all leaves best together, the first of equals; and the gain."""
    features, leaves, bins, _ = sums.shape
    best_feature, best_border, best_gain = 0, bins, 0.0
    for f in range(features):
        gains = np.zeros(bins, dtype=np.float64)
        for leaf in range(leaves):
            g_all = h_all = np.int64(0)
            for b in range(bins):
                g_all += sums[f, leaf, b, 0]
                h_all += sums[f, leaf, b, 1]
            whole = float(g_all) * float(g_all) / (float(h_all) + penalty)
            g = h = np.int64(0)
            for b in range(bins - 1):
                g += sums[f, leaf, b, 0]
                h += sums[f, leaf, b, 1]
                rest_g, rest_h = float(g_all - g), float(h_all - h)
                gains[b] += float(g) * float(g) / (float(h) + penalty) + rest_g * rest_g / (rest_h + penalty) - whole
        for b in range(bins - 1):
            if gains[b] > best_gain:
                best_feature, best_border, best_gain = f, b, gains[b]
    return best_feature, best_border, best_gain


def total(binned: Bytes, feature: Ints, border: Ints, value: Ints, base: int) -> Ints:
    """The sum of all trees' values per row. Trees are asked together, as many as a byte of answers takes."""
    depth = feature.shape[1]
    together = max(8 // depth, 1)
    missing = -feature.shape[0] % together
    feature, border = (np.pad(table, ((0, missing), (0, 0))) for table in (feature, border))
    leaves = np.pad(value, ((0, missing), (0, 0))).reshape(-1, together, 1 << depth)
    joint = leaves[:, 0]
    for t in range(1, together):
        joint = (joint[:, None, :] + leaves[:, t, :, None]).reshape(joint.shape[0], -1)
    levels = together * depth
    return summed(binned, feature.reshape(-1, levels), border.reshape(-1, levels).astype(np.uint8), joint, base)


@kernel
def summed(binned: Bytes, feature: Ints, border: Bytes, value: Ints, base: int) -> Ints:
    """The sum of all trees' values per row, in blocks that stay in the cache and loops that vectorise."""
    n = binned.shape[1]
    sums = np.full(n, base, dtype=np.int64)
    width = 2048
    leaf = np.zeros(width, dtype=np.uint8)
    for start in range(0, n, width):
        size = min(width, n - start)
        for t in range(feature.shape[0]):
            leaf[:size] = 0
            for level in range(feature.shape[1]):
                column = binned[feature[t, level], start : start + size]
                above, bit = border[t, level], np.uint8(1 << level)
                for i in range(size):
                    leaf[i] |= bit if column[i] > above else np.uint8(0)
            table = value[t]
            for i in range(size):
                sums[start + i] += table[leaf[i]]
    return sums
