"""Running a product against the lake: inputs by name, fingerprint, reuse, writing, judging, accepting.

The same for every product and free of Dagster, so that a replay, a test or another executor runs
exactly what the assets run. Does not belong here: what a product computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from assets.frame import ConfigT, Inputs, Product, Result, StageCount
from assets.versions import code_version_of
from quality.contract import Contract, Failure, judge
from store.lake import Lake, StoredTable, fingerprint_of
from store.manifest import Counts, InputEntry, Manifest, StageEntry


class OutOfOrder(Exception):
    """A product with previous state was asked for an ``as_of`` older than its newest state (law 2)."""


class InputsRefused(Exception):
    """A product may not be computed from these inputs; the message names table and reason."""


@dataclass(frozen=True)
class Execution:
    """A product's tables as they stand in the lake after a run of it."""

    tables: Mapping[str, StoredTable]
    failures: Mapping[str, tuple[Failure, ...]]
    counts: tuple[StageCount, ...]
    notes: Mapping[str, Any]
    is_reused: bool
    rows_read: int
    """Rows of all input tables."""

    @property
    def is_acceptable(self) -> bool:
        """Whether every table keeps its contract."""
        return not any(self.failures.values())


@dataclass(frozen=True)
class _Plan:
    product_id: str
    entries: tuple[InputEntry, ...]
    inputs: Mapping[str, StoredTable]
    previous: Mapping[str, StoredTable]


def execute(
    product: Product[ConfigT],
    config: ConfigT,
    *,
    lake: Lake,
    snapshot: Manifest,
    contracts: Mapping[str, Contract],
    verdict: Callable[[Mapping[str, pl.DataFrame]], Mapping[str, list[Failure]]] | None = None,
    verdict_inputs: tuple[str, ...] = (),
    refusal: Callable[[Lake, Manifest], str | None] | None = None,
) -> Execution:
    """Compute ``product`` for ``snapshot``, or reuse it when the same one stands and verifies; then judge it.

    ``verdict`` adds failures per table beyond the contracts (reconciliations) and sees ``verdict_inputs``
    too; ``refusal`` looks at the lake first and may say why the snapshot is not good enough. Nothing is
    accepted here. Raises what ``compute`` raises, :class:`InputsRefused`, :class:`OutOfOrder` for a snapshot
    older than the product's state, and :class:`store.manifest.CorruptFile` for a damaged file.
    """
    plan = _plan(product, config, lake, snapshot, contracts)
    if refusal is not None and (reason := refusal(lake, snapshot)):
        raise InputsRefused(reason)
    stored = {name: lake.stored(name, plan.product_id) for name in product.tables}
    standing = {name: table for name, table in stored.items() if table is not None}
    result: Result | None = None
    if len(standing) < len(product.tables):
        result = product.compute(_inputs(plan, config, snapshot.as_of, contracts, product))
        standing = _write(product, config, lake, snapshot, plan, result)
    frames = {name: table.scan().collect() for name, table in standing.items()}
    failures = {name: judge(contracts[name], frame) for name, frame in frames.items()}
    if verdict is not None and not any(failures.values()):
        beside = {name: plan.inputs[name].scan().collect() for name in verdict_inputs}
        for name, more in verdict({**frames, **beside}).items():
            failures[name] = [*failures[name], *more]
    return Execution(
        tables=standing,
        failures={name: tuple(found) for name, found in failures.items()},
        counts=result.counts if result else counts_of(next(iter(standing.values()))),
        notes=result.notes if result else {},
        is_reused=result is None,
        rows_read=sum(t.manifest.tables[name].rows for name, t in plan.inputs.items()),
    )


def _plan(
    product: Product[ConfigT], config: ConfigT, lake: Lake, snapshot: Manifest, contracts: Mapping[str, Contract]
) -> _Plan:
    inputs: dict[str, StoredTable] = {}
    for table in product.inputs:
        accepted = lake.accepted([table], snapshot.id)
        if accepted is None:
            raise LookupError(
                f"{product.name}: input {table} has no accepted product for snapshot {snapshot.id}; "
                f"run {contracts[table].group} first"
            )
        inputs.update(accepted)
    if any(table in product.tables for table in product.previous):
        newer = lake.newest_accepted(list(product.tables), since=snapshot.id + "~")
        if newer is not None:
            state = next(iter(newer.values())).snapshot_id
            raise OutOfOrder(
                f"{product.name}: snapshot {snapshot.id} is older than the newest accepted state {state}; "
                "`flowforge run` without --as-of goes on from there; compute older ones in a FLOWFORGE_HOME of its own"
            )
    previous: dict[str, StoredTable] = {}
    for group in dict.fromkeys(contracts[table].group for table in product.previous):
        # Looked up as a whole, so that one run never reads two previous products of one group.
        whole = [name for name, contract in contracts.items() if contract.group == group]
        found = lake.newest_accepted(whole, before=snapshot.id) or {}
        previous |= {table: found[table] for table in product.previous if table in found}
    entries = tuple(t.input_entry for t in (*inputs.values(), *previous.values()))
    product_id = f"{snapshot.id}-{fingerprint_of(entries, config.config_hash(), code_version_of(product.name))}"
    return _Plan(product_id, entries, inputs, previous)


def _inputs(
    plan: _Plan, config: ConfigT, as_of: datetime, contracts: Mapping[str, Contract], product: Product[ConfigT]
) -> Inputs[ConfigT]:
    previous = {
        table: plan.previous[table].scan() if table in plan.previous else contracts[table].empty().lazy()
        for table in product.previous
    }
    own = [t.manifest.as_of for name, t in plan.previous.items() if name in product.tables]
    return Inputs(
        frames={name: table.scan() for name, table in plan.inputs.items()},
        previous=previous,
        previous_as_of=max(own) if own else None,
        config=config,
        as_of=as_of,
    )


def _write(
    product: Product[ConfigT], config: ConfigT, lake: Lake, snapshot: Manifest, plan: _Plan, result: Result
) -> dict[str, StoredTable]:
    if set(result.tables) != set(product.tables):
        raise ValueError(f"{product.name} computed {sorted(result.tables)}, its tables are {sorted(product.tables)}")
    return {
        name: lake.write_table(
            name,
            result.tables[name],
            product_id=plan.product_id,
            as_of=snapshot.as_of,
            inputs=plan.entries,
            code_version=code_version_of(product.name),
            config_hash=config.config_hash(),
            counts=summed(result.counts, result.tables[name].height),
            stages=stage_entries(result.counts),
        )
        for name in product.tables
    }


def stage_entries(counts: tuple[StageCount, ...]) -> list[StageEntry]:
    """The counts as a manifest keeps them."""
    return [StageEntry(**asdict(count)) for count in counts]


def counts_of(table: StoredTable) -> tuple[StageCount, ...]:
    """The counts of the run that computed a stored table."""
    return tuple(
        StageCount(s.stage, s.rows_in, s.rows_out, s.rejected, dict(s.filtered)) for s in table.manifest.stages
    )


def summed(counts: tuple[StageCount, ...], rows: int) -> Counts:
    """The counts of all stages as one manifest entry; a product without stages counts its rows."""
    if not counts:
        return Counts(in_=rows, out=rows)
    filtered: dict[str, int] = {}
    for count in counts:
        for reason, n in count.filtered.items():
            filtered[f"{count.stage}.{reason}"] = n
    return Counts(
        in_=sum(c.rows_in for c in counts),
        out=sum(c.rows_out for c in counts),
        rejected=sum(c.rejected for c in counts),
        filtered=filtered,
    )
