"""From items to the rows of a dataset: fragments, keys, guards, default pages, entity tags.

Lives here: the layout work, vectorised over flat buffers (an item's JSON is written once and shared).
Does not belong here: what an item's JSON holds (the other files of this folder), writing files
(``store.datasets``). Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from store.datasets import DOCUMENTS, LISTS
from store.payloads import DEFAULT_LIMIT
from store.serving import STATES

GUARDS: Final = ("guard_users", "guard_groups", "guard_objects", "guard_circle")
"""Columns of an items frame that hold lists of ids: who may revoke the item (06.1), as ``store.serving.Guards``."""

NO_IDS: Final = pl.lit([], dtype=pl.List(pl.Int64))
_ZSTD: Final = pa.Codec("zstd", 1)

Ints = npt.NDArray[np.int64]
NextCursor = Callable[[int, str], str]
"""(user id, key of the page's last item) to the signed cursor of the next page."""


@dataclass(frozen=True)
class Envelope:
    """What surrounds the items of a default page."""

    generation: str
    as_of_text: str
    next_cursor: NextCursor | None
    """None for lists that are not paged (entitlements): the page is the whole list."""

    def tail(self, state: str, cursor: str | None) -> bytes:
        """Everything after the data array, in the order of the API's models."""
        paging = "" if self.next_cursor is None else f'"next_cursor":{_text(cursor)},"prev_cursor":null,'
        return f',{paging}"state":"{state}","generation":"{self.generation}","as_of":"{self.as_of_text}"}}'.encode()


def list_rows(items: pl.DataFrame, viewers: pl.Series, *, envelope: Envelope | None) -> pa.Table:
    """Rows of a dataset of lists (``store.datasets.LISTS``), one per viewer, those without items included.

    ``items``: ``viewer_id`` i64, ``fragment`` str (JSON), ``fragment_key`` str, ``is_cold`` bool (a list of
    nothing else is a cold start), the :data:`GUARDS`; each viewer's in the order served. Items of others
    than ``viewers`` are left out. ``envelope`` None stores no default page.
    """
    keys = viewers.unique().sort()
    kept = items.filter(pl.col("viewer_id").is_in(keys.implode())).sort("viewer_id", maintain_order=True)
    starts, counts = _spans(kept["viewer_id"], keys)
    offsets, data = _text_buffers(kept.select(pl.col("fragment") + ",").to_series())
    key_offsets, key_data = _text_buffers(kept.select(pl.col("fragment_key") + "\n").to_series())
    states = _states(counts, starts, kept["is_cold"])
    pages, etags = _pages(keys, starts, counts, offsets, data, states, kept["fragment_key"], envelope)
    guards, guard_offsets = guard_columns(kept, starts, counts)
    return pa.Table.from_arrays(
        [
            pa.array(keys.to_numpy().astype(np.uint64)),
            pa.array(etags),
            pa.array(states.astype(np.uint8)),
            pages,
            _binary(_bounds(offsets, starts, counts), data),
            ragged_offsets(offsets, starts, counts),
            _binary(_bounds(key_offsets, starts, counts), key_data),
            guards,
            guard_offsets,
        ],
        schema=LISTS,
    )


def document_rows(keys: pl.Series, bodies: pl.Series) -> pa.Table:
    """Rows of a dataset of single JSON documents, sorted by key (unique)."""
    frame = pl.DataFrame({"key": keys, "body": bodies}).sort("key")
    offsets, data = _text_buffers(frame["body"])
    etags = [etag_number(bytes(data[a:b]), "ready") for a, b in pairwise(offsets)]
    return pa.Table.from_arrays(
        [
            pa.array(frame["key"].to_numpy().astype(np.uint64)),
            pa.array(np.array(etags, dtype=np.uint64)),
            _binary(offsets, data),
        ],
        schema=DOCUMENTS,
    )


def guard_columns(items: pl.DataFrame, starts: Ints, counts: Ints) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The guards of each row's items and where each kind of each item begins."""
    kinds = len(GUARDS)
    numbered = items.select(GUARDS).with_row_index("item")
    flat = [
        numbered.select(pl.col("item").cast(pl.Int64) * kinds + kind, pl.col(name).alias("id")).explode(
            "id", keep_nulls=False, empty_as_null=False
        )
        for kind, name in enumerate(GUARDS)
    ]
    guards = pl.concat(flat).drop_nulls().sort("item", "id")
    item, ids = guards["item"].to_numpy(), guards["id"].cast(pl.Int64).to_numpy()
    is_new = np.append(True, (np.diff(item) != 0) | (np.diff(ids) != 0))[: len(ids)]
    cuts = _cumulative(np.bincount(item[is_new], minlength=items.height * kinds))
    values = pa.array(ids[is_new], pa.int64())
    starts, counts = starts * kinds, counts * kinds
    return _list_array(_bounds(cuts, starts, counts), values), ragged_offsets(cuts, starts, counts)


def ragged_offsets(cuts: Ints, starts: Ints, counts: Ints) -> pa.Array[Any]:
    """Per row the ``counts + 1`` cuts that bound its parts, relative to the row's first byte or id."""
    sizes = counts + 1
    bounds = _cumulative(sizes)
    within = np.arange(bounds[-1]) - np.repeat(bounds[:-1], sizes)
    relative = cuts[np.repeat(starts, sizes) + within] - np.repeat(cuts[starts], sizes)
    return _list_array(bounds, pa.array(relative.astype(np.uint32)))


def hex16(values: npt.NDArray[np.uint64]) -> pl.Series:
    """Each unsigned integer as 16 lowercase hex digits."""
    digits = values.astype(">u8").tobytes().hex().encode()
    offsets = _buffer(np.arange(0, len(digits) + 1, 16, dtype=np.int64))
    return pl.Series("hex", pl.from_arrow(pa.LargeStringArray.from_buffers(len(values), offsets, pa.py_buffer(digits))))


def instant(column: str) -> pl.Expr:
    """An instant as clients see it: RFC 3339, UTC, microseconds, ``Z``."""
    return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias(column)


def ids(column: str) -> pl.Expr:
    """An id, or a list of ids, as decimal strings."""
    return pl.col(column).cast(pl.String).alias(column)


def id_lists(column: str) -> pl.Expr:
    """A list of ids as a list of decimal strings."""
    return pl.col(column).cast(pl.List(pl.String)).alias(column)


def encoded(*columns: Any) -> pl.Expr:
    """One compact JSON object per row, keys in the order given."""
    return pl.struct(*columns).struct.json_encode()


def _spans(sorted_ids: pl.Series, keys: pl.Series) -> tuple[Ints, Ints]:
    """First item and number of items of each key in ``sorted_ids``."""
    values, wanted = sorted_ids.to_numpy(), keys.to_numpy()
    starts = np.searchsorted(values, wanted, "left").astype(np.int64)
    return starts, np.searchsorted(values, wanted, "right").astype(np.int64) - starts


def _states(counts: Ints, starts: Ints, cold: pl.Series) -> Ints:
    """Index into STATES: empty without items, cold_start when every item is cold, else ready."""
    warm = _cumulative((~cold).cast(pl.Int64).to_numpy())
    has_warm = warm[starts + counts] > warm[starts]
    filled = np.where(has_warm, STATES.index("ready"), STATES.index("cold_start"))
    return np.where(counts == 0, STATES.index("empty"), filled).astype(np.int64)


def _pages(
    keys: pl.Series,
    starts: Ints,
    counts: Ints,
    offsets: Ints,
    data: memoryview,
    states: Ints,
    item_keys: pl.Series,
    envelope: Envelope | None,
) -> tuple[pa.Array[Any], npt.NDArray[np.uint64]]:
    limit = DEFAULT_LIMIT if envelope is not None and envelope.next_cursor is not None else int(counts.max(initial=0))
    shown = np.minimum(counts, limit)
    firsts, ends = offsets[starts].tolist(), offsets[starts + shown].tolist()
    last_keys = item_keys.gather(np.maximum(starts + shown - 1, 0)[counts > limit]).to_list()[::-1]
    pages: list[bytes] = []
    etags = np.zeros(len(keys), dtype=np.uint64)
    for row, (key, first, end, count) in enumerate(zip(keys.to_list(), firsts, ends, counts.tolist(), strict=True)):
        array = b"[" + bytes(data[first : max(end - 1, first)]) + b"]"
        state = STATES[states[row]]
        etags[row] = etag_number(array, state)
        if envelope is None:
            pages.append(b"")
            continue
        cursor = envelope.next_cursor(key, last_keys.pop()) if envelope.next_cursor and count > limit else None
        pages.append(_ZSTD.compress(b'{"data":' + array + envelope.tail(state, cursor), asbytes=True))
    return pa.array(pages, pa.large_binary()), etags


def etag_number(data: bytes, state: str) -> int:
    """``store.payloads.etag_of`` as the number that its 16 hex digits stand for."""
    return int.from_bytes(hashlib.sha256(data + b"\n" + state.encode()).digest()[:8], "big")


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _text_buffers(texts: pl.Series) -> tuple[Ints, memoryview]:
    """Offsets (n + 1) and the bytes of a column of strings, end to end."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    if len(array) == 0:
        return np.zeros(1, dtype=np.int64), memoryview(b"")
    _, offsets, data = array.buffers()
    found = np.frombuffer(memoryview(offsets or b""), dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    base = int(found[0])
    return found - base, memoryview(data or b"").cast("B")[base : int(found[-1])]


def _bounds(cuts: Ints, starts: Ints, counts: Ints) -> Ints:
    """Cuts between rows, when rows follow each other without gaps."""
    return np.append(cuts[starts], cuts[starts[-1] + counts[-1]]) if len(starts) else np.zeros(1, dtype=np.int64)


def _cumulative(sizes: npt.NDArray[Any]) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def _binary(offsets: Ints, data: memoryview) -> pa.Array[Any]:
    buffers = [None, _buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _list_array(offsets: Ints, values: pa.Array[Any]) -> pa.Array[Any]:
    kind = pa.large_list(pa.field("item", values.type, nullable=False))
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, _buffer(offsets)], children=[values])


def _buffer(offsets: Ints) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(offsets).data)
