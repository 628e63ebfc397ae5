"""Dagster definitions of group ``friends``: the product, described in ``assets.friends.product``."""

import dagster as dg

from assets.factory import product_assets
from assets.friends.gate import friends_quality
from assets.friends.product import friends
from quality.registry import REGISTRY


def friends_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """The product's tables as one multi-asset."""
    return product_assets(
        friends, lambda settings: settings.friends, contracts=REGISTRY, partitions=partitions, verdict=friends_quality
    )
