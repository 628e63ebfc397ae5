"""Law 1: asset = contract class = lake path; staged contracts are the source models, column by column."""

from __future__ import annotations

import polars as pl
import pytest
import sqlalchemy as sa

from assets.digests.product import digests
from assets.feed.product import feed
from assets.friends.product import friends
from assets.premium.product import premium
from pipelines.definitions import build_defs
from quality.contract import judge
from quality.registry import REGISTRY
from quality.rejects import ENUMS, MONEY, REFERENCES
from store.models import PRIVATE_COLUMNS, TABLES
from store.settings import Settings

PRODUCTS = (friends, feed, digests, premium)


def expected_type(column: sa.Column) -> pl.DataType:
    kind = column.type
    if isinstance(kind, sa.ARRAY):
        return pl.List(pl.Int64() if isinstance(kind.item_type, sa.BigInteger) else pl.String())
    if isinstance(kind, sa.Boolean):
        return pl.Boolean()
    if isinstance(kind, sa.DateTime):
        return pl.Datetime("us", "UTC")
    if isinstance(kind, sa.Time):
        return pl.Time()
    if isinstance(kind, sa.Integer):
        return pl.Int64()
    return pl.String()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_staged_contract_is_its_source_model(table):
    columns = [c for c in TABLES[table].columns if (table, c.name) not in PRIVATE_COLUMNS]
    contract = REGISTRY[f"staged_{table}"]
    assert list(contract.schema) == [c.name for c in columns]
    assert contract.schema == {c.name: expected_type(c) for c in columns}
    nullable = {name for name, column in contract.model.to_schema().columns.items() if column.nullable}
    assert nullable == {c.name for c in columns if c.nullable}
    assert contract.key == tuple(c.name for c in TABLES[table].primary_key.columns)


def test_the_enum_rules_are_the_labels_of_the_models():
    labels = {
        (table.name, column.name): tuple(column.type.enums)
        for table in TABLES.values()
        for column in table.columns
        if isinstance(column.type, sa.Enum)
    }
    assert labels == ENUMS


def test_every_reference_and_money_table_exists():
    assert set(TABLES) >= MONEY
    for table, references in REFERENCES.items():
        for column, target, key in references:
            assert column in TABLES[table].columns
            assert key in TABLES[target].columns


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda p: p.name)
def test_a_products_tables_have_contracts_in_its_group(product):
    for table in product.tables:
        assert REGISTRY[table].group == product.name
    for table in (*product.inputs, *product.previous):
        assert table in REGISTRY


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_an_empty_table_keeps_its_contract(name):
    assert judge(REGISTRY[name], REGISTRY[name].empty()) == []


def test_every_contract_is_an_asset_and_every_asset_a_contract(tmp_path):
    graph = build_defs(Settings(home=tmp_path)).resolve_asset_graph()
    keys = {k.to_user_string() for k in graph.materializable_asset_keys}
    snapshots = {f"snapshots/{table}" for table in TABLES}
    assert keys == set(REGISTRY) | snapshots | {"generations"}


def test_every_asset_lies_in_the_one_partitions_definition(tmp_path):
    graph = build_defs(Settings(home=tmp_path)).resolve_asset_graph()
    definitions = {str(graph.get(k).partitions_def) for k in graph.materializable_asset_keys}
    assert len(definitions) == 1


def test_every_table_has_a_blocking_check_unless_it_may_be_carried_over(tmp_path):
    graph = build_defs(Settings(home=tmp_path)).resolve_asset_graph()
    checks = {k.asset_key.to_user_string(): graph.get(k).blocking for k in graph.asset_check_keys}
    carriable = {t for p in PRODUCTS if p.is_carriable for t in p.tables}
    assert checks == {name: name not in carriable for name in REGISTRY}
