"""A good row of every table, and for every rule of spec 07.1 a row that breaks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from assets.staged.product import CONTRACTS
from quality.contract import Rule
from quality.rejects import ENUMS, REFERENCES, TEXT_LIMIT, row_rules

AS_OF = datetime(2026, 6, 15, 9, 30, tzinfo=UTC)
THEN = datetime(2026, 1, 1, tzinfo=UTC)
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


def world_rows() -> dict[str, list[dict[str, Any]]]:
    """Three users, a group and a plan: what the rows refer to."""
    return {
        "users": [good_row("users", i) for i in (1, 2, 3)],
        "groups": [good_row("groups", 1)],
        "plans": [good_row("plans", 1)],
    }
