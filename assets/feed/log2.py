"""Exact base-2 logarithms in micro-bits (spec 03.3): integers only, so every engine gets the same bits.

Lives here: ``L(n)`` and the tables of it that are joined to frames. Does not belong here: what the
logarithms are taken of.
"""

from __future__ import annotations

from functools import lru_cache

import polars as pl

MICRO = 1_000_000
"""Micro-bits in a bit."""


@lru_cache(maxsize=65_536)
def floor_log2_micro(m: int) -> int:
    """``floor(10**6 * log2(m))`` for ``m >= 1``, exact.

    Raises ``ValueError`` when ``m < 1``.
    """
    if m < 1:
        raise ValueError(f"log2 of {m}: must be at least 1")
    whole = m.bit_length() - 1
    if m == 1 << whole:
        return whole * MICRO
    bits = 32
    while True:
        low = _fraction(m, whole, bits, ceil=False) * MICRO >> bits
        high = (_fraction(m, whole, bits, ceil=True) + 1) * MICRO >> bits
        if low == high:
            return whole * MICRO + low
        bits *= 2


def _fraction(m: int, whole: int, bits: int, *, ceil: bool) -> int:
    """``bits`` binary digits of ``log2(m / 2**whole)`` by repeated squaring, rounded down (or up) at each step."""
    precision = 2 * bits + m.bit_length()
    carry = (1 << precision) - 1 if ceil else 0
    mantissa = m << (precision - whole)
    digits = 0
    for _ in range(bits):
        mantissa = (mantissa * mantissa + carry) >> precision
        digits <<= 1
        if mantissa >> (precision + 1):
            digits |= 1
            mantissa = (mantissa + (1 if ceil else 0)) >> 1
    return digits


def micro_bits(n: int) -> int:
    """``L(n) = floor(10**6 * log2(1 + n))`` for ``n >= 0``."""
    return floor_log2_micro(n + 1)


def diversity_micro_bits(rank: int) -> int:
    """``floor(10**6 * log2(0.75 * 0.5**rank + 0.25))``: 0, -678072, -1192646 and so on."""
    return floor_log2_micro(3 + (1 << rank)) - (rank + 2) * MICRO


def micro_bits_table(values: pl.Series, *, name: str) -> pl.DataFrame:
    """A frame ``(<values' name>, <name>)`` of the distinct values and their ``L``, to be joined."""
    distinct = values.unique().sort()
    logs = pl.Series(name, [micro_bits(n) for n in distinct.to_list()], dtype=pl.Int64)
    return pl.DataFrame([distinct, logs])


def diversity_table(ranks: int) -> pl.Series:
    """``k_diversity`` of the ranks ``0 … ranks - 1``, to be gathered by rank."""
    return pl.Series("k_diversity", [diversity_micro_bits(i) for i in range(ranks)], dtype=pl.Int64)
