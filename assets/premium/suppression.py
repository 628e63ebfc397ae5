"""k-anonymity of published tables (rules 26 and 27): small plans and countries merged, small cells withheld.

Merging is static over a run, so that rows chain over time. Not here: what the rows count.
"""

from __future__ import annotations

import polars as pl

OTHER = "other"


def merge_small(
    members: pl.DataFrame, k: int, holdings: pl.DataFrame | None = None, dominance_percent: int = 100
) -> pl.DataFrame:
    """Rule 26: per ``scope``, what each ``code`` is ``shown_as``: itself, ``other``, or null (withheld).

    ``members`` holds ``scope, code, user_id`` of everybody who ever belonged; ``holdings`` adds ``arr_minor`` per user.
    """
    members = members.unique()
    shown: list[tuple[str, str, str | None]] = []
    for (scope,), group in members.partition_by("scope", as_dict=True, include_key=False).items():
        held = None if holdings is None else holdings.filter(pl.col("scope") == scope)
        merged, is_withheld = _small_codes(group, k, held, dominance_percent)
        for code in sorted(group["code"].unique().to_list()):
            in_other = None if is_withheld else OTHER
            shown.append((str(scope), code, in_other if code in merged else code))
    schema = {"scope": pl.String, "code": pl.String, "shown_as": pl.String}
    return pl.DataFrame(shown, schema=schema, orient="row").sort("scope", "code")


def _small_codes(
    members: pl.DataFrame, k: int, held: pl.DataFrame | None, dominance_percent: int
) -> tuple[set[str], bool]:
    """The codes that become ``other``, and whether even all of them together are too small."""
    sizes = members.group_by("code").agg(pl.col("user_id").n_unique().alias("n")).sort("n", "code")

    def is_small(codes: set[str]) -> bool:
        users = members.filter(pl.col("code").is_in(codes))["user_id"].n_unique()
        return users < k or (held is not None and _is_dominated(held, codes, dominance_percent))

    merged = {code for code in sizes["code"].to_list() if is_small({code})}
    others = [code for code in sizes["code"].to_list() if code not in merged]
    while merged and is_small(merged) and others:
        merged.add(others.pop(0))
    return merged, bool(merged) and is_small(merged)


def _is_dominated(held: pl.DataFrame, codes: set[str], dominance_percent: int) -> bool:
    """One user holds more than so many percent of the ARR."""
    per_user = held.filter(pl.col("code").is_in(codes)).group_by("user_id").agg(pl.col("arr_minor").sum())["arr_minor"]
    amounts: list[int] = per_user.to_list()
    return max(amounts, default=0) * 100 > dominance_percent * sum(amounts)


def withhold(rows: pl.DataFrame, within: list[str], size: str, order: list[str], k: int) -> pl.DataFrame:
    """Rule 27: without the rows under ``k`` and, where there are any, the smallest others until ``k`` are withheld."""
    if rows.is_empty():
        return rows
    return rows.filter(~withheld(within, size, order, k))


def withheld(within: list[str], size: str, order: list[str], k: int) -> pl.Expr:
    """True on the rows that must not be shown: smallest first, as long as those before do not make ``k``."""
    by = [size, *order]
    taken_before = (pl.col(size).cum_sum() - pl.col(size)).over(within, order_by=by)
    has_small = (pl.col(size) < k).any().over(within)
    return (pl.col(size) < k) | (has_small & (taken_before < k))


def merged_cells(rows: pl.DataFrame, within: list[str], cell: str, size: str, k: int) -> pl.DataFrame:
    """Rule 27: cells under ``k`` (and the smallest others) become ``cell`` 0; withheld if that is still under ``k``."""
    if rows.is_empty():
        return rows
    small = withheld(within, size, [cell], k)
    return (
        rows.with_columns(pl.when(small).then(pl.lit(0, pl.Int64)).otherwise(pl.col(cell)).alias(cell))
        .group_by(*within, cell)
        .agg(pl.col(size).sum())
        .filter((pl.col(cell) != 0) | (pl.col(size) >= k))
    )
