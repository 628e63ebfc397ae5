"""Spec 01.2, 07.1: ``source load`` refuses a world with any bad row, names it, and loads nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from assets.staged.product import CONTRACTS
from quality.contract import Rule
from quality.rejects import ORPHAN, REFERENCES, TEXT_LIMIT
from store.source import row_counts
from store.worlds import BadRow, load_world
from tests.support.bad_rows import AS_OF, RULES, bad_row, good_row, world_rows
from tests.support.source import user, write_world

SCHEMA_SAYS = {
    "is text without NUL": "holds no NUL character",
    "is at least 1": "weight >= 1",
}
"""What the schema refuses is named in the schema's words."""
JSON = ("body", "payload", "properties")
Rows = dict[str, list[dict[str, Any]]]


def _refused(folder: Path, database: str, rows: Rows) -> BadRow:
    with pytest.raises(BadRow) as raised:
        load_world(database, write_world(folder, name="bad", as_of=AS_OF, **rows))
    assert set(row_counts(database).values()) == {0}, "nothing was loaded"
    error = raised.value
    assert str(error).startswith(f"{error.table}, row {error.row}, column {error.column}, value ")
    assert str(error).endswith(f": {error.rule}")
    return error


INDEXED = {("users", "handle"), ("meters", "key"), ("plan_features", "feature_key"), ("notifications", "dedupe_key"),
           ("usage_events", "source"), ("usage_events", "event_id"), ("usage_events", "meter_key")}  # fmt: skip


def _named(table: str, rule: Rule) -> tuple[str, str]:
    """(column, what the rule's words begin with) as ``source load`` names them."""
    if table == "friendships" and rule.name.startswith(("is ordered", "is not the same", "is not negative")):
        if rule.column == "user_b_id" or rule.name.startswith("is ordered"):
            return "user_a_id, user_b_id", "user_a_id < user_b_id"
        return rule.column, rule.name
    if (table, rule.column, rule.name) == ("plan_prices", "amount_minor", "is not negative"):
        return rule.column, "amount_minor >= 0"
    if rule.name == "is three capital letters":
        return rule.column, "value too long for type character(3)"
    if rule.name.endswith("characters"):
        if rule.column in ("country", "currency"):
            return rule.column, "value too long for type character("
        if (table, rule.column) in INDEXED:
            return rule.column, "index row requires "
    return rule.column, SCHEMA_SAYS.get(rule.name, rule.name)


def _another_good_row(table: str) -> dict[str, Any]:
    """A good row whose key is not that of the bad one."""
    row = good_row(table, 8)
    columns = [column for column, target, _ in REFERENCES.get(table, ()) if target == "users"]
    is_pair = table in ("friendships", "friend_requests", "blocks", "mutes")
    return row | ({columns[1]: 3} if is_pair else dict.fromkeys(columns, 2))


@pytest.mark.parametrize("table", CONTRACTS)
def test_a_world_with_a_bad_row_is_refused(table: str, tmp_path: Path, fresh_database: str) -> None:
    for number, rule in enumerate(rule for owner, rule in RULES if owner == table):
        rows = world_rows()
        bad = bad_row(table, rule, 9)
        if rule.column in JSON and rule.name.endswith("characters"):
            bad[rule.column] = f'"{"x" * TEXT_LIMIT}"'
        rows[table] = [*rows.get(table, []), _another_good_row(table), bad]
        error = _refused(tmp_path / f"{number}", fresh_database, rows)
        assert (error.table, error.row) == (table, len(rows[table]))
        column, words = _named(table, rule)
        assert (error.column, error.rule[: len(words)]) == (column, words)


def test_a_world_with_an_orphan_is_refused(tmp_path: Path, fresh_database: str) -> None:
    for table, references in REFERENCES.items():
        for column, target, _ in references:
            rows = world_rows()
            pair = {"user_b_id": 999_999} if (table, column) == ("friendships", "user_a_id") else {}
            rows[table] = [_another_good_row(table), good_row(table, 9) | pair | {column: 999_998}]
            error = _refused(tmp_path / f"{table}-{column}", fresh_database, rows)
            assert (error.table, error.row, error.column, error.value) == (table, 2, column, 999_998)
            assert error.rule == f"{ORPHAN} in {target}"


def test_a_table_without_its_target_is_all_orphans(tmp_path: Path, fresh_database: str) -> None:
    error = _refused(tmp_path / "w", fresh_database, {"feed_reads": [good_row("feed_reads", 1)]})
    assert (error.table, error.row, error.rule) == ("feed_reads", 1, "refers to a row that exists in users")


def test_a_currency_in_small_letters_is_refused(tmp_path: Path, fresh_database: str) -> None:
    rows = world_rows() | {"plan_prices": [good_row("plan_prices", 1) | {"currency": "eur"}]}
    error = _refused(tmp_path / "w", fresh_database, rows)
    assert (error.column, error.value, error.rule) == ("currency", "eur", "is three capital letters")


def test_the_first_bad_row_is_named_even_behind_a_batch(
    tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.world_rows.BATCH_ROWS", 3)
    users = [user(i, created_at=AS_OF - timedelta(days=1)) for i in range(1, 12)]
    late = {"created_at": AS_OF + timedelta(days=2)}
    users = [u | (late if u["id"] in (8, 10) else {}) for u in users]
    error = _refused(tmp_path / "w", fresh_database, {"users": users})
    assert (error.row, error.column) == (8, "created_at")
    assert error.rule == "is not more than a day after the moment of reading"
