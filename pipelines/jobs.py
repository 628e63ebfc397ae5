"""The three jobs (08.2): what refreshes hourly, what daily, and everything at once.

All carry one tag with a run limit of 1, so that two runs never compute side by side.
"""

from __future__ import annotations

import dagster as dg

HOURLY_GROUPS = ("snapshot", "staged", "feed", "digests", "published")
DAILY_GROUPS = ("friends", "premium")
ONE_AT_A_TIME = {"flowforge/lane": "refresh", "dagster/max_runtime": str(50 * 60)}

refresh_hourly = dg.define_asset_job(
    "refresh_hourly",
    selection=dg.AssetSelection.groups(*HOURLY_GROUPS),
    tags=ONE_AT_A_TIME,
    description="Snapshot, staged, feed, digests, published: every hour at minute 10.",
)
refresh_daily = dg.define_asset_job(
    "refresh_daily",
    selection=dg.AssetSelection.groups(*DAILY_GROUPS),
    tags=ONE_AT_A_TIME,
    description="Friends and premium, for the last snapshot; published by the next hourly run.",
)
refresh_all = dg.define_asset_job(
    "refresh_all",
    selection=dg.AssetSelection.groups(*HOURLY_GROUPS, *DAILY_GROUPS),
    tags=ONE_AT_A_TIME,
    description="Everything in one run: `flowforge run` and `flowforge demo`.",
)
JOBS = (refresh_hourly, refresh_daily, refresh_all)
