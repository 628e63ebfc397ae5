"""From a product's description to its Dagster definitions: one multi-asset with blocking checks.

The only place where contracts become checks. A required product that breaks its contract stops
everything below it; a carriable one (friends, premium) is recorded as not accepted and an older
accepted product is published instead (06.1, 07.1). Does not belong here: computing, paths.
"""

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.execution import Execution, execute
from assets.frame import ConfigT, Product, StageCount
from assets.versions import code_version_of
from quality.contract import Contract, Failure
from store.failpoints import hit
from store.lake import Lake, StoredTable
from store.manifest import Manifest
from store.settings import Settings

CHECK = "contract_holds"
SNAPSHOT_TAG = "flowforge/snapshot_id"
with warnings.catch_warnings():
    # Dagster calls the mapping's third argument beta; a first partition has no previous state without it.
    warnings.simplefilter("ignore", dg.BetaWarning)
    PREVIOUS_WINDOW = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )

ONE_BY_ONE = dg.BackfillPolicy.multi_run(1)
Refusal = Callable[[Lake, Manifest], str | None]
Verdict = Callable[[Mapping[str, pl.DataFrame]], Mapping[str, list[Failure]]]


def snapshot_of(context: dg.AssetExecutionContext, lake: Lake) -> Manifest:
    """The snapshot a run computes from: the one its tag names, else the newest of its partition.

    The partition's window ends at or before ``as_of`` and no later window does (08.2).
    """
    if snapshot_id := context.run.tags.get(SNAPSHOT_TAG):
        return lake.snapshot(snapshot_id)
    window = context.partition_time_window
    found = lake.newest_snapshot(start=window.end, before=window.end + (window.end - window.start))
    if found is None:
        raise dg.Failure(f"no snapshot stands for partition {context.partition_key}; materialize `snapshots` for it")
    return found


def product_assets(
    product: Product[ConfigT],
    config_of: Callable[[Settings], ConfigT],
    *,
    contracts: Mapping[str, Contract],
    partitions: dg.HourlyPartitionsDefinition,
    verdict: Verdict | None = None,
    verdict_inputs: tuple[str, ...] = (),
    refusal: Refusal | None = None,
) -> dg.AssetsDefinition:
    """The Dagster multi-asset of ``product``, with one ``contract_holds`` check per table."""
    specs = [_spec(product, table, contracts[table]) for table in product.tables]
    checks = [
        dg.AssetCheckSpec(
            CHECK, asset=table, blocking=not product.is_carriable, description=f"{table} keeps its contract"
        )
        for table in product.tables
    ]

    @dg.multi_asset(
        name=product.name, specs=specs, check_specs=checks, partitions_def=partitions, backfill_policy=ONE_BY_ONE
    )
    def materialize(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        snapshot = snapshot_of(context, lake)
        try:
            done = execute(
                product,
                config_of(settings),
                lake=lake,
                snapshot=snapshot,
                contracts=contracts,
                verdict=verdict,
                verdict_inputs=verdict_inputs,
                refusal=refusal,
            )
        except Exception as error:
            if not product.is_carriable:
                raise
            # A carriable product must not take feeds and digests down with it: 06.1, 07.1.
            context.log.error(f"{product.name} was not computed:\n{traceback.format_exc()}")
            yield from _not_computed(product, error)
            return
        hit(f"{product.name}.computed")
        if done.is_acceptable:
            lake.accept(list(done.tables.values()))
        hit(f"{product.name}.accepted")
        yield from _results(done)

    return materialize


def _spec(product: Product[ConfigT], table: str, contract: Contract) -> dg.AssetSpec:
    deps: list[dg.AssetDep] = [dg.AssetDep(name) for name in product.inputs]
    if any(name in product.tables for name in product.previous):
        deps.append(dg.AssetDep(table, partition_mapping=PREVIOUS_WINDOW))
    deps += [
        dg.AssetDep(name, partition_mapping=PREVIOUS_WINDOW) for name in product.previous if name not in product.tables
    ]
    return dg.AssetSpec(
        table,
        deps=deps,
        group_name=product.name,
        code_version=code_version_of(product.name),
        description=(contract.model.__doc__ or table).strip().splitlines()[0],
        metadata={"dagster/column_schema": column_schema(contract)},
    )


def column_schema(contract: Contract) -> dg.TableSchema:
    """A contract's columns as Dagster shows them."""
    columns = contract.model.to_schema().columns
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name, str(column.dtype.type), constraints=dg.TableColumnConstraints(nullable=column.nullable)
            )
            for name, column in columns.items()
        ]
    )


def counts_metadata(counts: tuple[StageCount, ...]) -> dict[str, Any]:
    """Rows in, out, rejected and filtered per stage, as a table one can see in Dagster (law 6)."""
    if not counts:
        return {}
    return {
        "rows_in": sum(c.rows_in for c in counts),
        "rows_out": sum(c.rows_out for c in counts),
        "rows_rejected": sum(c.rejected for c in counts),
        "rows_filtered": sum(sum(c.filtered.values()) for c in counts),
        "stages": dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {
                        "stage": c.stage,
                        "in": c.rows_in,
                        "out": c.rows_out,
                        "rejected": c.rejected,
                        "filtered": ", ".join(f"{reason} {n}" for reason, n in c.filtered.items() if n),
                    }
                )
                for c in counts
            ]
        ),
    }


def table_metadata(table: StoredTable) -> dict[str, Any]:
    """Rows, bytes and identity of a stored table."""
    entry = table.manifest.tables[table.name]
    return {
        "dagster/row_count": entry.rows,
        "bytes": sum(f.bytes for f in entry.files),
        "product_id": table.manifest.id,
        "as_of": table.manifest.as_of.isoformat(),
    }


def _results(done: Execution) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    shared = {
        **counts_metadata(done.counts),
        "rows_read": done.rows_read,
        "is_reused": done.is_reused,
        "is_accepted": done.is_acceptable,
    }
    if done.notes:
        shared["notes"] = dg.MetadataValue.json({name: note for name, note in done.notes.items() if name != "plots"})
        shared |= {name: dg.MetadataValue.md(text) for name, text in done.notes.get("plots", {}).items()}
    for name, table in done.tables.items():
        failures = done.failures[name]
        yield dg.MaterializeResult(
            asset_key=name,
            metadata={**table_metadata(table), **shared},
            data_version=dg.DataVersion(table.manifest.content_sha256[:16]),
        )
        yield dg.AssetCheckResult(
            asset_key=name,
            check_name=CHECK,
            passed=not failures,
            description="; ".join(map(str, failures)) or "accepted",
            metadata={"failures": len(failures)},
        )


def _not_computed(
    product: Product[ConfigT], error: Exception
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    reason = f"not computed, {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    for name in product.tables:
        yield dg.MaterializeResult(asset_key=name, metadata={"is_accepted": False, "not_computed": reason})
        yield dg.AssetCheckResult(asset_key=name, check_name=CHECK, passed=False, description=reason)
