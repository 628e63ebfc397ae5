"""The Dagster definitions of the platform, built by one function that a test can call with other walls."""

from __future__ import annotations

from functools import partial

import dagster as dg

from assets.digests.defs import digests_assets
from assets.feed.defs import feed_assets
from assets.friends.defs import friends_assets
from assets.premium.defs import premium_assets
from assets.published.defs import published_assets
from assets.snapshot.defs import snapshot_assets
from assets.staged.defs import staged_assets
from pipelines.housekeeping_job import housekeeping, housekeeping_daily
from pipelines.jobs import JOBS
from pipelines.partitions import key_of, partitions_of
from pipelines.run_lock import locked_lake
from pipelines.schedules import schedules
from store.settings import Settings, load_settings


def build_defs(settings: Settings) -> dg.Definitions:
    """Every asset, check, job, schedule and resource, for the home and configuration of ``settings``."""
    partitions = partitions_of(settings)
    return dg.Definitions(
        assets=[
            snapshot_assets(partitions, partial(key_of, partitions)),
            staged_assets(partitions),
            friends_assets(partitions),
            feed_assets(partitions),
            digests_assets(partitions),
            premium_assets(partitions),
            published_assets(partitions),
        ],
        jobs=[*JOBS, housekeeping],
        schedules=[*schedules(partitions), housekeeping_daily],
        resources={
            "lake": locked_lake(settings.home),
            "settings": dg.ResourceDefinition.hardcoded_resource(settings),
        },
        executor=dg.in_process_executor,
    )


defs = build_defs(load_settings())
