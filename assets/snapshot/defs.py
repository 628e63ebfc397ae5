"""Dagster definitions of group ``snapshot``: every source table at one instant, as one multi-asset.

A live database shows only now: the asset refuses any key but the newest (in a world's home, that
of the world's ``as_of``) and says which snapshot stands in.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from store.failpoints import hit
from store.home import read_home
from store.lake import Lake
from store.manifest import Manifest
from store.models import TABLES
from store.settings import Settings
from store.snapshots import take_snapshot
from store.source import source_url

BELONGS_TO = "belongs_to"
"""In a failure's metadata: the partition that the run should have been of."""
TAKEN = "snapshot_id"
"""Beside it: the snapshot that was taken all the same and stands."""


def snapshot_assets(
    partitions: dg.HourlyPartitionsDefinition, key_of: Callable[[datetime], str]
) -> dg.AssetsDefinition:
    """All tables of one consistent snapshot (01.4); ``key_of`` gives the partition an instant belongs to."""
    specs = [
        dg.AssetSpec(
            dg.AssetKey(["snapshots", table]), group_name="snapshot", description=f"`{table}` of the app's database"
        )
        for table in sorted(TABLES)
    ]

    @dg.multi_asset(
        name="snapshots",
        specs=specs,
        partitions_def=partitions,
        pool="oltp",
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2, jitter=dg.Jitter.FULL),
    )
    def snapshots(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        record = read_home(settings.home)
        now = record.as_of if record else datetime.now(UTC)
        _refuse_another_hour(context.partition_key, key_of(now), lake)
        due = timedelta(days=settings.retention.erasure_days)
        manifest = take_snapshot(source_url(settings, "reader"), lake, settings.snapshot, forget_after=due)
        hit("snapshots.taken")
        if (belongs_to := key_of(manifest.as_of)) != context.partition_key:
            raise dg.Failure(
                f"the hour turned while the snapshot was taken: {manifest.id} belongs to {belongs_to}; run again",
                metadata={BELONGS_TO: belongs_to, TAKEN: manifest.id},
                allow_retries=False,
            )
        yield from _results(manifest)

    return snapshots


def _refuse_another_hour(asked: str, newest: str, lake: Lake) -> None:
    if asked == newest:
        return
    standing = lake.snapshot_ids()
    raise dg.Failure(
        f"partition {asked} cannot be taken: the database shows only now, which belongs to {newest}. "
        + (f"The newest stored snapshot is {standing[-1]}; " if standing else "No snapshot is stored yet; ")
        + "to compute from a stored one, run `flowforge run --as-of INSTANT`.",
        metadata={BELONGS_TO: newest},
        allow_retries=False,
    )


def _results(manifest: Manifest) -> Iterator[dg.MaterializeResult[Any]]:
    for table in sorted(TABLES):
        entry = manifest.tables[table]
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey(["snapshots", table]),
            metadata={
                "dagster/row_count": entry.rows,
                "bytes": sum(f.bytes for f in entry.files),
                "snapshot_id": manifest.id,
                "as_of": manifest.as_of.isoformat(),
            },
            data_version=dg.DataVersion(entry.schema_hash[:8] + "-" + "".join(f.sha256[:8] for f in entry.files)[:32]),
        )
