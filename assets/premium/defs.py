"""Dagster definitions of group ``premium``: the product, described in ``assets.premium.product``."""

import dagster as dg

from assets.factory import product_assets
from assets.premium.product import premium
from assets.premium.reconciliations import verdict
from quality.registry import REGISTRY
from quality.rejects import MONEY
from store.lake import Lake
from store.manifest import Manifest


def rejected_money(lake: Lake, snapshot: Manifest) -> str | None:
    """Money rules have a reject budget of 0 (07.1): one bad price fails premium, and premium alone."""
    staged = lake.accepted([f"staged_{table}" for table in sorted(MONEY)], snapshot.id) or {}
    bad = {
        name.removeprefix("staged_"): table.manifest.counts.rejected
        for name, table in staged.items()
        if table.manifest.counts.rejected
    }
    if not bad:
        return None
    told = ", ".join(f"{table} ({count})" for table, count in bad.items())
    return f"rows of {told} were rejected and money has no reject budget; see lake/rejects for key, column and rule"


def premium_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The product's tables as one multi-asset."""
    return product_assets(
        premium,
        lambda settings: settings.premium,
        contracts=REGISTRY,
        partitions=partitions,
        verdict=verdict,
        verdict_inputs=("staged_users", "staged_meters"),
        refusal=rejected_money,
    )
