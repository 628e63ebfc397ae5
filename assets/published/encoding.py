"""Columns to bytes: JSON objects, decimal texts, zstd frames, all in flat buffers (spec 06.1, 06.2).

Lives here: what turns a whole column into bytes at once. Does not belong here: which columns an item has (the
products' files of this folder), the rows of a dataset (``rows``). Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import zstandard

from assets.published.kernels import (
    AFTER_LAST_INSTANT,
    CHOICE,
    FIRST_INSTANT,
    ID,
    IDS,
    INSTANT,
    NUMBER,
    STRIDE,
    TEXT,
    Bytes,
    Flags,
    Longs,
    interleaved,
    json_bound,
    json_rows,
)

_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(1, window_log=17, hash_log=12, min_match=6)
"""Level 1 with tables of a page's size: as small, and a quarter cheaper to make."""

ROWS_AT_ONCE: Final = 32_768
_SEGMENT_WORDS: Final = 2
_NO_FLAGS: Final = np.zeros(0, dtype=np.bool_)


class UnwritableInstant(ValueError):
    """An instant that has no RFC 3339 text; the message names column and row."""


class Scratch:
    """A buffer that is used again: new memory costs more than what is written into it."""

    def __init__(self, kind: npt.DTypeLike = np.uint8) -> None:
        self._values: npt.NDArray[Any] = np.empty(0, dtype=kind)

    def of(self, size: int) -> Any:
        """``size`` values or more, whose last content is lost."""
        if len(self._values) < size:
            self._values = np.empty(size, dtype=self._values.dtype)
        return self._values


def json_texts(frame: pl.DataFrame) -> pl.Series:
    """One compact JSON object per row, keys in the order of the columns, named ``fragment``.

    By the conventions of the API (06.2): an integer whose name ends in ``_id`` and the integers of a list are
    decimal strings, an instant is RFC 3339 in UTC with microseconds, other integers, bools and texts are JSON's.
    """
    parts, items = [], _Objects(frame)
    for first in range(0, max(frame.height, 1), ROWS_AT_ONCE):
        data, cuts = items.rows(first, min(ROWS_AT_ONCE, frame.height - first))
        parts.append(text_series("fragment", data.copy(), cuts))
    return pl.concat(parts, rechunk=False)


class Fragments:
    """A column of JSON texts, or of structs (as :func:`json_texts`), as bytes: some rows at a time."""

    def __init__(self, fragments: pl.Series) -> None:
        self._texts = fragments.rechunk()
        self._objects = None if fragments.dtype == pl.String else _Objects(fragments.struct.unnest())

    def rows(self, first: int, count: int) -> tuple[Bytes, Longs]:
        """Their bytes, end to end, and the cuts; they are there until the next call."""
        if self._objects is not None:
            return self._objects.rows(first, count)
        cuts, data = text_buffers(self._texts.slice(first, count))
        return data, cuts


@dataclass(frozen=True)
class _Column:
    """One field: its kind, its slot among those of its kind, its values where they lie, where it is null."""

    kind: int
    slot: int
    values: Any
    is_there: Flags | None
    base: int = 0
    """Of a choice: what its first word is among the words of all fields."""


WIDEST_WORD: Final = 29
"""Bytes of a word's JSON: as many as of an instant, which is what ``json_bound`` makes room for."""


class _Objects:
    """Rows of a frame as JSON objects: the arguments of ``json_rows``, read where the columns lie in memory."""

    def __init__(self, frame: pl.DataFrame) -> None:
        words: list[str] = []
        self._columns: list[_Column] = []
        slots = dict.fromkeys(_SLOTS.values(), 0)
        for column in frame.rechunk().iter_columns():
            kind = _kind(column)
            mask = column.is_not_null().to_numpy() if column.null_count() else None
            self._columns.append(_Column(kind, slots[_SLOTS[kind]], _values(column, kind), mask, len(words)))
            slots[_SLOTS[kind]] += 1
            words += _words(column) if kind == CHOICE else []
        quotes = ['"' if column.kind in (ID, TEXT, INSTANT) else "" for column in self._columns]
        names = [("{" if i == 0 else ",") + json.dumps(name) + ":" for i, name in enumerate(frame.columns)]
        self._heads = _padded([name + quote for name, quote in zip(names, quotes, strict=True)])
        if max(map(len, (word.encode() for word in words)), default=0) > WIDEST_WORD:
            raise ValueError(f"a word of {max(words, key=len)[:20]}… is longer than {WIDEST_WORD} bytes")
        self._choices = _padded(words)
        self._numbers = slots[NUMBER]
        self._kinds = np.array([column.kind for column in self._columns], dtype=np.int64)
        self._slots = np.array([column.slot for column in self._columns], dtype=np.int64)
        self._scratch = Scratch()

    def rows(self, first: int, count: int) -> tuple[Bytes, Longs]:
        """The JSON of some rows, end to end, and the cuts; it is there until the next call."""
        rows = slice(first, first + count)
        present = np.ones((len(self._columns), count), dtype=np.bool_)
        numbers = np.empty((self._numbers, count), dtype=np.int64)
        texts: list[tuple[Longs, Any]] = []
        ids: list[tuple[Longs, Any]] = []
        for column, is_there in zip(self._columns, present, strict=True):
            if column.is_there is not None:
                is_there[:] = column.is_there[rows]
            if column.kind == TEXT:
                texts.append(text_buffers(column.values.slice(first, count)))
            elif column.kind == IDS:
                cuts = column.values[0][first : first + count + 1]
                ids.append((cuts - cuts[0], column.values[1][cuts[0] : cuts[-1]]))
            else:
                base = column.base if column.kind == CHOICE else 0
                np.add(column.values[rows], base, out=numbers[column.slot], dtype=np.int64)
        text, text_cuts = _stacked(texts, count, np.uint8)
        id_, id_cuts = _stacked(ids, count, np.int64)
        out = self._scratch.of(json_bound(self._heads[0], text_cuts, id_cuts, count, len(self._columns)))
        kinds = (*self._heads, self._kinds, self._slots)
        cuts = json_rows(out, count, *kinds, present, numbers, *self._choices, text, text_cuts, id_, id_cuts)
        return out[: cuts[-1]], cuts


_SLOTS: Final = {NUMBER: NUMBER, ID: NUMBER, INSTANT: NUMBER, CHOICE: NUMBER, TEXT: TEXT, IDS: IDS}
"""Which slots a value of each kind is read from."""


def _kind(column: pl.Series) -> int:
    kind = column.dtype
    if kind == pl.String:
        return TEXT
    if isinstance(kind, pl.List):
        return IDS
    if isinstance(kind, pl.Enum) or kind == pl.Boolean:
        return CHOICE
    if isinstance(kind, pl.Datetime) and kind.time_unit == "us":
        return INSTANT
    if kind != pl.Null and (not kind.is_integer() or kind == pl.UInt64):
        raise TypeError(f"{column.name}: {kind} has no place in the JSON of an item")
    return ID if column.name.endswith("_id") else NUMBER


def _words(column: pl.Series) -> list[str]:
    """The JSON of each value of a column of few."""
    if isinstance(column.dtype, pl.Enum):
        return [json.dumps(word, ensure_ascii=False) for word in column.dtype.categories]
    return ["false", "true"]


def _values(column: pl.Series, kind: int) -> Any:
    if kind == TEXT:
        return column
    if kind == IDS:
        cuts, ids, present = list_buffers(column)
        if not present.all():
            raise ValueError(f"a list of {column.name} holds null")
        return cuts, ids
    plain = column.to_physical()
    values = (plain.fill_null(value=False) if plain.dtype == pl.Boolean else plain.fill_null(0)).to_numpy()
    if kind == INSTANT:
        _check_instants(column.name, values)
    return values


def _check_instants(name: str, micros: Longs) -> None:
    if not micros.size or FIRST_INSTANT <= micros.min() <= micros.max() < AFTER_LAST_INSTANT:
        return
    row = int(np.argmax((micros < FIRST_INSTANT) | (micros >= AFTER_LAST_INSTANT)))
    raise UnwritableInstant(
        f"{name} of row {row} is {micros[row]} µs since 1970, outside the years 0 to 9999 that RFC 3339 can write"
    )


def _padded(texts: list[str]) -> tuple[Bytes, Longs]:
    """Short texts end to end, readable a stride beyond, and the cuts."""
    encoded_texts = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(encoded_texts) + bytes(STRIDE), dtype=np.uint8)
    return data, cumulative([len(text) for text in encoded_texts])


def _stacked(parts: list[tuple[Longs, Any]], rows: int, kind: Any) -> tuple[Any, Longs]:
    """The parts' values in one array, and per part the cuts into it."""
    bases = cumulative([len(values) for _, values in parts])
    cuts = np.zeros((len(parts), rows + 1), dtype=np.int64)
    for slot, (own, _) in enumerate(parts):
        np.add(own, bases[slot], out=cuts[slot])
    return np.concatenate([values for _, values in parts]) if parts else np.zeros(0, dtype=kind), cuts


class GuardLists:
    """Columns of lists of ids as one: per row, column after column, the distinct ids of its list, ascending."""

    def __init__(self, *columns: pl.Series) -> None:
        self._cuts, self._ids, self._present = zip(*map(list_buffers, columns), strict=True)
        self._scratch = Scratch(np.int64)

    def rows(self, first: int, count: int) -> tuple[Longs, Longs]:
        """The ids of some rows, end to end, and the ``rows × columns + 1`` cuts; they are there until the next call."""
        cuts = tuple(frozen(each[first : first + count + 1]) for each in self._cuts)
        out = self._scratch.of(sum(int(each[-1] - each[0]) for each in cuts))
        out_cuts = interleaved(out, self._ids, cuts, self._present)
        return out[: out_cuts[-1]], out_cuts


def compressed(data: Bytes, cuts: Longs) -> tuple[bytes, Longs]:
    """Each part of ``data`` as a zstd frame (an empty part stays empty); the frames end to end and their sizes."""
    sizes = np.zeros(len(cuts) - 1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(cuts))
    if not len(filled):
        return b"", sizes
    segments = np.empty((len(filled), _SEGMENT_WORDS), dtype=np.uint64)
    segments[:, 0], segments[:, 1] = cuts[:-1][filled], np.diff(cuts)[filled]
    parts = zstandard.BufferWithSegments(data.data, segments.tobytes())
    compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)
    frames = compressor.multi_compress_to_buffer(parts, threads=pl.thread_pool_size())
    each: list[Any] = [frames[i] for i in range(len(frames))]
    sizes[filled] = [len(frame) for frame in each]
    return b"".join(each), sizes


def text_buffers(texts: pl.Series) -> tuple[Longs, Bytes]:
    """Cuts (n + 1) and the bytes of a column of strings, end to end."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if len(array) == 0:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    _, offsets, data = array.buffers()
    found = np.frombuffer(memoryview(offsets or b""), dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    base = int(found[0])
    return found - base, np.frombuffer(memoryview(data or b""), dtype=np.uint8)[base : int(found[-1])]


def list_buffers(lists: pl.Series) -> tuple[Longs, Longs, Flags]:
    """Cuts (n + 1), the values of a column of lists of integers, and which are not null (empty where all are).

    Read-only, as they lie in memory where that can be.
    """
    filled = lists.cast(pl.List(pl.Int64)).rechunk()
    array: Any = (filled.fill_null([]) if filled.null_count() else filled).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )
    if len(array) == 0:
        return frozen(np.zeros(1, dtype=np.int64)), frozen(np.zeros(0, dtype=np.int64)), frozen(_NO_FLAGS)
    found = np.frombuffer(memoryview(array.buffers()[1]), dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    values = pl.Series(pl.from_arrow(array.values.slice(int(found[0]), int(found[-1] - found[0]))))
    present = values.is_not_null().to_numpy() if values.null_count() else _NO_FLAGS
    return frozen(found - found[0]), frozen(values.fill_null(0).to_numpy()), frozen(present)


def frozen(values: Any) -> Any:
    """The same array, read-only: compiled code is kept once for all that are."""
    view = values.view()
    view.flags.writeable = False
    return view


def text_series(name: str, data: Bytes, cuts: Longs) -> pl.Series:
    """A column of strings from their bytes, end to end, and the cuts between them."""
    array = pa.LargeStringArray.from_buffers(
        len(cuts) - 1, pa.py_buffer(np.ascontiguousarray(cuts).data), pa.py_buffer(data.data)
    )
    return pl.Series(name, pl.from_arrow(array))


def list_series(name: str, ids: Longs, cuts: Longs) -> pl.Series:
    """A column of lists from their ids, end to end, and the cuts between them."""
    array = pa.LargeListArray.from_arrays(pa.array(cuts, pa.int64()), pa.array(ids, pa.int64()))
    return pl.Series(name, pl.from_arrow(array), dtype=pl.List(pl.Int64))


def cumulative(sizes: Any) -> Longs:
    """0 and the running sums: where each of ``sizes`` parts begins, and the end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.asarray(sizes), dtype=np.int64)])


def instant(column: str) -> pl.Expr:
    """An instant as clients see it: RFC 3339, UTC, microseconds, ``Z``."""
    return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias(column)


def encoded(*columns: Any) -> pl.Expr:
    """One compact JSON object per row, keys in the order given, values as they are."""
    return pl.struct(*columns).struct.json_encode()
