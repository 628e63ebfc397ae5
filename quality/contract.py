"""What a contract is: a pandera model of a table, its key, its row rules, and how a frame is judged.

The schema (columns, types, order) is judged by pandera, eagerly; row rules run as one native
Polars aggregate, because pandera costs 3-5 times one native pass. Failure samples are capped.
Pure: frames in, verdicts out; nothing of ours is imported, nothing is read or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError, SchemaErrors

SAMPLE = 5
"""Keys named in a message, at most."""


@dataclass(frozen=True)
class Rule:
    """A row-level truth. ``bad`` is true on the rows that break it (null counts as kept)."""

    name: str
    column: str
    bad: pl.Expr
    is_money: bool = False
    """Money rules have a reject budget of 0 and fail premium only (07.1)."""


@dataclass(frozen=True)
class Contract:
    """One table's contract. ``name`` = asset = lake path = docs anchor."""

    model: type[pa.DataFrameModel]
    key: tuple[str, ...]
    group: str
    """The Dagster group: ``staged`` or the product's folder."""
    kind: Literal["staged", "product"]
    version: int = 1
    rules: tuple[Rule, ...] = ()
    is_published: bool = False
    """True for what clients or analysts read; the rest is internal."""

    @property
    def name(self) -> str:
        """The table's name: that of the model class."""
        return self.model.__name__

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column name to Polars type, in the table's column order."""
        columns = self.model.to_schema().columns
        return {name: column.dtype.type for name, column in columns.items()}

    def empty(self) -> pl.DataFrame:
        """A frame of no rows in the contract's schema."""
        return pl.DataFrame(schema=self.schema)


@dataclass(frozen=True)
class Failure:
    """A broken rule: how many rows and up to five of their keys; ``count`` is None for a truth of the whole table."""

    table: str
    rule: str
    column: str
    count: int | None
    keys: tuple[Mapping[str, Any], ...] = field(default=())

    def __str__(self) -> str:
        """Table, column, rule, count and keys, as the message a person reads."""
        said = f"{self.table}.{self.column}: {self.rule}"
        if self.count is None:
            return said
        sample = "; ".join(", ".join(f"{k}={v}" for k, v in key.items()) for key in self.keys)
        return f"{said} fails on {self.count} row{'' if self.count == 1 else 's'}" + (f" ({sample})" if sample else "")


def judge(contract: Contract, frame: pl.DataFrame) -> list[Failure]:
    """Every failure of ``frame`` against ``contract``; an empty list is acceptance.

    Structural failures (columns, types, order, null in a non-null column) come first and alone:
    row rules are only asked of a frame that has the right shape.
    """
    structural = _judge_schema(contract, frame)
    return structural or _judge_rows(contract, frame)


def _judge_schema(contract: Contract, frame: pl.DataFrame) -> list[Failure]:
    try:
        contract.model.to_schema().validate(frame, lazy=True)
    except (SchemaErrors, SchemaError) as error:
        cases = error.failure_cases if isinstance(error, SchemaErrors) else None
        if cases is None or cases.is_empty():
            return [Failure(contract.name, str(error)[:200], "*", frame.height)]
        grouped = cases.group_by("column", "check", maintain_order=True).agg(
            pl.len().alias("n"), pl.col("failure_case").cast(pl.String).head(SAMPLE)
        )
        return [
            Failure(contract.name, f"{row['check']} [{', '.join(map(str, row['failure_case']))}]",
                    row["column"] or "*", row["n"])
            for row in grouped.iter_rows(named=True)
        ]  # fmt: skip
    return []


def _judge_rows(contract: Contract, frame: pl.DataFrame) -> list[Failure]:
    key = list(contract.key)
    failures: list[Failure] = []
    if key and frame.height:
        duplicated = frame.select(key).is_duplicated()
        if count := int(duplicated.sum()):
            sample = frame.filter(duplicated).select(key).unique(maintain_order=True).head(SAMPLE).to_dicts()
            failures.append(Failure(contract.name, "key is unique", "+".join(key), count, tuple(sample)))
    if not contract.rules:
        return failures
    counts = frame.select(rule.bad.fill_null(value=False).sum().alias(str(i)) for i, rule in enumerate(contract.rules))
    for i, rule in enumerate(contract.rules):
        if count := int(counts.item(0, str(i)) or 0):
            sample = frame.filter(rule.bad.fill_null(value=False)).select(key or pl.all()).head(SAMPLE).to_dicts()
            failures.append(Failure(contract.name, rule.name, rule.column, count, tuple(sample)))
    return failures
