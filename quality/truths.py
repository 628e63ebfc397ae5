"""Cross-table truths: what must hold between tables of one generation before it is published (07.1).

Pure; frames in, failures out. A single table's truths are its contract's row rules.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quality.contract import SAMPLE, Failure

PAIRS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "friend_recommendations": ("viewer_id", ("candidate_id",)),
    "feed_items": ("viewer_id", ("lead_actor_id", "object_owner_id")),
}
"""Table → (reader, the people shown to that reader)."""


def blocked_pairs(frames: Mapping[str, pl.LazyFrame], blocks: pl.LazyFrame) -> list[Failure]:
    """No row shows a reader somebody with whom a block stands, in either direction."""
    columns = ["blocker_id", "blocked_id"]
    both = pl.concat(
        [
            blocks.select(columns),
            blocks.select(pl.col("blocked_id").alias("blocker_id"), pl.col("blocker_id").alias("blocked_id")),
        ]
    ).unique()
    failures = []
    for table, (reader, shown) in PAIRS.items():
        if table not in frames:
            continue
        for column in shown:
            bad = (
                frames[table]
                .select(reader, column)
                .join(both, left_on=[reader, column], right_on=columns, how="semi")
                .unique()
                .sort(reader, column)
                .collect()
            )
            if bad.height:
                failures.append(
                    Failure(table, "shows no blocked pair", column, bad.height, tuple(bad.head(SAMPLE).to_dicts()))
                )
    return failures
