"""How good lists are (02, 2.5): recall, MAP, NDCG, hit rate, coverage, exposure, slices, intervals.

Pure functions over lists (``viewer, candidate, rank``) and what came true (``viewer, candidate``);
every non-neighbour that is not listed counts as not found. Does not belong here: where lists come
from, what is held out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.friends.graph import stable_hash

TOP, HIT = 20, 10
RESAMPLES = 400
SLICES = ((0, 0), (1, 4), (5, 19), (20, None))
METRICS = ("recall_at_20", "map_at_20", "ndcg_at_20", "hit_at_10")


def ranked(scored: pl.DataFrame, top: int = TOP) -> pl.DataFrame:
    """``viewer, candidate, rank`` of the best by (score desc, candidate asc)."""
    ordered = scored.sort("viewer", "score", "candidate", descending=[False, True, False])
    ordered = ordered.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("viewer"))
    return ordered.filter(pl.col("rank") <= top).select("viewer", "candidate", "rank")


def by_viewer(lists: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """One row per viewer with a truth: ``viewer`` and `METRICS`, each 0 … 1."""
    wanted = truth.unique().group_by("viewer").agg(pl.len().alias("wanted"))
    hits = lists.filter(pl.col("rank") <= TOP).join(truth.unique(), on=["viewer", "candidate"], how="semi")
    hits = hits.sort("viewer", "rank").with_columns(nth=pl.int_range(1, pl.len() + 1).over("viewer"))
    found = hits.group_by("viewer").agg(
        pl.len().alias("found"),
        (pl.col("nth") / pl.col("rank")).sum().alias("precisions"),
        (1 / (pl.col("rank") + 1).log(2)).sum().alias("gain"),
        (pl.col("rank").min() <= HIT).alias("hit"),
    )
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, TOP + 2)))])
    joined = wanted.join(found, on="viewer", how="left").sort("viewer")
    most = pl.col("wanted").clip(0, TOP)
    best = pl.Series(ideal[np.minimum(joined["wanted"].to_numpy(), TOP)])
    return joined.select(
        "viewer",
        (pl.col("found").fill_null(0) / pl.col("wanted")).alias("recall_at_20"),
        (pl.col("precisions").fill_null(0.0) / most).alias("map_at_20"),
        (pl.col("gain").fill_null(0.0) / best).alias("ndcg_at_20"),
        pl.col("hit").fill_null(value=False).cast(pl.Float64).alias("hit_at_10"),
    )


def figures(viewers: pl.DataFrame) -> dict[str, Any]:
    """Means over the viewers, and how many they are."""
    return {"viewer_count": viewers.height, **{name: _mean(viewers[name].to_numpy()) for name in METRICS}}


def exposure(lists: pl.DataFrame, people: int) -> dict[str, float]:
    """``coverage_at_20``: the share of people on some list; ``gini``: how unevenly they are shown."""
    seen = lists.filter(pl.col("rank") <= TOP).group_by("candidate").agg(pl.len().alias("times"))
    times = np.sort(np.concatenate([np.zeros(max(people - seen.height, 0)), seen["times"].to_numpy()]))
    total = float(times.sum())
    place = np.arange(1, times.size + 1)
    gini = float(((2 * place - times.size - 1) * times).sum() / (times.size * total)) if total else 0.0
    return {"coverage_at_20": round(seen.height / max(people, 1), 6), "gini": round(gini, 6)}


def sliced(viewers: pl.DataFrame, degrees: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """`figures` by the viewer's degree."""
    degree = degrees[viewers["viewer"].to_numpy()]
    found = {}
    for low, high in SLICES:
        inside = (degree >= low) & (degree <= (high if high is not None else degree.max(initial=0)))
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        found[name] = figures(viewers.filter(pl.Series(inside, dtype=pl.Boolean)))
    return found


def interval(viewers: pl.DataFrame, name: str) -> tuple[float, float]:
    """Bootstrap 95 % interval of a mean; seeded, over viewers in ascending order."""
    values = viewers.sort("viewer")[name].to_numpy()
    if values.size == 0:
        return 0.0, 0.0
    draws = np.empty(RESAMPLES)
    place = np.arange(values.size, dtype=np.int64)
    for i in range(RESAMPLES):
        draws[i] = values[stable_hash(place, f"bootstrap {i}") % np.uint64(values.size)].mean()
    low, high = np.quantile(draws, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def report(lists: pl.DataFrame, truth: pl.DataFrame, degrees: NDArray[np.int64]) -> dict[str, Any]:
    """Everything of one ranker: figures, interval of recall and MAP, exposure, slices."""
    viewers = by_viewer(lists, truth)
    return {
        **figures(viewers),
        "recall_at_20_interval": interval(viewers, "recall_at_20"),
        "map_at_20_interval": interval(viewers, "map_at_20"),
        **exposure(lists, degrees.size),
        "slices": sliced(viewers, degrees),
    }


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(values.mean()), 6) if values.size else 0.0
