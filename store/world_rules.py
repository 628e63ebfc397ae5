"""What a world's rows are held to beyond the source's schema: the bad rows of spec 07.1.

Lives here: judging the rows of a file by ``quality.rejects``, and its references by the other files.
The database refuses nulls, labels, duplicate keys and its own checks (``store.world_rows`` names them);
what is here would else be loaded, and go to rejects in every run. Does not belong here: the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from quality.contract import Contract, Rule
from quality.rejects import NOT_NULL, ORPHAN, REFERENCES, row_rules
from quality.staged import STAGED
from store.world_rows import BadRow

CONTRACTS: Mapping[str, Contract] = {contract.name.removeprefix("staged_"): contract for contract in STAGED}


class RowJudge:
    """Judges a file's batches as they are loaded, and keeps the first bad row; raises only when asked.

    A row that the database refuses is named in the database's words, so the file is loaded first.
    """

    def __init__(self, table: str, as_of: datetime) -> None:
        contract = CONTRACTS[table]
        self._table = table
        self._types = contract.schema
        # A value that cannot be cast is the database's to judge, and null here.
        self._rules = [rule for rule in row_rules(table, contract, as_of) if rule.name != NOT_NULL]
        self._rows = 0
        self._first: BadRow | None = None

    def see(self, batch: pl.DataFrame) -> None:
        """Judge the next rows of the file."""
        if self._first is None:
            self._first = self._judge(batch)
        self._rows += batch.height

    def require_good(self) -> None:
        """Raise :class:`BadRow` naming the first bad row seen, under the first rule it breaks."""
        if self._first is not None:
            raise self._first

    def _judge(self, batch: pl.DataFrame) -> BadRow | None:
        typed = batch.select(
            pl.col(name).cast(dtype, strict=False) for name, dtype in self._types.items() if name in batch.columns
        )
        rules = [rule for rule in self._rules if set(rule.bad.meta.root_names()) <= set(typed.columns)]
        if not rules or typed.is_empty():
            return None
        first = typed.select(_first_true(rule).alias(str(i)) for i, rule in enumerate(rules)).row(0)
        found = min(((row, i) for i, row in enumerate(first) if row is not None), default=None)
        if found is None:
            return None
        row, i = found
        rule = rules[i]
        return BadRow(self._table, self._rows + row + 1, rule.column, batch.item(row, rule.column), rule.name)


def require_references(directory: Path) -> None:
    """Every row refers to rows that exist in the world.

    Raises:
        BadRow: naming the first row of the first file that does not.
    """
    known: dict[str, pl.Series] = {}
    for table, references in REFERENCES.items():
        path = directory / f"{table}.parquet"
        for column, target, key in references if path.is_file() else ():
            if target not in known:
                known[target] = _column(directory / f"{target}.parquet", key).implode()
            values = _column(path, column)
            row = (~values.is_in(known[target])).arg_max()
            if row is not None and not values[row : row + 1].is_in(known[target]).item():
                raise BadRow(table, row + 1, column, values[row], f"{ORPHAN} in {target}")


def _first_true(rule: Rule) -> pl.Expr:
    bad = rule.bad.fill_null(value=False)
    return pl.when(bad.any()).then(bad.arg_max())


def _column(path: Path, name: str) -> pl.Series:
    if not path.is_file():
        return pl.Series(name, [], pl.Int64)
    return pl.scan_parquet(path, glob=False).select(pl.col(name).cast(pl.Int64, strict=False)).collect().to_series()
