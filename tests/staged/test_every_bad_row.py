"""07.1: every rule rejects its row under its name; a source that breaks all of them at once still adds up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Enum

from assets.staged.product import CONTRACTS, stage
from assets.staged.staging import BadSource, stage_all
from quality.contract import Rule
from quality.rejects import DUPLICATE_KEY, ENUMS, ORPHAN, REFERENCES, TEXT_LIMIT, row_rules
from store.columns import polars_schema
from store.lake import Lake
from store.models import TABLES
from store.settings import QualitySettings, SnapshotSettings
from store.snapshots import take_snapshot
from store.worlds import BadRow, load_world
from tests.support.source import run, write_world
from tests.support.unconstrained import unconstrained_schema

AS_OF = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
THEN = datetime(2026, 1, 1, tzinfo=UTC)
LENIENT = QualitySettings(reject_rows=1000)
RULES = [(table, rule) for table, contract in CONTRACTS.items() for rule in row_rules(table, contract, AS_OF)]


def good_row(table: str, number: int) -> dict[str, Any]:
    """A row of ``table`` that keeps every rule and refers to user, group and plan 1 or 2; its key is ``number``'s."""
    row: dict[str, Any] = {}
    for name, dtype in CONTRACTS[table].schema.items():
        is_nullable = CONTRACTS[table].model.to_schema().columns[name].nullable
        if is_nullable:
            row[name] = None
        elif (table, name) in ENUMS:
            row[name] = ENUMS[table, name][0]
        elif name == "currency":
            row[name] = "".join(chr(ord("A") + number // 26**place % 26) for place in range(3))
        elif dtype == pl.String:
            row[name] = "{}" if name in ("body", "payload", "properties") else f"{name[:1]}{number}"
        elif isinstance(dtype, pl.List):
            row[name] = []
        elif isinstance(dtype, pl.Datetime):
            row[name] = THEN
        elif dtype == pl.Boolean:
            row[name] = True
        elif dtype == pl.Time:
            row[name] = datetime(2026, 1, 1, 9).time()  # noqa: DTZ001
        else:
            row[name] = number
    for column, _, _ in REFERENCES.get(table, ()):
        row[column] = 1
    if table in ("friendships", "friend_requests", "blocks", "mutes"):
        first, second = (
            list(CONTRACTS[table].schema)[:2] if table != "friend_requests" else ("requester_id", "addressee_id")
        )
        row |= {first: 1, second: 2}
    return row


def bad_row(table: str, rule: Rule, number: int) -> dict[str, Any]:
    """As :func:`good_row`, breaking ``rule`` alone, as far as a value can."""
    row = good_row(table, number)
    first = list(CONTRACTS[table].schema)[0 if table != "friend_requests" else 1]
    broken: dict[str, Any] = {
        "is not null": None,
        "is not the same user twice": row[first],
        "is at least 1": 0,
        "is not negative": -1,
        "is text without NUL": "a\x00b",
        f"has at most {TEXT_LIMIT} characters": "x" * (TEXT_LIMIT + 1),
        "is not more than a day after the moment of reading": AS_OF + timedelta(days=1, microseconds=1),
    }
    if rule.name.startswith("is ordered"):
        return row | {"user_a_id": 3, "user_b_id": 1}
    return row | {rule.column: broken.get(rule.name, "nonsense")}


def _frames(rows: dict[str, list[dict[str, Any]]]) -> dict[str, pl.LazyFrame]:
    return {
        table: pl.DataFrame(rows.get(table, []), schema=contract.schema, orient="row").lazy()
        for table, contract in CONTRACTS.items()
    }


def _world() -> dict[str, list[dict[str, Any]]]:
    """Three users, a group and a plan: what the rows refer to."""
    return {
        "users": [good_row("users", i) for i in (1, 2, 3)],
        "groups": [good_row("groups", 1)],
        "plans": [good_row("plans", 1)],
    }


@pytest.mark.parametrize("table", CONTRACTS)
def test_a_good_row_is_not_rejected(table: str) -> None:
    rows = _world()
    rows[table] = [*rows.get(table, []), good_row(table, 9)]
    staged = stage_all(_frames(rows), CONTRACTS, LENIENT, AS_OF)[table]
    assert staged.rejects.is_empty()
    assert staged.frame.height == len(rows[table])


@pytest.mark.parametrize("table", CONTRACTS)
def test_every_rule_rejects_its_row_under_its_column_and_name(table: str) -> None:
    for owner, rule in RULES:
        if owner != table or table == "erasure_requests":
            continue
        rows = _world()
        rows[table] = [*rows.get(table, []), bad_row(table, rule, 9)]
        staged = stage_all(_frames(rows), CONTRACTS, LENIENT, AS_OF)[table]
        assert staged.rejects.select("table", "column", "rule").rows() == [(table, rule.column, rule.name)]
        assert staged.count.rows_in == staged.count.rows_out + staged.count.rejected + sum(
            staged.count.filtered.values()
        )


def _all_bad() -> tuple[dict[str, list[dict[str, Any]]], set[tuple[str, str, str]]]:
    """One row for every rule of every table that Postgres can hold, a duplicate and an orphan; what each breaks."""
    rows, expected = _world(), set()
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
    with pytest.raises(BadSource, match=r"activities\.verb: is one of .* \(allowed: 0\) fails on 1 row\(s\)"):
        stage(lake, snapshot.model_copy(update={"as_of": AS_OF}), QualitySettings(reject_rows=0, reject_ppm=0))


@pytest.mark.parametrize(("table", "rule"), [(t, r) for t, r in RULES if t == "friendships"], ids=lambda x: str(x)[:40])
def test_source_load_refuses_a_world_with_a_bad_row(
    table: str, rule: Rule, tmp_path: Path, fresh_database: str
) -> None:
    if rule.name == "is not more than a day after the moment of reading":
        pytest.skip("a world may look ahead; staging judges the time against its as_of")
    if rule.name == "is not negative":
        pytest.skip("the schema admits every bigint; staging judges ids")
    folder = write_world(tmp_path / "w", **{table: [good_row(table, 1) | {"user_b_id": 5}, bad_row(table, rule, 2)]})
    with pytest.raises(BadRow) as raised:
        load_world(fresh_database, folder)
    assert (raised.value.table, raised.value.row) == (table, 2)
    assert run(fresh_database, "SELECT count(*) FROM app.friendships") == [(0,)]


def test_every_enum_of_the_models_is_a_rule() -> None:
    wanted = {
        (table.name, column.name): tuple(column.type.enums)
        for table in TABLES.values() for column in table.columns if isinstance(column.type, Enum)
    }  # fmt: skip
    assert wanted == ENUMS


def test_every_table_of_the_models_has_rules() -> None:
    assert {table for table, _ in RULES} == set(TABLES)
    assert all(polars_schema(TABLES[table]) for table in CONTRACTS)
