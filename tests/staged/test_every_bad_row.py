"""07.1: every rule rejects its row under its name; a source that breaks all of them at once still adds up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Enum

from assets.staged.product import CONTRACTS, stage
from assets.staged.staging import BadSource, stage_all
from quality.rejects import DUPLICATE_KEY, ENUMS, ORPHAN, REFERENCES, TEXT_LIMIT
from store.columns import polars_schema
from store.lake import Lake
from store.models import TABLES
from store.settings import QualitySettings, SnapshotSettings
from store.snapshots import take_snapshot
from tests.support.bad_rows import AS_OF, RULES, bad_row, good_row, world_rows
from tests.support.source import run
from tests.support.unconstrained import unconstrained_schema

LENIENT = QualitySettings(reject_rows=1000)


def _frames(rows: dict[str, list[dict[str, Any]]]) -> dict[str, pl.LazyFrame]:
    return {
        table: pl.DataFrame(rows.get(table, []), schema=contract.schema, orient="row").lazy()
        for table, contract in CONTRACTS.items()
    }


@pytest.mark.parametrize("table", CONTRACTS)
def test_a_good_row_is_not_rejected(table: str) -> None:
    rows = world_rows()
    rows[table] = [*rows.get(table, []), good_row(table, 9)]
    staged = stage_all(_frames(rows), CONTRACTS, LENIENT, AS_OF)[table]
    assert staged.rejects.is_empty()
    assert staged.frame.height == len(rows[table])


@pytest.mark.parametrize("table", CONTRACTS)
def test_every_rule_rejects_its_row_under_its_column_and_name(table: str) -> None:
    for owner, rule in RULES:
        if owner != table or table == "erasure_requests":
            continue
        rows = world_rows()
        rows[table] = [*rows.get(table, []), bad_row(table, rule, 9)]
        staged = stage_all(_frames(rows), CONTRACTS, LENIENT, AS_OF)[table]
        assert staged.rejects.select("table", "column", "rule").rows() == [(table, rule.column, rule.name)]
        assert staged.count.rows_in == staged.count.rows_out + staged.count.rejected + sum(
            staged.count.filtered.values()
        )


def _all_bad() -> tuple[dict[str, list[dict[str, Any]]], set[tuple[str, str, str]]]:
    """One row for every rule of every table that Postgres can hold, a duplicate and an orphan; what each breaks."""
    rows, expected = world_rows(), set()
    for number, (table, rule) in enumerate(RULES, start=100):
        # Postgres holds no NUL; a null in a user column of an erasure names nobody.
        if rule.name != "is text without NUL" and table != "erasure_requests":
            rows.setdefault(table, []).append(bad_row(table, rule, number))
            expected.add((table, rule.column, rule.name))
    for number, (table, contract) in enumerate(CONTRACTS.items(), start=5000):
        if table in ("users", "groups", "plans", "erasure_requests"):
            continue
        rows.setdefault(table, []).extend([good_row(table, number)] * 2)
        expected.add((table, contract.key[0], DUPLICATE_KEY))
    for table, references in REFERENCES.items():
        for number, (column, target, _) in enumerate(references, start=6000):
            pair = {"user_b_id": 999_999} if table == "friendships" else {}  # keeps the order
            rows[table].append(good_row(table, number) | pair | {column: 999_998})
            expected.add((table, column, f"{ORPHAN} in {target}"))
    rows["activities"].append(good_row("activities", 7000) | {"created_at": AS_OF + timedelta(hours=1)})
    return rows, expected


def _insert(url: str, table: str, rows: list[dict[str, Any]]) -> None:
    import psycopg
    from psycopg import sql

    from store.source import libpq_url

    with psycopg.connect(libpq_url(url)) as connection, connection.cursor() as cursor:
        names = list(rows[0])
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier("app", table), sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(
                sql.SQL("{}::jsonb" if name in ("body", "payload", "properties") else "{}").format(sql.Placeholder())
                for name in names
            ),
        )  # fmt: skip
        for row in rows:
            values = list(row.values())
            if any(
                isinstance(v, str) and len(v) > TEXT_LIMIT and n in ("body", "payload", "properties")
                for n, v in row.items()
            ):
                values = [f'"{v}"' if isinstance(v, str) and len(v) > TEXT_LIMIT else v for v in values]
            cursor.execute(statement, values)


def test_a_customers_source_that_breaks_every_rule_at_once_still_adds_up(
    tmp_path: Path, new_database: Callable[..., str]
) -> None:
    url = new_database(migrated=False)
    run(url, *unconstrained_schema())
    rows, expected = _all_bad()
    for table, broken in rows.items():
        _insert(url, table, broken)
    lake = Lake(tmp_path / "home")
    snapshot = take_snapshot(url, lake, SnapshotSettings())
    # The rows were made around one instant; the snapshot is staged as of it.
    staging = stage(lake, snapshot.model_copy(update={"as_of": AS_OF}), LENIENT)
    assert staging.is_acceptable, staging.failures
    found: set[tuple[str, str, str]] = set()
    for table, contract in CONTRACTS.items():
        count = staging.counts[contract.name]
        assert count.rows_in == snapshot.tables[table].rows == len(rows.get(table, []))
        assert count.rows_in == count.rows_out + count.rejected + sum(count.filtered.values())
        file = lake.rejects_dir / snapshot.id / f"{table}.parquet"
        rejects = pl.read_parquet(file) if file.is_file() else pl.DataFrame(schema={"table": pl.String})
        assert rejects.height == count.rejected
        if rejects.height:
            found |= set(rejects.select("table", "column", "rule").rows())
            texts = [n for n, dtype in contract.schema.items() if dtype == pl.String and n not in contract.key]
            values = rejects.filter(pl.col("column").is_in(texts))["value"].drop_nulls()
            assert values.str.contains(r"^text of \d+ characters$").all(), "texts are redacted"
    assert found == expected
    assert staging.counts["staged_activities"].filtered["not_yet"] == 1
    assert staging.tables["staged_users"].scan().collect().height == 3
    with pytest.raises(BadSource, match=r"activities\.verb: is one of .* \(allowed: 0\) fails on 1 row "):
        stage(lake, snapshot.model_copy(update={"as_of": AS_OF}), QualitySettings(reject_rows=0, reject_ppm=0))


def test_every_enum_of_the_models_is_a_rule() -> None:
    wanted = {
        (table.name, column.name): tuple(column.type.enums)
        for table in TABLES.values() for column in table.columns if isinstance(column.type, Enum)
    }  # fmt: skip
    assert wanted == ENUMS


def test_every_table_of_the_models_has_rules() -> None:
    assert {table for table, _ in RULES} == set(TABLES)
    assert all(polars_schema(TABLES[table]) for table in CONTRACTS)
