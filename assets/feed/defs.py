"""Dagster definitions of group ``feed``: the product, described in ``assets.feed.product``."""

import dagster as dg

from assets.factory import product_assets
from assets.feed.product import feed
from quality.registry import REGISTRY


def feed_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The product's tables as one multi-asset."""
    return product_assets(feed, lambda settings: settings.feed, contracts=REGISTRY, partitions=partitions)
