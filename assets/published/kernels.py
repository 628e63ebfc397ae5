"""The hot loops of the published stage, compiled: JSON text, pages, guards (spec 06.1, law 8).

Lives here: numba kernels over flat buffers, one row after another. Does not belong here: which columns an item
has, frames, hashing, compression.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.feed.kernels import kernel

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]

NUMBER, ID, IDS, TEXT, BOOL, INSTANT = range(6)
"""How a value is written: ``12``, ``"12"``, ``["12","13"]``, ``"twelve"``, ``true``, an RFC 3339 instant."""

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")
_ZERO: Final = ord("0")
_DAY: Final = 86_400_000_000
_WIDEST_NUMBER: Final = 22
_WIDEST_TEXT_BYTE: Final = 6
_WIDEST_INSTANT: Final = 29
_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_SHORT: Final = np.zeros(32, dtype=np.uint8)
_SHORT[[8, 9, 10, 12, 13]] = np.frombuffer(b"btnfr", dtype=np.uint8)
_NULL: Final = np.frombuffer(b"null", dtype=np.uint8)
_TRUE: Final = np.frombuffer(b"true", dtype=np.uint8)
_FALSE: Final = np.frombuffer(b"false", dtype=np.uint8)


@kernel
def _put(out: Bytes, at: int, data: Bytes, start: int, stop: int) -> int:
    # Unsigned: an index that might be negative is checked byte by byte, and a copy is not vectorised.
    to, since = np.uint64(at), np.uint64(start)
    for i in range(np.uint64(stop - start)):
        out[to + i] = data[since + i]
    return at + stop - start


@kernel
def _put_number(out: Bytes, at: int, value: int) -> int:
    rest = np.uint64(value)
    if value < 0:
        out[at] = 45
        at += 1
        rest = np.uint64(-(value + 1)) + np.uint64(1)
    width, left = 1, rest
    while left >= np.uint64(10):
        left //= np.uint64(10)
        width += 1
    for i in range(at + width - 1, at - 1, -1):
        out[i] = _ZERO + rest % np.uint64(10)
        rest //= np.uint64(10)
    return at + width


@kernel
def _put_padded(out: Bytes, at: int, value: int, width: int) -> int:
    for i in range(at + width - 1, at - 1, -1):
        out[i] = _ZERO + value % 10
        value //= 10
    return at + width


@kernel
def _put_instant(out: Bytes, at: int, micros: int) -> int:
    """Proleptic Gregorian date of a count of days: Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2014."""
    days, rest = micros // _DAY, micros % _DAY
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * of_year + 2) // 153
    day = of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    seconds = rest // 1_000_000
    at = _put_padded(out, at, year, 4)
    out[at] = 45
    at = _put_padded(out, at + 1, month, 2)
    out[at] = 45
    at = _put_padded(out, at + 1, day, 2)
    out[at] = 84
    at = _put_padded(out, at + 1, seconds // 3_600, 2)
    out[at] = 58
    at = _put_padded(out, at + 1, seconds // 60 % 60, 2)
    out[at] = 58
    at = _put_padded(out, at + 1, seconds % 60, 2)
    out[at] = 46
    at = _put_padded(out, at + 1, rest % 1_000_000, 6)
    out[at] = 90
    return at + 1


@kernel
def _put_escaped(out: Bytes, at: int, data: Bytes, start: int, stop: int) -> int:
    for i in range(start, stop):
        byte = data[i]
        if byte in (_QUOTE, _BACKSLASH):
            out[at] = _BACKSLASH
            out[at + 1] = byte
            at += 2
        elif byte >= 32:
            out[at] = byte
            at += 1
        elif _SHORT[byte] != 0:
            out[at] = _BACKSLASH
            out[at + 1] = _SHORT[byte]
            at += 2
        else:
            out[at] = _BACKSLASH
            out[at + 1] = 117
            out[at + 2] = _ZERO
            out[at + 3] = _ZERO
            out[at + 4] = _HEX[byte >> 4]
            out[at + 5] = _HEX[byte & 15]
            at += 6
    return at


@kernel
def json_rows(
    names: Bytes,
    name_cuts: Longs,
    kinds: Longs,
    slots: Longs,
    present: Flags,
    numbers: Longs,
    texts: Bytes,
    text_cuts: Longs,
    ids: Longs,
    id_cuts: Longs,
) -> tuple[Bytes, Longs]:
    """One compact JSON object per row; their bytes end to end and the ``rows + 1`` cuts between them.

    Per field: what precedes its value (``names`` between ``name_cuts``), its kind, its slot, where it is not null
    (``present[field, row]``). Slots: rows of ``numbers`` (numbers, ids, bools, microseconds), of ``text_cuts``
    (into ``texts``) or of ``id_cuts`` (into ``ids``), by kind.
    """
    fields, rows = present.shape
    cuts = np.zeros(rows + 1, dtype=np.int64)
    bound = rows * (names.size + fields * (_WIDEST_INSTANT + 1) + 1)
    for slot in range(text_cuts.shape[0]):
        bound += _WIDEST_TEXT_BYTE * (text_cuts[slot, rows] - text_cuts[slot, 0])
    for slot in range(id_cuts.shape[0]):
        bound += (_WIDEST_NUMBER + 1) * (id_cuts[slot, rows] - id_cuts[slot, 0])
    out, at = np.empty(bound, dtype=np.uint8), 0  # what is never written costs no memory
    for row in range(rows):
        for field in range(fields):
            kind, slot = kinds[field], slots[field]
            at = _put(out, at, names, name_cuts[field], name_cuts[field + 1])
            if not present[field, row]:
                at = _put(out, at, _NULL, 0, 4)
            elif kind == NUMBER:
                at = _put_number(out, at, numbers[slot, row])
            elif kind == BOOL:
                at = _put(out, at, _TRUE, 0, 4) if numbers[slot, row] else _put(out, at, _FALSE, 0, 5)
            elif kind == IDS:
                out[at] = 91
                at += 1
                for i in range(id_cuts[slot, row], id_cuts[slot, row + 1]):
                    if i > id_cuts[slot, row]:
                        out[at] = _COMMA
                        at += 1
                    out[at] = _QUOTE
                    at = _put_number(out, at + 1, ids[i])
                    out[at] = _QUOTE
                    at += 1
                out[at] = 93
                at += 1
            else:
                out[at] = _QUOTE
                if kind == ID:
                    at = _put_number(out, at + 1, numbers[slot, row])
                elif kind == INSTANT:
                    at = _put_instant(out, at + 1, numbers[slot, row])
                else:
                    at = _put_escaped(out, at + 1, texts, text_cuts[slot, row], text_cuts[slot, row + 1])
                out[at] = _QUOTE
                at += 1
        out[at] = 125
        at += 1
        cuts[row + 1] = at
    return out[:at], cuts


@kernel
def wrapped(
    data: Bytes,
    cuts: Longs,
    first: Longs,
    stop: Longs,
    head: Bytes,
    tails: Bytes,
    tail_cuts: Longs,
    tail_of: Longs,
) -> tuple[Bytes, Longs]:
    """Per row ``head``, the items ``[first, stop)`` between commas, and its tail; bytes end to end and the cuts."""
    rows = first.size
    out_cuts = np.zeros(rows + 1, dtype=np.int64)
    for row in range(rows):
        count, tail = stop[row] - first[row], tail_of[row]
        size = cuts[stop[row]] - cuts[first[row]] + max(count - 1, 0)
        out_cuts[row + 1] = out_cuts[row] + head.size + size + tail_cuts[tail + 1] - tail_cuts[tail]
    out = np.empty(out_cuts[rows], dtype=np.uint8)
    for row in range(rows):
        at = _put(out, out_cuts[row], head, 0, head.size)
        for item in range(first[row], stop[row]):
            if item > first[row]:
                out[at] = _COMMA
                at += 1
            at = _put(out, at, data, cuts[item], cuts[item + 1])
        _put(out, at, tails, tail_cuts[tail_of[row]], tail_cuts[tail_of[row] + 1])
    return out, out_cuts


@kernel
def _sort(values: Longs, begin: int, end: int) -> None:
    if end - begin > 32:
        values[begin:end].sort()
        return
    for i in range(begin + 1, end):
        value, at = values[i], i
        while at > begin and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@kernel
def distinct(ids: Longs, cuts: Longs, present: Flags) -> tuple[Longs, Longs]:
    """Each row's present ids, sorted and once; end to end, and the cuts between rows."""
    rows = cuts.size - 1
    out, out_cuts = np.empty(ids.size, dtype=np.int64), np.zeros(rows + 1, dtype=np.int64)
    end = 0
    for row in range(rows):
        begin = end
        for i in range(cuts[row], cuts[row + 1]):
            if present[i]:
                out[end] = ids[i]
                end += 1
        _sort(out, begin, end)
        last = begin
        for i in range(begin, end):
            if i == begin or out[i] != out[last - 1]:
                out[last] = out[i]
                last += 1
        end = last
        out_cuts[row + 1] = end
    return out[:end], out_cuts


@kernel
def together(numbers: Longs, ids: Longs, id_cuts: Longs) -> tuple[Longs, Longs]:
    """Per row the numbers of every slot and the ids of every list, end to end, and the cuts between rows.

    ``numbers[slot, row]``; ``id_cuts[list, row]`` into ``ids``.
    """
    rows = id_cuts.shape[1] - 1
    cuts = np.zeros(rows + 1, dtype=np.int64)
    for row in range(rows):
        cuts[row + 1] = cuts[row] + numbers.shape[0]
        for each in range(id_cuts.shape[0]):
            cuts[row + 1] += id_cuts[each, row + 1] - id_cuts[each, row]
    out, at = np.empty(cuts[rows], dtype=np.int64), 0
    for row in range(rows):
        for slot in range(numbers.shape[0]):
            out[at] = numbers[slot, row]
            at += 1
        for each in range(id_cuts.shape[0]):
            for i in range(id_cuts[each, row], id_cuts[each, row + 1]):
                out[at] = ids[i]
                at += 1
    return out, cuts
