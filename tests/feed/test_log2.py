"""Exact logarithms (spec 03.3)."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.feed.log2 import diversity_micro_bits, diversity_table, floor_log2_micro, micro_bits, micro_bits_table


@pytest.mark.parametrize("m", [1, 2, 3, 5, 7, 10, 21])
def test_l_is_the_exact_floor_by_big_integers(m: int) -> None:
    largest = (m**1_000_000).bit_length() - 1
    assert floor_log2_micro(m) == largest


@given(st.integers(0, 62))
def test_powers_of_two_give_multiples_of_a_million(exponent: int) -> None:
    assert micro_bits((1 << exponent) - 1) == exponent * 1_000_000


@given(st.integers(0, 10**12))
def test_l_never_falls(n: int) -> None:
    assert micro_bits(n) <= micro_bits(n + 1)


@given(st.integers(1, 10**9))
def test_doubling_adds_exactly_one_bit(m: int) -> None:
    assert floor_log2_micro(2 * m) == floor_log2_micro(m) + 1_000_000


def test_diversity_has_the_published_values_and_stays_below_two_bits() -> None:
    assert diversity_table(4).to_list() == [0, -678072, -1192646, -1540569]
    assert all(-2_000_000 <= diversity_micro_bits(i + 1) <= diversity_micro_bits(i) for i in range(60))


def test_the_table_holds_each_value_once() -> None:
    table = micro_bits_table(pl.Series("n", [3, 0, 3, 1]), name="l")
    assert table.rows() == [(0, 0), (1, 1_000_000), (3, 2_000_000)]


def test_the_logarithm_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        floor_log2_micro(0)
