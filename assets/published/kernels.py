"""The hot loops of the published stage, compiled: JSON text, pages, guards (spec 06.1, law 8).

Lives here: numba kernels over flat buffers, one row after another. Does not belong here: which columns an item
has, frames, hashing, compression.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.compiled import kernel, part
from assets.published.guard_kernels import once

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]

NUMBER, ID, IDS, TEXT, CHOICE, INSTANT = range(6)
"""How a value is written: ``12``, ``"12"``, ``["12","13"]``, ``"twelve"``, one of some texts, an RFC 3339 instant."""

STRIDE: Final = 32
"""Short texts are copied so many bytes at a time: their buffer must be readable so far beyond their end."""

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")
_NEWLINE: Final = ord("\n")
_BAR: Final = ord("|")
_ZERO: Final = ord("0")
_DAY: Final = 86_400_000_000
_WIDEST_NUMBER: Final = 22
_WIDEST_TEXT_BYTE: Final = 6
_WIDEST_INSTANT: Final = 29
_INSTANT: Final = np.frombuffer(b"0000-00-00T00:00:00.000000Z", dtype=np.uint8)
FIRST_INSTANT: Final = -62_167_219_200_000_000
AFTER_LAST_INSTANT: Final = 253_402_300_800_000_000
"""Microseconds since 1970 of the years 0 to 9999, which four digits can write."""
_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_PAIRS: Final = np.frombuffer("".join(f"{pair:02}" for pair in range(100)).encode(), dtype=np.uint8)
_TENS: Final = np.array([10**power for power in range(1, 20)], dtype=np.uint64)
_SHORT: Final = np.zeros(32, dtype=np.uint8)
_SHORT[[8, 9, 10, 12, 13]] = np.frombuffer(b"btnfr", dtype=np.uint8)


@part
def _put(out: Bytes, at: int, data: Bytes, start: int, stop: int) -> int:
    # Unsigned: an index that might be negative is checked byte by byte, and a copy is not vectorised.
    to, since = np.uint64(at), np.uint64(start)
    for i in range(np.uint64(stop - start)):
        out[to + i] = data[since + i]
    return at + stop - start


@part
def _put_short(out: Bytes, at: int, data: Bytes, start: int, stop: int) -> int:
    """As ``_put``, in whole strides: what is written beyond the end is written over next."""
    to, since = np.uint64(at), np.uint64(start)
    for _ in range(np.uint64(stop - start + STRIDE - 1) // np.uint64(STRIDE)):
        for i in range(np.uint64(STRIDE)):
            out[to + i] = data[since + i]
        to += np.uint64(STRIDE)
        since += np.uint64(STRIDE)
    return at + stop - start


@part
def _put_number(out: Bytes, at: int, value: int) -> int:
    rest = np.uint64(value)
    if value < 0:
        out[at] = 45
        at += 1
        rest = np.uint64(-(value + 1)) + np.uint64(1)
    width = 1
    while width < 20 and rest >= _TENS[width - 1]:
        width += 1
    to = at + width
    while rest >= np.uint64(100):
        pair = rest % np.uint64(100)
        rest //= np.uint64(100)
        to -= 2
        out[to] = _PAIRS[2 * pair]
        out[to + 1] = _PAIRS[2 * pair + np.uint64(1)]
    if rest >= np.uint64(10):
        out[at] = _PAIRS[2 * rest]
        out[at + 1] = _PAIRS[2 * rest + np.uint64(1)]
    else:
        out[at] = _ZERO + rest
    return at + width


@part
def _put_two(out: Bytes, at: int, value: int) -> None:
    """Two digits."""
    out[at] = _PAIRS[np.uint64(2 * value)]
    out[at + 1] = _PAIRS[np.uint64(2 * value + 1)]


@part
def _put_instant(out: Bytes, at: int, micros: int) -> int:
    """Proleptic Gregorian date of a count of days: Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2014.

    From :data:`FIRST_INSTANT` on, before :data:`AFTER_LAST_INSTANT`.
    """
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
    seconds, micro = rest // 1_000_000, rest % 1_000_000
    for i in range(_INSTANT.size):
        out[at + i] = _INSTANT[i]
    _put_two(out, at, year // 100)
    _put_two(out, at + 2, year % 100)
    _put_two(out, at + 5, month)
    _put_two(out, at + 8, day)
    _put_two(out, at + 11, seconds // 3_600)
    _put_two(out, at + 14, seconds // 60 % 60)
    _put_two(out, at + 17, seconds % 60)
    _put_two(out, at + 20, micro // 10_000)
    _put_two(out, at + 22, micro // 100 % 100)
    _put_two(out, at + 24, micro % 100)
    return at + _INSTANT.size


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


@part
def is_plain(texts: Bytes) -> bool:
    """Whether no byte of JSON text has to be escaped."""
    found = False
    for byte in texts:
        found |= byte < 32 or byte in (_QUOTE, _BACKSLASH)
    return not found


@kernel
def json_bound(heads: Bytes, text_cuts: Longs, id_cuts: Longs, rows: int, fields: int) -> int:
    """No fewer bytes than :func:`json_rows` writes; ``rows`` as there."""
    bound = rows * (heads.size + fields * (_WIDEST_INSTANT + 1 + STRIDE) + 1) + STRIDE
    for slot in range(text_cuts.shape[0]):
        bound += _WIDEST_TEXT_BYTE * (text_cuts[slot, rows] - text_cuts[slot, 0])
    for slot in range(id_cuts.shape[0]):
        bound += (_WIDEST_NUMBER + 1) * (id_cuts[slot, rows] - id_cuts[slot, 0])
    return bound


@kernel
def json_rows(
    out: Bytes,
    rows: int,
    heads: Bytes,
    head_cuts: Longs,
    kinds: Longs,
    slots: Longs,
    present: Flags,
    numbers: Longs,
    choices: Bytes,
    choice_cuts: Longs,
    texts: Bytes,
    text_cuts: Longs,
    ids: Longs,
    id_cuts: Longs,
) -> Longs:
    """One compact JSON object per row, end to end into ``out``; returns the ``rows + 1`` cuts between them.

    Per field: what precedes its value (``heads`` between ``head_cuts``, the quote of a text included), its kind, its
    slot, where it is not null (``present[field, row]``). Slots: rows of ``numbers`` (numbers, ids, microseconds, places
    in ``choice_cuts``), of ``text_cuts`` (into ``texts``) or of ``id_cuts`` (into ``ids``), by kind. ``heads`` and
    ``choices`` are padded by :data:`STRIDE`.
    """
    cuts, plain, at = np.zeros(rows + 1, dtype=np.int64), is_plain(texts), 0
    for row in range(rows):
        for field in range(kinds.size):
            kind, slot = kinds[field], slots[field]
            at = _put_short(out, at, heads, head_cuts[field], head_cuts[field + 1])
            if not present[field, row]:
                at -= 1 if out[at - 1] == _QUOTE else 0
                out[at], out[at + 1], out[at + 2], out[at + 3] = 110, 117, 108, 108
                at += 4
            elif kind == NUMBER:
                at = _put_number(out, at, numbers[slot, row])
            elif kind == CHOICE:
                choice = numbers[slot, row]
                at = _put_short(out, at, choices, choice_cuts[choice], choice_cuts[choice + 1])
            elif kind == IDS:
                out[at] = 91
                at += 1
                for i in range(id_cuts[slot, row], id_cuts[slot, row + 1]):
                    out[at] = _QUOTE
                    at = _put_number(out, at + 1, ids[i])
                    out[at], out[at + 1] = _QUOTE, _COMMA
                    at += 2
                at -= 1 if id_cuts[slot, row + 1] > id_cuts[slot, row] else 0
                out[at] = 93
                at += 1
            else:
                if kind == ID:
                    at = _put_number(out, at, numbers[slot, row])
                elif kind == INSTANT:
                    at = _put_instant(out, at, numbers[slot, row])
                elif plain:
                    at = _put(out, at, texts, text_cuts[slot, row], text_cuts[slot, row + 1])
                else:
                    at = _put_escaped(out, at, texts, text_cuts[slot, row], text_cuts[slot, row + 1])
                out[at] = _QUOTE
                at += 1
        out[at] = 125
        at += 1
        cuts[row + 1] = at
    return cuts


@kernel
def wrapped_cuts(cuts: Longs, first: Longs, stop: Longs, head: Bytes, tail_cuts: Longs, tail_of: Longs) -> Longs:
    """The cuts between the rows that :func:`wrapped` writes."""
    out_cuts = np.zeros(first.size + 1, dtype=np.int64)
    for row in range(first.size):
        tail = tail_of[row]
        size = cuts[stop[row]] - cuts[first[row]] + max(stop[row] - first[row] - 1, 0)
        out_cuts[row + 1] = out_cuts[row] + head.size + size + tail_cuts[tail + 1] - tail_cuts[tail]
    return out_cuts


@kernel
def wrapped(
    out: Bytes,
    out_cuts: Longs,
    data: Bytes,
    cuts: Longs,
    first: Longs,
    stop: Longs,
    head: Bytes,
    tails: Bytes,
    tail_cuts: Longs,
    tail_of: Longs,
) -> None:
    """Write each row between its ``out_cuts``: ``head``, the items ``[first, stop)`` between commas, its tail."""
    for row in range(first.size):
        at = _put(out, out_cuts[row], head, 0, head.size)
        for item in range(first[row], stop[row]):
            if item > first[row]:
                out[at] = _COMMA
                at += 1
            at = _put(out, at, data, cuts[item], cuts[item + 1])
        _put(out, at, tails, tail_cuts[tail_of[row]], tail_cuts[tail_of[row] + 1])


@kernel
def lines(out: Bytes, texts: Bytes, cuts: Longs) -> None:
    """Write each text and the end of its line."""
    at = 0
    for row in range(cuts.size - 1):
        at = _put(out, at, texts, cuts[row], cuts[row + 1])
        out[at] = _NEWLINE
        at += 1


@kernel
def relative(out: NDArray[np.uint32], cuts: Longs, starts: Longs, counts: Longs) -> None:
    """Write per row the ``counts + 1`` cuts that bound its parts, relative to its first."""
    at = 0
    for row in range(starts.size):
        first = cuts[starts[row]]
        for part_ in range(starts[row], starts[row] + counts[row] + 1):
            out[at] = cuts[part_] - first
            at += 1


@kernel
def interleaved(out: Longs, ids: tuple[Longs, ...], cuts: tuple[Longs, ...], present: tuple[Flags, ...]) -> Longs:
    """Write per row, list after list, its ids that are ``present``, ascending and once; the ``rows × lists + 1`` cuts.

    ``ids[list]`` between ``cuts[list]`` per row; an empty ``present[list]`` tells that all are.
    """
    rows, at = cuts[0].size - 1, 0
    out_cuts = np.zeros(rows * len(ids) + 1, dtype=np.int64)
    for row in range(rows):
        for kind in range(len(ids)):
            begin, is_sorted = at, True
            for i in range(cuts[kind][row], cuts[kind][row + 1]):
                if present[kind].size == 0 or present[kind][i]:
                    out[at] = ids[kind][i]
                    is_sorted &= at == begin or out[at] > out[at - 1]
                    at += 1
            if not is_sorted:
                at = once(out, begin, at)
            out_cuts[row * len(ids) + kind + 1] = at
    return out_cuts


@part
def _put_hex(out: Bytes, at: int, value: np.uint64, digits: int) -> int:
    """The last so many hex digits."""
    rest = np.uint64(value)
    for to in range(at + digits - 1, at - 1, -1):
        out[to] = _HEX[rest & np.uint64(15)]
        rest >>= np.uint64(4)
    return at + digits


ITEM_ID_BYTES: Final = 16
RANKED_KEY_BYTES: Final = 48
CHRONOLOGICAL_KEY_BYTES: Final = 32
_AFTER_LAST_MICROS: Final = 1 << 59
_BEYOND_SCORES: Final = 1 << 62
_SUGGESTED: Final = np.uint64(1 << 63)


@kernel
def ranked_keys(out: Bytes, suggested: Flags, scores: Longs, micros: Longs, item_ids: Bytes) -> None:
    """Write each item's key (``store.payloads.ranked_sort_key``) end to end; ``item_ids`` has a row of bytes each."""
    at = 0
    for row in range(scores.size):
        by_score = np.uint64(_BEYOND_SCORES - scores[row]) | (_SUGGESTED if suggested[row] else np.uint64(0))
        at = _put_hex(out, at, by_score, 16)
        at = _put_hex(out, at, np.uint64(_AFTER_LAST_MICROS - micros[row]), 15)
        out[at] = _BAR
        at += 1
        for i in range(ITEM_ID_BYTES):
            out[at + i] = item_ids[row, i]
        at += ITEM_ID_BYTES


@kernel
def chronological_keys(out: Bytes, micros: Longs, leads: Longs) -> None:
    """Write each item's key (``store.payloads.chronological_sort_key``) end to end."""
    at = 0
    for row in range(micros.size):
        at = _put_hex(out, at, np.uint64(_AFTER_LAST_MICROS - micros[row]), 15)
        out[at] = _BAR
        at = _put_hex(out, at + 1, np.uint64(leads[row]), 16)


@kernel
def is_sorted(first: Longs, second: Longs) -> bool:
    """Whether the pairs ascend."""
    for i in range(1, first.size):
        if first[i] < first[i - 1] or (first[i] == first[i - 1] and second[i] < second[i - 1]):
            return False
    return True
