"""From items to the rows of a dataset: pages, entity tags, the items beyond the page, keys, guards.

Lives here: the layout work, vectorised over flat buffers. Does not belong here: what an item's JSON holds (the
products' files of this folder), how columns become bytes (``encoding``), writing files (``store.datasets``). Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assets.published.encoding import Fragments, Scratch, compressed, cumulative, guard_lists, text_buffers
from assets.published.kernels import Bytes, Longs, lines, relative, wrapped, wrapped_cuts
from store.datasets import DOCUMENTS, LISTS
from store.payloads import DEFAULT_LIMIT
from store.serving import STATES

GUARDS: Final = ("guard_users", "guard_groups", "guard_objects", "guard_circle")
"""Columns of an items frame that hold lists of ids: who may revoke the item (06.1), as ``store.serving.Guards``."""

NO_IDS: Final = pl.lit([], dtype=pl.List(pl.Int64))
ROWS_AT_ONCE: Final = 1_024
SHORT_DOCUMENT: Final = 64
_DATA: Final = np.frombuffer(b'{"data":[', dtype=np.uint8)
_ARRAY: Final = np.frombuffer(b"[", dtype=np.uint8)
_NOTHING: Final = np.zeros(0, dtype=np.uint8)
_NO_CUTS: Final = np.zeros(0, dtype=np.int64)

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
        """Everything after the items, in the order of the API's models."""
        paging = "" if self.next_cursor is None else f'"next_cursor":{_text(cursor)},"prev_cursor":null,'
        return f'],{paging}"state":"{state}","generation":"{self.generation}","as_of":"{self.as_of_text}"}}'.encode()


@dataclass(frozen=True)
class _Lists:
    """The items of each row, in flat buffers: row ``r`` has items ``[starts[r], starts[r] + counts[r])``."""

    keys: pl.Series
    starts: Longs
    counts: Longs
    states: Longs
    fragments: pl.Series
    item_keys: pl.Series


@dataclass(frozen=True)
class _Slice:
    """Some rows in a run, with the bytes of their items: as ``_Lists``, item 0 being the first of the first row."""

    begin: int
    starts: Longs
    counts: Longs
    states: Longs
    data: Bytes
    cuts: Longs


def list_rows(items: pl.DataFrame, viewers: pl.Series, *, envelope: Envelope | None) -> pa.Table:
    """Rows of a dataset of lists (``store.datasets.LISTS``), one per viewer, those without items included.

    ``items``: ``viewer_id`` i64, ``fragment`` str (JSON) or struct (its fields), ``fragment_key`` str, ``is_cold``
    bool (a list of nothing else is a cold start), the :data:`GUARDS`; each viewer's in the order served. Items of
    others than ``viewers`` are left out. ``envelope`` None stores no default page.
    """
    keys = viewers.unique().sort()
    kept = items if items["viewer_id"].is_sorted() else items.sort("viewer_id", maintain_order=True)
    starts, counts = _spans(kept["viewer_id"], keys)
    if counts.sum() != kept.height:
        kept = kept.filter(pl.col("viewer_id").is_in(keys.implode()))
        starts, counts = _spans(kept["viewer_id"], keys)
    states = _states(counts, starts, kept["is_cold"])
    lists = _Lists(keys, starts, counts, states, kept["fragment"], kept["fragment_key"])
    limit = DEFAULT_LIMIT if envelope is not None and envelope.next_cursor is not None else counts.max(initial=0)
    shown = np.minimum(counts, limit if envelope is not None else 0)
    pages, rest, etags, cuts = _bodies(lists, shown, np.minimum(counts, limit), envelope)
    key_cuts, key_data = text_buffers(kept["fragment_key"])
    key_data, key_cuts = lines(key_data, key_cuts)
    guards, guard_offsets = guard_columns(kept, starts, counts)
    return pa.Table.from_arrays(
        [
            pa.array(keys.to_numpy().astype(np.uint64)),
            pa.array(etags),
            pa.array(states.astype(np.uint8)),
            pages,
            pa.array(shown.astype(np.uint32)),
            rest,
            ragged_offsets(cuts, starts, counts),
            binary(_bounds(key_cuts, starts, counts), key_data),
            guards,
            guard_offsets,
        ],
        schema=LISTS,
    )


def item_count(lists: pa.Table) -> int:
    """Number of items of all rows that :func:`list_rows` made."""
    cuts = pc.sum(pc.list_value_length(lists["fragment_offsets"])).as_py()
    return int(cuts or 0) - lists.num_rows


def document_rows(keys: pl.Series, bodies: pl.Series) -> pa.Table:
    """Rows of a dataset of single JSON documents, sorted by key (unique)."""
    frame = pl.DataFrame({"key": keys, "body": bodies})
    frame = frame if frame["key"].is_sorted() else frame.sort("key")
    cuts, data = text_buffers(frame["body"])
    return pa.Table.from_arrays(
        [
            pa.array(frame["key"].to_numpy().astype(np.uint64)),
            pa.array(document_etags(data, cuts)),
            binary(cuts, data),
        ],
        schema=DOCUMENTS,
    )


def document_etags(data: Bytes, cuts: Longs) -> npt.NDArray[np.uint64]:
    """The entity tag of each document as a number. Documents of few words are the same for many: hashed once."""
    view, known = data.data, dict[bytes, int]()
    etags = np.empty(len(cuts) - 1, dtype=np.uint64)
    for row, (begin, end) in enumerate(pairwise(cuts.tolist())):
        document = bytes(view[begin:end])
        if (etag := known.get(document)) is None:
            etag = etag_number(document, "ready")
            if len(document) <= SHORT_DOCUMENT:
                known[document] = etag
        etags[row] = etag
    return etags


def guard_columns(items: pl.DataFrame, starts: Longs, counts: Longs) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The guards of each row's items and where each kind of each item begins."""
    ids, cuts = guard_lists(*items.select(GUARDS).iter_columns())
    starts, counts = starts * len(GUARDS), counts * len(GUARDS)
    return _list_array(_bounds(cuts, starts, counts), pa.array(ids)), ragged_offsets(cuts, starts, counts)


def ragged_offsets(cuts: Longs, starts: Longs, counts: Longs) -> pa.Array[Any]:
    """Per row the ``counts + 1`` cuts that bound its parts, relative to the row's first byte or id."""
    offsets, bounds = relative(cuts, starts, counts)
    return _list_array(bounds, pa.array(offsets))


def etag_number(data: bytes, state: str) -> int:
    """``store.payloads.etag_of`` as the number that its 16 hex digits stand for."""
    return int.from_bytes(hashlib.sha256(data + b"\n" + state.encode()).digest()[:8], "big")


def binary(cuts: Longs, data: Any) -> pa.Array[Any]:
    """A column of bytes from their end-to-end buffer and the cuts."""
    return pa.Array.from_buffers(pa.large_binary(), len(cuts) - 1, [None, _buffer(cuts), pa.py_buffer(data)])


def _spans(sorted_ids: pl.Series, keys: pl.Series) -> tuple[Longs, Longs]:
    """First item and number of items of each key in ``sorted_ids``."""
    values, wanted = sorted_ids.to_numpy(), keys.to_numpy()
    starts = np.searchsorted(values, wanted, "left").astype(np.int64)
    return starts, np.searchsorted(values, wanted, "right").astype(np.int64) - starts


def _states(counts: Longs, starts: Longs, cold: pl.Series) -> Longs:
    """Index into STATES: empty without items, cold_start when every item is cold, else ready."""
    warm = cumulative((~cold).cast(pl.Int64).to_numpy())
    has_warm = warm[starts + counts] > warm[starts]
    filled = np.where(has_warm, STATES.index("ready"), STATES.index("cold_start"))
    return np.where(counts == 0, STATES.index("empty"), filled).astype(np.int64)


def _bodies(
    lists: _Lists, shown: Longs, tagged: Longs, envelope: Envelope | None
) -> tuple[pa.Array[Any], pa.Array[Any], npt.NDArray[np.uint64], Longs]:
    """Default pages, the items beyond them, entity tags over the first ``tagged`` items, and the cuts of all items.

    A few thousand rows at a time: what is copied about stays in the processor's caches. Cuts count a comma per item.
    """
    pages, rest, sizes, etags = _Frames(), _Frames(), [], [np.zeros(0, dtype=np.uint64)]
    scratch = Scratch()
    for part in _slices(lists):
        rows = slice(part.begin, part.begin + len(part.starts))
        stop = part.starts + shown[rows]
        etags.append(_etags(part, tagged[rows], scratch))
        if envelope is not None:
            pages.add(*_laid(part, part.starts, stop, _DATA, *_tails(lists, part, envelope), scratch))
        else:
            pages.add(_NOTHING, np.zeros(len(part.starts) + 1, dtype=np.int64))
        rest.add(*_laid(part, stop, part.starts + part.counts, _NOTHING, [b""], np.zeros_like(stop), scratch))
        sizes.append(np.diff(part.cuts) + 1)
    return pages.array(), rest.array(), np.concatenate(etags), cumulative(np.concatenate([_NO_CUTS, *sizes]))


def _slices(lists: _Lists) -> Iterator[_Slice]:
    fragments = Fragments(lists.fragments)
    for begin in range(0, len(lists.keys), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        starts, counts = lists.starts[rows], lists.counts[rows]
        first = int(starts[0])
        data, cuts = fragments.rows(first, int(starts[-1] + counts[-1]) - first)
        yield _Slice(begin, starts - first, counts, lists.states[rows], data, cuts)


class _Frames:
    """A column of zstd frames, filled some rows at a time."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._sizes: list[Longs] = [np.zeros(0, dtype=np.int64)]

    def add(self, data: Bytes, cuts: Longs) -> None:
        frames, frame_cuts = compressed(data, cuts)
        self._data += frames
        self._sizes.append(np.diff(frame_cuts))

    def array(self) -> pa.Array[Any]:
        return binary(cumulative(np.concatenate(self._sizes)), self._data)


def _laid(
    part: _Slice, first: Longs, stop: Longs, head: Bytes, tails: list[bytes], which: Longs, scratch: Scratch
) -> tuple[Bytes, Longs]:
    """Bytes of the rows end to end, there until the scratch is used again, and the cuts."""
    joined = np.frombuffer(b"".join(tails), dtype=np.uint8)
    tail_cuts = cumulative([len(tail) for tail in tails])
    out_cuts = wrapped_cuts(part.cuts, first, stop, head, tail_cuts, which)
    out = scratch.of(int(out_cuts[-1]))
    wrapped(out, out_cuts, part.data, part.cuts, first, stop, head, joined, tail_cuts, which)
    return out[: out_cuts[-1]], out_cuts


def _tails(lists: _Lists, part: _Slice, envelope: Envelope) -> tuple[list[bytes], Longs]:
    """The ends of pages, and which is each row's: one per state, and one per row that has a cursor."""
    tails, which = [envelope.tail(state, None) for state in STATES], part.states.copy()
    if envelope.next_cursor is not None:
        long = np.flatnonzero(part.counts > DEFAULT_LIMIT)
        at = part.begin + long
        users, last = lists.keys.gather(at), lists.item_keys.gather(lists.starts[at] + DEFAULT_LIMIT - 1)
        for state, user, key in zip(part.states[long].tolist(), users, last, strict=True):
            tails.append(envelope.tail(STATES[state], envelope.next_cursor(user, key)))
        which[long] = np.arange(len(STATES), len(tails))
    return tails, which


def _etags(part: _Slice, tagged: Longs, scratch: Scratch) -> npt.NDArray[np.uint64]:
    """The numbers of ``store.payloads.etag_of`` over the first ``tagged`` items of each row."""
    ends = [b"]\n" + state.encode() for state in STATES]
    data, cuts = _laid(part, part.starts, part.starts + tagged, _ARRAY, ends, part.states, scratch)
    view, sha256 = data.data, hashlib.sha256
    digests = b"".join([sha256(view[a:b]).digest() for a, b in pairwise(cuts.tolist())])
    return np.frombuffer(digests, dtype=">u8")[::4].astype(np.uint64)


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _bounds(cuts: Longs, starts: Longs, counts: Longs) -> Longs:
    """Cuts between rows, when rows follow each other without gaps."""
    return np.append(cuts[starts], cuts[starts[-1] + counts[-1]]) if len(starts) else np.zeros(1, dtype=np.int64)


def _list_array(offsets: Longs, values: pa.Array[Any]) -> pa.Array[Any]:
    kind = pa.large_list(pa.field("item", values.type, nullable=False))
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, _buffer(offsets)], children=[values])


def _buffer(offsets: Longs) -> pa.Buffer:
    return pa.py_buffer(np.ascontiguousarray(offsets).data)
