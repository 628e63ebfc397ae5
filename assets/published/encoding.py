"""Columns to bytes: JSON objects, decimal and hex texts, zstd frames, all in flat buffers (spec 06.1, 06.2).

Lives here: what turns a whole column into bytes at once. Does not belong here: which columns an item has (the
products' files of this folder), the rows of a dataset (``rows``). Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import zstandard

from assets.published.kernels import BOOL, ID, IDS, INSTANT, NUMBER, TEXT, Bytes, Longs, distinct, json_rows, together

_PARAMETERS: Final = zstandard.ZstdCompressionParameters.from_level(1, window_log=17, hash_log=12, min_match=6)
"""Level 1 with tables of a page's size: as small, and a quarter cheaper to make."""

ROWS_AT_ONCE: Final = 32_768
_SEGMENT_WORDS: Final = 2
_NOBODY: Final = -1


def json_texts(frame: pl.DataFrame) -> pl.Series:
    """One compact JSON object per row, keys in the order of the columns, named ``fragment``.

    By the conventions of the API (06.2): an integer whose name ends in ``_id`` and the integers of a list are
    decimal strings, an instant is RFC 3339 in UTC with microseconds, other integers, bools and texts are JSON's.
    """
    names = _named(frame.columns)
    slices = frame.iter_slices(ROWS_AT_ONCE) if frame.height else [frame]
    return pl.concat([text_series("fragment", *_json_bytes(names, rows)) for rows in slices], rechunk=False)


def fragment_bytes(fragments: pl.Series) -> tuple[Bytes, Longs]:
    """The bytes of a column of JSON texts, or of structs (as :func:`json_texts`); end to end, and the cuts."""
    if fragments.dtype == pl.String:
        cuts, data = text_buffers(fragments)
        return data, cuts
    frame = fragments.struct.unnest()
    return _json_bytes(_named(frame.columns), frame)


def _json_bytes(names: tuple[Bytes, Longs], frame: pl.DataFrame) -> tuple[Bytes, Longs]:
    values = _Values(frame.height)
    for column in frame.iter_columns():
        values.add(column)
    data, cuts = json_rows(*names, *values.arrays())
    return data, cuts


class _Values:
    """Columns as the arguments of ``json_rows``."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._kinds: list[int] = []
        self._slots: list[int] = []
        self._present: list[npt.NDArray[np.bool_]] = []
        self._numbers: list[Longs] = []
        self._texts: list[tuple[Longs, Bytes]] = []
        self._ids: list[tuple[Longs, Longs]] = []

    def add(self, column: pl.Series) -> None:
        """The next field."""
        self._present.append(column.is_not_null().to_numpy())
        if column.dtype == pl.String:
            self._put(TEXT, self._texts, text_buffers(column.fill_null("")))
        elif isinstance(column.dtype, pl.List):
            cuts, ids, present = list_buffers(column)
            if not present.all():
                raise ValueError(f"a list of {column.name} holds null")
            self._put(IDS, self._ids, (cuts, ids))
        else:
            kind = NUMBER
            if isinstance(column.dtype, pl.Datetime):
                kind = INSTANT
            elif column.dtype == pl.Boolean:
                kind = BOOL
            elif column.name.endswith("_id"):
                kind = ID
            self._put(kind, self._numbers, column.to_physical().cast(pl.Int64).fill_null(0).to_numpy())

    def _put(self, kind: int, kept: list[Any], value: Any) -> None:
        self._kinds.append(kind)
        self._slots.append(len(kept))
        kept.append(value)

    def arrays(self) -> tuple[Any, ...]:
        """Kinds, slots, presence, numbers, texts and their cuts, ids and their cuts."""
        texts, text_cuts = _stacked(self._texts, self._rows, np.uint8)
        ids, id_cuts = _stacked(self._ids, self._rows, np.int64)
        numbers = np.stack(self._numbers) if self._numbers else np.zeros((0, self._rows), dtype=np.int64)
        kinds, slots = (np.array(each, dtype=np.int64) for each in (self._kinds, self._slots))
        return kinds, slots, np.stack(self._present), numbers, texts, text_cuts, ids, id_cuts


def _named(names: list[str]) -> tuple[Bytes, Longs]:
    """What precedes each field's value, end to end, and the cuts."""
    heads = [("{" if i == 0 else ",") + json.dumps(name) + ":" for i, name in enumerate(names)]
    return np.frombuffer("".join(heads).encode(), dtype=np.uint8), cumulative([len(head) for head in heads])


def _stacked(parts: list[tuple[Longs, Any]], rows: int, kind: Any) -> tuple[Any, Longs]:
    """The parts' values in one array, and per part the cuts into it."""
    bases = cumulative([len(values) for _, values in parts])
    cuts = np.zeros((len(parts), rows + 1), dtype=np.int64)
    for slot, (own, _) in enumerate(parts):
        cuts[slot] = own + bases[slot]
    return np.concatenate([values for _, values in parts]) if parts else np.zeros(0, dtype=kind), cuts


def united(name: str, frame: pl.DataFrame) -> pl.Series:
    """Per row the distinct ids of all columns, each of ids or of lists of ids, ascending; null is nobody."""
    lists = [each for each in frame.iter_columns() if isinstance(each.dtype, pl.List)]
    single = [each.fill_null(_NOBODY).to_numpy() for each in frame.iter_columns() if each.dtype == pl.Int64]
    numbers = np.stack(single) if single else np.zeros((0, frame.height), dtype=np.int64)
    parts = [(cuts, np.where(is_there, ids, _NOBODY)) for cuts, ids, is_there in map(list_buffers, lists)]
    ids, cuts = together(numbers, *_stacked(parts, frame.height, np.int64))
    return list_series(name, *distinct(ids, cuts, ids >= 0))


def guard_lists(*columns: pl.Series) -> tuple[Longs, Longs]:
    """Per row, column after column, the distinct ids of its list, ascending; and the ``rows × columns + 1`` cuts."""
    made = [distinct(ids, cuts, present) for cuts, ids, present in map(list_buffers, columns)]
    sizes = np.stack([np.diff(cuts) for _, cuts in made], axis=1)
    out = cumulative(sizes.ravel())
    ids = np.empty(out[-1], dtype=np.int64)
    for kind, (values, cuts) in enumerate(made):
        begins = out[kind : -1 : len(made)]
        within = np.arange(len(values)) - np.repeat(cuts[:-1], sizes[:, kind])
        ids[np.repeat(begins, sizes[:, kind]) + within] = values
    return ids, out


def compressed(data: Bytes, cuts: Longs) -> tuple[bytes, Longs]:
    """Each part of ``data`` as a zstd frame (an empty part stays empty); the frames end to end and the cuts."""
    sizes = np.zeros(len(cuts) - 1, dtype=np.int64)
    filled = np.flatnonzero(np.diff(cuts))
    if not len(filled):
        return b"", cumulative(sizes)
    segments = np.empty((len(filled), _SEGMENT_WORDS), dtype=np.uint64)
    segments[:, 0], segments[:, 1] = cuts[:-1][filled], np.diff(cuts)[filled]
    parts = zstandard.BufferWithSegments(data.data, segments.tobytes())
    compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)
    frames = compressor.multi_compress_to_buffer(parts, threads=pl.thread_pool_size())
    each: list[Any] = [frames[i] for i in range(len(frames))]
    sizes[filled] = [len(frame) for frame in each]
    return b"".join(each), cumulative(sizes)


def text_buffers(texts: pl.Series) -> tuple[Longs, Bytes]:
    """Cuts (n + 1) and the bytes of a column of strings, end to end."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if len(array) == 0:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    _, offsets, data = array.buffers()
    found = np.frombuffer(memoryview(offsets or b""), dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    base = int(found[0])
    return found - base, np.frombuffer(memoryview(data or b""), dtype=np.uint8)[base : int(found[-1])]


def list_buffers(lists: pl.Series) -> tuple[Longs, Longs, npt.NDArray[np.bool_]]:
    """Cuts (n + 1), the values of a column of lists of integers, and which are not null."""
    if len(lists) == 0:
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    filled = lists.cast(pl.List(pl.Int64)).fill_null([])
    values = filled.explode(keep_nulls=False, empty_as_null=False)
    return cumulative(filled.list.len().to_numpy()), values.fill_null(0).to_numpy(), values.is_not_null().to_numpy()


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


def hex_digits(values: npt.NDArray[np.uint64]) -> Bytes:
    """Each unsigned integer as a row of 16 lowercase hex digits."""
    digits = np.frombuffer(values.astype(">u8").tobytes().hex().encode(), dtype=np.uint8)
    return digits.reshape(len(values), 16)


def cumulative(sizes: Any) -> Longs:
    """0 and the running sums: where each of ``sizes`` parts begins, and the end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.asarray(sizes), dtype=np.int64)])


def instant(column: str) -> pl.Expr:
    """An instant as clients see it: RFC 3339, UTC, microseconds, ``Z``."""
    return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias(column)


def encoded(*columns: Any) -> pl.Expr:
    """One compact JSON object per row, keys in the order given, values as they are."""
    return pl.struct(*columns).struct.json_encode()
