"""Retention of the lake: snapshots, products and rejects that are old enough to go (settings ``RETENTION__*``).

Lives here: what is kept, and the removal of the rest. Does not belong here: generations
(``store.generations``), Dagster's runs (``pipelines``), erasure of people (``store.erasure``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from quality.registry import REGISTRY
from store.erasure import remove_product
from store.generations.retention import remove
from store.lake import Lake
from store.manifest import MANIFEST
from store.settings import RetentionSettings


def prune_lake(lake: Lake, retention: RetentionSettings, *, now: datetime) -> list[str]:
    """Remove what is older than ``retention`` allows; paths relative to the lake, sorted.

    Always kept: the newest snapshot, and of every group the newest product that is accepted (the next run
    goes on from it).
    """
    standing = lake.snapshot_ids()
    kept = snapshots_kept(standing, retention, now)
    removed = [f"snapshots/{i}" for i in standing if i not in kept]
    for path in removed:
        remove(lake.home / "lake" / path)
    oldest = now - timedelta(days=retention.product_days)
    for group in sorted({contract.group for contract in REGISTRY.values()}):
        for product_id in _old_products(lake, group, oldest):
            remove_product(lake, group, product_id)
            removed.append(f"products/{group}/{product_id}")
    oldest = now - timedelta(days=retention.reject_days)
    for folder in sorted(lake.rejects_dir.glob("[0-9]*")):
        if instant_of(folder.name) < oldest:
            remove(folder)
            removed.append(f"rejects/{folder.name}")
    return sorted(removed)


def snapshots_kept(ids: Iterable[str], retention: RetentionSettings, now: datetime) -> set[str]:
    """All ids of the last ``snapshot_hours``, the last of each UTC day for ``snapshot_days``, and the newest."""
    ordered = sorted(ids)
    recent = now - timedelta(hours=retention.snapshot_hours)
    oldest = now - timedelta(days=retention.snapshot_days)
    kept = {i for i in ordered if instant_of(i) >= recent}
    last_of_day = {i[:8]: i for i in ordered}
    kept |= {i for i in last_of_day.values() if instant_of(i) >= oldest}
    return kept | set(ordered[-1:])


def instant_of(snapshot_id: str) -> datetime:
    """The ``as_of`` that a snapshot id spells."""
    return datetime.strptime(snapshot_id[:22], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)


def _old_products(lake: Lake, group: str, oldest: datetime) -> list[str]:
    tables = [name for name, contract in REGISTRY.items() if contract.group == group]
    found = {p.parent.name for name in tables for p in (lake.products_dir / name).glob(f"[0-9]*/{MANIFEST}")}
    newest = lake.newest_accepted(tables[:1]) or {}
    state = {table.manifest.id for table in newest.values()}
    return sorted(i for i in found - state if instant_of(i) < oldest)
