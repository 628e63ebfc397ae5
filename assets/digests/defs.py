"""Dagster definitions of group ``digests``: the product, described in ``assets.digests.product``."""

import dagster as dg

from assets.digests.product import digests
from assets.factory import product_assets
from quality.digests import digest_truths
from quality.registry import REGISTRY


def digests_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The product's tables as one multi-asset."""
    return product_assets(
        digests, lambda settings: settings.digests, contracts=REGISTRY, partitions=partitions, verdict=digest_truths
    )
