"""Every premium table equals the slow oracle's on random histories full of edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.premium.product import CONTRACTS
from assets.premium.reconciliations import reconcile
from quality.contract import judge
from tests.support.premium import SCHEMAS, Row, compute, inputs
from tests.support.premium_history import history
from tests.support.premium_oracle import Oracle

SEEDS = st.integers(min_value=0, max_value=10**9)

TABLES: dict[str, Callable[[Oracle], list[Row]]] = {
    "usage_daily": Oracle.usage_daily,
    "usage_quarantine": lambda oracle: oracle.quarantine,
    "usage_conflicts": lambda oracle: oracle.conflicts,
    "usage_intake": Oracle.summary,
    "mrr_movements_daily": Oracle.movements,
    "mrr_waterfall_monthly": Oracle.waterfall,
    "revenue_monthly": Oracle.revenue,
    "plan_daily": Oracle.plan_daily,
    "plan_feature_daily": Oracle.adoption,
    "entitlements": Oracle.entitlements,
    "usage_threshold_crossings": Oracle.crossings,
    "growth_accounting": Oracle.growth,
    "engagement_daily": Oracle.engagement,
    "engagement_lness": Oracle.lness,
    "retention_cohorts": Oracle.cohorts,
}


def in_order(rows: list[Row], key: tuple[str, ...], columns: list[str]) -> list[dict[str, Any]]:
    return sorted(({name: row[name] for name in columns} for row in rows), key=lambda row: [str(row[k]) for k in key])


def agree(seed: int) -> None:
    world, as_of, config = history(seed)
    result, oracle = compute(world, as_of, config), Oracle(world, as_of, config)
    for table, expected in TABLES.items():
        contract = CONTRACTS[table]
        columns = [name for name in contract.schema if not name.startswith("interval_")]
        found = in_order(result.tables[table].to_dicts(), contract.key, columns)
        assert found == in_order(expected(oracle), contract.key, columns), table
    assert [str(failure) for name, frame in result.tables.items() for failure in judge(CONTRACTS[name], frame)] == []
    staged = {name: frame.collect() for name, frame in inputs(world, as_of, config).frames.items()}
    assert reconcile({**result.tables, **staged}) == []


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_every_table_equals_the_oracle_and_the_sums_reconcile(seed: int) -> None:
    agree(seed)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_every_table_equals_the_oracle_on_many_more_histories(seed: int) -> None:
    agree(seed)


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    world, as_of, config = history(seed)
    backwards = {name: rows[::-1] for name, rows in world.items()}
    first, second = compute(world, as_of, config), compute(backwards, as_of, config)
    for name, frame in first.tables.items():
        assert frame.equals(second.tables[name]), name
        assert frame.equals(frame.sort(CONTRACTS[name].key, nulls_last=True)), name


def test_an_empty_source_gives_empty_tables_in_their_contracts() -> None:
    world, as_of, config = history(1)
    result = compute({name: [] for name in world}, as_of, config)
    assert {name: frame.height for name, frame in result.tables.items() if frame.height} == {"usage_intake": 1}
    assert [str(failure) for name, frame in result.tables.items() for failure in judge(CONTRACTS[name], frame)] == []
    assert set(inputs(world, as_of).frames) <= set(SCHEMAS)
