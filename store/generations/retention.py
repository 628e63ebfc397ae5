"""Which generations are kept, and the removal of the rest (spec 06.1)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from store.failpoints import hit
from store.generations.standing import lock, write_standing
from store.serving.follower import FOLDER, list_ids, read_current, read_standing
from store.serving.generation import mark_path
from store.settings import RetentionSettings


def prune(home: Path, retention: RetentionSettings, *, now: datetime | None = None) -> list[str]:
    """Remove generations beyond ``retention``; returns their ids.

    Kept: the live and the pinned one, the newest ``generations`` that are not quarantined, and every one
    whose ``as_of`` or publication lies within ``generation_hours``.
    """
    folder = home / FOLDER
    with lock(folder, "state"):
        standing, live = read_standing(folder), read_current(folder)
        oldest = (now or datetime.now(UTC)) - timedelta(hours=retention.generation_hours)
        ids = list_ids(folder)
        kept = {live, standing.pinned}
        kept.update([i for i in ids if i not in standing.quarantined][: retention.generations])
        kept.update(i for i in ids if (at := standing.published.get(i)) is not None and at >= oldest)
        removed = [i for i in ids if i not in kept]
        for generation_id in removed:
            hit("prune.removing")
            remove(folder / generation_id)
        if removed:
            left = list_ids(folder)
            write_standing(
                folder,
                replace(
                    standing,
                    published={i: at for i, at in standing.published.items() if i in left},
                    # An older one than all that are left cannot be published anyway.
                    quarantined={i: why for i, why in standing.quarantined.items() if left and i >= left[-1]},
                ),
            )
    return removed


def remove(folder: Path) -> None:
    """Out of sight first: a killed removal leaves a leftover, never half a generation."""
    mark_path(folder).unlink(missing_ok=True)
    aside = folder.with_name(f".replaced-{folder.name}-pruned")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)
