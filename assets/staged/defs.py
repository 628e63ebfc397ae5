"""Dagster definitions of group ``staged``: one multi-asset, one ``contract_holds`` check per table."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.factory import CHECK, ONE_BY_ONE, column_schema, counts_metadata, snapshot_of, table_metadata
from assets.staged.product import CONTRACTS, stage
from assets.versions import code_version_of
from store.failpoints import hit
from store.lake import Lake
from store.settings import Settings


def staged_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The staged tables, each below its table of the snapshot."""
    specs = [
        dg.AssetSpec(
            contract.name,
            deps=[dg.AssetKey(["snapshots", table]), dg.AssetKey(["snapshots", "erasure_requests"])],
            group_name="staged",
            code_version=code_version_of("staged"),
            description=f"`{table}` typed, deduplicated, without erased users and bad rows",
            metadata={"dagster/column_schema": column_schema(contract)},
        )
        for table, contract in CONTRACTS.items()
    ]
    checks = [dg.AssetCheckSpec(CHECK, asset=contract.name, blocking=True) for contract in CONTRACTS.values()]

    @dg.multi_asset(
        name="staged", specs=specs, check_specs=checks, partitions_def=partitions, backfill_policy=ONE_BY_ONE
    )
    def staged(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        done = stage(lake, snapshot_of(context, lake), settings.quality)
        hit("staged.computed")
        if done.is_acceptable:
            lake.accept(list(done.tables.values()))
        hit("staged.accepted")
        for name, table in done.tables.items():
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    **table_metadata(table),
                    **counts_metadata((done.counts[name],)),
                    "is_reused": done.is_reused,
                },
                data_version=dg.DataVersion(table.manifest.content_sha256[:16]),
            )
            failures = done.failures[name]
            yield dg.AssetCheckResult(
                asset_key=name,
                check_name=CHECK,
                passed=not failures,
                description="; ".join(map(str, failures)) or "accepted",
            )

    return staged
