"""Dagster definition of group ``published``: the asset ``generations``.

Chooses the products of a generation (accepted now, else carried over within
``PUBLISH__MAX_CARRY_HOURS``), asks the cross-table truths, and publishes. What the rows are is
``assets.published.datasets``; how files become visible is ``store.generations``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from assets.digests.product import digests
from assets.factory import ONE_BY_ONE, snapshot_of
from assets.feed.product import feed
from assets.frame import Product
from assets.friends.product import friends
from assets.premium.product import premium
from assets.published.datasets import PRODUCT_TABLES, STAGED_TABLES, Carried, build_datasets
from assets.versions import code_version_of
from quality.registry import REGISTRY
from quality.truths import blocked_pairs
from store.generations import GenerationPlan, GenerationRefused, cursor_key_input, publish, row_drift
from store.generations import generations as list_generations
from store.lake import Lake, StoredTable
from store.manifest import Counts, InputEntry, Manifest, snapshot_id_of
from store.payloads import cursor_keys
from store.settings import Settings

ACCEPT_DRIFT_TAG = "flowforge/accept_drift"
PRODUCTS: tuple[Product[Any], ...] = (friends, feed, digests, premium)


@dataclass(frozen=True)
class Chosen:
    """The stored tables a generation is made of, and which products are older than its snapshot."""

    tables: Mapping[str, StoredTable]
    carried: Mapping[str, Carried]
    missing: tuple[str, ...]

    def scan(self) -> dict[str, pl.LazyFrame]:
        """Every table, verified."""
        return {name: table.scan() for name, table in self.tables.items()}

    @property
    def entries(self) -> tuple[InputEntry, ...]:
        """The inputs as the generation's manifest names them."""
        return tuple(table.input_entry for table in self.tables.values())


def counts_of(tables: Mapping[str, StoredTable]) -> Counts:
    """What the products behind a generation took, kept and removed: ``product.stage.reason`` (law 6)."""
    found: dict[str, tuple[str, Counts]] = {}
    for name, table in tables.items():
        group = REGISTRY[name].group
        # A product's tables carry the counts of its whole run; of the staged tables each has its own.
        found[name if group == "staged" else table.manifest.id] = (group, table.manifest.counts)
    counts = [counts for _, counts in found.values()]
    return Counts(
        in_=sum(c.in_ for c in counts),
        out=sum(c.out for c in counts),
        rejected=sum(c.rejected for c in counts),
        filtered={f"{group}.{reason}": n for group, c in found.values() for reason, n in c.filtered.items() if n},
    )


def config_hash_of(settings: Settings) -> str:
    """The configuration that decides a generation's rows beyond that of its products."""
    zone = settings.premium.reporting_time_zone
    return hashlib.sha256(f"{settings.friends.config_hash()}|{settings.feed.reply_rule}|{zone}".encode()).hexdigest()


def choose(lake: Lake, snapshot: Manifest, settings: Settings) -> Chosen:
    """The accepted product of this snapshot; for friends and premium else the newest one that may be carried.

    Raises :class:`store.generations.GenerationRefused` naming a required product that is not accepted.
    """
    staged = lake.accepted(STAGED_TABLES, snapshot.id)
    if staged is None:
        raise GenerationRefused(f"staged is not accepted for snapshot {snapshot.id}")
    tables: dict[str, StoredTable] = dict(staged)
    carried: dict[str, Carried] = {}
    missing: list[str] = []
    oldest = snapshot_id_of(snapshot.as_of - timedelta(hours=settings.publish.max_carry_hours))
    for product in PRODUCTS:
        found = lake.accepted(product.tables, snapshot.id)
        if found is None and not product.is_carriable:
            raise GenerationRefused(f"{product.name} is not accepted for snapshot {snapshot.id}")
        if found is None and (found := lake.newest_accepted(product.tables, before=snapshot.id, since=oldest)):
            one = next(iter(found.values()))
            carried[product.name] = Carried(one.snapshot_id, one.manifest.as_of)
        if found is None:
            missing.append(product.name)
            continue
        tables |= {name: found[name] for name in PRODUCT_TABLES[product.name] if name in found}
    return Chosen(tables, carried, tuple(missing))


def published_assets(partitions: dg.HourlyPartitionsDefinition) -> dg.AssetsDefinition:
    """``generations``: what clients are served."""
    upstream = [*STAGED_TABLES, *(table for product in PRODUCTS for table in product.tables)]

    spec = dg.AssetSpec(
        "generations",
        deps=upstream,
        group_name="published",
        code_version=code_version_of("published"),
        description="The accepted products as one immutable, verified generation; CURRENT swapped last.",
    )

    @dg.multi_asset(name="generations", specs=[spec], partitions_def=partitions, backfill_policy=ONE_BY_ONE)
    def generations(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult[Any]:
        chosen = choose(lake, snapshot := snapshot_of(context, lake), settings)
        frames = chosen.scan()
        current = {name: frame for name, frame in frames.items() if REGISTRY[name].group not in chosen.carried}
        if failures := blocked_pairs(current, frames["staged_blocks"]):
            raise GenerationRefused("; ".join(map(str, failures)))
        key = cursor_keys(settings.home, [k.get_secret_value() for k in settings.secret.cursor_keys])[0]
        accept_drift = context.run.tags.get(ACCEPT_DRIFT_TAG) == "true"
        plan = GenerationPlan(
            as_of=snapshot.as_of,
            # Stored pages hold cursors signed with this key, so another key is another generation.
            inputs=(*chosen.entries, cursor_key_input(key)),
            code_version=code_version_of("published"),
            config_hash=config_hash_of(settings),
            counts=counts_of(chosen.tables),
        )
        publication = publish(
            settings.home,
            plan,
            lambda generation: build_datasets(
                frames,
                generation=generation,
                as_of=snapshot.as_of,
                carried=chosen.carried,
                cursor_key=key,
                published={name for name, contract in REGISTRY.items() if contract.is_published},
                friends=settings.friends,
                reply_rule=settings.feed.reply_rule,
                reporting_time_zone=settings.premium.reporting_time_zone,
            ),
            retention=settings.retention,
            audit=None if accept_drift else partial(row_drift, settings=settings.quality),
        )
        standing = {entry.info.id: entry.info for entry in list_generations(settings.home)}
        datasets = standing[publication.generation].datasets
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(dataset.rows for dataset in datasets),
                "rows_read": sum(t.manifest.tables[name].rows for name, t in chosen.tables.items()),
                "generation": publication.generation,
                "is_live": publication.is_live,
                "is_reused": publication.is_reused,
                "reason": publication.reason,
                "carried_over": ", ".join(f"{p} of {c.as_of:%Y-%m-%d %H:%M}" for p, c in chosen.carried.items()),
                "missing": ", ".join(chosen.missing),
                "pruned": ", ".join(publication.pruned),
            },
            data_version=dg.DataVersion(publication.generation),
        )

    return generations
