"""The columns of a batch of lists, filled some rows at a time in memory that is used again (spec 06.1).

Lives here: buffers that grow, columns of frames, ids and offsets over them, the record batch they make. Does not
belong here: which items a row has and what its page is (``rows``), how values become bytes (``encoding``).
"""

from __future__ import annotations

from mmap import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.published.encoding import compressed, cumulative, frozen
from assets.published.kernels import Bytes, Longs, relative
from store.datasets import LISTS


class Heap:
    """Values end to end. New memory costs more than what is written into it: it is kept for the next batch."""

    def __init__(self, kind: npt.DTypeLike) -> None:
        self._values: npt.NDArray[Any] = np.empty(0, dtype=kind)
        self._used = 0

    def clear(self) -> None:
        """Forget the values, keep the memory."""
        self._used = 0

    def room(self, count: int) -> npt.NDArray[Any]:
        """The next ``count`` values, to be written."""
        begin, end = self._used, self._used + count
        if end > len(self._values):
            self.reserve(max(2 * len(self._values), end))
        self._used = end
        return self._values[begin:end]

    def reserve(self, count: int) -> None:
        """Make room for so many values in all: what is never written costs no memory, what is moved costs twice."""
        if count > len(self._values):
            # Not numpy's: it asks for huge pages, and clearing those costs more system time than it saves here.
            memory = mmap(-1, count * self._values.itemsize)
            grown: npt.NDArray[Any] = np.frombuffer(memory, dtype=self._values.dtype)
            grown[: self._used] = self._values[: self._used]
            self._values = grown

    def values(self) -> npt.NDArray[Any]:
        """All of them."""
        return self._values[: self._used]


class Ragged:
    """A column of runs of values."""

    def __init__(self, kind: npt.DTypeLike) -> None:
        self.heap = Heap(kind)
        self.sizes: list[Longs] = []

    def clear(self) -> None:
        """Forget every row."""
        self.heap.clear()
        self.sizes.clear()

    def add(self, values: npt.NDArray[Any], cuts: Longs) -> None:
        """Rows of ``values`` between ``cuts``, which end to end are all of ``values``."""
        self.heap.room(len(values))[:] = values
        self.sizes.append(np.diff(cuts))

    def add_frames(self, data: Bytes, cuts: Longs) -> None:
        """Each row of ``data`` as a zstd frame; an empty row stays empty."""
        frames, sizes = compressed(data, cuts)
        self.heap.room(len(frames))[:] = np.frombuffer(frames, dtype=np.uint8)
        self.sizes.append(sizes)

    def add_offsets(self, cuts: Longs, starts: Longs, counts: Longs) -> None:
        """Per row the ``counts + 1`` cuts that bound its parts, relative to its first byte or id."""
        relative(self.heap.room(int(counts.sum()) + len(counts)), frozen(cuts), frozen(starts), frozen(counts))
        self.sizes.append(counts + 1)

    def array(self) -> pa.Array[Any]:
        """The column, of large binary or of large lists of numbers: there until it is cleared."""
        cuts, values = cumulative(np.concatenate(self.sizes)), self.heap.values()
        return binary(cuts, values) if values.dtype == np.uint8 else list_array(cuts, pa.array(values))


class Columns:
    """The columns of ``store.datasets.LISTS`` that are made from items."""

    def __init__(self) -> None:
        self.etags: list[npt.NDArray[np.uint64]] = []
        self.pages = Ragged(np.uint8)
        self.rest = Ragged(np.uint8)
        self.offsets = Ragged(np.uint32)
        self.keys = Ragged(np.uint8)
        self.guards = Ragged(np.int64)
        self.guard_offsets = Ragged(np.uint32)

    def clear(self) -> None:
        """Begin another batch."""
        self.etags.clear()
        for column in self._ragged():
            column.clear()

    def reserve(self, times: float) -> None:
        """Make room for so many times what there is."""
        for column in self._ragged():
            column.heap.reserve(int(times * len(column.heap.values())))

    def _ragged(self) -> tuple[Ragged, ...]:
        return self.pages, self.rest, self.offsets, self.keys, self.guards, self.guard_offsets

    def batch(self, keys: Longs, states: Longs, shown: Longs) -> pa.RecordBatch:
        """All of them; there until the next batch is begun."""
        arrays = [
            pa.array(keys.astype(np.uint64)),
            pa.array(np.concatenate(self.etags)),
            pa.array(states.astype(np.uint8)),
            self.pages.array(),
            pa.array(shown.astype(np.uint32)),
            self.rest.array(),
            self.offsets.array(),
            self.keys.array(),
            self.guards.array(),
            self.guard_offsets.array(),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=LISTS)


def ragged_offsets(cuts: Longs, starts: Longs, counts: Longs) -> pa.Array[Any]:
    """Per row the ``counts + 1`` cuts that bound its parts, relative to the row's first byte or id."""
    offsets = Ragged(np.uint32)
    offsets.add_offsets(cuts, starts, counts)
    return offsets.array()


def binary(cuts: Longs, data: Any) -> pa.Array[Any]:
    """A column of bytes from their end-to-end buffer and the cuts."""
    return pa.Array.from_buffers(pa.large_binary(), len(cuts) - 1, [None, _buffer(cuts), pa.py_buffer(data)])


def list_array(cuts: Longs, values: pa.Array[Any]) -> pa.Array[Any]:
    """A column of lists from their values, end to end, and the cuts."""
    kind = pa.large_list(pa.field("item", values.type, nullable=False))
    return pa.Array.from_buffers(kind, len(cuts) - 1, [None, _buffer(cuts)], children=[values])


def _buffer(cuts: Longs) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(cuts).data)
