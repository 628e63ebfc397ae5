"""Seeded draws, vectorised: substreams, stateless mixing, weighted picks, neighbour picks.

Every part of a world draws from its own substream, so that a change in one part leaves the others
as they were. Text is chosen by :func:`mix`, a pure function of (seed, row, purpose): whatever the
chunk in which a row is written, it says the same. Nothing here knows what the numbers mean.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
"""Whole numbers; long columns of positions are kept :func:`compact`."""
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def compact(numbers: Ints, kind: type[np.signedinteger[Any]] = np.int32) -> Ints:
    """The same numbers in fewer bytes; products of them need 64 bits again."""
    fewer: Any = numbers.astype(kind)
    return cast("Ints", fewer)


def stream(seed: int, part: str) -> np.random.Generator:
    """The substream of one part of the world."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(part.encode())])))


def mix(seed: int, purpose: str, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits per row (splitmix64), the same for the same (seed, purpose, row)."""
    salt = (zlib.crc32(purpose.encode()) << 20) ^ (seed * 0xD1342543DE82EF95)
    with np.errstate(over="ignore"):
        bits = (rows.astype(np.uint64) + np.uint64(salt & 0xFFFFFFFFFFFFFFFF)) * _GOLDEN
        bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
        bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
        mixed: npt.NDArray[np.uint64] = bits ^ (bits >> np.uint64(31))
    return mixed


def mix_below(seed: int, purpose: str, rows: npt.NDArray[Any], bound: int | npt.NDArray[Any]) -> Ints:
    """A number in [0, bound) per row; ``bound`` may differ by row and must be ≥ 1."""
    high = mix(seed, purpose, rows) >> np.uint64(33)
    below: Ints = (high % np.asarray(bound).astype(np.uint64)).astype(np.int64)
    return below


def pick(rng: np.random.Generator, weights: npt.NDArray[Any], size: int) -> Ints:
    """``size`` indices drawn with replacement in proportion to ``weights``."""
    if size == 0:
        return np.empty(0, np.int64)
    cumulative = np.cumsum(weights, dtype=np.float64)
    found = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    picked: Ints = np.minimum(found, len(cumulative) - 1).astype(np.int64)
    return picked


def zipf_weights(count: int, exponent: float = 0.9) -> Floats:
    """Weights 1, 2^-e, 3^-e …: a few are popular, most are not."""
    return np.arange(1, count + 1, dtype=np.float64) ** -exponent


@dataclass(frozen=True)
class Adjacency:
    """Rows of values by owner (CSR). ``row`` are positions into the arrays it was made from."""

    start: Ints
    """n + 1 offsets."""
    value: Ints
    row: Ints

    @property
    def degree(self) -> Ints:
        """How many values each owner has."""
        return np.diff(self.start)

    def sample(self, rng: np.random.Generator, owners: Ints) -> Ints:
        """A uniformly drawn position per owner, -1 where it has none."""
        degree = self.start[owners + 1] - self.start[owners]
        position = self.start[owners] + (rng.random(len(owners)) * degree).astype(np.int64)
        return np.where(degree > 0, position, -1)


def stable_order(keys: Ints) -> Ints:
    """``argsort(kind="stable")`` of small non-negative keys, several times faster (one plain sort)."""
    bits = max(1, len(keys).bit_length())
    packed = (keys.astype(np.int64) << bits) | np.arange(len(keys))
    packed.sort()
    order: Ints = packed & ((1 << bits) - 1)
    return order


def adjacency(owner: Ints, value: Ints, count: int) -> Adjacency:
    """Group ``value`` by ``owner`` (0 … count-1), keeping the order within an owner."""
    order = stable_order(owner)
    start = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=count), out=start[1:])
    return Adjacency(start, compact(value[order]), compact(order))


def first_of_each(keys: Ints) -> Ints:
    """Positions of the first row of every distinct key, ascending."""
    return np.sort(np.unique(keys, return_index=True)[1]).astype(np.int64)
