"""How the hot loops are spread: slices of viewers over threads, viewers over hash buckets.

Lives here: splitting and joining, nothing else. The number of slices and buckets never changes a
byte of any product: kernels share nothing and every product is sorted afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from assets.friends.graph import Index, Ints, stable_hash

T = TypeVar("T")


@dataclass(frozen=True)
class Engine:
    """How many threads work, and into how many buckets the viewers are cut."""

    threads: int = 1
    buckets: int = 1

    def over(self, size: int, work: Callable[[slice], T]) -> list[T]:
        """``work`` on consecutive slices of ``range(size)``, one for each thread, in order."""
        if self.threads == 1 or size < self.threads:
            return [work(slice(0, size))]
        bounds = [size * i // self.threads for i in range(self.threads + 1)]
        slices = [slice(a, b) for a, b in pairwise(bounds)]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, slices))

    def cut(self, viewers: Index, ids: Ints) -> list[Index]:
        """The viewers' buckets by the stable hash of their ids."""
        if self.buckets == 1:
            return [viewers]
        bucket = stable_hash(ids[viewers], "bucket") % np.uint64(self.buckets)
        return [viewers[bucket == np.uint64(i)] for i in range(self.buckets)]
