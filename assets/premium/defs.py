"""Dagster definitions of group ``premium``: the product, described in ``assets.premium.product``."""

import dagster as dg

from assets.factory import product_assets
from assets.premium.product import premium
from assets.premium.reconciliations import verdict
from quality.registry import REGISTRY


def premium_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The product's tables as one multi-asset."""
    return product_assets(
        premium, lambda settings: settings.premium, contracts=REGISTRY, partitions=partitions, verdict=verdict
    )
