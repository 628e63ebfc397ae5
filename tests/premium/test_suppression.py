"""Rules 26 and 27: no group under k is published, and none can be computed from what is."""

from __future__ import annotations

import math
from datetime import date, timedelta

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from assets.premium.cohorts import wilson
from assets.premium.suppression import merge_small, merged_cells, withhold
from store.settings import PremiumSettings
from tests.support.premium import Row, World, at, compute, event, meter, plan, user, version

SIZES = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9), min_size=1)


def groups(sizes: dict[str, int]) -> pl.DataFrame:
    people = [(code, 100 * n + i) for n, (code, size) in enumerate(sorted(sizes.items())) for i in range(size)]
    return pl.DataFrame(
        {"scope": ["s"] * len(people), "code": [c for c, _ in people], "user_id": [u for _, u in people]},
        schema={"scope": pl.String, "code": pl.String, "user_id": pl.Int64},
    )


def shown(sizes: dict[str, int], k: int) -> dict[str, str | None]:
    return dict(merge_small(groups(sizes), k).select("code", "shown_as").iter_rows())


@given(sizes=SIZES, k=st.integers(1, 12))
def test_no_shown_group_is_under_k(sizes: dict[str, int], k: int) -> None:
    names = shown(sizes, k)
    totals: dict[str, int] = {}
    for code, name in names.items():
        if name is not None:
            totals[name] = totals.get(name, 0) + sizes[code]
    assert all(total >= k for total in totals.values())
    # Nothing is withheld unless everything is: the rest of a total would be the withheld group.
    assert set(names.values()) == {None} or None not in names.values()


def test_small_groups_become_other_and_the_fewest_join_while_other_is_small() -> None:
    assert shown({"a": 9, "b": 1, "c": 5, "d": 5}, 5) == {"a": "a", "b": "other", "c": "other", "d": "d"}
    assert shown({"a": 9, "b": 2, "c": 3}, 5) == {"a": "a", "b": "other", "c": "other"}
    assert shown({"a": 9, "b": 8}, 5) == {"a": "a", "b": "b"}
    assert shown({"a": 2, "b": 2}, 5) == {"a": None, "b": None}


def test_a_plan_that_one_user_dominates_is_small() -> None:
    members = groups({"a": 5, "b": 5})
    arr = members.with_columns(pl.lit(10, pl.Int64).alias("arr_minor"))
    whale = arr.with_columns(pl.when(pl.col("user_id") == 0).then(161).otherwise("arr_minor").alias("arr_minor"))
    kept = dict(merge_small(members, 2, arr, 80).select("code", "shown_as").iter_rows())
    assert kept == {"a": "a", "b": "b"}
    # 161 of 201 is more than 80 %: `a` alone is small, and `a` with `b` together is not.
    merged = dict(merge_small(members, 2, whale, 80).select("code", "shown_as").iter_rows())
    assert merged == {"a": "other", "b": "other"}
    exactly = whale.with_columns(pl.when(pl.col("user_id") == 0).then(160).otherwise("arr_minor").alias("arr_minor"))
    assert dict(merge_small(members, 2, exactly, 80).select("code", "shown_as").iter_rows()) == kept


@given(sizes=SIZES, k=st.integers(1, 12))
def test_what_is_withheld_is_nothing_or_at_least_k_or_all(sizes: dict[str, int], k: int) -> None:
    rows = pl.DataFrame({"scope": ["s"] * len(sizes), "code": list(sizes), "n": list(sizes.values())})
    left = withhold(rows, ["scope"], "n", ["code"], k)
    gone = sum(sizes.values()) - int(left["n"].sum())
    assert left.filter(pl.col("n") < k).is_empty()
    assert gone == 0 or gone >= k or left.is_empty()


@given(sizes=st.dictionaries(st.integers(1, 7), st.integers(1, 9), min_size=1), k=st.integers(1, 12))
def test_merged_cells_keep_their_sum_or_are_withheld_whole(sizes: dict[int, int], k: int) -> None:
    rows = pl.DataFrame({"day": [1] * len(sizes), "active_days": list(sizes), "n": list(sizes.values())})
    cells = dict(merged_cells(rows, ["day"], "active_days", "n", k).select("active_days", "n").iter_rows())
    assert all(count >= k for count in cells.values())
    assert sum(cells.values()) == sum(sizes.values()) or not cells


K = 4


def crowd() -> World:
    """Four currencies' worth of plans and countries, some of them too small to be shown."""
    users: list[Row] = []
    versions: list[Row] = []
    sizes = [("USD", 2, 9), ("USD", 3, 2), ("USD", 4, 3), ("EUR", 2, 3), ("GBP", 2, 5), ("GBP", 3, 1)]
    for currency, plan_id, size in sizes:
        for _ in range(size):
            number = len(users) + 1
            country = ["DE", "DE", "DE", "FR", None][number % 5] if number < 23 else "PT"
            users.append(user(number, country=country))
            versions.append(
                version(
                    number,
                    subscription_id=number,
                    user_id=number,
                    currency=currency,
                    plan_id=plan_id,
                    valid_from=at("2024-01-01") + timedelta(days=number * 3),
                    valid_to=at("2024-05-01") if number % 4 == 0 else None,
                )
            )
    events = [
        event(f"e{n}-{d}", at("2024-01-02") + timedelta(days=d * n % 120), user_id=n, value=1)
        for n in range(1, len(users) + 1)
        for d in range(1, 9)
    ]
    return {
        "users": users,
        "subscription_versions": versions,
        "usage_events": events,
        "meters": [meter("calls", "sum")],
        "plans": [plan(1, "free"), plan(2, "basic"), plan(3, "pro"), plan(4, "max")],
    }


def test_small_plans_and_countries_are_nowhere_in_the_published_tables() -> None:
    tables = compute(crowd(), at("2024-06-01"), PremiumSettings(k_anonymity=K)).tables
    for name in ("mrr_waterfall_monthly", "plan_daily"):
        lines = set(tables[name].select("currency", "plan_code").unique().iter_rows())
        # USD: pro 2 and max 3 are 5 together. GBP: pro 1 takes basic in. EUR has 3 people in all.
        assert lines == {("USD", "basic"), ("USD", "other"), ("GBP", "other")}
    assert set(tables["revenue_monthly"]["currency"]) == {"USD", "GBP"}
    # DE 14, FR 4, none 4, PT 1: Portugal alone is too few, and of the fewest others France comes first.
    assert set(tables["growth_accounting"]["segment"]) == {"all", "DE", "none", "other"}


def test_shown_segments_add_up_so_that_no_difference_is_a_small_group() -> None:
    rows = compute(crowd(), at("2024-06-01"), PremiumSettings(k_anonymity=K)).tables["growth_accounting"]
    ever = rows.filter(pl.col("grain") == "month").group_by("segment").agg(pl.col("new_count").sum())
    people = dict(ever.iter_rows())
    assert people.pop("all") == sum(people.values())
    assert all(count >= K for count in people.values())


def test_small_cohorts_are_withheld_together() -> None:
    tables = compute(crowd(), at("2024-06-01"), PremiumSettings(k_anonymity=K)).tables
    cohorts = tables["retention_cohorts"]
    assert (cohorts["size_count"] >= K).all()
    for grain in ("week", "month"):
        everybody = tables["growth_accounting"].filter((pl.col("grain") == grain) & (pl.col("segment") == "all"))
        sizes = cohorts.filter(pl.col("grain") == grain).select("cohort_start", "size_count").unique()
        gone = int(everybody["new_count"].sum()) - int(sizes["size_count"].sum())
        assert gone == 0 or gone >= K


def test_an_interval_is_wilsons() -> None:
    rows = compute(crowd(), at("2024-06-01"), PremiumSettings(k_anonymity=1)).tables["retention_cohorts"]
    for row in rows.filter(~pl.col("is_censored")).iter_rows(named=True):
        n, p, z = row["size_count"], row["retained_count"] / row["size_count"], 1.96
        half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        low, high = ((p + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        assert abs(row["interval_low"] - low) < 1e-9
        assert abs(row["interval_high"] - high) < 1e-9
    assert rows.filter(pl.col("is_censored"))["interval_low"].null_count() == rows["is_censored"].sum()


@given(trials=st.integers(1, 10**9), share=st.floats(0, 1))
@example(trials=5, share=1.0)
@example(trials=5, share=0.0)
def test_an_interval_lies_within_0_and_1_around_its_share(trials: int, share: float) -> None:
    successes = round(trials * share)
    low, high = wilson("x", "n")
    (row,) = pl.DataFrame({"x": [successes], "n": [trials]}).select(low.alias("low"), high.alias("high")).rows()
    assert 0 <= row[0] <= row[1] <= 1
    assert row[0] <= successes / trials + 1e-9
    assert row[1] >= successes / trials - 1e-9


def test_the_bounds_of_an_interval_change_no_other_bit() -> None:
    """Wilson's formula as Python computes it, operation by operation: the same float64 wherever it is a share."""
    counts = [(x, n) for n in range(1, 121) for x in range(n + 1)]
    low, high = wilson("x", "n")
    rows = pl.DataFrame(counts, schema=["x", "n"], orient="row").select(low.alias("low"), high.alias("high")).rows()
    beyond = 0
    for (x, n), ours in zip(counts, rows, strict=True):
        share, z = x / n, 1.96
        spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        plain = [(share + z * z / (2 * n) + side) / (1 + z * z / n) for side in (-spread, spread)]
        beyond += not 0 <= plain[0] <= plain[1] <= 1
        assert ours == tuple(min(max(each, 0.0), 1.0) for each in plain), (x, n)
    assert beyond, "otherwise this shows nothing"


def test_as_of_between_months_judges_dominance_at_the_last_complete_one() -> None:
    versions = [version(n, subscription_id=n, user_id=n, amount_minor=1000) for n in range(1, 5)]
    versions.append(version(9, subscription_id=1, user_id=1, amount_minor=10**6, valid_from=at("2024-03-01")))
    world = {"users": [user(n) for n in range(1, 5)], "subscription_versions": versions, "plans": [plan(2, "basic")]}
    early, late = (
        compute(world, as_of, PremiumSettings(k_anonymity=3)).tables["mrr_waterfall_monthly"]
        for as_of in (at("2024-03-31"), at("2024-04-01"))
    )
    assert early["month"].to_list() == [date(2024, 1, 1), date(2024, 2, 1)]
    assert late.is_empty()
